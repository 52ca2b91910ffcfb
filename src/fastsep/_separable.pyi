"""Types of the compiled module; its documentation is in src/_kernels."""

from fastsep._depthwise import DepthwisePlan
from fastsep._job import CompiledPlan
from fastsep._pointwise import PointwisePlan

class SeparablePlan(CompiledPlan):
    def __init__(self, depthwise: DepthwisePlan, pointwise: PointwisePlan) -> None: ...
