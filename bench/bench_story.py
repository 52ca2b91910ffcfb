"""The rows of the story, timed. `make bench` runs this and draws up the report."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from threadpoolctl import threadpool_limits

import fastsep
from bench.filters import FILTER_ROWS, StoryFilter
from bench.measure import measure, measure_call, thread_counts
from bench.network_story import NETWORK_WAYS, ROW, NetworkWay
from bench.network_story import check as check_network
from bench.story import ROWS, Row


@pytest.mark.parametrize("threads", thread_counts())
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_story(benchmark: BenchmarkFixture, row: Row, threads: int) -> None:
    benchmark.group = row.step
    benchmark.extra_info.update(step=row.step, label=row.label)
    measure(benchmark, row.block(), row.variant, threads)


@pytest.mark.parametrize("threads", thread_counts())
@pytest.mark.parametrize("row", FILTER_ROWS, ids=lambda row: row.name)
def test_filters(benchmark: BenchmarkFixture, row: StoryFilter, threads: int) -> None:
    benchmark.group = row.step
    benchmark.extra_info.update(step=row.step, label=row.label, **row.work)
    call = row.call(threads)
    row.check(call)
    measure_call(benchmark, call, threads)


@pytest.mark.parametrize("threads", thread_counts())
@pytest.mark.parametrize("way", NETWORK_WAYS, ids=lambda way: way.name)
def test_network(benchmark: BenchmarkFixture, way: NetworkWay, threads: int) -> None:
    call = way.call(threads)
    with threadpool_limits(limits=threads, user_api="blas"):
        check_network(call)
        benchmark.group = way.step
        benchmark.extra_info.update(
            step=way.step,
            label=way.label,
            parameters=fastsep.cost(ROW.name).parameters,
            multiply_adds=ROW.multiply_adds,
            compulsory_bytes=ROW.compulsory_bytes,
            images=ROW.batch,
        )
        measure_call(benchmark, call, threads)
