"""Our time against image size, channels, batch and threads. See scaling.py."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.measure import thread_counts
from bench.scaling import series, thread_numbers, thread_shapes
from bench.sweep import Shape, Walk, best_seconds, measure_point, time_call


@pytest.mark.parametrize("walk", series(), ids=lambda walk: walk.name)
def test_scaling(benchmark: BenchmarkFixture, walk: Walk) -> None:
    points = [asdict(measure_point(value, shape)) for value, shape in walk.shapes()]
    time_call(
        benchmark,
        walk.base,
        1,
        "scaling",
        family=walk.base.family,
        parameter=walk.vary[0],
        points=points,
        all_threads=thread_counts()[-1],
    )


@pytest.mark.parametrize("shape", thread_shapes(), ids=str)
def test_threads(benchmark: BenchmarkFixture, shape: Shape) -> None:
    plan = shape.plan()
    x, out = shape.arrays()
    numbers = thread_numbers()
    seconds = best_seconds({str(threads): partial(plan, x, out, threads=threads) for threads in numbers})
    time_call(
        benchmark, shape, 1, "scaling", family=shape.family, parameter="threads", seconds_by_threads=seconds
    )
