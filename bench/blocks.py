"""A block is what one benchmark computes: a few layers with their weights, and the input they get."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bench.photograph import feature_maps, oriented_filters
from bench.shapes import Activation, Family, Layer, Padding
from fastsep._window import positions_read

Array = NDArray[np.floating]


def pixels_read(
    size: int, outputs: int, taps: int, stride: int, dilation: int, padding: Padding = "same"
) -> int:
    """How many of `size` pixels along one side some window sees."""
    padded = max(0, (outputs - 1) * stride + (taps - 1) * dilation + 1 - size) if padding == "same" else 0
    return positions_read(size, outputs, taps, stride, dilation, padded // 2)


@dataclass(frozen=True, eq=False)
class Stage:
    """One layer.

    Kernels are as in Keras: conv (kh, kw, in, out), depthwise (kh, kw, c, m), pointwise (in, out).
    """

    family: Family
    kernel: Array
    stride: int = 1
    padding: Padding = "same"
    activation: Activation | None = None
    dilation: int = 1

    def out_shape(self, in_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the output, (batch, height, width, channels)."""
        batch, *size, _ = in_shape
        if self.padding == "valid":
            reaches = [(taps - 1) * self.dilation for taps in self.kernel.shape[:2]]
            size = [pixels - reach for pixels, reach in zip(size, reaches, strict=True)]
        height, width = (-(-pixels // self.stride) for pixels in size)
        channels = self.kernel.shape[-1]
        if self.family == "depthwise":
            channels *= self.kernel.shape[-2]
        return batch, height, width, channels

    def numbers_read(self, in_shape: tuple[int, ...]) -> int:
        """How many numbers of an input some window sees."""
        batch, *size, channels = in_shape
        taps = self.kernel.shape[:2] if self.kernel.ndim == 4 else (1, 1)
        read = batch * channels
        for pixels, outputs, width in zip(size, self.out_shape(in_shape)[1:3], taps, strict=True):
            read *= pixels_read(pixels, outputs, width, self.stride, self.dilation, self.padding)
        return read


@dataclass(frozen=True, eq=False)
class Gate:
    """Squeeze-and-excite: each channel times sigmoid(activation(means @ reduce) @ expand), without biases."""

    reduce: Array  # (channels, squeezed)
    expand: Array  # (squeezed, channels)
    activation: Activation | None

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return self.reduce.size + self.expand.size


@dataclass(frozen=True, eq=False)
class Block:
    """Layers in a row, fed with `x`; `residual` adds `x` to the last one's output.

    A gate stands behind the depthwise layer.
    """

    x: Array
    stages: tuple[Stage, ...]
    residual: bool = False
    gate: Gate | None = None

    @cached_property
    def out_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Output shape of every stage."""
        shapes = []
        shape = self.x.shape
        for stage in self.stages:
            shape = stage.out_shape(shape)
            shapes.append(shape)
        return tuple(shapes)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        gate = self.gate.parameters if self.gate else 0
        return gate + sum(stage.kernel.size for stage in self.stages)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the layers; taps in the padding count, as in the papers."""
        pixels = (batch * height * width for batch, height, width, _ in self.out_shapes)
        gate = self.x.shape[0] * self.gate.parameters if self.gate else 0
        return gate + sum(count * stage.kernel.size for count, stage in zip(pixels, self.stages, strict=True))

    @property
    def compulsory_bytes(self) -> int:
        """Bytes that every implementation moves: input and weights once in, output once out."""
        read = self.x.size if self.residual else self.stages[0].numbers_read(self.x.shape)
        return (read + self.parameters + int(np.prod(self.out_shapes[-1]))) * self.x.itemsize

    def astype(self, dtype: DTypeLike) -> Block:
        """Return the same block in another dtype."""
        stages = tuple(replace(stage, kernel=stage.kernel.astype(dtype)) for stage in self.stages)
        gate = self.gate
        if gate is not None:
            gate = replace(gate, reduce=gate.reduce.astype(dtype), expand=gate.expand.astype(dtype))
        return replace(self, x=self.x.astype(dtype), stages=stages, gate=gate)


def stage_of(layer: Layer, random: np.random.Generator) -> Stage:
    """Return `layer` with random weights that keep the size of what flows through it."""
    kernel: Array
    if layer.family == "depthwise":
        multiplier = layer.out_channels // layer.in_channels
        shape = (*layer.kernel, layer.in_channels, multiplier)
        if layer.kernel == (3, 3):
            kernel = oriented_filters(layer.out_channels, random).reshape(shape)
        else:
            kernel = random.normal(0, layer.kernel[0] ** -1.0, shape)
    else:
        taps = layer.kernel if layer.family == "conv" else ()
        terms = layer.kernel[0] * layer.kernel[1] * layer.in_channels
        kernel = random.normal(0, (2 / terms) ** 0.5, (*taps, layer.in_channels, layer.out_channels))
    return Stage(
        layer.family, kernel.astype(np.float32), layer.stride, layer.padding, layer.activation, layer.dilation
    )


def gate_of(channels: int, squeezed: int, activation: Activation | None, random: np.random.Generator) -> Gate:
    """Return a gate with random weights that leave it neither open nor shut."""
    reduce = random.normal(0, (2 / channels) ** 0.5, (channels, squeezed)).astype(np.float32)
    expand = random.normal(0, (2 / squeezed) ** 0.5, (squeezed, channels)).astype(np.float32)
    return Gate(reduce, expand, activation)


def block_of(*layers: Layer, residual: bool = False) -> Block:
    """Return `layers` with random weights, fed with feature maps of the photograph."""
    random = np.random.default_rng(0)
    stages = tuple(stage_of(layer, random) for layer in layers)
    return Block(feature_maps(*layers[0].in_shape), stages, residual)
