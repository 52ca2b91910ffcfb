"""The rows of the story, timed. `make bench` runs this and draws up the report."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.filters import FILTER_ROWS, FilterRow
from bench.measure import measure, measure_call, thread_counts
from bench.story import ROWS, Row


@pytest.mark.parametrize("threads", thread_counts())
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_story(benchmark: BenchmarkFixture, row: Row, threads: int) -> None:
    benchmark.group = row.step
    benchmark.extra_info.update(step=row.step, label=row.label)
    measure(benchmark, row.block(), row.variant, threads)


@pytest.mark.parametrize("threads", thread_counts())
@pytest.mark.parametrize("row", FILTER_ROWS, ids=lambda row: row.name)
def test_filters(benchmark: BenchmarkFixture, row: FilterRow, threads: int) -> None:
    benchmark.group = row.step
    benchmark.extra_info.update(step=row.step, label=row.label, **row.work)
    call = row.call(threads)
    row.check(call)
    measure_call(benchmark, call, threads)
