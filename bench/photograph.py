"""The photograph that every benchmark's input is made from."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import skimage
from numpy.typing import NDArray
from skimage.io import imread
from skimage.transform import resize

import fastsep

Array = NDArray[np.floating]

# The file itself, not skimage.data.stereo_motorcycle(), which may download what a wheel does not hold.
MOTORCYCLE = Path(skimage.__file__).parent / "data" / "motorcycle_left.png"

# The square that holds engine, lamp and front wheel.
FIRST_COLUMN = 190

DERIVATIVE_ACROSS = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
LINE_ACROSS = np.array([[-1, 2, -1], [-2, 4, -2], [-1, 2, -1]]) / 16
BLUR = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16


@cache
def photograph() -> Array:
    """Return the left half of Middlebury's motorcycle stereo pair, cut square: (500, 500, 3), 0 to 1."""
    pixels: NDArray[np.uint8] = imread(MOTORCYCLE)
    height = pixels.shape[0]
    return pixels[:, FIRST_COLUMN : FIRST_COLUMN + height].astype(np.float32) / 255


@cache
def image_tensor(height: int, width: int) -> Array:
    """Return the photograph as a network takes it: (1, height, width, 3), colours of mean 0, deviation 1."""
    image = resize(photograph(), (height, width), anti_aliasing=True)
    image = (image - image.mean(axis=(0, 1))) / image.std(axis=(0, 1))
    return np.ascontiguousarray(image[np.newaxis], dtype=np.float32)


def oriented_filters(count: int, random: np.random.Generator) -> Array:
    """Return `count` edge, line and blur filters at random angles: (3, 3, count), of unit norm."""
    angles = random.uniform(0, 2 * np.pi, count)
    edges, lines = (
        np.cos(angles) * across[:, :, np.newaxis] + np.sin(angles) * across.T[:, :, np.newaxis]
        for across in (DERIVATIVE_ACROSS, LINE_ACROSS)
    )
    kinds = random.choice(3, count, p=(0.5, 0.3, 0.2))
    filters: Array = np.choose(kinds, (edges, lines, BLUR[:, :, np.newaxis])).astype(np.float32)
    filters /= np.linalg.norm(filters, axis=(0, 1))
    return filters


@cache
def first_layer(channels: int) -> fastsep.Conv:
    """Return a 3x3 convolution of stride 2 as networks begin with it: oriented filters on random colours."""
    random = np.random.default_rng(channels)
    colours = random.normal(0.5, 1, (3, channels))
    colours /= np.linalg.norm(colours, axis=0)
    kernel = oriented_filters(channels, random)[:, :, np.newaxis, :] * colours
    return fastsep.Conv(kernel.astype(np.float32), strides=2, padding="same", activation="relu6")


@cache
def feature_maps(height: int, width: int, channels: int) -> Array:
    """Return the photograph as a layer deep in a network meets it: (1, height, width, channels).

    Three channels are the photograph itself; any other number is its first layer's output.
    """
    if channels == 3:
        return image_tensor(height, width)
    maps: Array = first_layer(channels)(image_tensor(2 * height, 2 * width))
    maps.setflags(write=False)
    return maps
