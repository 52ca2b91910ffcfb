"""The specification of `fastsep.ndimage`: one pass along one axis, in plain NumPy.

Nothing here is fast and nothing is shared with the code it specifies. A pass extends its axis by the rule of
the mode, then every output i is the sum of w[j]·x[i + j - before] over the taps j. `scipy_pass` rounds where
SciPy rounds and stores in the output's type; `exact_pass` keeps extended precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]

# SciPy calls two taps equal, and so a kernel symmetric, up to this.
_EPSILON = np.finfo(np.float64).eps


def source(position: Array, length: int, mode: str) -> Array:
    """Where each position, which may lie outside 0 … length - 1, takes its value from; -1 means cval."""
    inside = (position >= 0) & (position < length)
    if mode == "constant":
        return np.where(inside, position, -1)
    if mode == "nearest":  # a a a | a b c | c c c
        return np.clip(position, 0, length - 1)
    if mode == "wrap":  # a b c | a b c | a b c
        return position % length
    if mode == "reflect":  # c b a | a b c | c b a
        folded = position % (2 * length)
        return np.where(folded < length, folded, 2 * length - 1 - folded)
    if mode == "mirror":  # c b | a b c | b a
        period = max(1, 2 * length - 2)
        folded = position % period
        return np.where(folded < length, folded, period - folded)
    raise ValueError(f"no such mode: {mode!r}")


def extend(values: Array, axis: int, before: int, after: int, mode: str, cval: float = 0.0) -> Array:
    """Extend one axis by `before` and `after` positions."""
    length = values.shape[axis]
    if mode == "valid":
        return values
    if length == 0:
        return np.zeros((*values.shape[:axis], before + after, *values.shape[axis + 1 :]), values.dtype)
    positions = source(np.arange(-before, length + after), length, mode)
    moved = np.moveaxis(values, axis, -1)
    extended = np.where(positions < 0, values.dtype.type(cval), moved[..., np.maximum(positions, 0)])
    return np.moveaxis(extended, -1, axis)


def _windows(values: Array, axis: int, size: int, before: int, mode: str, cval: float) -> list[Array]:
    """For every tap, ascending, the values that it multiplies; the axis comes last."""
    extended = np.moveaxis(extend(values, axis, before, size - 1 - before, mode, cval), axis, -1)
    count = max(0, extended.shape[-1] - size + 1)
    return [extended[..., tap : tap + count] for tap in range(size)]


def store(values: Array, dtype: DTypeLike) -> Array:
    """Convert doubles as C does: integers truncate toward zero; bool is a byte.

    Beyond the type's range C leaves the result open. As SciPy's x86-64 builds have it, bool and integers of
    up to 16 bits are the low bits of a 32-bit integer, uint32 those of a 64-bit one; whatever those cannot
    hold becomes their most negative number.
    """
    kind = np.dtype(dtype)
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            return values.astype(kind)
    if kind.kind == "u" and kind.itemsize == 8:
        large = values >= 2.0**63
        low = _integer(np.where(large, values - 2.0**63, values), np.int64).view(np.uint64)
        return np.where(large, low ^ np.uint64(2**63), low)
    wide = kind.itemsize == 8 or kind == np.uint32
    whole = _integer(values, np.int64 if wide else np.int32)
    if kind == np.bool_:
        return whole.astype(np.uint8).view(np.bool_)
    return whole.astype(kind)


def _integer(values: Array, dtype: DTypeLike) -> Array:
    least = float(np.iinfo(dtype).min)
    with np.errstate(invalid="ignore"):
        inside = (values > least - 1) & (values < -least)
        return np.where(inside, values, least).astype(dtype)


def load(values: Array) -> Array:
    """Doubles of any real type; bool is a byte."""
    return (values.view(np.uint8) if values.dtype == np.bool_ else values).astype(np.float64)


def scipy_pass(
    values: Array,
    axis: int,
    kind: str,
    weights: Array | None,
    size: int,
    before: int,
    mode: str,
    cval: float,
    dtype: DTypeLike,
) -> Array:
    """One pass in doubles and in SciPy's order, stored in `dtype`.

    Symmetric kernels: the middle product first, then (x[-j] ± x[j])·w[-j] from the outermost pair inwards.
    Others: the last product first, then the taps ascending. Boxes: a running sum, divided by the size.
    """
    doubles = load(values)
    if values.shape[axis] == 0 or values.size == 0:
        shape = list(values.shape)
        if mode == "valid":
            shape[axis] = max(0, shape[axis] - size + 1)
        return np.zeros(shape, dtype)
    windows = _windows(doubles, axis, size, before, mode, cval)
    if kind == "box":
        total = np.zeros_like(windows[0])
        if total.shape[-1]:
            first = np.zeros(total.shape[:-1])
            for window in windows:
                first = first + window[..., 0]
            total[..., 0] = first
            for i in range(1, total.shape[-1]):
                total[..., i] = total[..., i - 1] + (windows[-1][..., i] - windows[0][..., i - 1])
        result = total / size
    else:
        assert weights is not None
        result = _correlate(windows, weights, size)
    return np.ascontiguousarray(np.moveaxis(store(result, dtype), -1, axis))


def _correlate(windows: list[Array], weights: Array, size: int) -> Array:
    half = size // 2
    pairs = [(half - j, half + j) for j in range(half, 0, -1)] if size % 2 else []
    symmetric = size % 2 == 1 and all(abs(weights[b] - weights[a]) <= _EPSILON for a, b in pairs)
    antisymmetric = size % 2 == 1 and all(abs(weights[b] + weights[a]) <= _EPSILON for a, b in pairs)
    with np.errstate(invalid="ignore", over="ignore"):
        if symmetric or antisymmetric:
            total = windows[half] * weights[half]
            for a, b in pairs:
                pair = windows[a] + windows[b] if symmetric else windows[a] - windows[b]
                total = total + pair * weights[a]
        else:
            total = windows[-1] * weights[-1]
            for tap in range(size - 1):
                total = total + windows[tap] * weights[tap]
    result: Array = total
    return result


def exact_pass(values: Array, axis: int, weights: Array, before: int, mode: str, cval: Any = 0.0) -> Array:
    """One pass in extended precision, nothing rounded to a shorter type."""
    long = values.astype(np.longdouble)
    windows = _windows(long, axis, len(weights), before, mode, cval)
    total = np.zeros_like(windows[0])
    for window, weight in zip(windows, weights.astype(np.longdouble), strict=True):
        total = total + window * weight
    result: Array = np.moveaxis(total, -1, axis)
    return result


def correlate(
    values: Array,
    weights: Array,
    before: tuple[int, ...],
    mode: str,
    cval: float,
    dtype: DTypeLike,
) -> Array:
    """N-d correlation in doubles as SciPy sums it: the taps in C order, those not above 2⁻⁵² left out."""
    extended = load(values)
    for axis, (size, first) in enumerate(zip(weights.shape, before, strict=True)):
        extended = extend(extended, axis, first, size - 1 - first, mode, cval)
    shape = tuple(max(0, n - k + 1) for n, k in zip(extended.shape, weights.shape, strict=True))
    total = np.zeros(shape)
    with np.errstate(invalid="ignore", over="ignore"):
        for tap in np.ndindex(*weights.shape):
            if abs(weights[tap]) > _EPSILON:
                window = tuple(slice(t, t + n) for t, n in zip(tap, shape, strict=True))
                total = total + weights[tap] * extended[window]
    return store(total, dtype)
