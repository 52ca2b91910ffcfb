"""The README's Python runs as it stands."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from programs import run_command

README = Path(__file__).parents[1] / "README.md"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_there_is_something_to_run() -> None:
    assert len(blocks()) >= 1
    assert sum(len(block.splitlines()) for block in blocks()) >= 15


@pytest.mark.parametrize("number", range(len(blocks()) if README.exists() else 0))
def test_every_block_runs(number: int, tmp_path: Path) -> None:
    process = run_command([sys.executable, "-W", "error", "-c", blocks()[number]], tmp_path)
    assert process.returncode == 0, f"{blocks()[number]}\n{process.stderr}"
