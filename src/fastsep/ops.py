"""The functions, with keras.ops signatures: compile, call once.

No plan of layers.py is made for the one call: it would copy the weights for its pickle, which costs more than
computing a small image (depthwise 1×8×8×8: 17.5 µs with a plan, 6.6 without).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastsep import _validate
from fastsep._activations import Activation
from fastsep._job import CompiledPlan
from fastsep._make import (
    ConvParts,
    borrowed,
    make_depthwise,
    make_pointwise,
    make_separable,
    pointwise_ranks,
)
from fastsep._plan import run_checked
from fastsep._usual import UsualCall
from fastsep._validate import Array


def conv(
    inputs: Array,
    kernel: Array,
    strides: int | tuple[int, ...] = 1,
    padding: Any = "valid",
    data_format: str | None = None,
    dilation_rate: int | tuple[int, ...] = 1,
    *,
    bias: Array | None = None,
    activation: Activation = None,
    residual: Array | None = None,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Standard convolution with groups, as ``keras.ops.conv``.

    Parameters
    ----------
    inputs : ndarray (batch, *spatial, Cin), or (batch, Cin, *spatial) for "channels_first"
        float32 or float64; one to three spatial axes.
    kernel : ndarray (*K, Cin/groups, Cout)
        Groups are inferred.
    strides, padding, data_format, dilation_rate, bias, activation
        As in `Conv`.
    residual, out, threads
        As in `Conv.__call__`.

    Returns
    -------
    ndarray (batch, *spatial, Cout), or channels first
        activation(conv + bias + residual); `out` if given.

    Raises
    ------
    TypeError, ValueError
        An argument is wrong; the message names it, what it got and what would be right.
    """
    _same_dtype(inputs, kernel, "kernel")
    parts = ConvParts(borrowed, kernel, strides, padding, dilation_rate, bias, activation)
    first = _validate.channels_first(data_format)
    weights = parts.kernel
    ranks = (weights.ndim - 2,)
    x = _validate.inputs(inputs, ranks, first, weights.dtype)
    compiled = parts.pack(x.shape[1 if first else -1])
    return _call(compiled, ranks, first, weights.dtype, "kernel", x, out, residual, threads)


def depthwise_conv(
    inputs: Array,
    kernel: Array,
    strides: int | tuple[int, ...] = 1,
    padding: Any = "valid",
    data_format: str | None = None,
    dilation_rate: int | tuple[int, ...] = 1,
    *,
    bias: Array | None = None,
    activation: Activation = None,
    residual: Array | None = None,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Depthwise convolution, as ``keras.ops.depthwise_conv``.

    Parameters
    ----------
    inputs : ndarray (batch, *spatial, C), or (batch, C, *spatial) for "channels_first"
        float32 or float64; one to three spatial axes.
    kernel : ndarray (*K, C, M)
        Output channel c·M + m is channel c under filter m.
    strides, padding, data_format, dilation_rate, bias, activation
        As in `Conv`.
    residual, out, threads
        As in `Conv.__call__`.

    Returns
    -------
    ndarray (batch, *spatial, C·M), or channels first
        activation(conv + bias + residual); `out` if given.

    Raises
    ------
    TypeError, ValueError
        An argument is wrong; the message names it, what it got and what would be right.
    """
    _same_dtype(inputs, kernel, "kernel")
    compiled, weights, _ = make_depthwise(borrowed, kernel, strides, padding, dilation_rate, bias, activation)
    first = _validate.channels_first(data_format)
    ranks = (weights.ndim - 2,)
    return _call(compiled, ranks, first, weights.dtype, "kernel", inputs, out, residual, threads)


def separable_conv(
    inputs: Array,
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
    residual: Array | None = None,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Depthwise then pointwise convolution, fused, as ``keras.ops.separable_conv``.

    Parameters
    ----------
    inputs : ndarray (batch, *spatial, C), or (batch, C, *spatial) for "channels_first"
        float32 or float64; one to three spatial axes.
    depthwise_kernel : ndarray (*K, C, M)
    pointwise_kernel : ndarray (C·M, Cout) or (1, …, 1, C·M, Cout)
    strides, padding, data_format, dilation_rate, depthwise_bias, depthwise_activation, bias, activation
        As in `SeparableConv`.
    residual, out, threads
        As in `Conv.__call__`.

    Returns
    -------
    ndarray (batch, *spatial, Cout), or channels first
        activation(separable_conv + bias + residual); `out` if given.

    Raises
    ------
    TypeError, ValueError
        An argument is wrong; the message names it, what it got and what would be right.
    """
    _same_dtype(inputs, depthwise_kernel, "depthwise_kernel")
    compiled, weights, *_ = make_separable(
        borrowed,
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
    first = _validate.channels_first(data_format)
    ranks = (weights.ndim - 2,)
    return _call(compiled, ranks, first, weights.dtype, "depthwise_kernel", inputs, out, residual, threads)


def pointwise_conv(
    inputs: Array,
    kernel: Array,
    *,
    data_format: str | None = None,
    bias: Array | None = None,
    activation: Activation = None,
    residual: Array | None = None,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Pointwise convolution: ``inputs @ kernel`` over channels.

    Parameters
    ----------
    inputs : ndarray (batch, *spatial, Cin), or (batch, Cin, *spatial) for "channels_first"
        float32 or float64; one to three spatial axes.
    kernel : ndarray (Cin, Cout) or (1, …, 1, Cin, Cout)
    data_format, bias, activation
        As in `Conv`.
    residual, out, threads
        As in `Conv.__call__`.

    Returns
    -------
    ndarray (batch, *spatial, Cout), or channels first
        activation(conv + bias + residual); `out` if given.

    Raises
    ------
    TypeError, ValueError
        An argument is wrong; the message names it, what it got and what would be right.
    """
    _same_dtype(inputs, kernel, "kernel")
    compiled, weights, _ = make_pointwise(borrowed, kernel, bias, activation)
    first = _validate.channels_first(data_format)
    ranks = pointwise_ranks(weights)
    return _call(compiled, ranks, first, weights.dtype, "kernel", inputs, out, residual, threads)


def _same_dtype(inputs: object, kernel: object, name: str) -> None:
    """Before any weight is packed: a wrong dtype is the commonest mistake."""
    _validate.dtype_of_array(inputs, "inputs", _validate.dtype_of_array(kernel, name), name)


def _call(
    compiled: CompiledPlan,
    ranks: tuple[int, ...],
    first: bool,
    dtype: np.dtype[Any],
    kernel: str,
    inputs: object,
    out: object,
    residual: object,
    threads: object,
) -> Array:
    """`kernel`: the name of the one that takes the inputs."""
    result = UsualCall(compiled, dtype, ranks, first, None).run(inputs, out, residual, threads)
    if result is not None:
        return result

    def compiled_for(channels: int) -> CompiledPlan:
        _validate.input_channels(channels, compiled.inputs, kernel)
        return compiled

    return run_checked(compiled_for, ranks, first, dtype, kernel, inputs, out, residual, threads)
