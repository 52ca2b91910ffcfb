"""What the interpreter and the planner know of an operator."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from fastsep.onnx._graph import Array, Node, Spec


class Operator(NamedTuple):
    """One operator in its one form: shapes, and its definition in NumPy.

    `compute` may return views of its inputs only where `view` says so. `into` writes the outputs it is given,
    which share no memory with the inputs; without it the outputs of `compute` are copied.
    """

    infer: Callable[[Node, Sequence[Spec | None]], list[Spec]]
    compute: Callable[[Node, Sequence[Array | None]], list[Array]]
    into: Callable[[Node, Sequence[Array | None], Sequence[Array]], None] | None = None
    view: bool = False
