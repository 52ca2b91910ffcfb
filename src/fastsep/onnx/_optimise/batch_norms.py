"""Batch norms with constant statistics become part of the layer before them, or a product and a sum."""

from __future__ import annotations

import numpy as np

from fastsep.onnx._graph import Array, Graph, Node
from fastsep.onnx._optimise._rewrite import Draft, fused, origin, rewrite
from fastsep.onnx._optimise.layers import has_room, kernel_of, scaled
from fastsep.onnx._optimise.scales import with_weights

_EPSILON = 1e-5


def fold_batch_norms(graph: Graph) -> Graph:
    """Fold BatchNormalization into the fastsep.Conv or fastsep.Dense before it; or make it Mul and Add.

    Weights are computed in float64 and rounded once.
    """
    return rewrite(graph, _batch_norm, "BatchNormalization")


def _batch_norm(draft: Draft, node: Node) -> list[Node] | None:
    if node.op != "BatchNormalization" or any(draft.uses(name) for name in node.outputs[1:] if name):
        return None
    line = _line(draft, node)
    if line is None:
        return None
    slope, offset = line
    layer = draft.sole(node.inputs[0], "fastsep.Conv", "fastsep.Dense")
    shape = draft.fact(node.inputs[0]).shape
    is_matrix = shape is not None and len(shape) == 2
    if layer is not None and has_room(layer) and (layer.op == "fastsep.Conv" or is_matrix):
        kernel = kernel_of(draft, layer)
        if kernel.shape[-1] == slope.size:
            bias = draft.constants[layer.inputs[2]] if layer.inputs[2] else np.zeros(slope.size)
            return [with_weights(draft, layer, node, scaled(kernel, slope), bias * slope + offset)]
    if shape is None or len(shape) < 2 or shape[1] != slope.size:
        return None
    return _product_and_sum(draft, node, slope, offset, len(shape))


def _line(draft: Draft, node: Node) -> tuple[Array, Array] | None:
    """Return slope and offset of every channel, in float64."""
    values = [draft.constant(name) for name in node.inputs[1:5]]
    scale, shift, mean, variance = (None if v is None else v.astype(np.float64) for v in values)
    if scale is None or shift is None or mean is None or variance is None:
        return None
    # What does not fit stays, and is refused when its image comes: here it would be repeated.
    if scale.ndim != 1 or not scale.shape == shift.shape == mean.shape == variance.shape:
        return None
    slope = scale / np.sqrt(variance + node.attributes.get("epsilon", _EPSILON))
    return slope, shift - mean * slope


def _product_and_sum(draft: Draft, node: Node, slope: Array, offset: Array, rank: int) -> list[Node] | None:
    dtype = draft.fact(node.inputs[0]).dtype
    if dtype is None:
        return None
    shape = (slope.size, *(1,) * (rank - 2))
    factor = draft.add(f"{node.outputs[0]}.slope", slope.astype(dtype).reshape(shape))
    addend = draft.add(f"{node.outputs[0]}.offset", offset.astype(dtype).reshape(shape))
    product = draft.fresh(f"{node.outputs[0]}.product")
    return [
        Node("Mul", (node.inputs[0], factor), (product,), {}, node.name, origin(node)),
        fused("Add", (product, addend), node, {}),
    ]
