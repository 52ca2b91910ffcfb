"""Fused nodes as compiled plans: weights packed once, arrays seen as (batch, *spatial, channels)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastsep import layers
from fastsep._job import CompiledPlan
from fastsep._squeeze_excite import SqueezeExcite
from fastsep.onnx._graph import Array, Node, Spec
from fastsep.onnx._operators.fused import CHANNELS_FIRST, RESIDUAL

View = Callable[[Array], Array]


def compiled(node: Node, specs: Mapping[str, Spec]) -> CompiledPlan | None:
    """Return the plan of a node, or None if NumPy runs it.

    Parameters
    ----------
    node : Node
    specs : dict of Spec
        Of all values; those of the weights hold them.
    """
    make = _MAKERS.get(node.op)
    return None if make is None else make(node, specs)


def plan_key(node: Node, specs: Mapping[str, Spec]) -> tuple[str, int, int] | None:
    """Return what a node's plan depends on: node, rank and channels of its inputs; None without a plan."""
    if node.op not in _MAKERS:
        return None
    x = specs[node.inputs[0]]
    seen = channels_last(node)(stand_in(x)) if x.shape else stand_in(x)
    return node.outputs[0], seen.ndim, seen.shape[-1] if seen.ndim else 0


def channels_last(node: Node) -> View:
    """Return what makes (batch, *spatial, channels), a view, of an array that the node reads or writes."""
    return _VIEWS[node.op](node)


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


def _conv(node: Node, specs: Mapping[str, Spec]) -> CompiledPlan | None:
    weights = _weights(node, specs, 1, 3)
    if weights is None or weights[0] is None:
        return None
    kernel, bias = _array(weights[0]), weights[1]
    layer = layers.Conv(kernel, bias=bias, **_options(node, *_GEOMETRY))
    return layer._compiled(channels_last(node)(stand_in(specs[node.inputs[0]])).shape[-1])


def _separable(node: Node, specs: Mapping[str, Spec]) -> CompiledPlan | None:
    weights = _weights(node, specs, 1, 5)
    if weights is None or weights[0] is None or weights[1] is None:
        return None
    depthwise, pointwise = _array(weights[0]), _array(weights[1])
    between, bias = weights[2:]
    layer = layers.SeparableConv(
        depthwise,
        pointwise,
        depthwise_bias=between,
        bias=bias,
        **_options(node, *_GEOMETRY, "depthwise_activation"),
    )
    return layer._plan


def _inverted_residual(node: Node, specs: Mapping[str, Spec]) -> CompiledPlan | None:
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
    layer = layers.InvertedResidual(
        expand,
        _array(depthwise),
        _array(project),
        expand_bias=expand_bias,
        depthwise_bias=depthwise_bias,
        bias=bias,
        squeeze_excite=excite,
        **_options(node, *_GEOMETRY, "residual"),
    )
    return layer._plan


def _dense(node: Node, specs: Mapping[str, Spec]) -> CompiledPlan | None:
    weights = _weights(node, specs, 1, 3)
    x = specs[node.inputs[0]]
    if weights is None or weights[0] is None or len(x.shape) < 2 or len(x.shape) > 5:
        return None
    kernel, bias = _array(weights[0]), weights[1]
    return layers.PointwiseConv(kernel, bias=bias, **_options(node, "activation"))._plan


def stand_in(spec: Spec) -> Array:
    """Return an array of a shape, for what can be read off its views; its memory is never touched."""
    return np.lib.stride_tricks.as_strided(np.empty(1, spec.dtype), spec.shape, (0,) * len(spec.shape))


def _image_view(node: Node) -> View:
    if node.attributes["layout"] == CHANNELS_FIRST:
        return lambda array: np.moveaxis(array, 1, -1)
    return lambda array: array


def _dense_view(node: Node) -> View:
    # A matrix is one image of one row.
    return lambda array: array[np.newaxis] if array.ndim == 2 else array


_MAKERS: Mapping[str, Callable[[Node, Mapping[str, Spec]], CompiledPlan | None]] = {
    "fastsep.Conv": _conv,
    "fastsep.Separable": _separable,
    "fastsep.InvertedResidual": _inverted_residual,
    "fastsep.Dense": _dense,
}
_VIEWS: Mapping[str, Callable[[Node], View]] = {
    "fastsep.Conv": _image_view,
    "fastsep.Separable": _image_view,
    "fastsep.InvertedResidual": _image_view,
    "fastsep.Dense": _dense_view,
}


def residual_of(node: Node) -> str:
    """Return the name of the value that a compiled node adds, or ""."""
    if node.op == "fastsep.InvertedResidual":
        return node.inputs[0] if node.attributes.get("residual") else ""
    at = RESIDUAL.get(node.op, len(node.inputs))
    return node.inputs[at] if at < len(node.inputs) else ""


def sources(node: Node) -> Sequence[str]:
    """Return the values that a compiled node reads at run time: the rest are weights."""
    residual = residual_of(node)
    return (node.inputs[0], residual) if residual else (node.inputs[0],)
