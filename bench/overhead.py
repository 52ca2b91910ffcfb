"""What a call costs beyond its kernel: plans and functions on images so small that it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import fastsep
from bench.sweep import Shape, weights_of

SIZES = (4, 8, 16, 32, 64)
CHANNELS = 8
# Of input and output of all images of a call: within L1 and L2, as one image is.
BYTES_AT_MOST = 256 << 10
IMAGES_AT_LEAST, IMAGES_AT_MOST = 3, 65


def shapes() -> list[Shape]:
    """Return 1×4×4×8 to 1×64×64×8 for every family that has a function."""
    return [
        Shape(family, size=size, channels=CHANNELS, outputs=CHANNELS)
        for family in ("depthwise", "pointwise", "separable", "conv")
        for size in SIZES
    ]


def images(shape: Shape) -> int:
    """Return how many images the call of many gets."""
    one = 4 * 2 * CHANNELS * shape.size**2
    return max(IMAGES_AT_LEAST, min(IMAGES_AT_MOST, BYTES_AT_MOST // one))


def calls_of(shape: Shape) -> dict[str, Callable[[], object]]:
    """Return the ways to compute one image on one thread, and a plan's call for many images.

    What another image adds to a call is the kernel's own time, tile loop included; the rest of a call is
    overhead.
    """
    plan = shape.plan()
    x, out = shape.arrays()
    many_x, many_out = replace(shape, batch=images(shape)).arrays()
    taps = (shape.kernel, shape.kernel)
    dense = weights_of(CHANNELS, CHANNELS)
    functions: dict[str, Callable[[], object]] = {
        "depthwise": lambda: fastsep.depthwise_conv(x, depthwise, padding="same", out=out, threads=1),
        "pointwise": lambda: fastsep.pointwise_conv(x, dense, out=out, threads=1),
        "separable": lambda: fastsep.separable_conv(x, depthwise, dense, padding="same", out=out, threads=1),
        "conv": lambda: fastsep.conv(x, standard, padding="same", out=out, threads=1),
    }
    depthwise = weights_of(*taps, CHANNELS, 1)
    standard = weights_of(*taps, CHANNELS, CHANNELS)
    return {
        "plan(x, out)": lambda: plan(x, out, threads=1),
        "plan(x)": lambda: plan(x, threads=1),
        "function": functions[shape.family],
        "many images": lambda: plan(many_x, many_out, threads=1),
    }
