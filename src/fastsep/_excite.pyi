"""Types of the compiled module; its documentation is in src/_kernels."""

from fastsep._depthwise import DepthwisePlan
from fastsep._inverted_residual import InvertedResidualPlan
from fastsep._job import CompiledPlan
from fastsep._pointwise import PointwisePlan

class ExcitePlan(CompiledPlan):
    def __init__(
        self,
        expand: PointwisePlan | None,
        depthwise: DepthwisePlan,
        reduce: PointwisePlan | None,
        gate: PointwisePlan | None,
        project: PointwisePlan,
        rows: InvertedResidualPlan | None = None,
    ) -> None: ...
