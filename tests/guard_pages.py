"""Run one family with every operand between pages that may not be touched; started by test_memory_guard.

A read or write outside an array kills the process, which is why this is a program of its own. What would
stay inside the array's own pages is caught by canaries around it.
"""

from __future__ import annotations

import ctypes
import faulthandler
import itertools
import mmap
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from bounds import assert_same_bits
from calls import CASES, channels_first, compute
from numpy.typing import NDArray
from strategies import Case

import fastsep

Array = NDArray[Any]

PAGE = mmap.PAGESIZE
PROT_NONE = 0  # Python's mmap module has no name for it.
CANARY = 0xA5
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Guarded:
    """Memory for an array that starts right after, or ends right before, a page without any access."""

    def __init__(self, shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any, at_end: bool) -> None:
        extent = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        extent = extent + np.dtype(dtype).itemsize if all(shape) else 0
        pages = max(1, -(-extent // PAGE))
        self.memory = mmap.mmap(-1, (pages + 2) * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        for page in (0, pages + 1):
            if _libc.mprotect(start + page * PAGE, PAGE, PROT_NONE):
                raise OSError(ctypes.get_errno(), "mprotect")
        self.bytes = np.frombuffer(self.memory, np.uint8, pages * PAGE, PAGE)
        self.bytes[...] = CANARY
        offset = pages * PAGE - extent if at_end else 0
        self.array: Array = np.ndarray(shape, dtype, self.memory, PAGE + offset, strides)

    def outside_is_untouched(self) -> bool:
        """Whether every byte that no element owns still holds the canary (call last: it erases the array)."""
        self.array.view(f"u{self.array.itemsize}")[...] = int.from_bytes(
            [CANARY] * self.array.itemsize, "little"
        )
        return bool((self.bytes == CANARY).all())


def strides_of(shape: tuple[int, ...], itemsize: int, gap: int) -> tuple[int, ...]:
    """C order, with so many unused elements after every innermost row."""
    strides = [itemsize]
    for axis in range(len(shape) - 1, 0, -1):
        strides.append(strides[-1] * shape[axis] + (gap * itemsize if axis == len(shape) - 1 else 0))
    return tuple(reversed(strides))


def run(family: str, case: Case, at_end: bool, gap: int, threads: int) -> None:
    """Compute with every operand and `out` guarded at once, and compare with ordinary memory."""
    expected = compute(family, case)
    guarded = {}
    for name, array in case.operands.items():
        strides = strides_of(array.shape, array.itemsize, gap if name in ("inputs", "residual") else 0)
        guarded[name] = Guarded(array.shape, strides, array.dtype, at_end)
        guarded[name].array[...] = array
    out = Guarded(expected.shape, strides_of(expected.shape, expected.itemsize, gap), expected.dtype, at_end)
    moved = Case({name: memory.array for name, memory in guarded.items()}, case.options)
    compute(family, moved, out=out.array, threads=threads)
    assert_same_bits(out.array.copy(), expected)
    for name, memory in (*guarded.items(), ("out", out)):
        assert memory.outside_is_untouched(), f"a byte beside {name} was written"


CHANNELS = (*range(1, 18), 33)


def cases(family: str) -> Iterator[tuple[str, Case]]:
    """Channel counts around every vector width, and kernels of every register tile."""
    make = CASES[family]
    for dtype, channels in itertools.product((np.float32, np.float64), CHANNELS):
        if family == "pointwise":
            for filters in (1, channels, 40):
                yield f"{filters=}", make(dtype, channels, filters, size=3)
            continue
        if family == "conv":
            for taps, filters, strides in [(1, channels, 1), (3, 9, 1), (3, channels, 2), (2, 17, 1)]:
                residual_matches = strides == 1
                case = make(dtype, channels, filters, taps, 5, strides=strides)
                if not residual_matches:
                    del case.operands["residual"]
                yield f"{taps=} {filters=} {strides=}", case
            continue
        for taps, strides, dilation, padding in [
            (1, 1, 1, "same"), (2, 1, 1, "same"), (3, 1, 1, "same"), (5, 1, 1, "same"), (7, 1, 1, "same"),
            (3, 2, 1, "same"), (5, 2, 1, "same"), (3, 1, 2, "same"), (3, 1, 1, "valid"),
            (9, 3, 1, "same_lower"),
        ]:  # fmt: skip
            geometry = {"strides": strides, "dilation_rate": dilation, "padding": padding}
            case = make(dtype, channels, taps=taps, size=8, **geometry)
            if strides > 1 or padding == "valid":
                case.operands.pop("residual", None)
                case.options.pop("residual", None)
            yield f"{taps=} {geometry}", case


def main(family: str, isa: str) -> None:
    """Run everything, and name each case first, so that the last line names the one that crashed."""
    faulthandler.enable()
    fastsep.set_isa(isa)
    count = 0
    for description, case in cases(family):
        forms = {"channels_last": case, "channels_first": channels_first(case)}
        for at_end, gap, (data_format, form) in itertools.product((True, False), (0, 3), forms.items()):
            # Mostly one thread: where cores are scarce, waiting for workers is all that two would add.
            threads = 2 if at_end and gap else 1
            inputs = form.operands["inputs"]
            print(f"{description} {inputs.shape} {inputs.dtype} {at_end=} {gap=} {data_format}", flush=True)
            run(family, form, at_end, gap, threads)
            count += 1
    print(f"{count} cases stayed inside their memory", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
