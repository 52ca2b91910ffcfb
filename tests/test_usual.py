"""The short way of a call: it takes what it is for, leaves the rest, and both ways give the same bits."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from bounds import assert_same_bits
from calls import CASES, FUNCTIONS, PLANS, channels_first
from numpy.typing import NDArray
from strategies import Case, numbers

import fastsep
from fastsep import _plan
from fastsep._usual import UsualCall

Array = NDArray[Any]

pytestmark = pytest.mark.usefixtures("isa")


@pytest.fixture
def long_ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one at each call that the short way has left to the Python face."""
    taken: list[str] = []
    real = _plan.run_checked

    def run_checked(*arguments: Any) -> Array:
        taken.append("long")
        return real(*arguments)

    monkeypatch.setattr(_plan, "run_checked", run_checked)
    monkeypatch.setattr(fastsep.ops, "run_checked", run_checked)
    return taken


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("family", CASES)
def test_a_usual_call_takes_the_short_way(
    family: str, data_format: str, dtype: Any, long_ways: list[str]
) -> None:
    case = CASES[family](dtype)
    if data_format == "channels_first":
        case = channels_first(case)
    plan = case.plan(PLANS[family])
    out = case.run(plan)
    again = np.full_like(out, np.nan)
    assert case.run(plan, out=again) is again
    assert_same_bits(again, out)
    if family in FUNCTIONS:
        again[...] = np.nan
        assert case.call(FUNCTIONS[family], out=again) is again
        assert_same_bits(again, out)
    assert not long_ways
    assert out.dtype == np.dtype(dtype)


@pytest.mark.parametrize("family", CASES)
def test_an_unpickled_plan_takes_the_short_way_too(family: str, long_ways: list[str]) -> None:
    """The dtype objects of unpickled weights are not those that NumPy shares."""
    case = CASES[family]()
    plan = case.plan(PLANS[family])
    out = case.run(plan)
    assert_same_bits(case.run(pickle.loads(pickle.dumps(plan))), out)
    assert not long_ways


@pytest.mark.parametrize("family", CASES)
def test_both_ways_give_the_same_bits(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[family]()
    plan = case.plan(PLANS[family])
    short = case.run(plan)
    monkeypatch.setattr(type(plan), "_usual", property(lambda self: Never()))
    assert_same_bits(case.run(plan), short)


class Never:
    """A short way that takes nothing."""

    def run(self, *arguments: object) -> None:
        return None


@pytest.mark.parametrize("shape", [(2, 7, 3), (2, 5, 7, 3), (1, 3, 5, 7, 3)])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_every_rank(shape: tuple[int, ...], data_format: str, long_ways: list[str]) -> None:
    inputs = numbers(1, shape, np.float32)
    kernel = numbers(2, (3,) * (len(shape) - 2) + (3, 4), np.float32)
    matrix = numbers(3, (3, 4), np.float32)
    if data_format == "channels_first":
        inputs = np.ascontiguousarray(np.moveaxis(inputs, -1, 1))
    for plan in (
        fastsep.Conv(kernel, 2, data_format=data_format),
        fastsep.PointwiseConv(matrix, data_format=data_format),
    ):
        result = plan(inputs)
        assert not long_ways
        assert_same_bits(plan(inputs[..., ::-1][..., ::-1]), result)
        # A subclass goes the long way.
        assert_same_bits(plan(inputs.view(np.memmap)), result)
        assert long_ways.pop() == "long"


def unusual_arrays(x: Array) -> Iterator[tuple[str, Array]]:
    yield "subclass", x.view(type("Subclass", (np.ndarray,), {}))
    yield "byte order", x.astype(x.dtype.newbyteorder())
    yield "dtype with metadata", x.view(np.dtype(x.dtype, metadata={"unit": "m"}))


def outs(expected: Array) -> Iterator[tuple[str, Array]]:
    yield "fortran", np.full(expected.shape, -7, expected.dtype, order="F")
    yield "subclass", np.full_like(expected, -7).view(type("Subclass", (np.ndarray,), {}))
    yield "sliced", np.full((*expected.shape[:-1], 2 * expected.shape[-1]), -7, expected.dtype)[..., ::2]


@pytest.mark.parametrize("family", CASES)
def test_the_unusual_goes_the_long_way(family: str, long_ways: list[str]) -> None:
    case = CASES[family]()
    plan = case.plan(PLANS[family])
    expected = case.run(plan)
    for name in ("inputs", "residual"):
        if name in case.operands:
            for kind, array in unusual_arrays(case.operands[name]):
                result = case_with(case, name, array).run(plan)
                assert long_ways.pop() == "long", kind
                assert not long_ways
                assert_same_bits(np.asarray(result), expected)
    for kind, out in outs(expected):
        assert case.run(plan, out=out) is out
        assert long_ways.pop() == "long", kind
        assert_same_bits(np.ascontiguousarray(out), expected)


def case_with(case: Case, name: str, array: Array) -> Case:
    return Case(case.operands | {name: array}, case.options)


@pytest.mark.parametrize("what", ["inputs", "residual"])
def test_arrays_that_touch_are_apart_and_arrays_that_meet_are_not(what: str, long_ways: list[str]) -> None:
    """Side by side in one memory is the short way; one byte in common is the long one, and right as well."""
    kernel = numbers(1, (6, 6), np.float32)
    plan = fastsep.PointwiseConv(kernel)
    memory = np.zeros(2 * 5 * 6, np.float32)
    x = numbers(2, (1, 1, 5, 6), np.float32)
    expected = plan(x, residual=x)
    for shift, usual in ((30, True), (29, False), (0, False), (-29, False), (-30, True)):
        near = memory[max(0, -shift) :][:30].reshape(x.shape)
        out = memory[max(0, shift) :][:30].reshape(x.shape)
        near[...] = x
        operands = {"inputs": x, "residual": x, what: near}
        plan(operands["inputs"], out, residual=operands["residual"])
        assert (not long_ways) == usual, shift
        long_ways.clear()
        assert_same_bits(out, expected)


def test_a_range_read_backwards_is_seen_whole(long_ways: list[str]) -> None:
    """The address of a reversed array is its last element's."""
    plan = fastsep.PointwiseConv(numbers(1, (1, 1), np.float32))
    memory = numbers(2, (16,), np.float32)
    x, out = memory[:9][::-1].reshape(1, 9, 1)[:, 1:], memory[:8].reshape(1, 8, 1)
    expected = plan(x.copy())
    long_ways.clear()
    plan(x, out)
    assert long_ways == ["long"]
    assert_same_bits(out, expected)


def test_refusing_leaves_everything_as_it_was() -> None:
    plan = fastsep.PointwiseConv(np.ones((3, 4), np.float32))
    usual = plan._usual
    assert isinstance(usual, UsualCall)
    x, out = np.ones((1, 5, 3), np.float32), np.full((1, 5, 4), -7, np.float32)
    read_only = out.copy()
    read_only.flags.writeable = False
    for arguments in (
        (None, out, None),
        (x.tolist(), out, None),
        (x.astype(np.float64), out, None),
        (x[0], out, None),
        (x[None, None, None], out, None),
        (x[..., :2], out, None),
        (x[:0], None, None),
        (x[:, :0], None, None),
        (x, out[:, :4], None),
        (x, out[0], None),
        (x, out.astype(np.float64), None),
        (x, read_only, None),
        (x, out, out.tolist()),
        (x, out, out[:, :1]),
        (x, out, out),
    ):
        assert usual.run(*arguments, None) is None
    assert (out == -7).all()
    assert (read_only == -7).all()
    assert usual.run(x, out, None, None) is out
    assert (out == 3).all()


def test_no_room_is_said_by_the_long_way() -> None:
    plan = fastsep.Conv(np.ones((1, 1, 1), np.float32), padding=2**31 - 1)
    wide = np.lib.stride_tricks.as_strided(np.ones(1, np.float32), (2**30, 5, 1), (0, 0, 0))
    with pytest.raises((MemoryError, ValueError), match="there is no room for an output of shape"):
        plan(wide)


def test_no_room_is_a_memory_error_with_words() -> None:
    # NumPy's own class of MemoryError cannot be made of a message. 15 TB: beyond what any system promises.
    plan = fastsep.PointwiseConv(np.ones((4, 4096), np.float32))
    wide = np.broadcast_to(np.float32(0), (1, 30000, 30000, 4))
    with pytest.raises(MemoryError, match=r"no room for an output of shape \(1, 30000, 30000, 4096\)"):
        plan(wide)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_groups_take_the_short_way_from_the_second_call_on(data_format: str, long_ways: list[str]) -> None:
    random = np.random.default_rng(0)
    plan = fastsep.Conv(random.standard_normal((3, 3, 2, 8), np.float32), data_format=data_format)
    for groups in (4, 1, 2, 4):
        shape = (1, 6, 7, 2 * groups) if data_format == "channels_last" else (1, 2 * groups, 6, 7)
        x = random.standard_normal(shape, np.float32)
        first = plan(x)
        out = np.full_like(first, np.nan)
        long_ways.clear()
        assert plan(x, out) is out
        assert not long_ways
        assert out.tobytes() == first.tobytes()
        # What is not the usual call takes the long way, as without groups.
        assert plan(x.astype(">f4")).tobytes() == first.tobytes()
        with pytest.raises(ValueError, match="out must have the output's shape"):
            plan(x, out[..., :-1])
        assert len(long_ways) == 2
    with pytest.raises(ValueError, match="kernel"):
        plan(x[..., :-1] if data_format == "channels_last" else x[:, :-1])
    assert pickle.loads(pickle.dumps(plan))(x).tobytes() == first.tobytes()
