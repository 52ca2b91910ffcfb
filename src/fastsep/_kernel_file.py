"""Kernels from files, for the commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

_BETWEEN = re.compile(r"\s*[,;]\s*|\s+")


def read_kernel(path: Path) -> Any:
    """An array from a .npy file, or a matrix from text; whole numbers become integers.

    Between the numbers of a row are spaces, or a comma or semicolon.
    """
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                return np.lib.format.read_array(file, allow_pickle=False)
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(f"kernel cannot be read from {path}: {error}") from None
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    for line in lines:
        if "," in line and ";" in line:
            raise ValueError(
                f"kernel cannot be read from {path}: numbers have a point, and one sign between them; "
                f"got {line!r}"
            )
    rows = [[_number(word, path) for word in _BETWEEN.split(line)] for line in lines if line]
    if not rows:
        raise ValueError(f"kernel cannot be read from {path}: there are no numbers")
    if len({len(row) for row in rows}) > 1:
        lengths = ", ".join(str(len(row)) for row in rows)
        raise ValueError(f"kernel cannot be read from {path}: its rows have {lengths} numbers")
    return np.array(rows)


def _number(word: str, path: Path) -> int | float:
    try:
        return int(word)
    except ValueError:
        pass
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"kernel cannot be read from {path}: {word.strip()!r} is no number") from None
