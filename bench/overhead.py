"""What a call costs beyond its kernel: plans and functions on images so small that it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

import fastsep
from bench.sweep import Shape, numbers, weights_of

SIZES = (4, 8, 16, 32, 64)
CHANNELS = 8
IMAGES = 65


def shapes() -> list[Shape]:
    """Return 1×4×4×8 to 1×64×64×8 for every family that has a function."""
    return [
        Shape(family, size=size, channels=CHANNELS, outputs=CHANNELS)
        for family in ("depthwise", "pointwise", "separable", "conv")
        for size in SIZES
    ]


def calls_of(shape: Shape) -> dict[str, Callable[[], object]]:
    """Return the ways to compute one image on one thread, and a plan's call for many images.

    What another image adds to a call is the kernel's own time, tile loop included; the rest of a call is
    overhead.
    """
    plan = shape.plan()
    x, out = shape.arrays()
    many = replace(shape, batch=IMAGES)
    many_x = numbers(int(np.prod(many.shape_of(shape.size, CHANNELS)))).reshape(
        many.shape_of(shape.size, CHANNELS)
    )
    many_out = np.empty((IMAGES, *out.shape[1:]), np.float32)
    taps = (shape.kernel, shape.kernel)
    dense = weights_of(CHANNELS, CHANNELS)
    functions: dict[str, Callable[[], object]] = {
        "depthwise": lambda: fastsep.depthwise_conv(x, depthwise, padding="same", out=out, threads=1),
        "pointwise": lambda: fastsep.pointwise_conv(x, dense, out=out, threads=1),
        "separable": lambda: fastsep.separable_conv(
            x, depthwise, dense, padding="same", out=out, threads=1
        ),
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
