"""What no input can change is computed now."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from fastsep.onnx._graph import FOLDED, Array, Graph, Node, Spec
from fastsep.onnx._operators import OPERATORS
from fastsep.onnx._operators._windows import WINDOWED
from fastsep.onnx._optimise import _dims
from fastsep.onnx._optimise._rewrite import Draft, rewrite

# A constant that grows beyond this is better computed at each run than stored in the file and in memory.
_LARGEST_BYTES = 16 << 20
# So are all together, but for sizes and shapes: a small file must not become much memory.
_ROOM_BYTES = 64 << 20
_SMALL_BYTES = 4096


class Room:
    """How many bytes constants may still grow by."""

    def __init__(self) -> None:
        self.left = _ROOM_BYTES


def fold_constants(graph: Graph, room: Room | None = None) -> Graph:
    """Compute nodes whose inputs are all constants, and sizes that every image gives alike.

    A result of more than 16 MB that is larger than what it is made from stays a node; so does what
    exceeds the room, 64 MB if none is given.
    """
    return rewrite(graph, partial(_fold, Room() if room is None else room), reason=FOLDED)


def _fold(room: Room, draft: Draft, node: Node) -> list[Node] | None:
    results = _of_constants(room, draft, node) or _of_sizes(draft, node)
    if results is None:
        return None
    for name, value in zip(node.outputs, results, strict=True):
        if name:
            draft.constants[name] = value
    # An output of the graph needs a node that makes it: a constant has none.
    kept = [name for name in node.outputs if name in draft.outputs]
    return [_named(draft, node, name) for name in kept]


def _named(draft: Draft, node: Node, name: str) -> Node:
    stored = draft.add(f"{name}.value", draft.constants.pop(name))
    return Node("Identity", (stored,), (name,), {}, node.name, node.origin)


def _of_constants(room: Room, draft: Draft, node: Node) -> list[Array] | None:
    if node.op in WINDOWED or not all(name in draft.constants for name in node.inputs if name):
        return None
    if node.op == "Identity" and node.outputs[0] in draft.outputs:
        return None
    operator = OPERATORS[node.op]
    inputs = [draft.constants[name] if name else None for name in node.inputs]
    given = [None if value is None else Spec(value.shape, value.dtype, value) for value in inputs]
    specs = operator.infer(node, given)
    size = sum(math.prod(spec.shape) * spec.dtype.itemsize for spec in specs)
    if size > _LARGEST_BYTES and size > sum(value.nbytes for value in inputs if value is not None):
        return None
    if not operator.view and size > _SMALL_BYTES:
        freed = sum(draft.constants[name].nbytes for name in node.inputs if name and draft.uses(name) == 1)
        if size - freed > room.left:
            return None
        room.left -= max(0, size - freed)
    return [np.asarray(value) for value in operator.compute(node, inputs)]


def _of_sizes(draft: Draft, node: Node) -> list[Array] | None:
    """Return what Shape and what is computed from it give, where it is the same for every image."""
    if len(node.outputs) != 1 or not node.inputs:
        return None
    fact = draft.fact(node.outputs[0])
    if fact.value is None or fact.dtype is None or fact.shape is None or not _dims.known(fact.value):
        return None
    return [np.array(fact.value, fact.dtype).reshape([size for size in fact.shape if isinstance(size, int)])]
