"""SciPy's bits of integers by sums in float32: how far those are off, and where they decide. See bits.md."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsep._line_stages import folding_of
from fastsep._passes import Pass, range_of, short_division

_UNIT = 2.0**-24
# For the roundings of the bounds themselves, and of what they are multiplied with.
_MORE = 1 + 2.0**-9
# Of float32, above which a sum has no fraction that would tell anything.
_MOST_SUM = 2.0**22
_MOST_TAPS = 4096
# Where more sums straddle an integer, nearly every vector has one, and the sums in double are all there is.
_MOST_ABSOLUTE = 0.07
# Of constants beyond the ends: pairs of them are exact.
_CONSTANT_STEP = 2.0**-6


class Decision(NamedTuple):
    """How a pass in float32 becomes what SciPy's pass in double is."""

    relative: float
    """How far a sum may be off, of itself; means nothing where `is_signed`."""
    absolute: float
    """How far any sum may be off; 0 where all are exact."""
    is_signed: bool
    """Whether sums may be negative."""
    factor: float
    """What divides the sums of a box; 0 where a division must."""
    wraps: bool
    """Whether a result may lie outside the output's type."""


def in_narrow_sums(
    passes: Sequence[Pass], given: np.dtype[Any], stored: np.dtype[Any], fused: bool
) -> list[Decision] | None:
    """How each pass is decided; None where float32 leaves too much open. `fused`: by fused multiply-adds."""
    if given.itemsize > 2 or stored.itemsize > 2 or given.kind not in "ui" or stored.kind not in "ui":
        return None
    kept = tuple(None if p.weights is None else p.weights.tobytes() for p in passes)
    return _in_narrow_sums(
        tuple(p._replace(weights=None) for p in passes), kept, range_of(given), range_of(stored), fused
    )


# As of `in_integers`: what is said of the weights takes longer than to filter 64² pixels.
@functools.lru_cache(maxsize=64)
def _in_narrow_sums(
    weightless: tuple[Pass, ...],
    weights: tuple[bytes | None, ...],
    given: tuple[float, float],
    stored: tuple[float, float],
    fused: bool,
) -> list[Decision] | None:
    (low, high), (least, most) = given, stored
    decisions = []
    for p, kept in zip(weightless, weights, strict=True):
        if p.size > _MOST_TAPS:
            return None
        if p.mode == "constant":
            cval = float(p.cval)
            if not (abs(cval) <= 2.0**16 and cval % _CONSTANT_STEP == 0):
                return None
            low, high = min(low, cval), max(high, cval)
        if kept is None:
            one = _box(p, low, high)
        else:
            one = _sums(np.frombuffer(kept), low, high, p.mode == "constant", fused)
        if one is None:
            return None
        decision, below, above = one
        wraps = not (least - 0.5 < below and above < most + 0.5)
        decisions.append(decision._replace(wraps=wraps))
        low, high = (least, most) if wraps else (math.trunc(below), math.trunc(above))
    return decisions


def _box(p: Pass, low: float, high: float) -> tuple[Decision, float, float] | None:
    """Sums are integers, and exact; a quotient that is no integer is 1 / size away from one."""
    if not (float(low).is_integer() and float(high).is_integer()):
        return None
    largest = Fraction(max(-low, high)) * p.size
    if largest >= 2**24:
        return None
    # Not below the quotient, so that one that is an integer gets there; and not far above.
    factor = np.float32(1 / p.size)
    if Fraction(float(factor)) * p.size < 1:
        factor = np.nextafter(factor, np.float32(1))
    above = Fraction(float(factor)) * p.size * (1 + Fraction(1, 2**24)) - 1
    divides = float(factor) if largest * above < 1 else 0.0
    return Decision(0.0, 0.0, low < 0, divides, False), low, high


def _sums(
    weights: NDArray[np.float64], low: float, high: float, constant: bool, fused: bool
) -> tuple[Decision, float, float] | None:
    if not np.isfinite(weights).all():
        return None
    folding, half = folding_of(weights), len(weights) // 2
    meant = weights.copy()
    if folding:
        # The left one of a pair counts.
        meant[half + 1 :] = folding * meant[:half][::-1]
    single = meant.astype(np.float32).astype(np.float64)
    largest = max(-low, high)
    magnitudes = np.abs(single)
    total = math.fsum(np.abs(meant))
    if not total * largest < _MOST_SUM:
        return None
    positive, negative = math.fsum(meant[meant > 0]), math.fsum(meant[meant < 0])
    slack = 1e-6 * (1 + total * largest)
    below = positive * low + negative * high - slack
    above = positive * high + negative * low + slack
    is_signed = low < 0 or bool((meant < 0).any())
    exact = Decision(0.0, 0.0, is_signed, 0.0, False)
    if not constant and np.array_equal(single, meant) and _fits(meant, largest):
        return exact, below + slack, above - slack
    # What the first 1, 2, 3 … products can make of a sum, which is rounded by half a unit in its last place.
    terms = [magnitudes[half], *(2 * magnitudes[:half])] if folding else [magnitudes[-1], *magnitudes[:-1]]
    partial = largest * (1 + (len(terms) + 2) * _UNIT) * np.cumsum(terms)
    rounding = float(np.exp2(np.frexp(partial)[1] - 25.0).sum())
    products = 0.0 if fused else _UNIT * largest * float(np.sum(terms))
    lost = math.fsum(np.abs(meant - single)) * largest
    tiny = len(weights) * 2.0**-140
    # The sums in double.
    double = 2.0**-52 * (len(terms) + 2)
    absolute = rounding + products + lost + double * total * largest + tiny
    relative = 1e30
    kept = meant != 0
    if not is_signed and (np.abs(meant[kept]) > 2.0**-100).all():
        losing = float((np.abs(meant - single)[kept] / meant[kept]).max(initial=0))
        relative = _UNIT * (len(terms) + (not fused)) + double + losing
        relative = relative * _MORE + 2 * _UNIT
    # One more unit for the comparison itself.
    absolute = absolute * _MORE + _UNIT
    if absolute > _MOST_ABSOLUTE:
        return None
    return Decision(relative, absolute, is_signed, 0.0, False), below, above


def _fits(weights: NDArray[np.float64], largest: float) -> bool:
    """Whether weights are integers over a power of two, and 24 bits hold every sum in any order."""
    for bits in range(17):
        scaled = weights * 2.0**bits
        if np.array_equal(np.rint(scaled), scaled):
            return bool(math.fsum(np.abs(scaled)) * largest <= 2**24)
    return False


class Boxes(NamedTuple):
    """How boxes, each cut to an integer, are computed without a look at their sums."""

    item_bytes: int
    """2 for integers of 16 bits, 4 for float32."""
    divisions: list[tuple[float, ...]]
    """Half, multiplier and shift of `short_division`; or factor and addend of `cutting_reciprocal`."""


def boxes_cut(passes: Sequence[Pass], given: np.dtype[Any], stored: np.dtype[Any]) -> Boxes | None:
    """How boxes of integers without a sign are cut to integers; None where this is not for them."""
    if given.kind != "u" or given.itemsize > 2 or any(p.weights is not None for p in passes):
        return None
    most = 2 ** (8 * given.itemsize) - 1
    if any(p.mode == "constant" and not (0 <= p.cval <= most and float(p.cval).is_integer()) for p in passes):
        return None
    if (
        given == np.uint8
        and stored in (np.uint8, np.int16)
        and all(p.size <= _MOST_SHORT_BOX for p in passes)
    ):
        short = [short_division(p.size, 0) for p in passes]
        if None not in short:
            return Boxes(2, [division for division in short if division is not None])
    if given != stored or most < 2**16 - 1 or any(p.size == 1 for p in passes):
        return None
    single = [cutting_reciprocal(p.size, most + 1) for p in passes]
    return None if None in single else Boxes(4, [division for division in single if division is not None])


def cutting_reciprocal(divisor: int, most: int) -> tuple[float, float] | None:
    """Factor and addend, both of float32, that divide integers that are not negative and cut the quotients.

    ``floor(fma(x, factor, addend))`` is ``floor(x / divisor)``, the multiply-add rounded once to float32,
    while quotients stay below `most`, a power of two: they are multiples of 1 / divisor, of which half a one
    more keeps them from the integers by as much. None where that is not so.
    """
    margin = Fraction(1, 2 * divisor)
    factor, addend = (Fraction(float(np.float32(number))) for number in (1 / divisor, float(margin)))
    off = abs(factor * divisor - 1) * most + abs(addend - margin) + Fraction(most, 2**25)
    return (float(factor), float(addend)) if divisor * most < 2**24 and off < margin else None


# Along rows every element of a window is added: beyond, doubling sums of floats are as fast.
_MOST_SHORT_BOX = 33
