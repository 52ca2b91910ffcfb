"""One piece of memory for all values between the steps of a run: where each lies, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastsep._memory import LINE_BYTES, PAGE_BYTES

# As in `fastsep.empty`: large arrays begin at four places of a page by turns, so that what a step reads and
# what it writes meet less often in L1.
_LEAST_COLOURED_BYTES = 65536
_COLOUR_BYTES = 256


@dataclass(frozen=True)
class Block:
    """Memory of one value: needed from step `first` to step `last`, both included."""

    size: int
    first: int
    last: int


def place(blocks: Sequence[Block]) -> tuple[list[int], int]:
    """Return the offset of each block, and the bytes of the arena.

    Blocks whose steps overlap never overlap in memory. The largest are placed first, each as low as it fits: on
    the published networks this takes no more than the largest sum of blocks that live at once, which no
    placement can beat.
    """
    offsets = [0] * len(blocks)
    placed: list[int] = []
    total = 0
    for turn, index in enumerate(sorted(range(len(blocks)), key=lambda i: (-blocks[i].size, i))):
        block = blocks[index]
        taken = sorted(
            (offsets[other], offsets[other] + blocks[other].size)
            for other in placed
            if blocks[other].first <= block.last and block.first <= blocks[other].last
        )
        offset = _begin(0, block.size, turn)
        for low, high in taken:
            if offset + block.size <= low:
                break
            if high > offset:
                offset = _begin(high, block.size, turn)
        offsets[index] = offset
        placed.append(index)
        total = max(total, offset + block.size)
    return offsets, total


def _begin(lowest: int, size: int, turn: int) -> int:
    """Return the first good address from `lowest` on."""
    if size < _LEAST_COLOURED_BYTES:
        return -(-lowest // LINE_BYTES) * LINE_BYTES
    colour = turn % 4 * _COLOUR_BYTES
    return -(-(lowest - colour) // PAGE_BYTES) * PAGE_BYTES + colour
