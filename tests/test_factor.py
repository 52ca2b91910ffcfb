"""Spatial kernels as separable factors: exact where they can be, else with the SVD's error; as filters."""

from __future__ import annotations

import json
import math
import pickle
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, from_dtype
from numpy.typing import NDArray

import fastsep
from fastsep import NotSeparableError, factorize, is_separable

Array = NDArray[Any]

SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
LAPLACE = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
TEXTBOOK = [
    ("sobel", (1, 2, 1), (-1, 0, 1), 8),
    ("prewitt", (1, 1, 1), (-1, 0, 1), 6),
    ("scharr", (3, 10, 3), (-1, 0, 1), 32),
    ("scharr over ten", (3, 10, 3), (-1, 0, 1), 10),
    ("box", (1, 1, 1), (1, 1, 1), 9),
    ("box of 5 by 7", (1,) * 5, (1,) * 7, 35),
    ("binomial", (1, 4, 6, 4, 1), (1, 4, 6, 4, 1), 256),
    ("binomial of 11", *[tuple(math.comb(10, k) for k in range(11))] * 2, 2**20),
]  # fmt: skip
MODES = ("reflect", "constant", "nearest", "mirror", "wrap", "grid-mirror", "grid-constant", "grid-wrap")


def outer(*vectors: Any) -> Array:
    product: Array = reduce(np.multiply.outer, [np.asarray(vector) for vector in vectors])
    return product


def exactly(term: Any) -> Array:
    """The elements of an exact term, as fractions."""
    return outer(*(np.array(vector, dtype=object) for vector in term.vectors)) * term.scale


@st.composite
def integer_products(draw: st.DrawFn) -> tuple[Array, list[list[int]]]:
    """A kernel of one to four axes that is an outer product of integers."""
    elements = st.integers(-30, 30)
    vectors = draw(st.lists(st.lists(elements, min_size=1, max_size=5), min_size=1, max_size=4))
    return outer(*(np.array(vector, np.int64) for vector in vectors)), vectors


@st.composite
def integer_kernels(draw: st.DrawFn) -> Array:
    """Any small kernel of integers; few values, so that separable ones are not rare."""
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    size = math.prod(shape)
    values = draw(st.lists(st.integers(-2, 2), min_size=size, max_size=size))
    return np.array(values).reshape(shape)


@st.composite
def float_kernels(draw: st.DrawFn, least: int = 1, most: int = 3) -> Array:
    """Normal numbers in one of the float types."""
    shape = tuple(draw(st.lists(st.integers(1, 7), min_size=least, max_size=most)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    return generator.standard_normal(shape).astype(dtype)


def unfoldings(kernel: Array) -> list[Array]:
    return [np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1) for axis in range(kernel.ndim)]


def svd_error(kernel: Array, rank: int) -> float:
    """What Eckart and Young say that the best matrix of a rank leaves, by SciPy's singular values."""
    return float(np.linalg.norm(scipy.linalg.svdvals(kernel.astype(np.float64))[rank:]))


def rounding(kernel: Array) -> float:
    """How far LAPACK's SVD, and the terms made from it, may be off: a modest multiple of eps and the size.

    LAPACK Users' Guide, section 4.9: p(m, n)·eps·‖A‖ with p modest; 10·max(m, n) is taken for p.
    """
    real = kernel.astype(np.float64)
    unfolded = max(max(matrix.shape) for matrix in unfoldings(kernel))
    eps = float(np.finfo(kernel.dtype).eps) if kernel.dtype.kind == "f" else 2.0**-52
    return 10 * unfolded * eps * float(np.linalg.norm(real))


# Exact factors.


@pytest.mark.parametrize(("name", "column", "row", "divisor"), TEXTBOOK)
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.float32, np.float64])
def test_textbook_kernels_fall_into_the_factors_of_the_textbooks(
    name: str, column: tuple[int, ...], row: tuple[int, ...], divisor: int, dtype: Any
) -> None:
    kernel = outer(column, row)
    if kernel.max() > np.iinfo(np.int16).max and dtype is np.int16:
        dtype = np.uint16
    factors = factorize(kernel.astype(dtype))
    assert factors.exact is not None
    assert (factors.exact[0].scale, factors.exact[0].vectors) == (1, (column, row))
    assert [list(vector) for vector in factors.vectors] == [list(column), list(row)]
    assert factors.error == 0
    assert factors.outer().dtype == dtype
    assert np.array_equal(factors.outer(), kernel)
    transposed = factorize(kernel.T.astype(dtype))
    assert transposed.exact is not None
    assert transposed.exact[0].vectors == (row, column)


@pytest.mark.parametrize(("name", "column", "row", "divisor"), TEXTBOOK)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_fraction_of_a_normalised_kernel_is_found_though_its_elements_are_rounded(
    name: str, column: tuple[int, ...], row: tuple[int, ...], divisor: int, dtype: Any
) -> None:
    kernel = (outer(column, row) / divisor).astype(dtype)
    factors = factorize(kernel)
    assert factors.exact is not None
    assert factors.exact[0].scale == Fraction(1, divisor)
    assert factors.exact[0].vectors == (column, row)
    assert np.array_equal(factors.outer(), kernel)
    assert factors.error == 0
    assert is_separable(kernel)


def test_signs_are_those_of_the_textbooks() -> None:
    for kernel, vectors in (
        (-SOBEL, ((1, 2, 1), (1, 0, -1))),
        (SOBEL.T, ((-1, 0, 1), (1, 2, 1))),
        (outer((-1, 0, 1), (-1, 0, 1)), ((-1, 0, 1), (-1, 0, 1))),
        (outer((1, -2, 1), (1, 1, 1)), ((1, -2, 1), (1, 1, 1))),
    ):
        factors = factorize(kernel)
        assert factors.exact is not None
        assert factors.exact[0].scale == 1
        assert factors.exact[0].vectors == vectors
    negative = factorize(-np.ones((2, 2), int))
    assert negative.exact is not None
    assert (negative.exact[0].scale, negative.exact[0].vectors) == (-1, ((1, 1), (1, 1)))


@given(integer_products())
def test_products_of_integers_come_back_exactly(given: tuple[Array, list[list[int]]]) -> None:
    kernel, vectors = given
    factors = factorize(kernel)
    assert factors.exact is not None
    (term,) = factors.exact
    assert (exactly(term) == kernel.astype(object)).all()
    assert np.array_equal(factors.outer(), kernel)
    assert factors.error == factors.relative_error == 0
    assert np.array_equal(outer(*factors.vectors), kernel)  # small integers: float64 is exact
    for found, vector in zip(term.vectors, vectors, strict=True):
        if kernel.any():
            assert math.gcd(*found) == 1
            divisor = math.gcd(*vector)
            assert list(found) in ([n // divisor for n in vector], [-n // divisor for n in vector])
    assert is_separable(kernel)
    assert is_separable(kernel, 0)


@given(integer_kernels())
def test_integers_are_separable_if_and_only_if_every_unfolding_has_rank_1(kernel: Array) -> None:
    separable = all(np.linalg.matrix_rank(matrix) <= 1 for matrix in unfoldings(kernel))
    assert is_separable(kernel) == separable
    if separable:
        assert np.array_equal(factorize(kernel).outer(), kernel)
    else:
        with pytest.raises(NotSeparableError):
            factorize(kernel)


def test_integers_beyond_float64_are_exact() -> None:
    kernel = outer(np.array([2**31 + 1, 7], dtype=np.int64), np.array([2**31 - 1, 5], dtype=np.int64))
    factors = factorize(kernel)
    assert factors.exact is not None
    assert factors.exact[0].vectors == ((2**31 + 1, 7), (2**31 - 1, 5))
    assert np.array_equal(factors.outer(), kernel)
    kernel[0, 0] -= 1  # less than the spacing of float64 there
    assert not is_separable(kernel)


@given(st.data())
def test_a_matrix_of_integers_of_the_rank_asked_for_is_an_exact_sum(data: st.DataObject) -> None:
    rank = data.draw(st.integers(2, 4))
    seed = data.draw(st.integers(0, 2**32))
    generator = np.random.default_rng(seed)
    kernel = generator.integers(-5, 6, (5, rank)) @ generator.integers(-5, 6, (rank, 6))
    found = int(np.linalg.matrix_rank(kernel))
    factors = factorize(kernel, rank)
    assert factors.exact is not None
    assert factors.rank == max(found, 1)
    assert (sum(exactly(term) for term in factors.exact) == kernel.astype(object)).all()
    assert np.array_equal(factors.outer(), kernel)
    if found > 2:
        assert factorize(kernel, found - 1).exact is None


def test_a_sum_has_no_terms_that_are_but_rounding() -> None:
    factors = factorize(LAPLACE / 3, 3)
    assert factors.rank == 2
    assert factors.error <= rounding(LAPLACE / 3)
    assert "rank 2" in str(factors)


def test_the_laplacian_is_its_two_second_differences() -> None:
    factors = factorize(LAPLACE, 2)
    assert factors.exact is not None
    assert all(term.scale.denominator == 1 for term in factors.exact)
    assert np.array_equal(factors.outer(), LAPLACE)


# Floats.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sigma", [0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0])
def test_the_product_of_a_gaussians_factors_has_the_kernels_bits(sigma: float, dtype: Any) -> None:
    radius = int(4 * sigma + 0.5)
    profile = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = outer(profile / profile.sum(), profile / profile.sum()).astype(dtype)
    factors = factorize(kernel)
    assert np.array_equal(outer(*factors.vectors).astype(dtype), kernel)
    assert factors.error == 0
    assert factors.outer().dtype == dtype


@given(st.data())
def test_rounded_products_of_floats_are_separable_within_rounding(data: st.DataObject) -> None:
    dtype = np.dtype(data.draw(st.sampled_from([np.float16, np.float32, np.float64])))
    shape = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    # float16 has too few exponents for more than normal numbers.
    exponent = 0 if dtype == np.float16 else data.draw(st.sampled_from([0, 0, 60, -60]))
    vectors = [generator.uniform(0.5, 2, size) for size in shape]
    kernel = (outer(*vectors) * 2.0**exponent).astype(dtype)
    assert is_separable(kernel)
    factors = factorize(kernel)
    assert factors.rank == 1
    assert factors.relative_error <= 16 * np.finfo(dtype).eps
    assert all(vector.dtype == np.float64 for vector in factors.vectors)


@pytest.mark.parametrize("scale", [2.0**1000, 2.0**-1000, 5e-324 * 2**60, 1e-308])
def test_very_large_and_very_small_kernels(scale: float) -> None:
    generator = np.random.default_rng(3)
    kernel = outer(generator.uniform(0.5, 2, 4), generator.uniform(0.5, 2, 5)) * scale
    factors = factorize(kernel)
    assert factors.relative_error <= 16 * 2.0**-52
    assert np.isfinite(outer(*factors.vectors)).all()
    other = generator.standard_normal((4, 5)) * scale
    assert factorize(other, 2).relative_error == pytest.approx(factorize(other / scale, 2).relative_error)


@given(st.data())
def test_any_finite_floats_are_factorised(data: st.DataObject) -> None:
    """Zeros, subnormals and the largest numbers side by side: one term is never worse than none."""
    dtype = data.draw(st.sampled_from([np.float16, np.float32, np.float64]))
    shape = data.draw(array_shapes(min_dims=1, max_dims=3, max_side=4))
    kernel = data.draw(
        arrays(dtype, shape, elements=from_dtype(np.dtype(dtype), allow_nan=False, allow_infinity=False))
    )
    norm = np.linalg.norm(kernel.astype(np.longdouble))
    largest = np.longdouble(np.finfo(dtype).max) / 2
    if norm > largest:
        with pytest.raises(ValueError, match="kernel must have a norm"):
            factorize(kernel, 1)
        return
    factors = factorize(kernel, 1)
    assert factors.rank == 1
    assert all(np.isfinite(vector).all() for vector in factors.vectors)
    # Where products are subnormal, each may be off by half of the smallest number.
    smallest = float(np.finfo(np.float64).smallest_subnormal) * math.sqrt(kernel.size)
    assert factors.error <= norm * (1 + 1e-12) + smallest
    if factors.exact is not None:
        (term,) = factors.exact
        made = exactly(term)
        for index in np.ndindex(kernel.shape):
            assert dtype(float(made[index])) == kernel[index]
    assert is_separable(kernel) == (factors.relative_error <= 16 * np.finfo(dtype).eps)


@given(float_kernels(2, 2), st.integers(1, 7))
def test_the_error_of_a_sum_is_that_of_the_discarded_singular_values(kernel: Array, rank: int) -> None:
    factors = factorize(kernel, rank)
    assert factors.rank <= min(rank, *kernel.shape)
    assert abs(factors.error - svd_error(kernel, rank)) <= rounding(kernel)
    measured = np.linalg.norm(kernel.astype(np.float64) - sum(outer(*term) for term in factors.terms))
    assert abs(factors.error - measured) <= rounding(kernel)
    expected = scipy.linalg.svdvals(kernel.astype(np.float64))
    assert np.abs(np.array(factors.singular_values) - expected).max() <= rounding(kernel)


@given(float_kernels(3, 4).filter(lambda kernel: kernel.size <= 400))
def test_in_n_dimensions_terms_are_orthogonal_and_sum_to_the_kernel(kernel: Array) -> None:
    norms = factorize(kernel, 1).singular_values
    assert list(norms) == sorted(norms, reverse=True)
    norm = np.linalg.norm(kernel.astype(np.float64))
    assert abs(np.linalg.norm(norms) - norm) <= rounding(kernel)
    for rank in {2, len(norms) // 2, len(norms)} - {0, 1}:
        factors = factorize(kernel, rank)
        assert abs(factors.error - np.linalg.norm(norms[rank:])) <= rounding(kernel)
    complete = factorize(kernel, len(norms))
    assert complete.error <= rounding(kernel)


@given(float_kernels(3, 4).filter(lambda kernel: kernel.size <= 400))
def test_one_term_in_n_dimensions_is_within_the_bounds_of_the_higher_order_svd(kernel: Array) -> None:
    """De Lathauwer et al. (2000): no better than any unfolding allows, no worse than all of them together."""
    factors = factorize(kernel, 1)
    tails = [svd_error(matrix, 1) for matrix in unfoldings(kernel)]
    assert factors.error >= max(tails) - rounding(kernel)
    assert factors.error <= np.linalg.norm(tails) + rounding(kernel)


# Refusals.


@given(st.one_of(integer_kernels().filter(lambda kernel: kernel.ndim == 2), float_kernels(2, 2)))
def test_a_refusal_names_the_best_relative_error(kernel: Array) -> None:
    norm = float(np.linalg.norm(kernel.astype(np.float64)))
    best = svd_error(kernel, 1) / norm if norm else 0.0
    if best < 1e-3:  # separable, or so nearly that rounding shows in the figures of the message
        return
    for arguments in ({}, {"tolerance": best / 2}, {"rank": 1, "tolerance": best / 2}):
        with pytest.raises(NotSeparableError) as refusal:
            factorize(kernel, **arguments)
        assert refusal.value.relative_error == pytest.approx(best, rel=1e-4)
        assert f"{refusal.value.relative_error:.3g}" in str(refusal.value)
        assert "rank=" in str(refusal.value)
    assert not is_separable(kernel)
    assert not is_separable(kernel, best / 2)
    assert is_separable(kernel, best * 1.01)
    assert factorize(kernel, tolerance=best * 1.01).relative_error == pytest.approx(best, rel=1e-4)


def test_the_rank_that_a_refusal_recommends_is_enough() -> None:
    with pytest.raises(NotSeparableError, match="rank=2 is enough") as refusal:
        factorize(LAPLACE)
    assert factorize(LAPLACE, 2).error == 0
    with pytest.raises(NotSeparableError, match="no sum of 2") as refusal:
        factorize(np.diag([3.0, 2.0, 1.0]), 2, tolerance=0.1)
    assert refusal.value.relative_error == pytest.approx(1 / math.sqrt(14))
    copy = pickle.loads(pickle.dumps(refusal.value))
    assert str(copy) == str(refusal.value)
    assert copy.relative_error == refusal.value.relative_error


# Filters.


def apply_bound(image: Array, factors: fastsep.Factors, mode: str, cval: float) -> Array:
    """How far `apply` may be from SciPy in float64.

    A product goes through a rounding of the vector, at most n additions and one multiplication on every axis,
    a rounding of the value outside on every axis, and one addition a term: γ_N of the sum of absolute values.
    SciPy and the float64 kernel it is given err by as much again in float64.
    """
    sizes = factors.kernel.shape
    unit = float(np.finfo(image.dtype).eps) / 2
    count = sum(sizes) + 3 * len(sizes) + factors.rank
    double = (factors.kernel.size + factors.rank + len(sizes)) * 2.0**-53
    gamma = count * unit / (1 - count * unit) + 2 * double
    weights = sum(np.abs(outer(*term)) for term in factors.terms)
    sums: Array = scipy.ndimage.correlate(
        np.abs(image).astype(np.float64), weights, mode=mode, cval=abs(cval)
    )
    return gamma * sums


@pytest.mark.usefixtures("isa")
@given(st.data())
def test_apply_is_scipys_correlation(data: st.DataObject) -> None:
    axes = data.draw(st.integers(1, 4))
    lengths = st.lists(st.integers(1, 6), min_size=axes, max_size=axes)
    taps, shape = tuple(data.draw(lengths)), tuple(data.draw(lengths))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    kernel = generator.standard_normal(taps)
    factors = factorize(kernel, data.draw(st.integers(1, 3)))
    image = generator.standard_normal(shape).astype(data.draw(st.sampled_from([np.float32, np.float64])))
    mode, cval = data.draw(st.sampled_from(MODES)), data.draw(st.sampled_from([0.0, -1.5]))
    before = image.copy()
    filtered = factors.apply(image, mode=mode, cval=cval)
    assert np.array_equal(image, before)
    assert filtered.dtype == image.dtype
    expected = scipy.ndimage.correlate(
        image.astype(np.float64), sum(outer(*term) for term in factors.terms), mode=mode, cval=cval
    )
    assert (np.abs(filtered - expected) <= apply_bound(image, factors, mode, cval)).all()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(20, 30), (3, 3), (5, 4)])
def test_apply_where_the_kernel_fits_is_scipys_convolution(shape: tuple[int, int], dtype: Any) -> None:
    generator = np.random.default_rng(0)
    image = generator.standard_normal(shape).astype(dtype)
    # Integers below 2**20 make every product and every sum exact.
    whole = generator.integers(-1000, 1000, shape).astype(dtype)
    for values, exact in ((image, False), (whole, True)):
        filtered = factorize(SOBEL).apply(values, mode="valid")
        expected = scipy.signal.convolve2d(values.astype(np.float64), SOBEL[::-1, ::-1], mode="valid")
        assert filtered.shape == expected.shape
        if exact:
            assert np.array_equal(filtered, expected)
        else:
            assert np.abs(filtered - expected).max() <= 16 * np.finfo(dtype).eps * 8 * np.abs(image).max()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, bool])
def test_integer_images_are_filtered_in_double_and_exactly(dtype: Any) -> None:
    image = np.random.default_rng(0).integers(0, 2 if dtype is bool else 127, (13, 17)).astype(dtype)
    for kernel, rank in ((SOBEL, 1), (LAPLACE, 2)):
        filtered = factorize(kernel, rank).apply(image)
        assert filtered.dtype == np.float64
        assert np.array_equal(filtered, scipy.ndimage.correlate(image.astype(np.int64), kernel))


@pytest.mark.usefixtures("isa")
def test_apply_takes_any_layout_and_number_of_threads() -> None:
    image = np.random.default_rng(0).standard_normal((40, 50)).astype(np.float32)
    factors = factorize(SOBEL)
    expected = factors.apply(image)
    for same in (np.asfortranarray(image), image.astype(">f4"), np.repeat(image, 2, axis=1)[:, ::2]):
        assert np.array_equal(factors.apply(same), expected)
    assert np.array_equal(factors.apply(image, threads=1), factors.apply(image, threads=2))


# What results say.


def test_results_print_as_tables_and_become_dictionaries() -> None:
    factors = factorize(SOBEL / 8)
    text = str(factors)
    for part in ("3×3", "float64", "rank 1", "exact", "1/8", "1  2  1", "-1  0  1", "9 → 6"):
        assert part in text, text
    figures = json.loads(json.dumps(factors.to_dict()))
    assert figures["exact"] == [{"scale": "1/8", "vectors": [[1, 2, 1], [-1, 0, 1]]}]
    assert np.array_equal(outer(*figures["terms"][0]), SOBEL / 8)
    assert figures["multiplications"] == [9, 6]
    approximate = factorize(np.random.default_rng(0).standard_normal((5, 5)), 2)
    assert f"{approximate.relative_error:.3g}" in str(approximate)
    assert "25 → 20" in str(approximate)
    assert json.loads(json.dumps(approximate.to_dict()))["exact"] is None


def test_factors_keep_a_copy_and_can_be_pickled() -> None:
    kernel = SOBEL.copy()
    factors = factorize(kernel)
    kernel[:] = 0
    assert np.array_equal(factors.kernel, SOBEL)
    with pytest.raises(ValueError, match="read-only"):
        factors.kernel[0, 0] = 1
    copy = pickle.loads(pickle.dumps(factors))
    assert np.array_equal(copy.outer(), SOBEL)
    with pytest.raises(ValueError, match="there are 2: use terms"):
        _ = factorize(LAPLACE, 2).vectors


def test_zeros_are_separable() -> None:
    for kernel in (np.zeros((3, 4)), np.zeros((2, 3, 2), np.int8)):
        assert is_separable(kernel)
        factors = factorize(kernel, 2)
        assert factors.relative_error == 0
        assert np.array_equal(factors.outer(), kernel)


# Arguments.


@pytest.mark.parametrize(
    ("kernel", "error", "message"),
    [
        (np.ones((2, 2), complex), TypeError, "kernel must hold integers.*complex128"),
        (np.ones((2, 2), np.longdouble), TypeError, "kernel must hold integers.*got dtype"),
        (["a", "b"], TypeError, "kernel must hold integers"),
        ([[1, 2], [3]], ValueError, "kernel must be an array of numbers"),
        (np.float64(1), ValueError, r"kernel must have at least one axis.*got shape \(\)"),
        (np.ones((0, 3)), ValueError, r"kernel must have at least one axis.*got shape \(0, 3\)"),
        ([[1.0, np.nan]], ValueError, "kernel must be finite"),
        ([[1.0, np.inf]], ValueError, "kernel must be finite"),
        ([1e308, 1e308], ValueError, "kernel must have a norm .* of at most 8.99e.307"),
        (np.ma.masked_array([1.0], [True]), TypeError, "kernel must be a plain array; got a MaskedArray"),
    ],
)
@pytest.mark.parametrize("function", [factorize, is_separable])
def test_bad_kernels(function: Any, kernel: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        function(kernel)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rank": 0}, ValueError, "rank must be None or an int of at least 1; got 0"),
        ({"rank": True}, ValueError, "rank must be None or an int of at least 1; got True"),
        ({"rank": 1.5}, TypeError, "rank must be None or an int; got 1.5"),
        ({"tolerance": -1}, ValueError, "tolerance must be at least 0; got -1"),
        ({"tolerance": math.nan}, ValueError, "tolerance must be at least 0; got nan"),
        ({"tolerance": "small"}, TypeError, "tolerance must be None or a number; got 'small'"),
    ],
)
def test_bad_options(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        factorize(SOBEL, **arguments)


@pytest.mark.parametrize(
    ("image", "options", "error", "message"),
    [
        (np.ones((4, 4), complex), {}, TypeError, "image must have dtype float32.*got complex128"),
        (np.ones((4, 4), np.float16), {}, TypeError, "image must have dtype float32.*got float16"),
        (np.ma.masked_array(np.ones((4, 4))), {}, TypeError, "image must be a plain np.ndarray"),
        ([[1.0]], {}, TypeError, "image must be a np.ndarray"),
        (np.ones(4), {}, ValueError, r"image must have as many axes as the kernel, 2; got shape \(4,\)"),
        (np.ones((0, 4)), {}, ValueError, r"image must not be empty; got shape \(0, 4\)"),
        (np.ones((4, 4)), {"mode": "same"}, ValueError, "mode must be one of reflect.*got 'same'"),
        (np.ones((4, 4)), {"threads": 0}, ValueError, "threads"),
    ],
)
def test_bad_images(image: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        factorize(SOBEL).apply(image, **options)


def test_the_rank_that_is_enough_is_that_of_the_integers() -> None:
    """The second singular value is below the rounding of the first."""
    kernel = [[2**62, 2**62], [2**62, 2**62 - 1]]
    with pytest.raises(NotSeparableError, match="rank=2 is enough"):
        factorize(kernel)
    assert factorize(kernel, 2).rank == 2
