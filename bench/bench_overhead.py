"""Call overhead against size, down to 1×4×4×8. See overhead.py."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.overhead import calls_of, images, shapes
from bench.sweep import Shape, best_seconds, time_call


@pytest.mark.parametrize("shape", shapes(), ids=str)
def test_overhead(benchmark: BenchmarkFixture, shape: Shape) -> None:
    seconds = best_seconds(calls_of(shape))
    many = seconds.pop("many images")
    kernel = (many - seconds["plan(x, out)"]) / (images(shape) - 1)
    time_call(
        benchmark, shape, 1, "overhead", family=shape.family, seconds_by_call=seconds, kernel_seconds=kernel
    )
