"""A depthwise convolution and the pointwise one behind it become one node."""

from __future__ import annotations

import math

from fastsep.onnx._graph import Graph, Node
from fastsep.onnx._optimise._rewrite import Draft, fused, rewrite
from fastsep.onnx._optimise.layers import is_depthwise, is_pointwise, kernel_of


def fuse_separable(graph: Graph) -> Graph:
    """Fuse depthwise and pointwise fastsep.Conv into fastsep.Separable."""
    return rewrite(graph, _separable, "fastsep.Conv")


def _separable(draft: Draft, node: Node) -> list[Node] | None:
    if node.op != "fastsep.Conv" or not is_pointwise(draft, node):
        return None
    depthwise = sole_depthwise(draft, node.inputs[0])
    if depthwise is None or depthwise.attributes["layout"] != node.attributes["layout"]:
        return None
    attributes = {
        **geometry(depthwise),
        "depthwise_activation": depthwise.attributes["activation"],
        "activation": node.attributes["activation"],
    }
    weights = depthwise_kernel(draft, depthwise), node.inputs[1], depthwise.inputs[2], node.inputs[2]
    return [
        fused(
            "fastsep.Separable", (depthwise.inputs[0], *weights, node.inputs[3]), node, attributes, depthwise
        )
    ]


def sole_depthwise(draft: Draft, value: str) -> Node | None:
    """Return the depthwise convolution without residual that makes a value, if nothing else reads that."""
    node = draft.sole(value, "fastsep.Conv")
    return node if node is not None and not node.inputs[3] and is_depthwise(draft, node) else None


def geometry(depthwise: Node) -> dict[str, object]:
    """Return the attributes that say where the windows are."""
    names = ("strides", "padding", "dilation_rate", "spatial", "layout")
    return {name: depthwise.attributes[name] for name in names}


def depthwise_kernel(draft: Draft, node: Node) -> str:
    """Return the name of the kernel of a depthwise fastsep.Conv in the form (*K, C, M)."""
    kernel = kernel_of(draft, node)
    groups = node.attributes["groups"]
    taps = kernel.shape[:-2]
    shape = (*taps, groups, kernel.size // (groups * math.prod(taps)))
    return draft.add(f"{node.inputs[1]}.depthwise", kernel.reshape(shape))
