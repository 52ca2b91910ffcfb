"""Pools and means over the image become fastsep.Pool and fastsep.GlobalPool."""

from __future__ import annotations

from fastsep.onnx._graph import Graph, Node
from fastsep.onnx._operators._specs import axis_of
from fastsep.onnx._operators.fused import CHANNELS_FIRST, CHANNELS_LAST
from fastsep.onnx._optimise._facts import padding_of, per_axis
from fastsep.onnx._optimise._rewrite import Draft, fused, rewrite
from fastsep.onnx._optimise.identities import VIEWS

_KINDS = {
    "GlobalAveragePool": "average",
    "GlobalMaxPool": "max",
    "ReduceMean": "average",
    "ReduceMax": "max",
    "AveragePool": "average",
    "MaxPool": "max",
}


def make_pools(graph: Graph) -> Graph:
    """Turn pools into fastsep.Pool; pools and reductions over all pixels into fastsep.GlobalPool."""
    return rewrite(graph, _pool, *_KINDS, "fastsep.GlobalPool")


def _pool(draft: Draft, node: Node) -> list[Node] | None:
    if node.op in VIEWS:
        return _without_ones(draft, node)
    if node.op not in _KINDS or not draft.fact(node.inputs[0]).is_real:
        return None
    if node.op in ("ReduceMean", "ReduceMax"):
        return _reduction(draft, node)
    rank = draft.fact(node.inputs[0]).rank
    if rank not in (3, 4, 5):
        return None
    if node.op in ("GlobalAveragePool", "GlobalMaxPool"):
        return [_global_pool(node, CHANNELS_FIRST, True)]
    return _window(draft, node)


def _global_pool(node: Node, layout: str, keepdims: bool) -> Node:
    attributes = {"kind": _KINDS[node.op], "layout": layout, "keepdims": keepdims}
    return fused("fastsep.GlobalPool", node.inputs[:1], node, attributes)


def _reduction(draft: Draft, node: Node) -> list[Node] | None:
    """Recognise a reduction over the pixels of an image."""
    axes = draft.constant(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] else None
    rank = draft.fact(node.inputs[0]).rank
    if axes is None or rank not in (3, 4, 5):
        return None
    keepdims = bool(node.attributes.get("keepdims", 1))
    chosen = sorted(axis_of(node, int(axis), rank) for axis in axes.ravel())
    if chosen == list(range(2, rank)):
        return [_global_pool(node, CHANNELS_FIRST, keepdims)]
    if chosen == list(range(1, rank - 1)):
        return [_global_pool(node, CHANNELS_LAST, keepdims)]
    return None


def _window(draft: Draft, node: Node) -> list[Node] | None:
    if any(draft.uses(name) for name in node.outputs[1:] if name):
        return None
    taps = tuple(int(size) for size in node.attributes["kernel_shape"])
    spatial = len(taps)
    padding = padding_of(node, spatial)
    shape = draft.fact(node.inputs[0]).shape
    assert shape is not None, "the rank is known"
    if len(shape) != spatial + 2 or (not isinstance(padding, str) and min(map(min, padding)) < 0):
        return None
    whole = shape[2:] == taps and set(per_axis(node, "dilations", spatial)) == {1}
    if whole and not isinstance(padding, str) and not any(map(any, padding)):
        return [_global_pool(node, CHANNELS_FIRST, True)]
    kind = _KINDS[node.op]
    if node.op == "AveragePool" and node.attributes.get("count_include_pad", 0):
        kind = "average_including_padding"
    attributes = {
        "kind": kind,
        "taps": taps,
        "strides": per_axis(node, "strides", spatial),
        "padding": padding,
        "dilation_rate": per_axis(node, "dilations", spatial),
        "ceil_mode": bool(node.attributes.get("ceil_mode", 0)),
        "layout": CHANNELS_FIRST,
    }
    return [
        fused(
            "fastsep.Pool",
            node.inputs[:1],
            Node(node.op, node.inputs, node.outputs[:1], {}, node.name, node.origin),
            attributes,
        )
    ]


def _without_ones(draft: Draft, node: Node) -> list[Node] | None:
    """Recognise what takes away the axes that a global pool leaves at 1, or puts them back."""
    pool = draft.sole(node.inputs[0], "fastsep.GlobalPool")
    if pool is None:
        return None
    image = draft.fact(pool.inputs[0]).shape
    wanted = draft.fact(node.outputs[0]).shape
    if image is None or wanted is None:
        return None
    first = pool.attributes["layout"] == CHANNELS_FIRST
    batch, channels = image[0], image[1 if first else -1]
    ones = (1,) * (len(image) - 2)
    kept = (batch, channels, *ones) if first else (batch, *ones, channels)
    if wanted not in ((batch, channels), kept):
        return None
    attributes = {**pool.attributes, "keepdims": wanted == kept}
    return [fused(pool.op, pool.inputs, node, attributes, pool)]
