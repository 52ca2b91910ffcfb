"""Exact factors of a kernel: vectors of coprime integers, and one fraction.

Every float is a rational, and stands for all reals that round to it. So a kernel is a box of intervals, which
are points if it holds integers. A rank-1 kernel is known by its fibres through one element, the pivot: if the
simplest fractions in the intervals of their ratios to the pivot, times one scale, fall into every interval of
the box, they are the factors, and rounding their product once gives back the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# float64 holds every integer up to here.
_LARGEST = 2**53
# Intervals are made narrower by this much, so that what lies in one rounds to its middle, ties or not.
_INSIDE = 1 - Fraction(1, 1024)


@dataclass(frozen=True)
class ExactTerm:
    """A product of vectors: element (i, j, …) is the scale times vectors[0][i] · vectors[1][j] and so on.

    Attributes
    ----------
    scale : Fraction
    vectors : tuple of tuple of int
        One per axis, each without a common divisor.
    """

    scale: Fraction
    vectors: tuple[tuple[int, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """The attributes as a dictionary; the scale is text, such as "1/16"."""
        return {"scale": str(self.scale), "vectors": [list(vector) for vector in self.vectors]}


def exact_term(kernel: Array) -> ExactTerm | None:
    """The exact factors of a kernel of integers or floats, or None if there are none of rank 1.

    None also if a float kernel's need integers beyond 2**53: those of a Gaussian, which no fraction explains.
    """
    support = kernel != 0
    if not support.any():
        return ExactTerm(Fraction(0), tuple((0,) * size for size in kernel.shape))
    axes = range(kernel.ndim)
    supports = [support.any(tuple(other for other in axes if other != axis)) for axis in axes]
    if support.sum() != math.prod(int(each.sum()) for each in supports):
        return None  # a product's zeros are whole rows and columns
    pivot = np.unravel_index(np.abs(kernel.astype(np.float64)).argmax(), kernel.shape)
    low, high = _interval(kernel[pivot])
    vectors = []
    for axis in axes:
        fibre = fibre_through(kernel, pivot, axis)
        ratios = [
            Fraction(1) if index == pivot[axis] else _ratio(value, kernel[pivot], low, high)
            for index, value in enumerate(fibre)
        ]
        common = 1
        for ratio in ratios:
            common = math.lcm(common, ratio.denominator)
            if common > _LARGEST and kernel.dtype.kind == "f":
                return None
        vectors.append(_coprime([int(ratio * common) for ratio in ratios]))
    if kernel.dtype.kind == "f" and max(abs(number) for vector in vectors for number in vector) > _LARGEST:
        return None
    scale = _scale(kernel, vectors)
    return None if scale is None else _signed(scale, vectors)


def fibre_through(kernel: Array, pivot: Sequence[Any], axis: int) -> Array:
    """The elements that differ from the pivot in the index along one axis only."""
    index: tuple[Any, ...] = (*pivot[:axis], slice(None), *pivot[axis + 1 :])
    fibre: Array = kernel[index]
    return fibre


def exact_sum(kernel: Array, rank: int) -> tuple[ExactTerm, ...] | None:
    """A matrix of integers as a sum of at most `rank` exact terms, or None if its rank is greater.

    Gaussian elimination: subtracting pivot column times pivot row, over the pivot, lowers the rank by one.
    """
    rest = [[Fraction(int(value)) for value in row] for row in kernel]
    terms: list[ExactTerm] = []
    while any(value for row in rest for value in row):
        if len(terms) == rank:
            return None
        # The pivot with the fewest neighbours leaves the most zeros: a cross falls into its two lines.
        counts = [sum(1 for value in row if value) for row in rest]
        across = [sum(1 for row in rest if row[column]) for column in range(len(rest[0]))]
        _, i, j = min(
            (((counts[i] - 1) * (across[j] - 1), -counts[i], abs(value)), i, j)
            for i, row in enumerate(rest)
            for j, value in enumerate(row)
            if value
        )
        column, row, pivot = [line[j] for line in rest], list(rest[i]), rest[i][j]
        first, second = _integers(column), _integers(row)
        scale = pivot / (first[i] * second[j])
        terms.append(_signed(scale, [first, second]))
        rest = [
            [value - left * right / pivot for value, right in zip(line, row, strict=True)]
            for line, left in zip(rest, column, strict=True)
        ]
    return tuple(terms)


def _interval(value: Any) -> tuple[Fraction, Fraction]:
    """What rounds to the magnitude of a number: itself alone if it is an integer."""
    if not isinstance(value, np.floating):
        return (Fraction(abs(int(value))),) * 2
    size = abs(value)
    with np.errstate(over="ignore"):  # above the largest number there is none, and its interval is symmetric
        numbers = size, np.nextafter(size, size.dtype.type(0)), np.nextafter(size, size.dtype.type(np.inf))
    middle, below, above = (
        Fraction(*number.as_integer_ratio()) if np.isfinite(number) else None for number in numbers
    )
    assert middle is not None and below is not None
    half = (middle - below) / 2 * _INSIDE
    return middle - half, middle + (half if above is None else (above - middle) / 2 * _INSIDE)


def _ratio(value: Any, pivot: Any, low: Fraction, high: Fraction) -> Fraction:
    """The simplest ratio of an element to the pivot, whose interval is from `low` to `high`."""
    if value == 0:
        return Fraction(0)
    least, most = _interval(value)
    ratio = simplest(least / high, most / low)
    return ratio if (value < 0) == (pivot < 0) else -ratio


def simplest(low: Fraction, high: Fraction) -> Fraction:
    """The fraction of least denominator in a closed interval of positive numbers.

    Its continued fraction is what those of the ends have in common, and then the next integer.
    """
    # Matrix of the convergents so far; the loop takes one partial quotient from both ends.
    p, q, before_p, before_q = 1, 0, 0, 1
    while True:
        whole = low.numerator // low.denominator
        if low == whole or whole + 1 <= high:
            last = whole if low == whole else whole + 1
            return Fraction(last * p + before_p, last * q + before_q)
        p, before_p = whole * p + before_p, p
        q, before_q = whole * q + before_q, q
        low, high = 1 / (high - whole), 1 / (low - whole)


def _scale(kernel: Array, vectors: Sequence[tuple[int, ...]]) -> Fraction | None:
    """The simplest scale that puts the vectors' product into every interval, if there is one."""
    low, high, sign = Fraction(0), None, 0
    seen = set()
    for index in np.argwhere(kernel).tolist():
        product = math.prod(vector[i] for vector, i in zip(vectors, index, strict=True))
        value = kernel[tuple(index)]
        if (pair := (value.item(), product)) in seen:  # most are, in a kernel of small integers
            continue
        seen.add(pair)
        this = 1 if (value > 0) == (product > 0) else -1
        least, most = (end / abs(product) for end in _interval(value))
        low, high = max(low, least), most if high is None else min(high, most)
        if sign not in (0, this) or low > high:
            return None
        sign = this
    assert high is not None, "a kernel of zeros has no pivot"
    return sign * simplest(low, high)


def _coprime(numbers: Sequence[int]) -> tuple[int, ...]:
    divisor = math.gcd(*numbers)
    return tuple(number // divisor for number in numbers)


def _integers(numbers: Sequence[Fraction]) -> tuple[int, ...]:
    common = math.lcm(*(number.denominator for number in numbers))
    return _coprime([int(number * common) for number in numbers])


def _signed(scale: Fraction, vectors: Sequence[tuple[int, ...]]) -> ExactTerm:
    """Signs as in books: smoothing vectors sum to more than 0, the first difference takes what is left."""
    signed, differences = [], []
    for axis, vector in enumerate(vectors):
        first = next((number for number in vector if number), 0)
        antisymmetric = all(a == -b for a, b in zip(vector, reversed(vector), strict=True))
        if sum(vector) == 0:
            differences.append(axis)
        # (1, 2, 1), (-1, 0, 1) and (1, -2, 1).
        flip = sum(vector) < 0 or (sum(vector) == 0 and (first > 0) == antisymmetric)
        scale = -scale if flip else scale
        signed.append(_negative(vector) if flip else vector)
    if scale < 0 and differences:
        signed[differences[0]], scale = _negative(signed[differences[0]]), -scale
    return ExactTerm(scale, tuple(signed))


def _negative(vector: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-number for number in vector)
