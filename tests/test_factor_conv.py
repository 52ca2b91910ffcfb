"""Standard convolutions as depthwise with a multiplier, then pointwise: the SVD of each input channel."""

from __future__ import annotations

import json
import math
from typing import Any

import bounds
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import fastsep
from fastsep import NotSeparableError, _reference, factorize_conv

Array = NDArray[Any]


@st.composite
def kernels(draw: st.DrawFn) -> Array:
    """A layer's weights, of one to three spatial axes."""
    taps = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    channels = draw(st.integers(1, 5)), draw(st.integers(1, 8))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    return generator.standard_normal((*taps, *channels)).astype(dtype)


def matrices(kernel: Array) -> list[Array]:
    """The matrix (prod(K), Cout) of every input channel, in float64."""
    inputs, outputs = kernel.shape[-2:]
    return [kernel[..., channel, :].reshape(-1, outputs).astype(np.float64) for channel in range(inputs)]


def least_error(kernel: Array, multiplier: int) -> float:
    """By SciPy's SVD, channel by channel, what the best matrices of that rank leave (Eckart and Young)."""
    left = [np.linalg.norm(scipy.linalg.svdvals(matrix)[multiplier:]) for matrix in matrices(kernel)]
    return float(np.linalg.norm(left))


def rounding(kernel: Array) -> float:
    """LAPACK's p(m, n)·eps·‖A‖ with p = 10·max(m, n); weights are rounded to the dtype in both kernels."""
    norm = float(np.linalg.norm(kernel.astype(np.float64)))
    size = max(math.prod(kernel.shape[:-2]), kernel.shape[-1])
    return (10 * size * 2.0**-52 + 2 * math.sqrt(size) * float(np.finfo(kernel.dtype).eps)) * norm


def most(kernel: Array) -> int:
    return min(math.prod(kernel.shape[:-2]), kernel.shape[-1])


@given(kernels(), st.data())
def test_every_multiplier_reaches_the_least_error(kernel: Array, data: st.DataObject) -> None:
    multiplier = data.draw(st.integers(1, most(kernel)))
    factors = factorize_conv(kernel, multiplier)
    *taps, inputs, outputs = kernel.shape
    assert factors.multiplier == multiplier
    assert factors.depthwise_kernel.shape == (*taps, inputs, multiplier)
    assert factors.pointwise_kernel.shape == (inputs * multiplier, outputs)
    assert factors.depthwise_kernel.dtype == factors.pointwise_kernel.dtype == kernel.dtype
    # What the kernels make, by the definition: output channel c·M + m, then a matrix.
    made = np.zeros(kernel.shape)
    for channel in range(inputs):
        for m in range(multiplier):
            made[..., channel, :] += np.multiply.outer(
                factors.depthwise_kernel[..., channel, m].astype(np.float64),
                factors.pointwise_kernel[channel * multiplier + m].astype(np.float64),
            )
    measured = float(np.linalg.norm(kernel - made))
    assert abs(measured - least_error(kernel, multiplier)) <= rounding(kernel)
    assert abs(factors.error - measured) <= rounding(kernel)
    assert np.abs(factors.outer() - made).max() <= rounding(kernel)
    for row in factors.multipliers:
        assert abs(row.error - least_error(kernel, row.multiplier)) <= rounding(kernel)
        assert row.parameters == inputs * row.multiplier * (math.prod(taps) + outputs)
    assert [row.multiplier for row in factors.multipliers] == list(range(1, most(kernel) + 1))
    assert factors.multipliers[-1].error == 0


@given(kernels())
def test_the_least_of_taps_and_outputs_is_exact(kernel: Array) -> None:
    factors = factorize_conv(kernel, most(kernel))
    assert factors.error <= rounding(kernel)
    assert np.abs(factors.outer() - kernel).max() <= rounding(kernel)


def test_a_kernel_that_was_separable_gets_its_own_multiplier_back() -> None:
    generator = np.random.default_rng(0)
    depthwise = generator.standard_normal((3, 3, 4, 2))
    pointwise = generator.standard_normal((8, 16))
    kernel = np.einsum("ijcm,cmo->ijco", depthwise, pointwise.reshape(4, 2, 16))
    for dtype in (np.float64, np.float32):
        factors = factorize_conv(kernel.astype(dtype))
        assert factors.multiplier == 2
        assert factors.error <= rounding(kernel.astype(dtype))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("taps", [(5,), (3, 3), (2, 1, 3)])
@pytest.mark.parametrize(
    "options", [{}, {"padding": "same", "strides": 2}, {"padding": 1, "dilation_rate": 2}]
)
def test_the_factors_compute_the_convolution(
    taps: tuple[int, ...], options: dict[str, Any], dtype: Any
) -> None:
    generator = np.random.default_rng(0)
    kernel = generator.standard_normal((*taps, 4, 12)).astype(dtype)
    image = generator.standard_normal((2, *(9,) * len(taps), 4)).astype(dtype)
    bias = generator.standard_normal(12).astype(dtype)
    factors = factorize_conv(kernel, most(kernel))
    separable = factors.apply(image, **options, bias=bias)
    standard = fastsep.conv(image, kernel, **options, bias=bias)
    # Both are within their bounds of exact results, which differ by the error of the weights.
    one = bounds.separable(image, factors.depthwise_kernel, factors.pointwise_kernel, bias=bias, **options)
    other = bounds.after(_reference.conv, bounds.Bounded.given(image), kernel, bias=bias, **options)
    bounds.assert_within(separable, one)
    bounds.assert_within(standard, other)
    weights = np.abs(factors.outer() - kernel)
    between = _reference.conv(np.abs(image), weights.astype(np.float64), **options)
    assert (np.abs(separable.astype(np.longdouble) - standard) <= one.error + other.error + between).all()


def test_apply_and_plan_have_the_same_bits() -> None:
    generator = np.random.default_rng(0)
    factors = factorize_conv(generator.standard_normal((3, 3, 8, 16)).astype(np.float32), 3)
    image = generator.standard_normal((1, 8, 20, 21)).astype(np.float32)
    plan = factors.plan(2, "same", "channels_first", activation="relu6")
    assert isinstance(plan, fastsep.SeparableConv)
    applied = factors.apply(image, 2, "same", "channels_first", activation="relu6")
    bounds.assert_same_bits(plan(image), applied)


@given(kernels(), st.floats(0, 1))
def test_a_tolerance_takes_the_least_multiplier_that_meets_it(kernel: Array, tolerance: float) -> None:
    norm = float(np.linalg.norm(kernel.astype(np.float64)))
    factors = factorize_conv(kernel, tolerance=tolerance)
    chosen = factors.multipliers[factors.multiplier - 1]
    assert chosen.relative_error <= tolerance
    assert least_error(kernel, factors.multiplier) <= tolerance * norm + rounding(kernel)
    if factors.multiplier > 1:
        one_less = factors.multiplier - 1
        assert least_error(kernel, one_less) >= tolerance * norm - rounding(kernel)
        if factors.multipliers[one_less - 1].relative_error > tolerance:
            with pytest.raises(
                NotSeparableError, match=f"multiplier={factors.multiplier} is enough"
            ) as refusal:
                factorize_conv(kernel, one_less, tolerance=tolerance)
            assert refusal.value.relative_error == factors.multipliers[one_less - 1].relative_error


def test_results_print_as_tables_and_become_dictionaries() -> None:
    kernel = np.random.default_rng(0).standard_normal((3, 3, 8, 16)).astype(np.float32)
    factors = factorize_conv(kernel, 4)
    text = str(factors)
    for part in ("3×3, 8 → 16", "float32", "1,152", "4 ←", f"{factors.multipliers[3].relative_error:.3g}"):
        assert part in text, text
    figures = json.loads(json.dumps(factors.to_dict()))
    assert figures["parameters"] == {"standard": 1152, "separable": 8 * 4 * (9 + 16)}
    assert len(figures["multipliers"]) == 9
    assert figures["multipliers"][3]["relative_error"] == factors.multipliers[3].relative_error


def test_zeros_and_no_aliases() -> None:
    kernel = np.zeros((3, 3, 2, 4), np.float32)
    factors = factorize_conv(kernel)
    assert factors.multiplier == 1
    assert factors.relative_error == 0
    with pytest.raises(ValueError, match="read-only"):
        factors.depthwise_kernel[:] = 1


@pytest.mark.parametrize(
    ("kernel", "options", "error", "message"),
    [
        (np.ones((3, 3, 2, 4), int), {}, TypeError, "kernel must have dtype float32 or float64; got int64"),
        ([[1.0]], {}, TypeError, "kernel must be a np.ndarray"),
        (np.ones((2, 4)), {}, ValueError, r"kernel must have the form \(\*K, Cin, Cout\)"),
        (np.ones((3, 0, 4)), {}, ValueError, "kernel must not have an axis of length 0"),
        (np.full((3, 2, 4), np.nan), {}, ValueError, "kernel must be finite"),
        (np.ones((3, 2, 4)), {"multiplier": 0}, ValueError, "multiplier must be from 1 to 3.*got 0"),
        (np.ones((3, 2, 4)), {"multiplier": 4}, ValueError, "multiplier must be from 1 to 3.*got 4"),
        (np.ones((3, 2, 4)), {"multiplier": True}, ValueError, "multiplier must be from 1 to 3.*got True"),
        (np.ones((3, 2, 4)), {"multiplier": 1.0}, TypeError, "multiplier must be None or an int; got 1.0"),
        (np.ones((3, 2, 4)), {"tolerance": -0.1}, ValueError, "tolerance must be at least 0; got -0.1"),
    ],
)
def test_bad_arguments(kernel: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        factorize_conv(kernel, **options)
