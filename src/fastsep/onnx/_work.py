"""How much arithmetic and memory traffic a node takes, for its share of the roofline."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fastsep.onnx._graph import Node, Spec
from fastsep.onnx._operators.fused import CHANNELS_FIRST


def work(node: Node, specs: Mapping[str, Spec]) -> tuple[int, int]:
    """Return floating-point operations, a multiply-add being two, and bytes, each array moved once.

    Operations count for nodes with weights alone: the others are bound by memory. Taps on padding count.
    """
    names = {name for name in (*node.inputs, *node.outputs) if name}
    moved = sum(_elements(specs[name]) * specs[name].dtype.itemsize for name in names)
    count = _MULTIPLY_ADDS.get(node.op)
    return 0 if count is None else 2 * count(node, specs), moved


def _elements(spec: Spec) -> int:
    return math.prod(spec.shape)


def _pixels(node: Node, name: str, specs: Mapping[str, Spec]) -> int:
    """Positions of an image, batch included."""
    shape = specs[name].shape
    channels = 1 if node.attributes.get("layout") == CHANNELS_FIRST else len(shape) - 1
    return math.prod(size for axis, size in enumerate(shape) if axis != channels)


def _weights(node: Node, at: int, specs: Mapping[str, Spec]) -> int:
    name = node.inputs[at] if at < len(node.inputs) else ""
    return _elements(specs[name]) if name else 0


def _one_kernel(node: Node, specs: Mapping[str, Spec]) -> int:
    return _pixels(node, node.outputs[0], specs) * _weights(node, 1, specs)


def _separable(node: Node, specs: Mapping[str, Spec]) -> int:
    return _pixels(node, node.outputs[0], specs) * (_weights(node, 1, specs) + _weights(node, 2, specs))


def _inverted_residual(node: Node, specs: Mapping[str, Spec]) -> int:
    # Inputs 7 and 9 are the kernels of squeeze-and-excite, which meet one pixel an image.
    images = specs[node.inputs[0]].shape[0]
    return (
        _pixels(node, node.inputs[0], specs) * _weights(node, 1, specs)
        + _pixels(node, node.outputs[0], specs) * (_weights(node, 2, specs) + _weights(node, 3, specs))
        + images * (_weights(node, 7, specs) + _weights(node, 9, specs))
    )


_MULTIPLY_ADDS = {
    "fastsep.Conv": _one_kernel,
    "fastsep.Dense": _one_kernel,
    "fastsep.Separable": _separable,
    "fastsep.InvertedResidual": _inverted_residual,
}
