"""The sweep for cliffs: each parameter through a few base points, family by family. See sweep.py."""

from __future__ import annotations

from dataclasses import asdict
from typing import get_args

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.sweep import Family, measure_walks, time_call, walks


@pytest.mark.parametrize("family", get_args(Family))
def test_sweep(benchmark: BenchmarkFixture, family: Family) -> None:
    chosen = [walk for walk in walks() if walk.base.family == family]
    found = [
        {"name": walk.name, "vary": list(walk.vary), "points": [asdict(point) for point in points]}
        for walk, points in zip(chosen, measure_walks(chosen), strict=True)
    ]
    time_call(benchmark, chosen[0].base, 1, "sweep", family=family, walks=found)
