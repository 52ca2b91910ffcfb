"""OpenCV: the same taps and border, its own function and sepFilter2D, into an array that is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

import fastsep
from bench.filter_rows import BOX, FilterRow, Image
from bench.peers.form import Form
from fastsep.ndimage._taps import gaussian

NAME = "OpenCV"

# d c b | a b c d | c b a: its default, and SciPy's "mirror".
BORDER = cv2.BORDER_REFLECT_101
DEPTHS = {
    "uint8": cv2.CV_8U,
    "int16": cv2.CV_16S,
    "uint16": cv2.CV_16U,
    "float32": cv2.CV_32F,
    "float64": cv2.CV_64F,
}


def forms(row: FilterRow, threads: int) -> Iterator[Form]:
    """Yield its own function for the filter, and sepFilter2D."""
    cv2.setNumThreads(threads)
    image = row.image()
    depth = DEPTHS[row.out_dtype]

    def into(words: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Form:
        out: Image = fastsep.empty(row.shape, row.out_dtype)
        return Form(
            words, lambda: function(image, *arguments, dst=out, borderType=BORDER, **named), lambda: out
        )

    match row.function:
        case "gaussian_filter":
            size = 2 * row.radius + 1
            yield into("GaussianBlur", cv2.GaussianBlur, (size, size), row.sigma)
            taps = gaussian(row.sigma, 0, row.radius)
            across = along = taps
        case "uniform_filter":
            yield into("boxFilter", cv2.boxFilter, depth, (BOX, BOX))
            return
        case "sobel":
            yield into("Sobel", cv2.Sobel, depth, 1, 0, ksize=3)
            along, across = np.array([-1.0, 0.0, 1.0]), np.array([1.0, 2.0, 1.0])
    # Taps in float32 are its fastest; a double image needs them in double.
    kind = np.float64 if row.dtype == "float64" else np.float32
    yield into("sepFilter2D", cv2.sepFilter2D, depth, along.astype(kind), across.astype(kind))
