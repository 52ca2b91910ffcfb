"""Nodes that give what they are given are left out."""

from __future__ import annotations

import numpy as np

from fastsep.onnx._graph import Graph, Node
from fastsep.onnx._optimise._rewrite import Draft, Same, rewrite

# These keep the elements in their order.
VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
_OTHERS = (
    "Identity", "Dropout", "Concat", "Transpose", "Pad", "MaxPool", "AveragePool", "Cast", "Slice", "Expand",
)  # fmt: skip


def without_identities(graph: Graph) -> Graph:
    """Leave out Identity, Dropout, and casts, pads, slices, pools and reshapes that change nothing."""
    return rewrite(graph, _identity, *VIEWS, *_OTHERS, reason="left out: it changes nothing")


def _identity(draft: Draft, node: Node) -> Same | None:
    if any(draft.uses(name) for name in node.outputs[1:] if name):
        return None
    if node.op in VIEWS:
        return _same_shape_before(draft, node)
    if node.op not in _OTHERS:
        return None
    return Same(node.inputs[0]) if _changes_nothing(draft, node) else None


def _same_shape_before(draft: Draft, node: Node) -> Same | None:
    """Return the value of the same shape that a chain of views came from."""
    wanted = draft.fact(node.outputs[0]).shape
    maker: Node | None = node
    while wanted is not None and maker is not None:
        source = maker.inputs[0]
        if draft.fact(source).shape == wanted:
            return Same(source)
        maker = draft.maker(source, *VIEWS)
    return None


def _changes_nothing(draft: Draft, node: Node) -> bool:
    if node.op in ("Identity", "Dropout"):
        return True
    if node.op == "Concat":
        return len(node.inputs) == 1
    if node.op == "Transpose":
        perm = node.attributes.get("perm")
        return perm is not None and tuple(perm) == tuple(range(len(perm)))
    if node.op == "Pad":
        # Of an image of unknown axes nobody knows whether so many pads fit it.
        pads, rank = draft.constant(node.inputs[1]), draft.fact(node.inputs[0]).rank
        return pads is not None and rank is not None and not pads.any()
    if node.op in ("MaxPool", "AveragePool"):
        ones = (*node.attributes["kernel_shape"], *(node.attributes.get("strides") or ()))
        return set(ones) == {1} and not any(node.attributes.get("pads") or ())
    before, after = draft.fact(node.inputs[0]) if node.inputs else None, draft.fact(node.outputs[0])
    if before is None:
        return False
    if node.op == "Cast":
        return before.dtype is not None and before.dtype == np.dtype(node.attributes["to"])
    # A slice of as many elements begins at the first and leaves none out: backward ones have no known shape.
    return node.op in ("Slice", "Expand") and before.shape is not None and before.shape == after.shape
