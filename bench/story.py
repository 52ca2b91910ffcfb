"""The story that `make bench` tells: what a separable convolution saves, and what computing it well adds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from bench.blocks import Block, Stage, block_of
from bench.photograph import feature_maps, oriented_filters
from bench.shapes import Layer, load_network
from bench.variants import Variant, fused, naive, numpy_matmul, unfused


@dataclass(frozen=True)
class Row:
    """One line of the story's table. Of each step, the first row is what the others are compared with."""

    name: str
    step: str
    label: str
    block: Callable[[], Block]
    variant: Variant


@cache
def standard_block() -> Block:
    """Return a 3x3 convolution, 128 to 128 channels at 56x56, whose weights are nearly separable.

    As in trained networks, most of what its filters do for one input channel is one pattern, weighted
    differently for every output channel; a fifth of the weights' energy is noise on top.
    """
    channels = 128
    random = np.random.default_rng(0)
    patterns = oriented_filters(channels, random)[:, :, :, np.newaxis]
    mixing = random.normal(0, 1, (channels, channels))
    noise = random.normal(0, 1 / 3, (3, 3, channels, channels))
    kernel = (0.8**0.5 * patterns * mixing + 0.2**0.5 * noise) * (2 / channels) ** 0.5
    return Block(feature_maps(56, 56, channels), (Stage("conv", kernel.astype(np.float32)),))


@cache
def separable_block() -> Block:
    """Return the separable convolution closest to the standard one: each channel's best rank-1 part."""
    standard = standard_block()
    high, wide, in_channels, out_channels = standard.stages[0].kernel.shape
    matrices = standard.stages[0].kernel.transpose(2, 0, 1, 3).reshape(in_channels, high * wide, out_channels)
    left, singular, right = np.linalg.svd(matrices, full_matrices=False)
    depthwise = left[:, :, 0].T.reshape(high, wide, in_channels, 1)
    pointwise = singular[:, 0, np.newaxis] * right[:, 0]
    stages = (
        Stage("depthwise", np.ascontiguousarray(depthwise)),
        Stage("pointwise", np.ascontiguousarray(pointwise)),
    )
    return Block(standard.x, stages)


def layers_of(network: str, *names: str) -> list[Layer]:
    """Return the named layers of a network."""
    layers = {layer.name: layer for layer in load_network(network).layers}
    return [layers[name] for name in names]


@cache
def mobilenet_block(name: str) -> Block:
    """Return one of MobileNet's separable blocks."""
    return block_of(*layers_of("mobilenet_v1", f"{name}_depthwise", f"{name}_pointwise"))


@cache
def inverted_residual_block(name: str) -> Block:
    """Return one of MobileNetV2's blocks that have a residual."""
    names = (f"{name}_expand", f"{name}_depthwise", f"{name}_project")
    return block_of(*layers_of("mobilenet_v2", *names), residual=True)


FOUR_WAYS: tuple[tuple[str, Variant], ...] = (
    ("naive loops", naive),
    ("NumPy, taps + matmul", numpy_matmul),
    ("fastsep, layer by layer", unfused),
    ("fastsep, fused", fused),
)


def four_ways(name: str, step: str, block: Callable[[], Block], prefix: str = "") -> list[Row]:
    """Return a row for each way to compute a block of several layers."""
    return [
        Row(f"{name}-{variant.__name__}", step, prefix + label, block, variant)
        for label, variant in FOUR_WAYS
    ]


def standard_against_separable() -> list[Row]:
    """Return the step that the story begins with."""
    step = "3×3 convolution, 56×56, 128 → 128, and the separable one closest to it"
    return [
        Row("standard-naive", step, "standard: naive loops", standard_block, naive),
        Row("standard-numpy_matmul", step, "standard: NumPy, im2col + matmul", standard_block, numpy_matmul),
        Row("standard-fastsep", step, "standard: fastsep", standard_block, unfused),
        *four_ways("separable", step, separable_block, "separable: "),
    ]


ROWS: tuple[Row, ...] = (
    *standard_against_separable(),
    *four_ways(
        "mobilenet-112",
        "MobileNet block, 112×112, 32 → 64",
        lambda: mobilenet_block("block1"),
    ),
    *four_ways(
        "mobilenet-14",
        "MobileNet block, 14×14, 512 → 512",
        lambda: mobilenet_block("block7-11"),
    ),
    *four_ways(
        "mobilenet_v2-56",
        "MobileNetV2 block, 56×56, 24 → 144 → 24",
        lambda: inverted_residual_block("block3"),
    ),
    *four_ways(
        "mobilenet_v2-14",
        "MobileNetV2 block, 14×14, 96 → 576 → 96",
        lambda: inverted_residual_block("block12-13"),
    ),
)
