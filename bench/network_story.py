"""The last step of the story: MobileNetV2 on the photograph, by loops, layer by layer, and as one session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

import fastsep
import fastsep._naive
import fastsep.onnx
from bench.blocks import Array
from bench.measure import TOLERANCE
from bench.network_rows import NetworkRow
from bench.networks.folded import Step
from bench.variants import Call

ROW = NetworkRow("mobilenet_v2", 1)
STEP = "MobileNetV2 from an ONNX file, the photograph at 224×224"

Layer = Callable[[Array], Array]


@dataclass(frozen=True)
class NetworkWay:
    """One line of the table: a way to run the network."""

    name: str
    label: str
    call: Callable[[int], Call]

    @property
    def step(self) -> str:
        """Title of the table."""
        return STEP


def naive(threads: int) -> Call:
    """Textbook loop nests, compiled; everything else in NumPy."""

    def layer_of(step: Step, activation: bool) -> Layer:
        kernel, bias = weights_of(step)
        stride, pads = step.attributes["stride"], step.attributes["pads"]
        around = ((0, 0), (pads, pads), (pads, pads), (0, 0))
        loops = fastsep._naive.depthwise_conv if step.attributes["groups"] > 1 else fastsep._naive.conv

        def layer(x: Array) -> Array:
            y = loops(np.pad(x, around), kernel, stride, "valid", threads=threads)
            y += bias
            return np.clip(y, 0, 6, out=y) if activation else y

        return layer

    return layer_by_layer(layer_of)


def plans(threads: int) -> Call:
    """One plan of ours a layer, its activation fused."""

    def layer_of(step: Step, activation: bool) -> Layer:
        kernel, bias = weights_of(step)
        pads = step.attributes["pads"]
        family = fastsep.DepthwiseConv if step.attributes["groups"] > 1 else fastsep.Conv
        plan = family(
            kernel,
            step.attributes["stride"],
            ((pads, pads), (pads, pads)),
            bias=bias,
            activation="relu6" if activation else None,
        )
        return lambda x: plan(x, threads=threads)

    return layer_by_layer(layer_of)


def session(threads: int) -> Call:
    """The ONNX file as anybody runs it."""
    network = fastsep.onnx.InferenceSession(ROW.model(), threads=threads)
    out: Array = fastsep.empty(ROW.out_shape)
    feeds = {"x": ROW.images()}

    def call() -> Array:
        network.run(None, feeds, out=[out])
        return out

    return call


def weights_of(step: Step) -> tuple[Array, Array]:
    """Return a convolution's kernel, as in Keras, and its bias."""
    assert step.kernel is not None and step.bias is not None
    order = (2, 3, 0, 1) if step.attributes["groups"] > 1 else (2, 3, 1, 0)
    return np.ascontiguousarray(step.kernel.transpose(order)), step.bias


def layer_by_layer(layer_of: Callable[[Step, bool], Layer]) -> Call:
    """Return the call that takes each step in turn, channels last, clamps with their convolution."""
    network = ROW.folded()
    clamped = {step.inputs[0]: step.output for step in network.steps if step.operator == "relu6"}
    x = np.ascontiguousarray(ROW.images().transpose(0, 2, 3, 1))
    layers = {
        step.output: layer_of(step, step.output in clamped)
        for step in network.steps
        if step.operator == "conv"
    }

    def call() -> Array:
        values = {"x": x}
        for step in network.steps:
            given = [values[name] for name in step.inputs if name in values]
            match step.operator:
                case "conv":
                    values[clamped.get(step.output, step.output)] = layers[step.output](*given)
                case "relu6":
                    pass  # done by its convolution
                case "add":
                    values[step.output] = given[0] + given[1]
                case "mean":
                    values[step.output] = given[0].mean(axis=(1, 2))
                case "flatten":
                    values[step.output] = given[0]
                case "dense":
                    assert step.kernel is not None and step.bias is not None
                    values[step.output] = given[0] @ step.kernel.T + step.bias
                case operator:
                    raise ValueError(f"MobileNetV2 has no {operator}")
        return values[network.output]

    return call


@lru_cache(maxsize=1)
def expected() -> Array:
    """Return the logits by the naive loops."""
    return naive(1)()


def check(call: Call) -> None:
    """Raise AssertionError unless the logits are those of the naive loops."""
    np.testing.assert_allclose(call(), expected(), rtol=0, atol=TOLERANCE * np.abs(expected()).max())


NETWORK_WAYS = (
    NetworkWay("network-naive", "naive loops", naive),
    NetworkWay("network-plans", "fastsep, layer by layer", plans),
    NetworkWay("network-session", "fastsep.onnx, the whole network", session),
)
