"""From pytest-benchmark's JSON to the story's table."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

# What stands between the markers of README.md is written by `make readme` alone: the story, and the peers.
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
PEERS_BEGIN, PEERS_END = "<!-- peers:begin -->", "<!-- peers:end -->"


@dataclass(frozen=True)
class Timing:
    """One row's time on some threads. `speedup` is over the first row of the step on as many threads."""

    threads: int
    seconds: float
    speedup: float
    gflops: float
    roofline_share: float


@dataclass(frozen=True)
class ReportRow:
    """One row of the story with its timings, fewest threads first."""

    step: str
    label: str
    parameters: int
    multiply_adds: int
    timings: tuple[Timing, ...]
    # A call's, of a whole network; 0 for anything less.
    images: int = 0


@dataclass(frozen=True)
class Report:
    """The story of one run on one machine."""

    machine: str
    rooflines: tuple[str, ...]
    rows: tuple[ReportRow, ...]

    @property
    def thread_counts(self) -> tuple[int, ...]:
        """The numbers of threads that every row was timed on."""
        return tuple(timing.threads for timing in self.rows[0].timings)

    def steps(self) -> Iterator[tuple[str, list[ReportRow]]]:
        """Yield every step's title with its rows."""
        for step, rows in groupby(self.rows, key=lambda row: row.step):
            yield step, list(rows)


def read_report(measurements: Mapping[str, Any]) -> Report:
    """Build the report from what pytest-benchmark wrote, which must be a run of bench_story.py."""
    benchmarks = measurements["benchmarks"]
    baselines: dict[tuple[str, int], float] = {}
    timings: dict[tuple[str, str], list[Timing]] = {}
    works: dict[tuple[str, str], tuple[int, int]] = {}
    images: dict[tuple[str, str], int] = {}
    for benchmark in sorted(benchmarks, key=lambda benchmark: int(benchmark["extra_info"]["threads"])):
        info, seconds = benchmark["extra_info"], float(benchmark["stats"]["median"])
        step, label, threads = info["step"], info["label"], info["threads"]
        baseline = baselines.setdefault((step, threads), seconds)
        works[step, label] = (info["parameters"], info["multiply_adds"])
        images[step, label] = info.get("images", 0)
        timings.setdefault((step, label), []).append(
            Timing(
                threads=threads,
                seconds=seconds,
                speedup=baseline / seconds,
                gflops=2e-9 * info["multiply_adds"] / seconds,
                roofline_share=info["roofline_seconds"] / seconds,
            )
        )
    rows = tuple(
        ReportRow(step, label, *works[step, label], timings=tuple(timed), images=images[step, label])
        for (step, label), timed in timings.items()
    )
    return Report(
        machine=describe_machine(measurements["machine_info"]),
        rooflines=tuple(describe_roofline(roofline) for roofline in measurements["rooflines"]),
        rows=rows,
    )


def describe_machine(info: Mapping[str, Any]) -> str:
    """Name the processor and the software in one line."""
    ours = info["fastsep"]
    processor = info.get("cpu", {}).get("brand_raw") or info["processor"] or info["machine"]
    return (
        f"{processor}, {plural(ours['threads'], 'thread')} · fastsep {ours['version']} ({ours['isa']}) · "
        f"NumPy {ours['numpy']} ({ours['blas']}) · Python {ours['python']} · {info['system']}"
    )


def describe_roofline(roofline: Mapping[str, Any]) -> str:
    """Say one thread count's peak and bandwidths."""
    bandwidths = ", ".join(
        f"{level} {rate / 1e9:.0f}" for level, rate in roofline["bytes_per_second"].items()
    )
    peak = roofline["flops_per_second"] / 1e9
    return f"{plural(roofline['threads'], 'thread')}: {peak:.0f} GFLOP/s, GB/s from {bandwidths}"


def plural(count: int, noun: str) -> str:
    """Return `count` with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def engineering(count: int) -> str:
    """Return a count as papers write it: 147 k, 462 M."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return str(count)


def milliseconds(seconds: float) -> str:
    """Return a time with three digits that mean something."""
    return f"{seconds * 1e3:.{3 if seconds < 1e-3 else 2 if seconds < 1e-2 else 1 if seconds < 0.1 else 0}f}"


def times(speedup: float) -> str:
    """Return a factor: 1.3×, 52×."""
    return f"{speedup:.{0 if speedup >= 10 else 1}f}×"


def header(thread_counts: Iterable[int]) -> list[str]:
    """Return the titles of the columns; the thread counts stand in those of the times."""
    titles = ["", "parameters", "multiply-adds"]
    for threads in thread_counts:
        titles += [f"ms, {plural(threads, 'thread')}", "speed-up", "GFLOP/s", "of roofline"]
    return titles


def cells(row: ReportRow, thread_counts: Container[int]) -> list[str]:
    """Return a row as text, with its timings on these numbers of threads."""
    texts = [row.label, engineering(row.parameters), engineering(row.multiply_adds)]
    for timing in row.timings:
        if timing.threads not in thread_counts:
            continue
        texts += [milliseconds(timing.seconds), times(timing.speedup)]
        texts += [f"{timing.gflops:.1f}", f"{timing.roofline_share:.0%}"]
    return texts


def images_a_second(rows: Iterable[ReportRow]) -> str:
    """Return how many images a second the last row of whole networks runs; nothing if there is none."""
    networks = [row for row in rows if row.images]
    if not networks:
        return ""
    *_, row = networks
    rates = [
        f"{row.images / timing.seconds:.0f} on {plural(timing.threads, 'thread')}" for timing in row.timings
    ]
    return f"{row.label}: images a second {', '.join(rates)}."


def markdown_table(titles: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table whose columns are aligned in the source as well."""
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]

    def line(texts: list[str]) -> str:
        first, *rest = texts
        numbers = (text.rjust(width) for text, width in zip(rest, widths[1:], strict=True))
        return f"| {' | '.join([first.ljust(widths[0]), *numbers])} |"

    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(titles), line(rule), *map(line, rows)])


def markdown(report: Report) -> str:
    """Return the whole report as Markdown."""
    parts = [
        f"{report.machine}.",
        "Measured roofline, the best of three: " + "; ".join(report.rooflines) + ".",
        "Medians. Layers: float32, batch 1, fed with feature maps of the photograph; filters: the photograph "
        "itself, parameters are taps, one multiply-add each and pixel; their roofline counts what nobody "
        "gets around (docs/benchmarks.md, Filters). The speed-up is over the first row of each table on as "
        "many threads; SciPy has one.",
    ]
    threads = report.thread_counts
    for step, rows in report.steps():
        parts += [f"**{step}**", markdown_table(header(threads), [cells(row, threads) for row in rows])]
        if images := images_a_second(rows):
            parts.append(images)
    return "\n\n".join(parts) + "\n"


def write_report(report: Report, directory: Path) -> None:
    """Write story.md and story.json."""
    (directory / "story.md").write_text(markdown(report), encoding="utf-8")
    text = json.dumps(asdict(report), indent=2, ensure_ascii=False)
    (directory / "story.json").write_text(text + "\n", encoding="utf-8")


def update_readme(readme: Path, table: str, begin: str = BEGIN, end: str = END) -> None:
    """Replace what stands between the two markers of a README by `table`."""
    text = readme.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"{readme} must hold {begin} and, after it, {end}, each once")
    before, rest = text.split(begin)
    _, after = rest.split(end)
    readme.write_text(f"{before}{begin}\n{table.strip()}\n{end}{after}", encoding="utf-8")
