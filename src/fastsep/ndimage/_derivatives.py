"""Derivatives: Sobel and its relatives, Laplacians, gradient magnitudes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsep._passes import Pass
from fastsep.ndimage import _arguments
from fastsep.ndimage._pairs import joined
from fastsep.ndimage._run import filtered, options
from fastsep.ndimage._smoothing import _correlation, _gaussian_passes, correlation, gaussian_filter

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
    array: Array,
    derivative: Callable[[Array, int, Any, Any], Array],
    output: Any,
    along: Sequence[int],
    modes: Sequence[Any],
    squared: bool,
) -> Array:
    """Sum of derivatives along the axes, or of their squares, in the output's dtype.

    `derivative` takes an array, an axis, the output, and the axis' mode.
    """
    if isinstance(output, np.ndarray) and along and np.may_share_memory(array, output):
        array = array.copy()
    others = list(zip(along[1:], modes[1:], strict=True))
    parts: Iterable[Array]
    if along and any(_arguments.mode(one) == "valid" for one in modes):
        # Only the derivatives know how large their results are.
        kind = output.dtype if isinstance(output, np.ndarray) else output
        first = derivative(array, along[0], kind, modes[0])
        parts = [derivative(array, axis, first.dtype, extension) for axis, extension in others]
        for part, (axis, extension) in zip(parts, others, strict=True):
            if part.shape != first.shape:
                raise ValueError(
                    f"mode must leave all derivatives one shape; got {first.shape} from {modes[0]!r} along "
                    f"axis {along[0]}, and {part.shape} from {extension!r} along axis {axis}"
                )
        target = _arguments.output(output, first, first.shape)
        target[...] = first
    else:
        target = _arguments.output(output, array)
        if not along:
            target[...] = array[...]
            return target
        derivative(array, along[0], target, modes[0])
        parts = (derivative(array, axis, target.dtype, extension) for axis, extension in others)
    if squared:
        np.multiply(target, target, target)
    for part in parts:
        if squared:
            np.multiply(part, part, part)
        np.add(target, part, target)
    return target


def _magnitude(
    array: Array,
    derivative: Callable[[Array, int, Any, Any], Array],
    output: Any,
    along: Sequence[int],
    modes: Sequence[Any],
) -> Array:
    """Root of the sum of squared derivatives along the axes; of none, the array as it is."""
    result = _over_axes(array, derivative, output, along, modes, True)
    if along:
        # The half precision that NumPy takes for bytes is ten times as slow; whole roots are the same.
        single = np.float32 if result.dtype == np.uint8 else None
        np.sqrt(result, result, casting="unsafe", dtype=single)
    return result


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
    array = np.asarray(input)
    along = _arguments.axes(axes, array.ndim)
    modes = _arguments.per_axis(mode, len(along), "mode")

    def along_axis(array: Array, axis: int, output: Any, mode: Any) -> Array:
        return derivative2(array, axis, output, mode, cval, *extra_arguments, **keywords)

    return _over_axes(array, along_axis, output, along, modes, False)


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
    array = np.asarray(input)
    along = _arguments.axes(axes, array.ndim)
    modes = _arguments.per_axis(mode, len(along), "mode")
    kind = next((name for name, function in _EDGES.items() if derivative is function), None)
    if kind is not None and not extra_arguments and keywords.keys() <= {"threads", "precision"}:
        beyond = keywords.get("threads"), keywords.get("precision")
        done, output = joined(array, output, "magnitude", _edge_along, along, modes, (kind, cval), *beyond)
        if done is not None:
            return done

    def along_axis(array: Array, axis: int, output: Any, mode: Any) -> Array:
        return derivative(array, axis, output, mode, cval, *extra_arguments, **keywords)

    return _magnitude(array, along_axis, output, along, modes)


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
    array = np.asarray(input)
    along = _arguments.axes(axes, array.ndim)
    if not along:
        # There is no derivative that would look at them.
        options(threads, precision=precision)
    modes = _arguments.per_axis(mode, len(along), "mode")
    whole = {i for i, one in zip(along, modes, strict=True) if _arguments.mode(one) == "valid"}
    beyond = (threads, "truncate", "propagate", precision, array.dtype.kind == "c")

    def along_axis(array: Array, axis: int, output: Any, mode: Any) -> Array:
        if whole:
            # Along the other axes, the positions that mode="valid" leaves.
            inner = (slice(1, -1) if i in whole and i != axis else slice(None) for i in range(array.ndim))
            array = array[tuple(inner)]
        return filtered(array, output, _correlation, (_LAPLACE, axis, mode, cval, 0), *beyond)

    return _over_axes(array, along_axis, output, along, modes, False)


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
        As in SciPy, that of an axis holds for all axes of its derivative: "valid" is for all or none.
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
    array = np.asarray(input)
    along = _arguments.axes(axes, array.ndim)
    sigmas = _arguments.per_axis(sigma, len(along), "sigma")
    if len(along) < array.ndim:
        # Of some axes they have the order of `axes`; of all, as in SciPy, that of the input.
        by_axis = dict(zip(along, sigmas, strict=True))
        sigmas = [by_axis.get(axis, 0.0) for axis in range(array.ndim)]
    return _gaussian_derivatives(array, "sum", 2, sigmas, output, along, mode, cval, kwargs)


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
    array = np.asarray(input)
    along = _arguments.axes(axes, array.ndim)
    return _gaussian_derivatives(array, "magnitude", 1, sigma, output, along, mode, cval, kwargs)


def _gaussian_derivatives(
    array: Array,
    joint: str,
    order: int,
    sigma: Any,
    output: Any,
    along: Sequence[int],
    mode: Any,
    cval: Any,
    keywords: Mapping[str, Any],
) -> Array:
    """Derivatives of a Gaussian along the axes, joined; `keywords` are those of `gaussian_filter`."""
    modes = _arguments.per_axis(mode, len(along), "mode")
    if keywords.keys() <= {"truncate", "radius", "threads", "precision"}:
        arguments = (order, sigma, cval, keywords.get("truncate", 4.0), keywords.get("radius"))
        beyond = keywords.get("threads"), keywords.get("precision")
        done, output = joined(array, output, joint, _gaussian_along, along, modes, arguments, *beyond)
        if done is not None:
            return done
    if not along:
        # There is no derivative that would look at them.
        options(keywords.get("threads"), precision=keywords.get("precision"))

    def along_axis(array: Array, axis: int, output: Any, mode: Any) -> Array:
        return gaussian_filter(array, sigma, _orders(array.ndim, axis, order), output, mode, cval, **keywords)

    if joint == "sum":
        return _over_axes(array, along_axis, output, along, modes, False)
    return _magnitude(array, along_axis, output, along, modes)


def _orders(ndim: int, axis: int, order: int) -> list[int]:
    orders = [0] * ndim
    orders[axis] = order
    return orders


def _gaussian_along(
    ndim: int,
    complex_input: bool,
    axis: int,
    mode: Any,
    order: int,
    sigma: Any,
    cval: Any,
    truncate: Any,
    radius: Any,
) -> tuple[Pass, ...]:
    orders = _orders(ndim, axis, order)
    return _gaussian_passes(ndim, complex_input, sigma, orders, mode, cval, truncate, radius, None)


def _edge_along(
    ndim: int, complex_input: bool, axis: int, mode: Any, kind: str, cval: Any
) -> tuple[Pass, ...]:
    return _edge_passes(ndim, complex_input, kind, axis, mode, cval)


_EDGES: dict[str, Callable[..., Array]] = {"sobel": sobel, "prewitt": prewitt, "scharr": scharr}
