"""Normalisations, as they are at inference."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fastsep.onnx._graph import Array, Node, Spec
from fastsep.onnx._operators._operator import Operator
from fastsep.onnx._operators._specs import (
    Shape,
    axis_of,
    broadcast,
    floating,
    given,
    optional,
    result_of,
    widened,
)


def _channels(node: Node, shape: Shape, specs: Sequence[Spec | None], wanted: int | None = None) -> None:
    """One number per channel; `wanted` counts them where it isn't axis 1."""
    count = wanted if wanted is not None else shape[1] if len(shape) > 1 else 1
    for index, spec in enumerate(specs):
        if spec is not None and spec.shape != (count,):
            raise ValueError(
                f"{node.describe()}: {node.inputs[index + 1]!r} must hold one number "
                f"for each of {count} channels; "
                f"got shape {spec.shape}"
            )


def _per_channel(vector: Array, rank: int) -> Array:
    """A vector as it broadcasts over axis 1."""
    return vector.reshape(-1, *(1,) * (rank - 2)) if rank > 1 else vector


def _batch_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = floating(node, given(node, specs, 0))
    _channels(node, x.shape, [floating(node, given(node, specs, index)) for index in range(1, 5)])
    return [Spec(x.shape, x.dtype)]


def _batch(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = given(node, inputs, 0)
    scale, offset, mean, variance = (
        _per_channel(given(node, inputs, index), x.ndim) for index in range(1, 5)
    )
    factor = scale / np.sqrt(variance + variance.dtype.type(node.attributes["epsilon"]))
    return result_of((x - mean) * factor + offset, x.dtype)


def _standardised(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Array, Array]:
    """Zero mean and unit variance over `axes`; float16 is computed in float32."""
    wide = widened(x)
    mean = wide.mean(axes, keepdims=True)
    centred = wide - mean
    inverse = 1 / np.sqrt((centred * centred).mean(axes, keepdims=True) + wide.dtype.type(epsilon))
    return centred * inverse, mean, inverse


def _instance_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = floating(node, given(node, specs, 0))
    if len(x.shape) < 3:
        raise ValueError(f"{node.describe()}: an image has axes (N, C, *spatial); got shape {x.shape}")
    _channels(node, x.shape, [given(node, specs, index) for index in (1, 2)])
    return [Spec(x.shape, x.dtype)]


def _instance(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = given(node, inputs, 0)
    scale, offset = (_per_channel(given(node, inputs, index), x.ndim) for index in (1, 2))
    result = _standardised(x, tuple(range(2, x.ndim)), node.attributes["epsilon"])[0]
    return result_of(result * scale + offset, x.dtype)


def _group_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = floating(node, given(node, specs, 0))
    groups = node.attributes["num_groups"]
    if len(x.shape) < 3 or groups < 1 or x.shape[1] % groups:
        raise ValueError(f"{node.describe()}: {groups} groups do not fit an image of shape {x.shape}")
    per_group = groups if node.attributes["per_group"] else x.shape[1]
    _channels(node, x.shape, [given(node, specs, index) for index in (1, 2)], per_group)
    return [Spec(x.shape, x.dtype)]


def _group(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, scale, offset = (given(node, inputs, index) for index in range(3))
    groups = node.attributes["num_groups"]
    grouped = x.reshape(x.shape[0], groups, math.prod(x.shape[1:]) // groups)
    result = _standardised(grouped, (2,), node.attributes["epsilon"])[0].reshape(x.shape)
    if node.attributes["per_group"]:
        scale, offset = (np.repeat(vector, x.shape[1] // groups) for vector in (scale, offset))
    return result_of(result * _per_channel(scale, x.ndim) + _per_channel(offset, x.ndim), x.dtype)


def _layer_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = floating(node, given(node, specs, 0))
    axis = axis_of(node, node.attributes["axis"], len(x.shape))
    for index in (1, 2):
        spec = optional(specs, index)
        if spec is not None and broadcast(node, x.shape, spec.shape) != x.shape:
            raise ValueError(
                f"{node.describe()}: {node.inputs[index]!r} of shape {spec.shape} "
                f"does not broadcast to {x.shape}"
            )
    # Of dtype stash_type: float32.
    kept = Spec(x.shape[:axis] + (1,) * (len(x.shape) - axis), np.dtype(np.float32))
    return [Spec(x.shape, x.dtype), kept, kept][: len(node.outputs)]


def _layer(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, scale, offset = given(node, inputs, 0), given(node, inputs, 1), optional(inputs, 2)
    axes = tuple(range(axis_of(node, node.attributes["axis"], x.ndim), x.ndim))
    result, mean, inverse = _standardised(x, axes, node.attributes["epsilon"])
    result = result * scale
    if offset is not None:
        result = result + offset
    return [np.asarray(result, x.dtype), mean.astype(np.float32), inverse.astype(np.float32)][
        : len(node.outputs)
    ]


def _rms(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, scale = given(node, inputs, 0), given(node, inputs, 1)
    axes = tuple(range(axis_of(node, node.attributes["axis"], x.ndim), x.ndim))
    wide = widened(x)
    square = (wide * wide).mean(axes, keepdims=True)
    return result_of(
        np.asarray(wide / np.sqrt(square + wide.dtype.type(node.attributes["epsilon"]))).astype(x.dtype)
        * scale,
        x.dtype,
    )


def _rms_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    return _layer_infer(node, specs[:2])[:1]


def _local_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = floating(node, given(node, specs, 0))
    if len(x.shape) < 2 or node.attributes["size"] < 1:
        raise ValueError(f"{node.describe()}: an image has axes (N, C, *spatial); got shape {x.shape}")
    return [Spec(x.shape, x.dtype)]


def _local(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Local response normalisation across `size` neighbouring channels."""
    x = given(node, inputs, 0)
    size = node.attributes["size"]
    # No neighbour is further away than the last channel.
    most = max(0, x.shape[1] - 1)
    before, after = min((size - 1) // 2, most), min(size // 2, most)
    square = np.pad(x * x, [(0, 0), (before, after), *[(0, 0)] * (x.ndim - 2)])
    total = np.zeros_like(x)
    for place in range(before + after + 1):
        total += square[:, place : place + x.shape[1]]
    base = node.attributes["bias"] + node.attributes["alpha"] / size * total
    return result_of(x / base ** node.attributes["beta"], x.dtype)


def _lp_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = floating(node, given(node, specs, 0))
    axis_of(node, node.attributes["axis"], len(x.shape))
    return [Spec(x.shape, x.dtype)]


def _lp(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Divide by the norm along an axis; what has norm 0 stays 0."""
    x = given(node, inputs, 0)
    axis = node.attributes["axis"]
    size = (
        np.abs(x).sum(axis, keepdims=True)
        if node.attributes["p"] == 1
        else np.sqrt((x * x).sum(axis, keepdims=True))
    )
    return result_of(np.where(size == 0, x.dtype.type(0), x / size), x.dtype)


def _mean_variance_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = floating(node, given(node, specs, 0))
    for axis in node.attributes["axes"]:
        axis_of(node, axis, len(x.shape))
    return [Spec(x.shape, x.dtype)]


def _mean_variance(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = given(node, inputs, 0)
    axes = tuple(node.attributes["axes"])
    centred = x - x.mean(axes, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(axes, keepdims=True))
    return result_of(centred / (deviation + x.dtype.type(1e-9)), x.dtype)


OPERATORS = {
    "BatchNormalization": Operator(_batch_infer, _batch),
    "InstanceNormalization": Operator(_instance_infer, _instance),
    "GroupNormalization": Operator(_group_infer, _group),
    "LayerNormalization": Operator(_layer_infer, _layer),
    "RMSNormalization": Operator(_rms_infer, _rms),
    "LRN": Operator(_local_infer, _local),
    "LpNormalization": Operator(_lp_infer, _lp),
    "MeanVarianceNormalization": Operator(_mean_variance_infer, _mean_variance),
}
