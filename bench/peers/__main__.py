"""Run what the report holds, a line for every row beside peers; further arguments go to pytest."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import peers_report
from bench.__main__ import OUTPUT, ROOT, ProgressBar
from bench.compare import RUNS, row_text
from bench.compare import SECTIONS as BESIDE_PEERS

RESULT = OUTPUT / "peers.json"
# What the report is made of; all but the first three need fastsep alone.
SECTIONS = ("peers", "filters", "networks", "scaling", "fusion", "overhead", "sweep")


class RowLines:
    """A pytest plugin that prints every row when it is measured."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.measured = self.behind = 0

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Print the row's times, or that it failed or was left out."""
        if call.excinfo is not None:
            left_out = call.excinfo.errisinstance(pytest.skip.Exception)
            self.line(f"{'left out' if left_out else 'FAILED'}: {item.name}: {call.excinfo.value}")
        elif call.when == "call":
            info: dict[str, Any] = item.funcargs["benchmark"].extra_info  # type: ignore[attr-defined]
            if info["section"] not in BESIDE_PEERS:
                self.line(f"{info['section']}: {item.name}")
                return
            self.measured += 1
            self.behind += info["ratio"] < 1
            self.line(row_text(info))

    def line(self, text: str) -> None:
        """Print one line above the progress bar."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def main(arguments: list[str]) -> int:
    """Measure, store the run, write the report; return pytest's exit code, or the report's if that is 0."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    RESULT.unlink(missing_ok=True)
    # A quick run is too rough to be compared with later, and a part stands for nothing else.
    storing = [] if arguments else ["--benchmark-autosave"]
    bar = ProgressBar(Console(file=sys.stderr))
    lines = RowLines(bar.progress.console if bar.progress.console.is_terminal else Console(file=sys.stdout))
    output = io.StringIO()
    with bar.progress, contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = int(
            pytest.main(
                [
                    *(str(ROOT / "bench" / f"bench_{section}.py") for section in SECTIONS),
                    f"--rootdir={ROOT}",
                    f"--benchmark-json={RESULT}",
                    f"--benchmark-storage=file://{RUNS}",
                    *storing,
                    # pytest's capture would swallow the progress bar.
                    "--capture=no",
                    *arguments,
                ],
                plugins=[bar, lines],
            )
        )
    if code:
        print(output.getvalue(), file=sys.stderr)
    print(f"{lines.measured} rows measured, {lines.behind} of them behind the best peer")
    print(f"written: {Path(RESULT).relative_to(ROOT)}")
    return code or peers_report.main([str(RESULT)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
