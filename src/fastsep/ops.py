"""The functions, with keras.ops signatures: make a plan, call it once."""

from __future__ import annotations

from typing import Any

from fastsep import _validate
from fastsep._activations import Activation
from fastsep._validate import Array
from fastsep.layers import Conv, DepthwiseConv, PointwiseConv, SeparableConv


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
    plan = Conv(kernel, strides, padding, data_format, dilation_rate, bias=bias, activation=activation)
    return plan(inputs, out, residual=residual, threads=threads)


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
    plan = DepthwiseConv(
        kernel, strides, padding, data_format, dilation_rate, bias=bias, activation=activation
    )
    return plan(inputs, out, residual=residual, threads=threads)


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
    plan = SeparableConv(
        depthwise_kernel,
        pointwise_kernel,
        strides,
        padding,
        data_format,
        dilation_rate,
        depthwise_bias=depthwise_bias,
        depthwise_activation=depthwise_activation,
        bias=bias,
        activation=activation,
    )
    return plan(inputs, out, residual=residual, threads=threads)


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
    plan = PointwiseConv(kernel, data_format=data_format, bias=bias, activation=activation)
    return plan(inputs, out, residual=residual, threads=threads)


def _same_dtype(inputs: object, kernel: object, name: str) -> None:
    """Before any weight is packed: a wrong dtype is the commonest mistake."""
    _validate.dtype_of_array(inputs, "inputs", _validate.dtype_of_array(kernel, name), name)
