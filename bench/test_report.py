"""The report says what was measured."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from bench.report import (
    engineering,
    markdown,
    markdown_table,
    milliseconds,
    read_report,
    update_readme,
    write_report,
)


def measured(label: str, threads: int, seconds: float, multiply_adds: int = 1_000_000) -> dict[str, Any]:
    """Return one entry of pytest-benchmark's JSON."""
    info = {
        "step": "a step",
        "label": label,
        "threads": threads,
        "parameters": 1152,
        "multiply_adds": multiply_adds,
        "compulsory_bytes": 4096,
        "roofline_seconds": 1e-5,
    }
    return {"extra_info": info, "stats": {"median": seconds}}


MEASUREMENTS: dict[str, Any] = {
    "machine_info": {
        "cpu": {"brand_raw": "A Processor"},
        "processor": "x86_64",
        "machine": "x86_64",
        "system": "Linux",
        "fastsep": {
            "version": "1.2.3",
            "isa": "avx2",
            "threads": 2,
            "numpy": "2.4.6",
            "blas": "openblas 0.3.30",
            "python": "3.13.1",
        },
    },
    "rooflines": [
        {"threads": 1, "flops_per_second": 1.004e11, "bytes_per_second": {"L1": 4e11, "DRAM": 2e10}},
        {"threads": 2, "flops_per_second": 2e11, "bytes_per_second": {"L1": 8e11, "DRAM": 2.1e10}},
    ],
    "benchmarks": [
        measured("naive loops", 1, 1e-3),
        measured("naive loops", 2, 6e-4),
        measured("fastsep", 1, 2e-5),
        measured("fastsep", 2, 1.25e-5),
    ],
}


def test_figures_follow_from_the_measurements() -> None:
    naive, ours = read_report(MEASUREMENTS).rows
    assert (naive.label, ours.label) == ("naive loops", "fastsep")
    assert [timing.speedup for timing in naive.timings] == [1, 1]
    assert [timing.speedup for timing in ours.timings] == pytest.approx([50, 48])
    assert [timing.gflops for timing in ours.timings] == pytest.approx([100, 160])
    assert [timing.roofline_share for timing in ours.timings] == pytest.approx([0.5, 0.8])


def test_networks_say_images_a_second() -> None:
    assert "images a second" not in markdown(read_report(MEASUREMENTS))
    run = copy.deepcopy(MEASUREMENTS)
    for benchmark in run["benchmarks"]:
        benchmark["extra_info"]["images"] = 2
    text = markdown(read_report(run))
    # The last row's: 2 images in 20 µs, and in 12.5.
    assert "fastsep: images a second 100000 on 1 thread, 160000 on 2 threads." in text


def test_markdown_names_machine_roofline_and_rows() -> None:
    text = markdown(read_report(MEASUREMENTS))
    assert text.startswith("A Processor, 2 threads · fastsep 1.2.3 (avx2) · NumPy 2.4.6 (openblas 0.3.30)")
    assert "1 thread: 100 GFLOP/s, GB/s from L1 400, DRAM 20" in text
    assert "**a step**" in text
    row = next(line for line in text.splitlines() if line.startswith("| fastsep"))
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        "fastsep", "1.15 k", "1 M", "0.020", "50×", "100.0", "50%", "0.013", "48×", "160.0", "80%",
    ]  # fmt: skip


def test_markdown_table_aligns_its_source() -> None:
    lines = markdown_table(["", "ms"], [["naive", "12.5"], ["ours", "1"]]).splitlines()
    assert lines == ["|       |   ms |", "| :---- | ---: |", "| naive | 12.5 |", "| ours  |    1 |"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(999, "999"), (1152, "1.15 k"), (147_456, "147 k"), (462_422_016, "462 M"), (8.36e9, "8.36 G")],
)
def test_engineering(count: int, text: str) -> None:
    assert engineering(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.2e-5, "0.042"), (1.234e-3, "1.23"), (4.56e-2, "45.6"), (0.789, "789")]
)
def test_milliseconds(seconds: float, text: str) -> None:
    assert milliseconds(seconds) == text


def test_written_files_hold_the_report(tmp_path: Path) -> None:
    report = read_report(MEASUREMENTS)
    write_report(report, tmp_path)
    assert (tmp_path / "story.md").read_text(encoding="utf-8") == markdown(report)
    story = json.loads((tmp_path / "story.json").read_text(encoding="utf-8"))
    assert story["rows"][1]["timings"][1]["seconds"] == 1.25e-5


def test_readme_table_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter\n", encoding="utf-8")
    for _ in range(2):
        update_readme(readme, "new\n")
        assert (
            readme.read_text(encoding="utf-8")
            == "before\n<!-- bench:begin -->\nnew\n<!-- bench:end -->\nafter\n"
        )


@pytest.mark.parametrize(
    "text",
    ["nothing", "<!-- bench:begin -->", "<!-- bench:end --><!-- bench:begin -->", "<!-- bench:begin -->" * 2],
)
def test_readme_without_its_markers_is_refused(tmp_path: Path, text: str) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="must hold"):
        update_readme(readme, "new")
    assert readme.read_text(encoding="utf-8") == text
