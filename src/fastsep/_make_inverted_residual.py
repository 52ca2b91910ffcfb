"""From arguments to the compiled plan of an inverted residual, as _make.py does for the other layers."""

from __future__ import annotations

from typing import Any

from fastsep import _validate
from fastsep._activations import Activation, epilogue
from fastsep._depthwise import DepthwisePlan
from fastsep._excite import ExcitePlan
from fastsep._inverted_residual import InvertedResidualPlan
from fastsep._isa import get_isa
from fastsep._make import Hold, held_bias, held_depthwise_kernel
from fastsep._pointwise import PointwisePlan
from fastsep._separable import SeparablePlan
from fastsep._squeeze_excite import SqueezeExcite
from fastsep._validate import Array


class InvertedResidualParts:
    """The weights held, and the plan: expansion, depthwise, perhaps a gate, and projection."""

    __slots__ = ("biases", "depthwise", "expand", "inputs", "isa", "plan", "project")
    plan: SeparablePlan | ExcitePlan

    def __init__(
        self,
        hold: Hold,
        expand_kernel: Array | None,
        depthwise_kernel: Array,
        project_kernel: Array,
        strides: int | tuple[int, ...],
        padding: Any,
        dilation_rate: int | tuple[int, ...],
        expand_bias: Array | None,
        depthwise_bias: Array | None,
        bias: Array | None,
        activation: Activation,
        residual: bool,
        squeeze_excite: SqueezeExcite | None,
        isa: str | None = None,
    ) -> None:
        depthwise = held_depthwise_kernel(hold, depthwise_kernel, "depthwise_kernel")
        dtype = depthwise.dtype
        channels, multiplier = depthwise.shape[-2:]
        if multiplier != 1:
            raise ValueError(
                "depthwise_kernel must have the form (*K, C, 1) in an inverted residual; "
                f"got shape {depthwise.shape}"
            )
        project = hold(
            _validate.pointwise_kernel(project_kernel, "project_kernel", dtype, "depthwise_kernel")
        )
        if project.shape[-2] != channels:
            raise ValueError(
                f"project_kernel takes {project.shape[-2]} channels, depthwise_kernel gives {channels}"
            )
        expand = None
        if expand_kernel is not None:
            expand = hold(
                _validate.pointwise_kernel(expand_kernel, "expand_kernel", dtype, "depthwise_kernel")
            )
            if expand.shape[-1] != channels:
                raise ValueError(
                    f"expand_kernel gives {expand.shape[-1]} channels, depthwise_kernel takes {channels}"
                )
        elif expand_bias is not None:
            raise ValueError("expand_bias needs an expand_kernel; got expand_kernel=None")
        for name, kernel in (("expand_kernel", expand), ("project_kernel", project)):
            if kernel is not None and kernel.ndim not in (2, depthwise.ndim):
                raise ValueError(
                    f"{name} must have 2 axes or as many as depthwise_kernel, {depthwise.ndim}; "
                    f"got {kernel.ndim}"
                )
        if not isinstance(residual, bool):
            raise TypeError(f"residual must be True or False: the inputs are added, or not; got {residual!r}")
        if squeeze_excite is not None:
            _validate.instance(squeeze_excite, "squeeze_excite", SqueezeExcite)
            squeeze_excite._fits(channels, depthwise.ndim, dtype)
        offsets = held_bias(hold, expand_bias, "expand_bias", channels, dtype, "depthwise_kernel")
        between = held_bias(hold, depthwise_bias, "depthwise_bias", channels, dtype, "depthwise_kernel")
        last_bias = held_bias(hold, bias, "bias", project.shape[-1], dtype, "depthwise_kernel")
        window = _validate.window(depthwise.shape[:-2], strides, padding, dilation_rate)
        inputs = channels if expand is None else expand.shape[-2]
        if residual and inputs != project.shape[-1]:
            raise ValueError(
                f"residual=True needs as many output channels as inputs, {inputs}; "
                f"project_kernel gives {project.shape[-1]}"
            )
        if residual:
            _validate.residual_window(window, strides, padding)
        curve = epilogue(activation, "activation", dtype)
        linear = epilogue(None, "activation", dtype)
        isa = get_isa() if isa is None else isa
        middle = DepthwisePlan(depthwise, between, 1, window, curve, isa)
        last = PointwisePlan(project, last_bias, linear, isa)
        first = None if expand is None else PointwisePlan(expand, offsets, curve, isa)
        if squeeze_excite is not None:
            self.plan = ExcitePlan(first, middle, *squeeze_excite._compiled(isa), last)
        elif first is not None:
            rows = InvertedResidualPlan(first, middle, last)
            self.plan = ExcitePlan(first, middle, None, None, last, rows)
        else:
            self.plan = SeparablePlan(middle, last)
        self.expand, self.depthwise, self.project = expand, depthwise, project
        self.biases = {"expand_bias": offsets, "depthwise_bias": between, "bias": last_bias}
        self.inputs = inputs
        self.isa = isa
