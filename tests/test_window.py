"""What windows see of an image, beside the sets of positions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastsep
from fastsep._window import positions_read


@given(
    size=st.integers(0, 25),
    outputs=st.integers(0, 12),
    taps=st.integers(1, 6),
    stride=st.integers(1, 7),
    dilation=st.integers(1, 5),
    before=st.integers(0, 9),
)
def test_positions_read(size: int, outputs: int, taps: int, stride: int, dilation: int, before: int) -> None:
    seen = {y * stride + tap * dilation - before for y in range(outputs) for tap in range(taps)}
    read = positions_read(size, outputs, taps, stride, dilation, before)
    assert read == len(seen & set(range(size)))


@pytest.mark.parametrize(("strides", "rows"), [(1, 20), (2, 19), (3, 18), (4, 15), (10, 6), (100, 3)])
def test_bytes_of_a_plan_are_what_its_windows_see(strides: int, rows: int) -> None:
    plan = fastsep.DepthwiseConv(np.ones((3, 3, 8, 1), np.float32), strides=strides, padding="valid")
    description = plan.describe((2, 20, 20, 8))
    outputs = int(np.prod(description.output_shape))
    assert description.bytes == 4 * (2 * rows * rows * 8 + outputs + 9 * 8)


def test_a_strided_layer_of_one_tap_reads_every_other_pixel() -> None:
    plan = fastsep.Conv(np.ones((1, 1, 16, 4), np.float32), strides=2)
    assert plan.describe((1, 28, 28, 16)).bytes == 4 * (14 * 14 * 16 + 14 * 14 * 4 + 64)
