"""What fusion saves: the same work as one plan and as one plan a layer, and the bytes that each moves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from bench.sweep import EXPANSION, Shape, weights_of


def shapes() -> list[Shape]:
    """Return pairs that stay in cache and pairs whose intermediate leaves it, and inverted residuals."""
    separable = Shape("separable")
    block = Shape("inverted residual")

    def pair(size: int, channels: int, outputs: int, batch: int = 1) -> Shape:
        return replace(separable, size=size, channels=channels, outputs=outputs, batch=batch)

    def residual(size: int, channels: int, batch: int = 1) -> Shape:
        return replace(block, size=size, channels=channels, outputs=channels, batch=batch)

    return [
        pair(7, 512, 512),
        pair(14, 256, 256),
        pair(28, 128, 128),
        pair(56, 64, 64),
        pair(112, 32, 64),
        pair(256, 32, 32),
        pair(512, 32, 32),
        pair(1024, 16, 16),
        pair(112, 32, 64, batch=16),
        residual(7, 96),
        residual(14, 64),
        residual(28, 32),
        residual(56, 24),
        residual(112, 16),
        residual(224, 16),
    ]


@dataclass(frozen=True)
class Part:
    """One layer of a fused shape, as a plan of its own."""

    plan: Any
    out_shape: tuple[int, ...]


def parts_of(shape: Shape) -> list[Part]:
    """Return the layers with the weights that the fused plan has."""
    import fastsep

    taps = (shape.kernel, shape.kernel)
    window: dict[str, Any] = {"strides": shape.stride, "dilation_rate": shape.dilation, "padding": "same"}

    def image(size: int, channels: int) -> tuple[int, ...]:
        return shape.shape_of(size, channels)

    if shape.family == "separable":
        return [
            Part(
                fastsep.DepthwiseConv(weights_of(*taps, shape.channels, 1), **window),
                image(shape.out_size, shape.channels),
            ),
            Part(
                fastsep.PointwiseConv(weights_of(shape.channels, shape.outputs)),
                image(shape.out_size, shape.outputs),
            ),
        ]
    wide = EXPANSION * shape.channels
    return [
        Part(
            fastsep.PointwiseConv(weights_of(shape.channels, wide), activation="relu6"),
            image(shape.size, wide),
        ),
        Part(
            fastsep.DepthwiseConv(weights_of(*taps, wide, 1), activation="relu6", **window),
            image(shape.out_size, wide),
        ),
        Part(fastsep.PointwiseConv(weights_of(wide, shape.outputs)), image(shape.out_size, shape.outputs)),
    ]


def traffic(shape: Shape) -> dict[str, int]:
    """Return the bytes that each form moves between the kernels and the arrays.

    Unfused, every intermediate is written once and read once; fused, it never leaves a thread's cache.
    Weights and the input once, the output once in both.
    """
    pixels_in, pixels = shape.batch * shape.size**2, shape.batch * shape.out_size**2
    if shape.family == "separable":
        between = pixels * shape.channels
    else:
        between = EXPANSION * shape.channels * (pixels_in + pixels)
    fused = shape.compulsory_bytes
    return {"fused": fused, "unfused": fused + 2 * 4 * between, "intermediate": 4 * between}
