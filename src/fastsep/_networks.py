"""Published networks: tables become lists of layers. The README of `network_tables/` has their format."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from fastsep._layer_costs import (
    Layer,
    Window,
    depthwise,
    depthwise_passes,
    passes,
    pointwise,
    separated,
    standard,
)


@dataclass(frozen=True)
class Variant:
    """A network of a family, and what is published about it; None where nothing is."""

    name: str
    width: float
    depth: float
    resolution: int
    multiply_adds: float | None
    parameters: float | None
    trainable_parameters: int | None


class Row(NamedTuple):
    """A stage: a block, and how often it is repeated; kernel 0 and channels 0 where the block has none."""

    block: str
    kernel: int
    stride: int
    channels: int
    scales_width: bool
    repeat: int
    scales_depth: bool
    options: dict[str, str]


@cache
def families() -> tuple[tuple[tuple[Variant, ...], tuple[Row, ...]], ...]:
    """Every table: its variants and its rows."""
    # What finds files of a package takes longer to import than all that is here.
    from importlib.resources import files

    folder = files("fastsep") / "network_tables"
    tables = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".txt")), key=lambda e: e.name
    )
    return tuple(parse(table.read_text(encoding="utf-8")) for table in tables)


def variants() -> dict[str, tuple[Variant, tuple[Row, ...]]]:
    """All networks by name."""
    return {variant.name: (variant, rows) for family, rows in families() for variant in family}


def parse(text: str) -> tuple[tuple[Variant, ...], tuple[Row, ...]]:
    """Read a table; `#` begins a comment line."""

    def number(word: str) -> float | None:
        return None if word == "-" else float(word)

    found, rows = [], []
    for line in text.splitlines():
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if words[0] == "@variant":
            _, name, width, depth, resolution, multiply_adds, parameters, trainable = words
            exact = None if trainable == "-" else int(trainable)
            found.append(
                Variant(
                    name, float(width), float(depth), int(resolution),
                    number(multiply_adds), number(parameters), exact,
                )
            )  # fmt: skip
            continue
        block, kernel, stride, channels, repeat, *options = words
        rows.append(
            Row(
                block=block,
                kernel=0 if kernel == "-" else int(kernel),
                stride=1 if stride == "-" else int(stride),
                channels=0 if channels == "-" else int(channels.removesuffix("!")),
                scales_width=not channels.endswith("!"),
                repeat=1 if repeat == "-" else int(repeat.removesuffix("!")),
                scales_depth=not repeat.endswith("!") and repeat != "-",
                options=dict(option.split("=") for option in options),
            )
        )
    return tuple(found), tuple(rows)


def to_multiple(channels: float) -> int:
    """The nearest multiple of 8, or the next if that is more than 10 % smaller: the authors' rule."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def hidden_channels(row: Row, inputs: int) -> int:
    """Channels between the expanding and the projecting layer of an inverted residual."""
    expand = row.options.get("expand")
    return int(row.options["hidden"]) if expand is None else inputs * int(expand)


def gate_channels(row: Row, inputs: int) -> int | None:
    """Channels between the two dense layers of an inverted residual's gate; None where it has none."""
    match row.options.get("gate"):
        case None:
            return None
        case "input/4":
            return max(1, inputs // 4)
        case "hidden/4":
            return to_multiple(hidden_channels(row, inputs) / 4)
        case other:
            raise ValueError(f"a gate is input/4 or hidden/4, not {other!r}")


def blocks(variant: Variant, rows: Iterable[Row]) -> Iterator[tuple[str, Row, int, int]]:
    """Every block of a network in order: its name, row, stride and output channels."""
    for stage, row in enumerate(rows, 1):
        scale = row.scales_width and variant.width != 1
        channels = to_multiple(row.channels * variant.width) if scale else row.channels
        repeat = math.ceil(row.repeat * variant.depth) if row.scales_depth else row.repeat
        for number in range(repeat):
            name = f"{row.block}{stage}" + (f".{number + 1}" if repeat > 1 else "")
            yield name, row, row.stride if number == 0 else 1, channels


@dataclass
class _Builder:
    """A network as far as it is built: its layers, and the shape of what the last one gives."""

    shape: tuple[int, int, int]
    layers: list[Layer] = field(default_factory=list)

    def add(self, layer: Layer) -> None:
        self.layers.append(layer)
        height, width, channels = layer.output_shape
        self.shape = (height, width, channels)

    def convolve(self, name: str, row: Row, stride: int, channels: int) -> None:
        window = _window(row.kernel, stride, row.options.get("padding", "same"))
        self.add(standard(name, self.shape, window, channels, 2 * channels))

    def point(self, name: str, channels: int) -> None:
        self.add(pointwise(name, self.shape, channels, 2 * channels))

    def filter(self, name: str, row: Row, stride: int, norm: bool = True) -> None:
        self.add(
            depthwise(name, self.shape, _window(row.kernel, stride), other=2 * self.shape[2] if norm else 0)
        )

    def conv(self, name: str, row: Row, stride: int, channels: int) -> None:
        self.convolve(name, row, stride, channels)

    def separable(self, name: str, row: Row, stride: int, channels: int) -> None:
        self.filter(f"{name}_depthwise", row, stride, row.options.get("norm") != "last")
        self.point(f"{name}_pointwise", channels)

    def inverted(self, name: str, row: Row, stride: int, channels: int) -> None:
        inputs = self.shape[2]
        hidden = hidden_channels(row, inputs)
        if hidden != inputs:
            self.point(f"{name}_expand", hidden)
        self.filter(f"{name}_depthwise", row, stride)
        narrow = gate_channels(row, inputs)
        if narrow is not None:
            self.gate(f"{name}_gate", narrow)
        self.point(f"{name}_project", channels)

    def gate(self, name: str, narrow: int) -> None:
        """Squeeze-and-excitation: two dense layers over the channels' means; it leaves the shape alone."""
        channels = self.shape[2]
        mean, squeezed = (1, 1, channels), (1, 1, narrow)
        weights = channels * narrow
        self.layers.append(Layer(f"{name}_squeeze", "gate", mean, squeezed, None, weights, narrow))
        self.layers.append(Layer(f"{name}_excite", "gate", squeezed, mean, None, weights, channels))

    def bottleneck(self, name: str, row: Row, stride: int, channels: int) -> None:
        hidden = int(row.options["hidden"])
        if self.shape[2] != channels:
            self.shortcut(f"{name}_shortcut", row, stride, channels)
        one = Row("conv", 1, 1, hidden, False, 1, False, {})
        self.convolve(f"{name}_reduce", one, stride, hidden)
        self.convolve(f"{name}_conv", row, 1, hidden)
        self.point(f"{name}_expand", channels)

    def shortcut(self, name: str, row: Row, stride: int, channels: int) -> None:
        self.layers.append(standard(name, self.shape, _window(1, stride), channels, 2 * channels))

    def pool(self, name: str, row: Row, stride: int, channels: int) -> None:
        height, width, depth = self.shape
        self.shape = (-(-height // stride), -(-width // stride), depth)

    def mean(self, name: str, row: Row, stride: int, channels: int) -> None:
        self.shape = (1, 1, self.shape[2])

    def dense(self, name: str, row: Row, stride: int, channels: int) -> None:
        inputs = self.shape[2]
        self.add(Layer(name, "dense", self.shape, (1, 1, channels), None, inputs * channels, channels))


def _window(kernel: int, stride: int, padding: str = "same") -> Window:
    pads: str | tuple[tuple[int, int], ...] = ((0, 0), (0, 0)) if padding == "valid" else padding
    return Window((kernel, kernel), (stride, stride), (1, 1), pads)


def build(variant: Variant, rows: Iterable[Row]) -> tuple[Layer, ...]:
    """The layers of a network, in order."""
    builder = _Builder((variant.resolution, variant.resolution, 3))
    add: dict[str, Callable[[str, Row, int, int], None]] = {
        "conv": builder.conv,
        "separable": builder.separable,
        "inverted": builder.inverted,
        "bottleneck": builder.bottleneck,
        "shortcut": builder.shortcut,
        "pool": builder.pool,
        "mean": builder.mean,
        "dense": builder.dense,
    }
    for name, row, stride, channels in blocks(variant, rows):
        add[row.block](name, row, stride, channels)
    return tuple(builder.layers)


def in_form(name: str, layers: tuple[Layer, ...], form: str) -> tuple[Layer, ...]:
    """The twin of a network, every convolution of it in one form."""
    if form == "standard":
        return tuple(_merged(name, layers))
    twin: list[Layer] = []
    for layer in layers:
        window, other = layer.window, layer.other_parameters
        inputs, outputs = layer.input_shape[-1], layer.output_shape[-1]
        if window is None or math.prod(window.kernel) == 1:
            twin.append(layer)
        elif form == "spatially separable":
            split = passes if layer.kind == "conv" else depthwise_passes
            twin += split(layer.name, layer.input_shape, window, outputs, other=other)
        elif layer.kind == "conv":
            # A normalisation after each part, as in MobileNet.
            twin += separated(layer.name, layer.input_shape, window, outputs, 1, 2 * inputs, other)
        else:
            twin.append(layer)
    return tuple(twin)


def _merged(name: str, layers: tuple[Layer, ...]) -> Iterable[Layer]:
    """Every depthwise layer and the pointwise one that it feeds as one standard convolution."""
    merged_before = False
    for layer, following in pairwise((*layers, None)):
        if merged_before:
            merged_before = False
            continue
        assert layer is not None, "None is only last"
        if layer.window is None or layer.kind != "depthwise":
            yield layer
            continue
        if following is None or following.kind != "pointwise":
            raise ValueError(
                f'form="standard" is undefined for {name}: {layer.name} feeds no pointwise layer directly, '
                f"but {following.name if following else 'nothing'}"
            )
        merged_before = True
        yield standard(
            layer.name.removesuffix("_depthwise"),
            layer.input_shape,
            layer.window,
            following.output_shape[-1],
            following.other_parameters,
        )
