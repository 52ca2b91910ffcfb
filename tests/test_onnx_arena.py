"""Memory between the steps of a network."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsep.onnx._arena import Block, place

BLOCKS = st.lists(
    st.builds(
        lambda size, first, length: Block(size, first, first + length),
        st.integers(0, 300_000),
        st.integers(0, 20),
        st.integers(0, 6),
    ),
    max_size=30,
)


@given(BLOCKS)
def test_blocks_that_live_at_once_do_not_overlap(blocks):
    offsets, size = place(blocks)
    for index, (block, offset) in enumerate(zip(blocks, offsets, strict=True)):
        assert offset >= 0 and offset % 64 == 0 and offset + block.size <= size
        for other, its_offset in list(zip(blocks, offsets, strict=True))[:index]:
            apart = offset + block.size <= its_offset or its_offset + other.size <= offset
            never_together = other.last < block.first or block.last < other.first
            assert apart or never_together or not block.size or not other.size


@pytest.mark.parametrize("size", [100, 1 << 20])
def test_a_chain_needs_two_blocks(size):
    blocks = [Block(size, index, index + 1) for index in range(50)]
    _, total = place(blocks)
    # Two at a time, and what places in a page cost.
    assert total <= 2 * size + 2 * 4096 + 1024


def test_nothing_needs_nothing():
    assert place([]) == ([], 0)
