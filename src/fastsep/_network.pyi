"""Types of the compiled module; its documentation is in src/_kernels."""

from collections.abc import Iterable

from fastsep._job import CompiledPlan
from fastsep._validate import Array

class Network:
    threads: int
    def __init__(
        self,
        steps: Iterable[tuple[CompiledPlan, Array | None, Array | None, Array | None]],
        threads: int | None = None,
    ) -> None: ...
    def __len__(self) -> int: ...
    @property
    def scratch_bytes(self) -> int: ...
    def bind(
        self, index: int, x: Array | None = None, out: Array | None = None, residual: Array | None = None
    ) -> None: ...
    def run(
        self, replacements: Iterable[tuple[int, Array | None, Array | None, Array | None]] = ()
    ) -> None: ...
    def run_timed(
        self, replacements: Iterable[tuple[int, Array | None, Array | None, Array | None]] = ()
    ) -> list[float]: ...
