"""Squeeze-and-excite: a gate on the channels of an image, which `InvertedResidual` takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastsep import _validate
from fastsep._activations import Activation, epilogue
from fastsep._make import frozen, frozen_bias, matrix
from fastsep._plan import Immutable
from fastsep._pointwise import PointwisePlan
from fastsep._validate import Array


class SqueezeExcite(Immutable):
    """A gate on channels, computed from their means over an image.

    Parameters
    ----------
    reduce_kernel : ndarray (C, R) or (1, …, 1, C, R), float32 or float64
    expand_kernel : ndarray (R, C) or (1, …, 1, R, C)
    reduce_bias : ndarray (R,) or None
    expand_bias : ndarray (C,) or None
    activation, gate : None, str or (low, high)
        Behind the first and behind the second layer, as in `Conv`. EfficientNet: "silu" and "sigmoid";
        MobileNetV3: "relu" and "hard_sigmoid".

    Raises
    ------
    TypeError, ValueError
        An argument is wrong; the message names it, what it got and what would be right.

    Notes
    -----
    Hu et al., "Squeeze-and-Excitation Networks" (2018). For every image, with d its depthwise outputs of n
    pixels: s = Σ d / n; g = gate(activation(s @ reduce_kernel + reduce_bias) @ expand_kernel + expand_bias);
    the projection is given d·g. Each row of pixels is summed from left to right, beginning with +0, then the
    sums of the rows in ascending order, likewise; the sum is divided by n, and d·g rounded, once.
    """

    __slots__ = ("_activation", "_dtype", "_expand_kernel", "_gate", "_reduce_kernel")
    _activation: tuple[str, float, float]
    _dtype: np.dtype[Any]
    _expand_kernel: Array
    _gate: tuple[str, float, float]
    _reduce_kernel: Array

    def __init__(
        self,
        reduce_kernel: Array,
        expand_kernel: Array,
        reduce_bias: Array | None = None,
        expand_bias: Array | None = None,
        activation: Activation = "relu",
        gate: Activation = "sigmoid",
    ) -> None:
        first = frozen(_validate.pointwise_kernel(reduce_kernel, "reduce_kernel"))
        second = frozen(
            _validate.pointwise_kernel(expand_kernel, "expand_kernel", first.dtype, "reduce_kernel")
        )
        channels, reduced = first.shape[-2:]
        if second.shape[-2:] != (reduced, channels):
            raise ValueError(
                f"expand_kernel must have the form (R, C) = ({reduced}, {channels}), for a reduce_kernel of "
                f"(C, R) = ({channels}, {reduced}); got shape {second.shape}"
            )
        self._set(
            _reduce_kernel=first,
            _expand_kernel=second,
            _activation=epilogue(activation, "activation", first.dtype),
            _gate=epilogue(gate, "gate", first.dtype),
            _dtype=first.dtype,
            _arguments={
                "reduce_kernel": first,
                "expand_kernel": second,
                "reduce_bias": frozen_bias(reduce_bias, "reduce_bias", reduced, first.dtype, "reduce_kernel"),
                "expand_bias": frozen_bias(
                    expand_bias, "expand_bias", channels, first.dtype, "reduce_kernel"
                ),
                "activation": activation,
                "gate": gate,
            },
        )

    def _fits(self, channels: int, axes: int, dtype: np.dtype[Any]) -> None:
        """Raise unless a depthwise kernel of these channels, axes and dtype can be in front."""
        if self._dtype != dtype:
            raise TypeError(
                f"squeeze_excite has dtype {self._dtype}, depthwise_kernel has dtype {dtype}: "
                "they must be the same"
            )
        if self._reduce_kernel.shape[-2] != channels:
            raise ValueError(
                f"squeeze_excite takes {self._reduce_kernel.shape[-2]} channels, "
                f"depthwise_kernel gives {channels}"
            )
        for name, kernel in (("reduce_kernel", self._reduce_kernel), ("expand_kernel", self._expand_kernel)):
            if kernel.ndim not in (2, axes):
                raise ValueError(
                    f"{name} of squeeze_excite must have 2 axes or as many as depthwise_kernel, {axes}; "
                    f"got {kernel.ndim}"
                )

    def _compiled(self, isa: str) -> tuple[PointwisePlan, PointwisePlan]:
        """Both layers, packed for an instruction set."""
        channels, reduced = self._reduce_kernel.shape[-2:]
        first = matrix(self._reduce_kernel, channels)
        second = matrix(self._expand_kernel, reduced)
        return (
            PointwisePlan(first, self._arguments["reduce_bias"], self._activation, isa),
            PointwisePlan(second, self._arguments["expand_bias"], self._gate, isa),
        )

    @property
    def _weights(self) -> int:
        return self._reduce_kernel.size + self._expand_kernel.size

    def __repr__(self) -> str:
        channels, reduced = self._reduce_kernel.shape[-2:]
        return f"SqueezeExcite({channels} → {reduced}{self._options()}, {self._dtype})"
