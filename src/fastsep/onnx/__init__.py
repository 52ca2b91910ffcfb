"""Convolutional networks from ONNX files, with ONNX Runtime's interface."""

from fastsep.onnx._errors import ModelError, UnsupportedOperator
from fastsep.onnx._options import SessionOptions
from fastsep.onnx._ports import NodeArg
from fastsep.onnx._session import InferenceSession
from fastsep.onnx._summary import StepSummary, Summary

__all__ = [
    "InferenceSession",
    "ModelError",
    "NodeArg",
    "SessionOptions",
    "StepSummary",
    "Summary",
    "UnsupportedOperator",
]
