"""Every row beside XNNPACK, ONNX Runtime, OpenVINO, PyTorch and naive loops. `make bench-peers` runs this.

pytest-benchmark's own rounds are our blocks of calls; `extra_info` holds everybody's rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from threadpoolctl import threadpool_limits

from bench.blocks import Array, Block
from bench.measure import TOLERANCE, expected_output, thread_counts
from bench.peers import onnx_runtime, openvino_cpu, pytorch, xnnpack
from bench.peers.beside import measure_beside
from bench.peers.form import Form, Peer
from bench.peers.rounds import FULL, Timing, fastest_form, pace_of, timed_calls
from bench.results import NAIVE, OURS
from bench.rows import Row, all_rows, block_of_row
from bench.variants import Variant, naive, ours, single_plans

PEERS: tuple[Peer, ...] = (xnnpack, onnx_runtime, openvino_cpu, pytorch)

# Longer naive calls are not timed: what they would show is known, and a block of them takes many seconds.
NAIVE_SECONDS = 1.0
# Of the naive loops, by their multiply-adds a second; to tell beforehand whether a call is too long.
NAIVE_MULTIPLY_ADDS = 5e8
NAIVE_CALLS = 3


@pytest.fixture(scope="module", autouse=True)
def converted(request: pytest.FixtureRequest) -> None:
    """Write the .tflite files of all rows that will run, in one go."""
    cases = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    rows = {case["row"] for case in cases if "row" in case}  # the other sections have none
    xnnpack.convert(model_of(row) for row in rows if isinstance(row, Row))


def model_of(row: Row) -> xnnpack.Model:
    """Return what the row's .tflite file is written from."""
    stages, gate = row.weights()
    return xnnpack.Model(row.in_shape, stages, row.residual, gate)


def variant_form(variant: Variant, block: Block, threads: int, words: str) -> Form:
    """Return one of our own variants in the form of the peers'."""
    call = variant(block, threads)
    last: list[Array] = []

    def output() -> Array:
        last[:] = [call()]
        return last[0]

    return Form(words, call, output)


def checked(name: str, forms: Iterator[Form], expected: Array) -> Iterator[tuple[Form, float]]:
    """Yield every form with its largest difference, relative to the largest output; fail if it is wrong."""
    largest = float(np.abs(expected).max())
    for form in forms:
        form.call()
        difference = float(np.abs(form.output() - expected).max()) / largest
        assert difference <= TOLERANCE, f"{name} ({form.description}) differs by {difference:.1e}"
        yield form, difference


def parts_of(block: Block, threads: int, expected: Array) -> dict[str, Form]:
    """Return our layers as single plans; checked one after another, which fills their inputs."""
    calls = single_plans(block, threads)

    def output() -> Array:
        *_, last = [call() for call in calls]
        return last

    words = "one plan a layer"
    list(checked(OURS, iter([Form(words, output, output)]), expected))
    return {stage.family: Form(words, call, call) for stage, call in zip(block.stages, calls, strict=True)}


@pytest.mark.parametrize(
    ("row", "threads"),
    [
        pytest.param(row, threads, id=f"{row.label}-threads{threads}")
        for row in all_rows()
        for threads in thread_counts()
    ],
)
def test_peers(benchmark: BenchmarkFixture, pytestconfig: pytest.Config, row: Row, threads: int) -> None:
    pace = pace_of(pytestconfig)
    block = block_of_row(row)
    expected = expected_output(block)
    differences: dict[int, float] = {}
    chosen: dict[str, Form] = {}

    def choose(name: str, forms: Iterator[Form]) -> None:
        right = []
        for form, difference in checked(name, forms, expected):
            right.append(form)
            differences[id(form)] = difference
        chosen[name] = fastest_form(right, pace)

    with threadpool_limits(limits=threads, user_api="blas"):
        choose(OURS, iter([variant_form(ours, block, threads, "one plan")]))
        for peer in PEERS:
            choose(peer.NAME, peer.forms(block, threads))
        benchmark.group = row.family
        parts = parts_of(block, threads, expected) if row.beside_its_parts else {}
        beside = measure_beside(benchmark, chosen, pace, parts)
        naive_info = time_naive(block, threads, expected)

    info = beside.as_json(chosen, {name: differences[id(form)] for name, form in chosen.items()})
    info["peers"][NAIVE] = naive_info
    benchmark.extra_info.update(
        section="peers",
        family=row.family,
        row=row.label,
        networks=list(row.networks),
        threads=threads,
        multiply_adds=block.multiply_adds,
        compulsory_bytes=block.compulsory_bytes,
        **info,
    )


def time_naive(block: Block, threads: int, expected: Array) -> dict[str, object]:
    """Return the naive loops' timing: a few calls, none where one would take too long."""
    if block.multiply_adds / threads > NAIVE_SECONDS * NAIVE_MULTIPLY_ADDS:
        seconds = f"{block.multiply_adds / threads / NAIVE_MULTIPLY_ADDS:.1f}"
        return {"rounds": [], "form": f"not timed: one call would take about {seconds} s"}
    form = variant_form(naive, block, threads, "textbook loop nests, compiled")
    ((form, difference),) = checked(NAIVE, iter([form]), expected)
    time.sleep(FULL.pause_seconds)
    timing = Timing((statistics.median(timed_calls(form.call, NAIVE_CALLS)),))
    return {**timing.as_json(), "form": form.description, "difference": difference}
