"""Writes ONNX nodes as exporters do, channels first, and draws weights that keep values in a sensible range.

A few images run through every layer while it is written. So weights can be scaled, and batch norms can get
the statistics of what they will see, as trained ones have: a random network without that forgets its input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bench.networks import sample
from bench.networks.sample import Array, Pads

Activation = Literal["relu", "relu6", "silu", "hard_swish", "sigmoid", "hard_sigmoid"]
# Pixels on each side before and after, or what the attribute auto_pad says.
Padding = int | Literal["SAME_UPPER"]

# Images that run along while a network is written, and their size: deep layers still have 6 × 6 pixels.
IMAGES, SIZE = 2, 192
EPSILON = 1e-5
# Of a channel's mean, what a batch norm takes away: the more, the further two images stay apart, and the more
# every rounding error grows with depth.
CENTRED = 0.8
# A channel that hardly varies in the few images may do so in others.
LEAST_VARIANCE = 0.25
# Near 0 they curve, so that images of a little more contrast than those that ran along gain on it in every
# layer; further out they are nearly ReLUs.
SCALES: dict[str | None, float] = {"silu": 3, "hard_swish": 2}


@dataclass(frozen=True)
class Value:
    """A value of the graph, and what the images give there."""

    name: str
    sample: Array

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.sample.shape[1])


class Writer:
    """Nodes in order, and the constants they read."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def input(self) -> Value:
        """Return the images that the network gets."""
        return Value("x", sample.images(self.random, IMAGES, SIZE))

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Add a constant, unless there is one of this name; return the name."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.asarray(values, order="C"), name)
        return name

    def node(self, operator: str, layer: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        name = f"/{layer}/{operator}"
        output = f"{name}_output_0"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=name, **attributes))
        return output

    # ---- weights --------------------------------------------------------------------------------

    def conv(
        self,
        layer: str,
        x: Value,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        padding: Padding = 0,
        *,
        depthwise: bool = False,
        bias: bool = False,
    ) -> Value:
        """Add a convolution whose outputs have a standard deviation between 1/2 and 2."""
        groups = x.channels if depthwise else 1
        shape = (channels, x.channels // groups, kernel, kernel)
        weights = self.random.normal(0, 1, shape).astype(np.float32)
        pads = pads_of(padding, x, kernel, stride)
        y = sample.convolve(x.sample, weights, stride, pads, groups)
        weights, y = self.scaled(weights, y)
        names = [x.name, self.constant(f"{layer}.weight", weights)]
        if bias:
            offsets = self.random.normal(0, 0.1, channels).astype(np.float32)
            names.append(self.constant(f"{layer}.bias", offsets))
            y = y + offsets[:, np.newaxis, np.newaxis]
        where: dict[str, Any] = {"auto_pad": padding} if isinstance(padding, str) else {"pads": [padding] * 4}
        name = self.node(
            "Conv",
            layer,
            *names,
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            dilations=[1, 1],
            group=groups,
            **where,
        )
        return Value(name, y)

    def scaled(self, weights: Array, y: Array) -> tuple[Array, Array]:
        """Return weights and output, both times the factor that gives the output a moderate deviation."""
        factor = np.float32(2 ** self.random.uniform(-1, 1) / y.std())
        return weights * factor, y * factor

    def norm(self, layer: str, x: Value, activation: Activation | None = None) -> Value:
        """Add a batch norm with about the statistics that the images have, and a scale for what follows."""
        centre = x.sample.mean(axis=(0, 2, 3))
        variance = x.sample.var(axis=(0, 2, 3))
        variance = np.maximum(variance, LEAST_VARIANCE * (variance + centre**2).mean())
        spread = np.sqrt(variance)
        vectors = {
            "weight": SCALES.get(activation, 1) * self.random.uniform(0.7, 1.4, x.channels),
            "bias": self.random.normal(0.1, 0.3, x.channels),
            "running_mean": CENTRED * centre + 0.1 * spread * self.random.normal(0, 1, x.channels),
            "running_var": variance * 2 ** self.random.uniform(-0.5, 0.5, x.channels),
        }
        exact = {name: values.astype(np.float32) for name, values in vectors.items()}
        names = [self.constant(f"{layer}.{name}", values) for name, values in exact.items()]
        name = self.node("BatchNormalization", layer, x.name, *names, epsilon=EPSILON, momentum=0.9)
        scale, shift, mean, var = (values[:, np.newaxis, np.newaxis] for values in exact.values())
        return Value(name, (x.sample - mean) * (scale / np.sqrt(var + np.float32(EPSILON))) + shift)

    def dense(self, layer: str, x: Value, channels: int) -> Value:
        """Add a fully connected layer with a bias."""
        weights = self.random.normal(0, 1, (channels, x.channels)).astype(np.float32)
        weights, y = self.scaled(weights, x.sample @ weights.T)
        bias = self.random.normal(0, 0.1, channels).astype(np.float32)
        names = [self.constant(f"{layer}.weight", weights), self.constant(f"{layer}.bias", bias)]
        return Value(self.node("Gemm", layer, x.name, *names, alpha=1.0, beta=1.0, transB=1), y + bias)

    # ---- everything else ------------------------------------------------------------------------

    def activate(self, layer: str, x: Value, activation: Activation | None) -> Value:
        """Add an activation."""
        y = x.sample
        match activation:
            case None:
                return x
            case "relu":
                return Value(self.node("Relu", layer, x.name), np.maximum(y, 0))
            case "relu6":
                limits = [
                    self.constant(f"relu6.{name}", np.array(limit, np.float32))
                    for name, limit in (("min", 0), ("max", 6))
                ]
                return Value(self.node("Clip", layer, x.name, *limits), np.clip(y, 0, 6))
            case "silu":
                gate = self.node("Sigmoid", layer, x.name)
                return Value(self.node("Mul", layer, x.name, gate), y * sample.sigmoid(y))
            case "hard_swish":
                return Value(self.node("HardSwish", layer, x.name), y * sample.hard_sigmoid(y))
            case "sigmoid":
                return Value(self.node("Sigmoid", layer, x.name), sample.sigmoid(y))
            case "hard_sigmoid":
                return Value(
                    self.node("HardSigmoid", layer, x.name, alpha=1 / 6, beta=0.5), sample.hard_sigmoid(y)
                )

    def add(self, layer: str, x: Value, y: Value) -> Value:
        """Add a sum."""
        return Value(self.node("Add", layer, x.name, y.name), x.sample + y.sample)

    def multiply(self, layer: str, x: Value, y: Value) -> Value:
        """Add a product."""
        return Value(self.node("Mul", layer, x.name, y.name), x.sample * y.sample)

    def max_pool(self, layer: str, x: Value, kernel: int, stride: int, padding: Padding) -> Value:
        """Add a max pooling."""
        where: dict[str, Any] = {"auto_pad": padding} if isinstance(padding, str) else {"pads": [padding] * 4}
        name = self.node("MaxPool", layer, x.name, kernel_shape=[kernel] * 2, strides=[stride] * 2, **where)
        return Value(name, sample.max_pool(x.sample, kernel, stride, pads_of(padding, x, kernel, stride)))

    def means(self, layer: str, x: Value, *, reduce: bool = False) -> Value:
        """Add the mean over all pixels, as GlobalAveragePool or as ReduceMean; both keep the two axes."""
        y = x.sample.mean(axis=(2, 3), keepdims=True)
        if reduce:
            axes = self.constant("means.axes", np.array([2, 3], np.int64))
            return Value(self.node("ReduceMean", layer, x.name, axes, keepdims=1), y)
        return Value(self.node("GlobalAveragePool", layer, x.name), y)

    def flatten(self, layer: str, x: Value) -> Value:
        """Make vectors of all but the batch."""
        return Value(self.node("Flatten", layer, x.name, axis=1), x.sample.reshape(len(x.sample), -1))

    def softmax(self, layer: str, x: Value) -> Value:
        """Add a softmax over the last axis."""
        exponentials = np.exp(x.sample - x.sample.max(axis=-1, keepdims=True))
        y: Array = exponentials / exponentials.sum(axis=-1, keepdims=True)
        return Value(self.node("Softmax", layer, x.name, axis=-1), y)

    def model(
        self, name: str, in_shape: tuple[int | str, ...], output: Value, batch: int | str, opset: int
    ) -> onnx.ModelProto:
        """Return the model that computes `output`, which gets the name y."""
        self.nodes[-1].output[0] = "y"
        inputs, outputs = (
            helper.make_tensor_value_info(value, TensorProto.FLOAT, shape)
            for value, shape in (("x", in_shape), ("y", (batch, *output.sample.shape[1:])))
        )
        graph = helper.make_graph(self.nodes, name, [inputs], [outputs], list(self.constants.values()))
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", opset)],
            ir_version=8 if opset <= 18 else 10,
            producer_name="fastsep.bench",
        )
        onnx.checker.check_model(model)
        return model


def pads_of(padding: Padding, x: Value, kernel: int, stride: int) -> Pads:
    """Return the pixels before and after, of height and width."""
    if isinstance(padding, int):
        return (padding, padding), (padding, padding)
    height, width = x.sample.shape[2:]
    return sample.same_pads((height, width), kernel, stride)
