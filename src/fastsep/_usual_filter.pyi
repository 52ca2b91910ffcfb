"""Types of the compiled module; its documentation is in src/_kernels."""

from typing import Any

from numpy.typing import NDArray

from fastsep._lines import FilterPlan

Key = tuple[object, ...]

class UsualFilters:
    def __init__(self, most: int) -> None: ...
    def __len__(self) -> int: ...
    def run(
        self, call: tuple[object, ...], array: NDArray[Any], output: object, threads: int | None, /
    ) -> NDArray[Any] | None: ...
    def keep(self, key: Key, plan: FilterPlan, output: NDArray[Any], /) -> None: ...

def key_of(call: tuple[object, ...], array: NDArray[Any], output: object, /) -> Key | None: ...
