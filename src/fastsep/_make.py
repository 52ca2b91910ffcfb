"""From arguments to compiled plans: what the constructors of layers.py and the functions of ops.py share.

`hold` says what becomes of the weights once they are checked: `frozen` for a plan, which keeps a private
copy, or `borrowed` for a function, whose weights are packed where they are.
`isa` is the instruction set to pack for, the chosen one if it is None.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fastsep import _validate
from fastsep._activations import epilogue
from fastsep._depthwise import DepthwisePlan
from fastsep._direct import DirectPlan
from fastsep._isa import get_isa
from fastsep._job import CompiledPlan
from fastsep._pointwise import PointwisePlan
from fastsep._separable import SeparablePlan
from fastsep._validate import Array, Window

Hold = Callable[[Array], Array]


def frozen(value: Array) -> Array:
    """A private contiguous copy that nobody can write to: what a pickle holds."""
    copy = np.array(value, order="C")
    copy.flags.writeable = False
    return copy


def borrowed(value: Array) -> Array:
    """The caller's own array: packing takes any strides, but for depthwise kernels and biases."""
    return value


def held_bias(
    hold: Hold, value: object, name: str, channels: int, dtype: np.dtype[Any], dtype_of: str = "kernel"
) -> Array | None:
    checked = _validate.bias(value, name, channels, dtype, dtype_of)
    return None if checked is None else np.ascontiguousarray(hold(checked))


def held_depthwise_kernel(hold: Hold, value: object, name: str) -> Array:
    weights = hold(_validate.kernel(value, name, "(*K, C, M) with one to three axes K", (1, 2, 3)))
    return np.ascontiguousarray(weights)


frozen_bias = partial(held_bias, frozen)
frozen_depthwise_kernel = partial(held_depthwise_kernel, frozen)


def matrix(kernel: Array, rows: int) -> Array:
    return np.ascontiguousarray(kernel).reshape(rows, -1)


class ConvParts:
    """A standard convolution before its groups are known: they show only when inputs come."""

    __slots__ = ("bias", "curve", "isa", "kernel", "window")

    def __init__(
        self,
        hold: Hold,
        kernel: object,
        strides: object,
        padding: object,
        dilation_rate: object,
        bias: object,
        activation: object,
        isa: str | None = None,
    ) -> None:
        self.kernel = hold(
            _validate.kernel(kernel, "kernel", "(*K, Cin/groups, Cout) with one to three axes K", (1, 2, 3))
        )
        shape, dtype = self.kernel.shape, self.kernel.dtype
        self.bias = held_bias(hold, bias, "bias", shape[-1], dtype)
        self.window: Window = _validate.window(shape[:-2], strides, padding, dilation_rate)
        self.curve = epilogue(activation, "activation", dtype)
        self.isa = get_isa() if isa is None else isa

    def pack(self, channels: int) -> CompiledPlan:
        """The family that fits: pointwise, depthwise or standard. All three sum in the same order."""
        shape = self.kernel.shape
        count = _validate.groups(channels, shape)
        taps, strides, _, pads = self.window
        one_tap = math.prod(taps) == 1 and all(step == 1 for step in strides)
        if one_tap and count == 1 and (isinstance(pads, str) or not any(map(any, pads))):
            return PointwisePlan(self.kernel, self.bias, self.curve, self.isa)
        if shape[-2] == 1 and count > 1:
            multiplier = shape[-1] // count
            kernel = np.ascontiguousarray(self.kernel)
            return DepthwisePlan(kernel, self.bias, multiplier, self.window, self.curve, self.isa)
        return DirectPlan(self.kernel, self.bias, count, self.window, self.curve, self.isa)


def make_depthwise(
    hold: Hold,
    kernel: object,
    strides: object,
    padding: object,
    dilation_rate: object,
    bias: object,
    activation: object,
) -> tuple[DepthwisePlan, Array, Array | None]:
    """The compiled plan, and the weights held."""
    weights = held_depthwise_kernel(hold, kernel, "kernel")
    shape, dtype = weights.shape, weights.dtype
    offsets = held_bias(hold, bias, "bias", shape[-2] * shape[-1], dtype)
    window = _validate.window(shape[:-2], strides, padding, dilation_rate)
    curve = epilogue(activation, "activation", dtype)
    return DepthwisePlan(weights, offsets, shape[-1], window, curve, get_isa()), weights, offsets


def make_pointwise(
    hold: Hold, kernel: object, bias: object, activation: object, isa: str | None = None
) -> tuple[PointwisePlan, Array, Array | None]:
    """The compiled plan, and the weights held."""
    weights = hold(_validate.pointwise_kernel(kernel, "kernel"))
    dtype = weights.dtype
    offsets = held_bias(hold, bias, "bias", weights.shape[-1], dtype)
    curve = epilogue(activation, "activation", dtype)
    return PointwisePlan(weights, offsets, curve, get_isa() if isa is None else isa), weights, offsets


def pointwise_ranks(kernel: Array) -> tuple[int, ...]:
    """Spatial axes of the inputs that a pointwise kernel takes."""
    return (kernel.ndim - 2,) if kernel.ndim > 2 else (1, 2, 3)


def make_separable(
    hold: Hold,
    depthwise_weights: object,
    pointwise_weights: object,
    strides: object,
    padding: object,
    dilation_rate: object,
    depthwise_bias: object,
    depthwise_activation: object,
    bias: object,
    activation: object,
    isa: str | None = None,
) -> tuple[SeparablePlan, Array, Array, Array | None, Array | None]:
    """The compiled plan, and the weights held: both kernels, both biases."""
    first = held_depthwise_kernel(hold, depthwise_weights, "depthwise_kernel")
    dtype = first.dtype
    second = hold(
        _validate.pointwise_kernel(pointwise_weights, "pointwise_kernel", dtype, "depthwise_kernel")
    )
    channels, multiplier = first.shape[-2:]
    inputs, outputs = second.shape[-2:]
    if inputs != channels * multiplier:
        raise ValueError(
            f"pointwise_kernel takes {inputs} channels, depthwise_kernel gives "
            f"{channels} × {multiplier} = {channels * multiplier}"
        )
    if second.ndim not in (2, first.ndim):
        raise ValueError(
            f"pointwise_kernel must have the form (C·M, Cout) or as many axes as depthwise_kernel, "
            f"{first.ndim}; got {second.ndim}"
        )
    between = held_bias(hold, depthwise_bias, "depthwise_bias", inputs, dtype, "depthwise_kernel")
    offsets = held_bias(hold, bias, "bias", outputs, dtype, "depthwise_kernel")
    window = _validate.window(first.shape[:-2], strides, padding, dilation_rate)
    first_curve = epilogue(depthwise_activation, "depthwise_activation", dtype)
    second_curve = epilogue(activation, "activation", dtype)
    isa = get_isa() if isa is None else isa
    compiled = SeparablePlan(
        DepthwisePlan(first, between, multiplier, window, first_curve, isa),
        PointwisePlan(second, offsets, second_curve, isa),
    )
    return compiled, first, second, between, offsets
