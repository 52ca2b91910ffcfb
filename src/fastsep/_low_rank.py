"""Vectors in floating point whose products make, or nearly make, a kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsep._rational import ExactTerm, fibre_through

Array = NDArray[Any]
Vectors = tuple[NDArray[np.float64], ...]

# Of the search for vectors that give back every bit: starts, and rounds of refitting all axes from each.
# Large kernels hardly ever have such vectors unless the first starts find them: 201×201 takes 0.1 s, not 2.
_STARTS = 64
_ELEMENTS = 2**16
_ROUNDS = 4


def outer(vectors: Sequence[Array]) -> Array:
    """The outer product, multiplied from the first axis to the last."""
    with np.errstate(over="ignore", under="ignore"):
        product: Array = reduce(np.multiply.outer, vectors)
    return product


def _scaled(kernel: Array) -> tuple[NDArray[np.float64], int]:
    """The kernel with its largest element in [½, 1), and the power of two taken out: no square overflows."""
    values = kernel.astype(np.float64)
    exponent = int(np.frexp(np.abs(values).max())[1])
    # In two steps, because 2**1074 is no float64.
    half = exponent // 2
    return np.ldexp(np.ldexp(values, -half), half - exponent), exponent


def _with_exponent(vectors: Sequence[Array], exponent: int) -> Vectors:
    """Give each vector its part of a power of two."""
    rest, parts = exponent, []
    for left in range(len(vectors), 0, -1):
        parts.append(rest // left)
        rest -= parts[-1]
    return tuple(np.ldexp(vector, part) for vector, part in zip(vectors, parts, strict=True))


def _unfold(array: Array, axis: int) -> Array:
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)


def higher_order_terms(kernel: Array) -> list[tuple[float, Vectors]]:
    """All orthogonal terms of the higher-order SVD and their norms, the largest first; in 2-D the SVD's."""
    scaled, exponent = _scaled(kernel)
    longest = int(np.argmax(kernel.shape))
    # Bases of all axes but the longest, along which a combination of vectors is a vector again.
    bases = [
        np.linalg.svd(_unfold(scaled, axis), full_matrices=False)[0]
        for axis in range(kernel.ndim)
        if axis != longest
    ]
    core = np.moveaxis(scaled, longest, -1)
    for basis in bases:  # each takes the first axis and puts its own last, behind the longest
        core = np.tensordot(core, basis, (0, 0))
    core = np.moveaxis(core, 0, -1)
    terms = []
    for index in np.ndindex(core.shape[:-1]):
        along = core[index]
        norm = float(np.linalg.norm(along))
        columns = [basis[:, column] for basis, column in zip(bases, index, strict=True)]
        share = norm ** (1 / kernel.ndim)
        vectors = [column * share for column in columns]
        vectors.insert(longest, along / norm * share if norm else along)
        terms.append((norm, _usual_signs(vectors)))
    terms.sort(key=lambda term: -term[0])
    # No more than the SVD has: norms at the level of rounding stay, they are the rank's evidence.
    return [(float(np.ldexp(norm, exponent)), _with_exponent(vectors, exponent)) for norm, vectors in terms]


def rank_one(kernel: Array) -> Vectors:
    """The best product of one vector per axis: the SVD's first term, in n-D refined."""
    scaled, exponent = _scaled(kernel)
    vectors = list(higher_order_terms(scaled)[0][1])
    if kernel.ndim > 2:
        # The higher-order power method: each step is optimal along its axis, so the error never grows.
        before = np.inf
        for _ in range(100):
            for axis in range(kernel.ndim):
                others = [vector for other, vector in enumerate(vectors) if other != axis]
                weights = outer(others).ravel()
                vectors[axis] = _unfold(scaled, axis) @ weights / (weights @ weights)
            error = float(np.linalg.norm(scaled - outer(vectors)))
            if not error < before * (1 - 1e-6):
                break
            before = error
    return _with_exponent(_usual_signs(_balanced(vectors)), exponent)


def _balanced(vectors: Sequence[Array]) -> list[Array]:
    """The same product from vectors of one norm."""
    norms = [float(np.linalg.norm(vector)) for vector in vectors]
    mean = float(np.prod(norms)) ** (1 / len(norms))
    return [vector / norm * mean if norm else vector for vector, norm in zip(vectors, norms, strict=True)]


def _usual_signs(vectors: Sequence[Array]) -> Vectors:
    """All vectors but the last begin their largest element with a plus."""
    result = [vector.copy() for vector in vectors]
    for vector in result[:-1]:
        if vector[np.abs(vector).argmax()] < 0:
            np.negative(vector, out=vector)
            np.negative(result[-1], out=result[-1])
    return tuple(result)


def float_vectors(term: ExactTerm, kernel: Array) -> Vectors:
    """An exact term in float64: the scale in equal parts if that keeps every bit, else in one vector."""
    plain = [np.array([float(number) for number in vector]) for vector in term.vectors]
    scale, count = float(term.scale), len(plain)
    root = abs(scale) ** (1 / count)
    even = [vector * root for vector in plain]
    if scale < 0:
        np.negative(even[0], out=even[0])
    tries = [even, *([*plain[:axis], plain[axis] * scale, *plain[axis + 1 :]] for axis in range(count))]
    if term.scale == 1:
        return tuple(plain)
    for vectors in tries:
        if _gives(kernel, vectors):
            return tuple(vectors)
    return fitting_vectors(kernel, tuple(tries[1])) if kernel.dtype.kind == "f" else tuple(tries[1])


def _gives(kernel: Array, vectors: Sequence[Array]) -> bool:
    made = outer(vectors)
    if kernel.dtype.kind == "f":  # integers are compared before a cast could truncate
        with np.errstate(over="ignore"):
            made = made.astype(kernel.dtype)
    return np.array_equal(made, kernel)


def fitting_vectors(kernel: Array, vectors: Vectors) -> Vectors:
    """Vectors near these whose product has every bit of a float kernel, or else these.

    Along each axis, an element may be anything whose products with the others all round to the kernel's: an
    interval, of which the middle is taken. Where the rounds start decides whether they end at such vectors:
    there are several starts.
    """
    if kernel.ndim == 1:
        return (kernel.astype(np.float64),)
    for start in _starts(kernel, vectors):
        refined = _refitted(kernel, start, lambda candidate: _gives(kernel, candidate))
        if refined is not None:
            return refined
    return vectors


def _starts(kernel: Array, vectors: Vectors) -> Iterator[list[Array]]:
    yield list(vectors)
    pivot = np.unravel_index(np.abs(kernel).argmax(), kernel.shape)
    values = kernel.astype(np.float64)
    if values[pivot] != 0:
        # Fibres through the largest element: exact where one vector is known up to a factor.
        fibres = [fibre_through(values, pivot, axis) for axis in range(kernel.ndim)]
        yield [fibre / values[pivot] for fibre in fibres[:-1]] + [fibres[-1]]
    if kernel.ndim == 2 and np.array_equal(kernel, kernel.T):
        yield [np.copysign(np.sqrt(np.abs(np.diagonal(values))), vectors[0])] * 2
    # Other scales round otherwise.
    for factor in np.linspace(1, 2, max(1, min(_STARTS, _ELEMENTS // kernel.size)), endpoint=False)[1:]:
        yield [vectors[0] * factor, *vectors[1:-1], vectors[-1] / factor]


def _refitted(
    kernel: Array, vectors: list[Array], gives: Callable[[Sequence[Array]], bool]
) -> Vectors | None:
    half = np.longdouble(0.5)
    size = np.abs(kernel)
    low = size - half * (size - np.nextafter(size, size.dtype.type(0))).astype(np.longdouble)
    high = size + half * np.spacing(size).astype(np.longdouble)
    with np.errstate(all="ignore"):
        for _ in range(_ROUNDS):
            if gives(vectors):
                return tuple(vectors)
            for axis in reversed(range(kernel.ndim)):
                others = [
                    vector.astype(np.longdouble) for other, vector in enumerate(vectors) if other != axis
                ]
                weights = np.abs(outer(others).ravel()) if others else np.ones(1, np.longdouble)
                used = weights > 0
                if not used.any():
                    return None
                least = (_unfold(low, axis)[:, used] / weights[used]).max(axis=1)
                most = (_unfold(high, axis)[:, used] / weights[used]).min(axis=1)
                middle = ((least + most) / 2).astype(np.float64)
                vectors[axis] = np.where(
                    _unfold(size, axis).any(axis=1), np.copysign(middle, vectors[axis]), 0
                )
                if not np.isfinite(vectors[axis]).all():
                    return None
    return tuple(vectors) if gives(vectors) else None
