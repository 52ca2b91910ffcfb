"""What is measured side by side: the layers of real networks, their blocks, and the design's table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

import fastsep
from bench.blocks import Array, Block, Gate, Stage, gate_of, stage_of
from bench.families import WIDE_CHANNELS, family_of
from bench.photograph import feature_maps
from bench.shapes import Activation, Family, Layer, Network, load_networks, separable_pairs, work_of

DESIGN_TABLE = "design table"

# EfficientNet squeezes to a quarter of the channels that come into the block.
SQUEEZE = 4


@dataclass(frozen=True)
class Row:
    """One layer, a depthwise layer with the pointwise one it feeds, or an inverted residual.

    `squeezed` > 0 is the number of channels that squeeze-and-excite goes through, behind the depthwise layer.
    """

    layers: tuple[Layer, ...]
    networks: tuple[str, ...]
    batch: int = 1
    residual: bool = False
    squeezed: int = 0

    @property
    def family(self) -> str:
        """The key in FAMILIES."""
        return "inverted residual" if self.squeezed else family_of(self.layers, self.batch)

    @property
    def label(self) -> str:
        """What is computed; no two rows have the same."""
        silu = " silu" if self.layers[0].activation == "silu" else ""
        if len(self.layers) == 1:
            return f"{self.layers[0]}{silu}"
        (depthwise,) = (layer for layer in self.layers if layer.family == "depthwise")
        stride = f"/{depthwise.stride}" if depthwise.stride > 1 else ""
        kind = "inverted residual" if self.family == "inverted residual" else "separable"
        kernel = f"{depthwise.kernel[0]}x{depthwise.kernel[1]}{stride}"
        batch = f"{self.batch}x" if self.batch > 1 else ""
        first = self.layers[0]
        channels = [first.in_channels, *(layer.out_channels for layer in self.layers if layer != depthwise)]
        size = f"{batch}{first.in_height}x{first.in_width}x{'-'.join(map(str, channels))}"
        residual = " residual" if self.residual else ""
        gate = " squeeze-excite" if self.squeezed else ""
        return f"{kind} {kernel} {size}{residual}{gate}{silu}"

    @property
    def beside_its_parts(self) -> bool:
        """Whether it is held against what its parts take, each as a plan of its own."""
        return self.family == "separable in cache" and self.layers[0].in_channels < WIDE_CHANNELS

    def weights(self) -> tuple[tuple[Stage, ...], Gate | None]:
        """Return the layers and the gate with seeded random weights."""
        random = np.random.default_rng(0)
        stages = tuple(stage_of(layer, random) for layer in self.layers)
        if not self.squeezed:
            return stages, None
        channels = self.layers[-2].out_channels
        return stages, gate_of(channels, self.squeezed, self.layers[-2].activation, random)

    @property
    def in_shape(self) -> tuple[int, int, int, int]:
        """Batch, height, width and channels of the input."""
        return self.batch, *self.layers[0].in_shape

    def x(self) -> Array:
        """Return the photograph's feature maps; further images of a batch are the first, moved sideways."""
        maps = feature_maps(*self.layers[0].in_shape)
        if self.batch == 1:
            return maps
        x = fastsep.empty(self.in_shape)
        for image in range(self.batch):
            x[image] = np.roll(maps[0], image, axis=1)
        return x


@lru_cache(maxsize=1)
def block_of_row(row: Row) -> Block:
    """Return the row with its weights and input."""
    stages, gate = row.weights()
    return Block(row.x(), stages, row.residual, gate)


def same_work(layer: Layer) -> Layer:
    """Return what distinguishes a layer's work: no name, and ReLU, ReLU6 and none are one.

    A clamp in the epilogue costs every library about the same, ours up to 12 % where a tile is short
    (pointwise of 16 channels), so the networks' layers that differ only in it are one row, timed with the
    first network's.
    """
    activation: Activation | None = "silu" if layer.activation == "silu" else None
    return replace(work_of(layer), activation=activation)


def layer(
    family: Family, size: int, channels: tuple[int, int], kernel: int = 1, stride: int = 1, dilation: int = 1
) -> Layer:
    """Return a square layer as the design's table names it: "same" padding, and ReLU6."""
    taps = (kernel, kernel)
    return Layer("", family, size, size, *channels, taps, stride, "same", "relu6", dilation=dilation)


def separable(size: int, channels: tuple[int, int], batch: int = 1) -> Row:
    """Return a 3x3 separable row."""
    first, second = channels
    pair = (layer("depthwise", size, (first, first), 3), layer("pointwise", size, (first, second)))
    return Row(pair, (DESIGN_TABLE,), batch)


def inverted_residual(size: int, channels: int, expanded: int) -> Row:
    """Return a 3x3 inverted residual that adds its input."""
    expand = layer("pointwise", size, (channels, expanded))
    depthwise = layer("depthwise", size, (expanded, expanded), 3)
    project = replace(layer("pointwise", size, (expanded, channels)), activation=None)
    return Row((expand, depthwise, project), (DESIGN_TABLE,), residual=True)


def design_rows() -> list[Row]:
    """Return the convolutions of the design's table, and the further rows that have a figure to reach."""
    pointwise = [(112, 32, 64), (112, 16, 96), (56, 144, 24), (28, 256, 256), (7, 1024, 1024), (19, 728, 728)]
    layers = [
        *(layer("pointwise", size, (first, second)) for size, first, second in pointwise),
        layer("depthwise", 112, (32, 32), 3),
        layer("depthwise", 112, (64, 64), 3, stride=2),
        layer("depthwise", 14, (512, 512), 3),
        layer("depthwise", 7, (1024, 1024), 3),
        layer("depthwise", 28, (240, 240), 5),
        layer("depthwise", 14, (384, 384), 7),
        layer("depthwise", 28, (256, 256), 3, dilation=2),
        layer("conv", 224, (3, 32), 3, stride=2),
        layer("conv", 56, (64, 64), 3),
        layer("conv", 14, (256, 256), 3),
    ]
    return [
        *(Row((one,), (DESIGN_TABLE,)) for one in layers),
        separable(56, (128, 128)),
        separable(512, (32, 32)),
        separable(1024, (16, 16)),
        separable(112, (32, 64), batch=16),
        inverted_residual(56, 24, 144),
        inverted_residual(14, 96, 576),
    ]


def inverted_residuals(network: Network, squeezed: bool) -> Iterator[Row]:
    """Yield a network's blocks in order: expand, depthwise, project; or without the first, with a gate."""
    layers = network.layers
    for index, depthwise in enumerate(layers):
        if depthwise.family != "depthwise":
            continue
        name = depthwise.name.removesuffix("_depthwise")
        expands = layers[index - 1].name == f"{name}_expand"
        if not expands and not squeezed:
            continue  # a separable pair, and a row already
        block = layers[index - 1 if expands else index : index + 2]
        first, last = block[0], block[-1]
        # A block that occurs several times in a row has the same input and output.
        residual = depthwise.stride == 1 and first.in_channels == last.out_channels
        channels = max(1, first.in_channels // SQUEEZE) if squeezed else 0
        yield Row(block, (network.name,), residual=residual, squeezed=channels)


def merge(rows: list[Row]) -> list[Row]:
    """Return every work once, with all networks that hold it; the first row stays."""
    merged: dict[object, Row] = {}
    for row in rows:
        key = (tuple(map(same_work, row.layers)), row.batch, row.residual, row.squeezed)
        first = merged.setdefault(key, row)
        networks = tuple(dict.fromkeys((*first.networks, *row.networks)))
        merged[key] = replace(first, networks=networks)
    return list(merged.values())


def all_rows() -> list[Row]:
    """Return every row, the same work once.

    EfficientNet's separable pairs are left out: squeeze-and-excite stands between, so they are no pairs, and
    their blocks are rows.
    """
    networks = load_networks()
    rows = [Row((layer,), (network.name,)) for network in networks for layer in network.layers]
    gated = {network.name for network in networks if is_gated(network)}
    rows += [
        Row((first, second), (network,))
        for network, first, second in separable_pairs()
        if network not in gated
    ]
    for network in networks:
        if any(layer.name.endswith("_expand") and layer.family == "pointwise" for layer in network.layers):
            if network.name.startswith("resnet"):
                continue
            rows += inverted_residuals(network, network.name in gated)
    return merge(rows + design_rows())


def is_gated(network: Network) -> bool:
    """Tell whether squeeze-and-excite follows the network's depthwise layers."""
    return any("squeeze-and-excitation" in part.what for part in network.left_out)
