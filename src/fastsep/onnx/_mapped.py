"""Arrays in mapped files: pages that were read once can be given back."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from fastsep._arrays import address_of
from fastsep.onnx._graph import Array

# Less is not worth a call of the system.
_LEAST_BYTES = 4 * mmap.PAGESIZE


def owner_of(value: Array) -> Any:
    """Return what holds the memory of an array: a mapped file, bytes, or None for an array of its own."""
    owner: Any = value
    while isinstance(owner, np.ndarray | memoryview):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    return owner


def is_mapped(value: Array) -> bool:
    """Return whether an array lies in a mapped file."""
    return isinstance(owner_of(value), mmap.mmap)


def give_back(value: Array) -> None:
    """Give back the pages of an array in a file mapped for reading; the next access reads them again.

    Weights are read to be packed, and then perhaps never: with the pages kept, a process would hold them
    twice. Where the system cannot do that, nothing happens.
    """
    if value.nbytes < _LEAST_BYTES or not hasattr(mmap, "MADV_DONTNEED"):
        return
    mapping = owner_of(value)
    if not isinstance(mapping, mmap.mmap):
        return
    start = address_of(value) - address_of(np.frombuffer(mapping, np.uint8))
    reach = [(size - 1) * stride for size, stride in zip(value.shape, value.strides, strict=True)]
    low = start + sum(step for step in reach if step < 0)
    high = start + sum(step for step in reach if step > 0) + value.itemsize
    first = -(-low // mmap.PAGESIZE) * mmap.PAGESIZE
    last = high // mmap.PAGESIZE * mmap.PAGESIZE
    if first < last:
        mapping.madvise(mmap.MADV_DONTNEED, first, last - first)
