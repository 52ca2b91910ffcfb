"""Convolutions and products with constant matrices become fastsep's layers, weights in Keras' layouts."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastsep.onnx._graph import Array, Graph, Node
from fastsep.onnx._mapped import give_back
from fastsep.onnx._operators.fused import CHANNELS_FIRST, RESIDUAL
from fastsep.onnx._optimise._facts import padding_of, per_axis
from fastsep.onnx._optimise._rewrite import Draft, fused, origin, rewrite


def make_layers(graph: Graph) -> Graph:
    """Turn Conv, MatMul and Gemm with constant weights into fastsep.Conv and fastsep.Dense."""
    return rewrite(graph, _layer, "Conv", "MatMul", "Gemm")


def _layer(draft: Draft, node: Node) -> list[Node] | None:
    if node.op == "Conv":
        return _conv(draft, node)
    if node.op == "MatMul":
        return _matmul(draft, node)
    return _gemm(draft, node) if node.op == "Gemm" else None


def _conv(draft: Draft, node: Node) -> list[Node] | None:
    kernel = draft.constant(node.inputs[1])
    bias = node.inputs[2] if len(node.inputs) > 2 else ""
    if kernel is None or not _real(kernel) or (bias and draft.constant(bias) is None):
        return None
    spatial = kernel.ndim - 2
    if spatial not in (1, 2, 3) or 0 in kernel.shape:
        return None
    if bias and draft.constants[bias].shape != kernel.shape[:1]:
        return None
    padding = padding_of(node, spatial)
    if not isinstance(padding, str) and min(map(min, padding)) < 0:
        return None
    # A view: weights are turned once, where they are packed or saved.
    keras = kernel.transpose(*range(2, kernel.ndim), 1, 0)
    attributes: dict[str, Any] = {
        "strides": per_axis(node, "strides", spatial),
        "padding": padding,
        "dilation_rate": per_axis(node, "dilations", spatial),
        "groups": int(node.attributes.get("group", 1)),
        "activation": None,
        "spatial": spatial,
        "layout": CHANNELS_FIRST,
    }
    name = draft.add(f"{node.inputs[1]}.keras", keras)
    return [fused("fastsep.Conv", (node.inputs[0], name, bias, ""), node, attributes)]


def _matmul(draft: Draft, node: Node) -> list[Node] | None:
    kernel = draft.constant(node.inputs[1])
    if kernel is None or not _real(kernel) or kernel.ndim != 2 or 0 in kernel.shape:
        return None
    return [fused("fastsep.Dense", (node.inputs[0], node.inputs[1], "", ""), node, {"activation": None})]


def _gemm(draft: Draft, node: Node) -> list[Node] | None:
    kernel = draft.constant(node.inputs[1])
    addend = node.inputs[2] if len(node.inputs) > 2 else ""
    if kernel is None or not _real(kernel) or kernel.ndim != 2 or 0 in kernel.shape:
        return None
    # A layer takes more axes, which Gemm must refuse.
    if draft.fact(node.inputs[0]).rank != 2:
        return None
    if node.attributes.get("transB", 0):
        kernel = kernel.T
    alpha, beta = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    bias = ""
    if addend:
        row = _row(draft.constant(addend), kernel.shape[1])
        if row is None:
            return None
        bias = draft.add(f"{addend}.row", scaled(row, beta))
    name = draft.add(f"{node.inputs[1]}.keras", scaled(kernel, alpha))
    x, before = node.inputs[0], []
    if node.attributes.get("transA", 0):
        x = draft.fresh(f"{x}.transposed")
        before = [Node("Transpose", node.inputs[:1], (x,), {"perm": (1, 0)}, node.name, origin(node))]
    return [*before, fused("fastsep.Dense", (x, name, bias, ""), node, {"activation": None})]


def _row(value: Array | None, columns: int) -> Array | None:
    """Return one number per column, where every row of a matrix is given the same."""
    if value is None or value.ndim > 2 or (value.ndim == 2 and value.shape[0] != 1):
        return None
    if value.shape[-1:] not in ((), (1,), (columns,)):
        return None
    return np.ascontiguousarray(np.broadcast_to(value.reshape(-1), (columns,)))


def has_room(node: Node) -> bool:
    """Return whether a layer ends with its sum, so that more can be added to it or done to it."""
    return node.attributes["activation"] is None and not node.inputs[RESIDUAL[node.op]]


def kernel_of(draft: Draft, node: Node) -> Array:
    """Return the kernel of a fastsep.Conv or fastsep.Dense."""
    return draft.constants[node.inputs[1]]


def is_padded(draft: Draft, node: Node) -> bool:
    """Return whether a fastsep.Conv may see anything but its image."""
    padding = node.attributes["padding"]
    if isinstance(padding, str):
        return any(size > 1 for size in kernel_of(draft, node).shape[:-2])
    return any(map(any, padding))


def is_pointwise(draft: Draft, node: Node) -> bool:
    """Return whether a fastsep.Conv is one product with a matrix at every pixel."""
    steps = (*kernel_of(draft, node).shape[:-2], *node.attributes["strides"], node.attributes["groups"])
    return set(steps) == {1} and not is_padded(draft, node)


def is_depthwise(draft: Draft, node: Node) -> bool:
    """Return whether a fastsep.Conv filters every channel by itself."""
    return bool(node.attributes["groups"] > 1) and kernel_of(draft, node).shape[-2] == 1


def scaled(value: Array, factor: float | Array) -> Array:
    """Return factor · value, computed in float64 and rounded once."""
    if isinstance(factor, float) and factor == 1.0:
        return value
    out = np.empty_like(value)
    np.multiply(value, factor, out=out, dtype=np.float64, casting="unsafe")
    # Of a mapped file; most weights are read this once.
    give_back(value)
    return out


def _real(value: Array) -> bool:
    return bool(value.dtype in (np.float32, np.float64))
