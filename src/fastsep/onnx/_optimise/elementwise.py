"""Sums and products that no layer took, and the activation behind them, become one node."""

from __future__ import annotations

from fastsep.onnx._graph import Graph, Node
from fastsep.onnx._optimise._rewrite import Draft, fused, rewrite

_KINDS = {"Add": "fastsep.Add", "Mul": "fastsep.Multiply"}


def make_elementwise(graph: Graph) -> Graph:
    """Turn Add and Mul into fastsep.Add and fastsep.Multiply; fuse fastsep.Activation into them.

    Other passes look for Add and Mul: this one comes last.
    """
    return rewrite(graph, _elementwise, *_KINDS)


def _elementwise(draft: Draft, node: Node) -> list[Node] | None:
    if node.op in _KINDS and draft.fact(node.inputs[0]).is_real:
        return [fused(_KINDS[node.op], node.inputs, node, {"activation": None})]
    if node.op != "fastsep.Activation":
        return None
    before = draft.sole(node.inputs[0], *_KINDS.values())
    if before is None or before.attributes["activation"] is not None:
        return None
    return [fused(before.op, before.inputs, node, dict(node.attributes), before)]
