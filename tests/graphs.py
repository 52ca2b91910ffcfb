"""Graphs by hand: nodes one after the other, and whether two graphs compute the same."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from fastsep.onnx._graph import Graph, Node, Port, in_order
from fastsep.onnx._interpret import interpret

Array = NDArray[Any]
Shape = tuple[int | str | None, ...]


@cache
def _schema(op: str) -> dict[str, Any]:
    attributes = onnx.defs.get_schema(op).attributes.items()
    values = (
        (name, onnx.helper.get_attribute_value(each.default_value))
        for name, each in attributes
        if each.default_value.type
    )
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values}


def defaults(op: str) -> dict[str, Any]:
    """Return the attributes of an operator that have a value if a model says nothing."""
    return dict(_schema(op))


class Builder:
    """Nodes of ONNX in their one form; weights are random and the same for the same graph."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, Array] = {}
        self.inputs: list[Port] = []
        self.random = np.random.default_rng(seed)

    def input(self, *shape: int | str | None, dtype: Any = np.float32) -> str:
        """Declare an input."""
        self.inputs.append(Port(f"x{len(self.inputs)}", np.dtype(dtype), shape))
        return self.inputs[-1].name

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Add a constant: Python's floats are float32."""
        array = np.asarray(value, dtype)
        if dtype is None and array.dtype == np.float64:
            array = array.astype(np.float32)
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        return name

    def weights(self, *shape: int, dtype: Any = np.float32) -> str:
        """Add a constant of random numbers of a moderate size."""
        scale = 1 / np.sqrt(max(np.prod(shape[1:]), 1))
        return self.constant((self.random.normal(size=shape) * scale).astype(dtype))

    def __call__(self, op: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; what is no name becomes a constant. Returns the name of its output, or all names."""
        number = len(self.nodes)
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        made = tuple(f"v{number}.{index}" if index else f"v{number}" for index in range(outputs))
        name = f"{op}_{number}"
        self.nodes.append(Node(op, tuple(names), made, defaults(op) | attributes, name, (name,)))
        return made[0] if outputs == 1 else made

    def conv(
        self, x: str, inputs: int, outputs: int, kernel: int = 1, *, bias: bool = False, **attributes: Any
    ) -> str:
        """Add a 2-D convolution; without `pads` it keeps the size at stride 1."""
        group = attributes.setdefault("group", 1)
        attributes.setdefault("pads", (kernel // 2,) * 4)
        weights = self.weights(outputs, inputs // group, kernel, kernel)
        offsets = (self.weights(outputs),) if bias else ()
        return self("Conv", x, weights, *offsets, **attributes)

    def depthwise(self, x: str, channels: int, kernel: int = 3, **attributes: Any) -> str:
        """Add a depthwise 2-D convolution."""
        return self.conv(x, channels, channels, kernel, group=channels, **attributes)

    def norm(self, x: str, channels: int) -> str:
        """Add a batch norm."""
        draw = self.random
        vectors = [
            draw.uniform(0.5, 1.5, channels),
            draw.normal(0, 0.3, channels),
            draw.normal(0, 0.3, channels),
            draw.uniform(0.5, 1.5, channels),
        ]
        return self("BatchNormalization", x, *vectors, epsilon=1e-3)

    def graph(self, *outputs: str) -> Graph:
        """Return the graph of all nodes."""
        known = [port.name for port in self.inputs]
        ports = tuple(Port(name, np.dtype(np.float32), None) for name in outputs)
        return Graph(
            in_order(self.nodes, [*known, *self.constants]), tuple(self.inputs), ports, dict(self.constants)
        )


def operators(graph: Graph) -> list[str]:
    """Return the operators in order of execution."""
    return [node.op for node in graph.nodes]


def counted(graph: Graph) -> dict[str, int]:
    """Return how often each operator occurs."""
    return dict(Counter(operators(graph)))


def feeds_of(graph: Graph, sizes: dict[str, int] | None = None, seed: int = 1) -> dict[str, Array]:
    """Return random inputs; `sizes` for those that only a call knows, 7 otherwise."""
    draw = np.random.default_rng(seed)
    sizes = {} if sizes is None else sizes
    found = {}
    for port in graph.inputs:
        assert port.shape is not None
        shape = [size if isinstance(size, int) else sizes.get(str(size), 7) for size in port.shape]
        found[port.name] = draw.normal(size=shape).astype(port.dtype)
    return found


def assert_same(
    before: Graph, after: Graph, *, tolerance: float = 2e-5, sizes: dict[str, int] | None = None
) -> None:
    """Assert that two graphs compute the same, up to a share of the largest value of each output."""
    feeds = feeds_of(before, sizes)
    expected, got = interpret(before, feeds), interpret(after, feeds)
    assert list(expected) == list(got)
    for name, value in expected.items():
        assert got[name].shape == value.shape
        assert got[name].dtype == value.dtype
        scale = max(float(np.abs(value).max(initial=0)), 1e-3)
        np.testing.assert_allclose(got[name], value, rtol=0, atol=tolerance * scale, err_msg=name)


def assert_origins(before: Graph, after: Graph) -> None:
    """Assert that every node names nodes of the file, and that none that still counts is forgotten twice."""
    names = {node.name for node in before.nodes}
    for node in after.nodes:
        assert node.origin, node
        assert set(node.origin) <= names, node
