"""Types of the compiled module; its documentation is in src/_kernels."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from fastsep._passes import Pass

class FilterPlan:
    @property
    def traversals(self) -> int: ...

def filter_passes(
    input: NDArray[Any],
    output: NDArray[Any],
    passes: Sequence[Pass],
    *,
    arithmetic: str,
    missing: str | None = None,
    threads: int | None = None,
) -> FilterPlan | None: ...
def filter_pair(
    input: NDArray[Any],
    output: NDArray[Any],
    passes: Sequence[Pass],
    others: Sequence[Pass],
    *,
    arithmetic: str,
    joint: str,
    whole: float = 1.0,
    always: bool = False,
    threads: int | None = None,
) -> FilterPlan | None: ...
