"""An n-d kernel as one pass along each axis, where it is an outer product of vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsep._passes import Pass
from fastsep.factor import Factors, NotSeparableError, factorize
from fastsep.ndimage import _direct, _nan
from fastsep.ndimage._run import Options, run

Array = NDArray[Any]

# Doubles hold every integer up to here.
_EXACT = 2**53


class Choice(NamedTuple):
    """How an n-d kernel is applied, and why."""

    method: str
    reason: str


@lru_cache(maxsize=64)
def _factors(taps: bytes, shape: tuple[int, ...]) -> Factors | str:
    """The factors of a kernel of float64, or why there are none."""
    kernel = np.frombuffer(taps).reshape(shape)
    # Whole taps are factorised as integers: their factors are then whole as well.
    whole = np.abs(kernel).max() < _EXACT and (kernel == np.rint(kernel)).all()
    try:
        return factorize(kernel.astype(np.int64) if whole else kernel)
    except (NotSeparableError, ValueError) as error:
        return str(error)


def counted(kernel: Array) -> Array:
    """The kernel with zeros for the taps that SciPy leaves out: NaN, and those of no more than 2⁻⁵²."""
    if kernel.dtype.kind == "c":
        parts = np.empty_like(kernel)
        parts.real, parts.imag = counted(kernel.real), counted(kernel.imag)
        return parts
    return np.where(np.abs(kernel) > np.finfo(np.float64).eps, kernel, 0.0)


def factors_of(kernel: Array) -> Factors | str:
    """The factors of a counted kernel on the axes of several taps; or why there are none."""
    shape = tuple(size for size in kernel.shape if size > 1)
    if not shape:
        return "it has a single tap"
    return _factors(kernel.tobytes(), shape)


class Vectors(NamedTuple):
    """One vector for each axis of the kernel."""

    per_axis: list[NDArray[np.float64]]
    exact: bool
    """Whether all but the last are whole and the last is whole by a power of two: products are exact."""


def vectors(factors: Factors, shape: tuple[int, ...]) -> Vectors:
    """The vectors of all axes; those of one tap are [1]."""
    along = [axis for axis, size in enumerate(shape) if size > 1]
    result: list[NDArray[np.float64]] = [np.ones(1) for _ in shape]
    exact = False
    if factors.exact is not None:
        scale, whole = factors.exact[0].scale, factors.exact[0].vectors
        largest = max(abs(value) for vector in whole for value in vector)
        power = scale.denominator & (scale.denominator - 1) == 0
        exact = power and largest * abs(scale.numerator) < _EXACT and scale.denominator < _EXACT
    if exact:
        assert factors.exact is not None
        scale, whole = factors.exact[0].scale, factors.exact[0].vectors
        for axis, vector in zip(along, whole, strict=True):
            result[axis] = np.array(vector, np.float64)
        result[along[-1]] *= float(scale)
    else:
        for axis, values in zip(along, factors.vectors, strict=True):
            result[axis] = values.astype(np.float64)
            # Of a slab of zeros the SVD leaves some 1e-17: under nan_policy="omit" a weight, maybe a negative
            # one.
            others = tuple(other for other in range(len(shape)) if other != axis)
            result[axis][~np.any(factors.kernel.reshape(shape), axis=others)] = 0
    return Vectors(result, exact)


def choose(
    kernel: Array, given: np.dtype[Any], stored: np.dtype[Any], constant: float, chosen: Options
) -> Choice:
    """What method="auto" does with a counted kernel, for real dtypes of input and output.

    Complex weights go one way: along the axes if both parts can, or the only one that is not zero.
    """
    if chosen.precision == "double":
        return Choice("direct", 'precision="double" asks for the bits of SciPy\'s order')
    if kernel.dtype.kind != "c":
        return _choice(kernel.tobytes(), kernel.shape, given, stored, constant)
    parts = {"real": kernel.real, "imaginary": kernel.imag}
    found = {
        name: _choice(part.tobytes(), kernel.shape, given, stored, constant)
        for name, part in parts.items()
        if part.any() or not kernel.any()
    }
    name = next((name for name, one in found.items() if one.method == "direct"), next(iter(found)))
    return Choice(found[name].method, f"of the {name} part: {found[name].reason}")


@lru_cache(maxsize=256)
def _choice(
    taps: bytes, shape: tuple[int, ...], given: np.dtype[Any], stored: np.dtype[Any], constant: float
) -> Choice:
    kernel = np.frombuffer(taps).reshape(shape)
    found = factors_of(kernel)
    if isinstance(found, str):
        return Choice("direct", f"the kernel is not separable: {found}")
    if found.error != 0:
        return Choice(
            "direct", f"the kernel is separable, but not exactly: relative error {found.relative_error:.3g}"
        )
    direct, passes = int(np.count_nonzero(kernel)), sum(size for size in kernel.shape if size > 1)
    if direct < passes:
        return Choice("direct", f"the kernel has {direct} taps that are not zero, its factors {passes}")
    if stored.kind == "f":
        return Choice("separable", f"the kernel is an outer product: {passes} taps instead of {direct}")
    if given.kind == "f":
        return Choice("direct", "floats to integers are truncated where SciPy's sum is")
    if not _sums_are_exact(vectors(found, kernel.shape), kernel, given, constant):
        return Choice("direct", "on integers, and not every product and sum is exact")
    return Choice(
        "separable", f"the kernel is an outer product and every sum exact: {passes} taps, not {direct}"
    )


def _sums_are_exact(parts: Vectors, kernel: Array, given: np.dtype[Any], constant: float) -> bool:
    """Whether doubles hold every product and sum, in passes and directly."""
    if not parts.exact or not constant.is_integer():
        return False
    # In units of the smallest power of two that the taps are whole multiples of.
    denominator = max((value.as_integer_ratio()[1] for value in map(float, kernel.ravel())), default=1)
    reach = max(_largest(given), abs(constant)) * denominator
    sums = [float(np.abs(taps).sum()) for taps in parts.per_axis]
    return reach * math.prod(max(1.0, total) for total in sums) < _EXACT


def _largest(dtype: np.dtype[Any]) -> int:
    if dtype.kind == "b":
        return 1
    limits = np.iinfo(dtype)
    return max(int(limits.max), -int(limits.min))


def correlate(
    array: Array,
    kernel: Array,
    found: Factors,
    before: Sequence[int],
    mode: str,
    cval: float,
    output: Array,
    chosen: Options,
) -> None:
    """One pass along each axis with more than one tap.

    Integer output: the passes between are stored so wide that nothing is lost, and the last one truncates.
    Float output: where a zero of the kernel may have met a NaN or an infinity, the direct sum replaces it.
    """
    parts = vectors(found, kernel.shape)
    passes, constant = [], float(cval)
    for axis, taps in enumerate(parts.per_axis):
        if len(taps) > 1:
            first = 0 if mode == "valid" else before[axis]
            passes.append(Pass(axis, "correlate", taps, len(taps), first, mode, constant))
            # Beyond the ends, the passes before have made a constant of the constant.
            constant *= float(taps.sum())
    patched = array.dtype.kind == "f" and output.dtype.kind == "f" and not kernel.all()
    if patched and np.may_share_memory(array, output):
        array = array.copy()
    if output.dtype.kind == "f":
        run(array, output, passes, chosen)
        if patched and not math.isfinite(output.sum()):
            _replace_not_finite(array, kernel, tuple(before), mode, cval, output, chosen)
        return
    between = _between(parts, array.dtype, cval, output.dtype)
    if between == output.dtype or len(passes) == 1:
        run(array, output, passes, chosen)
        return
    shape = list(array.shape)
    for one in passes[:-1]:
        shape[one.axis] = output.shape[one.axis]
    narrow = np.empty(shape, between)
    run(array, narrow, passes[:-1], chosen._replace(precision="double"))
    run(narrow, output, passes[-1:], chosen)


def _between(parts: Vectors, given: np.dtype[Any], cval: float, stored: np.dtype[Any]) -> np.dtype[Any]:
    """What holds the results of all passes but the last: the output's dtype, or else the narrowest."""
    if parts.exact and given.kind != "f":
        reach = max(_largest(given), abs(cval))
        for taps in [v for v in parts.per_axis if len(v) > 1][:-1]:
            reach *= float(np.abs(taps).sum())
        for kind in (stored, np.dtype(np.int16), np.dtype(np.int32)):
            if kind.kind == "i" and reach <= np.iinfo(kind).max:
                return kind
    return np.dtype(np.float64)


def _replace_not_finite(
    array: Array,
    kernel: Array,
    before: tuple[int, ...],
    mode: str,
    cval: float,
    output: Array,
    chosen: Options,
) -> None:
    wrong = ~np.isfinite(output)
    if wrong.any():
        summed = np.empty(output.shape, output.dtype)
        direct(chosen)(array, kernel, before, mode, cval, summed, chosen)
        np.copyto(output, summed, where=wrong)


def direct(chosen: Options) -> Callable[..., None]:
    """Return what sums tap by tap, with or without missing values."""
    return _nan.correlate_omitting if chosen.nan_policy == "omit" else _direct.correlate
