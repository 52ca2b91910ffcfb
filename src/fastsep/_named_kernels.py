"""Kernels that have names, for the command line."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Smoothing across the derivative: Sobel and Feldman (1968), Prewitt (1970), Scharr (2000).
_ACROSS = {"sobel": (1, 2, 1), "prewitt": (1, 1, 1), "scharr": (3, 10, 3)}
NAMES = (*_ACROSS, "laplace", "binomial", "box", "gaussian")
# A kernel of a million elements takes some seconds to write as factors: 1000×1000 takes 14.
_MOST_ELEMENTS = 2**20
# Of an array of NumPy 1.
_MOST_AXES = 32


def named_kernel(name: str, dimensions: int, axis: int, size: int, sigma: float) -> Array:
    """A kernel by its name.

    Parameters
    ----------
    name : str
        "sobel", "prewitt" or "scharr", 3 long, with the difference along `axis`; "laplace", 3 long, the sum
        of second differences; "binomial", of `size`, integers; "box", of `size`, the mean; "gaussian" of
        `sigma`, up to 4 sigma as in ``scipy.ndimage``.
    dimensions : int
    axis : int
    size : int
    sigma : float

    Returns
    -------
    ndarray
        int64, or float64 for "box" and "gaussian".
    """
    if name not in NAMES:
        raise ValueError(f"kernel must be a file or one of {', '.join(NAMES)}; got {name!r}")
    for what, value in (("dimensions", dimensions), ("size", size)):
        if value < 1:
            raise ValueError(f"--{what} must be at least 1; got {value}")
    if not -dimensions <= axis < dimensions:
        raise ValueError(f"--axis must be from {-dimensions} to {dimensions - 1}; got {axis}")
    if not (sigma > 0 and math.isfinite(sigma)):
        raise ValueError(f"--sigma must be greater than 0; got {sigma}")
    _refuse_large(name, dimensions, size, sigma)
    if name in _ACROSS:
        vectors = [np.array(_ACROSS[name])] * dimensions
        vectors[axis] = np.array((-1, 0, 1))
        return _product(vectors)
    if name == "laplace":
        total: Array = np.zeros((3,) * dimensions, np.int64)
        for along in range(dimensions):
            vectors = [np.array((0, 1, 0))] * dimensions
            vectors[along] = np.array((1, -2, 1))
            total += _product(vectors)
        return total
    profiles: dict[str, Callable[[], Array]] = {
        "binomial": lambda: np.array([math.comb(size - 1, k) for k in range(size)]),
        "box": lambda: np.full(size, 1.0),
        "gaussian": lambda: _gaussian(sigma),
    }
    profile = profiles[name]()
    product = _product([profile] * dimensions)
    return product / product.size if name == "box" else product


def _refuse_large(name: str, dimensions: int, size: int, sigma: float) -> None:
    """Before anything of such a kernel is made."""
    given, length = "", 3.0
    if name in ("binomial", "box"):
        given, length = f"--size {size} and ", size
    elif name == "gaussian":
        given, length = f"--sigma {sigma:g} and ", 2 * int(min(4 * sigma + 0.5, _MOST_ELEMENTS)) + 1
    # Not the power, which may have billions of digits.
    if length > 1 and min(dimensions, _MOST_ELEMENTS) * math.log2(length) > math.log2(_MOST_ELEMENTS):
        raise ValueError(
            f"a named kernel may have {_MOST_ELEMENTS} elements; "
            f"{given}--dimensions {dimensions} make{'' if given else 's'} more"
        )
    if dimensions > _MOST_AXES:
        raise ValueError(f"--dimensions must be at most {_MOST_AXES}; got {dimensions}")
    if name == "binomial" and math.comb(size - 1, (size - 1) // 2) ** dimensions >= 2**63:
        raise ValueError(
            f"int64 does not hold the largest element of a binomial kernel of --size {size} and "
            f"--dimensions {dimensions}; make them smaller"
        )


def _gaussian(sigma: float) -> Array:
    radius = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) / sigma))
    normalised: Array = weights / weights.sum()
    return normalised


def _product(vectors: list[Array]) -> Array:
    product: Array = reduce(np.multiply.outer, vectors)
    return product
