"""Every activation in every epilogue: within the promised ulp, and right at the edges of the format."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from bounds import IN_DOUBLES, activation_ulps, assert_same_bits, curve, ulp
from numpy.typing import NDArray
from strategies import ACTIVATIONS

import fastsep
from fastsep import _activations, _reference

Array = NDArray[Any]

pytestmark = pytest.mark.usefixtures("isa")


@functools.cache
def sample(dtype: Any) -> Array:
    """Arguments: all magnitudes, every binade of both signs, the bends, and arbitrary bits."""
    info = np.finfo(dtype)
    magnitudes = np.concatenate(
        [
            2.0 ** np.arange(int(np.log2(float(info.tiny))), info.maxexp - 1, max(1, info.maxexp // 128)),
            np.logspace(-6, 3, 1500),
            np.linspace(0, 40, 1600),
            np.linspace(80, 110, 200),
            np.linspace(700, 760, 200),
        ]
    ).astype(dtype)
    bends = np.array([3, 6, 1, 0.5, np.sqrt(2), 37.5, 38.6, 14, 12.9], dtype)
    nearby = np.concatenate([np.nextafter(bends, dtype(0)), bends, np.nextafter(bends, dtype(np.inf))])
    small = np.array([0, info.smallest_subnormal, 3 * info.smallest_subnormal, info.tiny, info.max], dtype)
    integers = np.random.default_rng(1).integers(0, 2 ** (8 * info.dtype.itemsize), 1500, np.uint64)
    arbitrary = integers.astype(f"u{info.dtype.itemsize}").view(dtype)
    arbitrary = arbitrary[np.isfinite(arbitrary)]
    positive = np.concatenate([magnitudes, nearby, small])
    return np.concatenate([positive, -positive, arbitrary])


@functools.cache
def dense_sample(dtype: Any) -> Array:
    """`sample`, and more of the bend of every curve."""
    return np.concatenate([sample(dtype), np.linspace(-16, 16, 4_001).astype(dtype)])


@functools.cache
def exact(activation: str, dtype: Any) -> Array:
    return _reference.activate(dense_sample(dtype).astype(np.longdouble), activation)


def one_channel(values: Array, activation: Any) -> Array:
    """The activation alone: a pointwise convolution by 1, in the tail of a vector."""
    image = values[np.newaxis, :, np.newaxis]
    return fastsep.pointwise_conv(image, np.ones((1, 1), values.dtype), activation=activation)[0, :, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_error_in_ulp(activation: str, dtype: Any) -> None:
    values, expected = dense_sample(dtype), exact(activation, dtype)
    actual = one_channel(values, activation)
    error = np.abs(actual.astype(np.longdouble) - expected) / ulp(expected, np.dtype(dtype))
    worst = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
    assert error[worst] <= activation_ulps(activation, np.dtype(dtype)), (
        f"{activation}({values[worst]!r}) = {actual[worst]!r} instead of {expected[worst]!r}"
    )


@pytest.mark.parametrize("activation", IN_DOUBLES)
def test_the_bounds_curves_are_exact_beside_float32(activation: str) -> None:
    """What tests/bounds.py computes by doubles, against the definition's decimals."""
    actual = curve(dense_sample(np.float32).astype(float), activation)
    expected = exact(activation, np.float32)
    # float32's smallest number is 1.4e-45.
    assert (np.abs(actual - expected) <= 1e-12 * np.abs(expected) + 1e-300).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", [*ACTIVATIONS, (-1.5, 2.0)])
def test_every_kernel_applies_the_same_function(activation: Any, dtype: Any) -> None:
    """Whole vectors and tails, and the epilogue of every family, give the bits of one channel alone."""
    values = sample(dtype)
    expected = one_channel(values, activation)
    wide = np.repeat(expected[:, np.newaxis], 37, axis=1)
    twice = one_channel(expected, activation) + dtype(0)
    column = values[np.newaxis, :, np.newaxis]
    broad = np.repeat(column, 37, axis=2)
    ones, one, one_tap = np.ones((1, 37), dtype), np.ones((1, 1, 1), dtype), np.ones((1, 37, 1), dtype)
    options = {"activation": activation}
    assert_same_bits(fastsep.pointwise_conv(column, ones, **options)[0], wide)
    assert_same_bits(fastsep.conv(column, ones[np.newaxis], **options)[0], wide)
    assert_same_bits(fastsep.depthwise_conv(broad, one_tap, **options)[0], wide)
    assert_same_bits(fastsep.separable_conv(column, one, ones, **options)[0], wide)
    assert_same_bits(fastsep.InvertedResidual(one[0], one, one[0], **options)(column)[0, :, 0], twice)
    filtered = fastsep.separable_conv(column, one, one[0], depthwise_activation=activation)
    # A sum starts from +0, which turns a product of -0 into +0.
    assert_same_bits(filtered[0, :, 0], expected + dtype(0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS, (-1.5, 2.0), (-np.inf, 0.0), (0.0, np.inf)])
@pytest.mark.parametrize("channels", [1, 16, 19])
def test_nan_infinities_and_zeros(activation: Any, dtype: Any, channels: int) -> None:
    values = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0], dtype)
    expected = _reference.activate(values.astype(np.longdouble), activation).astype(dtype)
    wide = np.repeat(expected[:, np.newaxis], channels, axis=1)
    column = values[np.newaxis, :, np.newaxis]
    actual = fastsep.pointwise_conv(column, np.ones((1, channels), dtype), activation=activation)
    np.testing.assert_array_equal(actual[0], wide)
    broad = np.repeat(column, channels, axis=2)
    filtered = fastsep.depthwise_conv(broad, np.ones((1, channels, 1), dtype), activation=activation)
    np.testing.assert_array_equal(filtered[0], wide)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["sigmoid", "silu", "gelu", "gelu_tanh"])
def test_bits_do_not_depend_on_neighbours(activation: str, dtype: Any) -> None:
    """A vector that holds an argument far out takes another path: with the same bits for the rest of it."""
    near = np.linspace(-9, 9, 5001).astype(dtype)
    expected = one_channel(near, activation)
    for far in (np.nan, np.inf, -2000.0):
        mixed = np.full((len(near), 8), far, dtype)
        mixed[:, 3] = near
        taps = np.ones((1, 8, 1), dtype)
        result = fastsep.depthwise_conv(mixed[np.newaxis], taps, activation=activation)
        assert_same_bits(result[0, :, 3], expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activation_comes_after_bias_and_residual(dtype: Any) -> None:
    inputs = np.array([[[-3.0], [1.0]]], dtype)
    result = fastsep.pointwise_conv(
        inputs,
        np.array([[2.0]], dtype),
        bias=np.array([4.0], dtype),
        residual=np.array([[[5.0], [-7.0]]], dtype),
        activation="relu",
    )
    np.testing.assert_array_equal(result, [[[3.0], [0.0]]])


def test_every_activation_states_its_error() -> None:
    for activation in ACTIVATIONS:
        stated = _activations.ULP[activation]
        assert set(stated) == {"float32", "float64"}
        assert all(0 <= ulp < 16 for ulp in stated.values()), "a promise that wide promises nothing"
