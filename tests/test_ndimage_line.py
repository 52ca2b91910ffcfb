"""Long signals, one or few: cut into pieces, with SciPy's bits, the bits of a row, and at both ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage
from bounds import assert_same_bits
from hypothesis import given
from hypothesis import strategies as st

import fastsep.ndimage as ndi

pytestmark = pytest.mark.usefixtures("isa")

MODES = ["reflect", "constant", "nearest", "mirror", "wrap"]
lengths = st.sampled_from([32_767, 32_768, 32_769, 40_000, 70_001])


@given(
    length=lengths,
    kind=st.sampled_from(["?", "u1", "i2", "u2", "i4", "f4", "f8"]),
    size=st.sampled_from([1, 2, 3, 8, 9, 40, 81, 255]),
    place=st.floats(0, 1),
    mode=st.sampled_from(MODES),
    box=st.booleans(),
    layout=st.sampled_from(["plain", "reversed", "sliced", "column", "in place", "rows", "channels"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_line_has_the_bits_of_a_row(
    length: int, kind: str, size: int, place: float, mode: str, box: bool, layout: str, seed: int
) -> None:
    """Integers and floats in double have SciPy's; floats those of seven equal rows, which are not cut."""
    rng = np.random.default_rng(seed)
    x: Any = rng.integers(0, 2 if kind == "?" else 100, length).astype(kind)
    if kind[0] == "f":
        x += rng.random(length).astype(kind)
    origin = int(place * (size - 1)) - size // 2
    weights = rng.random(size) / size

    def by(module: Any, x: Any, **more: Any) -> Any:
        keywords = {"mode": mode, "cval": 2.0, "origin": origin, **more}
        if box:
            return module.uniform_filter1d(x, size, **keywords)
        return module.correlate1d(x, weights, **keywords)

    if layout == "reversed":
        x = x[::-1]
    elif layout == "sliced":
        x = np.repeat(x, 2)[::2]
    more: dict[str, Any] = {"threads": 2}
    if layout == "column":
        ours = by(ndi, x[:, np.newaxis], axis=0, **more)[:, 0]
    elif layout == "rows":
        both = np.stack([x[::-1], x])
        ours = by(ndi, both, output=both, **more)[1]
    elif layout == "channels":
        ours = by(ndi, np.stack([x[::-1], x], 1), axis=0, **more)[:, 1]
    elif layout == "in place":
        ours = x.copy()
        by(ndi, ours, output=ours, **more)
    else:
        ours = by(ndi, x, **more)
    if kind[0] != "f":
        assert_same_bits(ours, by(scipy.ndimage, x))
        return
    assert_same_bits(ours, by(ndi, np.stack([x] * 7), threads=1)[1])
    assert_same_bits(by(ndi, x, precision="double", **more), by(scipy.ndimage, x))


@pytest.mark.parametrize("kind", ["u1", "u2"])
@pytest.mark.parametrize("mode", [*MODES, "valid"])
def test_rounding_and_valid(kind: str, mode: str) -> None:
    x = np.random.default_rng(1).integers(0, 255, 40_000).astype(kind)
    rows = np.stack([x] * 7)
    for function, size in ((ndi.gaussian_filter1d, 3), (ndi.uniform_filter1d, 9)):
        for rounding in ("nearest", "truncate"):
            line: Any = function(x, size, mode=mode, rounding=rounding)
            assert_same_bits(line, function(rows, size, axis=1, mode=mode, rounding=rounding)[0])
