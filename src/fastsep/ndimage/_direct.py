"""Correlation with an n-d kernel, tap by tap: which taps, in which order, and what lies beyond the ends."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsep._footprint import correlate_taps
from fastsep.ndimage._run import Options, arithmetic

Array = NDArray[Any]
Positions = NDArray[np.int64]


def correlate(
    array: Array,
    kernel: Array,
    before: tuple[int, ...],
    mode: str,
    cval: float,
    output: Array,
    chosen: Options,
) -> None:
    """Sum w·x, the taps in C order, beginning with 0; stored in `output` by a C cast.

    Parameters
    ----------
    array : ndarray
        Real, of any dtype but bool.
    kernel : ndarray of float64
        One axis for each axis of `array`; zeros are no taps, so a NaN under one does not count.
    before : tuple of int
        Taps before the output's own position.
    mode : str
        A plain mode, or "valid".
    cval : float
    output : ndarray
        May share memory with `array`.
    chosen : Options
        threads and precision.
    """
    if output.size == 0:
        return
    if np.may_share_memory(array, output):
        array = array.copy()
    taps, weights = _taps(kernel.tobytes(), kernel.shape)
    positions = [
        _positions(array.shape[axis], size, before[axis], mode) for axis, size in enumerate(kernel.shape)
    ]
    if not output.flags.c_contiguous:
        # The output's rows as rows, whatever its layout: the order of the taps stays as it is.
        order = sorted(range(array.ndim), key=lambda axis: -abs(output.strides[axis]))
        array, output, taps = array.transpose(order), output.transpose(order), taps[:, order]
        positions = [positions[axis] for axis in order]
    while array.ndim < 2:
        array, output = array[np.newaxis], output[np.newaxis]
        taps = np.concatenate([np.zeros((len(taps), 1), np.int64), taps], axis=1)
        positions.insert(0, np.zeros(1, np.int64))
    while array.ndim > 2 and _innermost_is_one_pixel(array, output, positions):
        array, output, taps, positions = _joined(array, output, taps, positions)
    correlate_taps(
        array,
        output,
        positions,
        np.ascontiguousarray(taps, np.int64),
        np.ascontiguousarray(weights),
        constant=cval,
        arithmetic=arithmetic(array.dtype, output.dtype, chosen),
        threads=chosen.threads,
    )


def _innermost_is_one_pixel(array: Array, output: Array, positions: list[Positions]) -> bool:
    """Whether the last axis is not filtered, and lies in memory within the one before it, as colours do."""
    return len(positions[-1]) == output.shape[-1] == array.shape[-1] and all(
        one.strides[-1] == one.itemsize and one.strides[-2] == one.shape[-1] * one.itemsize
        for one in (array, output)
    )


def _joined(
    array: Array, output: Array, taps: Array, positions: list[Positions]
) -> tuple[Array, Array, Array, list[Positions]]:
    """The last two axes as one."""
    size = array.shape[-1]
    pixels = positions[-2][:, np.newaxis]
    joined = np.where(pixels < 0, -1, pixels * size + np.arange(size)).ravel()
    array = np.lib.stride_tricks.as_strided(
        array, (*array.shape[:-2], array.shape[-2] * size), (*array.strides[:-2], array.itemsize)
    )
    output = np.lib.stride_tricks.as_strided(
        output, (*output.shape[:-2], output.shape[-2] * size), (*output.strides[:-2], output.itemsize)
    )
    return (
        array,
        output,
        np.concatenate([taps[:, :-2], taps[:, -2:-1] * size], axis=1),
        [*positions[:-2], joined],
    )


@lru_cache(maxsize=64)
def _taps(kernel: bytes, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Index and weight of every tap that is not zero, in C order; read-only."""
    weights = np.frombuffer(kernel).reshape(shape)
    taps = np.argwhere(weights)
    counted = weights[weights != 0]
    for array in (taps, counted):
        array.flags.writeable = False
    return taps, counted


@lru_cache(maxsize=64)
def _positions(length: int, size: int, before: int, mode: str) -> Positions:
    """For each position of the extended axis, the one that it takes its value from; -1 is the constant."""
    if mode == "valid":
        positions = np.arange(length)
    else:
        positions = _inside(np.arange(-before, length + size - 1 - before), length, mode)
    positions = np.ascontiguousarray(positions, np.int64)
    positions.flags.writeable = False
    return positions


def _inside(positions: Array, length: int, mode: str) -> Array:
    if mode == "constant":
        return np.where((positions >= 0) & (positions < length), positions, -1)
    if mode == "nearest":
        return np.clip(positions, 0, length - 1)
    if mode == "wrap":
        return positions % length
    period = 2 * length if mode == "reflect" else max(1, 2 * length - 2)
    folded = positions % period
    inside: Array = np.minimum(folded, period - folded - (mode == "reflect"))
    return inside
