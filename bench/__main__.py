"""Run the story's benchmarks, print the table, write table and figure to build/bench/."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from pathlib import Path

import pytest
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.report import (
    BEGIN,
    END,
    PEERS_BEGIN,
    PEERS_END,
    Report,
    cells,
    header,
    images_a_second,
    markdown,
    read_report,
    update_readme,
    write_report,
)

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "build" / "bench"
MEASUREMENTS = OUTPUT / "measurements.json"

# The widest name of a row, its threads included, and the columns that the report's table needs.
LONGEST_NAME = 30
WIDE = 132


class ProgressBar:
    """A pytest plugin that shows how far the benchmarks are, drawing only while none is being timed."""

    def __init__(self, console: Console) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            # A thread that redraws would take time from what is measured.
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task("measuring the roofline".ljust(LONGEST_NAME), total=None)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Learn how many benchmarks there are."""
        self.progress.update(self.task, total=len(session.items), refresh=True)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Show which benchmark runs now."""
        name = nodeid.partition("[")[2].removesuffix("]").ljust(LONGEST_NAME)
        self.progress.update(self.task, description=name, refresh=True)

    def pytest_runtest_logfinish(self) -> None:
        """Count one more."""
        self.progress.update(self.task, advance=1, refresh=True)


def measure_story(console: Console) -> int:
    """Run bench_story.py; return pytest's exit code, after printing its output if that is not 0."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    MEASUREMENTS.unlink(missing_ok=True)
    bar = ProgressBar(console)
    arguments = [
        str(ROOT / "bench" / "bench_story.py"),
        f"--rootdir={ROOT}",
        f"--benchmark-json={MEASUREMENTS}",
        # pytest's capture would swallow the progress bar.
        "--capture=no",
    ]
    output = io.StringIO()
    with bar.progress, contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = int(pytest.main(arguments, plugins=[bar]))
    if code:
        print(output.getvalue(), file=sys.stderr)
    return code


def print_report(report: Report, console: Console) -> None:
    """Print the report: as tables on a terminal, as Markdown into a file or pipe."""
    if not console.is_terminal:
        print(markdown(report))
        return
    console.print(report.machine)
    for roofline in report.rooflines:
        console.print(f"measured roofline, the best of three, {roofline}")
    every = report.thread_counts
    tables = [every] if console.width >= WIDE else [(threads,) for threads in every]
    for step, rows in report.steps():
        console.print(f"\n[bold]{step}[/bold]")
        for thread_counts in tables:
            table = Table(box=SIMPLE_HEAD, pad_edge=False)
            for index, title in enumerate(header(thread_counts)):
                table.add_column(title, justify="right" if index else "left", no_wrap=index > 3)
            for row in rows:
                table.add_row(*cells(row, thread_counts))
            console.print(table)
        if images := images_a_second(rows):
            console.print(images)


def put_into_readme(readme: Path, output: Path) -> list[str]:
    """Put the last story and the last report beside peers between their markers; return which there were."""
    put = []
    for text, markers in (
        (output / "story.md", (BEGIN, END)),
        (output / "peers" / "readme.md", (PEERS_BEGIN, PEERS_END)),
    ):
        if text.exists():
            update_readme(readme, text.read_text(encoding="utf-8"), *markers)
            put.append(str(text.relative_to(output)))
    return put


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--update-readme",
        action="store_true",
        help="measure nothing; put what the last `make bench` and `make bench-peers` say into README.md",
    )
    options = parser.parse_args(arguments)

    if options.update_readme:
        try:
            put = put_into_readme(ROOT / "README.md", OUTPUT)
        except ValueError as error:
            parser.error(str(error))
        if not put:
            parser.error("there is no report in build/bench: run `make bench` or `make bench-peers` first")
        print("put into README.md: " + ", ".join(put))
        if (OUTPUT / "peers" / "report.md").exists() and "peers/readme.md" not in put:
            print("README.md keeps its report beside peers: the last run was of a part of the suite")
        return 0

    code = measure_story(Console(file=sys.stderr))
    if code:
        return code
    from bench.figure import draw_story

    report = read_report(json.loads(MEASUREMENTS.read_text(encoding="utf-8")))
    write_report(report, OUTPUT)
    draw_story(report, OUTPUT / "story.png")
    print_report(report, Console())
    written = ", ".join(f"build/bench/story.{ending}" for ending in ("md", "json", "png"))
    print(f"written: {written}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
