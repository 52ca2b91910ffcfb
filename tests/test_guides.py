"""The guides' Python runs as it stands, and prints what they say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from programs import run_command

ROOT = Path(__file__).parents[1]
GUIDES = [
    path for path in sorted((ROOT / "docs").glob("*.md")) if "```python" in path.read_text(encoding="utf-8")
]


def run_guide(guide: Path, folder: Path) -> tuple[int, str]:
    process = run_command([sys.executable, str(ROOT / "tools" / "run_guide.py"), str(guide)], folder)
    return process.returncode, process.stdout + process.stderr


def test_there_is_something_to_run() -> None:
    assert {"factorization.md", "ndimage.md"} <= {guide.name for guide in GUIDES}


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_a_guide_runs_and_prints_what_it_says(guide: Path, tmp_path: Path) -> None:
    code, output = run_guide(guide, tmp_path)
    assert code == 0, output
    assert "blocks" in output


def test_a_guide_that_says_something_else_fails(tmp_path: Path) -> None:
    guide = tmp_path / "wrong.md"
    guide.write_text("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    code, output = run_guide(guide, tmp_path)
    assert code == 1
    assert "it prints\n2" in output


def test_what_a_guide_does_not_say_fails(tmp_path: Path) -> None:
    guide = tmp_path / "silent.md"
    guide.write_text("```python\nprint(1)\n```\n\n```python\nx = 2\n```\n")
    assert run_guide(guide, tmp_path)[0] == 1
