"""Types of the compiled module; its documentation is in src/_kernels."""

from fastsep._depthwise import DepthwisePlan
from fastsep._job import CompiledPlan
from fastsep._pointwise import PointwisePlan

class InvertedResidualPlan(CompiledPlan):
    def __init__(self, expand: PointwisePlan, depthwise: DepthwisePlan, project: PointwisePlan) -> None: ...
