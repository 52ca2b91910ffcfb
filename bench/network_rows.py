"""The whole networks of bench-peers: what is run, on which images, and what it must give."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from skimage.transform import resize

import fastsep
from bench import networks
from bench.blocks import Array
from bench.networks.folded import Network, folded
from bench.photograph import photograph

BATCHES = (1, 8)
CLASSES = 1000

# What the families and the report call them.
TITLES = {
    "mobilenet_v1": "MobileNet",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3_large": "MobileNetV3-Large",
    "efficientnet_b0": "EfficientNet-B0",
    "xception": "Xception",
    "resnet50": "ResNet-50",
}


@dataclass(frozen=True)
class NetworkRow:
    """One network on so many images."""

    name: str
    batch: int

    @property
    def size(self) -> int:
        """Pixels of height and width."""
        return int(fastsep.cost(self.name).layers[0].input_shape[0])

    @property
    def family(self) -> str:
        """The key in FAMILIES."""
        return f"{TITLES[self.name]} {self.size}"

    @property
    def label(self) -> str:
        """What is computed; no two rows have the same."""
        return f"{self.family}, batch {self.batch}"

    @property
    def multiply_adds(self) -> int:
        """Of all images; taps in the padding count."""
        return self.batch * fastsep.cost(self.name).multiply_adds

    @property
    def compulsory_bytes(self) -> int:
        """Images and weights once in, logits once out."""
        numbers = self.batch * (3 * self.size**2 + CLASSES) + fastsep.cost(self.name).parameters
        return 4 * numbers

    @property
    def out_shape(self) -> tuple[int, int]:
        """Of the logits."""
        return self.batch, CLASSES

    def model(self) -> bytes:
        """Return the ONNX file."""
        return model_bytes(self.name, self.batch)

    def folded(self) -> Network:
        """Return the network as plain layers."""
        return folded(networks.build(self.name, batch=self.batch))

    def images(self) -> Array:
        """Return the input, (batch, 3, height, width)."""
        return images(self.batch, self.size)


@lru_cache(maxsize=2)
def model_bytes(name: str, batch: int) -> bytes:
    """Return a network as an ONNX file."""
    written: bytes = networks.build(name, batch=batch).SerializeToString()
    return written


@cache
def images(count: int, size: int) -> Array:
    """Return parts of the photograph, each smaller than the one before and every other mirrored."""
    whole = photograph()
    found = []
    for index in range(count):
        side = round(len(whole) * 0.9**index)
        corner = (len(whole) - side) // 2
        part = whole[corner : corner + side, corner : corner + side]
        part = resize(part[:, :: -1 if index % 2 else 1], (size, size), anti_aliasing=True)
        found.append((part - part.mean(axis=(0, 1))) / part.std(axis=(0, 1)))
    return np.ascontiguousarray(np.stack(found).transpose(0, 3, 1, 2), dtype=np.float32)


def all_network_rows() -> list[NetworkRow]:
    """Return every row."""
    return [NetworkRow(name, batch) for name in networks.NETWORKS for batch in BATCHES]
