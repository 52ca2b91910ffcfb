"""Pooling: windows of every shape, layout and number of threads, against the definition and plain NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from bounds import assert_same_bits
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import in_layout, numbers

import fastsep
from fastsep import _isa, _reference
from fastsep._pooling import GlobalPoolPlan, PoolPlan

Array = NDArray[Any]

KINDS = ("max", "average", "average_including_padding")
LAYOUTS = ("fortran", "transposed", "negative strides", "sliced channels", "sliced pixels", "unaligned")
# Image, taps, strides, padding: what ResNet-50 and Xception pool, smaller, and the two other register tiles.
NETWORKS: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], Any]] = {
    "resnet": ((28, 28, 64), (3, 3), (2, 2), ((1, 1), (1, 1))),
    "xception": ((37, 37, 40), (3, 3), (2, 2), "same"),
    "halves": ((14, 15, 24), (2, 2), (2, 2), ((0, 0), (0, 0))),
    "smooth": ((9, 13, 33), (3, 3), (1, 1), ((1, 1), (1, 1))),
    "volume": ((6, 7, 8, 20), (2, 3, 3), (2, 2, 2), ((1, 0), (1, 1), (0, 1))),
    "line": ((50, 19), (3,), (2,), ((1, 1),)),
}


@dataclass(frozen=True)
class Pool:
    """A window over an image, in the words of the reference."""

    image: Array
    kind: str
    taps: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Any
    dilation: tuple[int, ...]
    ceil_mode: bool = False

    def plan(self) -> PoolPlan:
        spec = (self.taps, self.strides, self.dilation, self.padding)
        channels, dtype = self.image.shape[-1], self.image.dtype
        return PoolPlan(self.kind, spec, channels, dtype, fastsep.get_isa(), self.ceil_mode)

    def expected(self) -> Array:
        return _reference.pool(
            self.image,
            self.kind,
            self.taps,
            self.strides,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
        )

    def run(
        self,
        threads: int | None = 1,
        image: Array | None = None,
        out: Array | None = None,
        residual: Array | None = None,
    ) -> Array:
        plan = self.plan()
        shape = (self.image.shape[0], *plan.output_shape(self.image.shape[1:-1]), self.image.shape[-1])
        result = np.full(shape, -7, self.image.dtype) if out is None else out
        plan.run(
            self.image if image is None else image, result, residual, self.image.ndim - 2, False, threads
        )
        return result


@cache
def network_pool(name: str, kind: str, dtype: Any = np.float32, batch: int = 2) -> Pool:
    shape, taps, strides, padding = NETWORKS[name]
    return Pool(numbers(1, (batch, *shape), dtype), kind, taps, strides, padding, (1,) * len(taps))


@cache
def network_expected(name: str, kind: str, dtype: Any = np.float32, batch: int = 2) -> Array:
    """What the definition makes of that pool by loops of Python: once for all layouts."""
    expected = network_pool(name, kind, dtype, batch).expected()
    expected.flags.writeable = False
    return expected


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    rank = draw(st.integers(1, 3))

    def per_axis(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    taps, strides, dilation = per_axis(1, 4), per_axis(1, 3), per_axis(1, 2)
    spatial = per_axis(1, {1: 40, 2: 14, 3: 7}[rank])
    padding: Any = draw(st.sampled_from(["same", "same_lower", "explicit"]))
    ceil_mode = False
    if padding == "explicit":
        padding = tuple((draw(st.integers(0, tap - 1)), draw(st.integers(0, tap - 1))) for tap in taps)
        ceil_mode = draw(st.booleans())
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    shape = (draw(st.integers(1, 3)), *spatial, draw(st.integers(1, 40)))
    image = numbers(draw(st.integers(0, 1000)), shape, dtype)
    return Pool(image, draw(st.sampled_from(KINDS)), taps, strides, padding, dilation, ceil_mode)


# ---- windows ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("isa")
@given(pools())
def test_every_window_has_the_bits_of_the_definition(pool: Pool) -> None:
    expected = pool.expected()
    if expected.size:
        for threads in (1, 3):
            np.testing.assert_array_equal(pool.run(threads), expected)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_windows_of_networks(name: str, kind: str, dtype: Any) -> None:
    pool = network_pool(name, kind, dtype)
    expected = network_expected(name, kind, dtype)
    for threads in (1, 2, 5, None):
        assert_same_bits(pool.run(threads), expected)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", ["max", "average"])
def test_against_plain_numpy(kind: str, stride: int) -> None:
    image = np.random.default_rng(3).integers(-50, 50, (2, 11, 12, 20)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 2), axis=(1, 2))[:, ::stride, ::stride]
    expected = windows.max(axis=(-2, -1)) if kind == "max" else windows.sum(axis=(-2, -1)) / np.float32(6)
    pool = Pool(image, kind, (3, 2), (stride, stride), ((0, 0), (0, 0)), (1, 1))
    np.testing.assert_array_equal(pool.run(), expected)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_any_layout_gives_the_same_bits(name: str, kind: str, layout: str) -> None:
    pool = network_pool(name, kind)
    residual = numbers(2, network_expected(name, kind).shape, np.float32)
    expected = network_expected(name, kind) + residual
    for threads in (1, 3):
        out = in_layout(np.full(expected.shape, -7, np.float32), layout)
        moved = in_layout(residual, layout)
        result = pool.run(threads, in_layout(pool.image, layout), out, moved)
        assert_same_bits(np.ascontiguousarray(result), expected)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("kind", KINDS)
def test_channels_first(kind: str) -> None:
    pool = network_pool("resnet", kind)
    expected = network_expected("resnet", kind)
    first = np.ascontiguousarray(np.moveaxis(pool.image, -1, 1))
    out = np.empty((2, 64, *expected.shape[1:3]), np.float32)
    pool.plan().run(first, out, None, 2, True, 2)
    assert_same_bits(np.ascontiguousarray(np.moveaxis(out, 1, -1)), expected)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_nan_reaches_exactly_the_windows_that_see_it(name: str, kind: str, dtype: Any) -> None:
    pool = network_pool(name, kind, dtype, batch=1)
    generator = np.random.default_rng(5)
    for value in (np.nan, -np.nan, np.inf, -np.inf):
        image = pool.image.copy()
        image[generator.random(image.shape) < 0.02] = value
        poisoned = Pool(image, kind, pool.taps, pool.strides, pool.padding, pool.dilation)
        with np.errstate(invalid="ignore"):
            expected = poisoned.expected()
        assert 0 < np.isnan(expected).sum() < expected.size or np.isinf(value)
        np.testing.assert_array_equal(poisoned.run(2), expected)


@pytest.mark.usefixtures("isa")
def test_of_nothing_the_largest_is_minus_infinity_and_the_mean_nan() -> None:
    image = np.ones((1, 1, 1, 20), np.float32)
    around = ((2, 2), (2, 2))
    largest = Pool(image, "max", (2, 2), (1, 1), around, (3, 3)).run()
    assert largest.shape == (1, 2, 2, 20)
    assert (largest[0, 0, 0] == -np.inf).all()
    assert np.isnan(Pool(image, "average", (2, 2), (1, 1), around, (3, 3)).run()[0, 0, 0]).all()
    assert (Pool(image, "average_including_padding", (2, 2), (1, 1), around, (3, 3)).run() == 0).any()


@pytest.mark.parametrize(
    ("size", "taps", "stride", "pads", "floor", "ceil"),
    [
        (4, 3, 2, (0, 0), 1, 2),
        (5, 3, 2, (0, 0), 2, 2),
        (2, 3, 2, (0, 0), 0, 1),
        (6, 2, 3, (0, 0), 2, 2),
        (2, 1, 2, (0, 0), 1, 1),  # a second window would begin after the image
        (3, 3, 2, (1, 1), 2, 2),
        (4, 3, 3, (1, 1), 2, 2),
    ],
)
def test_ceil_mode(size: int, taps: int, stride: int, pads: tuple[int, int], floor: int, ceil: int) -> None:
    for ceil_mode, outputs in ((False, floor), (True, ceil)):
        plan = PoolPlan(
            "max", ((taps,), (stride,), (1,), (pads,)), 8, np.dtype(np.float32), fastsep.get_isa(), ceil_mode
        )
        assert plan.output_shape((size,)) == (outputs,)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind must be 'max', 'average' or 'average_including_padding'"):
        PoolPlan("mean", ((2,), (2,), (1,), ((0, 0),)), 8, np.dtype(np.float32), fastsep.get_isa())
    with pytest.raises(ValueError, match="kind must be 'max' or 'average'"):
        GlobalPoolPlan("average_including_padding", 8, np.dtype(np.float32), fastsep.get_isa())


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("caches", ["L1=1,L2=1,L3=1", "L1=1024M,L2=1024M,L3=1024M"])
def test_the_same_bits_for_any_caches(caches: str) -> None:
    pool = network_pool("xception", "average")
    first = np.asfortranarray(pool.image)
    expected = network_expected("xception", "average")
    before = ",".join(f"{level}={size}" for level, size in _isa.cache_bytes().items())
    try:
        _isa.set_caches(caches)
        for threads in (1, 2):
            assert_same_bits(pool.run(threads), expected)
            assert_same_bits(pool.run(threads, first), expected)
    finally:
        _isa.set_caches(before)


# ---- whole images -----------------------------------------------------------------------------------------


def run_global(
    image: Array, kind: str, threads: int | None = 1, residual: Array | None = None, out: Array | None = None
) -> Array:
    plan = GlobalPoolPlan(kind, image.shape[-1], image.dtype, fastsep.get_isa())
    if out is None:
        out = np.empty((image.shape[0], *plan.output_shape(image.shape[1:-1]), image.shape[-1]), image.dtype)
    plan.run(image, out, residual, image.ndim - 2, False, threads)
    return out


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize(
    "shape", [(1, 7, 7, 1280), (3, 7, 7, 70), (2, 100, 3, 5), (1, 4, 5, 6, 33), (2, 300, 9), (1, 1, 1, 7)]
)
def test_whole_images_have_the_bits_of_the_definition(shape: tuple[int, ...], kind: str, dtype: Any) -> None:
    image = numbers(1, shape, dtype)
    expected = _reference.global_pool(image, kind)
    assert expected.shape == (shape[0], *(1 for _ in shape[1:-1]), shape[-1])
    residual = numbers(2, expected.shape, dtype)
    for threads in (1, 2, 5):
        assert_same_bits(run_global(image, kind, threads), expected)
        assert_same_bits(run_global(image, kind, threads, residual), expected + residual)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["max", "average"])
def test_whole_images_in_any_layout(kind: str, layout: str) -> None:
    image = numbers(1, (2, 70, 6, 45), np.float32)
    expected = _reference.global_pool(image, kind)
    for threads in (1, 3):
        out = in_layout(np.full(expected.shape, -7, np.float32), layout)
        run_global(in_layout(image, layout), kind, threads, out=out)
        assert_same_bits(np.ascontiguousarray(out), expected)


@pytest.mark.usefixtures("isa")
def test_whole_images_against_plain_numpy() -> None:
    image = np.random.default_rng(3).integers(-50, 50, (2, 8, 16, 40)).astype(np.float32)
    np.testing.assert_array_equal(run_global(image, "average"), image.mean(axis=(1, 2), keepdims=True))
    image[0, 3, 3, 7] = np.nan
    np.testing.assert_array_equal(run_global(image, "max"), image.max(axis=(1, 2), keepdims=True))
    np.testing.assert_array_equal(np.isnan(run_global(image, "average")).sum(), 1)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("shape", [(2, 0, 3, 9), (2, 3, 0, 9)])
def test_empty_images(shape: tuple[int, ...]) -> None:
    image = np.empty(shape, np.float32)
    assert (run_global(image, "max") == -np.inf).all()
    assert np.isnan(run_global(image, "average")).all()
