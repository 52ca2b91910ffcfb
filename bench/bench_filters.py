"""Filters beside OpenCV and SciPy. `make bench-peers` runs this; filter_rows.py says which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from threadpoolctl import threadpool_limits

from bench.filter_forms import checked, our_form
from bench.filter_rows import FilterRow, all_filter_rows, expected_of
from bench.measure import thread_counts
from bench.peers import opencv, scipy_ndimage
from bench.peers.beside import measure_beside
from bench.peers.form import Form
from bench.peers.rounds import fastest_form, pace_of
from bench.results import OURS

PEERS = {peer.NAME: peer.forms for peer in (opencv, scipy_ndimage)}


def cases() -> Iterator[object]:
    """Yield every row on one and on all threads; beside SciPy on one."""
    for row in all_filter_rows():
        for threads in thread_counts() if row.peer == "OpenCV" else (1,):
            yield pytest.param(row, threads, id=f"{row.label}-threads{threads}")


@pytest.mark.parametrize(("row", "threads"), cases())
def test_filters(
    benchmark: BenchmarkFixture, pytestconfig: pytest.Config, row: FilterRow, threads: int
) -> None:
    # SciPy's calls take up to a second, and one warms its caches as well as two.
    pace = replace(pace_of(pytestconfig), warm_calls=1 if row.peer == "SciPy" else 2)
    expected = expected_of(row)
    off: dict[int, tuple[float, float | None]] = {}
    chosen: dict[str, Form] = {}
    # Threads that are not asked for by number follow OpenMP's limit, and another library may have moved it.
    with threadpool_limits(limits=threads, user_api="openmp"):
        for name, forms in (
            (OURS, [our_form(row, threads)]),
            (row.peer, list(PEERS[row.peer](row, threads))),
        ):
            for form in forms:
                off[id(form)] = checked(row, name, form, expected)
            chosen[name] = fastest_form(forms, pace)
        benchmark.group = row.family
        beside = measure_beside(benchmark, chosen, pace)
    benchmark.extra_info.update(
        section="filters",
        family=row.family,
        row=row.label,
        networks=[],
        threads=threads,
        multiply_adds=row.multiply_adds,
        compulsory_bytes=row.compulsory_bytes,
        filter={
            "function": row.function,
            "sigma": row.sigma,
            "dtype": row.dtype,
            "shape": list(row.shape),
            "picture": row.picture,
            "pixels": row.pixels,
            # Of each library's pixels, those that are not the correctly rounded ones; None for floats.
            "share_off": {name: off[id(form)][1] for name, form in chosen.items()},
        },
        **beside.as_json(chosen, {name: off[id(form)][0] for name, form in chosen.items()}),
    )
