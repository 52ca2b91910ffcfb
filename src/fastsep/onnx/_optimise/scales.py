"""Products and sums with one number per channel become part of the layer before or behind them."""

from __future__ import annotations

import numpy as np

from fastsep.onnx._graph import Array, Graph, Node
from fastsep.onnx._operators.fused import CHANNELS_FIRST
from fastsep.onnx._optimise._rewrite import Draft, fused, rewrite
from fastsep.onnx._optimise.layers import has_room, is_padded, kernel_of, scaled

LINEAR = ("Add", "Sub", "Mul", "Div")


def fold_scales(graph: Graph) -> Graph:
    """Fold Add, Sub, Mul and Div by constants per channel into a fastsep.Conv or fastsep.Dense beside them.

    What is added before a convolution with padding stays: the padding would have to hold other numbers than
    0. Weights are computed in float64 and rounded once for each node folded.
    """
    return rewrite(graph, _fold, *LINEAR)


def _fold(draft: Draft, node: Node) -> list[Node] | None:
    if node.op in LINEAR:
        return _into_layer_before(draft, node)
    if node.op not in ("fastsep.Conv", "fastsep.Dense"):
        return None
    layer = node
    while (found := _with_what_is_before(draft, layer)) is not None:
        layer = found
    return None if layer is node else [layer]


def with_weights(draft: Draft, layer: Node, last: Node, kernel: Array, bias: Array | float) -> Node:
    """Return a layer with other weights, in the place of it and of another node."""
    dtype, outputs = kernel.dtype, kernel.shape[-1]
    line = bias if isinstance(bias, np.ndarray) and bias.shape == (outputs,) else np.full(outputs, bias)
    names = (
        draft.add(f"{last.outputs[0]}.kernel", kernel),
        draft.add(f"{last.outputs[0]}.bias", line.astype(dtype)),
    )
    return fused(layer.op, (layer.inputs[0], *names, layer.inputs[3]), last, dict(layer.attributes), layer)


def _into_layer_before(draft: Draft, node: Node) -> list[Node] | None:
    for side in (0, 1):
        layer = draft.sole(node.inputs[side], "fastsep.Conv", "fastsep.Dense")
        if layer is None or not has_room(layer) or (node.op == "Div" and side == 1):
            continue
        kernel = kernel_of(draft, layer)
        rank = draft.fact(node.inputs[side]).rank
        number = per_channel(draft.constant(node.inputs[1 - side]), _axis(layer), kernel.shape[-1], rank)
        if number is None or (node.op == "Div" and not number.all()):
            continue
        slope, offset = line_of(node.op, number, side)
        bias = draft.constants[layer.inputs[2]].astype(np.float64) if layer.inputs[2] else 0.0
        return [with_weights(draft, layer, node, scaled(kernel, slope), bias * slope + offset)]
    return None


def line_of(op: str, number: Array, side: int) -> tuple[Array, Array]:
    """Return slope and offset of an operator whose other side is a number."""
    one, zero = np.ones_like(number), np.zeros_like(number)
    if op == "Add":
        return one, number
    if op == "Sub":
        return (one, -number) if side == 0 else (-one, number)
    return (number if op == "Mul" else 1 / number), zero


def _with_what_is_before(draft: Draft, layer: Node) -> Node | None:
    node = draft.sole(layer.inputs[0], *LINEAR)
    if node is None:
        return None
    kernel = kernel_of(draft, layer)
    groups = layer.attributes.get("groups", 1)
    channels = kernel.shape[-2] * groups
    axis = _axis(layer)
    for side in (0, 1):
        fact = draft.fact(node.inputs[side])
        number = per_channel(draft.constant(node.inputs[1 - side]), axis, channels, fact.rank)
        if number is None or fact.shape is None or fact.shape[axis] != channels:
            continue
        if node.op == "Div" and (side == 1 or not number.all()):
            continue
        slope, offset = (_by_group(line, kernel, groups) for line in line_of(node.op, number, side))
        if offset.any() and layer.op == "fastsep.Conv" and is_padded(draft, layer):
            continue
        added = (kernel * offset).sum(axis=tuple(range(kernel.ndim - 1))) if offset.any() else 0.0
        bias = draft.constants[layer.inputs[2]] if layer.inputs[2] else 0.0
        new = with_weights(draft, layer, layer, scaled(kernel, slope), bias + added)
        inputs = (node.inputs[side], *new.inputs[1:])
        return fused(layer.op, inputs, layer, dict(layer.attributes), node)
    return None


def _by_group(number: Array, kernel: Array, groups: int) -> Array:
    """Return numbers of input channels as what the kernel (…, Cin/groups, Cout) is multiplied by."""
    depth, outputs = kernel.shape[-2:]
    return np.repeat(number.reshape(groups, depth).T, outputs // groups, axis=1)


def _axis(layer: Node) -> int:
    """Return the axis of the channels."""
    return 1 if layer.attributes.get("layout") == CHANNELS_FIRST else -1


def per_channel(value: Array | None, axis: int, channels: int, rank: int | None) -> Array | None:
    """Return a constant as one float64 number per channel, if that is all it is.

    Parameters
    ----------
    value : ndarray or None
        None gives None.
    axis : int
        1 or -1: where the channels are in the other operand.
    channels : int
    rank : int or None
        Of the other operand, which must not be broadcast.
    """
    if value is None or value.dtype.kind != "f":
        return None
    shape = value.shape
    if axis == -1 and len(shape) <= 1:
        fits = shape in ((), (1,), (channels,)) and (rank is None or rank >= 1)
    elif rank is None or len(shape) > rank:
        return None
    else:
        full = (1,) * (rank - len(shape)) + shape
        at = axis % rank
        fits = full[at] in (1, channels) and all(size == 1 for index, size in enumerate(full) if index != at)
    if not fits:
        return None
    return np.ascontiguousarray(np.broadcast_to(value.reshape(-1).astype(np.float64), (channels,)))
