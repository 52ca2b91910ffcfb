"""The filters of bench-peers: beside OpenCV with its taps and border, beside SciPy with its bits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray
from skimage.transform import resize

from bench.photograph import MOTORCYCLE

Image = NDArray[Any]
Function = Literal["gaussian_filter", "uniform_filter", "sobel"]
Picture = Literal["photograph", "flat", "noise"]

# Heights and widths.
UHD, HD = (2160, 3840), (1080, 1920)
SMALL = ((64, 64), (301, 517))
VOLUME = (256, 256, 256)

SIGMAS = (1, 3, 10)
BOX = 9
DTYPES = ("uint8", "uint16", "float32", "float64")
SMALL_DTYPES = ("uint8", "float32")
FUNCTIONS_WITHOUT_SIGMA: tuple[Function, ...] = ("uniform_filter", "sobel")

# Floats: of the largest output. float32 sums of 81 taps that differ in their order stay far below the first;
# a double computed in float32 anywhere, or with float32 taps, lies far above the second.
FLOAT32_TOLERANCE, FLOAT64_TOLERANCE = 1e-4, 1e-10
# Rounded integers: off the correctly rounded real result.
COUNTS = 1


def lane_operations(function: Function, radius: int, shape: tuple[int, ...], dtype: str) -> int:
    """Return the operations, counted as FMAs of float32, that nobody gets around, one axis after the other.

    A symmetric kernel of 2·radius + 1 taps takes radius additions and radius + 1 multiply-adds; Sobel has
    3 + 2 taps that are not 0; a running sum adds, subtracts and scales, whatever its length. A double takes
    two lanes; of 8 and 16 bits, two products fit into one.
    """
    along = {"gaussian_filter": 2 * radius + 1, "uniform_filter": 3, "sobel": 0}[function]
    a_pixel = 5 if function == "sobel" else along * len(shape)
    return math.prod(shape) * a_pixel * {"float32": 2, "float64": 4}.get(dtype, 1) // 2


@dataclass(frozen=True)
class FilterRow:
    """One filter on one image, beside one library.

    Beside OpenCV the axes are mirrored (its default border) and integers are rounded to the nearest; beside
    SciPy they are reflected (its default) and integers have its bits.
    """

    function: Function
    dtype: str
    shape: tuple[int, ...]
    peer: Literal["OpenCV", "SciPy"] = "OpenCV"
    sigma: float = 0
    picture: Picture = "photograph"

    @property
    def family(self) -> str:
        """The key in FAMILIES."""
        if len(self.shape) > 2:
            return "volume beside SciPy"
        if self.peer == "SciPy":
            return "floats beside SciPy" if self.is_float else "integers with SciPy's bits"
        if self.shape in SMALL:
            return "small images"
        if self.function != "gaussian_filter":
            return {"uniform_filter": "box 9", "sobel": "Sobel"}[self.function]
        kind = {"float32": "f32", "uint8": "u8 exact"}.get(self.dtype, "u16, f64")
        return f"Gaussian {kind}, sigma {self.sigma:g}"

    @property
    def label(self) -> str:
        """What is computed; no two rows have the same."""
        name = {
            "gaussian_filter": f"Gaussian sigma {self.sigma:g}",
            "uniform_filter": f"box {BOX}",
            "sobel": "Sobel",
        }[self.function]
        dtype = self.dtype if self.out_dtype == self.dtype else f"{self.dtype} to {self.out_dtype}"
        size = "x".join(map(str, self.shape[::-1]))  # width x height
        flat = " flat" if self.picture == "flat" else ""
        beside = {"OpenCV": "", "SciPy": " as SciPy"}[self.peer]
        return f"{name} {dtype} {size}{flat}{beside}"

    @property
    def is_float(self) -> bool:
        """Whether the image is of floats."""
        return np.dtype(self.dtype).kind == "f"

    @property
    def rounds_to_nearest(self) -> bool:
        """Whether integers are rounded as OpenCV rounds them."""
        return self.peer == "OpenCV" and not self.is_float and self.out_dtype == self.dtype

    @property
    def out_dtype(self) -> str:
        """Of the result: derivatives of integers need a sign; OpenCV has no wider integers than int16."""
        if self.function != "sobel":
            return self.dtype
        return {"uint8": "int16", "uint16": "float32"}.get(self.dtype, self.dtype)

    @property
    def mode(self) -> str:
        """How the axes go on, in SciPy's words."""
        return {"OpenCV": "mirror", "SciPy": "reflect"}[self.peer]

    @property
    def radius(self) -> int:
        """Taps of a Gaussian on either side."""
        return int(4 * self.sigma + 0.5)

    @property
    def arguments(self) -> dict[str, Any]:
        """What SciPy's function takes beside the image."""
        own: dict[Function, dict[str, Any]] = {
            "gaussian_filter": {"sigma": self.sigma},
            "uniform_filter": {"size": BOX},
            "sobel": {"axis": -1},
        }
        return {**own[self.function], "mode": self.mode}

    @property
    def pixels(self) -> int:
        """Of the image."""
        return int(np.prod(self.shape))

    @property
    def multiply_adds(self) -> int:
        """Operations in lanes of float32."""
        return lane_operations(self.function, self.radius, self.shape, self.dtype)

    @property
    def compulsory_bytes(self) -> int:
        """Input once in, output once out."""
        return self.pixels * (np.dtype(self.dtype).itemsize + np.dtype(self.out_dtype).itemsize)

    def image(self) -> Image:
        """Return the input."""
        return image_of(self.dtype, self.shape, self.picture)

    def difference(self, output: Image, expected: Image) -> float:
        """Return the largest difference: of the largest output for floats, in counts for integers."""
        apart = float(np.abs(output - expected).max())
        return apart if output.dtype.kind in "iu" else apart / float(np.abs(expected).max())

    @staticmethod
    def share_off(output: Image, expected: Image) -> float | None:
        """Return the share of pixels that are not what was expected; None for floats."""
        return float(np.mean(output != expected)) if output.dtype.kind in "iu" else None

    @property
    def tolerance(self) -> float:
        """What `difference` may be."""
        if np.dtype(self.out_dtype).kind in "iu":
            return COUNTS if self.rounds_to_nearest else 0
        # Of integers the sums are in float32.
        return FLOAT64_TOLERANCE if self.dtype == "float64" else FLOAT32_TOLERANCE


@lru_cache(maxsize=1)
def expected_of(row: FilterRow) -> Image:
    """Return SciPy's result: in double, rounded where we round; with its bits where we promise those."""
    function = getattr(scipy.ndimage, row.function)
    if np.dtype(row.out_dtype).kind in "iu" and not row.rounds_to_nearest:
        bits: Image = function(row.image(), output=row.out_dtype, **row.arguments)
        return bits.astype(np.float64)
    real: Image = function(row.image().astype(np.float64), **row.arguments)
    return np.rint(real) if row.rounds_to_nearest else real


@cache
def grey() -> Image:
    """Return the photograph in grey: (500, 741), from 0 to 255."""
    from skimage.io import imread

    pixels: Image = imread(MOTORCYCLE) @ np.array([0.299, 0.587, 0.114])
    return pixels


@lru_cache(maxsize=2)
def pixels_of(shape: tuple[int, ...]) -> Image:
    """Return the photograph's lower left part in this shape."""
    whole = grey()
    scale = min(whole.shape[0] / shape[0], whole.shape[1] / shape[1])
    rows, columns = (round(scale * length) for length in shape)
    pixels: Image = resize(whole[-rows:, :columns], shape)
    return pixels


@lru_cache(maxsize=2)
def image_of(dtype: str, shape: tuple[int, ...], picture: Picture) -> Image:
    """Return the image; integers use their whole range."""
    if picture == "noise":
        return np.random.default_rng(0).uniform(0, 255, shape).astype(dtype)
    pixels = np.full(shape, 200.0) if picture == "flat" else pixels_of(shape)
    if np.dtype(dtype).kind == "u":
        pixels = np.rint(pixels * (np.iinfo(dtype).max / 255))
    return np.ascontiguousarray(pixels, dtype)


def rows_beside_opencv() -> list[FilterRow]:
    """Return every function, dtype and size that OpenCV has."""
    rows = []
    for shape in (UHD, HD):
        rows += [
            FilterRow("gaussian_filter", dtype, shape, sigma=sigma) for dtype in DTYPES for sigma in SIGMAS
        ]
        rows += [FilterRow(name, dtype, shape) for name in FUNCTIONS_WITHOUT_SIGMA for dtype in DTYPES]
    for shape in SMALL:
        rows += [FilterRow("gaussian_filter", dtype, shape, sigma=3) for dtype in DTYPES]
        for sigma in (1, 10):
            rows += [FilterRow("gaussian_filter", dtype, shape, sigma=sigma) for dtype in SMALL_DTYPES]
        rows += [FilterRow(name, dtype, shape) for name in FUNCTIONS_WITHOUT_SIGMA for dtype in SMALL_DTYPES]
    return rows


def rows_beside_scipy() -> list[FilterRow]:
    """Return floats, integers with SciPy's bits, and a volume.

    A flat image is the hardest for integers: every sum lies at an integer, where truncation needs all bits.
    """
    rows = []
    for dtype in ("float32", "uint8", "uint16"):
        rows += [FilterRow("gaussian_filter", dtype, HD, "SciPy", sigma) for sigma in SIGMAS]
        rows.append(FilterRow("uniform_filter", dtype, HD, "SciPy"))
        rows.append(FilterRow("gaussian_filter", dtype, UHD, "SciPy", 3))
    rows += [FilterRow("sobel", dtype, HD, "SciPy") for dtype in ("float32", "uint8")]
    for dtype in ("uint8", "uint16"):
        rows += [FilterRow("gaussian_filter", dtype, HD, "SciPy", sigma, "flat") for sigma in SIGMAS]
        rows.append(FilterRow("uniform_filter", dtype, HD, "SciPy", picture="flat"))
    rows.append(FilterRow("gaussian_filter", "uint8", UHD, "SciPy", 3, "flat"))
    rows.append(FilterRow("gaussian_filter", "float32", VOLUME, "SciPy", 2, "noise"))
    return rows


def all_filter_rows() -> list[FilterRow]:
    """Return every row."""
    return rows_beside_opencv() + rows_beside_scipy()
