"""Types of the compiled module; its documentation is in src/_kernels."""

from typing import Any

import numpy as np

from fastsep._job import CompiledPlan
from fastsep._validate import Array

class UsualCall:
    plan: CompiledPlan
    def __init__(
        self,
        plan: CompiledPlan,
        dtype: np.dtype[Any],
        ranks: tuple[int, ...],
        channels_first: bool,
        threads: int | None,
    ) -> None: ...
    def run(self, x: object, out: object, residual: object, threads: object, /) -> Array | None: ...
