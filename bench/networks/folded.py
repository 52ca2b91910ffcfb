"""A network as a list of layers, batch norms folded: what peers without an ONNX loader get.

It knows the nodes that this package writes, and refuses others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Array = NDArray[Any]

# Nodes that stand for themselves, and what they are called here.
PLAIN = {
    "Relu": "relu",
    "HardSwish": "hard_swish",
    "HardSigmoid": "hard_sigmoid",
    "Sigmoid": "sigmoid",
    "Add": "add",
    "Mul": "multiply",
    "GlobalAveragePool": "mean",
    "ReduceMean": "mean",
    "Flatten": "flatten",
    "Softmax": "softmax",
}


@dataclass(frozen=True)
class Step:
    """One layer: it reads values by name and makes one.

    "conv" and "dense" have a kernel and a bias; kernels are as in ONNX, (outputs, inputs / groups, height,
    width) and (outputs, inputs). "conv" and "max_pool" have a stride and `pads`: an int for all
    sides, or "same".
    """

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    kernel: Array | None = None
    bias: Array | None = None


@dataclass(frozen=True)
class Network:
    """Steps in order; `shape` is that of the input "x"."""

    shape: tuple[int, ...]
    steps: tuple[Step, ...]
    output: str


def folded(model: onnx.ModelProto) -> Network:
    """Return a network that this package built, with fixed sizes.

    Raises
    ------
    ValueError
        A node that this package does not write.
    """
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    (given,), (result,) = model.graph.input, model.graph.output
    shape = tuple(each.dim_value for each in given.type.tensor_type.shape.dim)
    return Network(shape, tuple(fused_silu(list(steps_of(model.graph.node, constants)))), result.name)


def steps_of(nodes: Any, constants: Mapping[str, Array]) -> Iterator[Step]:
    """Yield a step for every node, but convolution and batch norm as one."""
    convolution: Step | None = None
    for node in nodes:
        attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        (output,) = node.output
        values = tuple(name for name in node.input if name not in constants)
        if convolution is not None:
            if node.op_type == "BatchNormalization":
                yield with_norm(convolution, [constants[name] for name in node.input[1:]], attributes, output)
                convolution = None
                continue
            yield convolution
            convolution = None
        match node.op_type:
            case "Conv":
                kernel, *bias = (constants[name] for name in node.input[1:])
                convolution = Step(
                    "conv",
                    values,
                    output,
                    {**window_of(attributes), "groups": attributes["group"]},
                    kernel,
                    bias[0] if bias else np.zeros(len(kernel), np.float32),
                )
            case "MaxPool":
                yield Step(
                    "max_pool",
                    values,
                    output,
                    {**window_of(attributes), "taps": attributes["kernel_shape"][0]},
                )
            case "Gemm":
                kernel, bias_of_dense = (constants[name] for name in node.input[1:])
                yield Step("dense", values, output, {}, kernel, bias_of_dense)
            case "Clip":
                limits = [float(constants[name]) for name in node.input[1:]]
                if limits != [0, 6]:
                    raise ValueError(f"{node.name}: a Clip is between 0 and 6 here, not {limits}")
                yield Step("relu6", values, output)
            case operator if operator in PLAIN:
                yield Step(PLAIN[operator], values, output)
            case operator:
                raise ValueError(f"{node.name}: networks of this package have no {operator}")
    if convolution is not None:
        yield convolution


def window_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return stride and padding, which are alike on all sides."""
    (stride,) = set(attributes["strides"])
    if "auto_pad" in attributes:
        return {"stride": stride, "pads": "same"}
    (pads,) = set(attributes["pads"])
    return {"stride": stride, "pads": pads}


def with_norm(step: Step, vectors: list[Array], attributes: Mapping[str, Any], output: str) -> Step:
    """Return the convolution with the batch norm after it in its kernel and bias."""
    assert step.kernel is not None and step.bias is not None
    scale, shift, mean, variance = (vector.astype(np.float64) for vector in vectors)
    factor = scale / np.sqrt(variance + attributes["epsilon"])
    kernel = step.kernel * factor[:, np.newaxis, np.newaxis, np.newaxis]
    bias = shift + factor * (step.bias - mean)
    return Step(
        step.operator,
        step.inputs,
        output,
        step.attributes,
        kernel.astype(np.float32),
        bias.astype(np.float32),
    )


def fused_silu(steps: list[Step]) -> Iterator[Step]:
    """Yield x · sigmoid(x) as one step."""
    readers = Counter(name for step in steps for name in step.inputs)
    gates = {
        step.output: step.inputs[0]
        for step in steps
        if step.operator == "sigmoid" and readers[step.output] == 1
    }
    products = {
        step.output: gate
        for step in steps
        if step.operator == "multiply"
        for gate in step.inputs
        if gates.get(gate) in step.inputs
    }
    for step in steps:
        if step.output in products:
            yield Step("silu", (gates[products[step.output]],), step.output)
        elif step.output not in products.values():
            yield step
