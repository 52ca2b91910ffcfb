"""A block as an ONNX model, for ONNX Runtime and OpenVINO."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bench.blocks import Array, Block
from bench.peers.form import groups_of, kernel_oihw, pads_of
from bench.shapes import Activation

OPSET = 21
IR_VERSION = 10


class Graph:
    """Nodes in order, and the constants they read."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: Array) -> str:
        """Add a constant; return its name."""
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, operator: str, *inputs: str, **attributes: object) -> str:
        """Add a node; return the name of its output."""
        name = f"value{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, inputs, [name], name=f"node{len(self.nodes)}", **attributes)
        )
        return name

    def activate(self, value: str, activation: Activation | None) -> str:
        """Add an activation."""
        match activation:
            case "relu":
                return self.node("Relu", value)
            case "relu6":
                low, high = (self.constant(np.array(limit, np.float32)) for limit in (0, 6))
                return self.node("Clip", value, low, high)
            case "silu":
                return self.node("Mul", value, self.node("Sigmoid", value))
            case None:
                return value


def nchw_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a channels_last shape as channels_first."""
    batch, *size, channels = shape
    return batch, channels, *size


def model_of(block: Block) -> onnx.ModelProto:
    """Return the block as a model of NCHW input `x` and output `y`."""
    graph = Graph()
    value = "x"
    for stage, in_shape in zip(block.stages, (block.x.shape, *block.out_shapes), strict=False):
        (top, bottom), (left, right) = pads_of(stage, in_shape)
        value = graph.node(
            "Conv",
            value,
            graph.constant(kernel_oihw(stage)),
            strides=[stage.stride] * 2,
            dilations=[stage.dilation] * 2,
            pads=[top, left, bottom, right],
            group=groups_of(stage),
        )
        value = graph.activate(value, stage.activation)
        if block.gate is not None and stage.family == "depthwise":
            means = graph.node("GlobalAveragePool", value)
            squeezed = graph.node("Conv", means, graph.constant(block.gate.reduce.T[:, :, None, None]))
            squeezed = graph.activate(squeezed, block.gate.activation)
            excited = graph.node("Conv", squeezed, graph.constant(block.gate.expand.T[:, :, None, None]))
            value = graph.node("Mul", value, graph.node("Sigmoid", excited))
    if block.residual:
        value = graph.node("Add", value, "x")
    graph.nodes[-1].output[0] = "y"
    inputs, outputs = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, nchw_shape(shape))
        for name, shape in (("x", block.x.shape), ("y", block.out_shapes[-1]))
    )
    return helper.make_model(
        helper.make_graph(graph.nodes, "block", [inputs], [outputs], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
