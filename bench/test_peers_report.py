"""The report of a small made-up run says what was measured, and first what is bad."""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from bench.__main__ import put_into_readme
from bench.charts import inline_svg
from bench.conftest import RooflineRecorder, pytest_benchmark_update_json, pytest_deselected
from bench.document import Block, Details, Figure, Heading, Paragraph, Table, to_html, to_markdown
from bench.peers.rounds import FULL, QUICK, Pace
from bench.peers_report import INVALID, main, readme_block, report, write
from bench.results import Results, geometric_mean, losers_first, read_results
from fastsep.roofline import Roofline

FAMILY = "depthwise 3x3"


def row(
    label: str, threads: int, ours: float, peers: dict[str, float], family: str = FAMILY
) -> dict[str, Any]:
    """Return one side-by-side benchmark of the JSON."""

    def timing(seconds: float) -> dict[str, Any]:
        return {"rounds": [seconds], "median": seconds, "minimum": seconds}

    return {
        "extra_info": {
            "section": "peers",
            "family": family,
            "row": label,
            "networks": ["a network"],
            "threads": threads,
            "multiply_adds": 500_000,
            "compulsory_bytes": 100_000,
            "roofline_seconds": 1e-5,
            "ours": timing(ours),
            "peers": {
                name: {**timing(time), "form": "NHWC", "difference": 1e-7} for name, time in peers.items()
            },
            "best_peer": "not read",
            "ratio": -1,
            "largest_difference": 2e-7,
        }
    }


def filter_row(
    label: str,
    family: str,
    threads: int,
    ours: float,
    peer: tuple[str, float],
    dtype: str = "float32",
    shape: tuple[int, ...] = (1080, 1920),
    sigma: float = 3,
) -> dict[str, Any]:
    """Return one filter's benchmark of the JSON."""
    name, seconds = peer
    benchmark = row(label, threads, ours, {name: seconds}, family)
    counted = dtype[0] == "u"
    benchmark["extra_info"] |= {
        "section": "filters",
        "networks": [],
        "largest_difference": 1.0 if counted else 3e-7,
        "filter": {
            "function": "gaussian_filter",
            "sigma": sigma,
            "dtype": dtype,
            "shape": list(shape),
            "picture": "photograph",
            "pixels": shape[0] * shape[1],
            "share_off": {"fastsep": 0.001, name: 0.02} if counted else {"fastsep": None, name: None},
        },
    }
    return benchmark


def roofline(threads: int, fmas_per_cycle: float) -> dict[str, Any]:
    """Return one entry of the JSON's rooflines: 100 GFLOP/s a thread."""
    return {
        "threads": threads,
        "flops_per_second": 1e11 * threads,
        "cycles_per_second": 3e9,
        "fmas_per_cycle": fmas_per_cycle,
        "every_fmas_per_cycle": [fmas_per_cycle],
        "bytes_per_second": {"L1": 4e11, "DRAM": 2e10},
    }


RUN: dict[str, Any] = {
    "machine_info": {
        "cpu": {"brand_raw": "A Processor"},
        "system": "Linux",
        "fastsep": {
            "version": "1.2.3",
            "isa": "avx2",
            "threads": 2,
            "numpy": "2.4.6",
            "blas": "openblas",
            "python": "3.13.1",
            "caches": {"L1": 32768, "L2": 1048576, "L3": 33554432},
        },
        "peers": {"XNNPACK": "2.3.0"},
    },
    "commit_info": {"id": "0123456789abcdef", "dirty": False},
    "datetime": "2026-01-02T03:04:05",
    "rooflines": [roofline(1, 1.98), roofline(2, 2.03)],
    "benchmarks": [
        row("depthwise 3x3 14x14x64", 1, 2e-5, {"XNNPACK": 8e-5, "naive": 1e-6}),
        row("depthwise 3x3 7x7x64", 1, 2e-5, {"XNNPACK": 4e-5, "PyTorch": 2e-5}),
        row("depthwise 3x3 28x28x64", 1, 2e-5, {"XNNPACK": 1e-5, "PyTorch": 4e-5}),
        row("depthwise 3x3 14x14x64", 2, 1e-5, {"XNNPACK": 1.6e-5}),
        row("pointwise 1x1 7x7x8-8", 1, 1e-5, {"PyTorch": 9.9e-6}, "pointwise K<=32"),
    ],
}


FILTERS = [
    filter_row("Gaussian a", "Gaussian f32, sigma 3", 1, 1e-3, ("OpenCV", 3e-3)),
    filter_row("Gaussian a", "Gaussian f32, sigma 3", 2, 5e-4, ("OpenCV", 2e-3)),
    filter_row("Gaussian b", "Gaussian u8 exact, sigma 3", 1, 1e-3, ("OpenCV", 5e-4), "uint8"),
    filter_row("Gaussian c", "small images", 1, 1e-5, ("OpenCV", 2e-5), shape=(64, 64)),
    filter_row("Gaussian d", "Gaussian f32, sigma 10", 1, 2e-3, ("OpenCV", 8e-3), sigma=10),
    filter_row("Gaussian e as SciPy", "floats beside SciPy", 1, 1e-3, ("SciPy", 2e-2)),
]


def network_row(
    label: str, family: str, batch: int, threads: int, ours: float, peers: dict[str, float]
) -> dict[str, Any]:
    """Return one whole network's benchmark of the JSON."""
    benchmark = row(label, threads, ours, peers, family)
    benchmark["extra_info"] |= {"section": "networks", "batch": batch}
    return benchmark


def fresh(load: float, peak: float) -> dict[str, float]:
    """Return what a fresh process says."""
    return {
        "import_seconds": 0.25,
        "load_seconds": load,
        "first_run_seconds": 0.125,
        "peak_bytes": peak,
    }


NETWORKS = [
    network_row(
        "MobileNetV2 224, batch 1", "MobileNetV2 224", 1, 1, 8e-3, {"XNNPACK": 1e-2, "PyTorch": 2e-2}
    ),
    network_row(
        "MobileNetV2 224, batch 8", "MobileNetV2 224", 8, 1, 5e-2, {"XNNPACK": 6e-2, "PyTorch": 4e-2}
    ),
    network_row("ResNet-50 224, batch 1", "ResNet-50 224", 1, 2, 4e-2, {"OpenVINO": 5e-2}),
    {
        "extra_info": {
            "section": "footprint",
            "family": "MobileNetV2 224",
            "row": "MobileNetV2 224",
            "threads": 2,
            "multiply_adds": 1,
            "compulsory_bytes": 1,
            "libraries": {"fastsep": fresh(0.06, 5e7), "ONNX Runtime": fresh(0.07, 9e7)},
            "installed": {
                "ONNX Runtime": {"onnxruntime": 50_000_000, "numpy": 40_000_000},
                "fastsep": {"fastsep": 2_000_000, "numpy": 40_000_000},
            },
        }
    },
]


def with_filters() -> Results:
    """Return the run with filters."""
    return read_results({**RUN, "benchmarks": [*RUN["benchmarks"], *FILTERS]})


def with_peak(fmas_per_cycle: float) -> Results:
    """Return the run with another peak on two threads."""
    run = copy.deepcopy(RUN)
    run["rooflines"][1]["fmas_per_cycle"] = fmas_per_cycle
    return read_results(run)


def tables(results: Results, heading: str) -> list[Table]:
    """Return the tables under a heading of the report."""
    found, inside = [], False
    for block in report(results):
        if isinstance(block, Heading):
            inside = block.text == heading
        elif inside and isinstance(block, Table):
            found.append(block)
    return found


def test_geometric_mean() -> None:
    assert geometric_mean([0.5, 2]) == pytest.approx(1)
    assert geometric_mean([4, 1, 2]) == pytest.approx(2)


def test_families_have_mean_worst_case_and_share() -> None:
    small, one, two = read_results(RUN).families
    assert (one.name, one.threads, two.threads) == (FAMILY, 1, 2)
    # Ratios 4, 1 and 0.5; the naive loops are no peer.
    assert one.ratio == pytest.approx(2 ** (1 / 3))
    assert one.worst.label == "depthwise 3x3 28x28x64"
    assert one.worst.best_peer == "XNNPACK"
    assert one.worst.ratio == pytest.approx(0.5)
    # 1 MFLOP in 20 µs are 50 GFLOP/s of 100; on two threads 100 of 200.
    assert one.share() == pytest.approx(0.5)
    assert two.share() == pytest.approx(0.5)
    assert one.share("roofline") == pytest.approx(0.5)
    # Below both figures that must be reached.
    assert [check.status for check in one.checks] == ["short", "short"]
    assert one.status == "short"
    assert [check.status for check in two.checks] == ["short", "must"]
    assert small.checks[0].status == "reached"


def test_rows_that_lose_come_first() -> None:
    results = read_results(RUN)
    assert [row.label for row in results.lost] == ["depthwise 3x3 28x28x64", "pointwise 1x1 7x7x8-8"]
    assert [row.lost_beyond_noise for row in results.lost] == [True, False]
    ordered = losers_first(row for row in results.rows if row.family == FAMILY)
    assert ordered[0].label == "depthwise 3x3 28x28x64"
    # A row stays together on all numbers of threads.
    assert [(row.label, row.threads) for row in ordered][2:] == [
        ("depthwise 3x3 14x14x64", 1),
        ("depthwise 3x3 14x14x64", 2),
    ]
    (lost,) = tables(results, "Rows where we lose")
    assert [cells[:4] for cells in lost.rows] == [
        ["depthwise 3x3 28x28x64", "1", "0.50×", "XNNPACK"],
        ["pointwise 1x1 7x7x8-8", "1", "0.99×", "PyTorch"],
    ]
    assert lost.bad == {0}
    every = tables(results, FAMILY)[0]
    assert every.rows[0][0] == "depthwise 3x3 28x28x64"
    assert every.bad == {0}
    assert every.titles[3:6] == ["XNNPACK", "PyTorch", "naive"]


@pytest.mark.parametrize(
    ("fmas_per_cycle", "valid"), [(1.88, False), (1.92, True), (2.08, True), (2.12, False), (0.96, True)]
)
def test_a_peak_that_does_not_fit_the_clock_invalidates_the_run(fmas_per_cycle: float, valid: bool) -> None:
    results = with_peak(fmas_per_cycle)
    assert results.valid is valid
    first = next(block for block in report(results) if isinstance(block, Paragraph))
    assert first.warning is not valid
    assert ("INVALID" in first.text) is not valid
    assert ("invalid" in readme_block(results)) is not valid


def test_a_run_whose_peak_nothing_checks_is_invalid() -> None:
    run = copy.deepcopy(RUN)
    del run["rooflines"][0]["fmas_per_cycle"]
    assert not read_results(run).valid


def test_a_peak_that_was_reached_stays_the_roof(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look at the clock must not replace the higher peak that it was meant to check."""

    def roof(peak: float, rate: float) -> Roofline:
        levels = {"L1": 4e11, "L2": 2e11, "L3": 1e11, "DRAM": 2e10}
        return Roofline(1, "float32", peak, levels, dict.fromkeys(levels, 1.0), 3.4e9, rate)

    for second, deviation in ((roof(90e9, 1.96), 0.075), (roof(103.5e9, 1.96), 0.02)):
        measured = itertools.cycle([roof(104e9, 1.85), second])
        monkeypatch.setattr("fastsep.roofline.measure", lambda threads, each=measured: next(each))
        monkeypatch.setattr("bench.measure.thread_counts", lambda: [1])
        recorder = RooflineRecorder(10)
        recorder.record()
        (best,) = recorder.best()
        assert best["flops_per_second"] == 104e9
        assert best["port_deviation"] == pytest.approx(deviation)
        assert recorder.seconds(1, 52_000, 1) == pytest.approx(1e-6)


def test_exit_code_says_invalid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.peers_report.DIRECTORY", tmp_path / "report")
    monkeypatch.setattr("bench.peers_report.ROOT", tmp_path)
    run = tmp_path / "run.json"
    for fmas_per_cycle, code in ((2.0, 0), (2.12, INVALID)):
        measured = copy.deepcopy(RUN)
        measured["rooflines"][0]["fmas_per_cycle"] = fmas_per_cycle
        run.write_text(json.dumps(measured), encoding="utf-8")
        assert main([str(run)]) == code
    assert main([str(tmp_path / "nothing.json")]) == 2


def test_a_part_of_the_suite_says_so_and_stands_in_no_readme(tmp_path: Path) -> None:
    stored = tmp_path / "run.json"
    for left_out, exists in ((0, True), (3, False)):
        stored.write_text(json.dumps({**RUN, "left_out": left_out}), encoding="utf-8")
        write(stored, tmp_path / "report")
        assert (tmp_path / "report" / "readme.md").exists() is exists
        text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
        assert ("A PART of the suite: 3 benchmarks" in text) is not exists


def test_what_is_left_out_is_counted(pytestconfig: pytest.Config) -> None:
    config = Mock(wraps=pytestconfig)
    config.stash = pytest.Stash()
    config.pluginmanager.getplugin.return_value = None
    document: dict[str, Any] = {"benchmarks": []}
    pytest_benchmark_update_json(config, [], document)
    assert document["left_out"] == 0
    pytest_deselected([Mock(config=config), Mock(config=config)])
    pytest_benchmark_update_json(config, [], document)
    assert document["left_out"] == 2


def test_page_needs_nothing_else(tmp_path: Path) -> None:
    run = tmp_path / "run.json"
    run.write_text(json.dumps(RUN), encoding="utf-8")
    assert write(run, tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert "http" not in page
    assert "<script" not in page and "<link" not in page and "<img" not in page and "@import" not in page
    targets = re.findall(r'(?:href|src)="([^"]*)"', page) + re.findall(r"url\(([^)]*)\)", page)
    assert targets
    identifiers = set(re.findall(r'id="([^"]*)"', page))
    assert all(target.startswith("#") and target[1:] in identifiers for target in targets)
    assert "prefers-color-scheme: dark" in page
    for name in ("report.md", "report.json", "readme.md", "roofline.png", "roofline.svg", "ratios.png"):
        assert (tmp_path / "report" / name).stat().st_size > 0
    summary = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert summary["valid"] is True
    assert summary["families"][1]["worst_row"] == "depthwise 3x3 28x28x64"


def test_readme_names_families_and_every_lost_row(tmp_path: Path) -> None:
    text = readme_block(read_results(RUN))
    assert "A Processor, 2 threads" in text and "XNNPACK 2.3.0" in text and "make bench-peers" in text
    assert "faster in 2 of 5 rows, in 1 by more" in text
    assert "- depthwise 3x3, 1 thread: 3x3 28x28x64 0.50× XNNPACK" in text
    assert "- pointwise K<=32, 1 thread: 7x7x8-8 0.99× PyTorch" in text
    assert re.search(r"\| depthwise 3x3 +\| +1 \| +3 \| +1.26× \| 0.50×|1.26×.*0.50× depthwise", text)


def separable_row(label: str, threads: int, ours: float, parts: dict[str, float]) -> dict[str, Any]:
    """Return a separable row in cache of the JSON, with the times of its parts; empty: not measured."""
    benchmark = row(label, threads, ours, {"XNNPACK": 2 * ours}, "separable in cache")
    if parts:
        benchmark["extra_info"]["parts"] = {name: {"median": seconds} for name, seconds in parts.items()}
        benchmark["extra_info"]["parts_share"] = -1  # worked out again
    return benchmark


SEPARABLE = [
    separable_row("separable 3x3 112x112x32-64", 1, 1e-5, {"depthwise": 4e-6, "pointwise": 5e-6}),
    separable_row("separable 3x3 56x56x64-128", 1, 1e-5, {"depthwise": 4e-6, "pointwise": 8e-6}),
    separable_row("separable 3x3 28x28x128-128", 1, 1e-5, {}),
]


def test_narrow_separable_rows_are_held_against_their_parts(tmp_path: Path) -> None:
    stored = tmp_path / "run.json"
    stored.write_text(json.dumps({**RUN, "benchmarks": [*RUN["benchmarks"], *SEPARABLE]}), encoding="utf-8")
    results = read_results(json.loads(stored.read_text(encoding="utf-8")))
    family = next(family for family in results.families if family.name == "separable in cache")
    # The peak is asked of the wide row alone: 100 GFLOP/s of 100.
    assert [(check.what, check.must) for check in family.checks] == [
        ("share of the FMA peak, 128 channels and more", 0.92),
        ("share of what its two parts compose to", 0.97),
        ("worst row", 1.0),
    ]
    # 0.9 and 1.2.
    assert family.checks[1].figure == pytest.approx((0.9 * 1.2) ** 0.5)
    assert family.status == "reached"
    (table,) = tables(results, "separable in cache")
    columns = [table.titles.index(title) for title in ("row", "µs, its parts", "of its parts")]
    assert sorted([cells[column] for column in columns] for cells in table.rows) == [
        ["separable 3x3 112x112x32-64", "4.00 + 5.00", "90%"],
        ["separable 3x3 28x28x128-128", "–", "–"],
        ["separable 3x3 56x56x64-128", "4.00 + 8.00", "120%"],
    ]
    # Parts are no peers.
    assert "depthwise" not in table.titles
    assert [peer.name for row in results.rows for peer in row.peers if row.parts] == ["XNNPACK"] * 2
    assert "µs, its parts" not in tables(results, FAMILY)[0].titles
    text = readme_block(results)
    assert "100% of FMA peak; 104% of its parts" in text
    assert "92%; 97% of its parts, fewer than 128 channels; 1.00× in every row" in text
    write(stored, tmp_path / "report")
    for name in ("report.md", "report.html"):
        page = (tmp_path / "report" / name).read_text(encoding="utf-8")
        assert "The parts of a row below 128 channels are our depthwise and our pointwise plan" in page
        assert "4.00 + 5.00" in page
    summary = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    by_label = {row["label"]: row for row in summary["rows"]}
    narrow = by_label["separable 3x3 112x112x32-64"]
    assert narrow["parts_share"] == pytest.approx(0.9)
    assert narrow["parts"] == [
        {"name": "depthwise", "seconds": 4e-6},
        {"name": "pointwise", "seconds": 5e-6},
    ]
    assert by_label["depthwise 3x3 7x7x64"]["parts_share"] is None


def test_a_slow_composition_falls_short() -> None:
    results = read_results({**RUN, "benchmarks": SEPARABLE[:1]})
    (family,) = results.families
    # No wide row: nothing is asked of the peak.
    assert [(check.status, check.what) for check in family.checks] == [
        ("short", "share of what its two parts compose to"),
        ("reached", "worst row"),
    ]
    assert family.status == "short"


def with_busy(busy: Mapping[str, float | None], benchmarks: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the run, with CPUs that others kept busy during rows of these labels; 0.02 during the rest."""
    run = copy.deepcopy({**RUN, "benchmarks": benchmarks})
    for benchmark in run["benchmarks"]:
        info = benchmark["extra_info"]
        info["busy_elsewhere"] = busy.get(info["row"], 0.02)
    return run


def test_disturbed_rows_are_marked_wherever_they_stand(tmp_path: Path) -> None:
    lost, won = "depthwise 3x3 28x28x64", "depthwise 3x3 14x14x64"
    network, filtered = "MobileNetV2 224, batch 8", "Gaussian b"
    busy = {lost: 0.21, won: 0.2, network: 1.0, filtered: 0.5}
    stored = tmp_path / "run.json"
    run = with_busy(busy, [*RUN["benchmarks"], *FILTERS, *NETWORKS])
    stored.write_text(json.dumps(run), encoding="utf-8")
    results = read_results(run)
    # 0.2 CPUs are not above the threshold.
    assert [row.label for row in results.disturbed] == [lost, filtered, network]
    assert f"{lost} †" in [cells[0] for cells in tables(results, "Rows where we lose")[0].rows]
    assert [cells[0] for cells in tables(results, FAMILY)[0].rows if "†" in cells[0]] == [f"{lost} †"]
    assert tables(results, "Gaussian u8 exact, sigma 3")[0].rows[0][0] == f"{filtered} †"
    assert tables(results, "Networks")[0].rows[0][0] == f"{network} †"
    families = {cells[0]: cells[4] for cells in tables(results, "Families")[0].rows if cells[1] == "1"}
    assert families[FAMILY] == f"0.50× {lost} † (XNNPACK)"
    assert families["pointwise K<=32"] == "0.99× pointwise 1x1 7x7x8-8 (PyTorch)"
    sentence = "† marks rows during which other processes kept more than 0.2 CPUs busy (3 of 14 rows)"
    text = readme_block(results)
    assert sentence in text
    assert "- depthwise 3x3, 1 thread: 3x3 28x28x64 † 0.50× XNNPACK" in text
    assert f"| {network} † |" in text

    write(stored, tmp_path / "report")
    for name in ("report.md", "report.html", "readme.md"):
        page = (tmp_path / "report" / name).read_text(encoding="utf-8")
        assert sentence in page
        assert f"{network} †" in page
    every = to_markdown(report(results))
    assert f"worst row ({network} †): 0.80×" in every
    summary = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert summary["disturbed"] == {"cpus": 0.2, "rows": 3}
    by_label = {row["label"]: row for row in summary["rows"]}
    assert {label for label, row in by_label.items() if row["disturbed"]} == {lost, filtered, network}
    assert by_label[won]["busy_elsewhere"] == 0.2
    worst = {family["worst_row"]: family["worst_row_disturbed"] for family in summary["families"]}
    assert worst[lost] and not worst["pointwise 1x1 7x7x8-8"]


def test_a_run_says_so_if_nothing_disturbed_it_or_nobody_looked() -> None:
    quiet = read_results(with_busy({}, RUN["benchmarks"]))
    unknown = read_results(RUN)
    elsewhere = read_results(with_busy({row["extra_info"]["row"]: None for row in FILTERS}, FILTERS))
    for results, sentence in (
        (quiet, "During no row did other processes keep more than 0.2 CPUs busy."),
        (unknown, "Nobody looked at whether other processes kept the CPUs busy"),
        (elsewhere, "Nobody looked at whether other processes kept the CPUs busy"),
    ):
        assert results.disturbed == []
        text = readme_block(results)
        assert sentence in text
        assert sentence in to_markdown(report(results))
        assert "†" not in text


@pytest.mark.parametrize(
    ("pace", "sentence", "again"),
    [
        (FULL, "These figures are of a full run: 5 rounds of blocks of 15 ms.", "all of it again and"),
        (
            QUICK,
            "These figures are of `make bench-peers ARGS=--quick`, whose blocks of calls are short (6 ms): "
            "rows of some microseconds are rough.",
            "all of it again at the full pace and",
        ),
    ],
)
def test_a_run_says_its_pace(tmp_path: Path, pace: Pace, sentence: str, again: str) -> None:
    stored = tmp_path / "run.json"
    stored.write_text(json.dumps({**RUN, "pace": asdict(pace)}), encoding="utf-8")
    write(stored, tmp_path / "report")
    text = (tmp_path / "report" / "readme.md").read_text(encoding="utf-8")
    assert f"\n{sentence} `make bench-peers` measures {again} writes tables" in text
    assert sentence in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert re.sub("`(.*)`", r"<code>\1</code>", sentence) in page
    summary = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert summary["pace"]["name"] == pace.name


def test_a_run_that_does_not_know_its_pace_claims_none() -> None:
    text = readme_block(read_results(RUN))
    assert "These figures" not in text
    assert "\n`make bench-peers` measures all of it again and writes tables" in text


def test_the_pace_is_what_the_command_line_says(pytestconfig: pytest.Config) -> None:
    document: dict[str, Any] = {"benchmarks": copy.deepcopy(RUN["benchmarks"])}
    config = Mock(wraps=pytestconfig)
    config.pluginmanager.getplugin.return_value = None
    for quick, pace in ((True, QUICK), (False, FULL)):
        config.getoption = {"quick": quick}.__getitem__
        config.stash = pytest.Stash()
        pytest_benchmark_update_json(config, [], document)
        assert document["pace"] == asdict(pace)
    story: dict[str, Any] = {"benchmarks": [{"extra_info": {"step": "a step"}}]}
    pytest_benchmark_update_json(config, [], story)
    assert "pace" not in story


def test_filters_are_families_and_their_lost_rows_stand_with_the_others() -> None:
    results = with_filters()
    assert len(results.filters) == len(FILTERS)
    assert len(results.layers) == len(RUN["benchmarks"])
    families = {(family.name, family.threads): family for family in results.families}
    assert families["Gaussian f32, sigma 3", 1].status == "must"
    assert families["Gaussian f32, sigma 3", 2].status == "reached"
    assert families["Gaussian u8 exact, sigma 3", 1].status == "short"
    # 20×: what must be, in the mean and in every row.
    assert [check.status for check in families["floats beside SciPy", 1].checks] == ["must", "reached"]
    assert "Gaussian b" in [row.label for row in results.lost]
    text = readme_block(results)
    assert "- Gaussian u8 exact, sigma 3, 1 thread: b 0.50× OpenCV" in text
    (table,) = tables(results, "Gaussian u8 exact, sigma 3")
    assert table.titles[-2:] == ["pixels off, ours", "pixels off, peer"]
    ((label, threads, ours, peer, form, ratio, pixels, _, *off),) = table.rows
    assert (label, threads, ours, peer, form) == ("Gaussian b", "1", "1000", "500", "OpenCV NHWC")
    assert (ratio, pixels) == ("0.50×", "2074")
    assert off == ["0.100%", "2.000%"]
    assert table.bad == {0}
    (lost,) = tables(results, "Rows where we lose")
    assert [cells[6] for cells in lost.rows if cells[0] == "Gaussian b"] == ["–"]


def test_networks_have_a_section_and_stand_with_the_families() -> None:
    results = read_results({**RUN, "benchmarks": [*RUN["benchmarks"], *NETWORKS]})
    assert len(results.networks) == 3
    assert len(results.layers) == len(RUN["benchmarks"])
    families = {(family.name, family.threads): family for family in results.families}
    # 1.25 × and 0.8 ×: in the mean, and in every row.
    family = families["MobileNetV2 224", 1]
    assert family.ratio == pytest.approx(1)
    assert [check.status for check in family.checks] == ["short", "short"]
    assert families["ResNet-50 224", 2].status == "reached"
    times, load, imports, first, peak, sizes = tables(results, "Networks")
    assert times.titles[2:5] == ["ms, fastsep", "XNNPACK", "PyTorch"]
    assert times.rows[0][:8] == [
        "MobileNetV2 224, batch 8",
        "1",
        "50.0",
        "60.0",
        "40.0",
        "–",
        "0.80×",
        "PyTorch",
    ]
    assert times.bad == {0}
    assert load.titles == ["network", "fastsep", "ONNX Runtime"]
    assert load.rows == [["MobileNetV2 224", "60", "70"]]
    assert imports.rows == [["MobileNetV2 224", "250", "250"]]
    assert first.rows == [["MobileNetV2 224", "125", "125"]]
    assert peak.rows == [["MobileNetV2 224", "50", "90"]]
    assert [cells[:2] for cells in sizes.rows] == [["fastsep", "42.0"], ["ONNX Runtime", "90.0"]]
    (every,) = tables(results, "MobileNetV2 224")
    assert every.titles == ["network", "threads", "ms, fastsep", "XNNPACK", "PyTorch", *times.titles[-4:]]
    text = readme_block(results)
    assert "| MobileNetV2 224, batch 8 |" in text
    assert "- MobileNetV2 224, 1 thread: 224, batch 8 0.80× PyTorch" in text


@pytest.mark.parametrize("section", ["networks", "footprint"])
def test_a_run_of_networks_alone_has_a_page(tmp_path: Path, section: str) -> None:
    kept = [benchmark for benchmark in NETWORKS if benchmark["extra_info"]["section"] == section]
    run = tmp_path / "run.json"
    run.write_text(json.dumps({**RUN, "benchmarks": kept}), encoding="utf-8")
    assert write(run, tmp_path / "report")
    drawn = {path.stem for path in (tmp_path / "report").glob("*.png")}
    assert drawn == ({"network-ratios"} if section == "networks" else set())
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "Networks" in page


@pytest.mark.parametrize("kept", [slice(None), slice(1), slice(5, None)])
def test_a_run_of_filters_alone_has_a_page(tmp_path: Path, kept: slice) -> None:
    run = tmp_path / "run.json"
    run.write_text(json.dumps({**RUN, "benchmarks": FILTERS[kept]}), encoding="utf-8")
    assert write(run, tmp_path / "report")
    drawn = {path.stem for path in (tmp_path / "report").glob("*.png")}
    gaussians = kept != slice(5, None)
    assert drawn == {"filter-ratios"} | ({"filter-times"} if gaussians else set())
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == len(drawn)
    assert (">the largest image" in page or "the largest image" in page) == gaussians


def test_readme_blocks_are_replaced_and_nothing_else(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(
        "a\n<!-- peers:begin -->\nold\n<!-- peers:end -->\nb\n<!-- "
        "bench:begin -->\nstory\n<!-- bench:end -->\n",
        encoding="utf-8",
    )
    assert put_into_readme(readme, tmp_path) == []
    (tmp_path / "peers").mkdir()
    (tmp_path / "peers" / "readme.md").write_text("new\n", encoding="utf-8")
    assert put_into_readme(readme, tmp_path) == ["peers/readme.md"]
    assert readme.read_text(encoding="utf-8") == (
        "a\n<!-- peers:begin -->\nnew\n<!-- peers:end -->\nb\n<!-- "
        "bench:begin -->\nstory\n<!-- bench:end -->\n"
    )


def test_documents_escape_what_they_are_given() -> None:
    blocks: list[Block] = [
        Heading(1, "K<=32 & more"),
        Table(["a", "b"], [["1 < 2", "`x|y`"]]),
        Details("more", [Paragraph("**strong**")]),
        Figure("picture", "a figure"),
    ]
    page = to_html("K<=32", blocks, {"picture": "<svg></svg>"})
    assert "K&lt;=32 &amp; more" in page and "1 &lt; 2" in page
    assert "<strong>strong</strong>" in page and "<svg></svg>" in page
    text = to_markdown(blocks)
    assert "x\\|y" in text and "![a figure](picture.png)" in text


def test_inlined_figures_keep_their_ids_apart() -> None:
    svg = (
        '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><metadata>http://x</metadata>'
        '<g id="a" clip-path="url(#b)" style="fill: #1f2328"/><use xlink:href="#a"/></svg>'
    )
    assert inline_svg(svg, "one") == (
        '<svg><g id="one-a" clip-path="url(#one-b)" style="fill: currentColor"/><use href="#one-a"/></svg>'
    )
