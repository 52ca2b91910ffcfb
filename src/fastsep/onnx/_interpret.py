"""The plain way to run a graph: every node by its definition. What everything else is compared with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fastsep.onnx._graph import Array, Graph, Node, Spec
from fastsep.onnx._operators import OPERATORS
from fastsep.onnx._operators._specs import check_size


def interpret(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Run a graph in plain NumPy, a node after the other.

    Parameters
    ----------
    graph : Graph
    feeds : mapping of str to ndarray
        A value for each input of the graph; any shapes that its operators can take.

    Returns
    -------
    dict of str to ndarray
        The outputs by name.

    Raises
    ------
    ValueError
        An input is missing, unknown, or of a wrong dtype; shapes that don't fit, named with their node.
    """
    names = [port.name for port in graph.inputs]
    missing = [name for name in names if name not in feeds]
    unknown = [name for name in feeds if name not in names]
    if missing or unknown:
        raise ValueError(f"the model's inputs are {names}; missing {missing}, unknown {unknown}")
    values: dict[str, Array] = dict(graph.constants)
    for port in graph.inputs:
        value = np.asarray(feeds[port.name])
        if value.dtype != port.dtype:
            raise ValueError(f"input {port.name!r} must be {port.dtype}; got {value.dtype}")
        values[port.name] = value
    remaining = graph.uses()
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            made = zip(node.outputs, _run(node, values), strict=False)
            values.update({name: value for name, value in made if remaining[name]})
            for name in node.inputs:
                remaining[name] -= 1
                if name and not remaining[name]:
                    del values[name]
    return {port.name: values[port.name] for port in graph.outputs}


def _run(node: Node, values: Mapping[str, Array]) -> list[Array]:
    operands = [values[name] if name else None for name in node.inputs]
    operator = OPERATORS[node.op]
    specs = [None if operand is None else Spec(operand.shape, operand.dtype, operand) for operand in operands]
    check_size(node, operator.infer(node, specs))
    return operator.compute(node, operands)
