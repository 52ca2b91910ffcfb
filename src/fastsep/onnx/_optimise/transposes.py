"""Transposes move towards the outputs, past everything that does not care, until they cancel.

What is left costs nothing: a Transpose is a view. It would only keep the other passes from seeing who is
beside whom.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastsep.onnx._graph import Graph, Node
from fastsep.onnx._operators._specs import axis_of
from fastsep.onnx._optimise._rewrite import Draft, Same, fused, origin, rewrite

_UNARY = [
    "Relu",
    "Clip",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Swish",
    "Gelu",
    "Erf",
    "LeakyRelu",
    "Elu",
    "Selu",
    "Celu",
    "Tanh",
    "Softplus",
    "Softsign",
    "Mish",
    "ThresholdedRelu",
    "Exp",
    "Log",
    "Sqrt",
    "Neg",
    "Abs",
    "Reciprocal",
    "Floor",
    "Ceil",
    "Round",
    "Cast",
    "Dropout",
    "Identity",
    "fastsep.Activation",
]
_ELEMENTWISE = ["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Sum", "Mean"]
_REDUCTIONS = ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"]
Perm = tuple[int, ...]


def sink_transposes(graph: Graph) -> Graph:
    """Compose transposes, and move them behind elementwise operators, reductions, pads and concatenations."""
    return rewrite(graph, _sink, "Transpose")


def _sink(draft: Draft, node: Node) -> Sequence[Node] | Same | None:
    if any(draft.uses(name) for name in node.outputs[1:] if name):
        return None
    if node.op == "Transpose":
        return _composed(draft, node)
    if node.op in _UNARY:
        return _behind_one(draft, node, {})
    if node.op in ("Softmax", "LogSoftmax"):
        return _softmax(draft, node)
    if node.op in _ELEMENTWISE or node.op == "Concat":
        return _behind_several(draft, node)
    if node.op in _REDUCTIONS:
        return _reduction(draft, node)
    return _pad(draft, node) if node.op == "Pad" else None


def _perm(draft: Draft, value: str) -> Perm | None:
    """Return how a value's axes were moved, if it is made by a Transpose."""
    node = draft.maker(value, "Transpose")
    perm = None if node is None else node.attributes.get("perm")
    return None if perm is None else tuple(perm)


def _source(draft: Draft, value: str) -> str:
    node = draft.maker(value, "Transpose")
    assert node is not None, "the value is transposed"
    return node.inputs[0]


def _composed(draft: Draft, node: Node) -> Sequence[Node] | Same | None:
    before = _perm(draft, node.inputs[0])
    perm = node.attributes.get("perm")
    if perm is None:
        rank = draft.fact(node.inputs[0]).rank
        return None if rank is None else [node._replace(attributes={"perm": tuple(range(rank))[::-1]})]
    if before is not None:
        both = tuple(before[axis] for axis in perm)
        source = _source(draft, node.inputs[0])
        if both == tuple(range(len(both))):
            return Same(source)
        first = draft.maker(node.inputs[0])
        assert first is not None, "it has a permutation"
        return [fused("Transpose", (source,), node, {"perm": both}, first)]
    return _as_reshape(draft, node)


def _as_reshape(draft: Draft, node: Node) -> list[Node] | None:
    """Write a Transpose that moves axes of 1 only as what it is, so that it joins other changes of shape."""
    shape = draft.fact(node.inputs[0]).shape
    perm = tuple(node.attributes["perm"])
    if shape is None:
        return None
    moved = [axis for axis in perm if shape[axis] != 1]
    if moved != sorted(moved) or perm == tuple(range(len(perm))):
        return None
    wanted: list[int] = []
    for place, axis in enumerate(perm):
        size = shape[axis]
        # 0 copies the size at the same place, -1 is worked out; a size of 0 would be read as the former.
        wanted.append(size if isinstance(size, int) else 0 if shape[place] == size else -1)
        if size == 0:
            return None
    if wanted.count(-1) > 1:
        return None
    name = draft.add(f"{node.outputs[0]}.shape", np.array(wanted, np.int64))
    return [fused("Reshape", (node.inputs[0], name), node, {"allowzero": 0})]


def _then(
    draft: Draft, node: Node, inputs: Sequence[str], attributes: dict[str, Any], perm: Perm
) -> list[Node]:
    """Return the operator on other inputs, and the Transpose behind it."""
    inside = draft.fresh(f"{node.outputs[0]}.inside")
    first = node._replace(
        inputs=tuple(inputs),
        outputs=(inside,),
        attributes={**node.attributes, **attributes},
        origin=origin(node),
    )
    turns = [maker for name in node.inputs if (maker := draft.maker(name, "Transpose")) is not None]
    last = Node("Transpose", (inside,), node.outputs[:1], {"perm": perm}, turns[0].name, origin(*turns))
    return [first, last]


def _behind_one(draft: Draft, node: Node, attributes: dict[str, Any]) -> list[Node] | None:
    perm = _perm(draft, node.inputs[0])
    if perm is None:
        return None
    return _then(draft, node, (_source(draft, node.inputs[0]), *node.inputs[1:]), attributes, perm)


def _softmax(draft: Draft, node: Node) -> list[Node] | None:
    perm = _perm(draft, node.inputs[0])
    if perm is None or node.attributes.get("flatten"):
        return None
    axis = node.attributes.get("axis", -1)
    return _behind_one(draft, node, {"axis": perm[axis]})


def _behind_several(draft: Draft, node: Node) -> list[Node] | None:
    """Move the one Transpose that all inputs went through; constants and small vectors are turned back."""
    perms = {perm for name in node.inputs if (perm := _perm(draft, name)) and not _is_small(draft, name)}
    if len(perms) != 1:
        return None
    perm = perms.pop()
    inputs: list[str] = []
    before: list[Node] = []
    for name in node.inputs:
        if _perm(draft, name) == perm:
            inputs.append(_source(draft, name))
            continue
        turned = None if node.op == "Concat" else _turned_back(draft, node, name, perm, before)
        if turned is None:
            return None
        inputs.append(turned)
    attributes = {"axis": perm[node.attributes["axis"]]} if node.op == "Concat" else {}
    return [*before, *_then(draft, node, inputs, attributes, perm)]


def _is_small(draft: Draft, value: str) -> bool:
    """Return whether a value has one number a channel at most: turning it changes nothing for others."""
    shape = draft.fact(value).shape
    return shape is not None and sum(size != 1 for size in shape[1:]) <= 1


def _turned_back(draft: Draft, node: Node, value: str, perm: Perm, before: list[Node]) -> str | None:
    """Return the value that is this one after the permutation; nodes that make it are added to `before`."""
    rank = draft.fact(value).rank
    if rank is None or rank > len(perm):
        return None
    back = tuple(int(axis) for axis in np.argsort(perm))
    constant = draft.constant(value)
    if constant is not None:
        if constant.size == 1 and constant.ndim == 0:
            return value
        full = constant.reshape((1,) * (len(perm) - rank) + constant.shape)
        return draft.add(f"{value}.turned", np.ascontiguousarray(full.transpose(back)))
    if rank < len(perm) or not _is_small(draft, value):
        return None
    name = draft.fresh(f"{value}.turned")
    before.append(Node("Transpose", (value,), (name,), {"perm": back}, node.name, origin(node)))
    return name


def _axes(draft: Draft, node: Node, name: str, rank: int) -> tuple[int, ...] | None:
    """Return the axes that a constant names, unless it names one twice."""
    axes = draft.constant(name)
    if axes is None or not axes.size:
        return None
    found = tuple(axis_of(node, int(axis), rank) for axis in axes.ravel())
    return found if len(set(found)) == len(found) else None


def _reduction(draft: Draft, node: Node) -> list[Node] | None:
    perm = _perm(draft, node.inputs[0])
    named = node.inputs[1] if len(node.inputs) > 1 else ""
    axes = _axes(draft, node, named, len(perm)) if perm is not None and named else None
    if perm is None or axes is None:
        return None
    inside = tuple(sorted(perm[axis] for axis in axes))
    name = draft.add(f"{node.outputs[0]}.axes", np.array(inside, np.int64))
    inputs = (_source(draft, node.inputs[0]), name)
    if node.attributes.get("keepdims", 1):
        return _then(draft, node, inputs, {}, perm)
    kept = [axis for place, axis in enumerate(perm) if place not in axes]
    ranks = {axis: place for place, axis in enumerate(sorted(kept))}
    return _then(draft, node, inputs, {}, tuple(ranks[axis] for axis in kept))


def _pad(draft: Draft, node: Node) -> list[Node] | None:
    perm = _perm(draft, node.inputs[0])
    pads = draft.constant(node.inputs[1])
    if perm is None or pads is None:
        return None
    rank = len(perm)
    named = node.inputs[3] if len(node.inputs) > 3 else ""
    axes = _axes(draft, node, named, rank) if named else tuple(range(rank))
    if axes is None or pads.size != 2 * len(axes):
        return None
    both = np.zeros((2, rank), np.int64)
    for place, axis in enumerate(axes):
        both[:, perm[axis]] = pads.reshape(2, -1)[:, place]
    name = draft.add(f"{node.outputs[0]}.pads", both.ravel())
    fill = node.inputs[2:3] or ("",)
    return _then(draft, node, (_source(draft, node.inputs[0]), name, *fill), {}, perm)
