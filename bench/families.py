"""The families that rows are judged by, and the figures that each must reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.shapes import Layer

# The L3 of the machines that the thresholds were set on. A constant, so that a row's family does not depend
# on where it is measured.
L3_BYTES = 32 * 2**20

# Of separable convolutions in cache: from so many channels on the pointwise part outweighs the depthwise one,
# and the share of the FMA peak is asked for; below, that of what the two parts compose to.
WIDE_CHANNELS = 128


@dataclass(frozen=True)
class Threshold:
    """What a family must reach, and what it should; None where nothing is asked.

    Shares and ratios are geometric means over the family's rows unless a row is named. A ratio is the best
    peer's time over ours.
    """

    must_share: float | None = None
    must_ratio: float | None = None
    reach_share: float | None = None
    reach_ratio: float | None = None
    # What a share is of.
    share_of: Literal["FMA peak", "roofline"] = "FMA peak"
    # No single row may lie below this ratio; 0.97 is "not slower, beyond noise".
    worst_ratio: float | None = None
    # Asked in place of `must_ratio` and `reach_ratio` on all threads.
    must_ratio_all_threads: float | None = None
    # Of the time that the parts take, each as a plan of its own, over that of the fused plan.
    must_parts: float | None = None
    # Label of a row: its own must and reach.
    rows: tuple[tuple[str, float, float], ...] = ()


FAMILIES: dict[str, Threshold] = {
    "pointwise K>=128": Threshold(0.95, None, 0.97, None, worst_ratio=0.97, must_ratio_all_threads=1.1),
    "pointwise 33<=K<=127": Threshold(0.90, None, 0.95, None),
    "pointwise K<=32": Threshold(0.80, None, 0.90, None),
    "depthwise 3x3": Threshold(0.60, 1.5, 0.70, 2.0),
    "depthwise stride 2 or dilated": Threshold(0.45, 1.2, 0.60, 1.6, share_of="roofline"),
    "depthwise 5x5 and larger": Threshold(0.70, 2.0, 0.80, 3.0),
    # The share for WIDE_CHANNELS and more.
    "separable in cache": Threshold(0.92, None, 0.95, None, worst_ratio=1.0, must_parts=0.97),
    "separable beyond L3": Threshold(
        None,
        1.3,
        None,
        1.6,
        rows=(
            ("separable 3x3 512x512x32-32", 1.3, 1.65),
            ("separable 3x3 1024x1024x16-16", 1.5, 2.0),
            ("separable 3x3 16x112x112x32-64", 1.3, 1.6),
        ),
    ),
    "inverted residual": Threshold(None, 1.2, None, 1.4, worst_ratio=1.0),
    "standard 3x3": Threshold(
        None,
        1.0,
        None,
        1.2,
        rows=(
            ("conv 3x3/2 224x224x3-32", 1.0, 1.2),
            ("conv 3x3 56x56x64-64", 1.0, 1.2),
            ("conv 3x3 14x14x256-256", 1.0, 1.2),
        ),
    ),
    "standard other": Threshold(),
}


def in_every_row(must: float, reach: float | None = None) -> Threshold:
    """Return a filter's or network's: its figure holds for every row, so for the mean as well."""
    return Threshold(None, must, None, reach, share_of="roofline", worst_ratio=must)


FILTER_FAMILIES: dict[str, Threshold] = {
    "Gaussian f32, sigma 1": in_every_row(1.7, 2.2),
    "Gaussian f32, sigma 3": in_every_row(2.4, 3.5),
    "Gaussian f32, sigma 10": in_every_row(4.5, 6),
    "Gaussian u8 exact, sigma 1": in_every_row(1.2, 2),
    "Gaussian u8 exact, sigma 3": in_every_row(1.7, 3),
    "Gaussian u8 exact, sigma 10": in_every_row(2.5, 5),
    "Gaussian u16, f64, sigma 1": in_every_row(2, 3),
    "Gaussian u16, f64, sigma 3": in_every_row(2.5, 4),
    "Gaussian u16, f64, sigma 10": in_every_row(3, 5),
    "box 9": in_every_row(1, 1.5),
    "Sobel": in_every_row(1, 1.5),
    "small images": in_every_row(1),
    "floats beside SciPy": in_every_row(13, 25),
    "integers with SciPy's bits": in_every_row(6, 12),
    "volume beside SciPy": in_every_row(15, 30),
}

# One network each, on one and on eight images; shares are of all multiply-adds.
NETWORK_FAMILIES: dict[str, Threshold] = {
    "MobileNet 224": in_every_row(1.12, 1.25),
    "MobileNetV2 224": in_every_row(1.15, 1.35),
    "MobileNetV3-Large 224": in_every_row(1.15, 1.35),
    "EfficientNet-B0 224": in_every_row(1.3, 1.6),
    "Xception 299": in_every_row(1.08, 1.18),
    "ResNet-50 224": in_every_row(1, 1.1),
}
FAMILIES |= FILTER_FAMILIES | NETWORK_FAMILIES


def family_of(layers: tuple[Layer, ...], batch: int = 1) -> str:
    """Return the key in FAMILIES of one layer, a separable pair, or an inverted residual."""
    if any(layer.family == "pointwise" for layer in layers[:-1]):
        return "inverted residual"
    if len(layers) > 1:
        return "separable in cache" if unfused_bytes(layers, batch) <= L3_BYTES else "separable beyond L3"
    (layer,) = layers
    match layer.family:
        case "pointwise":
            if layer.in_channels >= 128:
                return "pointwise K>=128"
            return "pointwise 33<=K<=127" if layer.in_channels > 32 else "pointwise K<=32"
        case "depthwise":
            if layer.stride > 1 or layer.dilation > 1:
                return "depthwise stride 2 or dilated"
            return "depthwise 3x3" if max(layer.kernel) <= 3 else "depthwise 5x5 and larger"
        case "conv":
            return "standard 3x3" if layer.kernel == (3, 3) else "standard other"


def unfused_bytes(layers: tuple[Layer, ...], batch: int) -> int:
    """Return the bytes in float32 of the input and of every layer's output."""
    maps = [layers[0].in_shape, *(layer.out_shape for layer in layers)]
    return 4 * batch * sum(height * width * channels for height, width, channels in maps)
