"""What one convolution costs by its textbook formula, in each of its forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastsep._table import sizes


class Window(NamedTuple):
    """How a kernel moves over the pixels; one entry per spatial axis.

    `padding` is "same" or "same_lower", or (before, after) pairs.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilation_rate: tuple[int, ...]
    padding: str | tuple[tuple[int, int], ...]

    def output_size(self, size: int, axis: int) -> int:
        """Output pixels along one axis."""
        stride = self.strides[axis]
        if isinstance(self.padding, str):
            return -(-size // stride)
        reach = (self.kernel[axis] - 1) * self.dilation_rate[axis]
        return max(0, (size + sum(self.padding[axis]) - reach - 1) // stride + 1)

    def along(self, axis: int) -> Window:
        """The part of this window along one axis, which leaves the others alone."""

        def only(values: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(value if other == axis else 1 for other, value in enumerate(values))

        padding = self.padding
        if not isinstance(padding, str):
            padding = tuple(pair if other == axis else (0, 0) for other, pair in enumerate(padding))
        return Window(only(self.kernel), only(self.strides), only(self.dilation_rate), padding)

    def output(self, spatial: Sequence[int]) -> tuple[int, ...]:
        """Output pixels along every axis."""
        return tuple(self.output_size(size, axis) for axis, size in enumerate(spatial))


@dataclass(frozen=True)
class Layer:
    """One linear layer.

    Attributes
    ----------
    name : str
    kind : str
        "conv", "depthwise", "pointwise", "pass" (along one axis), "gate" or "dense".
    input_shape, output_shape : tuple of int
        (*spatial, channels).
    window : Window or None
        Of a convolution.
    weights : int
        Parameters that multiply inputs, each once for every output pixel.
    other_parameters : int
        Biases; scale and shift of a normalisation.
    """

    name: str
    kind: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    window: Window | None
    weights: int
    other_parameters: int = 0

    @property
    def kernel(self) -> tuple[int, ...]:
        """Taps along each spatial axis; none of a layer without a window."""
        return self.window.kernel if self.window else ()

    @property
    def parameters(self) -> int:
        """All parameters that are trained."""
        return self.weights + self.other_parameters

    @property
    def multiply_adds(self) -> int:
        """Weights times output pixels; taps on padding count, as in the papers."""
        return math.prod(self.output_shape[:-1]) * self.weights

    @property
    def elements(self) -> int:
        """Numbers moved: input, parameters and output, each once."""
        return math.prod(self.input_shape) + self.parameters + math.prod(self.output_shape)

    def to_dict(self) -> dict[str, Any]:
        """All figures, in types that JSON knows."""
        return {
            "name": self.name,
            "kind": self.kind,
            "input_shape": list(self.input_shape),
            "output_shape": list(self.output_shape),
            "kernel": list(self.kernel),
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
        }

    def __str__(self) -> str:
        taps = f" {sizes(self.kernel)}" if self.kernel else ""
        return f"{self.kind}{taps}, {sizes(self.input_shape)} → {sizes(self.output_shape)}"


def standard(name: str, input_shape: Sequence[int], window: Window, outputs: int, other: int = 0) -> Layer:
    """A standard convolution: prod(K)·Cin·Cout weights."""
    *spatial, channels = input_shape
    kind = "pointwise" if math.prod(window.kernel) == 1 else "conv"
    shape = (*window.output(spatial), outputs)
    weights = math.prod(window.kernel) * channels * outputs
    return Layer(name, kind, tuple(input_shape), shape, window, weights, other)


def depthwise(
    name: str, input_shape: Sequence[int], window: Window, multiplier: int = 1, other: int = 0
) -> Layer:
    """A depthwise convolution: prod(K)·Cin·M weights."""
    *spatial, channels = input_shape
    shape = (*window.output(spatial), channels * multiplier)
    weights = math.prod(window.kernel) * channels * multiplier
    return Layer(name, "depthwise", tuple(input_shape), shape, window, weights, other)


def pointwise(name: str, input_shape: Sequence[int], outputs: int, other: int = 0) -> Layer:
    """A pointwise convolution: Cin·Cout weights."""
    ones = (1,) * (len(input_shape) - 1)
    return standard(name, input_shape, Window(ones, ones, ones, "same"), outputs, other)


def passes(
    name: str, input_shape: Sequence[int], window: Window, outputs: int, rank: int = 1, other: int = 0
) -> tuple[Layer, ...]:
    """A spatially separable convolution: each of the Cin·Cout kernels is a sum of `rank` outer products.

    One pass along each axis, the first axis first; the last pass also sums over terms and input channels:
    sum(K)·Cin·Cout·rank weights.
    """
    channels = input_shape[-1]
    planes = channels * outputs * rank
    return _passes(name, input_shape, window, planes, outputs, other)


def depthwise_passes(
    name: str, input_shape: Sequence[int], window: Window, outputs: int, other: int = 0
) -> tuple[Layer, ...]:
    """A spatially separable depthwise convolution: sum(K)·outputs weights."""
    return _passes(name, input_shape, window, outputs, outputs, other)


def _passes(
    name: str, input_shape: Sequence[int], window: Window, planes: int, outputs: int, other: int
) -> tuple[Layer, ...]:
    shape, layers, rank = tuple(input_shape), [], len(window.kernel)
    for axis, taps in enumerate(window.kernel):
        last = axis == rank - 1
        along = window.along(axis)
        after = (*along.output(shape[:-1]), outputs if last else planes)
        layers.append(
            Layer(f"{name}_axis{axis}", "pass", shape, after, along, taps * planes, other if last else 0)
        )
        shape = after
    return tuple(layers)


def separated(
    name: str,
    input_shape: Sequence[int],
    window: Window,
    outputs: int,
    multiplier: int = 1,
    between: int = 0,
    other: int = 0,
) -> tuple[Layer, Layer]:
    """A depthwise separable convolution: prod(K)·Cin·M + Cin·M·Cout weights."""
    first = depthwise(f"{name}_depthwise", input_shape, window, multiplier, between)
    return first, pointwise(f"{name}_pointwise", first.output_shape, outputs, other)
