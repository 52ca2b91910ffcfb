"""Arrays that begin at a cache line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LINE_BYTES = 64
# Below this the microsecond that alignment costs is more than it can win.
_LEAST_BYTES = 16384


def empty(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Uninitialised C-contiguous array whose data begin at a cache line.

    NumPy's own arrays begin anywhere at 16 bytes, so that every 64-byte vector of a feature map may lie
    across two cache lines: depthwise 3 × 3 at 14² × 512 takes 0.056 ms then instead of 0.033 (Zen 4,
    AVX-512). Calls without `out` return such arrays.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype
        float32 by default.

    Returns
    -------
    ndarray
        Below 16 KB an ordinary array.

    Raises
    ------
    MemoryError, ValueError
        As by `numpy.empty`.
    """
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    if size < _LEAST_BYTES:
        return np.empty(shape, kind)
    memory = np.empty(size + LINE_BYTES, np.uint8)
    start = -memory.__array_interface__["data"][0] % LINE_BYTES
    return memory[start : start + size].view(kind).reshape(shape)
