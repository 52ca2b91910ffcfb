"""What one pass of a separable filter is, in plain data: where `fastsep.ndimage` and the kernels meet."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Factor = float | Fraction

# How an axis goes on beyond its ends, by SciPy's names; the grid- forms differ only in interpolation.
MODES = {
    "reflect": "reflect",
    "grid-mirror": "reflect",
    "constant": "constant",
    "grid-constant": "constant",
    "nearest": "nearest",
    "mirror": "mirror",
    "wrap": "wrap",
    "grid-wrap": "wrap",
    "valid": "valid",
}
PLAIN_MODES = tuple(dict.fromkeys(MODES.values()))


class Pass(NamedTuple):
    """A filter along one axis, validated by the face.

    ``out[i] = Σ_j weights[j] · x[i + j - before]`` for ``kind="correlate"``, the mean of the same window for
    ``kind="box"``, with ``x`` extended beyond its ends as `mode` says.
    """

    axis: int
    """0 … ndim - 1."""
    kind: str
    """``"correlate"`` or ``"box"``."""
    weights: NDArray[np.float64] | None
    """The taps in order of correlation; None for a box."""
    size: int
    """Number of taps, or length of the window."""
    before: int
    """Taps before the output's own position: SciPy's ``size // 2 + origin``. 0 for ``mode="valid"``."""
    mode: str
    """One of `PLAIN_MODES`."""
    cval: float
    """The value beyond the ends for ``mode="constant"``."""


class InIntegers(NamedTuple):
    """How passes over integers are computed."""

    item_bytes: int
    """2 for integers of 16 bits, 4 for float32, 8 for float64."""
    passes: list[Pass]
    """Their weights are integers, their `cval` is in units of the pass."""
    factors: list[Factor]
    """What the sums of a pass are multiplied by; Fractions for boxes alone, whose sums are kept until the
    last pass divides."""
    digits: int | None
    """None where sums are exact and every pass rounds to an integer; else the binary digits that every sum
    and every multiply-add is rounded to."""


def in_integers(passes: Sequence[Pass], dtype: np.dtype[Any]) -> InIntegers:
    """Say how passes over integers are computed, to the bit.

    Pass `p` takes integers in units of ``2**-F[p]`` and leaves integers in units of ``2**-F[p + 1]``, ``F``
    being 0 for the input and for the output: ``floor(factor · Σ_j W[j] · t[i + j - before] + 1/2)`` with
    integers ``W`` that stand for ``weights · 2**B`` and ``factor = 2**(F[p + 1] - F[p] - B)``; a box has all
    ``W = 1`` and divides by its size besides. Weights and what passes leave fit 16 bits and sums 32, or else
    sums fit the 24 bits of float32, or else the 53 of float64: every sum is exact in any order.

    Weighted sums of 16-bit integers are not exact, unless they need be: weights are integers of up to 24
    bits, and float32 rounds every sum of a pair and every multiply-add, in the order of lines.md. Nothing is
    rounded to an integer before the last pass, whose sums begin with one half.

    Parameters
    ----------
    passes : sequence of Pass
        As given to `filter_passes`.
    dtype : dtype
        Of input and output: bool or integers of up to 16 bits.

    Raises
    ------
    ValueError
        Not even 53 bits hold the sums of a pass.
    """
    kept = [None if p.weights is None else p.weights.tobytes() for p in passes]
    item_bytes, scaled, factors, digits = _in_integers(
        tuple(p._replace(weights=None) for p in passes), tuple(kept), dtype
    )
    return InIntegers(item_bytes, list(scaled), list(factors), digits)


# The search for the most bits takes 240 µs for a Gaussian, more than all the rest of a call on 64² pixels.
@functools.lru_cache(maxsize=64)
def _in_integers(
    weightless: tuple[Pass, ...], weights: tuple[bytes | None, ...], dtype: np.dtype[Any]
) -> tuple[int, tuple[Pass, ...], tuple[Factor, ...], int | None]:
    passes = [
        p._replace(weights=None if kept is None else np.frombuffer(kept))
        for p, kept in zip(weightless, weights, strict=True)
    ]
    short = None
    if dtype.itemsize == 1:
        boxes = all(p.weights is None for p in passes)
        short = _boxes_in_short_integers(passes, dtype) if boxes else _in_short_integers(passes, dtype)
    if short is not None:
        return 2, tuple(short[0]), tuple(short[1]), None
    whole = _boxes_in_floats(passes, dtype)
    if whole is not None:
        return 4, tuple(whole[0]), tuple(whole[1]), None
    rounded = _in_rounded_floats(passes, dtype) if dtype.itemsize > 1 else None
    if rounded is not None:
        return 4, tuple(rounded[0]), tuple(rounded[1]), _DIGITS
    for item_bytes, digits in ((4, 24), (8, 53)):
        # A weight of float32 should have at least 10 bits: wider types go to float64.
        if item_bytes == 4 and dtype.itemsize > 1:
            continue
        scaled = _scaled(passes, dtype, digits)
        if scaled is not None:
            return item_bytes, tuple(scaled[0]), tuple(scaled[1]), None
    raise ValueError(f"the weights or windows are too large for sums of {dtype} to be exact in 53 bits")


# What integers of 16 bits, and of 32 for sums of products of two, hold on either side of zero.
_SHORT, _LONG = 2**15 - 1, 2**31 - 1
# Pixels are to be at most one count off: less than one half before the last rounding. Weights of 15 bits come
# near it in kernels of hundreds of taps.
_MOST_ERROR = 0.5


def _in_short_integers(
    passes: Sequence[Pass], dtype: np.dtype[Any]
) -> tuple[list[Pass], list[Factor]] | None:
    """The same for lanes of 16 bits; None where a pass does not fit or would be too far off."""
    unsigned = dtype.kind in "bu" and all(p.weights is not None and p.weights.min() >= 0 for p in passes)
    most = 1 if dtype.kind == "b" else max(-int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    before, error = 0, 0.0
    scaled: list[Pass] = []
    factors: list[Factor] = []
    for index, p in enumerate(passes):
        if p.weights is None:
            return None
        # In units of 2**-before: what the sums may hold.
        most = max(most, math.ceil(abs(p.cval) * 2**before)) if p.mode == "constant" else most
        cval = float(math.floor(p.cval * 2**before + 0.5))
        total = math.fsum(np.abs(p.weights))
        bits = 22
        while bits >= 0 and not _fits_short(p.weights, bits, most, before):
            bits -= 1
        if bits < 0 or most > _SHORT:
            return None
        exact = False
        for fewer in range(bits + 1):
            if np.array_equal(np.rint(p.weights * 2.0**fewer), p.weights * 2.0**fewer):
                bits, exact = fewer, True
                break
        weights = integer_weights(p.weights, bits)
        lost = p.weights - weights / 2.0**bits
        spread = most / 2 if unsigned else most
        error = error * total + (spread * np.abs(lost).sum() + most * abs(math.fsum(lost))) / 2**before
        magnitude = int(np.abs(weights).sum())
        fraction = 0
        if index + 1 < len(passes):
            # As many fractional bits as leave room for the sign and the integer.
            fraction = min(7, before + bits)
            while fraction >= 0 and _rounded(magnitude * most, before + bits - fraction) > _SHORT:
                fraction -= 1
            if fraction < 0:
                return None
            most = _rounded(magnitude * most, before + bits - fraction)
            error += 0.0 if exact and fraction == before + bits else 2.0 ** -(fraction + 1)
        factors.append(2.0 ** (fraction - before - bits))
        scaled.append(p._replace(weights=weights, cval=cval))
        before = fraction
    return (scaled, factors) if error < _MOST_ERROR else None


# Of float32.
_DIGITS = 24
# Of constants beyond the ends: with these, and 16 before the point, they are exact in float32.
_CONSTANT_FRACTION = 8


def _in_rounded_floats(
    passes: Sequence[Pass], dtype: np.dtype[Any]
) -> tuple[list[Pass], list[Factor]] | None:
    """The same for float32 whose sums are rounded; None where they might be half a count off in all."""
    most = float(max(-int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)))
    unit = 2.0**-_DIGITS
    error, total_bits = 0.0, 0
    scaled: list[Pass] = []
    factors: list[Factor] = []
    for p in passes:
        if p.weights is None or not np.isfinite(p.weights).all() or not np.any(p.weights):
            return None
        if p.mode == "constant":
            if not abs(p.cval) < 2.0 ** (_DIGITS - _CONSTANT_FRACTION):
                return None
            most = max(most, abs(p.cval))
            error = max(error, 2.0 ** -(_CONSTANT_FRACTION + 1))
        cval = math.floor(p.cval * 2**_CONSTANT_FRACTION + 0.5) / 2**_CONSTANT_FRACTION
        # As many bits as the largest weight leaves; a correction of the sum must not make it longer.
        bits = _DIGITS - math.frexp(float(np.abs(p.weights).max()))[1]
        while bits >= 0 and np.abs(integer_weights(p.weights, bits)).max() > 2**_DIGITS:
            bits -= 1
        total_bits += bits
        # No number is to come near the least exponents, nor a sum to leave the range of 32 bits.
        if not 0 <= bits <= 40 or total_bits > 96:
            return None
        weights = integer_weights(p.weights, bits)
        kept = np.abs(weights) / 2.0**bits
        total = math.fsum(kept)
        if total * (most + error) >= 2**30:
            return None
        lost = float(np.abs(p.weights - weights / 2.0**bits).sum())
        # From the middle tap outermost inwards, or from the last one: what each multiply-add may lose of what
        # is there by then, and each pair of what it adds up.
        half = len(kept) // 2
        folded = bool(len(kept) % 2) and (
            np.array_equal(weights, weights[::-1]) or np.array_equal(weights, -weights[::-1])
        )
        terms = [kept[half], *(2 * kept[:half])] if folded else [kept[-1], *kept[:-1]]
        rounding = unit * (most + 1) * (float(np.cumsum(terms).sum()) + (total if folded else 0.0))
        error = error * total + lost * most + rounding
        most *= total
        factors.append(2.0**-bits)
        scaled.append(p._replace(weights=weights, cval=cval))
    return (scaled, factors) if error < _MOST_ERROR else None


def _boxes_in_short_integers(
    passes: Sequence[Pass], dtype: np.dtype[Any]
) -> tuple[list[Pass], list[Factor]] | None:
    """Sums of all windows, without a sign, and one division; None where they need more than 16 bits."""
    size = math.prod(p.size for p in passes)
    most = {"b": 1, "u": 255}.get(dtype.kind)
    if most is None or most * size + size // 2 >= 2**16 or short_division(size) is None:
        return None
    return _boxes(passes, 0, most)


def _boxes_in_floats(passes: Sequence[Pass], dtype: np.dtype[Any]) -> tuple[list[Pass], list[Factor]] | None:
    """The same in float32, whose 24 bits hold the sums, and quotients that round as the exact ones.

    A quotient below a half is at least 1 / (2 · divisor) below it: more than float32 rounds it by.
    """
    size = math.prod(p.size for p in passes)
    if dtype.kind not in "bui" or size * 2 ** (8 * dtype.itemsize) >= 2**24:
        return None
    if any(p.weights is not None for p in passes):
        return None
    least, most = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    return _boxes(passes, least, most)


def _boxes(passes: Sequence[Pass], least: int, most: int) -> tuple[list[Pass], list[Factor]] | None:
    scaled: list[Pass] = []
    factors: list[Factor] = []
    divisor = 1
    for index, p in enumerate(passes):
        if p.mode == "constant" and not least <= p.cval <= most:
            return None
        scaled.append(p._replace(cval=float(math.floor(p.cval * divisor + 0.5))))
        factors.append(Fraction(p.size) if index + 1 < len(passes) else Fraction(1, divisor))
        divisor *= p.size
    return scaled, factors


def box_is_exact(p: Pass, given: np.dtype[Any], stored: np.dtype[Any]) -> bool:
    """Whether doubles hold every sum of a box, so that any order has the bits of SciPy's running sum."""
    if not all(one.kind in "iub" and one.itemsize <= 4 for one in (given, stored)) or p.size > 2**20:
        return False
    return p.mode != "constant" or (float(p.cval).is_integer() and abs(p.cval) * p.size < 2**53)


# Taps of passes that go through a volume in one traversal: a block reads so much of its neighbours.
MOST_FUSED = 19


def in_order_of_axes(passes: Sequence[Pass]) -> Sequence[Pass]:
    """Passes along different axes in the order in which they are one traversal, whatever the arrays' layout.

    Two in the order of their axes; three with the middle axis first, whose rows lie side by side in memory
    (line_volume.pyx). The real result is the same, unless what lies beyond the ends is a constant, which no
    pass has filtered.
    """
    if len({p.axis for p in passes}) != len(passes) or {"constant", "valid"} & {p.mode for p in passes}:
        return passes
    ordered = sorted(passes, key=lambda p: p.axis)
    if len(passes) == 2:
        return ordered
    if len(passes) == 3 and all(p.size <= MOST_FUSED for p in passes):
        return [ordered[1], ordered[0], ordered[2]]
    return passes


def dividing_once(passes: Sequence[Pass]) -> tuple[list[Pass], list[float]]:
    """Boxes one behind the other, of which the last alone divides: by what, for every pass."""
    if all(p.weights is not None for p in passes):
        return list(passes), [float(p.size) for p in passes]
    divisors: list[float] = []
    scaled: list[Pass] = []
    before = 1.0
    for index, p in enumerate(passes):
        after = passes[index + 1] if index + 1 < len(passes) else None
        keeps = p.weights is None and after is not None and after.weights is None
        scaled.append(p._replace(cval=p.cval * before))
        divisors.append(1.0 if keeps else p.size * before)
        before = before * p.size if keeps else 1.0
    return scaled, divisors


def short_division(divisor: int, half: int | None = None) -> tuple[int, int, int] | None:
    """Half, multiplier and shift that divide sums of up to 255 · `divisor` and round them to the nearest.

    ``(x + half) * multiplier >> 16 >> shift`` is ``floor(x / divisor + 1/2)``, with a multiplier of 16 bits;
    for a divisor of 1 it is 0, and `x` is left as it is. None where no multiplier does. With ``half=0``:
    ``floor(x / divisor)``.
    """
    if divisor == 1:
        return 0, 0, 0
    half = divisor // 2 if half is None else half
    for shift in range(divisor.bit_length()):
        multiplier = -(-(2 ** (16 + shift)) // divisor)
        # What the multiplier is too large by must not carry a quotient over the next integer.
        excess = multiplier * divisor - 2 ** (16 + shift)
        if multiplier < 2**16 and excess * (255 * divisor + half) < 2 ** (16 + shift):
            return half, multiplier, shift
    return None


def reciprocal(divisor: int, most: int) -> tuple[float, float] | None:
    """Factor and addend, both of float32, that divide integers and round the quotients to the nearest.

    ``floor(fma(x, factor, addend))`` is ``floor(x / divisor + 1/2)``, the multiply-add rounded once to
    float32, while the quotients' magnitudes stay below `most`, a power of two. None where that is not so.
    """
    factor = Fraction(float(np.float32(1 / divisor)))
    # Quotients and one half are odd multiples of 1 / 2d for an odd d; for an even one they are multiples of
    # 1 / d, and half a step more keeps them as far from the integers, between which floor sees nothing.
    margin = Fraction(1, 2 * divisor)
    exact = Fraction(1, 2) + (0 if divisor % 2 else margin)
    addend = Fraction(float(np.float32(exact)))
    off = abs(factor * divisor - 1) * most + abs(addend - exact) + Fraction(most, 2**25)
    return (float(factor), float(addend)) if divisor > 1 and off < margin else None


def exact_in_short_integers(passes: Sequence[Pass], given: np.dtype[Any], stored: np.dtype[Any]) -> bool:
    """Whether 16 bits hold whatever these passes make of bytes: then nothing is rounded, nor cut off."""
    if given.itemsize > 1 or given.kind not in "ui" or stored.kind not in "ui" or stored.itemsize > 2:
        return False
    low, high = range_of(given)
    least, most = range_of(stored)
    most = min(most, _SHORT)
    for p in passes:
        if p.weights is None or p.size > _SHORT:
            return False
        # Faster than by NumPy up to some hundred taps, and most have three.
        taps = p.weights.tolist()
        if not all(map(float.is_integer, taps)):
            return False
        if p.mode == "constant":
            if not float(p.cval).is_integer():
                return False
            low, high = min(low, p.cval), max(high, p.cval)
        positive = sum(tap for tap in taps if tap > 0)
        negative = sum(tap for tap in taps if tap < 0)
        low, high = positive * low + negative * high, positive * high + negative * low
        if not (least <= low and high <= most):
            return False
    return True


def range_of(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Of integers: the least and the greatest value."""
    bits = 8 * dtype.itemsize
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if dtype.kind == "i" else (0.0, 2.0**bits - 1)


def _fits_short(weights: NDArray[np.float64], bits: int, most: int, before: int) -> bool:
    """Whether weights of so many bits fit 16, and sums of their products, and one half added, 32."""
    magnitudes = np.abs(integer_weights(weights, bits))
    fits: bool = magnitudes.max() <= _SHORT and magnitudes.sum() * most + 2 ** (bits + before) <= _LONG
    return fits


def _rounded(number: int, shift: int) -> int:
    """To the nearest, halves upward, after a division by a power of two."""
    whole: int = (2 * number + 2**shift) // 2 ** (shift + 1)
    return whole


def _scaled(
    passes: Sequence[Pass], dtype: np.dtype[Any], digits: int
) -> tuple[list[Pass], list[Factor]] | None:
    """The same for one precision; None where a pass does not fit."""
    most = 1 if dtype.kind == "b" else max(-int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    before = 0
    scaled: list[Pass] = []
    factors: list[Factor] = []
    for index, p in enumerate(passes):
        # In units of 2**-before: what the sums may hold.
        most = max(most, math.ceil(abs(p.cval) * 2**before)) if p.mode == "constant" else most
        cval = float(math.floor(p.cval * 2**before + 0.5))
        after = passes[index + 1] if index + 1 < len(passes) else None
        if p.weights is None:
            if p.size * most > 2 ** (digits - 2):
                return None
            weights, bits, largest, exact = None, 0, most, False
        else:
            total = math.fsum(np.abs(p.weights))
            # What integers may add to the sum of the magnitudes is at most one half each, and then one each.
            bits = min(30, digits + 1 - math.frexp(most * total)[1]) if total else 0
            while bits >= 0 and not _fits(p, bits, most, digits):
                bits -= 1
            if bits < 0:
                return None
            exact = False
            for fewer in range(bits + 1):
                if np.array_equal(np.rint(p.weights * 2.0**fewer), p.weights * 2.0**fewer):
                    bits, exact = fewer, True
                    break
            weights = integer_weights(p.weights, bits)
            largest = -(-most * int(np.abs(weights).sum()) // 2**bits)
        fraction = 0
        if after is not None:
            # The next pass has so many bits for its weights and for the fraction of what it reads.
            room = digits - (largest // 2**before + 1).bit_length()
            if after.weights is None:
                fraction = min(room - 2 - after.size.bit_length(), room // 4)
            else:
                fraction = (room - math.ceil(math.log2(max(1.0, float(np.abs(after.weights).sum()))))) // 4
            if exact:
                fraction = min(fraction, before + bits)
            if fraction < 0:
                return None
        factors.append(2.0 ** (fraction - before - bits))
        scaled.append(p._replace(weights=weights, cval=cval))
        most = math.ceil(Fraction(largest) * Fraction(2) ** (fraction - before)) + 1
        before = fraction
    return scaled, factors


def _fits(p: Pass, bits: int, most: int, digits: int) -> bool:
    """Whether sums with weights of so many bits, and one half added, are exact."""
    assert p.weights is not None
    total = int(np.abs(integer_weights(p.weights, bits)).sum())
    fits: bool = total * most + 2**bits <= 2**digits
    return fits


def integer_weights(weights: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """Integers that stand for ``weights · 2**bits``; their sum is the nearest integer to the sum of those.

    Each is rounded to the nearest; what the sum then lacks is given, one by one, to those that lost most (in
    pairs where the weights are symmetric, the odd one to the middle), the outermost first among equals.
    """
    scaled = weights * 2.0**bits
    rounded = np.floor(scaled + 0.5)
    size, half = len(weights), len(weights) // 2
    if np.array_equal(weights, -weights[::-1]):
        rounded[size - half :] = -rounded[:half][::-1]
        if size % 2:
            rounded[half] = 0.0
        return rounded
    lacks = int(math.floor(math.fsum(scaled) + 0.5) - math.fsum(rounded))
    sign = 1.0 if lacks > 0 else -1.0
    lost = sign * (scaled - rounded)
    if size % 2 and np.array_equal(weights, weights[::-1]):
        order = np.argsort(-lost[:half], kind="stable")[: abs(lacks) // 2]
        rounded[order] += sign
        rounded[size - 1 - order] += sign
        rounded[half] += sign * (abs(lacks) - 2 * len(order))
    else:
        rounded[np.argsort(-lost, kind="stable")[: abs(lacks)]] += sign
    return rounded
