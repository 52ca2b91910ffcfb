"""Sizes that may be symbols: two that compare equal are equal for every image a network may be given.

A size is an int, the name of a symbol, or an expression of one, in a normal form:

    ("plus", size, number)               size + number
    ("window", size, offset, stride)     (size + offset) // stride + 1: what a window leaves of an axis
    ("product", number, (size, …))       number · size · …, sizes in a fixed order
    ("unknown", name, axis)              equal to nothing but itself
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

Dim = int | str | tuple[Any, ...]


def plus(size: Dim, number: int) -> Dim:
    """Return size + number."""
    if isinstance(size, int):
        return size + number
    if isinstance(size, tuple) and size[0] == "plus":
        return plus(size[1], size[2] + number)
    return ("plus", size, number) if number else size


def window(size: Dim, offset: int, stride: int) -> Dim:
    """Return (size + offset) // stride + 1, the places of a window on an axis; a number is never negative."""
    if isinstance(size, int):
        return max(0, (size + offset) // stride + 1)
    if stride == 1:
        return plus(size, offset + 1)
    if isinstance(size, tuple) and size[0] == "plus":
        return ("window", size[1], size[2] + offset, stride)
    return ("window", size, offset, stride)


def product(sizes: Iterable[Dim]) -> Dim:
    """Return the product of sizes, whatever their order."""
    number, symbols = _factors(sizes)
    if number == 0 or not symbols:
        return number
    return _joined(number, symbols)


def quotient(whole: Iterable[Dim], parts: Iterable[Dim]) -> Dim | None:
    """Return the one size by which the product of `parts` must be multiplied; None if that is not known."""
    number, symbols = _factors(whole)
    divisor, shared = _factors(parts)
    if divisor == 0 or number % divisor or shared - symbols:
        return None
    left = symbols - shared
    return _joined(number // divisor, left) if left else number // divisor


def broadcast(shapes: Sequence[tuple[Dim, ...]], name: str) -> tuple[Dim, ...]:
    """Return the shape of an elementwise result; `name` is the value's, for sizes that cannot be known."""
    rank = max(map(len, shapes), default=0)
    aligned = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    result: list[Dim] = []
    for axis, sizes in enumerate(zip(*aligned, strict=True)):
        others = set(sizes) - {1}
        numbers = [size for size in others if isinstance(size, int)]
        if len(others) <= 1:
            result.append(others.pop() if others else 1)
        else:
            result.append(numbers[0] if numbers else ("unknown", name, axis))
    return tuple(result)


def _factors(sizes: Iterable[Dim]) -> tuple[int, Counter[Dim]]:
    number, symbols = 1, Counter[Dim]()
    for size in sizes:
        if isinstance(size, int):
            number *= size
        elif isinstance(size, tuple) and size[0] == "product":
            number *= size[1]
            symbols.update(size[2])
        else:
            symbols[size] += 1
    return number, symbols


def _joined(number: int, symbols: Counter[Dim]) -> Dim:
    ordered = tuple(sorted(symbols.elements(), key=repr))
    if number == 1 and len(ordered) == 1:
        return ordered[0]
    return ("product", number, ordered)


def known(sizes: Iterable[Dim]) -> bool:
    """Return whether all sizes are numbers."""
    return all(isinstance(size, int) for size in sizes)


def settled(size: Dim) -> bool:
    """Return whether nothing more can be found out about a size: no part of it is unknown."""
    return not isinstance(size, tuple) or (size[:1] != ("unknown",) and all(map(settled, size)))


def count(sizes: Iterable[Dim]) -> int | None:
    """Return the product of sizes that are numbers; None if one is a symbol."""
    sizes = tuple(sizes)
    return math.prod(size for size in sizes if isinstance(size, int)) if known(sizes) else None
