"""Numbers that an output's type cannot hold: what x86-64's conversions make of them, on every machine."""

from __future__ import annotations

import numpy as np
import pytest

from fastsep import ndimage

pytestmark = pytest.mark.usefixtures("isa")

OPEN_32, OPEN_64 = -(2**31), -(2**63)
VALUES = (300.7, -300.7, 3e9, -3e9, 1e19, -1e19, np.nan, np.inf)
# The conversion is to 32 bits, to 64 for those of 64 and unsigned ones of 32; then the low bits are kept.
EXPECTED = {
    "u1": (44, 212, 0, 0, 0, 0, 0, 0),
    "i1": (44, -44, 0, 0, 0, 0, 0, 0),
    "u2": (300, 65236, 0, 0, 0, 0, 0, 0),
    "i2": (300, -300, 0, 0, 0, 0, 0, 0),
    "i4": (300, -300, OPEN_32, OPEN_32, OPEN_32, OPEN_32, OPEN_32, OPEN_32),
    "u4": (300, 2**32 - 300, 3_000_000_000, 2**32 - 3_000_000_000 % 2**32, 0, 0, 0, 0),
    "i8": (300, -300, 3_000_000_000, -3_000_000_000, OPEN_64, OPEN_64, OPEN_64, OPEN_64),
}


@pytest.mark.parametrize("dtype", EXPECTED)
def test_one_by_one_and_by_vectors(dtype: str) -> None:
    for value, expected in zip(VALUES, EXPECTED[dtype], strict=True):
        line = np.full(37, value)
        whole, apart = np.empty(37, dtype), np.zeros((37, 3), dtype)[:, 1]
        ndimage.uniform_filter1d(line, 1, output=whole)
        ndimage.uniform_filter1d(line, 1, output=apart)
        assert set(whole.tolist()) == set(apart.tolist()) == {expected}, value
