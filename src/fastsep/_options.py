"""What the commands' arguments have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any


def numbers(kind: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """Numbers with commas between them."""

    def parse(text: str) -> list[Any]:
        return [kind(item) for item in text.split(",")]

    parse.__name__ = f"{kind.__name__} or list of them"
    return parse


def refuse(options: argparse.Namespace, names: Iterable[str], reason: str) -> None:
    """Refuse options that would have no effect.

    Raises
    ------
    ValueError
        One of `names` was given: its value is neither None nor False.
    """
    for name in names:
        value = getattr(options, name)
        if value is not None and value is not False:
            raise ValueError(f"--{name} {reason}")


def settle(options: argparse.Namespace, defaults: dict[str, Any]) -> None:
    """Give the options that were not given their defaults, which `refuse` may not see."""
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
