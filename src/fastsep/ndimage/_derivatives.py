"""Derivatives: Sobel and its relatives, Laplacians, gradient magnitudes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsep._passes import Pass
from fastsep.ndimage import _arguments
from fastsep.ndimage._run import filtered, options
from fastsep.ndimage._smoothing import _correlation, correlate1d, correlation, gaussian_filter

Array = NDArray[Any]


def _taps(*values: float) -> Array:
    taps = np.array(values, np.float64)
    taps.flags.writeable = False
    return taps


_DIFFERENCE, _LAPLACE = _taps(-1, 0, 1), _taps(1, -2, 1)
_SMOOTHING = {"sobel": _taps(1, 2, 1), "prewitt": _taps(1, 1, 1), "scharr": _taps(3, 10, 3)}


def _edge_passes(
    ndim: int, complex_input: bool, kind: str, axis: Any, mode: Any, cval: Any
) -> tuple[Pass, ...]:
    """The difference along one axis, smoothed along all others."""
    along = _arguments.axis(axis, ndim)
    modes = _arguments.per_axis(mode, ndim, "mode")
    constant = _arguments.cval(cval, complex_input)
    others = [i for i in range(ndim) if i != along]
    return (
        correlation(_DIFFERENCE, along, modes[along], constant, 0),
        *(correlation(_SMOOTHING[kind], i, modes[i], constant, 0) for i in others),
    )


def sobel(
    input: ArrayLike,
    axis: int = -1,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    *,
    threads: int | None = None,
    rounding: str = "truncate",
    precision: str | None = None,
) -> Array:
    """Sobel's derivative along one axis, as `scipy.ndimage.sobel`: [-1, 0, 1], by [1, 2, 1] along all others.

    Parameters
    ----------
    input, output, mode, cval, threads, rounding, precision
        As in `gaussian_filter`.
    axis : int
        The last by default.

    Returns
    -------
    ndarray
        `output` if that is an array. Unsigned integers wrap around (saturate, with
        rounding="nearest"): ask for output="int16" or a float.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As by SciPy; the message names the argument, what it got and what would be right.
    """
    arguments = ("sobel", axis, mode, cval)
    return filtered(
        np.asarray(input), output, _edge_passes, arguments, threads, rounding, "propagate", precision
    )


def prewitt(
    input: ArrayLike,
    axis: int = -1,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    *,
    threads: int | None = None,
    rounding: str = "truncate",
    precision: str | None = None,
) -> Array:
    """Prewitt's derivative, as `scipy.ndimage.prewitt`: [-1, 0, 1], by [1, 1, 1] along all other axes.

    Parameters
    ----------
    input, axis, output, mode, cval, threads, rounding, precision
        As in `sobel`.

    Returns
    -------
    ndarray
        `output` if that is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As by SciPy; the message names the argument, what it got and what would be right.
    """
    arguments = ("prewitt", axis, mode, cval)
    return filtered(
        np.asarray(input), output, _edge_passes, arguments, threads, rounding, "propagate", precision
    )


def scharr(
    input: ArrayLike,
    axis: int = -1,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    *,
    threads: int | None = None,
    rounding: str = "truncate",
    precision: str | None = None,
) -> Array:
    """Scharr's derivative, which SciPy lacks: [-1, 0, 1], by [3, 10, 3] along all other axes.

    Parameters
    ----------
    input, axis, output, mode, cval, threads, rounding, precision
        As in `sobel`.

    Returns
    -------
    ndarray
        `output` if that is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As by `sobel`.
    """
    arguments = ("scharr", axis, mode, cval)
    return filtered(
        np.asarray(input), output, _edge_passes, arguments, threads, rounding, "propagate", precision
    )


def _over_axes(
    input: ArrayLike,
    derivative: Callable[..., Array],
    output: Any,
    mode: Any,
    cval: Any,
    axes: Any,
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
    squared: bool,
) -> Array:
    """Sum of derivatives along the axes, or of their squares, in the output's dtype."""
    array = np.asarray(input)
    along = _arguments.axes(axes, array.ndim)
    modes = _arguments.per_axis(mode, len(along), "mode")
    if isinstance(output, np.ndarray) and along and np.may_share_memory(array, output):
        array = array.copy()
    if along and any(_arguments.mode(one) == "valid" for one in modes):
        # Only the derivative knows how large its result is.
        kind = output.dtype if isinstance(output, np.ndarray) else output
        first = derivative(array, along[0], kind, modes[0], cval, *arguments, **keywords)
        target = _arguments.output(output, first, first.shape)
        target[...] = first
    else:
        target = _arguments.output(output, array)
        if not along:
            target[...] = array[...]
            return target
        derivative(array, along[0], target, modes[0], cval, *arguments, **keywords)
    if squared:
        np.multiply(target, target, target)
    for axis, extension in zip(along[1:], modes[1:], strict=True):
        part = derivative(array, axis, target.dtype, extension, cval, *arguments, **keywords)
        if squared:
            np.multiply(part, part, part)
        np.add(target, part, target)
    return target


def _with_threads(keywords: Mapping[str, Any] | None, threads: int | None) -> dict[str, Any]:
    """Keywords of a derivative; `threads` among them if it was given."""
    options(threads)
    return dict(keywords or {}) | ({} if threads is None else {"threads": threads})


def generic_laplace(
    input: ArrayLike,
    derivative2: Callable[..., Array],
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: int | Sequence[int] | None = None,
    threads: int | None = None,
) -> Array:
    """Sum of second derivatives along the axes, as `scipy.ndimage.generic_laplace`.

    Parameters
    ----------
    input, output, mode, cval, axes
        As in `gaussian_filter`.
    derivative2 : callable
        ``derivative2(input, axis, output, mode, cval, *extra_arguments, **extra_keywords)``, a function of
        this module or any other.
    extra_arguments, extra_keywords
        Handed on to it.
    threads : int, optional
        Handed on to it as a keyword, if given.

    Returns
    -------
    ndarray
        `output` if that is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As by SciPy; the message names the argument, what it got and what would be right.
    """
    keywords = _with_threads(extra_keywords, threads)
    return _over_axes(input, derivative2, output, mode, cval, axes, extra_arguments, keywords, False)


def generic_gradient_magnitude(
    input: ArrayLike,
    derivative: Callable[..., Array],
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: int | Sequence[int] | None = None,
    threads: int | None = None,
) -> Array:
    """Root of the sum of squared derivatives, as `scipy.ndimage.generic_gradient_magnitude`.

    Parameters
    ----------
    input, output, mode, cval, axes, extra_arguments, extra_keywords, threads
        As in `generic_laplace`.
    derivative : callable
        ``derivative(input, axis, output, mode, cval, *extra_arguments, **extra_keywords)``.

    Returns
    -------
    ndarray
        `output` if that is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As by `generic_laplace`.
    """
    keywords = _with_threads(extra_keywords, threads)
    result = _over_axes(input, derivative, output, mode, cval, axes, extra_arguments, keywords, True)
    if len(_arguments.axes(axes, np.ndim(input))) > 0:
        # The half precision that NumPy takes for bytes is ten times as slow; whole roots are the same.
        single = np.float32 if result.dtype == np.uint8 else None
        np.sqrt(result, result, casting="unsafe", dtype=single)
    return result


def laplace(
    input: ArrayLike,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
    threads: int | None = None,
    precision: str | None = None,
) -> Array:
    """Sum of second differences [1, -2, 1] along the axes, as `scipy.ndimage.laplace`.

    Parameters
    ----------
    input, output, mode, cval, axes, threads, precision
        As in `gaussian_filter`.

    Returns
    -------
    ndarray
        `output` if that is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As by SciPy; the message names the argument, what it got and what would be right.
    """
    ndim = np.ndim(input)
    along = _arguments.axes(axes, ndim)
    modes = _arguments.per_axis(mode, len(along), "mode")
    whole = {i for i, one in zip(along, modes, strict=True) if _arguments.mode(one) == "valid"}
    if along and not whole:
        return _laplace_of_plans(np.asarray(input), output, along, modes, cval, threads, precision)

    def derivative2(array: Array, axis: int, output: Any, mode: str, cval: Any) -> Array:
        # Along the other axes, the positions that mode="valid" leaves.
        inner = tuple(slice(1, -1) if i in whole and i != axis else slice(None) for i in range(ndim))
        return correlate1d(
            array[inner], _LAPLACE, axis, output, mode, cval, 0, threads=threads, precision=precision
        )

    return _over_axes(input, derivative2, output, mode, cval, axes, (), {}, False)


def _laplace_of_plans(
    array: Array,
    output: Any,
    along: Sequence[int],
    modes: Sequence[Any],
    cval: Any,
    threads: Any,
    precision: Any,
) -> Array:
    """The same without the detour by a function of the derivative, which takes as long as 64 × 64 pixels."""
    if isinstance(output, np.ndarray) and np.may_share_memory(array, output):
        array = array.copy()
    target = _arguments.output(output, array)
    beyond = (threads, "truncate", "propagate", precision, array.dtype.kind == "c")
    filtered(array, target, _correlation, (_LAPLACE, along[0], modes[0], cval, 0), *beyond)
    for axis, extension in zip(along[1:], modes[1:], strict=True):
        part = filtered(array, target.dtype, _correlation, (_LAPLACE, axis, extension, cval, 0), *beyond)
        np.add(target, part, target)
    return target


def gaussian_laplace(
    input: ArrayLike,
    sigma: float | Sequence[float],
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
    **kwargs: Any,
) -> Array:
    """Sum of second derivatives of a Gaussian along the axes, as `scipy.ndimage.gaussian_laplace`.

    Parameters
    ----------
    input, sigma, output, cval, axes
        As in `gaussian_filter`.
    mode : str or one per filtered axis
        As in SciPy, that of an axis holds for all axes of the derivative along it.
    **kwargs
        truncate, radius, threads and precision, as in `gaussian_filter`.

    Returns
    -------
    ndarray
        `output` if that is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As by SciPy; the message names the argument, what it got and what would be right.
    """
    ndim = np.ndim(input)
    along = _arguments.axes(axes, ndim)
    sigmas = [0.0] * ndim
    for axis, value in zip(along, _arguments.per_axis(sigma, len(along), "sigma"), strict=True):
        sigmas[axis] = value
    return _over_axes(input, _gaussian_derivative(2), output, mode, cval, axes, (sigmas,), kwargs, False)


def gaussian_gradient_magnitude(
    input: ArrayLike,
    sigma: float | Sequence[float],
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
    **kwargs: Any,
) -> Array:
    """Magnitude of the gradient of a Gaussian, as `scipy.ndimage.gaussian_gradient_magnitude`.

    Parameters
    ----------
    input, output, cval
        As in `gaussian_filter`.
    sigma : float or one per axis of the input
        As in SciPy, every axis is smoothed, whatever `axes` says.
    mode : str or one per filtered axis
        As in `gaussian_laplace`.
    axes : int or sequence of int, optional
        Those along which derivatives are taken; all by default.
    **kwargs
        truncate, radius, threads and precision, as in `gaussian_filter`.

    Returns
    -------
    ndarray
        `output` if that is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As by SciPy; the message names the argument, what it got and what would be right.
    """
    return generic_gradient_magnitude(
        input, _gaussian_derivative(1), output, mode, cval, (sigma,), kwargs, axes=axes
    )


def _gaussian_derivative(order: int) -> Callable[..., Array]:
    def derivative(
        array: Array, axis: int, output: Any, mode: str, cval: Any, sigma: Any, **keywords: Any
    ) -> Array:
        orders = [0] * array.ndim
        orders[axis] = order
        return gaussian_filter(array, sigma, orders, output, mode, cval, **keywords)

    return derivative
