"""Runs the Python blocks of a guide one after another, and compares what they print with the text blocks.

A text block holds what the Python block before it prints. Figures are left in the current directory.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from pathlib import Path

BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(guide: Path) -> int:
    """Return how many blocks ran; raise AssertionError where one prints something else."""
    os.environ.setdefault("MPLBACKEND", "agg")
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed, count = "", 0
    for kind, text in BLOCK.findall(guide.read_text(encoding="utf-8")):
        if kind == "text":
            compare(text, printed)
            printed = ""
            continue
        compare("", printed)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(text, f"{guide.name}, block {count + 1}", "exec"), namespace)
        printed, count = output.getvalue(), count + 1
    compare("", printed)
    return count


def compare(said: str, printed: str) -> None:
    """Raise AssertionError unless they are equal."""
    assert said == printed, f"the guide says\n{said}\nand it prints\n{printed}"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {run(Path(name))} blocks")
