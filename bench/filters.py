"""The filters of the story: Gaussian, Sobel and box on the photograph, by SciPy and by us."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray
from skimage.transform import resize

import fastsep.ndimage
from bench.filter_rows import Function, lane_operations
from bench.photograph import MOTORCYCLE

HEIGHT, WIDTH = 1080, 1920

Image = NDArray[Any]
Filter = Callable[..., Image]


@cache
def grey_photograph(dtype: str) -> Image:
    """Return the photograph in grey, 1920 × 1080, from 0 to 255."""
    from skimage.io import imread

    grey = imread(MOTORCYCLE) @ np.array([0.299, 0.587, 0.114])
    rows = round(grey.shape[1] * HEIGHT / WIDTH)
    pixels = resize(grey[-rows:], (HEIGHT, WIDTH))
    return np.ascontiguousarray(np.rint(pixels) if dtype == "uint8" else pixels, dtype)


@dataclass(frozen=True)
class StoryFilter:
    """One line of the table: a function of both libraries with its arguments, an input dtype, a library."""

    function: Function
    arguments: dict[str, Any]
    title: str
    taps: int
    dtype: str
    library: str

    @property
    def name(self) -> str:
        """Name of the benchmark."""
        return f"{self.function}-{self.dtype}-{self.library}"

    @property
    def step(self) -> str:
        """Title of the table."""
        same = " (the same bits)" if self.dtype == "uint8" else ""
        return f"{self.title}, the photograph at {WIDTH}×{HEIGHT}, {self.dtype}{same}"

    @property
    def label(self) -> str:
        """Name of the library."""
        return {"scipy": "SciPy", "fastsep": "fastsep.ndimage"}[self.library]

    @property
    def work(self) -> dict[str, int]:
        """What the report needs: taps, one multiply-add each and pixel, input once in, output once out.

        The roofline is of the operations that nobody gets around, as beside other libraries.
        """
        pixels = HEIGHT * WIDTH
        radius = self.taps // 4  # of either axis
        stored = np.dtype(self.arguments.get("output", self.dtype)).itemsize
        return {
            "parameters": self.taps,
            "multiply_adds": self.taps * pixels,
            "roofline_multiply_adds": lane_operations(self.function, radius, (HEIGHT, WIDTH), self.dtype),
            "compulsory_bytes": pixels * (np.dtype(self.dtype).itemsize + stored),
        }

    def call(self, threads: int) -> Callable[[], Image]:
        """Return the call to be timed, into an output that is there."""
        image = grey_photograph(self.dtype)
        arguments = dict(self.arguments)
        arguments["output"] = np.empty(image.shape, arguments.get("output", self.dtype))
        if self.library == "scipy":
            function: Filter = getattr(scipy.ndimage, self.function)
            return lambda: function(image, **arguments)
        ours: Filter = getattr(fastsep.ndimage, self.function)
        return lambda: ours(image, threads=threads, **arguments)

    def check(self, call: Callable[[], Image]) -> None:
        """Raise AssertionError unless the result is SciPy's: integers to the bit, floats to rounding."""
        expected = getattr(scipy.ndimage, self.function)(grey_photograph(self.dtype), **self.arguments)
        tolerance = 0 if expected.dtype.kind in "iu" else 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(call(), expected, rtol=0, atol=tolerance)


def both(
    function: Function, title: str, taps: int, dtype: str, arguments: dict[str, Any]
) -> tuple[StoryFilter, StoryFilter]:
    """Return the row of each library."""
    scipys, ours = (
        StoryFilter(function, arguments, title, taps, dtype, name) for name in ("scipy", "fastsep")
    )
    return scipys, ours


FILTER_ROWS: tuple[StoryFilter, ...] = (
    *both("gaussian_filter", "Gaussian σ = 3", 2 * 25, "float32", {"sigma": 3}),
    *both("gaussian_filter", "Gaussian σ = 3", 2 * 25, "uint8", {"sigma": 3}),
    *both("sobel", "Sobel", 2 * 3, "float32", {}),
    *both("sobel", "Sobel to int16", 2 * 3, "uint8", {"output": "int16"}),
    *both("uniform_filter", "box 9 × 9", 2 * 9, "float32", {"size": 9}),
    *both("uniform_filter", "box 9 × 9", 2 * 9, "uint8", {"size": 9}),
)
