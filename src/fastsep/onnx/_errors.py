"""What is wrong with a model file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


class ModelError(ValueError):
    """The file is no valid ONNX model, or asks for what cannot be had; the message says where and what."""


class UnsupportedOperator(ModelError):
    """The model uses an operator, a data type or a way of using an operator that is not implemented."""


class DependsOnValuesError(ValueError):
    """A shape follows from values that only a run knows."""


#: What comes of a node whose attributes, operands and shapes do not fit one another.
CONTRADICTIONS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def raise_of(node: str, error: Exception) -> NoReturn:
    """Raise what came of a node as an error that says of which: `node` describes it.

    Operators name themselves in their errors. What is left comes of models that leave sizes open and of saved
    files that were changed.

    Raises
    ------
    ModelError, DependsOnValuesError, ValueError
    """
    if isinstance(error, ValueError) and " node " in str(error):
        raise error
    raise ModelError(f"{node}: its attributes and operands contradict one another ({error})") from error


@contextmanager
def reading(source: object) -> Iterator[None]:
    """Say of what is wrong with a model that the model is wrong, and in which file if `source` is a path."""
    try:
        yield
    except ValueError as error:
        kind = type(error) if isinstance(error, ModelError) else ModelError
        where = f"{os.fspath(source)}: " if isinstance(source, str | os.PathLike) else ""
        if where or kind is not type(error):
            raise kind(f"{where}{error}") from error
        raise
