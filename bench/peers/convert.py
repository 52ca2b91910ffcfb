"""Write blocks as .tflite files; runs in the converter's environment, which has TensorFlow and no fastsep.

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


def convert(arrays: Mapping[str, Any]) -> bytes:
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

    traced = tf.function(block, input_signature=[tf.TensorSpec(description["in_shape"], tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced.get_concrete_function()])
    model: bytes = converter.convert()
    return model


def main() -> None:
    """Convert every .npz file."""
    source, target = map(Path, sys.argv[1:])
    for path in sorted(source.glob("*.npz")):
        with np.load(path) as arrays:
            model = convert(dict(arrays))
        # Renamed when complete: a file that is there is whole.
        unfinished = target / f"{path.stem}.unfinished"
        unfinished.write_bytes(model)
        unfinished.rename(target / f"{path.stem}.tflite")


if __name__ == "__main__":
    main()
