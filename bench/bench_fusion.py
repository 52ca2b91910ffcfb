"""Fused against unfused: separable convolutions and inverted residuals, as one plan and as one a layer."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.fusion import parts_of, shapes, traffic
from bench.measure import thread_counts
from bench.sweep import Shape, best_seconds, time_call


@pytest.mark.parametrize("threads", thread_counts())
@pytest.mark.parametrize("shape", shapes(), ids=str)
def test_fusion(benchmark: BenchmarkFixture, shape: Shape, threads: int) -> None:
    plan = shape.plan()
    parts = parts_of(shape)
    x, out = shape.arrays()
    between = [np.empty(part.out_shape, np.float32) for part in parts[:-1]]
    last = np.empty_like(out)
    steps = list(zip((part.plan for part in parts), (x, *between), (*between, last), strict=True))

    def unfused() -> None:
        for step, source, target in steps:
            step(source, target, threads=threads)

    def fused() -> None:
        plan(x, out, threads=threads)

    fused()
    unfused()
    np.testing.assert_array_equal(out, last)
    seconds = best_seconds({"fused": fused, "unfused": unfused})
    time_call(
        benchmark,
        shape,
        threads,
        "fusion",
        family=shape.family,
        fused_seconds=seconds["fused"],
        unfused_seconds=seconds["unfused"],
        traffic=traffic(shape),
    )
