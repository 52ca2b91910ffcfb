"""What "right" means: the error bound of every stage, carried through fused stages, and equality of bits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsep import _reference

Array = NDArray[Any]

# Largest slope of each activation: how much of an error in its argument can reach its result.
STEEPEST_SLOPE = {
    "relu": 1.0,
    "relu6": 1.0,
    "sigmoid": 0.25,
    "hard_sigmoid": 1 / 6 + 1e-9,
    "silu": 1.0999,
    "hard_swish": 1.5,
    "gelu": 1.1290,
    "gelu_tanh": 1.1290,
}


# What counts as exact beside a type: its own rounding is 2⁻²⁹ of a bound in float32, 2⁻¹¹ in float64 (2⁻⁶⁰
# where software computes longdoubles of 113 bits). Doubles are several times as fast.
EXACT = {np.dtype(np.float32): np.dtype(np.float64), np.dtype(np.float64): np.dtype(np.longdouble)}


@dataclass(frozen=True)
class Bounded:
    """Exact values of a tensor, and how far each computed one may be from its exact one."""

    exact: Array
    error: Array

    @classmethod
    def given(cls, values: Array) -> Bounded:
        """An operand, which holds no error."""
        exact = values.astype(EXACT.get(values.dtype, np.longdouble))
        return cls(exact, np.zeros_like(exact))


def ulp(values: Array, dtype: np.dtype[Any]) -> Array:
    """Distance between neighbouring floating-point numbers at each value."""
    # The largest number has no neighbour above; the one below it has the same distance.
    below_largest = np.nextafter(np.finfo(dtype).max, dtype.type(0))
    spacing: Array = np.spacing(np.minimum(np.abs(values), below_largest).astype(dtype))
    return spacing.astype(EXACT[np.dtype(dtype)])


def activation_ulps(activation: _reference.Activation, dtype: np.dtype[Any]) -> float:
    """How many ulp the package promises for an activation; a clamp only selects, so it is exact."""
    from fastsep import _activations

    if not isinstance(activation, str):
        return 0.0
    return float(_activations.ULP[activation][np.dtype(dtype).name])


def _sigmoid(x: Array) -> Array:
    decay = np.exp(-np.abs(x))
    result: Array = np.where(x >= 0, 1, decay) / (1 + decay)
    return result


_ERFC = np.frompyfunc(math.erfc, 1, 1)
# The curves that the reference computes by decimals of 60 digits, a tenth of a millisecond each.
IN_DOUBLES: dict[str, Callable[[Array], Array]] = {
    "sigmoid": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
    "gelu": lambda x: x / 2 * _ERFC(-x / math.sqrt(2)).astype(float),
    "gelu_tanh": lambda x: x * _sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)),
}


def curve(values: Array, activation: _reference.Activation) -> Array:
    """The activation; of doubles by doubles, 10⁻¹² off at most, which is exact beside float32."""
    if values.dtype != np.float64 or activation not in IN_DOUBLES:
        return _reference.activate(values, activation)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return IN_DOUBLES[str(activation)](values)


def after(
    operation: Callable[..., Array],
    before: Bounded,
    kernel: Array,
    *,
    bias: Array | None = None,
    activation: _reference.Activation = None,
    residual: Array | None = None,
    **geometry: Any,
) -> Bounded:
    """The bound after one more convolution of the reference.

    |err| ≤ γ_k Σ|x||w| + k·η for the sums themselves, where |x| includes what earlier stages may have
    added; plus the earlier error times |w|; times the slope of the activation, plus its ulp. Accumulators
    have the type that is stored, so storing an intermediate rounds nothing.
    """
    wide = EXACT[kernel.dtype]
    geometry["accumulate"] = wide
    exact = operation(before.exact, kernel, bias=bias, residual=residual, **geometry)
    largest = np.abs(before.exact) + before.error
    sums, terms = _reference.absolute_terms(
        operation, largest, kernel, bias=bias, residual=residual, **geometry
    )
    unit = wide.type(np.finfo(kernel.dtype).eps) / 2
    gamma = terms * unit / (1 - terms * unit)
    error = gamma * sums + terms * wide.type(np.finfo(kernel.dtype).smallest_subnormal)
    error = error + operation(before.error, np.abs(kernel), **geometry)
    if activation is not None:
        error = error * (STEEPEST_SLOPE[activation] if isinstance(activation, str) else 1.0)
        exact = curve(exact, activation)
        ulps = activation_ulps(activation, kernel.dtype)
        error = error + ulps * ulp(np.abs(exact) + error, kernel.dtype)
    return Bounded(exact, error)


def separable(
    inputs: Array | Bounded,
    depthwise_kernel: Array,
    pointwise_kernel: Array,
    *,
    depthwise_bias: Array | None = None,
    depthwise_activation: _reference.Activation = None,
    bias: Array | None = None,
    activation: _reference.Activation = None,
    residual: Array | None = None,
    data_format: str | None = None,
    **geometry: Any,
) -> Bounded:
    """The bound of a separable convolution."""
    before = inputs if isinstance(inputs, Bounded) else Bounded.given(inputs)
    filtered = after(
        _reference.depthwise_conv, before, depthwise_kernel,
        bias=depthwise_bias, activation=depthwise_activation, data_format=data_format, **geometry,
    )  # fmt: skip
    return after(
        _reference.pointwise_conv, filtered, pointwise_kernel,
        bias=bias, activation=activation, residual=residual, data_format=data_format,
    )  # fmt: skip


def squeeze_excite(
    filtered: Bounded,
    reduce_kernel: Array,
    expand_kernel: Array,
    reduce_bias: Array | None = None,
    expand_bias: Array | None = None,
    activation: _reference.Activation = "relu",
    gate: _reference.Activation = "sigmoid",
    *,
    data_format: str | None = None,
) -> Bounded:
    """The bound of an image times the gate that is computed from it."""
    axis = 1 if data_format == "channels_first" else -1
    exact, error = (np.moveaxis(array, axis, -1) for array in (filtered.exact, filtered.error))
    if exact.size == 0:
        return filtered
    spatial = tuple(range(1, exact.ndim - 1))
    width, pixels = exact.shape[-2], int(np.prod(exact.shape[1:-1]))
    assert pixels < 2**24, "the number of pixels is rounded too"
    dtype = reduce_kernel.dtype
    unit = exact.dtype.type(np.finfo(dtype).eps) / 2
    smallest = exact.dtype.type(np.finfo(dtype).smallest_subnormal)
    # A pixel goes through width - 1 additions in its row, rows - 1 of the rows' sums, and the division; only
    # the division can underflow.
    roundings = width - 1 + pixels // width - 1 + 1
    gamma = roundings * unit / (1 - roundings * unit)
    means = Bounded(
        exact.mean(spatial, keepdims=True),
        gamma * (np.abs(exact) + error).mean(spatial, keepdims=True)
        + error.mean(spatial, keepdims=True)
        + smallest,
    )
    squeezed = after(_reference.pointwise_conv, means, reduce_kernel, bias=reduce_bias, activation=activation)
    factors = after(_reference.pointwise_conv, squeezed, expand_kernel, bias=expand_bias, activation=gate)
    largest = (np.abs(exact) + error) * (np.abs(factors.exact) + factors.error)
    gated = Bounded(
        exact * factors.exact,
        largest - np.abs(exact * factors.exact) + unit * largest + smallest,
    )
    return Bounded(np.moveaxis(gated.exact, -1, axis), np.moveaxis(gated.error, -1, axis))


def inverted_residual(
    inputs: Array,
    expand_kernel: Array | None,
    depthwise_kernel: Array,
    project_kernel: Array,
    *,
    expand_bias: Array | None = None,
    depthwise_bias: Array | None = None,
    bias: Array | None = None,
    activation: _reference.Activation = "relu6",
    residual: bool = False,
    squeeze_excite: Mapping[str, Any] | None = None,
    data_format: str | None = None,
    padding: _reference.Padding = "same",
    **geometry: Any,
) -> Bounded:
    """The bound of MobileNetV2's block, and of EfficientNet's with its gate."""
    expanded = Bounded.given(inputs)
    if expand_kernel is not None:
        expanded = after(
            _reference.pointwise_conv, expanded, expand_kernel,
            bias=expand_bias, activation=activation, data_format=data_format,
        )  # fmt: skip
    filtered = after(
        _reference.depthwise_conv, expanded, depthwise_kernel,
        bias=depthwise_bias, activation=activation, data_format=data_format, padding=padding, **geometry,
    )  # fmt: skip
    if squeeze_excite is not None:
        filtered = _gate(filtered, **squeeze_excite, data_format=data_format)
    return after(
        _reference.pointwise_conv, filtered, project_kernel,
        bias=bias, residual=inputs if residual else None, data_format=data_format,
    )  # fmt: skip


# `inverted_residual` has an argument of the function's name.
_gate = squeeze_excite


def assert_within(actual: Array, expected: Bounded) -> None:
    """Every element is as near to its exact value as promised."""
    assert actual.shape == expected.exact.shape
    difference = np.abs(actual.astype(expected.exact.dtype) - expected.exact)
    wrong = ~(difference <= expected.error)
    if wrong.any():
        index = tuple(np.argwhere(wrong)[0])
        raise AssertionError(
            f"{np.count_nonzero(wrong)} of {wrong.size} outputs are beyond the bound; the first is {index}: "
            f"{actual[index]!r} instead of {expected.exact[index]!r}, off by {difference[index]} where "
            f"{expected.error[index]} is allowed"
        )


def assert_same_bits(actual: Array, expected: Array) -> None:
    """Shape, type and every bit are equal, signs of zeros included."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    if expected.dtype.kind == "c":
        assert_same_bits(actual.real, expected.real)
        assert_same_bits(actual.imag, expected.imag)
        return
    integers = np.dtype(f"u{expected.dtype.itemsize}")
    left = np.ascontiguousarray(actual).view(integers)
    right = np.ascontiguousarray(expected).view(integers)
    if not np.array_equal(left, right):
        differing = np.argwhere(left != right)
        index = tuple(differing[0])
        raise AssertionError(
            f"{len(differing)} of {left.size} outputs differ in their bits; the first is {index}: "
            f"{actual[index]!r} instead of {expected[index]!r}"
        )
