"""What is wrong with a model file."""

from __future__ import annotations


class ModelError(ValueError):
    """The file is no valid ONNX model, or asks for what cannot be had; the message says where and what."""


class UnsupportedOperator(ModelError):
    """The model uses an operator, a data type or a way of using an operator that is not implemented."""
