"""Separable convolution: within the bound, and fused has the bits of its two parts."""

from __future__ import annotations

from typing import Any

import bounds
import numpy as np
import pytest
from bounds import assert_same_bits, assert_within
from hypothesis import given
from numpy.typing import NDArray
from strategies import Case, numbers, separable_cases

import fastsep

pytestmark = pytest.mark.usefixtures("isa")


def unfused(
    inputs: NDArray[Any],
    depthwise_kernel: NDArray[Any],
    pointwise_kernel: NDArray[Any],
    *,
    data_format: str | None = None,
    depthwise_bias: NDArray[Any] | None = None,
    depthwise_activation: Any = None,
    bias: NDArray[Any] | None = None,
    activation: Any = None,
    residual: NDArray[Any] | None = None,
    threads: int | None = None,
    **geometry: Any,
) -> NDArray[Any]:
    filtered = fastsep.depthwise_conv(
        inputs, depthwise_kernel,
        data_format=data_format, bias=depthwise_bias, activation=depthwise_activation, threads=threads,
        **geometry,
    )  # fmt: skip
    return fastsep.pointwise_conv(
        filtered, pointwise_kernel,
        data_format=data_format, bias=bias, activation=activation, residual=residual, threads=threads,
    )  # fmt: skip


@given(separable_cases())
def test_function_and_plan_keep_the_bound_and_the_bits_of_the_parts(case: Case) -> None:
    actual = case.call(fastsep.separable_conv)
    assert actual.dtype == case.operands["inputs"].dtype
    operands = dict(case.operands)
    operands["pointwise_kernel"] = operands["pointwise_kernel"].reshape(
        operands["pointwise_kernel"].shape[-2:]
    )
    assert_within(actual, bounds.separable(**operands, **case.options))
    assert_same_bits(actual, case.call(unfused))
    assert_same_bits(case.run(case.plan(fastsep.SeparableConv)), actual)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("height", "width", "channels", "filters", "multiplier", "strides"),
    [
        (56, 56, 32, 40, 1, 1),
        (57, 55, 17, 33, 1, 1),
        (61, 64, 48, 24, 1, 2),
        (7, 7, 256, 300, 1, 1),
        (128, 129, 16, 16, 1, 1),
        (30, 31, 12, 70, 3, 1),
        (1, 700, 8, 8, 1, 1),
        (700, 1, 8, 8, 1, 1),
    ],
)
def test_bits_of_the_parts_over_many_tiles(
    height: int,
    width: int,
    channels: int,
    filters: int,
    multiplier: int,
    strides: int,
    dtype: Any,
    threads: int,
) -> None:
    """Images that need many tiles, so that seams between tiles would show."""
    inputs = numbers(1, (2, height, width, channels), dtype)
    depthwise_kernel = numbers(2, (3, 3, channels, multiplier), dtype)
    pointwise_kernel = numbers(3, (channels * multiplier, filters), dtype)
    options: dict[str, Any] = {
        "strides": strides,
        "padding": "same",
        "depthwise_bias": numbers(4, (channels * multiplier,), dtype),
        "depthwise_activation": "relu6",
        "bias": numbers(5, (filters,), dtype),
        "activation": "hard_swish",
        "threads": threads,
    }
    assert_same_bits(
        fastsep.separable_conv(inputs, depthwise_kernel, pointwise_kernel, **options),
        unfused(inputs, depthwise_kernel, pointwise_kernel, **options),
    )


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_large_images_in_either_data_format(data_format: str) -> None:
    inputs = numbers(6, (1, 90, 91, 24), np.float32)
    if data_format == "channels_first":
        inputs = np.ascontiguousarray(np.moveaxis(inputs, -1, 1))
    depthwise_kernel, pointwise_kernel = (
        numbers(7, (5, 5, 24, 1), np.float32),
        numbers(8, (24, 20), np.float32),
    )
    options: dict[str, Any] = {"padding": "same", "data_format": data_format, "activation": "relu"}
    actual = fastsep.separable_conv(inputs, depthwise_kernel, pointwise_kernel, **options)
    assert_same_bits(actual, unfused(inputs, depthwise_kernel, pointwise_kernel, **options))
    assert_within(actual, bounds.separable(inputs, depthwise_kernel, pointwise_kernel, **options))
