"""Small ONNX models for the tests, and what ONNX Runtime makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

Array = np.ndarray[Any, Any]
OPSET = 21


def weight(seed: int, *shape: int) -> Array:
    """Seeded weights whose sums stay near 1."""
    fan_in = int(np.prod(shape[1:])) or 1
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) / np.float32(fan_in**0.5)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int | str] | None],
    weights: Mapping[str, Array],
    opset: int = OPSET,
    dtype: int = onnx.TensorProto.FLOAT,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def small_network(batch: int | str = 1, size: int | str = 32, opset: int = OPSET) -> onnx.ModelProto:
    """Stem, an inverted residual with batch norms and its shortcut, a separable block, and a classifier."""
    weights: dict[str, Array] = {}
    nodes: list[onnx.NodeProto] = []

    def conv(x: str, name: str, *shape: int, act: str | None = "clip", **attributes: Any) -> str:
        weights[f"{name}.w"] = weight(len(weights), *shape)
        for part, value in zip(
            "sbmv", np.random.default_rng(len(weights)).uniform(0.5, 1.5, (4, shape[0])), strict=True
        ):
            weights[f"{name}.{part}"] = value.astype(np.float32)
        nodes.append(helper.make_node("Conv", [x, f"{name}.w"], [f"{name}.y"], name=name, **attributes))
        parameters = [f"{name}.{part}" for part in "sbmv"]
        nodes.append(
            helper.make_node(
                "BatchNormalization", [f"{name}.y", *parameters], [f"{name}.n"], name=f"{name}.norm"
            )
        )
        if act is None:
            return f"{name}.n"
        nodes.append(
            helper.make_node("Clip", [f"{name}.n", "low", "high"], [f"{name}.a"], name=f"{name}.{act}")
        )
        return f"{name}.a"

    weights["low"], weights["high"] = np.array(0, np.float32), np.array(6, np.float32)
    around = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    x = conv("x", "stem", 16, 3, 3, 3, strides=[2, 2], **around)
    y = conv(x, "expand", 48, 16, 1, 1)
    y = conv(y, "depthwise", 48, 1, 3, 3, group=48, **around)
    y = conv(y, "project", 16, 48, 1, 1, act=None)
    nodes.append(helper.make_node("Add", [x, y], ["sum"], name="shortcut"))
    y = conv("sum", "depthwise2", 16, 1, 3, 3, group=16, strides=[2, 2], **around)
    y = conv(y, "pointwise2", 32, 16, 1, 1)
    nodes.append(helper.make_node("GlobalAveragePool", [y], ["means"], name="pool"))
    nodes.append(helper.make_node("Flatten", ["means"], ["flat"], name="flatten"))
    weights["fc.w"], weights["fc.b"] = weight(99, 10, 32), weight(98, 10)
    nodes.append(helper.make_node("Gemm", ["flat", "fc.w", "fc.b"], ["logits"], name="fc", transB=1))
    return model(nodes, {"x": [batch, 3, size, size]}, {"logits": [batch, 10]}, weights, opset)


def every_kind(opset: int = OPSET, open_sizes: bool = False) -> onnx.ModelProto:
    """A model with an operator of each kind: windows, sums, curves, views, shapes and matrices."""
    weights: dict[str, Array] = {
        "w": weight(0, 4, 3, 3, 3),
        "d": weight(1, 4, 1, 3, 3),
        "b": weight(2, 4),
        "k": weight(3, 4, 5),
        "scale": np.ones(4, np.float32),
        "low": np.array(0, np.float32),
        "high": np.array(6, np.float32),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "starts": np.array([0, 1]),
        "ends": np.array([5, 6]),
        "axes": np.array([2, 3]),
        "rows": np.array([1, -1, 4]),
        "bias": np.array([1, 4, 1, 1]),
        "index": np.array([0, 2]),
    }
    two = helper.make_tensor("value", onnx.TensorProto.FLOAT, [1], [2.0])
    halves, first = {"axis": 1}, {}
    operands: dict[str, list[str]] = {"Split": [], "axes": []}
    if opset < 13:
        halves, first = {"axis": 1, "split": [2, 2]}, {"axes": [0]}
    else:
        weights |= {"halves": np.array([2, 2]), "first": np.array([0])}
        operands = {"Split": ["halves"], "axes": ["first"]}
    nodes = [
        helper.make_node(
            "Conv", ["x", "w", "b"], ["a"], name="conv", pads=[1] * 4, strides=[1, 1], kernel_shape=[3, 3]
        ),
        helper.make_node("BatchNormalization", ["a", "scale", "b", "b", "scale"], ["n"]),
        helper.make_node("Clip", ["n", "low", "high"], ["c"]),
        helper.make_node("Pad", ["c", "pads"], ["p"], mode="constant"),
        helper.make_node("Conv", ["p", "d"], ["e"], group=4, auto_pad="VALID"),
        helper.make_node("MaxPool", ["e"], ["f"], kernel_shape=[2, 2], strides=[1, 1]),
        helper.make_node("AveragePool", ["f"], ["g"], kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1),
        helper.make_node("Sigmoid", ["g"], ["gate"]),
        helper.make_node("Mul", ["g", "gate"], ["silu"]),
        helper.make_node("Split", ["silu", *operands["Split"]], ["left", "right"], **halves),
        helper.make_node("Concat", ["left", "right"], ["joined"], axis=1),
        helper.make_node("ConstantOfShape", ["bias"], ["twos"], value=two),
        helper.make_node("Add", ["joined", "twos"], ["sum"]),
        helper.make_node("Slice", ["sum", "starts", "ends", "axes"], ["part"]),
        helper.make_node("Transpose", ["part"], ["turned"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["turned", "rows"], ["pixels"]),
        helper.make_node("Shape", ["pixels"], ["shape"]),
        helper.make_node("Gather", ["shape", "index"], ["sizes"], axis=0),
        helper.make_node("Cast", ["sizes"], ["y2"], to=onnx.TensorProto.FLOAT),
        helper.make_node("MatMul", ["pixels", "k"], ["product"]),
        helper.make_node("Softmax", ["product"], ["soft"], axis=-1),
        helper.make_node("ReduceSum", ["soft", *operands["axes"]], ["y0"], keepdims=0, **first),
        helper.make_node("GlobalAveragePool", ["part"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "k"], ["scores"], alpha=1.0),
        helper.make_node("Unsqueeze", ["scores", *operands["axes"]], ["row"], **first),
        helper.make_node("LeakyRelu", ["row"], ["y1"], alpha=0.1),
    ]
    image = ["n", 3, "h", "w"] if open_sizes else [1, 3, 8, 8]
    made = {"y0": ["pixels", 5], "y1": [1, "n", 5], "y2": [2]}
    return model(nodes, {"x": image}, made, weights, opset)


def expected(proto: onnx.ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    """What ONNX Runtime computes, unoptimised."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, dict(feeds)))


def assert_close(actual: Array, wanted: Array, tolerance: float = 2e-6) -> None:
    """Within a share of the largest value."""
    assert actual.shape == wanted.shape and actual.dtype == wanted.dtype
    assert np.max(np.abs(actual - wanted)) <= tolerance * max(np.max(np.abs(wanted)), 1e-30)
