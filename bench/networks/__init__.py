"""Published networks as ONNX models with random weights: the papers' layers, nodes as exporters write them.

``python -m bench.networks mobilenet_v2 mobilenet_v2.onnx`` writes one to a file.
"""

from __future__ import annotations

from dataclasses import replace

import onnx

from bench.networks.blocks import blocks_of
from bench.networks.writer import Writer
from fastsep import _networks

# Those that the issue of speed is about; every other name of `fastsep.networks()` can be built as well.
NETWORKS = (
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "xception",
    "resnet50",
)
OPSET = 18


def build(
    name: str,
    *,
    size: int | tuple[int, int] | None = None,
    batch: int | None = 1,
    width: float | None = None,
    seed: int = 0,
    softmax: bool = False,
    opset: int = OPSET,
    dynamic_size: bool = False,
) -> onnx.ModelProto:
    """Return a network: input `x` (batch, 3, height, width), output `y` (batch, 1000), the logits.

    Parameters
    ----------
    name : str
        Of `fastsep.networks()`.
    size : int or (int, int), optional
        Pixels of height and width; the network's own resolution if not given.
    batch : int or None
        None leaves it to each run.
    width : float, optional
        Multiplies channels; the network's own if not given.
    seed : int
        Of the weights, which depend on nothing else but name and width.
    softmax : bool
        Whether a softmax follows the logits.
    opset : int
        18 or newer: ReduceMean takes its axes as an input.
    dynamic_size : bool
        Leave height and width to each run; `size` must not be given.

    Raises
    ------
    ValueError
        An unknown name, an opset below 18, or a size beside `dynamic_size`.
    """
    known = _networks.variants()
    if name not in known:
        raise ValueError(f"name must be one of {', '.join(known)}; got {name!r}")
    if opset < OPSET:
        raise ValueError(f"opset must be {OPSET} or newer, got {opset}")
    if dynamic_size and size is not None:
        raise ValueError(f"dynamic_size leaves no room for size={size}")
    variant, rows = known[name]
    if width is not None:
        variant = replace(variant, width=width)
    write = blocks_of(family_of(name))
    writer = Writer(seed)
    value = writer.input()
    for block, row, stride, channels in _networks.blocks(variant, rows):
        value = write[row.block](writer, block, value, row, stride, channels)
    if softmax:
        value = writer.softmax("softmax", value)
    pixels: tuple[int | str, int | str] = ("height", "width")
    if not dynamic_size:
        given = variant.resolution if size is None else size
        pixels = (given, given) if isinstance(given, int) else given
    images = "batch" if batch is None else batch
    return writer.model(name, (images, 3, *pixels), value, images, opset)


def family_of(name: str) -> str:
    """Return the family that a network belongs to: the name without the variant."""
    families = ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_large", "efficientnet", "xception", "resnet50")
    return next(family for family in families if name.startswith(family))
