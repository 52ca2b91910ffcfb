"""Filters beside OpenCV and SciPy. `make bench-peers` runs this; filter_rows.py says which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import fastsep.ndimage
from bench.filter_rows import SMALL, FilterRow, Image, all_filter_rows, expected_of
from bench.measure import thread_counts
from bench.peers import opencv, scipy_ndimage
from bench.peers.beside import measure_beside
from bench.peers.form import Form
from bench.peers.rounds import FULL, QUICK, fastest_form
from bench.results import OURS
from fastsep import _threads

PEERS = {peer.NAME: peer.forms for peer in (opencv, scipy_ndimage)}


def our_form(row: FilterRow, threads: int) -> Form:
    """Return fastsep.ndimage's function, into an array that is there.

    On all threads, a small image is called as anybody calls it: OpenCV too decides by itself whether to fork.
    """
    image = row.image()
    out: Image = np.empty(row.shape, row.out_dtype)
    function = getattr(fastsep.ndimage, row.function)
    arguments = {**row.arguments, "threads": threads}
    if row.shape in SMALL and threads > 1:
        arguments["threads"] = None
        limit = _threads.resolve(None)
        assert limit == threads, f"threads=None would mean {limit} here, and the row is for {threads}"
    if row.rounds_to_nearest:
        arguments["rounding"] = "nearest"
    words = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return Form(f"{row.function}({words})", lambda: function(image, output=out, **arguments), lambda: out)


def checked(row: FilterRow, name: str, form: Form, expected: Image) -> tuple[float, float | None]:
    """Return how far the form's output is off, and on which share of pixels; fail if it is too far."""
    form.call()
    difference = row.difference(form.output(), expected)
    assert difference <= row.tolerance, f"{name} ({form.description}) differs by {difference:.1e}"
    return difference, row.share_off(form.output(), expected)


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
    pace = replace(
        QUICK if pytestconfig.getoption("quick") else FULL, warm_calls=1 if row.peer == "SciPy" else 2
    )
    expected = expected_of(row)
    off: dict[int, tuple[float, float | None]] = {}
    chosen: dict[str, Form] = {}
    for name, forms in ((OURS, [our_form(row, threads)]), (row.peer, list(PEERS[row.peer](row, threads)))):
        for form in forms:
            off[id(form)] = checked(row, name, form, expected)
        chosen[name] = forms[0] if len(forms) == 1 else fastest_form(forms, pace)
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
