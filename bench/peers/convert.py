"""Write blocks and networks as .tflite files; runs in the converter's environment, without fastsep.

``python convert.py <folder of .npz files> <folder for .tflite files>``
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf


def activate(x: Any, activation: str | None) -> Any:
    """Return the activation as the converter knows it; clamps become part of the convolution before."""
    match activation:
        case "relu":
            return tf.nn.relu(x)
        case "relu6":
            return tf.nn.relu6(x)
        case "silu":
            return x * tf.sigmoid(x)
        case None:
            return x


def convolve(x: Any, stage: Mapping[str, Any], kernel: Any) -> Any:
    """Return one layer."""
    padding = stage["padding"].upper()
    strides = [1, stage["stride"], stage["stride"], 1]
    if stage["family"] == "depthwise":
        x = tf.nn.depthwise_conv2d(x, kernel, strides, padding, dilations=[stage["dilation"]] * 2)
    else:
        if stage["family"] == "pointwise":
            kernel = kernel[None, None]
        x = tf.nn.conv2d(x, kernel, strides, padding, dilations=stage["dilation"])
    return activate(x, stage["activation"])


def padded(x: Any, step: Mapping[str, Any], taps: int, filler: float) -> tuple[Any, str]:
    """Return the input and the padding that the layer itself does.

    "SAME" wherever it means the same pixels, because it costs nothing: not with a stride and an even size.
    """
    pads, stride = step["pads"], step["stride"]
    if pads == "same" or (pads == (taps - 1) // 2 and stride == 1):
        return x, "SAME"
    if pads == 0:
        return x, "VALID"
    surplus = [max((-(-size // stride) - 1) * stride + taps - size, 0) for size in x.shape[1:3]]
    if surplus == [2 * pads] * 2:
        return x, "SAME"
    return tf.pad(x, [[0, 0], [pads, pads], [pads, pads], [0, 0]], constant_values=filler), "VALID"


def network_step(step: Mapping[str, Any], inputs: list[Any], positive: bool, weights: tuple[Any, Any]) -> Any:
    """Return one step of a network, channels last; `positive` tells that no input is below 0."""
    x = inputs[0]
    kernel, bias = weights
    match step["operator"]:
        case "conv":
            x, padding = padded(x, step, kernel.shape[2], 0)
            strides = [1, step["stride"], step["stride"], 1]
            if step["groups"] > 1:
                # (channels, 1, height, width)
                y = tf.nn.depthwise_conv2d(x, kernel.transpose(2, 3, 0, 1), strides, padding)
            else:
                y = tf.nn.conv2d(x, kernel.transpose(2, 3, 1, 0), strides, padding)
            return tf.nn.bias_add(y, bias)
        case "dense":
            return tf.matmul(x, kernel, transpose_b=True) + bias
        case "max_pool":
            x, padding = padded(x, step, step["taps"], 0 if positive else float(np.finfo(np.float32).min))
            return tf.nn.max_pool2d(x, step["taps"], step["stride"], padding)
        case "mean":
            return tf.reduce_mean(x, axis=[1, 2], keepdims=True)
        case "flatten":
            return tf.reshape(x, [x.shape[0], -1])
        case "add":
            return inputs[0] + inputs[1]
        case "multiply":
            return inputs[0] * inputs[1]
        case "hard_swish":
            # What the converter makes one operator of.
            return x * (tf.nn.relu6(x + 3) * (1 / 6))
        case "hard_sigmoid":
            return tf.nn.relu6(x + 3) * (1 / 6)
        case "sigmoid":
            return tf.sigmoid(x)
        case "softmax":
            return tf.nn.softmax(x)
        case "relu" | "relu6" | "silu" as activation:
            return activate(x, activation)
        case operator:
            raise ValueError(f"networks have no {operator}")


def convert_network(arrays: Mapping[str, Any]) -> bytes:
    """Return a network as a TensorFlow Lite model with constant weights; input and output channels last."""
    description = json.loads(str(arrays["description"]))

    def network(x: Any) -> Any:
        values = {"x": x}
        positive = set()
        for index, step in enumerate(description["steps"]):
            weights = arrays.get(f"kernel{index}"), arrays.get(f"bias{index}")
            inputs = [values[name] for name in step["inputs"]]
            output = step["output"]
            values[output] = network_step(step, inputs, step["inputs"][0] in positive, weights)
            if step["operator"] in ("relu", "relu6"):
                positive.add(output)
        return values[description["output"]]

    batch, channels, height, width = description["shape"]
    return converted(network, (batch, height, width, channels))


def convert_block(arrays: Mapping[str, Any]) -> bytes:
    """Return a block as a TensorFlow Lite model with constant weights."""
    description = json.loads(str(arrays["description"]))

    def block(x: Any) -> Any:
        y = x
        for index, stage in enumerate(description["stages"]):
            y = convolve(y, stage, arrays[f"kernel{index}"])
            if "reduce" in arrays and stage["family"] == "depthwise":
                means = tf.reduce_mean(y, axis=[1, 2], keepdims=True)
                squeezed = tf.nn.conv2d(means, arrays["reduce"][None, None], 1, "SAME")
                squeezed = activate(squeezed, description["gate_activation"])
                y *= tf.sigmoid(tf.nn.conv2d(squeezed, arrays["expand"][None, None], 1, "SAME"))
        return y + x if description["residual"] else y

    return converted(block, description["in_shape"])


def converted(function: Any, in_shape: Any) -> bytes:
    """Return a function of one tensor as a model."""
    traced = tf.function(function, input_signature=[tf.TensorSpec(in_shape, tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced.get_concrete_function()])
    model: bytes = converter.convert()
    return model


def main() -> None:
    """Convert every .npz file."""
    source, target = map(Path, sys.argv[1:])
    for path in sorted(source.glob("*.npz")):
        with np.load(path) as arrays:
            given = dict(arrays)
        is_network = "steps" in json.loads(str(given["description"]))
        model = convert_network(given) if is_network else convert_block(given)
        # Renamed when complete: a file that is there is whole.
        unfinished = target / f"{path.stem}.unfinished"
        unfinished.write_bytes(model)
        unfinished.rename(target / f"{path.stem}.tflite")


if __name__ == "__main__":
    main()
