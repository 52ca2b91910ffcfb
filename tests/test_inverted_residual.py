"""MobileNetV2's block: within the bound, and fused has the bits of its three parts."""

from __future__ import annotations

from typing import Any

import bounds
import numpy as np
import pytest
from bounds import assert_same_bits, assert_within
from hypothesis import given
from numpy.typing import NDArray
from strategies import Case, inverted_residual_cases, numbers

import fastsep
from fastsep import _threads

pytestmark = pytest.mark.usefixtures("isa")


def unfused(
    inputs: NDArray[Any],
    expand_kernel: NDArray[Any] | None,
    depthwise_kernel: NDArray[Any],
    project_kernel: NDArray[Any],
    *,
    strides: Any = 1,
    padding: Any = "same",
    dilation_rate: Any = 1,
    data_format: str | None = None,
    expand_bias: NDArray[Any] | None = None,
    depthwise_bias: NDArray[Any] | None = None,
    bias: NDArray[Any] | None = None,
    activation: Any = "relu6",
    residual: bool = False,
    threads: int | None = None,
) -> NDArray[Any]:
    form: dict[str, Any] = {"data_format": data_format, "threads": threads}
    expanded = inputs
    if expand_kernel is not None:
        expanded = fastsep.pointwise_conv(
            inputs, expand_kernel, bias=expand_bias, activation=activation, **form
        )
    filtered = fastsep.depthwise_conv(
        expanded, depthwise_kernel, strides, padding,
        dilation_rate=dilation_rate, bias=depthwise_bias, activation=activation, **form,
    )  # fmt: skip
    return fastsep.pointwise_conv(
        filtered, project_kernel, bias=bias, residual=inputs if residual else None, **form
    )


@given(inverted_residual_cases())
def test_plan_keeps_the_bound_and_the_bits_of_the_parts(case: Case) -> None:
    actual = case.run(case.plan(fastsep.InvertedResidual))
    assert actual.dtype == case.operands["inputs"].dtype
    assert_within(actual, bounds.inverted_residual(**case.operands, **case.options))
    assert_same_bits(actual, case.call(unfused))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("height", "width", "channels", "expanded", "filters", "taps", "strides"),
    [
        (56, 56, 24, 144, 24, 3, 1),
        (29, 31, 16, 96, 24, 3, 2),
        (14, 14, 96, 576, 96, 3, 1),
        (28, 27, 40, 240, 40, 5, 1),
        (15, 14, 17, 101, 33, 5, 2),
        (7, 7, 32, 200, 32, 3, 1),
        (40, 1, 8, 40, 8, 3, 1),
        (2, 90, 8, 40, 8, 7, 1),
    ],
)
def test_bits_of_the_parts_over_many_rows(
    height: int, width: int, channels: int, expanded: int, filters: int, taps: int, strides: int,
    dtype: Any, threads: int,
) -> None:  # fmt: skip
    """Real blocks: the ring of expanded rows turns many times, and threads start in the middle."""
    inputs = numbers(1, (2, height, width, channels), dtype)
    kernels = (
        numbers(2, (channels, expanded), dtype),
        numbers(3, (taps, taps, expanded, 1), dtype),
        numbers(4, (expanded, filters), dtype),
    )
    options: dict[str, Any] = {
        "strides": strides,
        "expand_bias": numbers(5, (expanded,), dtype),
        "depthwise_bias": numbers(6, (expanded,), dtype),
        "bias": numbers(7, (filters,), dtype),
        "residual": strides == 1 and channels == filters,
    }
    plan = fastsep.InvertedResidual(*kernels, **options)
    assert_same_bits(plan(inputs, threads=threads), unfused(inputs, *kernels, **options, threads=threads))


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("activation", ["relu6", "silu", None])
def test_expansion_of_one(strides: int, activation: str | None) -> None:
    """Without an expand_kernel the block is depthwise and projection only."""
    inputs = numbers(8, (1, 15, 14, 32), np.float32)
    kernels = (None, numbers(9, (3, 3, 32, 1), np.float32), numbers(10, (32, 16), np.float32))
    options: dict[str, Any] = {"strides": strides, "activation": activation}
    actual = fastsep.InvertedResidual(*kernels, **options)(inputs)
    assert_within(actual, bounds.inverted_residual(inputs, *kernels, **options))
    assert_same_bits(actual, unfused(inputs, *kernels, **options))


def test_padding_of_the_expanded_map_is_zero_whatever_the_bias() -> None:
    """The border is padded after the expansion: a zero pixel, not an expanded zero pixel."""
    inputs = np.zeros((1, 3, 3, 2), np.float32)
    block = fastsep.InvertedResidual(
        np.zeros((2, 4), np.float32),
        np.ones((3, 3, 4, 1), np.float32),
        np.ones((4, 1), np.float32),
        expand_bias=np.ones(4, np.float32),
        activation=None,
    )
    expected = np.array([[4, 6, 4], [6, 9, 6], [4, 6, 4]], np.float32) * 4
    np.testing.assert_array_equal(block(inputs)[0, ..., 0], expected)


@pytest.mark.skipif(_threads.resolve(2) < 2, reason="this build or machine has one thread")
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    ("batch", "size", "channels", "expanded", "filters", "taps", "strides"),
    [
        (1, 7, 160, 960, 320, 3, 1),
        (1, 7, 97, 901, 97, 5, 1),
        (1, 14, 96, 576, 160, 3, 2),
        (3, 7, 160, 960, 40, 5, 1),
    ],
)
def test_threads_may_share_channels_instead_of_rows(
    batch: int, size: int, channels: int, expanded: int, filters: int, taps: int, strides: int,
    data_format: str,
) -> None:  # fmt: skip
    kernels = (
        numbers(21, (channels, expanded), np.float32),
        numbers(22, (taps, taps, expanded, 1), np.float32),
        numbers(23, (expanded, filters), np.float32),
    )
    options: dict[str, Any] = {
        "strides": strides,
        "bias": numbers(24, (filters,), np.float32),
        "residual": strides == 1 and channels == filters,
        "data_format": data_format,
    }
    shape = (batch, size, size, channels)
    inputs = numbers(
        25, shape if data_format == "channels_last" else (batch, channels, size, size), np.float32
    )
    plan = fastsep.InvertedResidual(*kernels, **options)
    assert "channels" not in plan.describe(inputs.shape, threads=1).tile
    expected = plan(inputs, threads=1)
    assert_same_bits(expected, unfused(inputs, *kernels, **options, threads=1))
    shared = {threads: "channels" in plan.describe(inputs.shape, threads).tile for threads in (2, 3, 4)}
    assert any(shared.values()), shared
    for threads in shared:
        assert_same_bits(plan(inputs, threads=threads), expected)
