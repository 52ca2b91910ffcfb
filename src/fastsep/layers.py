"""The plans: packed weights and a fixed geometry, called with arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastsep import _validate
from fastsep._activations import Activation
from fastsep._depthwise import DepthwisePlan
from fastsep._excite import ExcitePlan
from fastsep._job import CompiledPlan
from fastsep._make import (
    ConvParts,
    frozen,
    make_depthwise,
    make_pointwise,
    make_separable,
    pointwise_ranks,
)
from fastsep._make_inverted_residual import InvertedResidualParts
from fastsep._plan import Plan, taps_text
from fastsep._pointwise import PointwisePlan
from fastsep._separable import SeparablePlan
from fastsep._squeeze_excite import SqueezeExcite
from fastsep._threads import check as check_threads
from fastsep._usual import UsualCall
from fastsep._validate import Array


class Conv(Plan):
    """Standard convolution, with groups.

    Parameters
    ----------
    kernel : ndarray (*K, Cin/groups, Cout), float32 or float64
        One to three spatial axes. Groups are inferred from the channels of the inputs, as Keras does.
    strides, dilation_rate : int or one int per spatial axis
    padding : {"valid", "same", "same_lower"}, int, or one (before, after) pair per spatial axis
        "same" is TensorFlow's: ceil(in / stride) outputs, the surplus after; "same_lower": before.
    data_format : None, "channels_last" or "channels_first"
    bias : ndarray (Cout,) or None
    activation : None, str or (low, high)
        "relu", "relu6", "sigmoid", "hard_sigmoid", "silu", "hard_swish", "gelu", "gelu_tanh" or a clamp.
    threads : int or None
        Default of the calls: None follows OpenMP's limit, -1 is all CPUs.

    Raises
    ------
    TypeError, ValueError
        An argument is wrong; the message names it, what it got and what would be right.

    Notes
    -----
    Cross-correlation as in ``keras.ops.conv``: out[y, x, o] = activation(bias[o] + Σ inputs[y·s + i·d - p,
    x·s + j·d - p, c]·kernel[i, j, c, o] + residual[y, x, o]), taps ascending, then channels, each step one
    FMA.
    """

    __slots__ = ("_grouped", "_parts", "_plan")
    _parts: ConvParts
    _plan: CompiledPlan  # of one group
    # Of more groups, by input channels: they only show when inputs come.
    _grouped: dict[int, UsualCall]

    def __init__(
        self,
        kernel: Array,
        strides: int | tuple[int, ...] = 1,
        padding: Any = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = 1,
        *,
        bias: Array | None = None,
        activation: Activation = None,
        threads: int | None = None,
    ) -> None:
        parts = ConvParts(frozen, kernel, strides, padding, dilation_rate, bias, activation)
        check_threads(threads)
        channels, outputs = parts.kernel.shape[-2:]
        self._set(
            _parts=parts,
            # The usual case is packed now.
            _plan=parts.pack(channels),
            _grouped={},
            _ranks=(parts.kernel.ndim - 2,),
            _channels_first=_validate.channels_first(data_format),
            _dtype=parts.kernel.dtype,
            _outputs=outputs,
            _isa=parts.isa,
            _threads=threads,
            _arguments={
                "kernel": parts.kernel,
                "strides": strides,
                "padding": padding,
                "data_format": data_format,
                "dilation_rate": dilation_rate,
                "bias": parts.bias,
                "activation": activation,
                "threads": threads,
            },
        )
        self._make_usual(self._plan)

    def _compiled(self, channels: int) -> CompiledPlan:
        if channels == self._parts.kernel.shape[-2]:
            return self._plan
        if channels not in self._grouped:
            self._grouped[channels] = self._usual_call(self._parts.pack(channels))
        return self._grouped[channels].plan

    def _run_checked(self, inputs: object, out: object, residual: object, threads: object) -> Array:
        if type(inputs) is np.ndarray and inputs.ndim > 2:
            usual = self._grouped.get(inputs.shape[1 if self._channels_first else -1])
            result = None if usual is None else usual.run(inputs, out, residual, threads)
            if result is not None:
                return result
        return super()._run_checked(inputs, out, residual, threads)

    def __call__(
        self,
        inputs: Array,
        out: Array | None = None,
        *,
        residual: Array | None = None,
        threads: int | None = None,
    ) -> Array:
        """Convolve.

        Parameters
        ----------
        inputs : ndarray (batch, *spatial, Cin), or (batch, Cin, *spatial) for "channels_first"
            The kernel's dtype; any strides, alignment and byte order. Never written.
        out : ndarray or None
            Receives the result; the output's shape and dtype, any strides. It may overlap `inputs` or
            `residual`: the result is as if it did not.
        residual : ndarray or None
            Added before the activation; the output's shape.
        threads : int or None
            None is the plan's default.

        Returns
        -------
        ndarray
            `out`, or a new array.
        """
        return self._run(inputs, out, residual, threads)

    def _work(
        self, compiled: CompiledPlan, batch: int, inputs: int, outputs: int, channels: int
    ) -> tuple[int, int]:
        size = self._parts.kernel.size
        return 2 * batch * outputs * size, size

    def _fusion(self, compiled: CompiledPlan) -> str:
        return super()._fusion(compiled) + self._runs_as(compiled)

    def _choice(self) -> str:
        return f"one group{self._runs_as(self._usual.plan)}: {super()._choice()}"

    @staticmethod
    def _runs_as(compiled: CompiledPlan) -> str:
        kind = {"PointwisePlan": "pointwise", "DepthwisePlan": "depthwise"}.get(type(compiled).__name__)
        return f" (runs as a {kind} convolution)" if kind else ""

    def _outline(self) -> str:
        inputs, outputs = self._parts.kernel.shape[-2:]
        return f"{taps_text(self._parts.kernel.shape[:-2])}, {inputs} → {outputs}"


class DepthwiseConv(Plan):
    """Depthwise convolution: every channel with filters of its own.

    Parameters
    ----------
    kernel : ndarray (*K, C, M), float32 or float64
        One to three spatial axes; output channel c·M + m is channel c under filter m.
    strides, padding, data_format, dilation_rate, activation, threads
        As in `Conv`.
    bias : ndarray (C·M,) or None

    Raises
    ------
    TypeError, ValueError
        An argument is wrong; the message names it, what it got and what would be right.

    Notes
    -----
    As ``keras.ops.depthwise_conv``; taps ascending, each step one FMA.
    """

    __slots__ = ("_kernel", "_plan")
    _kernel: Array
    _plan: DepthwisePlan

    def __init__(
        self,
        kernel: Array,
        strides: int | tuple[int, ...] = 1,
        padding: Any = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = 1,
        *,
        bias: Array | None = None,
        activation: Activation = None,
        threads: int | None = None,
    ) -> None:
        plan, weights, offsets = make_depthwise(
            frozen, kernel, strides, padding, dilation_rate, bias, activation
        )
        check_threads(threads)
        self._set(
            _kernel=weights,
            _plan=plan,
            _ranks=(weights.ndim - 2,),
            _channels_first=_validate.channels_first(data_format),
            _dtype=weights.dtype,
            _outputs=plan.outputs,
            _isa=plan.isa,
            _threads=threads,
            _arguments={
                "kernel": weights,
                "strides": strides,
                "padding": padding,
                "data_format": data_format,
                "dilation_rate": dilation_rate,
                "bias": offsets,
                "activation": activation,
                "threads": threads,
            },
        )
        self._make_usual(plan)

    def _compiled(self, channels: int) -> CompiledPlan:
        _validate.input_channels(channels, self._kernel.shape[-2], "kernel")
        return self._plan

    def __call__(
        self,
        inputs: Array,
        out: Array | None = None,
        *,
        residual: Array | None = None,
        threads: int | None = None,
    ) -> Array:
        """Convolve; parameters as in `Conv.__call__`."""
        return self._run(inputs, out, residual, threads)

    def _work(
        self, compiled: CompiledPlan, batch: int, inputs: int, outputs: int, channels: int
    ) -> tuple[int, int]:
        return 2 * batch * outputs * self._kernel.size, self._kernel.size

    def _outline(self) -> str:
        channels, multiplier = self._kernel.shape[-2:]
        times = f" × {multiplier}" if multiplier > 1 else ""
        return f"{taps_text(self._kernel.shape[:-2])}, {channels}{times}"


class PointwiseConv(Plan):
    """Pointwise convolution: a linear layer over channels, at every pixel.

    Parameters
    ----------
    kernel : ndarray (Cin, Cout) or (1, …, 1, Cin, Cout), float32 or float64
        (Cin, Cout) takes inputs of one, two or three spatial axes; axes of 1 fix how many.
    data_format, bias, activation, threads
        As in `Conv`.

    Raises
    ------
    TypeError, ValueError
        An argument is wrong; the message names it, what it got and what would be right.

    Notes
    -----
    Equals ``inputs @ kernel + bias`` for channels_last; channels ascending, each step one FMA.
    """

    __slots__ = ("_kernel", "_plan")
    _kernel: Array
    _plan: PointwisePlan

    def __init__(
        self,
        kernel: Array,
        *,
        data_format: str | None = None,
        bias: Array | None = None,
        activation: Activation = None,
        threads: int | None = None,
    ) -> None:
        plan, weights, offsets = make_pointwise(frozen, kernel, bias, activation)
        check_threads(threads)
        self._set(
            _kernel=weights,
            _plan=plan,
            _ranks=pointwise_ranks(weights),
            _channels_first=_validate.channels_first(data_format),
            _dtype=weights.dtype,
            _outputs=plan.outputs,
            _isa=plan.isa,
            _threads=threads,
            _arguments={
                "kernel": weights,
                "data_format": data_format,
                "bias": offsets,
                "activation": activation,
                "threads": threads,
            },
        )
        self._make_usual(plan)

    def _compiled(self, channels: int) -> CompiledPlan:
        _validate.input_channels(channels, self._kernel.shape[-2], "kernel")
        return self._plan

    def __call__(
        self,
        inputs: Array,
        out: Array | None = None,
        *,
        residual: Array | None = None,
        threads: int | None = None,
    ) -> Array:
        """Convolve; parameters as in `Conv.__call__`."""
        return self._run(inputs, out, residual, threads)

    def _work(
        self, compiled: CompiledPlan, batch: int, inputs: int, outputs: int, channels: int
    ) -> tuple[int, int]:
        return 2 * batch * outputs * self._kernel.size, self._kernel.size

    def _outline(self) -> str:
        inputs, outputs = self._kernel.shape[-2:]
        return f"{inputs} → {outputs}"


class SeparableConv(Plan):
    """Depthwise, then pointwise, fused: the array between them never exists.

    Parameters
    ----------
    depthwise_kernel : ndarray (*K, C, M), float32 or float64
    pointwise_kernel : ndarray (C·M, Cout) or (1, …, 1, C·M, Cout)
    strides, padding, data_format, dilation_rate
        Of the depthwise part, as in `Conv`.
    depthwise_bias : ndarray (C·M,) or None
    depthwise_activation
        Applied between the two parts.
    bias, activation
        Of the pointwise part.
    threads : int or None

    Raises
    ------
    TypeError, ValueError
        An argument is wrong; the message names it, what it got and what would be right.

    Notes
    -----
    As ``keras.ops.separable_conv``. The bits are those of `DepthwiseConv` followed by `PointwiseConv`.
    """

    __slots__ = ("_depthwise_kernel", "_plan", "_pointwise_kernel")
    _dtype_of = "depthwise_kernel"
    _depthwise_kernel: Array
    _plan: SeparablePlan
    _pointwise_kernel: Array

    def __init__(
        self,
        depthwise_kernel: Array,
        pointwise_kernel: Array,
        strides: int | tuple[int, ...] = 1,
        padding: Any = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = 1,
        *,
        depthwise_bias: Array | None = None,
        depthwise_activation: Activation = None,
        bias: Array | None = None,
        activation: Activation = None,
        threads: int | None = None,
    ) -> None:
        plan, depthwise, pointwise, between, offsets = make_separable(
            frozen,
            depthwise_kernel,
            pointwise_kernel,
            strides,
            padding,
            dilation_rate,
            depthwise_bias,
            depthwise_activation,
            bias,
            activation,
        )
        check_threads(threads)
        self._set(
            _depthwise_kernel=depthwise,
            _pointwise_kernel=pointwise,
            _plan=plan,
            _ranks=(depthwise.ndim - 2,),
            _channels_first=_validate.channels_first(data_format),
            _dtype=depthwise.dtype,
            _outputs=plan.outputs,
            _isa=plan.isa,
            _threads=threads,
            _arguments={
                "depthwise_kernel": depthwise,
                "pointwise_kernel": pointwise,
                "strides": strides,
                "padding": padding,
                "data_format": data_format,
                "dilation_rate": dilation_rate,
                "depthwise_bias": between,
                "depthwise_activation": depthwise_activation,
                "bias": offsets,
                "activation": activation,
                "threads": threads,
            },
        )
        self._make_usual(plan)

    def _compiled(self, channels: int) -> CompiledPlan:
        _validate.input_channels(channels, self._depthwise_kernel.shape[-2], "depthwise_kernel")
        return self._plan

    def __call__(
        self,
        inputs: Array,
        out: Array | None = None,
        *,
        residual: Array | None = None,
        threads: int | None = None,
    ) -> Array:
        """Convolve; parameters as in `Conv.__call__`."""
        return self._run(inputs, out, residual, threads)

    def _work(
        self, compiled: CompiledPlan, batch: int, inputs: int, outputs: int, channels: int
    ) -> tuple[int, int]:
        size = self._depthwise_kernel.size + self._pointwise_kernel.size
        return 2 * batch * outputs * size, size

    def _fusion(self, compiled: CompiledPlan) -> str:
        return "depthwise → pointwise: the depthwise outputs of a tile stay in cache"

    def _outline(self) -> str:
        channels, multiplier = self._depthwise_kernel.shape[-2:]
        times = f" × {multiplier}" if multiplier > 1 else ""
        return f"{taps_text(self._depthwise_kernel.shape[:-2])}, {channels}{times} → {self._outputs}"


class InvertedResidual(Plan):
    """MobileNetV2's block, fused: expand, depthwise, project, and add the input.

    Parameters
    ----------
    expand_kernel : ndarray (Cin, C) or (1, …, 1, Cin, C), or None
        None: expansion 1, the block begins with the depthwise part.
    depthwise_kernel : ndarray (*K, C, 1)
    project_kernel : ndarray (C, Cout) or (1, …, 1, C, Cout)
    strides, padding, data_format, dilation_rate
        Of the depthwise part, as in `Conv`, but padding is "same" unless said otherwise.
    expand_bias, depthwise_bias, bias : ndarray (channels,) or None
    activation
        Of the expansion and of the depthwise part; the projection is linear.
    residual : bool
        Add the inputs to the outputs, which then must have the same shape: as many channels, ``strides=1``,
        and "same" or as much explicit padding.
    squeeze_excite : SqueezeExcite or None
        A gate on the channels of the depthwise outputs, from their means over an image: MobileNetV3's and
        EfficientNet's block. A call then holds the depthwise outputs of at least one image.
    threads : int or None

    Raises
    ------
    TypeError, ValueError
        An argument is wrong; the message names it, what it got and what would be right.

    Notes
    -----
    Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018). The bits are those of
    `PointwiseConv`, `DepthwiseConv` and `PointwiseConv(…)(…, residual=inputs)` one after another. Between the
    last two, `squeeze_excite` multiplies by its gate: see `SqueezeExcite`.
    """

    __slots__ = (
        "_depthwise_kernel",
        "_expand_kernel",
        "_plan",
        "_project_kernel",
        "_residual",
        "_squeeze_excite",
    )
    _dtype_of = "depthwise_kernel"
    _depthwise_kernel: Array
    _expand_kernel: Array | None
    _plan: SeparablePlan | ExcitePlan
    _project_kernel: Array
    _residual: bool
    _squeeze_excite: SqueezeExcite | None

    def __init__(
        self,
        expand_kernel: Array | None,
        depthwise_kernel: Array,
        project_kernel: Array,
        *,
        strides: int | tuple[int, ...] = 1,
        padding: Any = "same",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = 1,
        expand_bias: Array | None = None,
        depthwise_bias: Array | None = None,
        bias: Array | None = None,
        activation: Activation = "relu6",
        residual: bool = False,
        squeeze_excite: SqueezeExcite | None = None,
        threads: int | None = None,
    ) -> None:
        parts = InvertedResidualParts(
            frozen,
            expand_kernel,
            depthwise_kernel,
            project_kernel,
            strides,
            padding,
            dilation_rate,
            expand_bias,
            depthwise_bias,
            bias,
            activation,
            residual,
            squeeze_excite,
        )
        check_threads(threads)
        self._set(
            _expand_kernel=parts.expand,
            _depthwise_kernel=parts.depthwise,
            _project_kernel=parts.project,
            _residual=residual,
            _squeeze_excite=squeeze_excite,
            _plan=parts.plan,
            _inputs=parts.inputs,
            _ranks=(parts.depthwise.ndim - 2,),
            _channels_first=_validate.channels_first(data_format),
            _dtype=parts.depthwise.dtype,
            _outputs=parts.project.shape[-1],
            _isa=parts.isa,
            _threads=threads,
            _arguments={
                "expand_kernel": parts.expand,
                "depthwise_kernel": parts.depthwise,
                "project_kernel": parts.project,
                "strides": strides,
                "padding": padding,
                "data_format": data_format,
                "dilation_rate": dilation_rate,
                **parts.biases,
                "activation": activation,
                "residual": residual,
                "squeeze_excite": squeeze_excite,
                "threads": threads,
            },
        )
        self._make_usual(parts.plan)

    def _compiled(self, channels: int) -> CompiledPlan:
        name = "depthwise_kernel" if self._expand_kernel is None else "expand_kernel"
        _validate.input_channels(channels, self._inputs, name)
        return self._plan

    def __call__(self, inputs: Array, out: Array | None = None, *, threads: int | None = None) -> Array:
        """Run the block; parameters as in `Conv.__call__`, but for the residual, which is the block's own."""
        residual = self._own_residual(inputs)
        result = self._usual.run(inputs, out, residual, threads)
        if result is not None:
            return result
        return self._run_checked(inputs, out, residual, threads)

    def _own_residual(self, x: Array) -> Array | None:
        return x if self._residual else None

    def _work(
        self, compiled: CompiledPlan, batch: int, inputs: int, outputs: int, channels: int
    ) -> tuple[int, int]:
        expand = 0 if self._expand_kernel is None else self._expand_kernel.size
        rest = self._depthwise_kernel.size + self._project_kernel.size
        gate = 0 if self._squeeze_excite is None else self._squeeze_excite._weights
        return 2 * batch * (inputs * expand + outputs * rest + gate), expand + rest + gate

    def _fusion(self, compiled: CompiledPlan) -> str:
        if self._squeeze_excite is None:
            start = "" if self._expand_kernel is None else "expand → "
            image = "the image between" if self._expand_kernel is None else "the expanded image"
            return f"{start}depthwise → project: rows of {image} live in cache only"
        start = (
            ""
            if self._expand_kernel is None
            else "expand → depthwise: rows of the expanded image live in cache only; "
        )
        return f"{start}sums of the channels with the depthwise part, gate with the staging of the projection"

    def _outline(self) -> str:
        taps = taps_text(self._depthwise_kernel.shape[:-2])
        return f"{taps}, {self._inputs} → {self._depthwise_kernel.shape[-2]} → {self._outputs}"
