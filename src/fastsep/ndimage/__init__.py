"""The separable filters of scipy.ndimage, with its signatures: ``import fastsep.ndimage as ndi``."""

from __future__ import annotations

from typing import NoReturn

from fastsep.ndimage._accelerate import accelerate_scipy
from fastsep.ndimage._correlate import choose_method, convolve, correlate
from fastsep.ndimage._derivatives import (
    gaussian_gradient_magnitude,
    gaussian_laplace,
    generic_gradient_magnitude,
    generic_laplace,
    laplace,
    prewitt,
    scharr,
    sobel,
)
from fastsep.ndimage._smoothing import (
    convolve1d,
    correlate1d,
    gaussian_filter,
    gaussian_filter1d,
    separable_filter,
    uniform_filter,
    uniform_filter1d,
)

__all__ = [
    "accelerate_scipy",
    "choose_method",
    "convolve",
    "convolve1d",
    "correlate",
    "correlate1d",
    "gaussian_filter",
    "gaussian_filter1d",
    "gaussian_gradient_magnitude",
    "gaussian_laplace",
    "generic_gradient_magnitude",
    "generic_laplace",
    "laplace",
    "prewitt",
    "scharr",
    "separable_filter",
    "sobel",
    "uniform_filter",
    "uniform_filter1d",
]


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"module 'fastsep.ndimage' has no attribute {name!r}: it holds scipy.ndimage's separable filters; "
        f"for any other function use SciPy's, scipy.ndimage.{name}"
    )
