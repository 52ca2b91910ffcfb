"""How time grows with one thing at a time: image size, channels, batch; and how it falls with threads."""

from __future__ import annotations

from dataclasses import replace

from bench.measure import thread_counts
from bench.sweep import Shape, Walk

SIZES = (7, 14, 28, 56, 112, 224, 448)
CHANNELS = (8, 16, 32, 64, 128, 256, 512, 1024)
BATCHES = (1, 2, 4, 8, 16, 32, 64)

BASES = (
    Shape("depthwise", size=28, channels=64, outputs=64),
    Shape("pointwise", size=28, channels=64, outputs=64),
    Shape("separable", size=28, channels=64, outputs=64),
    Shape("conv", size=28, channels=32, outputs=32),
    Shape("inverted residual", size=28, channels=24, outputs=24),
)


def series() -> list[Walk]:
    """Return what the figures of scaling show: coarse walks from a base point of every family."""
    found = []
    for base in BASES:
        channels = tuple(value for value in CHANNELS if value <= 512 or base.family != "inverted residual")
        for vary, values in (
            (("size",), SIZES),
            (("channels", "outputs"), channels),
            (("batch",), BATCHES),
        ):
            found.append(Walk(f"{vary[0]}: {base.family}", base, vary, values))
    return found


def thread_shapes() -> list[Shape]:
    """Return layers of a network's beginning, middle and end, for one to all threads."""
    return [
        replace(base, size=size, channels=channels, outputs=channels)
        for base in BASES[:4]
        for size, channels in ((112, 32), (28, 128), (7, 512))
    ]


def thread_numbers() -> list[int]:
    """Return 1, 2, 4, 8 … and all."""
    *_, most = thread_counts()
    return sorted({1, *(2**power for power in range(1, most.bit_length()) if 2**power <= most), most})
