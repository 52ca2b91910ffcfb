"""Integers with SciPy's bits by narrow sums: pictures whose sums lie at integers, and the bounds."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
from bounds import assert_same_bits
from filters import passes_by_scipy
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastsep import _reference
from fastsep._bits import boxes_cut, cutting_reciprocal, folding_of, in_narrow_sums
from fastsep._isa import get_isa, set_caches, vectors
from fastsep._lines import filter_passes
from fastsep._passes import Pass, short_division

pytestmark = pytest.mark.usefixtures("isa")

Array = NDArray[Any]
KINDS = ["u1", "i1", "u2", "i2"]
MODES = ["reflect", "constant", "nearest", "mirror", "wrap"]


def decisions_of(passes: list[Pass], given: Any, stored: Any) -> Any:
    fused = vectors(get_isa())[2]
    return in_narrow_sums(passes, np.dtype(given), np.dtype(stored), fused)


def gaussian(sigma: float, order: int = 0) -> NDArray[np.float64]:
    impulse = np.zeros(2 * int(4 * sigma + 0.5) + 1)
    impulse[len(impulse) // 2] = 1
    return np.ascontiguousarray(scipy.ndimage.gaussian_filter1d(impulse, sigma, order=order)[::-1])


def picture(name: str, shape: tuple[int, int], kind: str, rng: np.random.Generator) -> Array:
    """Pictures of which many sums are integers, but for what double rounds."""
    info = np.iinfo(kind)
    rows, columns = np.indices(shape)
    span = int(info.max) - int(info.min)
    if name == "flat":
        x = np.full(shape, rng.integers(span + 1))
    elif name == "ramp":
        x = rng.integers(span + 1) + rng.integers(-3, 4) * rows + rng.integers(-3, 4) * columns
    elif name == "patches":
        x = rng.integers(0, span + 1, (4, 4))[rows * 4 // shape[0], columns * 4 // shape[1]]
    elif name == "stripes":
        x = rng.integers(span + 1) + rng.integers(1, 50) * (columns % 2) + rng.integers(0, 50) * (rows % 2)
    elif name == "almost flat":
        x = rng.integers(span + 1) + (rng.random(shape) < 0.01)
    elif name == "dark":
        x = (rng.random(shape) < 0.02) * rng.integers(0, span + 1, shape) - int(info.min)
    else:
        x = rng.integers(0, span + 1, shape)
    return (x % (span + 1) + int(info.min)).astype(kind)


PICTURES = ["flat", "ramp", "patches", "stripes", "almost flat", "dark", "noise"]


@st.composite
def kernels(draw: st.DrawFn) -> Any:
    """None for a box, whose size comes with it."""
    name = draw(st.sampled_from(["box", "gaussian", "derivative", "exact", "almost exact", "even", "any"]))
    if name == "box":
        return None, draw(st.sampled_from([2, 3, 5, 9, 17, 33, 40, 150, 256, 300]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.sampled_from([1, 3, 5, 7, 9, 13, 25, 41]))
    if name in ("gaussian", "derivative"):
        weights = gaussian(draw(st.sampled_from([0.5, 1.0, 2.0, 3.0, 5.0, 10.0])), int(name == "derivative"))
    elif name == "even":
        weights = rng.random(draw(st.sampled_from([2, 4, 10])))
        weights /= weights.sum()
    elif name == "any":
        weights = rng.normal(size=size)
    else:
        weights = rng.integers(-4, 20, size) / 64
        if draw(st.booleans()):
            weights = (weights + weights[::-1]) / 2
        if name == "almost exact":
            # Float32 does not see it, nor does SciPy's test of symmetry see the last.
            weights = weights + rng.normal(size=size) * draw(st.sampled_from([1e-8, 1e-11, 1e-14, 1e-16]))
    return weights, len(weights)


@given(
    name=st.sampled_from(PICTURES),
    given_=st.sampled_from(KINDS),
    stored=st.sampled_from(KINDS),
    shape=st.sampled_from([(40, 50), (70, 300), (9, 33), (130, 16)]),
    down=kernels(),
    along=kernels(),
    mode=st.sampled_from(MODES),
    cval=st.sampled_from([0.0, 7.0, 2.5, -3.0, 0.3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_bits_are_scipys_at_integers(
    name: str, given_: str, stored: str, shape: Any, down: Any, along: Any, mode: str, cval: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = picture(name, shape, given_, rng)
    passes = [
        Pass(
            axis,
            "box" if weights is None else "correlate",
            weights,
            size,
            int(rng.integers(size)),
            mode,
            cval,
        )
        for axis, (weights, size) in enumerate([down, along])
    ]
    out = np.zeros(shape, stored)
    filter_passes(x, out, passes, arithmetic="scipy", threads=1)
    expected = passes_by_scipy(x, passes, stored)
    assert_same_bits(out, expected)
    for other in (passes[:1], passes[1:], passes[::-1]):
        filter_passes(x, out, other, arithmetic="scipy", threads=2)
        assert_same_bits(out, passes_by_scipy(x, other, stored))


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("kind", KINDS)
def test_any_cut_has_scipys_bits(name: str, kind: str) -> None:
    """Blocks and strips, colours side by side, volumes."""
    rng = np.random.default_rng(8)
    x = picture(name, (150, 900), kind, rng)
    for shape, axes in [
        ((150, 900), (0, 1)),
        ((150, 300, 3), (0, 1)),
        ((10, 60, 225), (0, 1, 2)),
        ((135_000,), (0,)),
    ]:
        volume = x.reshape(shape)
        for weights in (gaussian(1), gaussian(3), gaussian(8)):
            passes = [
                Pass(axis, "correlate", weights, len(weights), len(weights) // 2, "reflect", 0.0)
                for axis in axes
            ]
            expected = passes_by_scipy(volume, passes, kind)
            out = np.empty(shape, kind)
            try:
                for caches in (None, "L1=1K,L2=4K,L3=16K"):
                    set_caches(caches)
                    filter_passes(volume, out, passes, arithmetic="scipy", threads=2)
                    assert_same_bits(out, expected)
            finally:
                set_caches(None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("order", [0, 1])
def test_no_sum_is_further_off_than_its_bound(kind: str, sigma: float, order: int) -> None:
    rng = np.random.default_rng(9)
    weights = gaussian(sigma, order)
    one = Pass(1, "correlate", weights, len(weights), len(weights) // 2, "wrap", 0.0)
    decisions = decisions_of([one], kind, kind)
    assert decisions is not None
    decision = decisions[0]
    for name in PICTURES:
        x = picture(name, (50, 400), kind, rng)
        sums = np.empty(x.shape, np.float32)
        filter_passes(x, sums, [one], arithmetic="float32")
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(x.astype(np.longdouble), ((0, 0), (one.before,) * 2), mode="wrap"), one.size, axis=1
        )
        exact = windows @ weights.astype(np.longdouble)
        off = np.abs(sums - exact)
        assert off.max() <= decision.absolute
        assert decision.is_signed or (off <= decision.relative * np.abs(sums)).all()
    # Half a count would decide nothing.
    assert 0 < decision.absolute < (0.07 if kind[1] == "2" else 0.001)


def test_weights_over_a_power_of_two_are_exact() -> None:
    weights = np.array([1, 4, 6, 4, 1]) / 16
    one = Pass(0, "correlate", weights, 5, 2, "reflect", 0.0)
    for kind in KINDS:
        decisions = decisions_of([one, one], kind, kind)
        assert decisions is not None and all(decision.absolute == 0 for decision in decisions)
    third = one._replace(weights=weights / 3)
    decisions = decisions_of([third], "u1", "u1")
    assert decisions is not None and decisions[0].absolute > 0


def test_a_factor_divides_every_sum() -> None:
    """Quotients that are integers, and those just below, over the whole range."""
    for kind, most in (("u1", 255), ("u2", 65535), ("i2", 32768)):
        divided = 0
        for size in range(1, 256):
            one = Pass(0, "box", None, size, 0, "reflect", 0.0)
            decisions = decisions_of([one], kind, kind)
            assert decisions is not None
            whole = np.arange(0, most + 1, 1 + most // 3000)
            sums = np.concatenate([whole * size, whole * size + size - 1])
            sums = sums[sums <= most * size]
            single = sums.astype(np.float32)
            factor = np.float32(decisions[0].factor)
            quotients = single * factor if factor else single / np.float32(size)
            assert np.array_equal(np.trunc(quotients), sums // size), (kind, size)
            divided += bool(factor)
        # Those of the usual sizes among them.
        assert divided > (200 if most == 255 else 40)


def test_a_short_division_cuts_every_sum_right() -> None:
    for size in range(1, 34):
        parts = short_division(size, 0)
        if parts is None:
            continue
        half, multiplier, shift = parts
        sums = np.arange(255 * size + 1)
        quotients = (sums + half) * multiplier >> 16 >> shift if multiplier else sums
        assert np.array_equal(quotients, sums // size)
    boxes = [Pass(axis, "box", None, 9, 4, "constant", 255.0) for axis in (0, 1)]
    byte, word = np.dtype("u1"), np.dtype("u2")
    for kind, item_bytes in ((byte, 2), (word, 4)):
        cut = boxes_cut(boxes, kind, kind)
        assert cut is not None and cut.item_bytes == item_bytes
        assert boxes_cut([boxes[0]._replace(cval=0.5)], kind, kind) is None
        assert boxes_cut(boxes, kind, np.dtype("i1")) is None


def test_a_cutting_reciprocal_cuts_every_sum_right() -> None:
    """Every sum whose quotient comes nearest to an integer, in big integers."""
    divided = 0
    for divisor in range(2, 256):
        parts = cutting_reciprocal(divisor, 2**16)
        if parts is None:
            continue
        factor, addend = (int(part * 2.0**60) for part in parts)
        quotients = np.array([0, 1, 2, 255, 4095, 32767, 40000, 65534], object)
        sums = np.concatenate([quotients * divisor + near for near in (0, 1, divisor - 1)])
        cut = _reference.to_digits(sums * factor + addend, 24) // 2**60
        assert np.array_equal(cut, sums // divisor), divisor
        divided += 1
    assert divided > 50 and all(cutting_reciprocal(size, 2**16) for size in range(3, 16))


def test_sums_that_float32_leaves_open_stay_in_double() -> None:
    one = Pass(0, "correlate", gaussian(3), 25, 12, "reflect", 0.0)
    word = np.dtype("u2")
    assert decisions_of([one], word, word)
    for weights in (100 * gaussian(3), gaussian(3) * np.nan, gaussian(60)):
        assert decisions_of([one._replace(weights=weights, size=len(weights))], word, word) is None
    for cval in (0.3, np.nan, 1e6):
        assert decisions_of([one._replace(mode="constant", cval=cval)], word, word) is None
    for kind in ("u4", "i4", "i8", "f4"):
        assert decisions_of([one], kind, word) is None
        assert decisions_of([one], word, kind) is None


def test_folding_is_scipys() -> None:
    symmetric = gaussian(1)
    assert folding_of(symmetric) == 1 and folding_of(gaussian(1, 1)) == -1 and folding_of(symmetric[1:]) == 0
    nearly = symmetric.copy()
    nearly[0] += 2.0**-52
    assert folding_of(nearly) == 1
    nearly[0] += 2.0**-50
    assert folding_of(nearly) == 0


def test_the_bound_of_a_sum_is_what_the_derivation_says() -> None:
    """In fractions: half a unit of each partial sum of magnitudes, and what the weights lose."""
    weights = gaussian(2)
    one = Pass(0, "correlate", weights, len(weights), len(weights) // 2, "reflect", 0.0)
    decisions = in_narrow_sums([one], np.dtype("u2"), np.dtype("u2"), True)
    assert decisions is not None
    half = len(weights) // 2
    single = [Fraction(float(np.float32(w))) for w in weights]
    lost = sum(abs(Fraction(float(w)) - s) for w, s in zip(weights, single, strict=True))
    terms = [single[half], *(2 * s for s in single[:half])]
    partial = [sum(terms[: i + 1]) for i in range(len(terms))]
    half_units = [Fraction(2) ** (math.frexp(65535 * float(p) * (1 + 1e-6))[1] - 25) for p in partial]
    bound = sum(half_units) + 65535 * lost
    assert bound < Fraction(decisions[0].absolute) < bound * Fraction(102, 100) + Fraction(1, 2**20)
