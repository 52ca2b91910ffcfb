"""What every library offers to the measurement: a call that is ready to run, and its output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import fastsep
from bench.blocks import Array, Block, Stage


@dataclass(frozen=True)
class Form:
    """One way to run a block in one library."""

    description: str
    call: Callable[[], object]
    # What the last call computed, as (batch, height, width, channels).
    output: Callable[[], Array]
    # What the library looks into without owning it.
    kept: tuple[object, ...] = ()


def aligned(values: Array) -> Array:
    """Return a contiguous copy that begins at a cache line, as our own arrays do."""
    copy = fastsep.empty(values.shape, values.dtype)
    copy[...] = values
    return copy


class Peer(Protocol):
    """A module of this package."""

    NAME: str

    def forms(self, block: Block, threads: int) -> Iterator[Form]:
        """Yield the candidates for the library's best form."""


def pads_of(stage: Stage, in_shape: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the padding (before, after) of height and width; the surplus of "same" goes after."""
    if stage.padding == "valid" or stage.family == "pointwise":
        return (0, 0), (0, 0)
    out_shape = stage.out_shape(in_shape)
    pads = []
    for axis in range(2):
        reach = (stage.kernel.shape[axis] - 1) * stage.dilation + 1
        surplus = max((out_shape[1 + axis] - 1) * stage.stride + reach - in_shape[1 + axis], 0)
        pads.append((surplus // 2, surplus - surplus // 2))
    return pads[0], pads[1]


def kernel_oihw(stage: Stage) -> Array:
    """Return the kernel as (outputs, inputs / groups, height, width)."""
    kernel = stage.kernel
    if stage.family == "pointwise":
        return kernel.T[:, :, None, None]
    if stage.family == "depthwise":
        high, wide, channels, multiplier = kernel.shape
        return kernel.reshape(high, wide, 1, channels * multiplier).transpose(3, 2, 0, 1)
    return kernel.transpose(3, 2, 0, 1)


def groups_of(stage: Stage) -> int:
    """Return the groups of a grouped convolution that computes the stage."""
    return int(stage.kernel.shape[2]) if stage.family == "depthwise" else 1
