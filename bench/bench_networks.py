"""Whole networks beside XNNPACK, ONNX Runtime, OpenVINO and PyTorch. `make bench-peers` runs this."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench import footprint, networks
from bench.measure import thread_counts
from bench.network_forms import checked, expected_of, our_form
from bench.network_rows import NetworkRow, all_network_rows
from bench.peers import onnx_runtime, openvino_cpu, pytorch_network, xnnpack
from bench.peers.beside import measure_beside
from bench.peers.form import Form
from bench.peers.installed import installed
from bench.peers.rounds import fastest_form, pace_of
from bench.results import OURS

PEERS = {peer.NAME: peer.network_forms for peer in (xnnpack, onnx_runtime, openvino_cpu, pytorch_network)}


@pytest.fixture(scope="module", autouse=True)
def converted(request: pytest.FixtureRequest) -> None:
    """Write the .tflite files of all rows that will run, in one go."""
    cases = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    rows = {case["row"] for case in cases if isinstance(case.get("row"), NetworkRow)}
    xnnpack.convert(xnnpack.NetworkModel(row.folded()) for row in rows)


def cases() -> Iterator[object]:
    """Yield every row on one and on all threads."""
    for row in all_network_rows():
        for threads in thread_counts():
            yield pytest.param(row, threads, id=f"{row.label}-threads{threads}")


@pytest.mark.parametrize(("row", "threads"), cases())
def test_networks(
    benchmark: BenchmarkFixture, pytestconfig: pytest.Config, row: NetworkRow, threads: int
) -> None:
    # Calls of up to two seconds: one of them warms the caches as well as two.
    pace = replace(pace_of(pytestconfig), warm_calls=1)
    expected = expected_of(row)
    differences: dict[int, float] = {}
    chosen: dict[str, Form] = {}

    def choose(name: str, forms: Iterator[Form]) -> None:
        right = []
        for form in forms:
            differences[id(form)] = checked(row, name, form, expected)
            right.append(form)
        chosen[name] = fastest_form(right, pace)

    choose(OURS, iter([our_form(row, threads)]))
    for name, forms in PEERS.items():
        choose(name, forms(row, threads))
    benchmark.group = row.family
    beside = measure_beside(benchmark, chosen, pace)
    benchmark.extra_info.update(
        section="networks",
        family=row.family,
        row=row.label,
        networks=[row.name],
        threads=threads,
        multiply_adds=row.multiply_adds,
        compulsory_bytes=row.compulsory_bytes,
        batch=row.batch,
        **beside.as_json(chosen, {name: differences[id(form)] for name, form in chosen.items()}),
    )


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_footprint(benchmark: BenchmarkFixture, tmp_path: Path, name: str) -> None:
    row, threads = NetworkRow(name, 1), thread_counts()[-1]
    found = benchmark.pedantic(footprint.footprints, args=(row, tmp_path, threads), rounds=1, iterations=1)
    benchmark.group = "footprint"
    benchmark.extra_info.update(
        section="footprint",
        family=row.family,
        row=row.family,
        threads=threads,
        multiply_adds=row.multiply_adds,
        compulsory_bytes=row.compulsory_bytes,
        libraries=found,
        installed=installed(),
    )
