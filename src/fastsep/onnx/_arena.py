"""One piece of memory for all values between the steps of a run: where each lies, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fastsep._memory import LINE_BYTES, PAGE_BYTES

# As in `fastsep.empty`: large arrays begin at four places of a page by turns, so that what a step reads and
# what it writes meet less often in L1.
_LEAST_COLOURED_BYTES = 65536
_COLOURS = 4
_COLOUR_BYTES = 256


class Block(NamedTuple):
    """Memory of one value: needed from step `first` to step `last`, both included."""

    size: int
    first: int
    last: int


def place(blocks: Sequence[Block]) -> tuple[list[int], int]:
    """Return the offset of each block, and the bytes of the arena.

    Blocks whose steps overlap never overlap in memory. The largest are placed first, each as low as it fits:
    on the published networks this takes no more than the largest sum of blocks that live at once, which no
    placement can beat.
    """
    offsets = [0] * len(blocks)
    placed: list[int] = []
    total = 0
    slots = [_slot(block.size) for block in blocks]
    for index in sorted(range(len(blocks)), key=lambda i: (-blocks[i].size, i)):
        block = blocks[index]
        taken = sorted(
            (offsets[other], offsets[other] + slots[other])
            for other in placed
            if blocks[other].first <= block.last and block.first <= blocks[other].last
        )
        grid = PAGE_BYTES if block.size >= _LEAST_COLOURED_BYTES else LINE_BYTES
        offset = 0
        for low, high in taken:
            if offset + slots[index] <= low:
                break
            offset = max(offset, -(-high // grid) * grid)
        offsets[index] = offset
        placed.append(index)
        total = max(total, offset + slots[index])
    for turn, index in enumerate(placed):
        if blocks[index].size >= _LEAST_COLOURED_BYTES:
            offsets[index] += turn % _COLOURS * _COLOUR_BYTES
    return offsets, total


def _slot(size: int) -> int:
    """Return the bytes that are set aside: a large block may begin at any of its places of a page."""
    return size + (_COLOURS - 1) * _COLOUR_BYTES if size >= _LEAST_COLOURED_BYTES else size
