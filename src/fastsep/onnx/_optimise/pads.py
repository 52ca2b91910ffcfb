"""Pads become the padding of the convolution or pool behind them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fastsep.onnx._graph import Graph, Node
from fastsep.onnx._operators._specs import axis_of
from fastsep.onnx._operators.fused import CHANNELS_FIRST
from fastsep.onnx._optimise._dims import Dim
from fastsep.onnx._optimise._facts import pairs_of
from fastsep.onnx._optimise._rewrite import Draft, fused, origin, rewrite
from fastsep.onnx._optimise.activations import clamp_of

Pairs = tuple[tuple[int, int], ...]


def fold_pads(graph: Graph) -> Graph:
    """Fold Pad into the fastsep.Conv or fastsep.Pool behind it, also with a Transpose between."""
    return rewrite(graph, _fold, "Pad")


def _fold(draft: Draft, node: Node) -> list[Node] | None:
    if node.op not in ("fastsep.Conv", "fastsep.Pool") or isinstance(node.attributes["padding"], str):
        return None
    turn = draft.maker(node.inputs[0], "Transpose")
    pad = draft.maker(node.inputs[0] if turn is None else turn.inputs[0], "Pad")
    if pad is None:
        return None
    rank = len(node.attributes["padding"]) + 2
    pairs = _pairs(draft, pad, rank)
    fill = _fill(draft, pad)
    if pairs is None or fill is None:
        return None
    sizes = draft.fact(pad.inputs[0]).shape or ()
    x, before = pad.inputs[0], []
    if turn is not None:
        pairs = tuple(pairs[axis] for axis in turn.attributes["perm"])
        sizes = tuple(sizes[axis] for axis in turn.attributes["perm"]) if sizes else ()
        x = draft.fresh(f"{x}.turned")
        before = [turn._replace(inputs=pad.inputs[:1], outputs=(x,), origin=origin(turn))]
    spatial = slice(2, None) if node.attributes["layout"] == CHANNELS_FIRST else slice(1, -1)
    inside = pairs[spatial]
    if sum(map(sum, inside)) != sum(map(sum, pairs)) or min(map(min, pairs)) < 0:
        return None
    attributes = _padded(draft, node, pad.inputs[0], sizes[spatial], inside, fill)
    if attributes is None:
        return None
    return [*before, fused(node.op, (x, *node.inputs[1:]), node, attributes, pad)]


def _pairs(draft: Draft, pad: Node, rank: int) -> Pairs | None:
    """Return how much is put (before, after) each axis."""
    pads = draft.constant(pad.inputs[1])
    named = pad.inputs[3] if len(pad.inputs) > 3 else ""
    axes = draft.constant(named) if named else None
    if pad.attributes.get("mode", "constant") != "constant" or pads is None or (named and axes is None):
        return None
    pairs = pairs_of(pads.tolist())
    if axes is None:
        return pairs if len(pairs) == rank else None
    placed = dict(zip((axis_of(pad, int(axis), rank) for axis in axes.ravel()), pairs, strict=True))
    if len(placed) < len(pairs):
        return None
    return tuple(placed.get(axis, (0, 0)) for axis in range(rank))


def _fill(draft: Draft, pad: Node) -> float | None:
    """Return what is put around the image."""
    named = pad.inputs[2] if len(pad.inputs) > 2 else ""
    return draft.scalar(named) if named else 0.0


def _padded(
    draft: Draft, node: Node, image: str, sizes: Sequence[Dim], pairs: Pairs, fill: float
) -> dict[str, object] | None:
    """Return the attributes of a node that pads by itself; None where that is something else.

    `sizes` are those of the image, as the node sees it; none if they are not known.
    """
    attributes = dict(node.attributes)
    own = node.attributes["padding"]
    attributes["padding"] = total(own, pairs)
    if node.op == "fastsep.Conv":
        return attributes if fill == 0.0 else None
    if node.attributes["ceil_mode"]:
        return None
    kind = node.attributes["kind"]
    if kind == "max":
        # A pool's own padding is -∞. Zeros are as good around an image without negative numbers, if every
        # window sees a pixel.
        zeros_fit = fill == 0.0 and _is_positive(draft, image) and _meet(node, attributes, sizes)
        fits = fill == -math.inf or zeros_fit
        return attributes if fits else None
    if fill == 0.0 and (kind == "average_including_padding" or not any(map(any, own))):
        return {**attributes, "kind": "average_including_padding"}
    return None


def total(first: Sequence[tuple[int, int]], second: Sequence[tuple[int, int]]) -> Pairs:
    """Return the sums of two paddings."""
    return tuple((a + c, b + d) for (a, b), (c, d) in zip(first, second, strict=True))


def _is_positive(draft: Draft, value: str) -> bool:
    """Return whether a value has no negative numbers, whatever the image."""
    node = draft.maker(value, "fastsep.Activation", "fastsep.Conv", "fastsep.Dense", "Transpose")
    if node is None:
        return False
    if node.op == "Transpose":
        return _is_positive(draft, node.inputs[0])
    bounds = clamp_of(node.attributes["activation"])
    return node.attributes["activation"] in ("sigmoid", "hard_sigmoid") or (
        bounds is not None and bounds[0] >= 0
    )


def _meet(node: Node, attributes: dict[str, object], sizes: Sequence[Dim]) -> bool:
    """Return whether no window lies in the padding as a whole, before the image, behind it, or around it."""
    padding = attributes["padding"]
    assert isinstance(padding, tuple)
    steps = node.attributes["dilation_rate"]
    for axis, (pair, taps, step) in enumerate(zip(padding, node.attributes["taps"], steps, strict=True)):
        size = sizes[axis] if axis < len(sizes) else None
        if max(pair) > (taps - 1) * step:
            return False
        if any(pair) and step > 1 and not (isinstance(size, int) and size >= step):
            return False
    return True
