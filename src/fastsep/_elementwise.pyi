"""Types of the compiled module; its documentation is in src/_kernels."""

from typing import Any

import numpy as np

from fastsep._job import CompiledPlan

class ElementwisePlan(CompiledPlan):
    def __init__(
        self, kind: str, channels: int, activation: tuple[str, float, float], dtype: np.dtype[Any], isa: str
    ) -> None: ...
