"""Run every filter with input and output between pages without access; started by test_memory_guard."""

from __future__ import annotations

import faulthandler
import itertools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from bounds import assert_same_bits
from guard_pages import Guarded, strides_of
from numpy.typing import NDArray
from pixels import values

import fastsep
import fastsep.ndimage as ndi

Array = NDArray[Any]

SHAPES = [
    *((width,) for width in (1, 7, 64, 200)),
    *((rows, columns) for rows in (1, 2, 9, 70) for columns in (*range(1, 18), 33, 65)),
    (3, 5, 17),
    (9, 8, 3),
    (2, 40, 9, 4),
]
EDGE = np.array([[0.5, 0, 1, 2], [-1, 3, 0, 1], [2, 2, -2, 0]])

FILTERS: dict[str, Callable[..., Array]] = {
    "gaussian": lambda x, **more: ndi.gaussian_filter(x, 1.3, mode="mirror", **more),
    "long gaussian": lambda x, **more: ndi.gaussian_filter(x, 6, mode="constant", cval=3, **more),
    "box": lambda x, **more: ndi.uniform_filter(x, 9, mode="wrap", **more),
    "edges": lambda x, **more: ndi.sobel(x, 0, **more),
    "even": lambda x, **more: ndi.separable_filter(x, [[1, 2, 0, 5]] * x.ndim, mode="nearest", **more),
    "direct": lambda x, **more: ndi.correlate(
        x, EDGE if x.ndim > 1 else EDGE[0], axes=range(min(2, x.ndim)), method="direct", **more
    ),
}  # fmt: skip


def run(function: Callable[..., Array], array: Array, at_end: bool, gap: int, **more: Any) -> None:
    """Filter guarded memory into guarded memory, and compare with ordinary memory."""
    expected = function(array, **more)
    strides = strides_of(array.shape, array.itemsize, gap)
    given, output = (Guarded(array.shape, strides, array.dtype, at_end) for _ in range(2))
    given.array[...] = array
    function(given.array, output=output.array, **more)
    assert_same_bits(output.array.copy(), expected)
    for name, memory in (("input", given), ("output", output)):
        assert memory.outside_is_untouched(), f"a byte beside {name} was written"


def main(isa: str, every: int) -> None:
    """Run each or each so many-th, and name it first, so that the last line names the one that crashed."""
    faulthandler.enable()
    fastsep.set_isa(isa)
    count = 0
    everything = itertools.product(SHAPES, "Bhifd", FILTERS.items())
    for shape, dtype, (name, function) in itertools.islice(everything, 0, None, every):
        array = values(count, shape, dtype)
        options: list[dict[str, Any]] = [{}]
        if dtype in "fd":
            options.append({"precision": "double"})
        elif name != "direct" and array.itemsize <= 2:
            options.append({"rounding": "nearest"})
        for (at_end, gap), more in itertools.product([(True, 0), (False, 3)], options):
            print(f"{name} {shape} {dtype} {at_end=} {gap=} {more}", flush=True)
            run(function, array, at_end, gap, **more)
            count += 1
    print(f"{count} cases stayed inside their memory", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
