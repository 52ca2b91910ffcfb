"""What is done to every output of a layer is done in registers: a residual added, an activation."""

from __future__ import annotations

from fastsep.onnx._graph import Graph, Node
from fastsep.onnx._operators.fused import RESIDUAL
from fastsep.onnx._optimise._rewrite import Draft, fused, rewrite
from fastsep.onnx._optimise.layers import has_room

_LAYERS = tuple(RESIDUAL)


def fuse_epilogues(graph: Graph) -> Graph:
    """Fuse Add, and then fastsep.Activation, into the layer that makes what they read."""
    return rewrite(graph, _epilogue, "fastsep.Activation", "Add")


def _epilogue(draft: Draft, node: Node) -> list[Node] | None:
    if node.op == "fastsep.Activation":
        layer = draft.sole(node.inputs[0], *_LAYERS)
        if layer is None or layer.attributes["activation"] is not None:
            return None
        attributes = {**layer.attributes, "activation": node.attributes["activation"]}
        return [fused(layer.op, layer.inputs, node, attributes, layer)]
    return _residual(draft, node) if node.op == "Add" else None


def _residual(draft: Draft, node: Node) -> list[Node] | None:
    shapes = [draft.fact(name).shape for name in node.inputs]
    if shapes[0] is None or shapes[0] != shapes[1]:
        return None
    # The layer that is made last: the other one is there then, whichever it is.
    for layer, other in sorted(_candidates(draft, node), key=lambda pair: -draft.place(pair[0].outputs[0])):
        at = RESIDUAL[layer.op]
        inputs = (*layer.inputs[:at], other, *layer.inputs[at + 1 :])
        return [fused(layer.op, inputs, node, dict(layer.attributes), layer)]
    return None


def _candidates(draft: Draft, node: Node) -> list[tuple[Node, str]]:
    found = []
    for value, other in (node.inputs, node.inputs[::-1]):
        layer = draft.sole(value, *_LAYERS)
        if layer is not None and has_room(layer):
            found.append((layer, other))
    return found
