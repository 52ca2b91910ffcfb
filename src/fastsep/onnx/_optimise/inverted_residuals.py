"""Expand, filter, perhaps gate, project, perhaps add: blocks of MobileNetV2 and EfficientNet become one node.

Only where fastsep.InvertedResidual computes the same: the depthwise part has one filter a channel, expansion
and depthwise part have the same activation, the projection none, and what is added is the block's own input.
"""

import math
from typing import NamedTuple

from fastsep import _validate
from fastsep._activations import Activation
from fastsep.onnx._graph import Graph, Node
from fastsep.onnx._operators.fused import CHANNELS_FIRST
from fastsep.onnx._optimise._dims import Dim
from fastsep.onnx._optimise._rewrite import Draft, fused, rewrite
from fastsep.onnx._optimise.identities import VIEWS
from fastsep.onnx._optimise.layers import is_depthwise, is_pointwise, kernel_of
from fastsep.onnx._optimise.separable import depthwise_kernel, geometry


def fuse_inverted_residuals(graph: Graph) -> Graph:
    """Fuse blocks of expansion, depthwise convolution, squeeze-and-excite, projection and residual."""
    return rewrite(graph, _block, "fastsep.Conv")


class _Gate(NamedTuple):
    """A squeeze-and-excite: the image it multiplies, its weights, and the nodes it is made of."""

    image: str
    weights: tuple[str, str, str, str] = ("", "", "", "")
    squeeze_activation: Activation = None
    gate: Activation = None
    nodes: tuple[Node, ...] = ()


def _block(draft: Draft, node: Node) -> list[Node] | None:
    if (
        node.op != "fastsep.Conv"
        or not is_pointwise(draft, node)
        or node.attributes["activation"] is not None
    ):
        return None
    gate = _gate(draft, node.inputs[0])
    image = node.inputs[0] if gate is None else gate.image
    depthwise = draft.maker(image, "fastsep.Conv")
    if depthwise is None or draft.uses(image) != (1 if gate is None else 2) or not _filters(draft, depthwise):
        return None
    if depthwise.attributes["layout"] != node.attributes["layout"]:
        return None
    expand = _expansion(draft, depthwise)
    x = depthwise.inputs[0] if expand is None else expand.inputs[0]
    if node.inputs[3] not in ("", x):
        return None
    if node.inputs[3] == x and not _keeps_size(draft, depthwise):
        return None
    if expand is None and gate is None and not _is_block(draft, depthwise):
        return None
    attributes = {
        **geometry(depthwise),
        "activation": depthwise.attributes["activation"],
        "residual": node.inputs[3] == x,
        "squeeze_activation": None if gate is None else gate.squeeze_activation,
        "gate": None if gate is None else gate.gate,
    }
    inputs = (
        x,
        "" if expand is None else expand.inputs[1],
        depthwise_kernel(draft, depthwise),
        node.inputs[1],
        "" if expand is None else expand.inputs[2],
        depthwise.inputs[2],
        node.inputs[2],
        *(("", "", "", "") if gate is None else gate.weights),
    )
    parts = [*([] if expand is None else [expand]), depthwise, *(() if gate is None else gate.nodes)]
    return [fused("fastsep.InvertedResidual", inputs, node, attributes, *parts)]


def _filters(draft: Draft, depthwise: Node) -> bool:
    """Return whether a fastsep.Conv has one filter for every channel, and adds nothing."""
    one = kernel_of(draft, depthwise).shape[-1] == depthwise.attributes["groups"]
    return is_depthwise(draft, depthwise) and one and not depthwise.inputs[3]


def _keeps_size(draft: Draft, depthwise: Node) -> bool:
    """Return whether outputs are as large as inputs of any size: one pixel is one pixel at any stride."""
    names = ("strides", "padding", "dilation_rate")
    strides, padding, dilation = (depthwise.attributes[name] for name in names)
    taps = kernel_of(draft, depthwise).shape[:-2]
    return _validate.keeps_size(_validate.window(taps, strides, padding, dilation))


def _is_block(draft: Draft, depthwise: Node) -> bool:
    """Return whether depthwise and pointwise alone are a block rather than a separable convolution."""
    taps = math.prod(kernel_of(draft, depthwise).shape[:-2])
    return depthwise.attributes["activation"] is not None and taps > 1


def _expansion(draft: Draft, depthwise: Node) -> Node | None:
    node = draft.sole(depthwise.inputs[0], "fastsep.Conv")
    if node is None or not is_pointwise(draft, node) or node.inputs[3]:
        return None
    same = all(node.attributes[name] == depthwise.attributes[name] for name in ("activation", "layout"))
    return node if same else None


def _gate(draft: Draft, value: str) -> _Gate | None:
    """Recognise the product of an image and its gate."""
    product = draft.sole(value, "Mul")
    if product is None:
        return None
    for image, factor in (product.inputs, product.inputs[::-1]):
        shape = draft.fact(image).shape
        wanted = draft.fact(factor).shape
        if shape is None or wanted is None or wanted != (*shape[:2], *(1,) * (len(shape) - 2)):
            continue
        found = _layers(draft, factor, image, shape[0])
        if found is not None:
            second, first, pool, views = found
            return _Gate(
                image,
                (first.inputs[1], first.inputs[2], second.inputs[1], second.inputs[2]),
                first.attributes["activation"],
                second.attributes["activation"],
                (pool, *views, first, second, product),
            )
    return None


def _layers(draft: Draft, factor: str, image: str, batch: Dim) -> tuple[Node, Node, Node, list[Node]] | None:
    """Return both dense layers of a gate, last first, the pool, and the changes of shape on the way."""
    views: list[Node] = []
    found = []
    value = factor
    for _ in range(2):
        value = _past_views(draft, value, batch, views)
        layer = draft.sole(value, "fastsep.Conv", "fastsep.Dense")
        if layer is None or not _is_dense(draft, layer, batch):
            return None
        found.append(layer)
        value = layer.inputs[0]
    value = _past_views(draft, value, batch, views)
    pool = draft.sole(value, "fastsep.GlobalPool")
    if pool is None or pool.inputs[0] != image or pool.attributes["kind"] != "average":
        return None
    return (found[0], found[1], pool, views) if pool.attributes["layout"] == CHANNELS_FIRST else None


def _past_views(draft: Draft, value: str, batch: Dim, views: list[Node]) -> str:
    """Follow a vector for each image back through changes of its shape."""
    while (node := draft.sole(value, *VIEWS)) is not None and _is_vector(draft, value, batch):
        if not _is_vector(draft, node.inputs[0], batch):
            break
        views.append(node)
        value = node.inputs[0]
    return value


def _is_vector(draft: Draft, value: str, batch: Dim) -> bool:
    """Return whether a value is (batch, channels) with axes of 1 anywhere but in front."""
    shape = draft.fact(value).shape
    return shape is not None and shape[:1] == (batch,) and sum(size != 1 for size in shape[1:]) <= 1


def _is_dense(draft: Draft, layer: Node, batch: Dim) -> bool:
    """Return whether a layer is a product of each image's vector with a matrix, and nothing is added."""
    if layer.inputs[3] or not _is_vector(draft, layer.inputs[0], batch):
        return False
    shape = draft.fact(layer.inputs[0]).shape
    if layer.op == "fastsep.Conv":
        return is_pointwise(draft, layer) and layer.attributes["layout"] == CHANNELS_FIRST
    return shape is not None and shape[-1] == kernel_of(draft, layer).shape[0]
