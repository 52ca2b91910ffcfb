"""The sweep finds a planted cliff, and none where the roofline explains the cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bench.fusion import parts_of, traffic
from bench.fusion import shapes as fusion_shapes
from bench.overhead import images
from bench.scaling import series
from bench.sweep import Family, Point, Shape, cliffs_of, slow_choices, walks

SMALLEST = 2e-6
FMAS_PER_SECOND = 5e10
LANES = 8


def measured(shape: Shape, cost: Callable[[float], float] = lambda floor: floor) -> Point:
    """Return a point whose times are `cost` of its floor."""
    floor = SMALLEST + shape.multiply_adds(LANES) / FMAS_PER_SECOND
    seconds = cost(floor)
    return Point(
        shape.channels,
        str(shape),
        shape.multiply_adds(),
        shape.multiply_adds(LANES),
        shape.compulsory_bytes,
        {"one": floor, "all": floor},
        {"one": seconds, "all": seconds, "auto": seconds},
        1,
    )


BASE = Shape("depthwise", size=28)
CHANNELS = range(1, 40)


def channel_walk() -> list[Point]:
    """Return a walk at one and a half times its floor everywhere."""
    return [measured(replace(BASE, channels=channels), lambda floor: 1.5 * floor) for channels in CHANNELS]


def test_cost_that_vectors_and_calls_explain_is_no_cliff() -> None:
    points = channel_walk()
    assert cliffs_of("walk", points) == []
    sizes = [measured(Shape("pointwise", size=size, channels=8, outputs=8)) for size in (1, 2, 3, 4)]
    assert cliffs_of("walk", sizes) == []
    # Without the explanation, one pixel costs more than twice two by two of them.
    assert {cliff.label for cliff in cliffs_of("walk", sizes, explain=False)} >= {sizes[0].label}


def test_planted_cliff_is_found_with_its_size() -> None:
    points = channel_walk()
    slow = points[20]
    points[20] = replace(slow, seconds={**slow.seconds, "one": 3 * slow.seconds["one"]})
    (cliff,) = cliffs_of("walk", points)
    assert (cliff.label, cliff.mode, cliff.value) == (slow.label, "one", 21)
    assert cliff.neighbour in (points[19].label, points[21].label)
    assert cliff.factor == pytest.approx(3, rel=0.1)


def test_a_step_up_is_a_cliff_at_its_edge() -> None:
    points = [
        point if index < 10 else replace(point, seconds={mode: 2.6 * t for mode, t in point.seconds.items()})
        for index, point in enumerate(channel_walk())
    ]
    found = cliffs_of("walk", points)
    assert {(cliff.label, cliff.mode) for cliff in found} == {(points[10].label, m) for m in ("one", "auto")}
    assert all(cliff.neighbour == points[9].label for cliff in found)


@pytest.mark.parametrize(
    ("chosen", "one", "every", "auto", "slow"),
    [
        (2, 100e-6, 60e-6, 60e-6, False),
        (1, 100e-6, 60e-6, 100e-6, True),
        (2, 20e-6, 30e-6, 30e-6, True),
        # 10 %, but only 1 µs.
        (2, 10e-6, 11e-6, 11e-6, False),
        # 3 µs, but only 3 %.
        (2, 100e-6, 103e-6, 103e-6, False),
        # The same call as on all threads, but what chooses takes its time.
        (2, 100e-6, 60e-6, 90e-6, True),
    ],
)
def test_slow_choices_are_slow_in_share_and_in_time(
    chosen: int, one: float, every: float, auto: float, slow: bool
) -> None:
    point = replace(measured(BASE), seconds={"one": one, "all": every, "auto": auto}, chosen=chosen)
    assert [choice.label for choice in slow_choices("walk", [point])] == [point.label] * slow


def test_walks_cover_what_they_should() -> None:
    covered: dict[str, set[int | str]] = {}
    for walk in walks():
        for name in walk.vary:
            covered.setdefault(name, set()).update(walk.values)
    assert covered["channels"] >= {*range(1, 71), 95, 97, 191, 193, 383, 385, 767, 769}
    assert covered["kernel"] == set(range(1, 12))
    assert covered["stride"] == {1, 2, 3}
    assert covered["dilation"] == {1, 2, 3, 4}
    assert covered["size"] == set(range(1, 131))
    assert covered["batch"] == set(range(1, 33))
    assert covered["data_format"] == {"channels_last", "channels_first"}
    names = [walk.name for walk in walks()]
    assert len(names) == len(set(names))


WINDOWS = [(3, 1, 1), (3, 2, 1), (1, 2, 1), (2, 3, 1), (3, 1, 2), (2, 3, 3)]


@pytest.mark.parametrize(
    ("family", "kernel", "stride", "dilation"),
    [
        ("pointwise", 1, 1, 1),
        *(
            (family, *window)
            for family in ("depthwise", "separable", "conv", "inverted residual")
            for window in WINDOWS
        ),
    ],
)
def test_shapes_count_what_their_plans_do(family: Family, kernel: int, stride: int, dilation: int) -> None:
    shape = Shape(family, 9, 5, 7, kernel=kernel, stride=stride, dilation=dilation, batch=2)
    plan = shape.plan()
    x, out = shape.arrays()
    assert plan(x, out).shape == out.shape
    description = plan.describe(x.shape)
    assert 2 * shape.multiply_adds() == description.flops
    assert shape.compulsory_bytes == description.bytes
    assert shape.multiply_adds(8) >= shape.multiply_adds()


def test_first_channels_are_transposed() -> None:
    shape = Shape("depthwise", size=6, channels=4, data_format="channels_first")
    x, out = shape.arrays()
    assert x.shape == out.shape == (1, 4, 6, 6)
    shape.plan()(x, out)
    assert np.isfinite(out).all()


def test_parts_compute_what_the_fused_plan_does() -> None:
    for shape in (
        Shape("separable", size=9, channels=8, outputs=12),
        Shape("inverted residual", size=9, channels=4, outputs=4),
    ):
        x, out = shape.arrays()
        shape.plan()(x, out)
        for part in parts_of(shape):
            y = np.empty(part.out_shape, np.float32)
            x = part.plan(x, y)
        np.testing.assert_array_equal(x, out)


def test_traffic_counts_the_intermediate_twice() -> None:
    bytes_moved = traffic(Shape("separable", size=10, channels=8, outputs=16))
    assert bytes_moved["intermediate"] == 4 * 100 * 8
    assert bytes_moved["fused"] == 4 * (100 * 8 + 9 * 8 + 8 * 16 + 100 * 16)
    assert bytes_moved["unfused"] == bytes_moved["fused"] + 2 * bytes_moved["intermediate"]


def test_named_shapes_exist() -> None:
    assert len({walk.name for walk in series()}) == len(series())
    assert len({str(shape) for shape in fusion_shapes()}) == len(fusion_shapes())
    assert images(Shape("depthwise", size=4, channels=8)) == 65
    assert images(Shape("depthwise", size=64, channels=8)) == 3
