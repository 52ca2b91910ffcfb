"""Correlation with an n-d kernel, tap by tap: SciPy's bits for every dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# SciPy leaves out taps that are no larger, so that a NaN under a zero does not count.
_EPSILON = np.finfo(np.float64).eps
# A block of sums, the products and the values under them stay in a cache of 1 MB.
_BLOCK = 1 << 15


def correlate(
    array: Array, kernel: Array, before: tuple[int, ...], mode: str, cval: float, output: Array
) -> None:
    """Sum w·x in double, the taps in C order, beginning with 0; stored in `output` by a C cast.

    Parameters
    ----------
    array : ndarray
        Real, of any dtype.
    kernel : ndarray of float64
        One axis for each axis of `array`.
    before : tuple of int
        Taps before the output's own position.
    mode : str
        A plain mode, or "valid".
    cval : float
    output : ndarray
        May share memory with `array`.
    """
    if output.size == 0:
        return
    if output.dtype.char == "?":
        output = output.view(np.uint8)
    if array.ndim == 0:
        array, kernel, output, before = array[np.newaxis], kernel[np.newaxis], output[np.newaxis], (0,)
    values = _extended(array, kernel.shape, before, mode, cval)
    taps = [(tap, kernel[tap]) for tap in np.ndindex(*kernel.shape) if abs(kernel[tap]) > _EPSILON]
    rows = max(1, _BLOCK // max(1, output[0].size))
    with np.errstate(invalid="ignore", over="ignore"):
        for first in range(0, output.shape[0], rows):
            block = output[first : first + rows]
            total, product = np.zeros(block.shape), np.empty(block.shape)
            for tap, weight in taps:
                start = (tap[0] + first, *tap[1:])
                window = tuple(slice(t, t + n) for t, n in zip(start, block.shape, strict=True))
                np.multiply(values[window], weight, out=product)
                np.add(total, product, out=total)
            block[...] = _stored(total, output.dtype)


def _stored(values: Array, dtype: np.dtype[Any]) -> Array:
    """As C casts doubles; integers wrap around (NumPy's own casts do, or saturate, by their size)."""
    if dtype.kind == "f":
        return values.astype(dtype)
    if dtype.kind == "u" and dtype.itemsize == 8:
        return np.where(values < 0, values.astype(np.int64).view(np.uint64), values.astype(np.uint64))
    return values.astype(np.int64).astype(dtype)


def _extended(array: Array, sizes: tuple[int, ...], before: tuple[int, ...], mode: str, cval: float) -> Array:
    """The array as doubles, with what lies beyond its ends."""
    values = (array.view(np.uint8) if array.dtype.char == "?" else array).astype(np.float64)
    if mode == "valid":
        return values
    for axis, (size, first) in enumerate(zip(sizes, before, strict=True)):
        if size == 1:
            continue
        positions = np.arange(-first, array.shape[axis] + size - 1 - first)
        outside = (positions < 0) | (positions >= array.shape[axis])
        values = np.take(values, _inside(positions, array.shape[axis], mode), axis=axis)
        if mode == "constant":
            values[(slice(None),) * axis + (outside,)] = cval
    return values


def _inside(positions: Array, length: int, mode: str) -> Array:
    """The position that each one takes its value from."""
    if mode in ("nearest", "constant"):
        return np.clip(positions, 0, length - 1)
    if mode == "wrap":
        return positions % length
    period = 2 * length if mode == "reflect" else max(1, 2 * length - 2)
    folded = positions % period
    inside: Array = np.minimum(folded, period - folded - (mode == "reflect"))
    return inside
