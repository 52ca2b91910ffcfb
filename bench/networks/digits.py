"""Train a small MobileNetV2 on scikit-learn's digits, and export it by both of PyTorch's exporters.

``python -m bench.networks.digits [folder]`` takes less than two minutes on two cores. The digits, 8 × 8
pixels, come with scikit-learn; the network sees them at 16 × 16.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from bench.blocks import Array
from bench.networks.torch_models import InvertedResidual, conv_norm

CLASSES = 10
# Channels, repeats, stride of the first: as in the paper's Table 2, shortened.
STAGES = ((16, 1, 1), (24, 2, 2), (32, 2, 1), (48, 2, 2))
EXPANSION, FIRST, LAST = 4, 16, 128
EPOCHS, BATCH, RATE = 30, 64, 4e-3
FOLDER = Path(__file__).parents[2] / "build" / "networks"


@dataclass(frozen=True)
class Digits:
    """Images (count, 1, 16, 16) from 0 to 1 with their classes, and those that training does not see."""

    images: Array
    classes: Array
    test_images: Array
    test_classes: Array


def digits() -> Digits:
    """Return scikit-learn's digits, every pixel four times, split evenly over the classes."""
    bunch = load_digits()
    images = (bunch.images[:, np.newaxis] / 16).astype(np.float32).repeat(2, axis=2).repeat(2, axis=3)
    train, test, classes, test_classes = train_test_split(
        images, bunch.target, test_size=0.25, random_state=0, stratify=bunch.target
    )
    return Digits(train, classes, test, test_classes)


def small_mobilenet_v2() -> nn.Sequential:
    """Return the network, untrained."""
    layers: list[nn.Module] = [conv_norm(1, FIRST, 3, 1, nn.ReLU6)]
    channels = FIRST
    for outputs, repeats, stride in STAGES:
        for number in range(repeats):
            expansion = 1 if len(layers) == 1 else EXPANSION
            layers.append(
                InvertedResidual(
                    channels, channels * expansion, outputs, 3, stride if number == 0 else 1, nn.ReLU6
                )
            )
            channels = outputs
    layers += [conv_norm(channels, LAST, 1, 1, nn.ReLU6), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Dropout(0.2), nn.Linear(LAST, CLASSES))


def train(data: Digits, say: Callable[[str], None] = lambda _: None) -> nn.Sequential:
    """Return the trained network."""
    torch.manual_seed(0)
    network = small_mobilenet_v2().to(memory_format=torch.channels_last)
    images, classes = torch.from_numpy(data.images), torch.from_numpy(data.classes)
    steps = EPOCHS * (len(images) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for epoch in range(EPOCHS):
        network.train()
        order = torch.randperm(len(images))
        for batch in order.split(BATCH)[: len(images) // BATCH]:
            loss = F.cross_entropy(network(images[batch]), classes[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        if epoch % 5 == 4:
            say(f"epoch {epoch + 1} of {EPOCHS}: loss {loss.item():.4f}")
    return network.eval()


def export(network: nn.Module, folder: Path) -> dict[str, Path]:
    """Write the network by both exporters, for any number of images; return the files by exporter."""
    x = torch.zeros(2, 1, 16, 16)
    paths = {name: folder / f"digits-{name}.onnx" for name in ("torchscript", "dynamo")}
    torch.onnx.export(
        network,
        (x,),
        str(paths["torchscript"]),
        input_names=["x"],
        output_names=["y"],
        dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}},
        dynamo=False,
    )
    torch.onnx.export(
        network,
        (x,),
        str(paths["dynamo"]),
        input_names=["x"],
        output_names=["y"],
        dynamic_shapes={"input": {0: torch.export.Dim("batch")}},
        dynamo=True,
        verbose=False,
    )
    return paths


def accuracy(network: nn.Module, data: Digits) -> float:
    """Return the share of the test images whose class is right."""
    with torch.inference_mode():
        found = network(torch.from_numpy(data.test_images)).argmax(dim=1).numpy()
    return float(np.mean(found == data.test_classes))


def main() -> int:
    """Train, export, and say how good it is."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    data = digits()
    start = time.perf_counter()
    network = train(data, print)
    print(f"trained in {time.perf_counter() - start:.0f} s")
    print(f"{accuracy(network, data):.1%} of the test images right")
    for path in export(network, folder).values():
        print(f"written: {path}")
    np.savez(folder / "digits.npz", images=data.test_images, classes=data.test_classes)
    print(f"written: {folder / 'digits.npz'}, the test images and their classes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
