"""Types of the compiled module; its documentation is in src/_kernels."""

from typing import Any

import numpy as np

from fastsep._job import CompiledPlan
from fastsep._validate import Window

class PoolPlan(CompiledPlan):
    def __init__(
        self,
        kind: str,
        spec: Window,
        channels: int,
        dtype: np.dtype[Any],
        isa: str,
        ceil_mode: bool = False,
    ) -> None: ...

class GlobalPoolPlan(CompiledPlan):
    def __init__(self, kind: str, channels: int, dtype: np.dtype[Any], isa: str) -> None: ...
