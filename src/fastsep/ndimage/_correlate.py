"""Correlation and convolution with an n-d kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsep.ndimage import _arguments, _factored, _nan
from fastsep.ndimage._complex import check_constant, with_complex_weights
from fastsep.ndimage._factored import Choice, choose, counted, factors_of
from fastsep.ndimage._run import Options, options

Array = NDArray[Any]

_METHODS = ("auto", "separable", "direct")


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
    nan_policy: str = "propagate",
    precision: str | None = None,
) -> Array:
    """Correlate with an n-d kernel, as `scipy.ndimage.correlate`.

    Taps of no more than 2⁻⁵² count as zeros, and a NaN under a zero does not spread.

    Parameters
    ----------
    input : array_like
        bool, any integer, float32 or float64, of any shape; complex64 and complex128 by their parts.
    weights : array_like
        One axis for each filtered axis of the input, in ascending order. Complex weights are conjugated.
    output, cval, threads, nan_policy, precision
        As in `correlate1d`.
    mode : str
        As in `correlate1d`, one for all axes.
    origin : int or one per filtered axis
        Shift of the kernel, -(size//2) … (size-1)//2.
    axes : int or sequence of int, optional
        The filtered axes; all by default.
    method : {"auto", "separable", "direct"}
        "direct" sums tap by tap, integers with SciPy's bits. "separable" makes a pass along each axis, and is
        refused for kernels that are no outer product; integers get the passes' exact result, truncated once,
        where they are exact, and are otherwise rounded along the way. "auto" is the separable one where that
        is right to the last bit for integer output, or within the bound for floats: `choose_method` says it.

    Returns
    -------
    ndarray
        `output` if that is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As by SciPy; the message names the argument, what it got and what would be right.
    """
    chosen = options(threads, nan_policy=nan_policy, precision=precision)
    array, kernel = np.asarray(input), np.asarray(weights)
    return _correlate(array, kernel, output, mode, cval, origin, axes, False, method, chosen)


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
    nan_policy: str = "propagate",
    precision: str | None = None,
) -> Array:
    """Convolve with an n-d kernel, as `scipy.ndimage.convolve`: the kernel turned around along every axis.

    Parameters
    ----------
    input, weights, output, mode, cval, origin, axes, method, threads, nan_policy, precision
        As in `correlate`; complex weights are not conjugated.

    Returns
    -------
    ndarray
        `output` if that is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As by `correlate`.
    """
    chosen = options(threads, nan_policy=nan_policy, precision=precision)
    array, kernel = np.asarray(input), np.asarray(weights)
    return _correlate(array, kernel, output, mode, cval, origin, axes, True, method, chosen)


def choose_method(
    input: ArrayLike,
    weights: ArrayLike,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
    precision: str | None = None,
) -> Choice:
    """What method="auto" of `correlate` and `convolve` is for these arguments.

    Parameters
    ----------
    input, weights, output, mode, cval, axes, precision
        As in `correlate`; of the input the dtype and the number of axes count, of an output the dtype.

    Returns
    -------
    Choice
        ``(method, reason)``, "separable" or "direct", and why in words.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As by `correlate`.
    """
    chosen = options(None, precision=precision)
    array, kernel = np.asarray(input), np.asarray(weights)
    return _method(array, kernel, output, mode, cval, axes, chosen)


def _method(
    array: Array, weights: Array, output: Any, mode: Any, cval: Any, axes: Any, chosen: Options
) -> Choice:
    _, kernel, extension = _checked(array, weights, mode, axes)
    constant = _constant(cval, array, kernel)
    named = output is None or isinstance(output, type | np.dtype | str)
    is_complex = "c" in (array.dtype.kind, kernel.dtype.kind)
    target = _arguments.output(output, array, (0,) if named else np.shape(output), is_complex)
    _arguments.filterable(array, "input")
    stored = target.real if is_complex else target
    _arguments.real_array(stored, "output")
    beyond = float(np.real(constant)) if extension == "constant" else 0.0
    return choose(counted(kernel), array.real.dtype, stored.dtype, beyond, chosen)


def _checked(array: Array, weights: Array, mode: Any, axes: Any) -> tuple[tuple[int, ...], Array, str]:
    """The filtered axes, the kernel in double precision, and the mode by its plain name."""
    along = _arguments.axes(axes, array.ndim)
    kernel = _arguments.numbers_of(weights)
    if kernel.ndim != len(along) or 0 in kernel.shape:
        raise RuntimeError(
            f"weights.ndim ({kernel.ndim}) must match len(axes) ({len(along)}), and no axis may have length "
            f"0; got weights of shape {kernel.shape}"
        )
    if not isinstance(mode, str) and np.iterable(mode):
        raise RuntimeError(f"A sequence of modes is not supported: mode must be one of them; got {mode!r}")
    return along, kernel, _arguments.mode(mode)


def _constant(cval: Any, array: Array, kernel: Array) -> Any:
    if kernel.dtype.kind != "c":
        return _arguments.cval(cval, array.dtype.kind == "c")
    check_constant(cval, array)
    return cval


def _correlate(
    array: Array,
    weights: Array,
    output: Any,
    mode: Any,
    cval: Any,
    origin: Any,
    axes: Any,
    convolution: bool,
    method: Any,
    chosen: Options,
) -> Array:
    if method not in _METHODS:
        raise ValueError(f'method must be "auto", "separable" or "direct"; got {method!r}')
    along, kernel, extension = _checked(array, weights, mode, axes)
    complex_input, complex_weights = (one.dtype.kind == "c" for one in (array, kernel))
    if convolution:
        kernel = kernel[(slice(None, None, -1),) * kernel.ndim]
    elif complex_weights:
        kernel = kernel.conj()
    # As in SciPy, the kernel's axes are the filtered ones in ascending order, whatever the order of `axes`;
    # origins have the order of `axes`, but only where some axes are not filtered.
    ascending = sorted(along)
    shape, before = [1] * array.ndim, [0] * array.ndim
    for axis, size in zip(ascending, kernel.shape, strict=True):
        shape[axis] = size
    placed = along if len(along) < array.ndim else ascending
    for axis, value in zip(placed, _arguments.per_axis(origin, len(along), "origin"), strict=True):
        before[axis] = _one_origin(
            value, shape[axis], convolution, extension, f"weights.shape[{ascending.index(axis)}]"
        )
    kernel = counted(np.ascontiguousarray(kernel).reshape(shape))
    constant = _constant(cval, array, kernel)
    sizes = tuple(
        max(0, n - k + 1) if extension == "valid" else n for n, k in zip(array.shape, shape, strict=True)
    )
    target = _arguments.output(output, array, sizes, complex_input or complex_weights)
    _arguments.filterable(array, "input")

    def part(values: Array, taps: Array, into: Array, constant: Any) -> None:
        _arguments.real_array(into, "output")
        beyond = constant if extension == "constant" else 0.0
        how = method
        if chosen.nan_policy == "omit":
            _nan.check(into, taps)
        if method == "auto":
            how = choose(kernel, values.dtype, into.dtype, beyond, chosen).method
        if values.dtype.char == "?":
            values = values.view(np.uint8)
        if into.dtype.char == "?":
            into = into.view(np.uint8)
        # Of complex weights one part may have no taps.
        if how == "direct" or (complex_weights and not taps.any()):
            _factored.direct(chosen)(values, taps, tuple(before), extension, beyond, into, chosen)
            return
        found = factors_of(taps)
        if isinstance(found, str):
            raise ValueError(f'method="separable" needs a separable kernel: {found}')
        _factored.correlate(values, taps, found, before, extension, beyond, into, chosen)

    if complex_weights:
        return with_complex_weights(part, array, kernel, target, constant, chosen.precision)
    if complex_input:
        if np.may_share_memory(array, target):
            array = array.copy()
        part(array.real, kernel, target.real, constant.real)
        part(array.imag, kernel, target.imag, constant.imag)
    else:
        part(array, kernel, target, constant)
    return target


def _one_origin(value: Any, size: int, convolution: bool, extension: str, length: str) -> int:
    """Taps before the output's own position, of one axis; `length` says in words what `size` is."""
    _arguments.no_origin_in_valid(value, extension)
    before = _arguments.before(value, size, extension, length)
    # Turned around, the middle is as far from the other end.
    return size - 1 - before if convolution and extension != "valid" else before
