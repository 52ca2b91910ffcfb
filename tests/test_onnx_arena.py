"""Memory between the steps of a network."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from steps import lines_run

from fastsep.onnx import _arena
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


@given(BLOCKS, st.integers(0, 6))
def test_what_lives_beside_many_others_overlaps_none(blocks, most):
    before = _arena._MOST_BESIDE
    _arena._MOST_BESIDE = most
    try:
        test_blocks_that_live_at_once_do_not_overlap.hypothesis.inner_test(blocks)
    finally:
        _arena._MOST_BESIDE = before


@pytest.mark.parametrize("lifetime", [1, 3, 100_000])
def test_twice_the_blocks_take_twice_the_steps(lifetime):
    # Values of all sizes, which live for a moment, or until the end.
    def steps(count):
        blocks = [Block(64 * (index * 7 % 50), index, min(index + lifetime, count)) for index in range(count)]
        return lines_run(place, blocks)

    steps(10)
    assert steps(4000) < 2.3 * steps(2000)
