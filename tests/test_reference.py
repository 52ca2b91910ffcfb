"""The specification against things that others wrote: SciPy, mpmath, Python's fractions, and `x @ w`."""

from __future__ import annotations

import ast
import itertools
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import scipy.special
import strategies
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastsep import _reference

Array = NDArray[Any]


def scipy_conv(image: Array, kernel: Array, strides: tuple[int, ...], dilation: tuple[int, ...]) -> Array:
    """A valid convolution of one channels_last image without its batch, by scipy.signal.correlate."""
    dilated = np.zeros(
        (*[(k - 1) * d + 1 for k, d in zip(kernel.shape, dilation, strict=False)], *kernel.shape[-2:])
    )
    dilated[tuple(slice(None, None, d) for d in dilation)] = kernel
    planes = [
        sum(
            scipy.signal.correlate(image[..., c], dilated[..., c, o], mode="valid", method="direct")
            for c in range(image.shape[-1])
        )
        for o in range(kernel.shape[-1])
    ]
    return np.stack(planes, axis=-1)[tuple(slice(None, None, s) for s in strides)]


@given(st.data())
def test_conv_equals_scipy_signal_correlate(data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 3))
    per_axis = st.tuples(*[st.integers(1, 3)] * rank)
    taps, strides, dilation = data.draw(per_axis), data.draw(per_axis), data.draw(per_axis)
    spatial = tuple((k - 1) * d + data.draw(st.integers(1, 6)) for k, d in zip(taps, dilation, strict=True))
    groups, depth, width = (data.draw(st.integers(1, 3)) for _ in range(3))
    image = strategies.integers(1, (*spatial, groups * depth), np.float64)
    kernel = strategies.integers(2, (*taps, depth, groups * width), np.float64)
    expected = np.concatenate(
        [
            scipy_conv(
                image[..., g * depth : (g + 1) * depth],
                kernel[..., g * width : (g + 1) * width],
                strides,
                dilation,
            )
            for g in range(groups)
        ],
        axis=-1,
    )
    actual = _reference.conv(image[np.newaxis], kernel, strides, "valid", None, dilation)
    np.testing.assert_array_equal(actual[0].astype(np.float64), expected)


@pytest.mark.parametrize("taps", [(3, 3), (5, 3), (2, 4), (1, 6), (7, 7)])
def test_same_padding_is_scipy_ndimage_with_constant_zeros(taps: tuple[int, int]) -> None:
    """At stride 1, "same_lower" is SciPy's centre, and "same" is its centre moved for even sizes."""
    image = strategies.integers(3, (1, 6, 5, 4), np.float64)
    kernel = strategies.integers(4, (*taps, 4, 1), np.float64)
    for padding, origin in (("same_lower", 0), ("same", [-1 if k % 2 == 0 else 0 for k in taps])):
        actual = _reference.depthwise_conv(image, kernel, padding=padding)
        for channel in range(4):
            expected = scipy.ndimage.correlate(
                image[0, ..., channel], kernel[..., channel, 0], mode="constant", origin=origin
            )
            np.testing.assert_array_equal(actual[0, ..., channel].astype(float), expected)


def test_pointwise_is_a_linear_layer() -> None:
    image = strategies.integers(5, (2, 3, 4, 5), np.float64)
    kernel = strategies.integers(6, (5, 7), np.float64)
    for form in (kernel, kernel.reshape(1, 1, 5, 7)):
        np.testing.assert_array_equal(_reference.pointwise_conv(image, form).astype(float), image @ kernel)
    channels_first = _reference.pointwise_conv(
        np.moveaxis(image, -1, 1), kernel, data_format="channels_first"
    )
    np.testing.assert_array_equal(np.moveaxis(channels_first, 1, -1).astype(float), image @ kernel)


def test_depthwise_channel_order_by_hand() -> None:
    image = np.array([[[1.0, 10.0], [2.0, 20.0]]])
    kernel = np.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    expected = [[[1, 2, 3, 40, 50, 60], [2, 4, 6, 80, 100, 120]]]
    np.testing.assert_array_equal(_reference.depthwise_conv(image, kernel).astype(float), expected)


def test_depthwise_is_conv_with_a_group_per_channel() -> None:
    image = strategies.integers(7, (1, 5, 6, 3), np.float64)
    kernel = strategies.integers(8, (3, 2, 3, 4), np.float64)
    np.testing.assert_array_equal(
        _reference.depthwise_conv(image, kernel, 2, "same"),
        _reference.conv(image, kernel.reshape(3, 2, 1, 12), 2, "same"),
    )


@pytest.mark.parametrize(
    ("size", "taps", "stride", "padding", "dilation", "output", "pads"),
    [
        (224, 3, 2, "same", 1, 112, (0, 1)),
        (224, 3, 2, "same_lower", 1, 112, (1, 0)),
        (7, 3, 2, "same", 1, 4, (1, 1)),
        (5, 4, 1, "same", 1, 5, (1, 2)),
        (5, 1, 3, "same", 1, 2, (0, 0)),
        (5, 2, 1, "same", 3, 5, (1, 2)),
        (5, 3, 1, "valid", 2, 1, (0, 0)),
        (4, 3, 1, "valid", 2, 0, (0, 0)),
        (2, 9, 1, "valid", 1, 0, (0, 0)),
        (2, 9, 3, 4, 1, 1, (4, 4)),
        (2, 9, 1, ((3, 5),), 1, 2, (3, 5)),
        (10, 3, 2, 1, 1, 5, (1, 1)),
    ],
)
def test_output_geometry(
    size: int, taps: int, stride: int, padding: Any, dilation: int, output: int, pads: tuple[int, int]
) -> None:
    assert _reference.output_geometry((size,), (taps,), stride, padding, dilation) == ((output,), (pads,))


def test_every_tap_stays_inside_the_padded_image() -> None:
    """Strides, dilation and padding together, against the sum written out index by index."""
    image = strategies.integers(9, (1, 9, 1), np.float64)
    for taps, stride, dilation, before, after in itertools.product(
        (1, 2, 4), (1, 2, 3), (1, 3), (0, 2), (0, 1)
    ):
        kernel = strategies.integers(10, (taps, 1, 1), np.float64)
        actual = _reference.conv(image, kernel, stride, ((before, after),), None, dilation)
        expected = []
        position = -before
        while position + (taps - 1) * dilation < 9 + after:
            at = [position + tap * dilation for tap in range(taps)]
            expected.append(sum(kernel[t, 0, 0] * image[0, i, 0] for t, i in enumerate(at) if 0 <= i < 9))
            position += stride
        np.testing.assert_array_equal(actual[0, :, 0].astype(float), expected)


def test_empty_batch_and_empty_output() -> None:
    kernel = np.ones((3, 3, 2, 5))
    assert _reference.conv(np.ones((0, 8, 8, 2)), kernel).shape == (0, 6, 6, 5)
    assert _reference.conv(np.ones((2, 2, 8, 2)), kernel).shape == (2, 0, 6, 5)
    assert _reference.depthwise_conv(np.ones((2, 2, 8, 2)), kernel).shape == (2, 0, 6, 10)


def test_epilogue_adds_bias_and_residual_before_the_activation() -> None:
    image = np.array([[[1.0]], [[2.0]]])
    result = _reference.pointwise_conv(
        image,
        np.array([[3.0, -4.0]]),
        bias=np.array([0.5, 1.0]),
        residual=np.array([[[10.0, 20.0]], [[-30.0, 5.0]]]),
        activation=(0.0, 17.5),
    )
    np.testing.assert_array_equal(result.astype(float), [[[13.5, 17.0]], [[0.0, 0.0]]])


def test_separable_and_inverted_residual_are_their_parts() -> None:
    image = strategies.integers(11, (1, 4, 5, 3), np.float64)
    expand = strategies.integers(12, (3, 8), np.float64)
    filters = strategies.integers(13, (3, 3, 8, 1), np.float64)
    project = strategies.integers(14, (8, 3), np.float64)
    expanded = _reference.pointwise_conv(image, expand, activation="relu6")
    filtered = _reference.depthwise_conv(expanded, filters, padding="same", activation="relu6")
    np.testing.assert_array_equal(
        _reference.separable_conv(expanded, filters, project, padding="same", depthwise_activation="relu6"),
        _reference.pointwise_conv(filtered, project),
    )
    np.testing.assert_array_equal(
        _reference.inverted_residual(image, expand, filters, project, residual=True),
        _reference.pointwise_conv(filtered, project) + image,
    )


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_squeeze_excite_equals_einsum_and_scipy(rank: int, data_format: str) -> None:
    spatial, letters = (5, 4, 3)[:rank], "xyz"[:rank]
    image = strategies.numbers(1, (2, *spatial, 6), np.float64)
    reduce_kernel, expand_kernel = (
        strategies.numbers(2, (6, 3), np.float64),
        strategies.numbers(3, (3, 6), np.float64),
    )
    reduce_bias, expand_bias = (
        strategies.numbers(4, (3,), np.float64),
        strategies.numbers(5, (6,), np.float64),
    )
    means = np.einsum(f"n{letters}c->nc", image) / np.prod(spatial)
    squeezed = scipy.special.expit(h := means @ reduce_kernel + reduce_bias) * h
    factors = scipy.special.expit(squeezed @ expand_kernel + expand_bias)
    expected = np.einsum(f"n{letters}c,nc->n{letters}c", image, factors)
    if data_format == "channels_first":
        image, expected = np.moveaxis(image, -1, 1), np.moveaxis(expected, -1, 1)
    actual = _reference.squeeze_excite(
        image,
        reduce_kernel,
        expand_kernel,
        reduce_bias,
        expand_bias,
        "silu",
        "sigmoid",
        data_format=data_format,
    )
    np.testing.assert_allclose(actual.astype(np.float64), expected, rtol=1e-12)


def test_a_gate_stands_between_depthwise_and_projection() -> None:
    image = strategies.numbers(1, (2, 6, 5, 4), np.float64)
    expand, depthwise, project = (
        strategies.numbers(seed, shape, np.float64)
        for seed, shape in [(2, (4, 9)), (3, (3, 3, 9, 1)), (4, (9, 4))]
    )
    gate = {
        "reduce_kernel": strategies.numbers(5, (9, 2), np.float64),
        "expand_kernel": strategies.numbers(6, (2, 9), np.float64),
        "gate": "hard_sigmoid",
    }
    filtered = _reference.depthwise_conv(
        _reference.pointwise_conv(image, expand, activation="relu6"),
        depthwise,
        padding="same",
        activation="relu6",
    )
    squeezed = np.maximum(filtered.mean((1, 2)) @ gate["reduce_kernel"].astype(np.longdouble), 0)
    factors = np.clip(squeezed @ gate["expand_kernel"].astype(np.longdouble) / 6 + 0.5, 0, 1)
    expected = np.einsum("nyxc,nc,co->nyxo", filtered, factors, project) + image
    actual = _reference.inverted_residual(
        image, expand, depthwise, project, residual=True, squeeze_excite=gate
    )
    np.testing.assert_allclose(actual.astype(np.float64), expected.astype(np.float64), rtol=1e-12)


def test_absolute_terms() -> None:
    image = np.array([[[1.0, -2.0], [-3.0, 4.0]]])
    kernel = np.array([[[5.0], [-6.0]], [[-7.0], [8.0]]])
    sums, terms = _reference.absolute_terms(
        _reference.conv,
        image,
        kernel,
        bias=np.array([-9.0]),
        residual=np.array([[[-10.0]]]),
        activation="relu",
    )
    assert sums.astype(float) == [[[5 + 12 + 21 + 32 + 9 + 10]]]
    assert terms == 6
    sums, terms = _reference.absolute_terms(_reference.depthwise_conv, image, kernel)
    np.testing.assert_array_equal(sums.astype(float), [[[5 + 21, 12 + 32]]])
    assert terms == 2
    assert _reference.absolute_terms(_reference.pointwise_conv, image, kernel[0])[1] == 2


def test_sums_have_more_digits_than_the_operands() -> None:
    """A float64 sum in longdouble, against the exact rational sum."""
    image = strategies.numbers(15, (1, 1, 60), np.float64)
    kernel = strategies.numbers(16, (60, 1), np.float64)
    exact = sum(Fraction(x) * Fraction(w) for x, w in zip(image.ravel(), kernel.ravel(), strict=True))
    sums, terms = _reference.absolute_terms(_reference.pointwise_conv, image, kernel)
    actual = Fraction(*_reference.pointwise_conv(image, kernel)[0, 0, 0].as_integer_ratio())
    assert abs(actual - exact) <= terms * Fraction(
        *np.finfo(np.longdouble).eps.as_integer_ratio()
    ) * Fraction(float(sums[0, 0, 0]))


POINTS = np.concatenate(
    [-np.logspace(-12, 2.2, 300), [0.0], np.logspace(-12, 2.2, 300), np.linspace(-9, 9, 301)]
)
IN_MPMATH = {
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "gelu": lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
    "gelu_tanh": lambda x: (
        x / (1 + mpmath.exp(-2 * mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3)))
    ),
}


@pytest.mark.parametrize("name", IN_MPMATH)
def test_curves_equal_mpmath_to_the_last_bit(name: str) -> None:
    values = POINTS.astype(np.longdouble)
    actual = _reference.activate(values, name)
    with mpmath.workdps(60):
        for x, y in zip(POINTS, actual, strict=True):
            exact = IN_MPMATH[name](mpmath.mpf(x))
            numerator, denominator = y.as_integer_ratio()
            error = abs(mpmath.mpf(numerator) / denominator - exact)
            if abs(exact) > np.finfo(np.longdouble).tiny:
                assert error <= abs(exact) * mpmath.mpf(2) ** -64, x
            else:
                assert error <= mpmath.mpf("1e-4930"), x


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("sigmoid", scipy.special.expit),
        ("silu", lambda x: x * scipy.special.expit(x)),
        ("gelu", lambda x: x * scipy.special.ndtr(x)),
    ],
)
def test_curves_equal_scipy(name: str, function: Any) -> None:
    # SciPy's own tail loses digits further down; there mpmath is the witness.
    points = POINTS[POINTS > -15]
    actual = _reference.activate(points.astype(np.longdouble), name).astype(float)
    np.testing.assert_allclose(actual, function(points), rtol=1e-13)


def test_erfc_has_forty_digits() -> None:
    with mpmath.workdps(60), localcontext(_reference._DIGITS):
        for z in [*np.linspace(-4, 12, 161), 2.999999, 3.000001, 27.0, 100.0]:
            ratio = mpmath.mpf(str(_reference._erfc(Decimal(float(z))))) / mpmath.erfc(mpmath.mpf(z))
            assert abs(ratio - 1) < mpmath.mpf("1e-40"), z


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", [0, 0, 0, 0, 1, 2, 3, 7, np.inf, np.nan]),
        ("relu6", [0, 0, 0, 0, 1, 2, 3, 6, 6, np.nan]),
        ("hard_sigmoid", [0, 0, 1 / 3, 1 / 2, 2 / 3, 5 / 6, 1, 1, 1, np.nan]),
        ("hard_swish", [np.nan, 0, -1 / 3, 0, 2 / 3, 5 / 3, 3, 7, np.inf, np.nan]),
        ((-2.0, 2.5), [-2, -2, -1, 0, 1, 2, 2.5, 2.5, 2.5, np.nan]),
    ],
)
def test_straight_activations_by_hand(name: _reference.Activation, expected: list[float]) -> None:
    values = np.array([-np.inf, -3, -1, 0, 1, 2, 3, 7, np.inf, np.nan], np.longdouble)
    np.testing.assert_allclose(_reference.activate(values, name).astype(float), expected, rtol=1e-15)


@pytest.mark.parametrize("name", ["sigmoid", "silu", "gelu", "gelu_tanh"])
def test_curves_at_the_ends(name: str) -> None:
    largest = float(np.finfo(np.float64).max)
    values = np.array([-np.inf, -largest, largest, np.inf, np.nan], np.longdouble)
    expected = [0, 0, 1, 1, np.nan] if name == "sigmoid" else [np.nan, 0, largest, np.inf, np.nan]
    np.testing.assert_array_equal(_reference.activate(values, name).astype(float), expected)


@pytest.mark.parametrize("accumulate", [np.float32, np.float64, np.longdouble])
def test_results_keep_the_type_they_were_computed_in(accumulate: Any) -> None:
    image, kernel = np.ones((1, 4, 4, 2), np.float32), np.ones((2, 2, 2, 1), np.float32)
    for function in (_reference.conv, _reference.depthwise_conv):
        assert function(image, kernel, activation="gelu", accumulate=accumulate).dtype == accumulate


def test_the_reference_imports_nothing_of_fastsep() -> None:
    """A specification that leaned on the code under test would agree with its mistakes."""
    tree = ast.parse(Path(_reference.__file__).read_text())
    imported = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        )
    }
    standard = {"__future__", "collections.abc", "decimal", "fractions", "typing"}
    assert imported == standard | {"numpy", "numpy.typing"}
