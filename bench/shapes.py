"""Read the layers of real networks from ``bench/shapes/*.txt``.

``python -m bench.shapes`` prints each network's sums beside the published ones and fails where they disagree.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

Family = Literal["conv", "depthwise", "pointwise"]
Padding = Literal["same", "valid"]
Activation = Literal["relu", "relu6", "silu"]

SHAPES = Path(__file__).parent / "shapes"
COLUMNS = [
    "name",
    "family",
    "in_height",
    "in_width",
    "in_channels",
    "out_channels",
    "kernel",
    "stride",
    "padding",
    "activation",
    "count",
]


@dataclass(frozen=True)
class Layer:
    """One convolution layer of a network; a network holds it `count` times in a row."""

    name: str
    family: Family
    in_height: int
    in_width: int
    in_channels: int
    out_channels: int
    kernel: tuple[int, int]
    stride: int
    padding: Padding
    activation: Activation | None
    count: int = 1
    dilation: int = 1

    def __post_init__(self) -> None:
        """Refuse a layer that cannot exist."""
        if self.family not in get_args(Family):
            raise ValueError(f"family must be one of {get_args(Family)}, not {self.family!r}")
        if self.padding not in get_args(Padding):
            raise ValueError(f"padding must be one of {get_args(Padding)}, not {self.padding!r}")
        if self.activation is not None and self.activation not in get_args(Activation):
            raise ValueError(
                f"activation must be '-' or one of {get_args(Activation)}, not {self.activation!r}"
            )
        sizes = (self.in_height, self.in_width, self.in_channels, self.out_channels)
        if min(*sizes, *self.kernel, self.stride, self.count, self.dilation) < 1:
            raise ValueError(f"sizes, stride, count and dilation must be positive: {self}")
        if self.family == "pointwise" and self.kernel != (1, 1):
            raise ValueError(f"a pointwise kernel is 1x1, not {self.kernel}")
        if self.family == "depthwise" and self.out_channels % self.in_channels:
            raise ValueError(
                f"a depthwise layer's output channels are a multiple of its {self.in_channels} input "
                f"channels, not {self.out_channels}"
            )
        if min(self.out_size) < 1:
            raise ValueError(f"the {self.kernel} kernel does not fit: {self}")

    @property
    def out_size(self) -> tuple[int, int]:
        """Height and width of the output."""
        sizes = zip((self.in_height, self.in_width), self.kernel, strict=True)
        height, width = (
            size - (taps - 1) * self.dilation if self.padding == "valid" else size for size, taps in sizes
        )
        return -(-height // self.stride), -(-width // self.stride)

    @property
    def in_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the input."""
        return self.in_height, self.in_width, self.in_channels

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the output."""
        return *self.out_size, self.out_channels

    @property
    def parameters(self) -> int:
        """Weights of one occurrence of the layer, without bias."""
        input_channels_per_output = 1 if self.family == "depthwise" else self.in_channels
        return self.kernel[0] * self.kernel[1] * input_channels_per_output * self.out_channels

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one occurrence of the layer; taps in the padding count, as in the papers."""
        height, width = self.out_size
        return height * width * self.parameters

    def __str__(self) -> str:
        """Say the layer as a paper would: ``depthwise 3x3/2 112x112x64``."""
        stride = f"/{self.stride}" if self.stride > 1 else ""
        channels = (
            f"{self.in_channels}"
            if self.in_channels == self.out_channels and self.family == "depthwise"
            else f"{self.in_channels}-{self.out_channels}"
        )
        size = f"{self.in_height}x{self.in_width}"
        dilation = f" dilation {self.dilation}" if self.dilation > 1 else ""
        return f"{self.family} {self.kernel[0]}x{self.kernel[1]}{stride}{dilation} {size}x{channels}"


@dataclass(frozen=True)
class LeftOut:
    """A part of the published network that its file does not list."""

    multiply_adds: int
    parameters: int
    what: str


@dataclass(frozen=True)
class Published:
    """The totals that a paper states; `tolerance` is the relative difference its rounding explains."""

    multiply_adds: float
    parameters: float
    tolerance: float


@dataclass(frozen=True)
class Network:
    """The convolution layers of a network in order, and what is needed to check them."""

    name: str
    layers: tuple[Layer, ...]
    left_out: tuple[LeftOut, ...]
    published: Published
    trainable_parameters: int

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the whole network for one image, what the file leaves out included."""
        listed = sum(layer.count * layer.multiply_adds for layer in self.layers)
        return listed + sum(part.multiply_adds for part in self.left_out)

    @property
    def parameters(self) -> int:
        """Trainable parameters of the whole network, what the file leaves out included."""
        listed = sum(layer.count * layer.parameters for layer in self.layers)
        return listed + sum(part.parameters for part in self.left_out)

    def check(self) -> None:
        """Raise ValueError unless the sums agree with the published totals, and the parameters exactly."""
        if self.parameters != self.trainable_parameters:
            raise ValueError(
                f"{self.name}: {self.parameters:,} parameters, but its published model has "
                f"{self.trainable_parameters:,}"
            )
        for what, ours, theirs in (
            ("multiply-adds", self.multiply_adds, self.published.multiply_adds),
            ("parameters", self.parameters, self.published.parameters),
        ):
            difference = abs(ours - theirs) / theirs
            if difference > self.published.tolerance:
                raise ValueError(
                    f"{self.name}: {ours:,} {what}, but {theirs:,.0f} are published: {difference:.1%} apart, "
                    f"{self.published.tolerance:.1%} allowed"
                )


def parse_layer(line: str) -> Layer:
    """Read one row of a shapes file."""
    fields = line.split()
    if len(fields) != len(COLUMNS):
        raise ValueError(f"{len(fields)} columns in {line!r}, expected {len(COLUMNS)}: {' '.join(COLUMNS)}")
    row = dict(zip(COLUMNS, fields, strict=True))
    taps_high, taps_wide = row["kernel"].split("x")
    return Layer(
        name=row["name"],
        family=row["family"],  # type: ignore[arg-type]  # Layer validates the words
        in_height=int(row["in_height"]),
        in_width=int(row["in_width"]),
        in_channels=int(row["in_channels"]),
        out_channels=int(row["out_channels"]),
        kernel=(int(taps_high), int(taps_wide)),
        stride=int(row["stride"]),
        padding=row["padding"],  # type: ignore[arg-type]
        activation=None if row["activation"] == "-" else row["activation"],  # type: ignore[arg-type]
        count=int(row["count"]),
    )


def parse_network(name: str, text: str) -> Network:
    """Read a shapes file: layer rows and lines that begin with ``@``; ``#`` begins a comment line."""
    layers: list[Layer] = []
    left_out: list[LeftOut] = []
    published: Published | None = None
    trainable_parameters: int | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            if line.startswith("@left_out"):
                _, multiply_adds, parameters, what = line.split(maxsplit=3)
                left_out.append(LeftOut(int(multiply_adds), int(parameters), what))
            elif line.startswith("@published"):
                _, multiply_adds, parameters, percent = line.split()
                published = Published(
                    float(multiply_adds), float(parameters), float(percent.removesuffix("%")) / 100
                )
            elif line.startswith("@trainable_parameters"):
                trainable_parameters = int(line.split()[1])
            else:
                layers.append(parse_layer(line))
        except ValueError as error:
            raise ValueError(f"{name}, line {number}: {error}") from error
    if published is None or trainable_parameters is None:
        raise ValueError(f"{name}: no @published or @trainable_parameters line to check the sums against")
    return Network(name, tuple(layers), tuple(left_out), published, trainable_parameters)


def load_network(name: str) -> Network:
    """Read ``bench/shapes/<name>.txt`` and check its sums against the published totals."""
    network = parse_network(name, (SHAPES / f"{name}.txt").read_text(encoding="utf-8"))
    network.check()
    return network


def load_networks() -> list[Network]:
    """Read every shapes file."""
    return [load_network(path.stem) for path in sorted(SHAPES.glob("*.txt"))]


def work_of(layer: Layer) -> Layer:
    """Return the layer without its name and count: equal for layers that are the same work."""
    return replace(layer, name="", count=1)


def layers_of_family(family: Family) -> list[tuple[str, Layer]]:
    """Return (network, layer) for each layer of one family, the same work once a network."""
    distinct: dict[tuple[str, Layer], Layer] = {}
    for network in load_networks():
        for layer in network.layers:
            if layer.family == family:
                distinct.setdefault((network.name, work_of(layer)), layer)
    return [(network, layer) for (network, _), layer in distinct.items()]


def separable_pairs() -> list[tuple[str, Layer, Layer]]:
    """Return (network, depthwise, pointwise) for each pair in a row, the same work once a network."""
    distinct: dict[tuple[str, Layer, Layer], tuple[Layer, Layer]] = {}
    for network in load_networks():
        for first, second in pairwise(network.layers):
            if first.family == "depthwise" and second.family == "pointwise":
                if first.out_shape != second.in_shape:
                    raise ValueError(f"{network.name}: {second.name} does not fit behind {first.name}")
                distinct.setdefault((network.name, work_of(first), work_of(second)), (first, second))
    return [(network, *pair) for (network, _, _), pair in distinct.items()]


def main() -> int:
    """Print each network's sums beside the published ones."""
    print(
        f"{'network':<20} {'layers':>6} {'multiply-adds':>15} {'published':>15} "
        f"{'parameters':>12} {'published':>12}"
    )
    for network in load_networks():
        occurrences = sum(layer.count for layer in network.layers)
        print(
            f"{network.name:<20} {occurrences:>6} {network.multiply_adds:>15,} "
            f"{network.published.multiply_adds:>15,.0f} {network.parameters:>12,} "
            f"{network.published.parameters:>12,.0f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
