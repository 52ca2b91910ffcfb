"""Correlating an image with a sum of separable kernels: one pass along every axis for each term."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsep import _validate
from fastsep.ops import depthwise_conv

Array = NDArray[Any]

# scipy.ndimage's names of borders, and NumPy's.
_BORDERS = {
    "reflect": "symmetric",
    "constant": "constant",
    "nearest": "edge",
    "mirror": "reflect",
    "wrap": "wrap",
}
MODES = (*_BORDERS, "valid")


def correlate_terms(
    image: Array, terms: Sequence[Sequence[Array]], mode: str, cval: float, threads: int | None
) -> Array:
    """The sum over `terms` of the image correlated with the term's vectors, one per axis."""
    total: Array | None = None
    for vectors in terms:
        filtered, outside = image, float(cval)
        for axis, vector in enumerate(vectors):
            filtered = _correlate_axis(filtered, vector.astype(image.dtype), axis, mode, outside, threads)
            # What is constant outside the image stays constant, but the taps weigh it.
            outside *= float(vector.sum())
        total = filtered if total is None else np.add(total, filtered, out=total)
    assert total is not None, "there is at least one term"
    return total


def check_image(image: object, kernel_shape: tuple[int, ...], mode: object) -> Array:
    """The image of native byte order, checked against the kernel."""
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}; got {mode!r}")
    result = _validate.array(image, "image")
    if result.ndim != len(kernel_shape):
        raise ValueError(
            f"image must have as many axes as the kernel, {len(kernel_shape)}; got shape {result.shape}"
        )
    if mode != "valid" and 0 in result.shape:
        raise ValueError(f"image must not be empty; got shape {result.shape}")
    return result


def _correlate_axis(
    image: Array, vector: Array, axis: int, mode: str, outside: float, threads: int | None
) -> Array:
    """Correlate along one axis, the output at SciPy's place: as many taps before it as after, or one more."""
    if mode != "valid":
        before = len(vector) // 2
        widths = [(0, 0)] * image.ndim
        widths[axis] = (before, len(vector) - 1 - before)
        options: dict[str, Any] = {"constant_values": outside} if mode == "constant" else {}
        image = np.pad(image, widths, mode=_BORDERS[mode], **options)  # type: ignore[call-overload]
    # The axes before are a batch, those after are channels that share the vector.
    batch, channels = math.prod(image.shape[:axis]), math.prod(image.shape[axis + 1 :])
    weights = np.repeat(vector[:, np.newaxis, np.newaxis], channels, axis=1)
    filtered = depthwise_conv(image.reshape(batch, image.shape[axis], channels), weights, threads=threads)
    return filtered.reshape(*image.shape[:axis], filtered.shape[1], *image.shape[axis + 1 :])
