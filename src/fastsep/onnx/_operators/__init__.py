"""Operators by name."""

from __future__ import annotations

from fastsep.onnx._operators import (
    activations,
    convolution,
    elementwise,
    fused,
    indexing,
    matrix,
    normalization,
    pooling,
    reduction,
    shapes,
)
from fastsep.onnx._operators._operator import Operator

OPERATORS: dict[str, Operator] = {
    **elementwise.OPERATORS,
    **activations.OPERATORS,
    **convolution.OPERATORS,
    **pooling.OPERATORS,
    **matrix.OPERATORS,
    **normalization.OPERATORS,
    **reduction.OPERATORS,
    **shapes.OPERATORS,
    **indexing.OPERATORS,
    **fused.OPERATORS,
}
