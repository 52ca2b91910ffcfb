"""Few long lines: each is cut into pieces that are filtered as the rows of an image are, by all threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from fastsep._passes import Pass, box_is_exact

Array = NDArray[Any]
# Below, the calls for the ends take longer than one lane does for all of it; of rows, which share a vector,
# so much for each of them: six of 32768 take 397 µs as rows and 531 one by one.
_SHORTEST, _SHORTEST_A_ROW = 32768, 16384
# Elements of a piece at least, and pieces at most; whole vectors of pieces for any instruction set.
_PIECE, _MOST_PIECES, _PIECES = 256, 256, 16
# Lines that take longer as rows, each of which fills one lane of a vector (8 million float32, σ = 3, AVX2,
# one thread: two rows 28.4 ms, one by one 7.7; six 16.4 and 8.1; eight 6.9), and as channels that lie side by
# side (two 49 and 18, three 50 and 26; float64 at σ = 1, of four, 72 and 96).
_MOST_ROWS, _MOST_CHANNELS = 6, 3


def are_long_lines(array: Array, output: Array, one: Pass, arithmetic: str) -> bool:
    """Whether an array has few lines along the axis, long ones, and no sum depends on where those begin."""
    length = array.shape[one.axis]
    if length < max(_SHORTEST, 16 * one.size):
        return False
    lines = array.size // length
    if abs(array.strides[one.axis]) == array.itemsize:
        if lines > _MOST_ROWS or length < _SHORTEST_A_ROW * lines:
            return False
    elif lines > _MOST_CHANNELS:
        return False
    # SciPy's running sums do.
    return arithmetic != "scipy" or one.weights is not None or box_is_exact(one, array.dtype, output.dtype)


def filter_lines(array: Array, output: Array, one: Pass, run: Callable[[Array, Array, Pass], object]) -> None:
    """Filter `array` into `output`, line by line, by ``run(array, output, pass)`` of any arrays."""
    if np.may_share_memory(array, output):
        array = array.copy()
    others = array.shape[: one.axis] + array.shape[one.axis + 1 :]
    for place in np.ndindex(others):
        line = (*place[: one.axis], slice(None), *place[one.axis :])
        _filter_line(array[line], output[line], one, run)


def _filter_line(x: Array, out: Array, one: Pass, run: Callable[[Array, Array, Pass], object]) -> None:
    """A window within the line sees no end of it, so its sum has the bits that it has in the whole line."""
    size, before = one.size, 0 if one.mode == "valid" else one.before
    whole = one._replace(axis=1, mode="valid", before=0)
    inside = len(x) - size + 1
    pieces = min(_MOST_PIECES, max(1, inside // _PIECE // _PIECES) * _PIECES)
    length = inside // pieces
    done = pieces * length
    step, out_step = x.strides[0], out.strides[0]
    run(
        as_strided(x, (pieces, length + size - 1), (length * step, step)),
        as_strided(out[before:], (pieces, length), (length * out_step, out_step)),
        whole,
    )
    at_end = one._replace(axis=0)
    if one.mode == "valid":
        if done < inside:
            run(x[done:], out[done:], at_end)
        return
    if one.mode == "wrap":
        # Both ends are one place.
        x, start = np.concatenate([x[done - size :], x[: 2 * size]]), done - size
        rest = np.empty(len(x) - size + 1, out.dtype)
        run(x, rest, whole._replace(axis=0))
        first = done - start
        last = first + len(out) - done - before
        out[done + before :] = rest[first:last]
        out[:before] = rest[last : last + before]
        return
    # Far enough from the other end that nothing of it is seen.
    left, right = x[: 3 * size], x[done - size :]
    for part, wanted, target in (
        (left, slice(before), out[:before]),
        (right, slice(size + before, None), out[done + before :]),
    ):
        filtered = np.empty(len(part), out.dtype)
        run(part, filtered, at_end)
        target[...] = filtered[wanted]
