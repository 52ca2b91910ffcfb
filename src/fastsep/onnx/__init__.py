"""Convolutional networks from ONNX files, with ONNX Runtime's interface."""

from typing import TYPE_CHECKING

from fastsep.onnx._errors import ModelError, UnsupportedOperator
from fastsep.onnx._graph import ModelMetadata
from fastsep.onnx._options import (
    ExecutionMode,
    GraphOptimizationLevel,
    RunOptions,
    SessionOptions,
    get_available_providers,
    get_device,
)
from fastsep.onnx._ports import NodeArg
from fastsep.onnx._session import InferenceSession

if TYPE_CHECKING:
    from fastsep.onnx._summary import StepSummary, Summary
else:

    def __getattr__(name):
        # A session starts without what accounts for it.
        if name in ("StepSummary", "Summary"):
            from fastsep.onnx import _summary

            return getattr(_summary, name)
        raise AttributeError(f"module 'fastsep.onnx' has no attribute {name!r}")


__all__ = [
    "ExecutionMode",
    "GraphOptimizationLevel",
    "InferenceSession",
    "ModelError",
    "ModelMetadata",
    "NodeArg",
    "RunOptions",
    "SessionOptions",
    "StepSummary",
    "Summary",
    "UnsupportedOperator",
    "get_available_providers",
    "get_device",
]
