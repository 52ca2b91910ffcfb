"""Types of the compiled module; its documentation is in src/_kernels."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from fastsep._passes import Pass

class FilterPlan: ...

def filter_passes(
    input: NDArray[Any],
    output: NDArray[Any],
    passes: Sequence[Pass],
    *,
    arithmetic: str,
    threads: int | None = None,
) -> FilterPlan | None: ...
