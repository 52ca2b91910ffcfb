"""Activations, element by element, and those that need a whole axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fastsep.onnx._graph import Array, Node, Spec
from fastsep.onnx._operators._erf import erf
from fastsep.onnx._operators._operator import Operator
from fastsep.onnx._operators._specs import (
    Shape,
    axis_of,
    broadcast,
    floating,
    floating_unchanged,
    given,
    of_kinds,
    one_of,
    optional,
    result_of,
    same_dtype,
    total,
    written,
)

#: How Gelu may be computed.
GELUS = ("none", "tanh")


def _relu(node: Node, x: Array, out: Array) -> None:
    np.maximum(x, x.dtype.type(0), out=out)


def _sigmoid(node: Node, x: Array, out: Array) -> None:
    np.negative(x, out=out)
    np.exp(out, out=out)
    np.add(out, x.dtype.type(1), out=out)
    np.true_divide(x.dtype.type(1), out, out=out)


def _linear_clamp(x: Array, slope: float, offset: float, out: Array) -> None:
    real = x.dtype.type
    np.multiply(x, real(slope), out=out)
    np.add(out, real(offset), out=out)
    np.maximum(out, real(0), out=out)
    np.minimum(out, real(1), out=out)


def _hard_sigmoid(node: Node, x: Array, out: Array) -> None:
    _linear_clamp(x, node.attributes["alpha"], node.attributes["beta"], out)


def _hard_swish(node: Node, x: Array, out: Array) -> None:
    _linear_clamp(x, 1 / 6, 0.5, out)
    np.multiply(out, x, out=out)


def _swish(node: Node, x: Array, out: Array) -> None:
    real = x.dtype.type
    np.multiply(x, real(-node.attributes["alpha"]), out=out)
    np.exp(out, out=out)
    np.add(out, real(1), out=out)
    np.true_divide(x, out, out=out)


def _erf(node: Node, x: Array, out: Array) -> None:
    erf(x, out)


def _gelu(node: Node, x: Array, out: Array) -> None:
    real = x.dtype.type
    if node.attributes["approximate"] == "tanh":
        cubic = x + real(0.044715) * x * x * x
        np.tanh(real(math.sqrt(2 / math.pi)) * cubic, out=out)
    else:
        erf(np.asarray(x * real(math.sqrt(0.5))), out)
    np.add(out, real(1), out=out)
    np.multiply(out, x, out=out)
    np.multiply(out, real(0.5), out=out)


def _gelu_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    one_of(node, "approximate", *GELUS)
    return floating_unchanged(node, specs)


def _where_negative(x: Array, out: Array) -> None:
    """Let `out` be `x` but where `x` is negative or NaN."""
    np.copyto(out, x, where=np.greater_equal(x, 0))


def _leaky_relu(node: Node, x: Array, out: Array) -> None:
    np.multiply(x, x.dtype.type(node.attributes["alpha"]), out=out)
    _where_negative(x, out)


def _elu(node: Node, x: Array, out: Array) -> None:
    np.expm1(np.minimum(x, x.dtype.type(0)), out=out)
    np.multiply(out, x.dtype.type(node.attributes["alpha"]), out=out)
    _where_negative(x, out)


def _selu(node: Node, x: Array, out: Array) -> None:
    _elu(node, x, out)
    np.multiply(out, x.dtype.type(node.attributes["gamma"]), out=out)


def _celu(node: Node, x: Array, out: Array) -> None:
    alpha = x.dtype.type(node.attributes["alpha"])
    np.expm1(np.minimum(x / alpha, x.dtype.type(0)), out=out)
    np.multiply(out, alpha, out=out)
    np.add(out, np.maximum(x, x.dtype.type(0)), out=out)


def _softplus(node: Node, x: Array, out: Array) -> None:
    np.logaddexp(x, x.dtype.type(0), out=out)


def _softsign(node: Node, x: Array, out: Array) -> None:
    np.absolute(x, out=out)
    np.add(out, x.dtype.type(1), out=out)
    np.true_divide(x, out, out=out)


def _mish(node: Node, x: Array, out: Array) -> None:
    _softplus(node, x, out)
    np.tanh(out, out=out)
    np.multiply(out, x, out=out)


def _thresholded_relu(node: Node, x: Array, out: Array) -> None:
    out[...] = np.where(x > x.dtype.type(node.attributes["alpha"]), x, x.dtype.type(0))


def _tanh(node: Node, x: Array, out: Array) -> None:
    np.tanh(x, out=out)


def _shrink(node: Node, x: Array, out: Array) -> None:
    bound, bias = node.attributes["lambd"], node.attributes["bias"]
    out[...] = np.where(x < -bound, x + bias, np.where(x > bound, x - bias, 0))


def _clip_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = of_kinds(node, given(node, specs, 0), "fiu")
    for bound in (optional(specs, 1), optional(specs, 2)):
        if bound is not None and math.prod(bound.shape) != 1:
            raise ValueError(f"{node.describe()}: a bound must be one number; got shape {bound.shape}")
    same_dtype(node, specs)
    return [Spec(x.shape, x.dtype)]


def _clip_into(node: Node, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> None:
    """Where the bounds cross, the upper one holds."""
    x, low, high = given(node, inputs, 0), optional(inputs, 1), optional(inputs, 2)
    out = outputs[0]
    if low is not None:
        np.maximum(x, low.reshape(()), out=out)
    if high is not None:
        np.minimum(x if low is None else out, high.reshape(()), out=out)
    if low is None and high is None:
        np.copyto(out, x)


def _clip(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    out = np.empty_like(given(node, inputs, 0))
    _clip_into(node, inputs, [out])
    return [out]


def _prelu_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x, slope = of_kinds(node, given(node, specs, 0), "fiu"), given(node, specs, 1)
    if broadcast(node, x.shape, slope.shape) != x.shape:
        raise ValueError(f"{node.describe()}: a slope of shape {slope.shape} does not broadcast to {x.shape}")
    return [Spec(x.shape, same_dtype(node, specs))]


def _prelu_into(node: Node, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> None:
    x, slope = given(node, inputs, 0), given(node, inputs, 1)
    np.multiply(x, slope, out=outputs[0])
    _where_negative(x, outputs[0])


def _prelu(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    out = np.empty_like(given(node, inputs, 0))
    _prelu_into(node, inputs, [out])
    return [out]


def _axis_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = floating(node, given(node, specs, 0))
    _rows(node, x.shape)
    return [Spec(x.shape, x.dtype)]


def _rows(node: Node, shape: Shape) -> tuple[Shape, int]:
    """The shape to compute on, and its axis: before opset 13 all axes from `axis` on count as one."""
    axis: int = node.attributes["axis"]
    rank = len(shape)
    if node.attributes.get("flatten"):
        if not -rank <= axis <= rank:
            raise ValueError(f"{node.describe()}: axis {axis} is out of range for {rank} axes")
        axis = axis + rank if axis < 0 else axis
        return (math.prod(shape[:axis]), math.prod(shape[axis:])), 1
    return shape, axis_of(node, axis, rank)


def _softmax(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = given(node, inputs, 0)
    shape, axis = _rows(node, x.shape)
    rows = x if shape == x.shape else x.reshape(shape)
    if not rows.size:
        return [np.empty_like(x)]
    powers = np.exp(rows - rows.max(axis, keepdims=True))
    powers /= total(powers, axis)
    return [powers.reshape(x.shape)]


def _log_softmax(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = given(node, inputs, 0)
    shape, axis = _rows(node, x.shape)
    rows = x if shape == x.shape else x.reshape(shape)
    if not rows.size:
        return [np.empty_like(x)]
    shifted = rows - rows.max(axis, keepdims=True)
    shifted -= np.log(total(np.exp(shifted), axis))
    return [shifted.reshape(x.shape)]


def _hardmax(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = given(node, inputs, 0)
    shape, axis = _rows(node, x.shape)
    rows = x.reshape(shape)
    result = np.zeros(shape, x.dtype)
    if result.size:
        np.put_along_axis(result, rows.argmax(axis, keepdims=True), x.dtype.type(1), axis)
    return result_of(result.reshape(x.shape))


OPERATORS = {
    "Relu": written(_relu, "fi"),
    "Sigmoid": written(_sigmoid),
    "HardSigmoid": written(_hard_sigmoid),
    "HardSwish": written(_hard_swish),
    "Swish": written(_swish),
    "Erf": written(_erf),
    "Gelu": written(_gelu)._replace(infer=_gelu_infer),
    "LeakyRelu": written(_leaky_relu),
    "Elu": written(_elu),
    "Selu": written(_selu),
    "Celu": written(_celu),
    "Softplus": written(_softplus),
    "Softsign": written(_softsign),
    "Mish": written(_mish),
    "ThresholdedRelu": written(_thresholded_relu),
    "Tanh": written(_tanh),
    "Shrink": written(_shrink, "fiu"),
    "Clip": Operator(_clip_infer, _clip, _clip_into),
    "PRelu": Operator(_prelu_infer, _prelu, _prelu_into),
    "Softmax": Operator(_axis_infer, _softmax),
    "LogSoftmax": Operator(_axis_infer, _log_softmax),
    "Hardmax": Operator(_axis_infer, _hardmax),
}
