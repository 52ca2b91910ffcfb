"""Export networks of keras.applications with random weights as ONNX files; the logits, before the softmax.

``python keras_models.py <folder> <size> <name>…``, with KERAS_BACKEND set. It needs Keras alone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np


def network(name: str, size: int) -> keras.Model:
    """Return a network with random weights, and with batch norms that scale and shift at random."""
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(size, size, 3), classifier_activation=None
    )
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            ranges = {"gamma": (0.7, 1.4), "beta": (-0.3, 0.5), "moving_mean": (-0.2, 0.2)}
            ranges["moving_variance"] = (0.5, 2)
            for weight in layer.weights:
                weight.assign(random.uniform(*ranges[weight.name], weight.shape))
    return model


def main() -> None:
    """Export every network."""
    folder, size, *names = sys.argv[1:]
    for name in names:
        model = network(name, int(size))
        # Only a model that was called can be exported.
        model(np.zeros((1, int(size), int(size), 3), np.float32))
        # By PyTorch Keras exports fixed shapes only: its "same" computes padding from the sizes.
        fixed = [keras.InputSpec(shape=(1, int(size), int(size), 3), dtype="float32")]
        signature = fixed if keras.backend.backend() == "torch" else None
        model.export(
            str(Path(folder, f"{name}.onnx")), format="onnx", verbose=False, input_signature=signature
        )


if __name__ == "__main__":
    main()
