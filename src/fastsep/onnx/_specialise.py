"""Shapes of all values for concrete inputs; whatever is known from shapes alone is computed now."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fastsep.onnx._errors import CONTRADICTIONS, DependsOnValuesError, raise_of
from fastsep.onnx._graph import Array, Graph, Node, Port, Spec
from fastsep.onnx._operators import OPERATORS
from fastsep.onnx._operators._specs import MOST_BYTES, check_size, one_of
from fastsep.onnx._operators._windows import WINDOWED, window_numbers
from fastsep.onnx._operators.activations import GELUS
from fastsep.onnx._operators.convolution import check_kernel
from fastsep.onnx._operators.shapes import permutation

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
        specs[port.name] = _input(port, shapes[port.name], known.get(port.name))
    for node in graph.nodes:
        given = [specs[name] if name else None for name in node.inputs]
        found = _infer(node, given)
        specs.update({name: spec for name, spec in zip(node.outputs, found, strict=False) if name})
    return specs


def check_shapes(graph: Graph) -> None:
    """Find out whether nodes fit what they are given, as far as the model itself says how large that is.

    Raises
    ------
    ValueError
        The message names the node.
    """
    specs = {name: Spec(value.shape, value.dtype, value) for name, value in graph.constants.items()}
    for port in graph.inputs:
        sizes = None if port.shape is None else [size for size in port.shape if isinstance(size, int)]
        if port.shape is not None and sizes is not None and len(sizes) == len(port.shape):
            specs[port.name] = _input(port, tuple(sizes))
    for node in graph.nodes:
        if not all(name in specs for name in node.inputs if name):
            _check_alone(node, specs)
            continue
        try:
            found = _infer(node, [specs[name] if name else None for name in node.inputs])
        except DependsOnValuesError:
            continue
        specs.update({name: spec for name, spec in zip(node.outputs, found, strict=False) if name})


def _input(port: Port, shape: tuple[int, ...], value: Array | None = None) -> Spec:
    if math.prod(shape) * port.dtype.itemsize > MOST_BYTES:
        raise ValueError(f"input {port.name!r} would have shape {shape}, more than {MOST_BYTES} bytes")
    return Spec(shape, port.dtype, value)


def _check_alone(node: Node, specs: Mapping[str, Spec]) -> None:
    """Check what a node says of itself, whatever the image, if a pass relies on it."""
    if node.op == "Conv":
        if node.inputs[1] in specs:
            check_kernel(node, specs[node.inputs[1]].shape)
    elif node.op in WINDOWED:
        window_numbers(node, tuple(node.attributes["kernel_shape"]))
    elif node.op == "Transpose" and "perm" in node.attributes:
        permutation(node, len(node.attributes["perm"]))
    elif node.op == "Gelu":
        one_of(node, "approximate", *GELUS)


def _infer(node: Node, given: Sequence[Spec | None]) -> list[Spec]:
    operator = OPERATORS[node.op]
    try:
        found = operator.infer(node, given)
        check_size(node, found)
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
