"""Shapes of all values for concrete inputs; whatever is known from shapes alone is computed now."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fastsep.onnx._errors import CONTRADICTIONS, raise_of
from fastsep.onnx._graph import Array, Graph, Node, Port, Spec
from fastsep.onnx._operators import OPERATORS
from fastsep.onnx._operators._specs import MOST_BYTES, check_size
from fastsep.onnx._operators._windows import WINDOWED

# Values known before a run are computed only if they are small: shapes, sizes, axes.
_MOST_KNOWN = 65536


def specialise(
    graph: Graph, shapes: Mapping[str, tuple[int, ...]], known: Mapping[str, Array] | None = None
) -> dict[str, Spec]:
    """Find shape and dtype of every value, and the values that nothing but the shapes decides.

    Parameters
    ----------
    graph : Graph
    shapes : dict
        Of the inputs, by name.
    known : dict or None
        Inputs whose values count as known: what a Reshape of the graph takes its shape from.

    Returns
    -------
    dict of Spec, by name

    Raises
    ------
    ValueError
        The shapes do not fit the graph; the message names the node.
    """
    known = {} if known is None else known
    specs = {name: Spec(value.shape, value.dtype, value) for name, value in graph.constants.items()}
    for port in graph.inputs:
        specs[port.name] = input_spec(port, shapes[port.name], known.get(port.name))
    for node in graph.nodes:
        given = [specs[name] if name else None for name in node.inputs]
        found = infer(node, given)
        specs.update({name: spec for name, spec in zip(node.outputs, found, strict=False) if name})
    return specs


def input_spec(port: Port, shape: tuple[int, ...], value: Array | None = None) -> Spec:
    """Return what is known of an input of a shape; ValueError if it cannot be meant."""
    if math.prod(shape) * port.dtype.itemsize > MOST_BYTES:
        raise ValueError(f"input {port.name!r} would have shape {shape}, more than {MOST_BYTES} bytes")
    return Spec(shape, port.dtype, value)


def infer(node: Node, given: Sequence[Spec | None]) -> list[Spec]:
    """Return what is known of the outputs of a node; their values too, if they follow from what is known.

    Raises
    ------
    ValueError
        The message names the node.
    """
    operator = OPERATORS[node.op]
    try:
        found = operator.infer(node, given)
        check_size(node, found)
        if len(node.outputs) > len(found):
            raise ValueError(f"it makes {len(found)} values, not {len(node.outputs)}")
        values = [None if spec is None else spec.value for spec in given]
        if node.op in WINDOWED or any(
            spec is not None and value is None for spec, value in zip(given, values, strict=True)
        ):
            return found
        if any(math.prod(spec.shape) > _MOST_KNOWN for spec in found):
            return found
        with np.errstate(all="ignore"):
            results = operator.compute(node, values)
    except CONTRADICTIONS as error:
        raise_of(node.describe(), error)
    return [
        Spec(spec.shape, spec.dtype, np.asarray(value)) for spec, value in zip(found, results, strict=True)
    ]
