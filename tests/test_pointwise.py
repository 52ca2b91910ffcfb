"""Pointwise convolution against the specification and against `x @ w`, on every instruction set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bounds import Bounded, after, assert_same_bits, assert_within
from hypothesis import given
from strategies import Case, numbers, pointwise_cases

import fastsep
from fastsep import _naive, _reference

pytestmark = pytest.mark.usefixtures("isa")


def bounded(case: Case) -> Bounded:
    operands = dict(case.operands)
    return after(
        _reference.pointwise_conv,
        Bounded.given(operands.pop("inputs")),
        operands.pop("kernel").reshape(case.operands["kernel"].shape[-2:]),
        **operands,
        **case.options,
    )


@given(pointwise_cases())
def test_function_and_plan_keep_the_bound(case: Case) -> None:
    actual = case.call(fastsep.pointwise_conv)
    assert actual.dtype == case.operands["inputs"].dtype
    assert_within(actual, bounded(case))
    assert_same_bits(case.run(case.plan(fastsep.PointwiseConv)), actual)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("filters", [*range(1, 35), 47, 48, 49, 63, 64, 65])
def test_every_register_tile(filters: int, dtype: Any) -> None:
    """Every width of the last panel, and every number of pixels that a tile may be left with."""
    for pixels, channels in [
        (1, 1),
        (2, 3),
        (3, 70),
        (4, 8),
        (5, 16),
        (6, 5),
        (7, 33),
        (11, 2),
        (13, 9),
        (49, 4),
    ]:
        inputs = numbers(pixels, (1, pixels, channels), dtype)
        kernel = numbers(filters, (channels, filters), dtype)
        actual = fastsep.pointwise_conv(inputs, kernel)
        assert_within(actual, after(_reference.pointwise_conv, Bounded.given(inputs), kernel))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 12, 11, 64), (2, 49, 130), (1, 3, 4, 5, 20)])
def test_equals_matmul(shape: tuple[int, ...], dtype: Any) -> None:
    """NumPy's product has the same bound, so the two may be two bounds apart."""
    inputs, kernel = numbers(1, shape, dtype), numbers(2, (shape[-1], 50), dtype)
    bound = after(_reference.pointwise_conv, Bounded.given(inputs), kernel)
    product = inputs @ kernel
    actual = fastsep.pointwise_conv(inputs, kernel)
    assert_within(actual, Bounded(product.astype(np.longdouble), 2 * bound.error))
    assert_same_bits(fastsep.PointwiseConv(kernel)(inputs), actual)


def test_deep_sums() -> None:
    """Far more channels than any block of the sum would hold."""
    inputs, kernel = numbers(3, (1, 5, 5000), np.float32), numbers(4, (5000, 19), np.float32)
    assert_within(
        fastsep.pointwise_conv(inputs, kernel),
        after(_reference.pointwise_conv, Bounded.given(inputs), kernel),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_naive_baseline_is_a_second_opinion(dtype: Any, threads: int) -> None:
    inputs, kernel = numbers(5, (2, 6, 7, 21), dtype), numbers(6, (21, 18), dtype)
    expected = after(_reference.pointwise_conv, Bounded.given(inputs), kernel)
    naive = _naive.pointwise_conv(inputs, kernel, threads=threads)
    assert_within(naive, expected)
    ours = fastsep.pointwise_conv(inputs, kernel)
    assert_within(ours, Bounded(naive.astype(np.longdouble), 2 * expected.error))


def test_is_a_convolution_with_one_tap() -> None:
    inputs, kernel = numbers(7, (2, 6, 7, 21), np.float32), numbers(8, (1, 1, 21, 18), np.float32)
    assert_same_bits(fastsep.pointwise_conv(inputs, kernel), fastsep.conv(inputs, kernel))
