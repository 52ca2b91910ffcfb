"""What `fastsep.ndimage` has beyond SciPy: mode="valid", nan_policy, separable_filter, scharr."""

from __future__ import annotations

from typing import Any

import filters
import numpy as np
import pytest
import scipy.ndimage
from bounds import assert_same_bits
from hypothesis import given
from hypothesis import strategies as st

import fastsep.ndimage as ndi

pytestmark = pytest.mark.usefixtures("isa")
EVERY = filters.INTEGERS + filters.FLOATS


def inside(filtered: Any, axis: int, size: int) -> Any:
    """Those positions of a filtered array whose windows lie within the input."""
    length = filtered.shape[axis]
    first = min(size // 2, length)
    count = max(0, length - size + 1)
    return filtered[(slice(None),) * axis + (slice(first, first + count),)]


@given(array=filters.arrays(EVERY), taps=filters.kernels(), data=st.data())
def test_valid_is_the_inside_of_any_other_mode(array: Any, taps: Any, data: Any) -> None:
    axis = data.draw(st.integers(0, array.ndim - 1))
    whole = ndi.correlate1d(array, taps, axis, mode="constant", cval=3.0)
    assert_same_bits(ndi.correlate1d(array, taps, axis, mode="valid"), inside(whole, axis, len(taps)))
    turned = ndi.convolve1d(array, taps, axis, mode="wrap", origin=0 if len(taps) % 2 else -1)
    assert_same_bits(ndi.convolve1d(array, taps, axis, mode="valid"), inside(turned, axis, len(taps)))


@given(array=filters.arrays(EVERY), sigma=st.sampled_from([0.5, 1.0]), size=filters.sizes)
def test_valid_along_all_axes(array: Any, sigma: float, size: int) -> None:
    reach = 2 * int(4 * sigma + 0.5) + 1
    smooth, mean = ndi.gaussian_filter(array, sigma), ndi.uniform_filter(array, size)
    sobel = ndi.sobel(array, 0)
    for axis in range(array.ndim):
        smooth, mean, sobel = inside(smooth, axis, reach), inside(mean, axis, size), inside(sobel, axis, 3)
    assert_same_bits(ndi.gaussian_filter(array, sigma, mode="valid"), np.ascontiguousarray(smooth))
    assert_same_bits(ndi.sobel(array, 0, mode="valid"), np.ascontiguousarray(sobel))
    actual = ndi.uniform_filter(array, size, mode="valid")
    assert_same_bits(actual, np.ascontiguousarray(mean))


@given(array=filters.arrays("fdhl"), data=st.data())
def test_valid_n_d(array: Any, data: Any) -> None:
    shape = tuple(data.draw(st.integers(1, 4)) for _ in range(array.ndim))
    weights = np.random.default_rng(data.draw(filters.seeds)).integers(-3, 4, shape)
    name = data.draw(st.sampled_from(["correlate", "convolve"]))
    turned = weights[(slice(None, None, -1),) * weights.ndim] if name == "convolve" else weights
    whole = scipy.ndimage.correlate(array, turned)
    for axis, size in enumerate(shape):
        whole = inside(whole, axis, size)
    actual = getattr(ndi, name)(array, weights, mode="valid", method="direct", precision="double")
    assert_same_bits(actual, np.ascontiguousarray(whole))


@given(array=filters.arrays("fdi"), data=st.data())
def test_valid_laplacians(array: Any, data: Any) -> None:
    modes = [data.draw(st.sampled_from(["valid", "reflect"])) for _ in range(array.ndim)]
    expected, smooth = scipy.ndimage.laplace(array), scipy.ndimage.gaussian_laplace(array, 0.5)
    for axis, mode in enumerate(modes):
        expected = inside(expected, axis, 3) if mode == "valid" else expected
        smooth = inside(smooth, axis, 5)
    actual = ndi.laplace(array, mode=modes, precision="double")
    assert_same_bits(actual, np.ascontiguousarray(expected))
    actual = ndi.gaussian_laplace(array, 0.5, mode="valid", precision="double")
    assert_same_bits(actual, np.ascontiguousarray(smooth))


def test_valid_writes_to_an_output_of_the_right_shape() -> None:
    array = filters.values(0, (20, 30), np.float32)
    output = np.empty((18, 28), np.float64)
    for name in ("laplace", "sobel", "prewitt", "scharr"):
        assert getattr(ndi, name)(array, output=output, mode="valid") is output
        assert_same_bits(output, getattr(ndi, name)(array, output=np.float64, mode="valid"))


def by_scipy(values: Any, kernels: Any, mode: str, beyond: list[float]) -> Any:
    for axis, kernel in enumerate(kernels):
        values = scipy.ndimage.correlate1d(values, kernel, axis, mode=mode, cval=beyond[axis])
    return values


@given(array=filters.arrays("fd"), data=st.data())
def test_omitting_is_normalised_convolution(array: Any, data: Any) -> None:
    """The mean over what is not NaN, by its definition; the plain filter's bits where nothing is missing."""
    generator = np.random.default_rng(data.draw(filters.seeds))
    missing = generator.random(array.shape) < data.draw(st.sampled_from([0.02, 0.3, 0.9]))
    sizes = [data.draw(st.sampled_from([1, 2, 3, 5])) for _ in array.shape]
    kernels = [generator.integers(0, 4, size) + (np.arange(size) == size // 2) for size in sizes]
    mode, cval = data.draw(filters.modes), data.draw(filters.cvals)
    holed = np.where(missing, array.dtype.type(np.nan), array)
    filled = np.where(missing, array.dtype.type(0), array)
    actual = ndi.separable_filter(holed, kernels, mode=mode, cval=cval, nan_policy="omit")

    sums = np.cumprod([1.0, *(kernel.sum() for kernel in kernels)])
    weight = by_scipy((~missing).astype(float), kernels, mode, list(sums[:-1]))
    total = by_scipy(filled.astype(float), kernels, mode, [cval] * array.ndim)
    nothing = weight == 0
    expected = total[~nothing] / weight[~nothing] * sums[-1]
    assert np.isnan(actual[nothing]).all()
    largest = np.abs(filled).max(initial=abs(cval)) * sums[-1]
    tolerance = 8 * sum(sizes) * np.finfo(array.dtype).eps * largest * sums[-1]
    np.testing.assert_allclose(actual[~nothing], expected, rtol=0, atol=tolerance)

    plain = ndi.separable_filter(filled, kernels, mode=mode, cval=cval)
    whole = weight == sums[-1]
    assert_same_bits(actual[whole], plain[whole].astype(plain.dtype.newbyteorder("=")))


@given(array=filters.arrays("fd"), data=st.data())
def test_omitting_by_a_kernel_with_as_many_axes(array: Any, data: Any) -> None:
    generator = np.random.default_rng(data.draw(filters.seeds))
    missing = generator.random(array.shape) < data.draw(st.sampled_from([0.02, 0.3, 0.9]))
    shape = tuple(data.draw(st.integers(1, 3)) for _ in range(array.ndim))
    kernel = generator.integers(0, 4, shape).astype(float)
    kernel.flat[0] += 1
    mode, cval = data.draw(filters.modes), data.draw(filters.cvals)
    holed = np.where(missing, array.dtype.type(np.nan), array)
    filled = np.where(missing, array.dtype.type(0), array)
    actual = ndi.correlate(holed, kernel, mode=mode, cval=cval, nan_policy="omit")
    weight = scipy.ndimage.correlate((~missing).astype(float), kernel, mode=mode, cval=1.0)
    total = scipy.ndimage.correlate(filled.astype(float), kernel, mode=mode, cval=cval)
    nothing, whole = weight == 0, weight == kernel.sum()
    assert np.isnan(actual[nothing]).all()
    expected = total[~nothing] / weight[~nothing] * kernel.sum()
    largest = np.abs(filled).max(initial=abs(cval)) * kernel.sum()
    tolerance = 8 * kernel.size * np.finfo(array.dtype).eps * largest * kernel.sum()
    np.testing.assert_allclose(actual[~nothing], expected, rtol=0, atol=tolerance)
    plain = ndi.correlate(filled, kernel, mode=mode, cval=cval)
    assert_same_bits(actual[whole], plain[whole])


@pytest.mark.parametrize("method", ["auto", "direct", "separable"])
@pytest.mark.parametrize("mode", ["reflect", "constant", "valid"])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_omitting_has_the_bits_of_the_same_method(kind: str, mode: str, method: str) -> None:
    """Of a kernel that is an outer product, with a row of zeros under which an infinity is not seen."""
    rng = np.random.default_rng(6)
    kernel = np.outer([1.0, 0, 2, 1], [0.3, 0.2, 0.5])
    image = rng.random((40, 50)).astype(kind)
    image[5, 5] = np.inf
    keywords = {"mode": mode, "cval": 1.5, "method": method}
    plain = ndi.correlate(image, kernel, **keywords)
    assert_same_bits(ndi.correlate(image, kernel, nan_policy="omit", **keywords), plain)
    image[:, 30:][rng.random((40, 20)) < 0.2] = np.nan
    omitting: Any = ndi.correlate(image, kernel, nan_policy="omit", **keywords)
    assert_same_bits(omitting[:, :25], plain[:, :25])
    summed: Any = ndi.correlate(image, kernel, nan_policy="omit", **keywords | {"method": "direct"})
    np.testing.assert_allclose(omitting, summed, rtol=1e-5)
    image[...] = np.nan
    assert np.isnan(ndi.correlate(image, kernel, nan_policy="omit", **keywords | {"mode": "reflect"})).all()


def test_omitting_by_a_nearly_separable_kernel_with_a_row_of_zeros() -> None:
    """Of a row of zeros an SVD leaves some 1e-17, which is no weight."""
    across = np.array([0.1, 0.25, 0.3, 0.35])
    kernel = np.outer([0, 0.3, 0.7, 0.11], across)
    kernel[1:] *= 1 + np.array([[1, -1, 1, 0], [0, 1, -1, 1], [-1, 0, 1, 1]]) * 2.0**-52
    image = np.full((6, 7), np.nan)
    image[1] = 1
    for method in ("direct", "separable"):
        keywords: dict[str, Any] = {"mode": "constant", "method": method, "nan_policy": "omit"}
        # Rows whose windows hold row 1 under the row of zeros alone have no pixel to go by.
        assert np.isnan(ndi.correlate(image, kernel, **keywords)[3, 2:6]).all(), method


def test_omitting_by_every_smoothing_filter() -> None:
    generator = np.random.default_rng(0)
    image = np.full((30, 40), 7.0, np.float32)
    image[generator.random(image.shape) < 0.2] = np.nan
    taps = [1, 2, 1]
    for result in (
        ndi.gaussian_filter(image, 1.5, nan_policy="omit"),
        ndi.gaussian_filter1d(image, 3, nan_policy="omit"),
        ndi.uniform_filter(image, 9, nan_policy="omit"),
        ndi.uniform_filter1d(image, 15, 0, nan_policy="omit"),
        ndi.correlate1d(image, taps, mode="valid", nan_policy="omit") / 4,
        ndi.convolve1d(image, taps, cval=7, mode="constant", nan_policy="omit") / 4,
    ):
        present = ~np.isnan(result)
        assert present.mean() > 0.9
        np.testing.assert_allclose(result[present], 7, rtol=1e-6)
    assert np.isnan(ndi.gaussian_filter(image, 1.5)).mean() > 0.9


def test_omitting_takes_complex_input_whose_parts_miss_alike() -> None:
    image = np.full((9, 8), 2 - 1j)
    image[3, 4] = complex(np.nan, 0)
    np.testing.assert_allclose(ndi.gaussian_filter(image, 1, nan_policy="omit"), 2 - 1j)


def test_a_constant_that_is_nan_is_missing_too() -> None:
    image = np.full((9, 8), 3.0)
    image[0, 0] = np.nan
    result = ndi.gaussian_filter(image, 1, mode="constant", cval=np.nan, nan_policy="omit")
    np.testing.assert_allclose(result, 3)
    image[0, 0] = 3
    result = ndi.gaussian_filter(image, 1, mode="constant", cval=np.nan, nan_policy="omit")
    np.testing.assert_allclose(result, 3)


@given(array=filters.arrays(EVERY), data=st.data())
def test_separable_filter_is_one_correlation_after_another(array: Any, data: Any) -> None:
    axes = data.draw(st.none() | st.permutations(range(array.ndim)))
    along = range(array.ndim) if axes is None else axes
    kernels = [data.draw(st.none() | filters.kernels()) for _ in along]
    modes = [data.draw(filters.modes) for _ in along]
    sizes = [1 if kernel is None else len(kernel) for kernel in kernels]
    origins = [data.draw(st.integers(-(size // 2), (size - 1) // 2)) for size in sizes]
    cval = data.draw(filters.cvals)
    expected = array
    for axis, kernel, mode, origin in zip(along, kernels, modes, origins, strict=True):
        if kernel is not None:
            expected = ndi.correlate1d(expected, kernel, axis, mode=mode, cval=cval, origin=origin)
    actual = ndi.separable_filter(array, kernels, axes, mode=modes, cval=cval, origin=origins)
    assert_same_bits(actual, np.ascontiguousarray(expected, actual.dtype))


def test_scharr_is_the_kernel_of_scharr() -> None:
    image = filters.values(1, (20, 30), np.int32)
    kernel = np.outer([3, 10, 3], [-1, 0, 1])
    assert_same_bits(ndi.scharr(image), scipy.ndimage.correlate(image, kernel))
    assert_same_bits(ndi.scharr(image, 0), scipy.ndimage.correlate(image, kernel.T))


@given(array=filters.arrays(EVERY), output=st.sampled_from([None, *"hiqfd"]), data=st.data())
def test_scharr_is_one_pass_after_another_by_scipy(array: Any, output: str | None, data: Any) -> None:
    axis = data.draw(st.integers(-array.ndim, array.ndim - 1))
    mode, modes = filters.per_axis(data.draw, filters.modes, array.ndim)
    cval, kind = data.draw(filters.cvals), None if output is None else np.dtype(output)
    along = axis % array.ndim
    expected = array
    for i in [along, *(i for i in range(array.ndim) if i != along)]:
        taps = [-1, 0, 1] if i == along else [3, 10, 3]
        expected = scipy.ndimage.correlate1d(expected, taps, i, kind, modes[i], cval)
    actual = ndi.scharr(array, axis, kind, mode, cval, precision="double")
    assert_same_bits(actual, expected)
    if actual.dtype.kind in "iub":
        assert_same_bits(ndi.scharr(array, axis, kind, mode, cval), expected)


@pytest.mark.parametrize("name", ["laplace", "gaussian_laplace", "gaussian_gradient_magnitude"])
def test_sums_over_axes_may_be_written_over_the_input(name: str) -> None:
    image = filters.values(0, (20, 30), np.float64)
    arguments = () if name == "laplace" else (1.0,)
    expected = getattr(ndi, name)(image, *arguments)
    assert_same_bits(getattr(ndi, name)(image, *arguments, output=image), expected)
    assert_same_bits(image, expected)
