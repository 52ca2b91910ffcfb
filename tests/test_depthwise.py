"""Depthwise convolution against the specification, on every instruction set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bounds import Bounded, after, assert_same_bits, assert_within
from hypothesis import given
from strategies import Case, depthwise_cases, numbers

import fastsep
from fastsep import _naive, _reference

pytestmark = pytest.mark.usefixtures("isa")


def bounded(case: Case) -> Bounded:
    operands = dict(case.operands)
    return after(
        _reference.depthwise_conv,
        Bounded.given(operands.pop("inputs")),
        operands.pop("kernel"),
        **operands,
        **case.options,
    )


@given(depthwise_cases())
def test_function_and_plan_keep_the_bound(case: Case) -> None:
    actual = case.call(fastsep.depthwise_conv)
    assert actual.dtype == case.operands["inputs"].dtype
    assert_within(actual, bounded(case))
    assert_same_bits(case.run(case.plan(fastsep.DepthwiseConv)), actual)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dilation_rate", [1, 2])
@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("taps", [1, 2, 3, 4, 5, 7, 9])
def test_every_register_tile(taps: int, strides: int, dilation_rate: int, dtype: Any) -> None:
    """Widths and channel counts that fill the tiles, spill over them by one, and fall short by one."""
    geometry: dict[str, Any] = {"strides": strides, "padding": "same", "dilation_rate": dilation_rate}
    for width, channels in [
        (1, 3),
        (3, 16),
        (4, 8),
        (5, 7),
        (8, 9),
        (9, 1),
        (11, 17),
        (16, 33),
        (19, 4),
        (23, 31),
    ]:
        inputs = numbers(width, (1, 5, width, channels), dtype)
        kernel = numbers(channels, (taps, taps, channels, 1), dtype)
        actual = fastsep.depthwise_conv(inputs, kernel, **geometry)
        assert_within(actual, after(_reference.depthwise_conv, Bounded.given(inputs), kernel, **geometry))


def test_channel_order_by_hand() -> None:
    image = np.array([[[[1.0, 10.0], [2.0, 20.0]]]])
    kernel = np.array([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]])
    expected = [[[[1, 2, 3, 40, 50, 60], [2, 4, 6, 80, 100, 120]]]]
    np.testing.assert_array_equal(fastsep.depthwise_conv(image, kernel), expected)


@pytest.mark.parametrize("multiplier", [1, 2, 3, 4, 8])
def test_multipliers_beside_many_channels(multiplier: int) -> None:
    inputs = numbers(1, (2, 9, 10, 70), np.float32)
    kernel = numbers(2, (3, 3, 70, multiplier), np.float32)
    bias = numbers(3, (70 * multiplier,), np.float32)
    actual = fastsep.depthwise_conv(inputs, kernel, bias=bias, activation="relu6")
    expected = after(_reference.depthwise_conv, Bounded.given(inputs), kernel, bias=bias, activation="relu6")
    assert_within(actual, expected)


@pytest.mark.parametrize("padding", ["valid", "same", "same_lower"])
def test_many_channels_on_a_small_map(padding: str) -> None:
    """A tile may hold more than one vector of channels where the maps are small and deep."""
    inputs = numbers(4, (1, 7, 7, 520), np.float32)
    kernel = numbers(5, (3, 3, 520, 1), np.float32)
    actual = fastsep.depthwise_conv(inputs, kernel, padding=padding)
    assert_within(actual, after(_reference.depthwise_conv, Bounded.given(inputs), kernel, padding=padding))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_naive_baseline_is_a_second_opinion(dtype: Any, padding: Any, threads: int) -> None:
    inputs = numbers(6, (2, 13, 11, 10), dtype)
    kernel = numbers(7, (3, 5, 10, 2), dtype)
    geometry: dict[str, Any] = {"strides": (2, 1), "padding": padding, "dilation_rate": (1, 2)}
    expected = after(_reference.depthwise_conv, Bounded.given(inputs), kernel, **geometry)
    naive = _naive.depthwise_conv(inputs, kernel, **geometry, threads=threads)
    assert_within(naive, expected)
    ours = fastsep.depthwise_conv(inputs, kernel, **geometry)
    assert_within(ours, Bounded(naive.astype(np.longdouble), 2 * expected.error))


def test_plan_is_the_same_for_every_image() -> None:
    plan = fastsep.DepthwiseConv(numbers(8, (3, 3, 12, 1), np.float32), padding="same")
    for height, width in [(1, 1), (2, 30), (17, 5), (40, 41)]:
        inputs = numbers(9, (1, height, width, 12), np.float32)
        expected = fastsep.depthwise_conv(inputs, numbers(8, (3, 3, 12, 1), np.float32), padding="same")
        assert_same_bits(plan(inputs), expected)


@pytest.mark.parametrize(
    ("taps", "strides"), [((3, 3), (1, 1)), ((2, 5), (1, 2)), ((3, 3), (2, 2)), ((5, 5), (1, 1))]
)
def test_images_beyond_the_cache(taps: tuple[int, int], strides: tuple[int, int]) -> None:
    """Large enough for the prefetch of rows; whole numbers, so that the sums are exact."""
    random = np.random.default_rng(0)
    x = random.integers(-4, 5, (1, 40, 2048, 32)).astype(np.float32)
    kernel = random.integers(-4, 5, (*taps, 32, 1)).astype(np.float32)
    expected = _naive.depthwise_conv(x, kernel, strides, "same")
    np.testing.assert_array_equal(fastsep.depthwise_conv(x, kernel, strides, "same"), expected)


@pytest.mark.parametrize(("taps", "stride"), [(2, 12), (2, 11), (1, 21), (1, 31), (1, 41), (3, 12), (4, 11)])
def test_strides_longer_than_any_register_tile(taps: int, stride: int) -> None:
    """Ten strides of one width once looked like one of the next: a tile for 3 × 3 read weights of 2 × 2."""
    inputs = numbers(1, (1, 8 * stride, 8 * stride, 5), np.float32)
    kernel = numbers(2, (taps, taps, 5, 1), np.float32)
    actual = fastsep.depthwise_conv(inputs, kernel, stride)
    assert_within(actual, after(_reference.depthwise_conv, Bounded.given(inputs), kernel, strides=stride))


@pytest.mark.parametrize("width", range(1, 20))
@pytest.mark.parametrize(("taps", "strides"), [(3, 1), (3, 2), (4, 1), (5, 1), (5, 2), (7, 1), (7, 2)])
def test_rows_of_any_width(width: int, taps: int, strides: int) -> None:
    """A row has the bits that it has in the middle of a wider one, whichever tiles it is made of."""
    plan = fastsep.DepthwiseConv(numbers(3, (taps, taps, 19, 1), np.float32), strides, activation="silu")
    x = numbers(width, (1, 8, (width - 1) * strides + taps, 19), np.float32)
    wider = plan(np.pad(x, [(0, 0), (0, 0), (24 * strides, 24 * strides), (0, 0)]))
    assert_same_bits(plan(x), np.ascontiguousarray(wider[:, :, 24 : 24 + width]))


@pytest.mark.parametrize("channels", [19, 512, 515])
@pytest.mark.parametrize(
    "geometry",
    [
        {"padding": "same"},
        {"strides": 2, "padding": "same"},
        {"strides": 2, "padding": [(2, 3), (4, 1)], "activation": "relu6"},
        # A curve, which the reference computes fast.
        {"strides": 2, "activation": "hard_swish"},
        {"strides": 3},
        {"dilation_rate": 2, "padding": "same"},
        {"dilation_rate": (5, 9), "padding": [(7, 0), (0, 12)]},
        {"strides": 2, "dilation_rate": 2},
    ],
    ids=str,
)
def test_pixels_that_share_sets_of_the_cache(geometry: dict[str, Any], channels: int) -> None:
    """Pixels a multiple of 2048 bytes apart are copied, or taken one by one; others are read by tiles."""
    kernel = numbers(3, (3, 3, channels, 1), np.float32)
    values = numbers(7, (2, 11, 13, channels), np.float32)
    crowded, apart = (
        np.zeros((2, 11, 13, size), np.float32)[..., :channels] for size in (1024, channels + 16)
    )
    crowded[...] = apart[...] = values
    expected = after(_reference.depthwise_conv, Bounded.given(values), kernel, **geometry)
    residual = numbers(9, expected.exact.shape, np.float32)
    plan = fastsep.DepthwiseConv(kernel, **geometry)
    assert_within(plan(apart), expected)
    for threads in (1, 3):
        assert_same_bits(plan(crowded, threads=threads), plan(apart))
        assert_same_bits(plan(crowded, residual=residual, threads=threads), plan(apart, residual=residual))


@pytest.mark.parametrize("depth", [1, 3])
def test_planes_of_padding_beside_crowded_pixels(depth: int) -> None:
    kernel = numbers(3, (1, 3, 3, 512, 1), np.float32)
    x = numbers(7, (1, depth, 6, 7, 512), np.float32)
    padding = [(1, 2), (1, 1), (1, 1)]
    expected = fastsep.depthwise_conv(np.pad(x, [(0, 0), *padding, (0, 0)]), kernel)
    assert_same_bits(fastsep.depthwise_conv(x, kernel, padding=padding), expected)
