"""Correlation along an axis, Gaussians, boxes, and any separable kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsep._passes import Pass
from fastsep.ndimage import _arguments, _taps
from fastsep.ndimage._complex import with_complex_weights
from fastsep.ndimage._run import Options, filtered, filtered_shape, options, run

Array = NDArray[Any]


def correlation(taps: Array, axis: int, mode: Any, cval: Any, origin: Any) -> Pass:
    """One pass with the taps in order of correlation."""
    extension = _arguments.mode(mode)
    size = len(taps)
    before = _arguments.before(origin, size, extension)
    return Pass(axis, "correlate", taps, size, before, extension, cval)


def box(size: Any, axis: int, mode: Any, cval: Any, origin: Any) -> Pass:
    """One pass of the mean over a window."""
    extension = _arguments.mode(mode)
    length = int(size)
    origin = _arguments.integer(origin, "origin")
    if not 0 <= length // 2 + origin < length:
        raise ValueError(
            f"invalid origin: origin must be in {-(length // 2)} … {(length - 1) // 2} for size={length}; "
            f"got {origin!r}"
        )
    _arguments.no_origin_in_valid(origin, extension)
    before = _arguments.before(origin, length, extension)
    return Pass(axis, "box", None, length, before, extension, cval)


def correlate1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int = 0,
    *,
    threads: int | None = None,
    rounding: str = "truncate",
    nan_policy: str = "propagate",
    precision: str | None = None,
) -> Array:
    """Correlate with a kernel along one axis, as `scipy.ndimage.correlate1d`.

    Parameters
    ----------
    input : array_like
        bool, any integer, float32 or float64, of any shape but 0-d; complex64 and complex128 by their parts.
    weights : array_like (size,)
        Tap j meets ``input[i + j - size//2 - origin]``. Complex weights are conjugated, as by `np.correlate`.
    axis : int
        The last by default.
    output : dtype, its name, or ndarray, optional
        Type of the result, or where to write it; it may be the input. The input's dtype by default.
    mode : str
        How the axis goes on beyond its ends: "reflect" (d c b a | a b c d | d c b a), "constant" (cval),
        "nearest" (a a | a b c d | d d), "mirror" (d c b | a b c d | c b a), "wrap" (b c d | a b c d | a b c),
        their "grid-" synonyms; or "valid": not at all, so the axis gets size - 1 shorter.
    cval : float, or complex for complex input
    origin : int
        Shift of the kernel, -(size//2) … (size-1)//2; 0 with mode="valid".
    threads : int, optional
        None follows OpenMP's limit and forks only if it pays; -1 is all. The bits do not depend on it.
    rounding : {"truncate", "nearest"}
        How integer output is rounded: toward zero as SciPy does, or to the nearest, with saturation (integers
        of up to 16 bits).
    nan_policy : {"propagate", "omit"}
        "omit" is normalised convolution: the mean over the values that are not NaN.
    precision : {None, "double"}
        "double": floats with SciPy's bits, summed in double and in its order. None: in the output's own
        type, within the bound of the guide.

    Returns
    -------
    ndarray
        `output` if that is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As by SciPy; the message names the argument, what it got and what would be right.
    """
    array, taps = np.asarray(input), np.asarray(weights)
    arguments = (taps, axis, mode, cval, origin)
    beyond = (threads, rounding, nan_policy, precision)
    if taps.dtype.kind == "c":
        return _correlate_complex(array, output, arguments, options(*beyond))
    return filtered(array, output, _correlation, arguments, *beyond, array.dtype.kind == "c")


def _correlate_complex(array: Array, output: Any, arguments: tuple[Any, ...], chosen: Options) -> Array:
    """With complex taps; `arguments` are those of `_correlation`."""
    (one,) = _correlation(array.ndim, array.dtype.kind == "c", *arguments)
    taps, cval = one.weights, one.cval
    assert taps is not None
    target = _arguments.output(output, array, filtered_shape(array.shape, [one]), True)

    def part(part_of: Array, weights: Array, into: Array, constant: Any) -> None:
        run(part_of, into, [one._replace(weights=weights, cval=constant)], chosen)

    return with_complex_weights(part, array, taps.conj(), target, cval, chosen.precision)


def _correlation(
    ndim: int, complex_input: bool, weights: Array, axis: Any, mode: Any, cval: Any, origin: Any
) -> list[Pass]:
    taps = _arguments.weights_1d(weights)
    along = _arguments.axis(axis, ndim)
    constant = _arguments.cval(cval, complex_input) if taps.dtype.kind != "c" else cval
    one = correlation(taps, along, mode, constant, origin)
    _arguments.no_origin_in_valid(origin, one.mode)
    return [one]


def convolve1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int = 0,
    *,
    threads: int | None = None,
    rounding: str = "truncate",
    nan_policy: str = "propagate",
    precision: str | None = None,
) -> Array:
    """Convolve with a kernel along one axis, as `scipy.ndimage.convolve1d`.

    The kernel is turned around: tap j meets ``input[i - j + size//2 - origin]``; complex weights are not
    conjugated.

    Parameters
    ----------
    input, weights, axis, output, mode, cval, origin, threads, rounding, nan_policy, precision
        As in `correlate1d`.

    Returns
    -------
    ndarray
        `output` if that is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As by `correlate1d`.
    """
    array = np.asarray(input)
    chosen = options(threads, rounding, nan_policy, precision)
    taps = np.asarray(weights)
    if taps.ndim == 0:
        raise IndexError(f"weights must be a 1-d sequence of at least one number; got {weights!r}")
    taps = taps[::-1]
    extension = _arguments.mode(mode)
    _arguments.no_origin_in_valid(origin, extension)
    if len(taps):
        # For the error alone, which names the origin as it was given.
        _arguments.before(origin, len(taps), extension)
    shift = -origin - (extension != "valid" and len(taps) % 2 == 0)
    if taps.dtype.kind == "c":
        return _correlate_complex(array, output, (taps.conj(), axis, mode, cval, shift), chosen)
    arguments = (taps, axis, mode, cval, shift)
    return filtered(array, output, _correlation, arguments, *chosen, array.dtype.kind == "c")


def gaussian_filter1d(
    input: ArrayLike,
    sigma: float,
    axis: int = -1,
    order: int = 0,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | None = None,
    threads: int | None = None,
    rounding: str = "truncate",
    nan_policy: str = "propagate",
    precision: str | None = None,
) -> Array:
    """Gaussian along one axis, as `scipy.ndimage.gaussian_filter1d`.

    Parameters
    ----------
    input, axis, output, mode, cval, threads, rounding, nan_policy, precision
        As in `correlate1d`.
    sigma : float
        Standard deviation in samples.
    order : int
        Derivative of the Gaussian: 0 smooths.
    truncate : float
        The kernel ends after this many standard deviations: radius = int(truncate·sigma + 0.5).
    radius : int, optional
        Taps on either side, instead of `truncate`.

    Returns
    -------
    ndarray
        `output` if that is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError, ZeroDivisionError
        As by SciPy; the last for sigma=0.
    """
    array = np.asarray(input)
    arguments = (sigma, order, truncate, radius, axis, mode, cval)
    beyond = (threads, rounding, nan_policy, precision)
    return filtered(array, output, _gaussian_along, arguments, *beyond, array.dtype.kind == "c")


def _gaussian_along(
    ndim: int,
    complex_input: bool,
    sigma: Any,
    order: Any,
    truncate: Any,
    radius: Any,
    axis: Any,
    mode: Any,
    cval: Any,
) -> list[Pass]:
    taps = gaussian_taps(sigma, order, truncate, radius)
    return _correlation(ndim, complex_input, taps, axis, mode, cval, 0)


def gaussian_taps(sigma: Any, order: Any, truncate: Any, radius: Any) -> Array:
    """The taps by the arguments of `gaussian_filter1d`."""
    deviation = float(_arguments.number(sigma, "sigma"))
    reach = _taps.gaussian_radius(deviation, _arguments.number(truncate, "truncate"), radius)
    width = sigma[()] if isinstance(sigma, np.ndarray) else sigma
    if not isinstance(width, float | int | np.floating | np.integer):
        width = float(width)
    return _taps.gaussian(width, _arguments.integer(order, "order"), reach)


def gaussian_filter(
    input: ArrayLike,
    sigma: float | Sequence[float],
    order: int | Sequence[int] = 0,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | Sequence[int] | None = None,
    axes: int | Sequence[int] | None = None,
    threads: int | None = None,
    rounding: str = "truncate",
    nan_policy: str = "propagate",
    precision: str | None = None,
) -> Array:
    """Gaussian along every axis, as `scipy.ndimage.gaussian_filter`.

    Parameters
    ----------
    input : array_like
        bool, any integer, float32 or float64, of any shape; complex64 and complex128 by their parts.
    sigma : float or one per filtered axis
        Standard deviation in samples; an axis with 0 is left as it is.
    order : int or one per filtered axis
        Derivative of the Gaussian: 0 smooths.
    output, cval, threads, rounding, nan_policy, precision
        As in `correlate1d`; each axis is stored in the output's dtype.
    mode : str or one per filtered axis
        As in `correlate1d`.
    truncate, radius
        As in `gaussian_filter1d`; radius may be one per filtered axis.
    axes : int or sequence of int, optional
        The filtered axes; all by default.

    Returns
    -------
    ndarray
        `output` if that is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As by SciPy; the message names the argument, what it got and what would be right.
    """
    arguments = (sigma, order, mode, cval, truncate, radius, axes)
    return filtered(
        np.asarray(input), output, _gaussian_passes, arguments, threads, rounding, nan_policy, precision
    )


def _gaussian_passes(
    ndim: int,
    complex_input: bool,
    sigma: Any,
    order: Any,
    mode: Any,
    cval: Any,
    truncate: Any,
    radius: Any,
    axes: Any,
) -> tuple[Pass, ...]:
    along = _arguments.axes(axes, ndim)
    count = len(along)
    orders = _arguments.per_axis(order, count, "order")
    sigmas = _arguments.per_axis(sigma, count, "sigma")
    modes = _arguments.per_axis(mode, count, "mode")
    radii = _arguments.per_axis(radius, count, "radius")
    constant = _arguments.cval(cval, complex_input)
    return tuple(
        correlation(gaussian_taps(sigmas[i], orders[i], truncate, radii[i]), along[i], modes[i], constant, 0)
        for i in range(count)
        if _arguments.number(sigmas[i], "sigma") > 1e-15
    )


def uniform_filter1d(
    input: ArrayLike,
    size: int,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int = 0,
    *,
    threads: int | None = None,
    rounding: str = "truncate",
    nan_policy: str = "propagate",
    precision: str | None = None,
) -> Array:
    """Mean over a window along one axis, as `scipy.ndimage.uniform_filter1d`.

    Floats are summed by doubling (2, 4, 8 … neighbours), so that no value reaches beyond its window and no
    result depends on its position; SciPy's running sum does both, and so does precision="double".

    Parameters
    ----------
    input, axis, output, mode, cval, origin, threads, rounding, nan_policy, precision
        As in `correlate1d`.
    size : int
        Length of the window.

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
    arguments = (size, axis, mode, cval, origin)
    beyond = (threads, rounding, nan_policy, precision)
    return filtered(array, output, _box_along, arguments, *beyond, array.dtype.kind == "c")


def _box_along(
    ndim: int, complex_input: bool, size: Any, axis: Any, mode: Any, cval: Any, origin: Any
) -> list[Pass]:
    along = _arguments.axis(axis, ndim)
    if _arguments.number(size, "size") < 1:
        raise RuntimeError(f"incorrect filter size: size must be at least 1; got {size!r}")
    length = _arguments.integer(size, "size")
    return [box(length, along, mode, _arguments.cval(cval, complex_input), origin)]


def uniform_filter(
    input: ArrayLike,
    size: int | Sequence[int] = 3,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: int | Sequence[int] | None = None,
    threads: int | None = None,
    rounding: str = "truncate",
    nan_policy: str = "propagate",
    precision: str | None = None,
) -> Array:
    """Mean over a box, as `scipy.ndimage.uniform_filter`.

    Parameters
    ----------
    input, output, mode, cval, axes, threads, rounding, nan_policy, precision
        As in `gaussian_filter`.
    size : int or one per filtered axis
        Length of the window; an axis with 1 is left as it is.
    origin : int or one per filtered axis
        As in `correlate1d`.

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
    arguments = (size, mode, cval, origin, axes)
    beyond = (threads, rounding, nan_policy, precision)
    return filtered(array, output, _box_passes, arguments, *beyond, array.dtype.kind == "c")


def _box_passes(
    ndim: int, complex_input: bool, size: Any, mode: Any, cval: Any, origin: Any, axes: Any
) -> tuple[Pass, ...]:
    along = _arguments.axes(axes, ndim)
    count = len(along)
    sizes = _arguments.per_axis(size, count, "size")
    origins = _arguments.per_axis(origin, count, "origin")
    modes = _arguments.per_axis(mode, count, "mode")
    constant = _arguments.cval(cval, complex_input)
    return tuple(
        box(sizes[i], along[i], modes[i], constant, origins[i])
        for i in range(count)
        if _arguments.number(sizes[i], "size") > 1
    )


def separable_filter(
    input: ArrayLike,
    kernels: Sequence[ArrayLike | None],
    axes: int | Sequence[int] | None = None,
    *,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    threads: int | None = None,
    rounding: str = "truncate",
    nan_policy: str = "propagate",
    precision: str | None = None,
) -> Array:
    """Correlate with one real kernel along each axis: `correlate1d` for all axes in one call.

    Parameters
    ----------
    input, output, mode, cval, axes, threads, rounding, nan_policy, precision
        As in `gaussian_filter`.
    kernels : sequence of array_like (size,) or None
        One per filtered axis, in the order of `axes`; None leaves an axis as it is.
    origin : int or one per filtered axis
        As in `correlate1d`.

    Returns
    -------
    ndarray
        `output` if that is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As by `correlate1d`; ValueError if there is not one kernel per axis.
    """
    array = np.asarray(input)
    arguments = (kernels, axes, mode, cval, origin)
    beyond = (threads, rounding, nan_policy, precision)
    return filtered(array, output, _passes_of_kernels, arguments, *beyond, array.dtype.kind == "c")


def _passes_of_kernels(
    ndim: int, complex_input: bool, kernels: Any, axes: Any, mode: Any, cval: Any, origin: Any
) -> list[Pass]:
    along = _arguments.axes(axes, ndim)
    count = len(along)
    given = list(kernels)
    if len(given) != count:
        raise ValueError(
            f"kernels must hold one kernel per filtered axis, {count} for axes {along}; got {len(given)}"
        )
    origins = _arguments.per_axis(origin, count, "origin")
    modes = _arguments.per_axis(mode, count, "mode")
    constant = _arguments.cval(cval, complex_input)
    passes = []
    for i, kernel in enumerate(given):
        if kernel is None:
            continue
        taps = _arguments.weights_1d(kernel, f"kernels[{i}]")
        if taps.dtype.kind == "c":
            raise TypeError(f"kernels[{i}] must be real; got {np.asarray(kernel).dtype}")
        one = correlation(taps, along[i], modes[i], constant, origins[i])
        _arguments.no_origin_in_valid(origins[i], one.mode)
        passes.append(one)
    return passes
