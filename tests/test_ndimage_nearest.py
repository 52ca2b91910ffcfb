"""`rounding="nearest"`: the specification in big integers to the bit, and the real filter to one count."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import filters
import numpy as np
import pytest
import scipy.ndimage
import skimage.data
from bounds import assert_same_bits
from hypothesis import assume, given
from hypothesis import strategies as st

import fastsep.ndimage as ndi
from fastsep import _reference, _reference_filters
from fastsep._passes import Pass, in_integers

pytestmark = pytest.mark.usefixtures("isa")
NARROW = "?bBhH"


def by_reference(call: filters.Call, dtype: Any) -> Any:
    """The passes of a call, by the integers that the kernels are given."""
    kind = np.dtype(dtype)
    passes = [
        Pass(
            step.axis, "box" if step.box else "correlate", None if step.box else step.weights.astype(float),
            len(step.weights), step.before, step.mode, step.cval,
        )
        for step in call.steps
    ]  # fmt: skip
    _, whole, factors, digits = in_integers(tuple(passes), kind)
    return _reference.filter_in_integers(call.input, whole, factors, kind, digits)


@given(call=filters.one_traversal_calls(NARROW))
def test_the_bits_are_those_of_big_integers(call: filters.Call) -> None:
    assume(call.steps and call.input.size)
    kind = call.input.dtype.newbyteorder("=")
    try:
        expected = by_reference(call, kind)
    except ValueError:
        with pytest.raises(ValueError, match="too large"):
            call(ndi, rounding="nearest")
        return
    assert_same_bits(call(ndi, rounding="nearest"), expected)


@given(call=filters.one_traversal_calls("?bB"), output=st.just("h"), threads=st.sampled_from([1, 2]))
def test_wider_output_and_threads(call: filters.Call, output: str, threads: int) -> None:
    assume(call.steps and call.input.size)
    expected = by_reference(call, output)
    assert_same_bits(call(ndi, rounding="nearest", output=np.dtype(output), threads=threads), expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("sigma", [0.7, 1, 2.5, 3, 10])
def test_a_gaussian_is_at_most_one_count_from_the_real_one(dtype: str, sigma: float) -> None:
    image = skimage.data.camera().astype(dtype) * (1 if dtype == "uint8" else 257)
    real = scipy.ndimage.gaussian_filter(image.astype(np.float64), sigma)
    off = np.abs(ndi.gaussian_filter(image, sigma, rounding="nearest").astype(float) - np.floor(real + 0.5))
    assert off.max() <= 1
    # lines.md: of noise and of a smooth picture 0.09 to 0.22 %.
    assert np.count_nonzero(off) < off.size / 200


def sums_of_windows(call: filters.Call) -> tuple[Any, int]:
    """Of boxes one behind the other, in integers of any size, and the number of terms."""
    sums, terms = call.input.astype(object), 1
    for step in call.steps:
        size = len(step.weights)
        beyond = terms * Fraction(step.cval)
        extended = _reference_filters.extend(
            sums, step.axis, step.before, size - 1 - step.before, step.mode, beyond
        )
        sums = np.lib.stride_tricks.sliding_window_view(extended, size, step.axis).sum(-1)
        terms *= size
    return sums, terms


@given(
    call=filters.uniform_filter_calls(NARROW) | filters.uniform_filter1d_calls(NARROW),
    threads=st.sampled_from([1, 2]),
)
def test_a_box_is_the_mean_of_its_window_rounded_once(call: filters.Call, threads: int) -> None:
    """⌊Σ / size + ½⌋, where sums fit 24 bits and what lies beyond the ends is a whole number of the type."""
    assume(call.steps and call.input.size)
    kind = call.input.dtype.newbyteorder("=")
    sums, terms = sums_of_windows(call)
    low, high = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
    expected = np.clip((2 * sums + terms) // (2 * terms), low, high).astype(kind)
    actual = call(ndi, rounding="nearest", threads=threads)
    cvals = [step.cval for step in call.steps if step.mode == "constant"]
    whole = all(cval.is_integer() and low <= cval <= high for cval in cvals)
    if whole and terms * 2 ** (8 * kind.itemsize) < 2**24:
        assert_same_bits(actual, expected)
    else:
        assert np.abs(actual.astype(int) - expected.astype(int)).max() <= 1


def test_it_saturates() -> None:
    image = np.array([[0, 255, 0], [255, 255, 0], [0, 0, 255]], np.uint8)
    assert set(np.unique(ndi.correlate1d(image, [-1, 0, 1], rounding="nearest"))) == {0, 255}
    exact = ndi.sobel(image.astype(int))
    assert_same_bits(ndi.sobel(image, rounding="nearest"), np.clip(exact, 0, 255).astype(np.uint8))
    assert_same_bits(
        ndi.correlate1d(image > 0, [1, 1, 1], rounding="nearest"),
        ndi.correlate1d(image // 255, [1, 1, 1]) > 0,
    )


@pytest.mark.parametrize(
    ("given", "stored"),
    [("f4", "u1"), ("u2", "u1"), ("i1", "u2"), ("i8", "i8"), ("i4", "i4"), ("u1", "u8"), ("u1", "f4")],
)
def test_what_it_is_not_for_is_refused(given: str, stored: str) -> None:
    with pytest.raises(ValueError, match="rounding"):
        ndi.gaussian_filter(np.zeros((4, 5), given), 1, output=np.dtype(stored), rounding="nearest")


@pytest.mark.parametrize("cval", [np.nan, np.inf, -np.inf])
def test_a_constant_must_be_finite(cval: float) -> None:
    image = np.zeros((5, 6), np.uint8)
    with pytest.raises(ValueError, match=r"cval must be finite with rounding=\"nearest\".*got"):
        ndi.gaussian_filter(image, 1, mode="constant", cval=cval, rounding="nearest")
    # Nothing lies beyond.
    assert_same_bits(ndi.gaussian_filter(image, 1, cval=cval, rounding="nearest"), image)
