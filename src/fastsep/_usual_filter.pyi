"""Types of the compiled module; its documentation is in src/_kernels."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from fastsep._lines import FilterPlan
from fastsep._passes import Pass

Key = tuple[tuple[object, ...], tuple[object, ...]]

class UsualFilters:
    def __init__(self, most: int) -> None: ...
    def __len__(self) -> int: ...
    def run(
        self, call: tuple[object, ...], array: NDArray[Any], output: object, threads: int | None, /
    ) -> NDArray[Any] | Key | None: ...
    def known_passes(self, key: Key | None, /) -> tuple[Pass, ...] | None: ...
    def keep(self, key: Key, passes: Sequence[Pass], plan: FilterPlan, output: NDArray[Any], /) -> None: ...

def key_of(call: tuple[object, ...], array: NDArray[Any], output: object, /) -> Key | None: ...
