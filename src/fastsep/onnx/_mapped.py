"""Arrays in mapped files: pages that were read once can be given back."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from fastsep.onnx._graph import Array


def owner_of(value: Array) -> Any:
    """Return what holds the memory of an array: a mapped file, bytes, or None for an array of its own."""
    owner: Any = value
    while isinstance(owner, np.ndarray | memoryview):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    return owner


def give_back(value: Array) -> None:
    """Give back the pages of an array in a file mapped for reading; the next access reads them again.

    Weights are read to be packed, and then perhaps never: with the pages kept, a process would hold them
    twice. Where the system cannot do that, nothing happens.
    """
    mapping = owner_of(value)
    if (
        not isinstance(mapping, mmap.mmap)
        or not value.flags.c_contiguous
        or not hasattr(mmap, "MADV_DONTNEED")
    ):
        return
    whole = np.frombuffer(mapping, np.uint8).__array_interface__["data"][0]
    start = value.__array_interface__["data"][0] - whole
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    last = (start + value.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if first < last:
        mapping.madvise(mmap.MADV_DONTNEED, first, last - first)
