"""Types of the compiled module; its documentation is in src/_kernels."""

from fastsep._job import CompiledPlan
from fastsep._validate import Array, Window

class DirectPlan(CompiledPlan):
    def __init__(
        self,
        kernel: Array,
        bias: Array | None,
        groups: int,
        spec: Window,
        activation: tuple[str, float, float],
        isa: str,
    ) -> None: ...
