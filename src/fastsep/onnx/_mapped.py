"""Pages: those of mapped files can be given back once they were read, those of freed memory taken again."""

from __future__ import annotations

import mmap
import os
import stat
from typing import Any

import numpy as np

from fastsep._arrays import address_of
from fastsep.onnx._graph import Array

# Less is not worth a call of the system.
_LEAST_BYTES = 4 * mmap.PAGESIZE


# A page below the limit of the C library, whose own record is part of it.
_LARGEST_MAPPING = (32 << 20) - (1 << 16)


class ModelMap(mmap.mmap):
    """A mapped model file: whoever has it may change it, or cut it short, which to read is then fatal."""


def mapped(path: str | os.PathLike[str]) -> ModelMap | bytes:
    """Map a model file into memory; what cannot be mapped is read."""
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
            return file.read()
        return ModelMap(file.fileno(), 0, access=mmap.ACCESS_READ)


def owner_of(value: Array) -> Any:
    """Return what holds the memory of an array: a mapped file, bytes, or None for an array of its own."""
    owner: Any = value
    while isinstance(owner, np.ndarray | memoryview):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    return owner


def lies_in_a_model(value: Array) -> bool:
    """Return whether an array lies in the file, or in the bytes, that a model was loaded from."""
    return isinstance(owner_of(value), ModelMap | bytes | bytearray)


def recycle(size: int) -> None:
    """Let what is allocated next, about so many bytes in many pieces, be pages that cost little.

    The C library of Linux maps what is larger than any mapping that it has freed so far, 32 MB at most, and
    gives it back when it is freed: each plan's memory would be pages never seen, 2.5 µs each on a virtual
    machine, and more than that where it is busy. To free one large mapping, never touched, tells it to keep
    memory: the second one is at the end of its heap, and NumPy asks for huge pages there, as it does for
    every array of 4 MB. To load MobileNetV2 takes 1600 page faults instead of 7500, and three quarters of the
    time on a busy machine.
    """
    size = min(_LARGEST_MAPPING, size)
    np.empty(size, np.uint8)
    np.empty(size, np.uint8)


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
