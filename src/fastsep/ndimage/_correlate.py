"""Correlation and convolution with an n-d kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsep.ndimage import _arguments, _direct
from fastsep.ndimage._complex import with_complex_weights
from fastsep.ndimage._run import Options, options

Array = NDArray[Any]

METHODS = ("auto", "separable", "direct")


def correlate(
    input: ArrayLike,
    weights: ArrayLike,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: int | Sequence[int] | None = None,
    method: str = "auto",
    threads: int | None = None,
) -> Array:
    """Correlate with an n-d kernel."""
    chosen = options(threads)
    return _correlate(np.asarray(input), np.asarray(weights), output, mode, cval, origin, axes, False, chosen)


def convolve(
    input: ArrayLike,
    weights: ArrayLike,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: int | Sequence[int] | None = None,
    method: str = "auto",
    threads: int | None = None,
) -> Array:
    """Convolve with an n-d kernel."""
    chosen = options(threads)
    return _correlate(np.asarray(input), np.asarray(weights), output, mode, cval, origin, axes, True, chosen)


def _correlate(
    array: Array,
    weights: Array,
    output: Any,
    mode: Any,
    cval: Any,
    origin: Any,
    axes: Any,
    convolution: bool,
    chosen: Options,
) -> Array:
    along = _arguments.axes(axes, array.ndim)
    complex_weights = weights.dtype.kind == "c"
    kernel = weights.astype(np.complex128 if complex_weights else np.float64, copy=False)
    if complex_weights and not convolution:
        kernel = kernel.conj()
    if kernel.ndim != len(along) or 0 in kernel.shape:
        raise RuntimeError(
            f"weights.ndim ({kernel.ndim}) must match len(axes) ({len(along)}), and no axis may have length 0; "
            f"got weights of shape {kernel.shape}"
        )
    if not isinstance(mode, str) and np.iterable(mode):
        raise RuntimeError(f"A sequence of modes is not supported: mode must be one of them; got {mode!r}")
    extension = _arguments.mode(mode)
    if convolution:
        kernel = kernel[(slice(None, None, -1),) * kernel.ndim]
    # As in SciPy, the kernel's axes are the filtered ones in ascending order, whatever the order of `axes`;
    # origins have the order of `axes`, but only where some axes are not filtered.
    ascending = sorted(along)
    shape, before = [1] * array.ndim, [0] * array.ndim
    for axis, size in zip(ascending, kernel.shape, strict=True):
        shape[axis] = size
    placed = along if len(along) < array.ndim else ascending
    for axis, value in zip(placed, _arguments.per_axis(origin, len(along), "origin"), strict=True):
        before[axis] = _one_origin(value, shape[axis], convolution, extension)
    kernel = np.ascontiguousarray(kernel).reshape(shape)
    complex_input = array.dtype.kind == "c"
    constant = cval if complex_weights else _arguments.cval(cval, complex_input)
    sizes = tuple(
        max(0, n - k + 1) if extension == "valid" else n for n, k in zip(array.shape, shape, strict=True)
    )
    target = _arguments.output(output, array, sizes, complex_input or complex_weights)
    _arguments.filterable(array, "input")

    def part(values: Array, weights: Array, into: Array, constant: Any) -> None:
        _arguments.real_array(into, "output")
        _direct.correlate(values, weights, tuple(before), extension, constant, into)

    if complex_weights:
        return with_complex_weights(part, array, kernel, target, constant)
    if complex_input:
        if np.may_share_memory(array, target):
            array = array.copy()
        part(array.real, kernel, target.real, constant.real)
        part(array.imag, kernel, target.imag, constant.imag)
    else:
        part(array, kernel, target, constant)
    return target


def _one_origin(value: Any, size: int, convolution: bool, extension: str) -> int:
    """Taps before the output's own position, of one axis."""
    _arguments.no_origin_in_valid(value, extension)
    if extension == "valid":
        return 0
    shift = -value - (size % 2 == 0) if convolution else value
    return _arguments.before(shift, size, extension)
