"""Correlating an image with a sum of separable kernels: one pass along every axis for each term."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsep._lines import filter_passes
from fastsep._passes import MODES, PLAIN_MODES, Pass

Array = NDArray[Any]


def correlate_terms(
    image: Array, terms: Sequence[Sequence[NDArray[np.float64]]], mode: str, cval: float, threads: int | None
) -> Array:
    """The sum over `terms` of the image correlated with the term's vectors, one per axis.

    The output lies where SciPy's does: as many taps before it as after, or one more.
    """
    mode = MODES[mode]
    valid = mode == "valid"
    dtype = np.dtype(np.float32 if image.dtype.newbyteorder("=") == np.float32 else np.float64)
    shape = image.shape
    if valid:
        shape = tuple(max(0, n - len(taps) + 1) for n, taps in zip(shape, terms[0], strict=True))
    total: Array = np.zeros(shape, dtype)
    if total.size == 0:
        return total
    for number, vectors in enumerate(terms):
        passes, outside = [], float(cval)
        for axis, vector in enumerate(vectors):
            size = len(vector)
            passes.append(Pass(axis, "correlate", vector, size, 0 if valid else size // 2, mode, outside))
            # What is constant outside the image stays constant, but the taps weigh it.
            outside *= float(vector.sum())
        filtered = total if number == 0 else np.empty(shape, dtype)
        filter_passes(image, filtered, passes, arithmetic=dtype.name, threads=threads)
        if number:
            np.add(total, filtered, out=total)
    return total


def check_image(image: object, kernel_shape: tuple[int, ...], mode: object) -> Array:
    """The image, checked against the kernel."""
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(PLAIN_MODES)}; got {mode!r}")
    if not isinstance(image, np.ndarray):
        raise TypeError(f"image must be a np.ndarray; got {type(image).__name__}")
    if isinstance(image, np.ma.MaskedArray):
        raise TypeError("image must be a plain np.ndarray; got a MaskedArray, whose mask would be ignored")
    kind = image.dtype.kind
    if kind not in "biu" and image.dtype.newbyteorder("=") not in (np.float32, np.float64):
        raise TypeError(f"image must have dtype float32, float64, bool or an integer; got {image.dtype}")
    if image.ndim != len(kernel_shape):
        raise ValueError(
            f"image must have as many axes as the kernel, {len(kernel_shape)}; got shape {image.shape}"
        )
    if mode != "valid" and image.size == 0:
        raise ValueError(f"image must not be empty; got shape {image.shape}")
    return image
