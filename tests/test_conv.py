"""Standard convolution against the specification, on every instruction set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bounds import Bounded, after, assert_same_bits, assert_within
from hypothesis import given
from strategies import Case, conv_cases, depthwise_cases, integers, numbers

import fastsep
from fastsep import _naive, _reference

pytestmark = pytest.mark.usefixtures("isa")


def bounded(case: Case) -> Bounded:
    operands = dict(case.operands)
    return after(
        _reference.conv,
        Bounded.given(operands.pop("inputs")),
        operands.pop("kernel"),
        **operands,
        **case.options,
    )


@given(conv_cases())
def test_function_and_plan_keep_the_bound(case: Case) -> None:
    actual = case.call(fastsep.conv)
    assert actual.dtype == case.operands["inputs"].dtype
    assert_within(actual, bounded(case))
    assert_same_bits(case.run(case.plan(fastsep.Conv)), actual)


@given(depthwise_cases())
def test_a_group_per_channel_is_depthwise(case: Case) -> None:
    """Two kernel families, two orders of work, one definition."""
    grouped = Case(dict(case.operands), case.options)
    kernel = case.operands["kernel"]
    grouped.operands["kernel"] = kernel.reshape(*kernel.shape[:-2], 1, kernel.shape[-2] * kernel.shape[-1])
    bound = bounded(grouped)
    actual = grouped.call(fastsep.conv)
    assert_within(actual, bound)
    both = Bounded(case.call(fastsep.depthwise_conv).astype(np.longdouble), 2 * bound.error)
    assert_within(actual, both)


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_groups_are_separate_convolutions(groups: int, dtype: Any) -> None:
    """The bits of every group are those of a convolution of its channels alone."""
    depth, width = 24 // groups, 40 // groups
    inputs = numbers(1, (2, 9, 8, 24), dtype)
    kernel = numbers(2, (3, 3, depth, 40), dtype)
    together = fastsep.conv(inputs, kernel, padding="same")
    for g in range(groups):
        alone = fastsep.conv(
            np.ascontiguousarray(inputs[..., g * depth : (g + 1) * depth]),
            np.ascontiguousarray(kernel[..., g * width : (g + 1) * width]),
            padding="same",
        )
        assert_same_bits(together[..., g * width : (g + 1) * width], alone)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(33, 30, 3, 32, 3, 2), (20, 21, 3, 64, 7, 2), (14, 14, 32, 48, 3, 1)])
def test_first_layers_of_networks(shape: tuple[int, ...], dtype: Any) -> None:
    height, width, channels, filters, taps, strides = shape
    inputs = numbers(3, (1, height, width, channels), dtype)
    kernel = numbers(4, (taps, taps, channels, filters), dtype)
    bias = numbers(5, (filters,), dtype)
    options: dict[str, Any] = {"strides": strides, "padding": "same", "bias": bias, "activation": "relu"}
    assert_within(
        fastsep.conv(inputs, kernel, **options),
        after(_reference.conv, Bounded.given(inputs), kernel, **options),
    )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    ("size", "taps", "padding"),
    [
        ((12, 12), (3, 3), 5),
        ((16, 16), (2, 2), 3),
        ((40, 40), (3, 3), ((0, 9), (4, 7))),
        ((3, 5), (5, 7), 12),
        ((200,), (3,), ((50, 0),)),
        ((4, 6, 6), (2, 3, 3), ((1, 1), (6, 0), (0, 8))),
    ],
)
def test_more_padding_than_kernel(
    size: tuple[int, ...], taps: tuple[int, ...], padding: Any, data_format: str, threads: int
) -> None:
    """Few channels, whose taps of a row are joined: columns wholly in the padding need no copy."""
    for channels in (2, 3, 8):
        for strides in (1, 2):
            inputs = integers(1, (1, *size, channels), np.float32)
            kernel = integers(2, (*taps, channels, 5), np.float32)
            options: dict[str, Any] = {"strides": strides, "padding": padding}
            expected = _reference.conv(inputs.astype(np.float64), kernel.astype(np.float64), **options)
            first = data_format == "channels_first"
            image = np.moveaxis(inputs, -1, 1).copy() if first else inputs
            actual = fastsep.conv(image, kernel, data_format=data_format, threads=threads, **options)
            np.testing.assert_array_equal(np.moveaxis(actual, 1, -1) if first else actual, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_naive_baseline_is_a_second_opinion(dtype: Any, padding: Any, threads: int) -> None:
    inputs, kernel = numbers(6, (2, 9, 11, 10), dtype), numbers(7, (3, 5, 10, 13), dtype)
    geometry: dict[str, Any] = {"strides": (2, 1), "padding": padding, "dilation_rate": (1, 2)}
    expected = after(_reference.conv, Bounded.given(inputs), kernel, **geometry)
    naive = _naive.conv(inputs, kernel, **geometry, threads=threads)
    assert_within(naive, expected)
    ours = fastsep.conv(inputs, kernel, **geometry)
    assert_within(ours, Bounded(naive.astype(np.longdouble), 2 * expected.error))


def test_the_naive_baseline_writes_where_it_is_told() -> None:
    inputs, kernel = numbers(8, (1, 5, 6, 3), np.float32), numbers(9, (3, 3, 3, 4), np.float32)
    out = np.full((1, 3, 4, 4), np.nan, np.float32)
    assert _naive.conv(inputs, kernel, out=out) is out
    assert_same_bits(out, _naive.conv(inputs, kernel))
