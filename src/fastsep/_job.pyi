"""Types of the compiled module; its documentation is in src/_kernels."""

from typing import Any

from fastsep._validate import Array

class CompiledPlan:
    isa: str
    item_bytes: int
    inputs: int
    outputs: int
    def choice(self) -> str: ...
    def output_shape(self, spatial: tuple[int, ...]) -> tuple[int, ...]: ...
    def pixels_read(self, spatial: tuple[int, ...]) -> int: ...
    def run(
        self, x: Array, out: Array, residual: Array | None, rank: int, channels_first: bool, threads: object
    ) -> int: ...
    def layout(
        self, x: Array, out: Array, residual: Array | None, rank: int, channels_first: bool, threads: object
    ) -> dict[str, Any]: ...
