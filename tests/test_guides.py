"""The Python of the guides runs as it stands, and prints what they say."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"
GUIDES = ["factorization.md"]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[tuple[str, str]]:
    """Every block of Python, and what it is said to print."""
    return [(match[1], match[2] or "") for match in BLOCK.finditer(text)]


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_prints_what_it_says(name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    found = blocks(text)
    assert found
    assert len(found) == text.count("```python")
    assert sum(expected != "" for _, expected in found) == text.count("```text")
    space: dict[str, Any] = {}
    for source, expected in found:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(source, name, "exec"), space)
        assert printed.getvalue() == expected, source


def test_other_output_would_be_noticed() -> None:
    assert blocks("```python\nprint(1)\n```\n\n```text\n2\n```\n") == [("print(1)\n", "2\n")]
    assert blocks("```python\nx = 1\n```\n\nNothing.\n") == [("x = 1\n", "")]
