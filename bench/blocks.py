"""A block is what one benchmark computes: a few layers with their weights, and the input they get."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bench.photograph import feature_maps, oriented_filters
from bench.shapes import Activation, Family, Layer, Padding

Array = NDArray[np.floating]


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

    def out_shape(self, in_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the output, (batch, height, width, channels)."""
        batch, *size, _ = in_shape
        if self.padding == "valid":
            size = [pixels - taps + 1 for pixels, taps in zip(size, self.kernel.shape, strict=False)]
        height, width = (-(-pixels // self.stride) for pixels in size)
        channels = self.kernel.shape[-1]
        if self.family == "depthwise":
            channels *= self.kernel.shape[-2]
        return batch, height, width, channels


@dataclass(frozen=True, eq=False)
class Block:
    """Layers in a row, fed with `x`; `residual` adds `x` to the last one's output."""

    x: Array
    stages: tuple[Stage, ...]
    residual: bool = False

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
        return sum(stage.kernel.size for stage in self.stages)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the layers; taps in the padding count, as in the papers."""
        pixels = (batch * height * width for batch, height, width, _ in self.out_shapes)
        return sum(count * stage.kernel.size for count, stage in zip(pixels, self.stages, strict=True))

    @property
    def compulsory_bytes(self) -> int:
        """Bytes that every implementation moves: input and weights once in, output once out."""
        output = int(np.prod(self.out_shapes[-1])) * self.x.itemsize
        return self.x.nbytes + sum(stage.kernel.nbytes for stage in self.stages) + output

    def astype(self, dtype: DTypeLike) -> Block:
        """Return the same block in another dtype."""
        stages = tuple(replace(stage, kernel=stage.kernel.astype(dtype)) for stage in self.stages)
        return replace(self, x=self.x.astype(dtype), stages=stages)


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
    return Stage(layer.family, kernel.astype(np.float32), layer.stride, layer.padding, layer.activation)


def block_of(*layers: Layer, residual: bool = False) -> Block:
    """Return `layers` with random weights, fed with feature maps of the photograph."""
    random = np.random.default_rng(0)
    stages = tuple(stage_of(layer, random) for layer in layers)
    return Block(feature_maps(*layers[0].in_shape), stages, residual)
