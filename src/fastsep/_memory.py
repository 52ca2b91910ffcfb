"""Arrays that begin at a cache line."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from fastsep._arrays import address_of

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray
else:
    # For who asks a function for its types while it runs: numpy.typing takes 0.7 ms.
    DTypeLike, NDArray = Any, np.ndarray

LINE_BYTES = 64
# Below this the microsecond that alignment costs is more than it can win.
_LEAST_BYTES = 16384
# Large arrays begin at different places of a page by turns. At the same place, or a line on, the pixels that
# a layer reads and those it writes meet in the same sets of L1, and loads wait for stores whose address is
# equal in its lower 12 bits: depthwise 3 × 3 at 28² × 256 takes 46 µs with the output at the same place, 52 a
# line on, 43 four lines on; 14² × 512 with pixels read in place 33, 46 and 27 (Zen 4, AVX-512).
PAGE_BYTES = 4096
_LEAST_COLOURED_BYTES = 65536
_colours = itertools.cycle((0, 256, 512, 768))


def allocator(size: int) -> Callable[..., NDArray[Any]]:
    """What `empty` comes to for so many bytes: for a caller that knows them, and calls often."""
    return np.empty if size < _LEAST_BYTES else empty


def empty(shape: SupportsIndex | tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Uninitialised C-contiguous array whose data, from 16 KB on, begin at a cache line.

    NumPy's own arrays begin anywhere at 16 bytes, so that every 64-byte vector of a feature map may lie
    across two cache lines: depthwise 3 × 3 at 14² × 512 takes 0.056 ms then instead of 0.033 (Zen 4,
    AVX-512). Arrays of 64 KB and more begin at four places of a page by turns, so that inputs and outputs
    meet less often in L1. Calls without `out` return such arrays.

    Parameters
    ----------
    shape : int or tuple of int
    dtype : dtype
        float32 by default.

    Returns
    -------
    ndarray
        Below 16 KB, and of a dtype that holds Python objects, an ordinary array.

    Raises
    ------
    MemoryError, TypeError, ValueError
        As by `numpy.empty`.
    """
    kind = np.dtype(dtype)
    # Asking a tuple whether it has a protocol takes Python 3.11 ten microseconds.
    if not isinstance(shape, tuple) and isinstance(shape, SupportsIndex):
        shape = (shape.__index__(),)
    size = math.prod(shape) * kind.itemsize
    # Objects must begin as None, not as whatever memory holds; of negative sizes NumPy says what is wrong.
    if size < _LEAST_BYTES or kind.hasobject or min(shape, default=0) < 0:
        return np.empty(shape, kind)
    if size < _LEAST_COLOURED_BYTES:
        grid, colour = LINE_BYTES, 0
    else:
        grid, colour = PAGE_BYTES, next(_colours)
    memory = np.empty(size + grid, np.uint8)
    return np.ndarray(shape, kind, memory, (colour - address_of(memory)) % grid)
