"""What the optimiser makes of ONNX's operators: fastsep's layers as nodes of a graph.

Absent inputs are "". Kernels are in Keras' layouts. `layout` says where the channels of inputs and outputs
are in the logical shape: "NC…" behind the batch, "N…C" at the end. `strides`, `dilation_rate`: one int per
spatial axis; `padding`: "same", "same_lower" or one (before, after) pair per spatial axis; activations as
fastsep.Conv takes them.

    fastsep.Conv              x, kernel (*K, Cin/groups, Cout), bias, residual
                              strides, padding, dilation_rate, groups, activation, spatial, layout
    fastsep.Separable         x, depthwise_kernel (*K, C, M), pointwise_kernel, depthwise_bias, bias, residual
                              … without groups, depthwise_activation
    fastsep.InvertedResidual  x, expand_kernel, depthwise_kernel (*K, C, 1), project_kernel,
                              expand_bias, depthwise_bias, bias,
                              reduce_kernel, reduce_bias, gate_kernel, gate_bias
                              … without groups, residual (bool), squeeze_activation, gate
    fastsep.Dense             x (…, K), kernel (K, N), bias, residual; activation
    fastsep.Pool              x; kind "max", "average" or "average_including_padding",
                              taps, strides, padding, dilation_rate, ceil_mode,
                              layout
    fastsep.GlobalPool        x; kind "max" or "average", layout, keepdims
    fastsep.Add               x, other; activation (of the sum)
    fastsep.Multiply          x, other; activation (of the product)
    fastsep.Activation        x; activation
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastsep import layers, ops
from fastsep._squeeze_excite import SqueezeExcite
from fastsep.onnx._graph import Array, Node, Spec
from fastsep.onnx._operators import pooling
from fastsep.onnx._operators._operator import Operator
from fastsep.onnx._operators._specs import broadcast, floating, given, optional, same_dtype
from fastsep.onnx._operators._windows import windows_of

CHANNELS_FIRST = "NC…"
CHANNELS_LAST = "N…C"
#: Where the operators that take a residual have it among their inputs.
RESIDUAL = {"fastsep.Conv": 3, "fastsep.Dense": 3, "fastsep.Separable": 5}


def _format(node: Node) -> str:
    return "channels_first" if node.attributes["layout"] == CHANNELS_FIRST else "channels_last"


def _geometry(node: Node) -> dict[str, Any]:
    return {name: node.attributes[name] for name in ("strides", "padding", "dilation_rate")}


def _onnx_window(node: Node) -> dict[str, Any]:
    """Return where the windows are, in ONNX's attributes."""
    padding = node.attributes["padding"]
    attributes = {"strides": node.attributes["strides"], "dilations": node.attributes["dilation_rate"]}
    if isinstance(padding, str):
        return {**attributes, "auto_pad": {"same": "SAME_UPPER", "same_lower": "SAME_LOWER"}[padding]}
    return {**attributes, "pads": (*(before for before, _ in padding), *(after for _, after in padding))}


def _split(node: Node, shape: tuple[int, ...]) -> tuple[int, tuple[int, ...], int]:
    """Return batch, spatial sizes and channels."""
    if _format(node) == "channels_first":
        return shape[0], shape[2:], shape[1]
    return shape[0], shape[1:-1], shape[-1]


def _joined(node: Node, batch: int, spatial: Sequence[int], channels: int) -> tuple[int, ...]:
    if _format(node) == "channels_first":
        return (batch, channels, *spatial)
    return (batch, *spatial, channels)


def _image(node: Node, specs: Sequence[Spec | None], taps: int) -> Spec:
    """Return the spec of the image, which has as many spatial axes as the kernel."""
    x = floating(node, given(node, specs, 0))
    if len(x.shape) != taps + 2:
        raise ValueError(f"{node.describe()} takes an image of {taps} spatial axes; got shape {x.shape}")
    return x


def _windowed(
    node: Node,
    specs: Sequence[Spec | None],
    taps: tuple[int, ...],
    channels: int,
    outputs: int,
    residual: int,
) -> list[Spec]:
    """Return the spec of the output of windows on an image of so many channels.

    `residual` is the input that has the shape of the output.
    """
    x = _image(node, specs, len(taps))
    batch, spatial, depth = _split(node, x.shape)
    if depth != channels:
        raise ValueError(f"{node.describe()} takes {channels} channels; got {depth}, in shape {x.shape}")
    sizes = windows_of(node._replace(attributes=_onnx_window(node)), spatial, taps).outputs
    shape = _joined(node, batch, sizes, outputs)
    _same_shape(node, optional(specs, residual), shape)
    return [Spec(shape, same_dtype(node, specs))]


def _same_shape(node: Node, residual: Spec | None, shape: tuple[int, ...]) -> None:
    if residual is not None and residual.shape != shape:
        raise ValueError(f"{node.describe()} adds a value of shape {residual.shape} to one of shape {shape}")


def _conv_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    *taps, depth, outputs = given(node, specs, 1).shape
    return _windowed(node, specs, tuple(taps), depth * node.attributes["groups"], outputs, 3)


def _conv(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    result = ops.conv(
        given(node, inputs, 0),
        given(node, inputs, 1),
        data_format=_format(node),
        bias=optional(inputs, 2),
        activation=node.attributes["activation"],
        residual=optional(inputs, 3),
        **_geometry(node),
    )
    return [result]


def _separable_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    *taps, channels, _ = given(node, specs, 1).shape
    return _windowed(node, specs, tuple(taps), channels, given(node, specs, 2).shape[-1], 5)


def _separable(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    result = ops.separable_conv(
        given(node, inputs, 0),
        given(node, inputs, 1),
        given(node, inputs, 2),
        data_format=_format(node),
        depthwise_bias=optional(inputs, 3),
        depthwise_activation=node.attributes["depthwise_activation"],
        bias=optional(inputs, 4),
        activation=node.attributes["activation"],
        residual=optional(inputs, 5),
        **_geometry(node),
    )
    return [result]


def _inverted_residual_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    *taps, channels, _ = given(node, specs, 2).shape
    expand = optional(specs, 1)
    depth = channels if expand is None else expand.shape[-2]
    (spec,) = _windowed(node, specs, tuple(taps), depth, given(node, specs, 3).shape[-1], len(specs))
    if node.attributes["residual"]:
        _same_shape(node, given(node, specs, 0), spec.shape)
    return [spec]


def _inverted_residual(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    excite = None
    if optional(inputs, 7) is not None:
        excite = SqueezeExcite(
            given(node, inputs, 7),
            given(node, inputs, 9),
            optional(inputs, 8),
            optional(inputs, 10),
            activation=node.attributes["squeeze_activation"],
            gate=node.attributes["gate"],
        )
    layer = layers.InvertedResidual(
        optional(inputs, 1),
        given(node, inputs, 2),
        given(node, inputs, 3),
        data_format=_format(node),
        expand_bias=optional(inputs, 4),
        depthwise_bias=optional(inputs, 5),
        bias=optional(inputs, 6),
        activation=node.attributes["activation"],
        residual=node.attributes["residual"],
        squeeze_excite=excite,
        **_geometry(node),
    )
    return [layer(given(node, inputs, 0))]


def _dense_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x, kernel = floating(node, given(node, specs, 0)), given(node, specs, 1)
    if not x.shape or x.shape[-1] != kernel.shape[0]:
        raise ValueError(f"{node.describe()} multiplies {x.shape} by a matrix of shape {kernel.shape}")
    shape = (*x.shape[:-1], kernel.shape[1])
    _same_shape(node, optional(specs, 3), shape)
    return [Spec(shape, same_dtype(node, specs))]


def _dense(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, kernel, residual = given(node, inputs, 0), given(node, inputs, 1), optional(inputs, 3)
    rows, columns = kernel.shape
    count = math.prod(x.shape[:-1])
    result = ops.pointwise_conv(
        x.reshape(1, count, rows),
        kernel,
        bias=optional(inputs, 2),
        activation=node.attributes["activation"],
        residual=None if residual is None else residual.reshape(1, count, columns),
    )
    return [result.reshape(*x.shape[:-1], columns)]


def _pool_of_onnx(node: Node) -> Node:
    """Return the pool of ONNX that the node stands for, on an image with its channels first."""
    kind = node.attributes["kind"]
    attributes = {
        **_onnx_window(node),
        "kernel_shape": node.attributes["taps"],
        "ceil_mode": int(node.attributes["ceil_mode"]),
        "count_include_pad": int(kind == "average_including_padding"),
    }
    return node._replace(op="MaxPool" if kind == "max" else "AveragePool", attributes=attributes)


def _pool_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = _image(node, specs, len(node.attributes["taps"]))
    batch, spatial, channels = _split(node, x.shape)
    onnx = _pool_of_onnx(node)
    turned = Spec((batch, channels, *spatial), x.dtype)
    (found, *_) = pooling.OPERATORS[onnx.op].infer(onnx, [turned])
    return [Spec(_joined(node, batch, found.shape[2:], channels), x.dtype)]


def _pool(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = given(node, inputs, 0)
    onnx = _pool_of_onnx(node)
    first = _format(node) == "channels_first"
    (result,) = pooling.OPERATORS[onnx.op].compute(onnx, [x if first else np.moveaxis(x, -1, 1)])
    return [result if first else np.moveaxis(result, 1, -1)]


def _global_pool_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = floating(node, given(node, specs, 0))
    if len(x.shape) < 3:
        raise ValueError(f"{node.describe()} takes an image; got shape {x.shape}")
    batch, spatial, channels = _split(node, x.shape)
    if node.attributes["kind"] == "max" and 0 in spatial:
        raise ValueError(f"{node.describe()}: there is no greatest of no pixels, in shape {x.shape}")
    if not node.attributes["keepdims"]:
        return [Spec((batch, channels), x.dtype)]
    return [Spec(_joined(node, batch, (1,) * len(spatial), channels), x.dtype)]


def _global_pool(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = given(node, inputs, 0)
    axes = tuple(range(2, x.ndim)) if _format(node) == "channels_first" else tuple(range(1, x.ndim - 1))
    reduce = np.max if node.attributes["kind"] == "max" else np.mean
    return [np.asarray(reduce(x, axis=axes, keepdims=node.attributes["keepdims"]))]


def _activation_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = floating(node, given(node, specs, 0))
    return [Spec(x.shape, x.dtype)]


def _activation(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = given(node, inputs, 0)
    out = np.empty_like(x)
    _activation_into(node, inputs, [out])
    return [out]


def _activation_into(node: Node, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> None:
    """Compute the curve by the kernels' epilogue: a filter of one tap, 1, for every channel."""
    x, out = given(node, inputs, 0), outputs[0]
    # Axes as they lie in memory, so that what is called channels are neighbours.
    order = sorted(range(x.ndim), key=lambda axis: -x.strides[axis])
    source, target = x.transpose(order), out.transpose(order)
    width = source.shape[-1] if x.ndim else 1
    if x.size == 0:
        return
    image = (1, x.size // width, width)
    kernel = np.ones((1, width, 1), x.dtype)
    activation = node.attributes["activation"]
    if target.flags.c_contiguous:
        ops.depthwise_conv(source.reshape(image), kernel, activation=activation, out=target.reshape(image))
    else:
        target[...] = ops.depthwise_conv(source.reshape(image), kernel, activation=activation).reshape(
            target.shape
        )


def _elementwise_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x, other = floating(node, given(node, specs, 0)), given(node, specs, 1)
    return [Spec(broadcast(node, x.shape, other.shape), same_dtype(node, specs))]


def _elementwise(combine: np.ufunc) -> Operator:
    def compute(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        result = np.asarray(combine(given(node, inputs, 0), given(node, inputs, 1)))
        return [result] if node.attributes["activation"] is None else _activation(node, [result])

    return Operator(_elementwise_infer, compute)


OPERATORS = {
    "fastsep.Conv": Operator(_conv_infer, _conv),
    "fastsep.Separable": Operator(_separable_infer, _separable),
    "fastsep.InvertedResidual": Operator(_inverted_residual_infer, _inverted_residual),
    "fastsep.Dense": Operator(_dense_infer, _dense),
    "fastsep.Pool": Operator(_pool_infer, _pool),
    "fastsep.GlobalPool": Operator(_global_pool_infer, _global_pool),
    "fastsep.Add": _elementwise(np.add),
    "fastsep.Multiply": _elementwise(np.multiply),
    "fastsep.Activation": Operator(_activation_infer, _activation, _activation_into),
}
