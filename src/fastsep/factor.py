"""Kernels as sums of products of vectors: spatial kernels here, those of layers in `factorize_conv`."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsep._factor_conv import ConvFactors, factorize_conv
from fastsep._low_rank import (
    fitting_vectors,
    float_vectors,
    higher_order_terms,
    outer,
    rank_one,
)
from fastsep._not_separable import NotSeparableError, check_tolerance
from fastsep._passes_of_factors import check_image, correlate_terms
from fastsep._rational import ExactTerm, exact_sum, exact_term
from fastsep._table import short, sizes, table

__all__ = ["ConvFactors", "Factors", "NotSeparableError", "factorize", "factorize_conv", "is_separable"]

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Factors:
    """A spatial kernel as a sum of terms, each the outer product of one vector per axis.

    `str` is a table, `to_dict()` a dictionary, `apply(image)` the filter.

    Attributes
    ----------
    kernel : ndarray
        What was factorised; a copy, read-only.
    terms : tuple of tuple of ndarray
        ``terms[k][axis]``, float64, the largest term first.
    exact : tuple of ExactTerm or None
        The same terms as integer vectors and a fraction each, where there are such.
    error : float
        Frobenius norm of ``kernel - outer()``.
    singular_values : tuple of float
        Of the kernel, in 2-D; in n-D the Frobenius norms of the terms of its higher-order SVD, descending.
    """

    kernel: Array
    terms: tuple[tuple[NDArray[np.float64], ...], ...]
    exact: tuple[ExactTerm, ...] | None
    error: float
    singular_values: tuple[float, ...]

    @property
    def rank(self) -> int:
        """Number of terms."""
        return len(self.terms)

    @property
    def vectors(self) -> tuple[NDArray[np.float64], ...]:
        """The vectors of the only term, one per axis.

        Raises
        ------
        ValueError
            There are several terms.
        """
        if self.rank != 1:
            raise ValueError(f"vectors are those of the only term, but there are {self.rank}: use terms")
        return self.terms[0]

    @property
    def relative_error(self) -> float:
        """`error` over the kernel's Frobenius norm; 0 for a kernel of zeros."""
        return _relative(self.error, self.kernel)

    @property
    def multiplications(self) -> tuple[int, int]:
        """Multiplications for each output: with the kernel as it is, and in passes."""
        return self.kernel.size, self.rank * sum(self.kernel.shape)

    def outer(self) -> Array:
        """The kernel that the terms make.

        Returns
        -------
        ndarray
            Summed in float64, and rounded once to the dtype of a float kernel. For a kernel of integers, that
            dtype if the terms are exact (they are multiplied as integers), else float64.
        """
        return _rebuilt(self.kernel, self.terms, self.exact)

    def apply(
        self, image: Array, *, mode: str = "reflect", cval: float = 0.0, threads: int | None = None
    ) -> Array:
        """Correlate an image with the kernel, in passes along one axis after another.

        Parameters
        ----------
        image : ndarray of integers, bool, float32 or float64
            As many axes as the kernel; any strides, alignment and byte order. Never written.
        mode : {"reflect", "constant", "nearest", "mirror", "wrap", "valid"}
            What lies outside the image, as in ``scipy.ndimage`` (its "grid-" synonyms too); "valid" computes
            only where the kernel fits.
        cval : float
            Outside the image, for "constant".
        threads : int or None
            As in `Conv`.

        Returns
        -------
        ndarray
            float32 of a float32 image, else float64, which holds what a derivative of integers is; except for
            "valid", the image's shape. Within rounding of
            ``scipy.ndimage.correlate(image, factors.outer(), mode=mode, cval=cval)`` in that dtype, to which
            the vectors are rounded.

        Raises
        ------
        TypeError, ValueError
            An argument is wrong; the message names it, what it got and what would be right.
        """
        x = check_image(image, self.kernel.shape, mode)
        return correlate_terms(x, self.terms, mode, cval, threads)

    def to_dict(self) -> dict[str, Any]:
        """All figures, in types that JSON knows."""
        return {
            "shape": list(self.kernel.shape),
            "dtype": str(self.kernel.dtype),
            "rank": self.rank,
            "terms": [[vector.tolist() for vector in vectors] for vectors in self.terms],
            "exact": None if self.exact is None else [term.to_dict() for term in self.exact],
            "error": self.error,
            "relative_error": self.relative_error,
            "singular_values": list(self.singular_values),
            "multiplications": list(self.multiplications),
        }

    def __str__(self) -> str:
        direct, passes = self.multiplications
        shown: list[tuple[str, Sequence[Iterable[float]]]] = (
            [("1", vectors) for vectors in self.terms]
            if self.exact is None
            else [(str(term.scale), term.vectors) for term in self.exact]
        )
        written = [[[f"{value:.6g}" for value in vector] for vector in vectors] for _, vectors in shown]
        width = max((len(entry) for term in written for vector in term for entry in vector), default=0)
        rows = [
            [
                str(number) if axis == 0 else "",
                str(axis),
                scale if axis == 0 else "",
                " ".join(entry.rjust(width) for entry in vector),
            ]
            for number, ((scale, _), term) in enumerate(zip(shown, written, strict=True), 1)
            for axis, vector in enumerate(term)
        ]
        how = "in exact factors" if self.exact is not None else "in floating point"
        error = "0: every bit is given back"
        if self.error:
            error = f"{short(self.error)}, {short(self.relative_error)} of the kernel's norm"
        return (
            f"kernel of {sizes(self.kernel.shape)}, {self.kernel.dtype}: rank {self.rank}, {how}\n\n"
            f"{table(['term', 'axis', 'scale', 'vector'], rows, left=(3,))}\n\n"
            f"error            {error}\n"
            f"multiplications  {direct} → {passes} for each output"
        )


def is_separable(kernel: ArrayLike, tolerance: float | None = None) -> bool:
    """Whether a kernel is the outer product of one vector per axis.

    Parameters
    ----------
    kernel : array_like of integers, bool, float16, float32 or float64
        Any number of axes.
    tolerance : float or None
        Greatest relative error of the best such product, in the Frobenius norm. None: integers must be exact,
        floats within 16 eps of their dtype, which is rounding.

    Returns
    -------
    bool

    Raises
    ------
    TypeError, ValueError
        An argument is wrong; the message names it, what it got and what would be right.

    Notes
    -----
    A matrix is separable if and only if it has rank 1 (or 0). By Eckart and Young, "The approximation of one
    matrix by another of lower rank" (1936), the error of the best product is the root of the sum of the
    squares of all singular values but the first.

    Examples
    --------
    >>> is_separable([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
    True
    >>> is_separable([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    False
    """
    array = _kernel(kernel)
    limit = _limit(array, tolerance)
    if exact_term(array) is not None:
        return True
    if limit == 0 and array.dtype.kind != "f":
        return False
    vectors = rank_one(array)
    return _relative(_distance(array, (vectors,), None), array) <= limit


def factorize(kernel: ArrayLike, rank: int | None = None, *, tolerance: float | None = None) -> Factors:
    """Factorise a spatial kernel.

    Parameters
    ----------
    kernel : array_like of integers, bool, float16, float32 or float64
        Any number of axes; finite, floats of a norm of at most half their type's largest number.
    rank : int or None
        None: one term, and an error if that does not give the kernel. An int: the best sum of at most so
        many terms, with its error.
    tolerance : float or None
        Greatest relative error, in the Frobenius norm. None: for ``rank=None`` as in `is_separable`; for a
        sum there is no limit.

    Returns
    -------
    Factors
        Integer kernels that are separable get integer vectors and a fraction, in exact arithmetic; so do
        float kernels that are the rounded values of such a product (a normalised Scharr, say). Other float
        kernels get vectors whose product has the kernel's bits if such are found, and is within rounding
        otherwise. An integer matrix of at most `rank` gets an exact sum too.

    Raises
    ------
    NotSeparableError
        The kernel is not within the tolerance; the message has the error that the rank reaches.
    TypeError, ValueError
        An argument is wrong; the message names it, what it got and what would be right.

    Notes
    -----
    In 2-D the terms are those of the singular value decomposition, the best for every rank (Eckart and Young,
    1936). In n-D they are those of the higher-order SVD (De Lathauwer, De Moor and Vandewalle, "A multilinear
    singular value decomposition", 2000), of which those that differ only along the longest axis are one: they
    are orthogonal, so the squares of those left out sum to the square of the error. No best sum is promised
    there; a single term is improved by the higher-order power method (the same authors, "On the best rank-1
    and rank-(R1, …, RN) approximation of higher-order tensors", 2000), and its error is at most √n times that
    of the best for n axes.

    Examples
    --------
    >>> sobel = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    >>> factorize(sobel).exact
    (ExactTerm(scale=Fraction(1, 1), vectors=((1, 2, 1), (-1, 0, 1))),)
    """
    array = _kernel(kernel)
    wanted = _rank(rank)
    limit = math.inf if rank is not None and tolerance is None else _limit(array, tolerance)
    exact: tuple[ExactTerm, ...] | None = None
    found = exact_term(array)
    if found is not None:
        exact = (found,)
    elif wanted > 1 and array.ndim == 2 and array.dtype.kind in "iu":
        exact = exact_sum(array, wanted)
    decomposed = higher_order_terms(array)
    values = tuple(value for value, _ in decomposed)
    if exact is not None:
        terms = tuple(float_vectors(term, array) for term in exact)
    elif wanted == 1:
        best = rank_one(array)
        if array.dtype.kind == "f" and _relative(_distance(array, (best,), None), array) <= _limit(
            array, None
        ):
            best = fitting_vectors(array, best)
        terms = (best,)
    else:
        # What the SVD's own rounding may have made is no term: the threshold of `numpy.linalg.matrix_rank`.
        least = values[0] * max(array.shape) * float(np.finfo(np.float64).eps)
        terms = tuple(vectors for value, vectors in decomposed[:wanted] if value > least)
    factors = Factors(array, terms, exact, _distance(array, terms, exact), values)
    if factors.relative_error > limit:
        raise NotSeparableError(_refusal(factors, limit, tolerance), factors.relative_error, limit)
    return factors


# Elements of a matrix whose rank is found in fractions, for a message: of 64×64 some seconds would go by.
_EXACT_RANK = 2**10


def _refusal(factors: Factors, limit: float, tolerance: float | None) -> str:
    norm = float(np.linalg.norm(factors.singular_values))
    tails = [
        float(np.linalg.norm(factors.singular_values[terms:])) / norm
        for terms in range(len(factors.singular_values) + 1)
    ]
    enough = next((terms for terms, tail in enumerate(tails) if tail <= max(limit, 1e-15)), len(tails) - 1)
    kernel = factors.kernel
    if (
        enough <= factors.rank
        and kernel.ndim == 2
        and kernel.dtype.kind in "iu"
        and kernel.size <= _EXACT_RANK
    ):
        # Not what float64 tells of it: of large integers the rest may be below its rounding.
        enough = len(exact_sum(kernel, min(kernel.shape)) or ())
    asked = "rounding" if tolerance is None and limit else "0" if tolerance is None else f"{limit:.3g}"
    what = (
        "not separable: the best single term"
        if factors.rank == 1
        else (f"no sum of {factors.rank} separable ones: the best")
    )
    hint = f"rank={enough} is enough" if enough > factors.rank else "a greater rank may be enough"
    return (
        f"kernel of {sizes(factors.kernel.shape)} is {what} has a relative error of "
        f"{factors.relative_error:.3g}, and tolerance is {asked}; {hint}, or pass a tolerance"
    )


def _kernel(value: ArrayLike) -> Array:
    """A private, read-only copy of a kernel, checked."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError("kernel must be a plain array; got a MaskedArray, whose mask would be ignored")
    try:
        array = np.array(value)
    except ValueError as error:
        raise ValueError(f"kernel must be an array of numbers: {error}") from None
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    elif array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        raise TypeError(
            f"kernel must hold integers, bool, float16, float32 or float64; got dtype {array.dtype}"
        )
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.ndim == 0 or array.size == 0:
        raise ValueError(f"kernel must have at least one axis and none of length 0; got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("kernel must be finite; it holds NaN or an infinity")
    if array.dtype.kind == "f":
        # No term has a larger element than its norm, which is at most the kernel's: with a factor of 2 for
        # rounding, nothing overflows.
        norm, largest = _norm(array.astype(np.longdouble)), float(np.finfo(array.dtype).max) / 2
        if norm > largest:
            raise ValueError(
                f"kernel must have a norm (root of the sum of squares) of at most {largest:.3g}, half the "
                f"largest {array.dtype}; it is greater: scale it down"
            )
    array.flags.writeable = False
    return array


def _rank(rank: int | None) -> int:
    if rank is None:
        return 1
    try:
        number = -1 if isinstance(rank, bool) else operator.index(rank)
    except TypeError:
        raise TypeError(f"rank must be None or an int; got {rank!r}") from None
    if number < 1:
        raise ValueError(f"rank must be None or an int of at least 1; got {rank!r}")
    return number


def _limit(kernel: Array, tolerance: float | None) -> float:
    if tolerance is not None:
        return check_tolerance(tolerance)
    # The SVD itself errs by some eps of float64, narrower types by the rounding of their elements.
    return 16 * float(np.finfo(kernel.dtype).eps) if kernel.dtype.kind == "f" else 0.0


def _rebuilt(
    kernel: Array, terms: tuple[tuple[Array, ...], ...], exact: tuple[ExactTerm, ...] | None
) -> Array:
    if exact is None or kernel.dtype.kind == "f":
        made: Array = reduce(np.add, [outer(vectors) for vectors in terms])
        with np.errstate(over="ignore"):
            return made.astype(kernel.dtype) if kernel.dtype.kind == "f" else made
    total: Any = 0
    for term in exact:
        vectors = [np.array(vector, dtype=object) for vector in term.vectors]
        total = total + reduce(np.multiply.outer, vectors) * term.scale
    return np.array(total, dtype=kernel.dtype)


def _distance(
    kernel: Array, terms: tuple[tuple[Array, ...], ...], exact: tuple[ExactTerm, ...] | None
) -> float:
    """Frobenius norm of what the terms leave of the kernel."""
    if exact is not None and kernel.dtype.kind != "f":
        return 0.0  # exact_term and exact_sum compare every element
    return _norm(np.subtract(kernel, _rebuilt(kernel, terms, None), dtype=np.longdouble))


def _norm(array: Array) -> float:
    """Frobenius norm, without overflow or underflow of squares."""
    largest = np.abs(array).max()
    if largest == 0:
        return 0.0
    return float(largest * np.sqrt(np.square(array / largest).sum()))


def _relative(error: float, kernel: Array) -> float:
    return error / _norm(kernel.astype(np.longdouble)) if error else 0.0
