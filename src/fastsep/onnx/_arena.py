"""One piece of memory for all values between the steps of a run: where each lies, and for how long."""

from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from fastsep._memory import LINE_BYTES, PAGE_BYTES

# As in `fastsep.empty`: large arrays begin at four places of a page by turns, so that what a step reads and
# what it writes meet less often in L1.
_LEAST_COLOURED_BYTES = 65536
_COLOURS = 4
_COLOUR_BYTES = 256
# Of the published networks no value lives beside more than four others.
_MOST_BESIDE = 256


class Block(NamedTuple):
    """Memory of one value: needed from step `first` to step `last`, both included."""

    size: int
    first: int
    last: int


def place(blocks: Sequence[Block]) -> tuple[list[int], int]:
    """Return the offset of each block, and the bytes of the arena.

    Blocks whose steps overlap never overlap in memory. The largest are placed first, each as low as it fits:
    on the published networks this takes no more than the largest sum of blocks that live at once, which no
    placement can beat. A block that lives beside very many others goes on top of them, whatever gaps there
    are, so that n blocks take n·log(n) steps.
    """
    offsets = [0] * len(blocks)
    total = 0
    slots = [_slot(block.size) for block in blocks]
    order = sorted(range(len(blocks)), key=lambda i: (-blocks[i].size, i))
    beside = _Beside(blocks)
    for index in order:
        block = blocks[index]
        grid = PAGE_BYTES if block.size >= _LEAST_COLOURED_BYTES else LINE_BYTES
        others = beside.some(block)
        if len(others) > _MOST_BESIDE:
            offset = -(-beside.top(block) // grid) * grid
        else:
            offset = 0
            for low, high in sorted((offsets[other], offsets[other] + slots[other]) for other in others):
                if offset + slots[index] <= low:
                    break
                offset = max(offset, -(-high // grid) * grid)
        offsets[index] = offset
        beside.add(index, offset + slots[index])
        total = max(total, offset + slots[index])
    for turn, index in enumerate(order):
        if blocks[index].size >= _LEAST_COLOURED_BYTES:
            offsets[index] += turn % _COLOURS * _COLOUR_BYTES
    return offsets, total


class _Beside:
    """Which placed blocks live at the same time as another: a tree over the steps.

    A node stands for a range of steps, its children for the halves of it. A block is noted at the few nodes
    whose ranges together are its own: those that live at some step are noted between its leaf and the root.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = blocks
        self._leaves = 1 << max((block.last for block in blocks), default=0).bit_length()
        self._noted: dict[int, list[int]] = {}
        # Of all placed blocks, in order: the first step of each, and its index.
        self._begins: list[tuple[int, int]] = []
        # The highest end of blocks noted at a node; of those at it and below.
        self._whole = [0] * (2 * self._leaves)
        self._below = [0] * (2 * self._leaves)

    def some(self, block: Block) -> list[int]:
        """Return the placed blocks that live beside one: all of them, or more than `_MOST_BESIDE`."""
        found: list[int] = []
        node = self._leaves + block.first
        while node:
            found += self._noted.get(node, ())
            node >>= 1
        # They all are there at its first step; others begin later.
        start = bisect_left(self._begins, (block.first + 1,))
        for first, index in islice(self._begins, start, None):
            if first > block.last or len(found) > _MOST_BESIDE:
                break
            found.append(index)
        return found

    def top(self, block: Block) -> int:
        """Return where the memory ends of all that live beside a block."""
        high = 0
        for node in self._nodes(block):
            high = max(high, self._below[node])
            while node > 1:
                node >>= 1
                high = max(high, self._whole[node])
        return high

    def add(self, index: int, end: int) -> None:
        """Note a block, and where its memory ends."""
        block = self._blocks[index]
        insort(self._begins, (block.first, index))
        for node in self._nodes(block):
            self._noted.setdefault(node, []).append(index)
            self._whole[node] = max(self._whole[node], end)
            while node and self._below[node] < end:
                self._below[node] = end
                node >>= 1

    def _nodes(self, block: Block) -> list[int]:
        """Return the nodes whose ranges together are the steps of a block."""
        low, high = self._leaves + block.first, self._leaves + block.last + 1
        found = []
        while low < high:
            if low & 1:
                found.append(low)
                low += 1
            if high & 1:
                high -= 1
                found.append(high)
            low >>= 1
            high >>= 1
        return found


def _slot(size: int) -> int:
    """Return the bytes that are set aside: a large block may begin at any of its places of a page."""
    return size + (_COLOURS - 1) * _COLOUR_BYTES if size >= _LEAST_COLOURED_BYTES else size
