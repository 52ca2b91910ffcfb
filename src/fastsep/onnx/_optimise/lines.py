"""A product and a sum with one number per channel, and what follows, become one depthwise layer of one tap.

It is run when the layers before and behind have taken what they can: an activation stands between, or
padding.
"""

from __future__ import annotations

import numpy as np

from fastsep.onnx._graph import Array, Graph, Node
from fastsep.onnx._operators.fused import CHANNELS_FIRST, CHANNELS_LAST
from fastsep.onnx._optimise._rewrite import Draft, fused, rewrite
from fastsep.onnx._optimise.scales import LINEAR, line_of, per_channel

_RANKS = (3, 4, 5)


def fuse_lines(graph: Graph) -> Graph:
    """Turn Adds, Subs, Muls, Divs by constants per channel, or one and its activation, into fastsep.Conv."""
    return rewrite(graph, _fuse, *LINEAR)


def _fuse(draft: Draft, node: Node) -> list[Node] | None:
    if node.op in LINEAR:
        first = _operand(draft, node)
        before = None if first is None else draft.sole(first, *LINEAR)
        return None if before is None else _layer(draft, node, before, node)
    if node.op == "fastsep.Activation":
        before = draft.sole(node.inputs[0], *LINEAR)
        return None if before is None else _layer(draft, node, before)
    return None


def _operand(draft: Draft, node: Node) -> str | None:
    """Return what is multiplied by a constant, or added to one."""
    if len(node.inputs) != 2:
        return None
    constants = [draft.constant(name) is not None for name in node.inputs]
    return node.inputs[constants.index(False)] if sum(constants) == 1 else None


def _layer(draft: Draft, last: Node, *steps: Node) -> list[Node] | None:
    """Return the layer that does all steps."""
    x = _operand(draft, steps[0])
    fact = draft.fact("" if x is None else x)
    if x is None or not fact.is_real or fact.shape is None or len(fact.shape) not in _RANKS:
        return None
    for layout, axis in ((CHANNELS_FIRST, 1), (CHANNELS_LAST, -1)):
        channels = fact.shape[axis]
        line = _line(draft, steps, axis, channels, len(fact.shape)) if isinstance(channels, int) else None
        if line is None or not isinstance(channels, int) or channels < 2:
            continue
        slope, offset = line
        spatial = len(fact.shape) - 2
        kernel = slope.astype(fact.dtype).reshape(*(1,) * spatial, 1, channels)
        weights = (
            draft.add(f"{last.outputs[0]}.kernel", kernel),
            draft.add(f"{last.outputs[0]}.bias", offset.astype(fact.dtype)),
        )
        attributes = {
            "strides": (1,) * spatial,
            "padding": ((0, 0),) * spatial,
            "dilation_rate": (1,) * spatial,
            "groups": channels,
            "activation": last.attributes["activation"] if last.op == "fastsep.Activation" else None,
            "spatial": spatial,
            "layout": layout,
        }
        return [fused("fastsep.Conv", (x, *weights, ""), last, attributes, *steps)]
    return None


def _line(
    draft: Draft, steps: tuple[Node, ...], axis: int, channels: int, rank: int
) -> tuple[Array, Array] | None:
    slope, offset = np.ones(channels), np.zeros(channels)
    for step in steps:
        side = 0 if draft.constant(step.inputs[1]) is not None else 1
        number = per_channel(draft.constant(step.inputs[1 - side]), axis, channels, rank)
        if number is None or (step.op == "Div" and (side == 1 or not number.all())):
            return None
        a, b = line_of(step.op, number, side)
        slope, offset = slope * a, offset * a + b
    return slope, offset
