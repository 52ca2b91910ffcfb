"""Plans of filters are kept: few, found by content alone, with the bits and errors of calls without."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import filters
import numpy as np
import pytest
from bounds import assert_same_bits
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import fastsep
import fastsep.ndimage as ndi
from fastsep._isa import cache_bytes, set_caches
from fastsep._lines import FilterPlan
from fastsep._passes import Pass
from fastsep._usual_filter import UsualFilters, key_of
from fastsep.ndimage import _run, _smoothing

pytestmark = pytest.mark.usefixtures("isa")

Array = NDArray[Any]

CALLS: dict[str, Callable[..., Array]] = {
    "gaussian_filter": lambda x, **k: ndi.gaussian_filter(x, 1.5, **k),
    "gaussian_filter of an axis": lambda x, **k: ndi.gaussian_filter(x, [2, 1.0], axes=(1, 0), **k),
    "gaussian_filter1d": lambda x, **k: ndi.gaussian_filter1d(x, np.float32(1.1), order=1, **k),
    "uniform_filter": lambda x, **k: ndi.uniform_filter(x, (3, 5), mode=["wrap", "nearest"], **k),
    "uniform_filter1d": lambda x, **k: ndi.uniform_filter1d(x, 4, 0, **k),
    "correlate1d": lambda x, **k: ndi.correlate1d(x, [1, 2, 1], **k),
    "convolve1d": lambda x, **k: ndi.convolve1d(x, np.array([1, -2, 3]), **k),
    "separable_filter": lambda x, **k: ndi.separable_filter(x, [[1, 1], None], **k),
    "sobel": lambda x, **k: ndi.sobel(x, 0, **k),
    "prewitt": lambda x, **k: ndi.prewitt(x, mode="constant", cval=2, **k),
    "scharr": lambda x, **k: ndi.scharr(x, **k),
}


@pytest.fixture(autouse=True)
def plans(monkeypatch: pytest.MonkeyPatch) -> UsualFilters:
    """What is kept, at first nothing."""
    empty = UsualFilters(256)
    monkeypatch.setattr(_run, "usual", empty)
    return empty


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one at each plan that is made."""
    seen: list[str] = []
    original = _run.filter_passes

    def counted(*arguments: Any, **keywords: Any) -> FilterPlan | None:
        seen.append("plan")
        return original(*arguments, **keywords)

    monkeypatch.setattr(_run, "filter_passes", counted)
    return seen


def image(dtype: Any = np.uint8, shape: tuple[int, ...] = (11, 23)) -> Array:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def without_plans(call: Callable[[], Array]) -> Array:
    """The result of a call that finds nothing kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_run, "usual", UsualFilters(0))
        return call()


@pytest.mark.parametrize("dtype", ["bool", "u1", "i2", "u4", "i8", "f4", "f8"])
@pytest.mark.parametrize("name", CALLS)
def test_a_filter_makes_its_plan_once(name: str, dtype: str, made: list[str]) -> None:
    call = CALLS[name]
    x = image(dtype)
    first = call(x)
    assert made == ["plan"]
    assert_same_bits(call(x), first)
    other = np.ascontiguousarray(image(dtype)[::-1])
    assert_same_bits(call(other, threads=2), without_plans(lambda: call(other)))
    assert made == ["plan", "plan"], "the second is that of without_plans"
    for output in ("float32", np.float32, np.dtype(np.float32), np.zeros(x.shape, np.float32)):
        made.clear()
        as_floats = call(x, output=output)
        assert made == ["plan"], output
        assert as_floats.dtype == np.float32
        again = call(x, output=np.full_like(output, -7) if isinstance(output, np.ndarray) else output)
        assert made == ["plan"], output
        assert_same_bits(again, as_floats)


@given(
    calls=st.lists(
        filters.one_traversal_calls(filters.INTEGERS + filters.FLOATS + "FD"), min_size=1, max_size=4
    ),
    order=st.lists(st.integers(0, 3), min_size=2, max_size=8),
    keywords=st.sampled_from([{}, {}, {"output": "float32"}, {"precision": "double"}, {"mode": "valid"}]),
)
def test_any_calls_in_any_order_have_the_bits_of_calls_alone(
    calls: list[filters.Call], order: list[int], keywords: dict[str, Any]
) -> None:
    def result(call: filters.Call) -> Array | tuple[type, str]:
        changed = filters.Call(call.name, call.arguments, call.keywords | keywords)
        try:
            return changed(ndi)
        except (RuntimeError, TypeError, ValueError) as error:
            return type(error), str(error)

    for place in order:
        call = calls[place % len(calls)]
        kept, alone = result(call), without_plans(lambda call=call: result(call))  # type: ignore[misc]
        if isinstance(kept, np.ndarray):
            assert_same_bits(kept, alone)
        else:
            assert kept == alone


def variants() -> Iterator[tuple[str, Callable[[], Array], Callable[[], Array]]]:
    """Two calls that must not share a plan, though what they are given is equal or looks alike."""
    x, f = image(), image(np.float32)
    zeros, ones = np.zeros((9, 9), np.float32), np.ones((9, 9), np.int64)
    square = image(np.float32, (16, 16))

    def gaussian(array: Array, *arguments: Any, **keywords: Any) -> Callable[[], Array]:
        return lambda: ndi.gaussian_filter(array, *arguments, **keywords)

    for first, second in ((0.0, -0.0), (-0.0, 0.0)):
        yield (
            f"{first} and {second} beyond the ends",
            gaussian(-zeros, 1.0, mode="constant", cval=first),
            gaussian(-zeros, 1.0, mode="constant", cval=second),
        )
    yield "sigma of float32", gaussian(f, 1.3), gaussian(f, np.float32(1.3))
    yield "sigma in a list", gaussian(f, [1.0, 2.0]), gaussian(f, [2.0, 1.0])
    yield "one sigma of an axis", gaussian(f, 1.0, axes=0), gaussian(f, 1.0, axes=1)
    yield "derivative", gaussian(f, 1.0, 1), gaussian(f, 1.0, 2)
    yield "border", gaussian(f, 1.0, mode="wrap"), gaussian(f, 1.0, mode="mirror")
    yield "radius", gaussian(f, 1.0, radius=1), gaussian(f, 1.0, radius=2)
    yield "precision", gaussian(f, 1.0), gaussian(f, 1.0, precision="double")
    yield "rounding", gaussian(x, 1.0), gaussian(x, 1.0, rounding="nearest")
    yield "type of the output", gaussian(x, 1.0), gaussian(x, 1.0, output=np.float64)
    yield "type of the input", gaussian(x, 1.0), gaussian(x.astype(np.int8), 1.0)
    yield "bool and a byte", gaussian(x, 1.0), gaussian(x.view(bool), 1.0)
    yield "byte order", gaussian(f, 1.0), gaussian(f.astype(f.dtype.newbyteorder()), 1.0)
    yield "a transposed image", gaussian(square, [1, 2]), gaussian(square.T, [1, 2])
    yield "an image read backwards", gaussian(f, 1.0, 1), gaussian(f[:, ::-1], 1.0, 1)
    yield "every second column", gaussian(image(np.float32, (5, 8)), 1.0), gaussian(f[:5, :16:2], 1.0)
    yield "names of functions", lambda: ndi.sobel(f), lambda: ndi.prewitt(f)
    yield "shift", lambda: ndi.uniform_filter(f, 3, origin=1), lambda: ndi.uniform_filter(f, 3, origin=-1)
    yield (
        "weights of the same bytes",
        lambda: ndi.correlate1d(ones, np.array([1.0])),
        lambda: ndi.correlate1d(ones, np.array([1.0]).view(np.int64)),
    )
    yield (
        "kernels in another grouping",
        lambda: ndi.separable_filter(f, [[1, 2, 3], [4.0]]),
        lambda: ndi.separable_filter(f, [[1, 2], [3, 4.0]]),
    )


@pytest.mark.parametrize("what", [name for name, _, _ in variants()])
def test_plans_are_found_by_content(what: str) -> None:
    first, second = next((first, second) for name, first, second in variants() if name == what)
    alone = without_plans(second)
    first()
    assert_same_bits(second(), alone)
    assert_same_bits(first(), without_plans(first))


def test_what_an_argument_held_before_does_not_count(made: list[str]) -> None:
    x = image(np.float32)
    weights, kernels, sigmas, modes = np.array([1.0, 2, 1]), [[1.0, 1], [1, 2]], [1.0, 2.0], ["wrap", "wrap"]
    calls: list[Callable[[], Array]] = [
        lambda: ndi.correlate1d(x, weights),
        lambda: ndi.separable_filter(x, kernels),
        lambda: ndi.separable_filter(x, [weights, None]),
        lambda: ndi.gaussian_filter(x, sigmas),
        lambda: ndi.gaussian_filter(x, np.array(sigmas)),
        lambda: ndi.gaussian_filter(x, 1.0, mode=modes),
    ]
    for call in calls:
        call()
        made.clear()
        call()
        assert not made
    weights[0], kernels[1][0], sigmas[1], modes[0] = 5.0, 7.0, 0.5, "nearest"
    for call in calls:
        made.clear()
        result = call()
        assert made, "a plan for what was there before"
        assert_same_bits(result, without_plans(call))
    weights[0] = 1.0
    made.clear()
    calls[0]()
    assert not made


def test_weights_that_change_while_their_plan_is_made(
    monkeypatch: pytest.MonkeyPatch, plans: UsualFilters
) -> None:
    x, weights = image(np.float32), np.array([1.0, 2, 1])
    original = _run.run

    def meanwhile(*arguments: Any) -> FilterPlan | None:
        weights[0] = 9.0
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(_run, "run", meanwhile)
        ndi.correlate1d(x, weights)
    assert len(plans) == 0
    weights[0] = 1.0
    assert_same_bits(ndi.correlate1d(x, weights), ndi.correlate1d(x, [1.0, 2, 1]))


def test_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch, made: list[str]) -> None:
    few = UsualFilters(3)
    monkeypatch.setattr(_run, "usual", few)
    x = image(np.float32)
    sigmas = [1.0, 1.5, 2.0, 2.5, 3.0]
    for count, sigma in enumerate(sigmas, 1):
        ndi.gaussian_filter(x, sigma)
        assert len(few) == min(count, 3)
    made.clear()
    for sigma in sigmas[2:]:
        ndi.gaussian_filter(x, sigma)
    assert not made, "the last three"
    ndi.gaussian_filter(x, sigmas[0])
    assert made == ["plan"], "the oldest had gone"


def test_passes_are_made_once_for_images_of_all_sizes(
    monkeypatch: pytest.MonkeyPatch, plans: UsualFilters
) -> None:
    seen: list[str] = []
    original = _smoothing._correlation

    def counted(*arguments: Any) -> list[Pass]:
        seen.append("passes")
        return original(*arguments)

    monkeypatch.setattr(_smoothing, "_correlation", counted)
    weights = np.array([1.0, 2, 1])
    for width in range(5, 9):
        x = image(np.float32, (4, width))
        assert_same_bits(
            ndi.correlate1d(x, weights), x[:, [0, *range(width - 1)]] + 2 * x + x[:, [*range(1, width), -1]]
        )
    assert seen == ["passes"]
    assert len(plans) == 4
    # For another number of axes, and for what the array holds now.
    ndi.correlate1d(image(np.float32, (2, 2, 9)), weights)
    weights[0] = 0.0
    x = image(np.float32, (4, 9))
    assert_same_bits(ndi.correlate1d(x, weights), 2 * x + x[:, [*range(1, 9), -1]])
    weights[0] = 1.0
    x = image(np.float32, (4, 10))
    assert_same_bits(ndi.correlate1d(x, weights), ndi.correlate1d(x, [1, 2, 1]))
    assert seen == ["passes"] * 4, "the last is that of the list"


def test_long_filters_are_not_kept(plans: UsualFilters) -> None:
    x = image(np.float32, (3, 5))
    ndi.gaussian_filter(x, 3000.0)
    ndi.correlate1d(x, np.ones(5001))
    ndi.separable_filter(x, [np.ones(20001), None])
    ndi.separable_filter(x, [[1.0] * 20001, None])
    assert len(plans) == 0


def test_no_array_is_held(plans: UsualFilters) -> None:
    x, weights = image(np.float32), np.array([1.0, 2, 1])
    out = ndi.correlate1d(x, weights, output=np.empty_like(x))
    result = ndi.correlate1d(x, weights)
    assert len(plans) == 2
    references = [weakref.ref(array) for array in (x, weights, out, result)]
    del x, weights, out, result
    gc.collect()
    assert [reference() for reference in references] == [None] * 4


BAD: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    # Equal to what has a plan, and wrong; the right one.
    "order": (lambda x: ndi.gaussian_filter(x, 1, 1.0), lambda x: ndi.gaussian_filter(x, 1, 1)),  # type: ignore[arg-type]
    "radius": (
        lambda x: ndi.gaussian_filter(x, 1, radius=2.0),  # type: ignore[arg-type]
        lambda x: ndi.gaussian_filter(x, 1, radius=2),
    ),
    "axes": (
        lambda x: ndi.uniform_filter(x, 3, axes=(0.0, 1.0)),  # type: ignore[arg-type]
        lambda x: ndi.uniform_filter(x, 3, axes=(0, 1)),
    ),
    "cval": (lambda x: ndi.sobel(x, cval="0"), lambda x: ndi.sobel(x, cval=0)),  # type: ignore[arg-type]
    "mode": (lambda x: ndi.sobel(x, mode="extend"), lambda x: ndi.sobel(x, mode="reflect")),
    "threads": (lambda x: ndi.sobel(x, threads=0), lambda x: ndi.sobel(x, threads=1)),
    "threads of a type": (lambda x: ndi.sobel(x, threads=True), lambda x: ndi.sobel(x, threads=1)),
    "rounding": (lambda x: ndi.sobel(x, rounding="up"), lambda x: ndi.sobel(x)),
    "rounding to floats": (
        lambda x: ndi.sobel(x, output="f4", rounding="nearest"),
        lambda x: ndi.sobel(x, output="f4"),
    ),
    "output": (lambda x: ndi.sobel(x, output=np.float16), lambda x: ndi.sobel(x, output=np.float32)),
    "shape of the output": (
        lambda x: ndi.sobel(x, output=np.empty((11, 22), np.uint8)),
        lambda x: ndi.sobel(x, output=np.empty((11, 23), np.uint8)),
    ),
    "input": (lambda x: ndi.sobel(x.astype(np.float16)), lambda x: ndi.sobel(x)),
    "weights": (lambda x: ndi.correlate1d(x, []), lambda x: ndi.correlate1d(x, [1])),
}


@pytest.mark.parametrize("name", BAD)
def test_errors_are_not_kept_and_nothing_kept_hides_one(name: str, plans: UsualFilters) -> None:
    wrong, right = BAD[name]

    def message() -> tuple[type, str]:
        with pytest.raises((RuntimeError, TypeError, ValueError)) as caught:
            wrong(image())
        return caught.type, str(caught.value)

    first = message()
    assert message() == first
    assert len(plans) == 0
    right(image())
    right(image())
    assert len(plans) == 1
    assert message() == first
    assert len(plans) == 1


def test_outputs_that_no_longer_are_what_they_were(made: list[str]) -> None:
    x, out = image(), np.zeros((11, 23), np.uint8)
    expected = ndi.sobel(x, output=out).copy()
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        ndi.sobel(x, output=out)
    out.flags.writeable = True
    made.clear()
    # The same layout, but the input's own memory: all of it, or one row of it.
    inside = x.copy()
    assert_same_bits(ndi.sobel(inside, output=inside), expected)
    memory = np.zeros((12, 23), np.uint8)
    memory[:11] = x
    assert_same_bits(ndi.sobel(memory[:11], output=memory[1:]), expected)
    assert made == ["plan"] * 2
    memory = np.zeros((22, 23), np.uint8)
    memory[:11] = x
    assert_same_bits(ndi.sobel(memory[:11], output=memory[11:]), expected)
    assert made == ["plan"] * 2, "side by side is apart"


def test_unusual_arrays_make_their_plans_each_time(made: list[str], plans: UsualFilters) -> None:
    x = image(np.float32)
    expected = ndi.gaussian_filter(x, 1.0)
    unusual: list[Any] = [
        x.astype(x.dtype.newbyteorder()),
        x.view(np.dtype(x.dtype, metadata={"unit": "m"})),
    ]
    for array in unusual:
        made.clear()
        for _ in range(2):
            assert_same_bits(np.asarray(ndi.gaussian_filter(array, 1.0)), expected)
        assert made == ["plan"] * 2
    # As np.asarray sees them, these are usual.
    made.clear()
    for array in (x.view(np.memmap), memoryview(x)):
        assert_same_bits(ndi.gaussian_filter(array, 1.0), expected)
    assert not made
    assert len(plans) == 1


def test_an_unknown_kind_of_argument_has_no_key() -> None:
    x = image()

    class Index:
        def __index__(self) -> int:
            return 1

    endless: list[Any] = []
    endless.append(endless)
    make = CALLS["sobel"]
    for value in (Index(), {1: 2}, iter([1.0]), endless, np.array([None]), np.float16(1), object, b"1"):
        assert key_of((make, value), x, None) is None
    assert key_of((make, 1), x.astype(np.float16), None) is None
    assert key_of((make, 1), x, x.astype(np.complex64)) is None
    assert key_of((make, 1), x, None) == key_of((make, 1), x.copy(), None)
    assert key_of((make, 1), x, None) != key_of((make, True), x, None)
    assert key_of((make, (1, 2)), x, None) != key_of((make, [1, 2]), x, None)
    assert key_of((make, [1, [2]]), x, None) != key_of((make, [[1], 2]), x, None)


def test_another_instruction_set_or_cache_makes_another_plan(made: list[str], isa: str) -> None:
    x = image(np.float32)
    ndi.gaussian_filter(x, 1.0)
    assert made == ["plan"]
    for name in fastsep.available_isas():
        fastsep.set_isa(name)
        result = ndi.gaussian_filter(x, 1.0)
        assert_same_bits(result, without_plans(lambda: ndi.gaussian_filter(x, 1.0)))
    fastsep.set_isa(isa)
    made.clear()
    before = cache_bytes()
    try:
        set_caches("L1=4K,L2=16K")
        ndi.gaussian_filter(x, 1.0)
        assert made == ["plan"]
    finally:
        set_caches(",".join(f"{level}={size}" for level, size in before.items()))
    ndi.gaussian_filter(x, 1.0)
    assert made == ["plan"]


def test_calls_from_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dozen filters for room for five: plans come and go while others run."""
    few = UsualFilters(5)
    monkeypatch.setattr(_run, "usual", few)
    images = [image(dtype, shape) for dtype in ("u1", "f4") for shape in ((11, 23), (40, 70))]
    work = [(call, x) for call in CALLS.values() for x in images]
    expected = [without_plans(lambda call=call, x=x: call(x)) for call, x in work]  # type: ignore[misc]
    monkeypatch.setattr(_run, "usual", few)
    workers = 4
    together = threading.Barrier(workers)

    def run(worker: int) -> list[tuple[int, Array]]:
        together.wait(timeout=60)
        order = np.random.default_rng(worker).integers(0, len(work), 400)
        # Neighbours twice, so that some are found.
        return [(i, work[i][0](work[i][1], threads=1)) for i in np.repeat(order, 2)]

    with ThreadPoolExecutor(workers) as pool:
        results = [one for found in pool.map(run, range(workers)) for one in found]
    assert len(results) == workers * 800
    for i, result in results:
        assert_same_bits(result, expected[i])
    assert len(few) == 5


def test_one_plan_in_several_threads_at_once(made: list[str]) -> None:
    x = image(np.float32, (120, 200))
    expected = ndi.gaussian_filter(x, 2.0)
    images = [x, x[::-1].copy(), x + 1, x * 2]
    alone = [without_plans(lambda y=y: ndi.gaussian_filter(y, 2.0)) for y in images]  # type: ignore[misc]
    made.clear()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            for result, right in zip(
                pool.map(lambda y: ndi.gaussian_filter(y, 2.0, threads=1), images), alone, strict=True
            ):
                assert_same_bits(result, right)
    assert not made
    assert_same_bits(alone[0], expected)
