"""Fused nodes as compiled plans: weights packed once, arrays seen as (batch, *spatial, channels)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastsep import _validate
from fastsep._activations import epilogue
from fastsep._elementwise import ElementwisePlan
from fastsep._job import CompiledPlan
from fastsep._make import ConvParts, borrowed, make_pointwise, make_separable
from fastsep._make_inverted_residual import InvertedResidualParts
from fastsep._pooling import GlobalPoolPlan, PoolPlan
from fastsep._squeeze_excite import SqueezeExcite
from fastsep.onnx._errors import CONTRADICTIONS, raise_of
from fastsep.onnx._graph import Array, Node, Spec
from fastsep.onnx._operators.fused import CHANNELS_FIRST, RESIDUAL

Order = tuple[int, ...]
Operands = tuple[Array, Array, Array | None]
# Axes that the kernels know: batch, three of space, channels.
_MOST_AXES = 5


def compiled(node: Node, specs: Mapping[str, Spec], isa: str, order: Order) -> CompiledPlan | None:
    """Return the plan of a node, or None if NumPy runs it.

    Parameters
    ----------
    node : Node
    specs : dict of Spec
        Of all values; those of the weights hold them.
    isa : str
        The instruction set to pack for.
    order : tuple of int
        How what the node makes lies in memory: logical axes, the last being contiguous.

    Raises
    ------
    ValueError
        The message names the node.
    """
    try:
        if node.op in _ELEMENTWISE:
            return _elementwise(node, specs, order, isa)
        make = _MAKERS.get(node.op)
        return None if make is None else make(node, specs, isa)
    except CONTRADICTIONS as error:
        raise_of(node.describe(), error)


def weights_of(node: Node) -> tuple[str, ...]:
    """Return the names of what the plan of a node packs."""
    if node.op not in _WEIGHTED:
        return ()
    residual = residual_of(node)
    return tuple(name for name in node.inputs[1:] if name and name != residual)


def plan_key(node: Node, specs: Mapping[str, Spec]) -> tuple[str, int, int] | None:
    """Return what packed weights depend on: node, rank and channels of its image; None without weights."""
    if node.op not in _WEIGHTED:
        return None
    shape = specs[node.inputs[0]].shape
    return node.outputs[0], len(shape), _channels(node, shape) if shape else 0


def operands(node: Node, order: Order, arrays: Mapping[str, Array]) -> Operands:
    """Return the arrays of a compiled node as its plan sees them: input, output, residual.

    Parameters
    ----------
    node : Node
    order : tuple of int
        As for `compiled`.
    arrays : dict of ndarray
        By name, in the shapes of the graph.
    """
    x, out = arrays[node.inputs[0]], arrays[node.outputs[0]]
    residual = residual_of(node)
    added = arrays[residual] if residual else None
    if node.op in _ELEMENTWISE:
        if x.shape != out.shape and added is not None:
            x, added = added, x
        repeated = None if added is None else _in_order(np.broadcast_to(added, out.shape), order)
        return _in_order(x, order), _in_order(out, order), repeated
    if node.op == "fastsep.Dense":
        see = _one_image
    elif node.attributes["layout"] == CHANNELS_FIRST:
        see = _channels_last
    else:
        see = _same
    seen = see(x)
    if node.op == "fastsep.GlobalPool" and not node.attributes["keepdims"]:
        return seen, out[(slice(None), *(np.newaxis,) * (x.ndim - 2))], None
    return seen, see(out), None if added is None else see(added)


def _channels_last(array: Array) -> Array:
    return np.moveaxis(array, 1, -1)


def _same(array: Array) -> Array:
    return array


def _one_image(array: Array) -> Array:
    """A matrix is one image of one row."""
    return array[np.newaxis] if array.ndim == 2 else array


def _in_order(array: Array, order: Order) -> Array:
    """Turn axes to how they lie in memory, so that channels are neighbours; few axes are those of a row."""
    turned = array.transpose(order)
    return turned[(np.newaxis,) * max(0, 3 - turned.ndim)]


def _channels(node: Node, shape: tuple[int, ...]) -> int:
    return shape[1 if node.attributes.get("layout") == CHANNELS_FIRST else -1]


def _weights(node: Node, specs: Mapping[str, Spec], first: int, last: int) -> list[Array | None] | None:
    """Return some inputs of a node, None for absent ones; nothing at all unless every one is a constant."""
    found: list[Array | None] = []
    for index in range(first, last):
        name = node.inputs[index] if index < len(node.inputs) else ""
        value = specs[name].value if name else None
        if name and value is None:
            return None
        found.append(value)
    return found


def _array(value: Array | None) -> Array:
    """Return a weight that is there."""
    assert value is not None
    return value


def _options(node: Node, *names: str) -> dict[str, Any]:
    return {name: node.attributes[name] for name in names if name in node.attributes}


_GEOMETRY = ("strides", "padding", "dilation_rate", "activation")


def _conv(node: Node, specs: Mapping[str, Spec], isa: str) -> CompiledPlan | None:
    weights = _weights(node, specs, 1, 3)
    if weights is None or weights[0] is None:
        return None
    kernel, bias = _array(weights[0]), weights[1]
    parts = ConvParts(borrowed, kernel, bias=bias, isa=isa, **_options(node, *_GEOMETRY))
    return parts.pack(_channels(node, specs[node.inputs[0]].shape))


def _separable(node: Node, specs: Mapping[str, Spec], isa: str) -> CompiledPlan | None:
    weights = _weights(node, specs, 1, 5)
    if weights is None or weights[0] is None or weights[1] is None:
        return None
    depthwise, pointwise = _array(weights[0]), _array(weights[1])
    between, bias = weights[2:]
    plan, *_ = make_separable(
        borrowed,
        depthwise,
        pointwise,
        depthwise_bias=between,
        bias=bias,
        isa=isa,
        **_options(node, *_GEOMETRY, "depthwise_activation"),
    )
    return plan


def _inverted_residual(node: Node, specs: Mapping[str, Spec], isa: str) -> CompiledPlan | None:
    weights = _weights(node, specs, 1, 11)
    if weights is None or weights[1] is None or weights[2] is None:
        return None
    expand, depthwise, project, expand_bias, depthwise_bias, bias, reduce, reduce_bias, gate, gate_bias = (
        weights
    )
    excite = None
    if reduce is not None and gate is not None:
        excite = SqueezeExcite(
            reduce,
            gate,
            reduce_bias,
            gate_bias,
            activation=node.attributes["squeeze_activation"],
            gate=node.attributes["gate"],
        )
    parts = InvertedResidualParts(
        borrowed,
        expand,
        _array(depthwise),
        _array(project),
        expand_bias=expand_bias,
        depthwise_bias=depthwise_bias,
        bias=bias,
        squeeze_excite=excite,
        isa=isa,
        **_options(node, *_GEOMETRY, "residual"),
    )
    return parts.plan


def _dense(node: Node, specs: Mapping[str, Spec], isa: str) -> CompiledPlan | None:
    weights = _weights(node, specs, 1, 3)
    x = specs[node.inputs[0]]
    if weights is None or weights[0] is None or len(x.shape) < 2 or len(x.shape) > 5:
        return None
    kernel, bias = _array(weights[0]), weights[1]
    plan, *_ = make_pointwise(borrowed, kernel, bias, isa=isa, **_options(node, "activation"))
    return plan


def _pool(node: Node, specs: Mapping[str, Spec], isa: str) -> CompiledPlan | None:
    x = specs[node.inputs[0]]
    window = _validate.window(
        node.attributes["taps"],
        node.attributes["strides"],
        node.attributes["padding"],
        node.attributes["dilation_rate"],
    )
    kind, ceil_mode = node.attributes["kind"], node.attributes["ceil_mode"]
    return PoolPlan(kind, window, _channels(node, x.shape), x.dtype, isa, ceil_mode)


def _global_pool(node: Node, specs: Mapping[str, Spec], isa: str) -> CompiledPlan | None:
    x = specs[node.inputs[0]]
    if len(x.shape) > _MOST_AXES:
        return None
    return GlobalPoolPlan(node.attributes["kind"], _channels(node, x.shape), x.dtype, isa)


def _elementwise(node: Node, specs: Mapping[str, Spec], order: Order, isa: str) -> CompiledPlan | None:
    """Return the plan where one operand, at least, has the shape of the output."""
    out = specs[node.outputs[0]]
    if len(out.shape) > _MOST_AXES or all(specs[name].shape != out.shape for name in node.inputs):
        return None
    curve = epilogue(node.attributes["activation"], "activation", out.dtype)
    channels = out.shape[order[-1]] if order else 1
    return ElementwisePlan(_ELEMENTWISE[node.op], channels, curve, out.dtype, isa)


_Maker = Callable[[Node, Mapping[str, Spec], str], CompiledPlan | None]
_WEIGHTED: Mapping[str, _Maker] = {
    "fastsep.Conv": _conv,
    "fastsep.Separable": _separable,
    "fastsep.InvertedResidual": _inverted_residual,
    "fastsep.Dense": _dense,
}
_MAKERS: Mapping[str, _Maker] = {
    **_WEIGHTED,
    "fastsep.Pool": _pool,
    "fastsep.GlobalPool": _global_pool,
}
# What the plan does with the second operand; a curve alone adds none.
_ELEMENTWISE: Mapping[str, str] = {
    "fastsep.Add": "add",
    "fastsep.Multiply": "multiply",
    "fastsep.Activation": "add",
}


def residual_of(node: Node) -> str:
    """Return the name of the value that a compiled node adds, or multiplies by, or ""."""
    if node.op == "fastsep.InvertedResidual":
        return node.inputs[0] if node.attributes.get("residual") else ""
    at = 1 if node.op in _ELEMENTWISE else RESIDUAL.get(node.op, len(node.inputs))
    return node.inputs[at] if at < len(node.inputs) else ""


def sources(node: Node) -> Sequence[str]:
    """Return the values that a compiled node reads at run time: the rest are weights."""
    residual = residual_of(node)
    return (node.inputs[0], residual) if residual else (node.inputs[0],)
