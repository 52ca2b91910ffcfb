"""The passes over ONNX graphs: each where it must, nowhere else, and never another result."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from graphs import Builder, assert_origins, assert_same, counted, operators

from fastsep.onnx._graph import Graph, Node
from fastsep.onnx._optimise.activations import fuse_activations
from fastsep.onnx._optimise.batch_norms import fold_batch_norms
from fastsep.onnx._optimise.constants import fold_constants
from fastsep.onnx._optimise.elementwise import make_elementwise
from fastsep.onnx._optimise.epilogues import fuse_epilogues
from fastsep.onnx._optimise.identities import without_identities
from fastsep.onnx._optimise.inverted_residuals import fuse_inverted_residuals
from fastsep.onnx._optimise.layers import make_layers
from fastsep.onnx._optimise.lines import fuse_lines
from fastsep.onnx._optimise.pads import fold_pads
from fastsep.onnx._optimise.pools import make_pools
from fastsep.onnx._optimise.scales import fold_scales
from fastsep.onnx._optimise.separable import fuse_separable
from fastsep.onnx._optimise.transposes import sink_transposes


def applied(graph: Graph, *stages: Any) -> Graph:
    """Run passes one after the other; what they make computes the same."""
    result = graph
    for stage in stages:
        result = stage(result)
    assert_same(graph, result)
    assert_origins(graph, result)
    assert [port.name for port in result.outputs] == [port.name for port in graph.outputs]
    return result


def only(graph: Graph) -> Node:
    """Return the one node."""
    (node,) = graph.nodes
    return node


# --- constants ---


def test_constants_are_computed() -> None:
    b = Builder()
    x = b.input(2, 3)
    total = b("Mul", b("Add", [1.0, 2.0, 3.0], [1.0, 1.0, 1.0]), [2.0])
    after = applied(b.graph(b("Add", x, total)), fold_constants)
    assert operators(after) == ["Add"]
    np.testing.assert_array_equal(after.constants[after.nodes[0].inputs[1]], [4, 6, 8])


def test_an_output_that_is_constant_keeps_its_name() -> None:
    b = Builder()
    x = b.input(2, 3)
    after = applied(b.graph(b("Add", [1.0], [2.0]), b("Relu", x)), fold_constants)
    assert counted(after) == {"Identity": 1, "Relu": 1}


def test_a_large_constant_is_not_made_of_a_small_one() -> None:
    b = Builder()
    x = b.input(1)
    large = b("Expand", [1.0], np.array([5_000_000]))
    graph = b.graph(b("Add", x, large))
    assert operators(fold_constants(graph)) == ["Expand", "Add"]


def test_sizes_that_every_image_has_are_constants() -> None:
    b = Builder()
    x = b.input("N", 4, 3, 3)
    shape = b("Shape", x)
    channels = b("Unsqueeze", b("Gather", shape, np.array(1), axis=0), np.array([0]))
    after = applied(
        b.graph(b("Reshape", x, b("Concat", np.array([-1]), channels, np.array([9]), axis=0))), fold_constants
    )
    assert operators(after) == ["Reshape"]


def test_sizes_that_depend_on_the_image_stay() -> None:
    b = Builder()
    x = b.input("N", 4, "H", "W")
    batch = b("Unsqueeze", b("Gather", b("Shape", x), np.array(0), axis=0), np.array([0]))
    graph = b.graph(b("Reshape", x, b("Concat", batch, np.array([-1]), axis=0)))
    assert "Shape" in operators(fold_constants(graph))


# --- identities ---


def test_identities_disappear() -> None:
    b = Builder()
    x = b.input(2, 3, 4)
    y = b("Dropout", b("Identity", x))
    y = b("Cast", y, to="float32")
    y = b("Transpose", y, perm=(0, 1, 2))
    y = b("Reshape", y, np.array([2, 3, 4]))
    y = b("Pad", y, np.zeros(6, np.int64), mode="constant")
    y = b("Unsqueeze", y, np.array([0]))
    y = b("Squeeze", y, np.array([0]))
    y = b("Slice", y, np.array([0]), np.array([4]), np.array([2]))
    assert operators(applied(b.graph(b("Relu", y)), without_identities)) == ["Relu"]


@pytest.mark.parametrize(
    "change",
    [
        lambda b, x: b("Cast", b("Cast", x, to="float64"), to="float32"),
        lambda b, x: b("Transpose", x, perm=(0, 2, 1)),
        lambda b, x: b("Reshape", x, np.array([2, 2, 8])),
        lambda b, x: b("Pad", x, np.array([0, 0, 0, 0, 0, 1]), mode="constant"),
        lambda b, x: b("Slice", x, np.array([-1]), np.array([-9]), np.array([2]), np.array([-1])),
        lambda b, x: b("Slice", x, np.array([1]), np.array([4]), np.array([2])),
    ],
)
def test_what_changes_something_stays(change: Any) -> None:
    b = Builder()
    graph = b.graph(b("Relu", change(b, b.input(2, 4, 4))))
    assert len(applied(graph, without_identities).nodes) == len(graph.nodes)


def test_an_identity_that_is_an_output_stays() -> None:
    b = Builder()
    x = b.input(2, 3)
    y = b("Relu", x)
    after = applied(b.graph(b("Identity", y), y), without_identities)
    assert operators(after) == ["Relu", "Identity"]


def test_a_reshape_to_a_symbolic_shape_it_has_already() -> None:
    b = Builder()
    x = b.input("N", 4, "H", "W")
    y = b("Reshape", x, np.array([0, 0, 0, 0]), allowzero=0)
    assert operators(applied(b.graph(b("Relu", y)), without_identities)) == ["Relu"]


# --- activations ---

SIXTH = np.float32(1 / 6)
HALF_ROOT = np.float32(math.sqrt(0.5))
TANH_FACTOR = np.float32(math.sqrt(2 / math.pi))

ACTIVATIONS: dict[str, tuple[Any, Any]] = {
    "relu": ("relu", lambda b, x: b("Relu", x)),
    "max": ("relu", lambda b, x: b("Max", 0.0, x)),
    "clip": ("relu6", lambda b, x: b("Clip", x, 0.0, 6.0)),
    "clip-low": ((-1.0, math.inf), lambda b, x: b("Clip", x, -1.0)),
    "clip-high": ((-math.inf, 2.0), lambda b, x: b("Clip", x, "", 2.0)),
    "min-of-relu": ("relu6", lambda b, x: b("Min", b("Relu", x), 6.0)),
    "clip-of-clip": ((0.5, 1.0), lambda b, x: b("Clip", b("Clip", x, 0.5, 3.0), -1.0, 1.0)),
    "clip-above": ((3.0, 3.0), lambda b, x: b("Clip", b("Clip", x, 0.0, 1.0), 3.0, 4.0)),
    "sigmoid": ("sigmoid", lambda b, x: b("Sigmoid", x)),
    "hard-sigmoid": ("hard_sigmoid", lambda b, x: b("HardSigmoid", x, alpha=float(SIXTH), beta=0.5)),
    "hard-sigmoid-div": ("hard_sigmoid", lambda b, x: b("Div", b("Clip", b("Add", x, 3.0), 0.0, 6.0), 6.0)),
    "hard-sigmoid-mul": (
        "hard_sigmoid",
        lambda b, x: b("Mul", SIXTH, b("Clip", b("Add", 3.0, x), 0.0, 6.0)),
    ),
    "hard-sigmoid-clip": (
        "hard_sigmoid",
        lambda b, x: b("Clip", b("Add", b("Mul", x, SIXTH), 0.5), 0.0, 1.0),
    ),
    "hard-swish": ("hard_swish", lambda b, x: b("HardSwish", x)),
    "hard-swish-hard-sigmoid": (
        "hard_swish",
        lambda b, x: b("Mul", x, b("HardSigmoid", x, alpha=float(SIXTH), beta=0.5)),
    ),
    "hard-swish-torch": (
        "hard_swish",
        lambda b, x: b("Div", b("Mul", x, b("Clip", b("Add", x, 3.0), 0.0, 6.0)), 6.0),
    ),
    "hard-swish-gate": (
        "hard_swish",
        lambda b, x: b("Mul", b("Div", b("Clip", b("Add", x, 3.0), 0.0, 6.0), 6.0), x),
    ),
    "hard-swish-keras": (
        "hard_swish",
        lambda b, x: b("Mul", b("Mul", x, SIXTH), b("Min", b("Relu", b("Add", x, 3.0)), 6.0)),
    ),
    "swish": ("silu", lambda b, x: b("Swish", x, alpha=1.0)),
    "silu": ("silu", lambda b, x: b("Mul", x, b("Sigmoid", x))),
    "silu-turned": ("silu", lambda b, x: b("Mul", b("Sigmoid", x), x)),
    "gelu": ("gelu", lambda b, x: b("Gelu", x, approximate="none")),
    "gelu-torch": (
        "gelu",
        lambda b, x: b(
            "Mul", b("Mul", x, b("Add", b("Erf", b("Div", x, np.float32(math.sqrt(2)))), 1.0)), 0.5
        ),
    ),
    "gelu-half-first": (
        "gelu",
        lambda b, x: b("Mul", b("Mul", x, 0.5), b("Add", 1.0, b("Erf", b("Mul", x, HALF_ROOT)))),
    ),
    "gelu-half-of-sum": (
        "gelu",
        lambda b, x: b("Mul", b("Mul", 0.5, b("Add", b("Erf", b("Mul", HALF_ROOT, x)), 1.0)), x),
    ),
    "gelu-half-inside": (
        "gelu",
        lambda b, x: b("Mul", x, b("Add", b("Mul", b("Erf", b("Mul", x, HALF_ROOT)), 0.5), 0.5)),
    ),
    "gelu-tanh": ("gelu_tanh", lambda b, x: b("Gelu", x, approximate="tanh")),
    "gelu-tanh-cube": (
        "gelu_tanh",
        lambda b, x: b(
            "Mul",
            b("Mul", 0.5, x),
            b(
                "Add",
                b("Tanh", b("Mul", TANH_FACTOR, b("Add", x, b("Mul", 0.044715, b("Pow", x, 3.0))))),
                1.0,
            ),
        ),
    ),
    "gelu-tanh-products": (
        "gelu_tanh",
        lambda b, x: b(
            "Mul",
            0.5,
            b(
                "Mul",
                x,
                b(
                    "Add",
                    1.0,
                    b(
                        "Tanh",
                        b("Mul", b("Add", b("Mul", b("Mul", x, b("Mul", x, x)), 0.044715), x), TANH_FACTOR),
                    ),
                ),
            ),
        ),
    ),
    "gelu-tanh-square": (
        "gelu_tanh",
        lambda b, x: b(
            "Mul",
            b("Mul", x, 0.5),
            b(
                "Add",
                1.0,
                b(
                    "Tanh",
                    b("Mul", b("Mul", x, TANH_FACTOR), b("Add", 1.0, b("Mul", 0.044715, b("Mul", x, x)))),
                ),
            ),
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_recognised(name: str) -> None:
    wanted, write = ACTIVATIONS[name]
    b = Builder()
    x = b("Mul", b.input("N", 3, 5), [2.0])
    after = applied(b.graph(write(b, x)), fuse_activations)
    assert operators(after) == ["Mul", "fastsep.Activation"]
    assert after.nodes[1].attributes["activation"] == wanted
    assert after.nodes[1].inputs == (x,)
    assert set(after.nodes[1].origin) == {node.name for node in b.nodes[1:]}


OTHERS: dict[str, Any] = {
    "hard-sigmoid-fifth": lambda b, x, y: b("HardSigmoid", x, alpha=0.2, beta=0.5),
    "swish-2": lambda b, x, y: b("Swish", x, alpha=2.0),
    "sigmoid-of-another": lambda b, x, y: b("Mul", x, b("Sigmoid", y)),
    "shift-of-two": lambda b, x, y: b("Div", b("Mul", x, b("Clip", b("Add", x, 2.0), 0.0, 6.0)), 6.0),
    "seventh": lambda b, x, y: b("Div", b("Mul", x, b("Clip", b("Add", x, 3.0), 0.0, 6.0)), 7.0),
    "gate-of-another": lambda b, x, y: b("Div", b("Mul", y, b("Clip", b("Add", x, 3.0), 0.0, 6.0)), 6.0),
    "rough-sixth": lambda b, x, y: b("Mul", b("Mul", x, 0.1666), b("Clip", b("Add", x, 3.0), 0.0, 6.0)),
    "erf-of-x": lambda b, x, y: b("Mul", b("Mul", x, 0.5), b("Add", 1.0, b("Erf", x))),
    "erf-of-another": lambda b, x, y: b(
        "Mul", b("Mul", x, 0.5), b("Add", 1.0, b("Erf", b("Mul", y, HALF_ROOT)))
    ),
    "erf-without-half": lambda b, x, y: b("Mul", x, b("Add", 1.0, b("Erf", b("Mul", x, HALF_ROOT)))),
    "tanh-of-x": lambda b, x, y: b("Mul", b("Mul", x, 0.5), b("Add", 1.0, b("Tanh", x))),
    "dynamic-bounds": lambda b, x, y: b("Clip", x, b("ReduceMin", y, keepdims=0), 2.0),
    "larger-bound": lambda b, x, y: b("Max", x, np.zeros((1, 1, 1, 1), np.float32)),
    "bounds-of-channels": lambda b, x, y: b("Max", x, np.zeros((3, 1), np.float32)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_looks_like_an_activation(name: str) -> None:
    b = Builder()
    graph = b.graph(OTHERS[name](b, b.input("N", 3, 5), b.input("N", 3, 5)))
    after = fuse_activations(graph)
    activations = [n.attributes["activation"] for n in after.nodes if n.op == "fastsep.Activation"]
    assert not set(activations) & {"hard_sigmoid", "hard_swish", "silu", "gelu", "gelu_tanh", "relu"}
    assert_same(graph, after)


def test_integers_have_no_fused_activation() -> None:
    b = Builder()
    x = b("Cast", b.input(4), to="int32")
    graph = b.graph(b("Cast", b("Relu", x), to="float32"))
    assert "Relu" in operators(applied(graph, fuse_activations))


def test_a_step_that_is_read_elsewhere_stays() -> None:
    b = Builder()
    x = b.input(2, 3)
    gate = b("Sigmoid", x)
    after = applied(b.graph(b("Mul", x, gate), b("Relu", gate)), fuse_activations)
    assert [node.attributes["activation"] for node in after.nodes] == ["sigmoid", "silu", "relu"]


# --- layers ---


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": (2, 1), "pads": (0, 1, 2, 3)},
        {"dilations": (1, 2), "pads": (1, 2, 1, 2)},
        {"auto_pad": "SAME_UPPER", "strides": (2, 2), "pads": (0, 0, 0, 0)},
        {"auto_pad": "SAME_LOWER", "strides": (2, 2), "pads": (0, 0, 0, 0)},
        {"group": 2},
        {"group": 4, "bias": True},
    ],
)
def test_convolutions_become_layers(attributes: dict[str, Any]) -> None:
    b = Builder()
    x = b.input("N", 4, "H", "W")
    node = only(applied(b.graph(b.conv(x, 4, 8, 3, **attributes)), make_layers))
    assert node.op == "fastsep.Conv"
    assert node.attributes["groups"] == attributes.get("group", 1)


@pytest.mark.parametrize("spatial", [1, 3])
def test_convolutions_of_other_ranks(spatial: int) -> None:
    b = Builder()
    x = b.input("N", 2, *["L"] * spatial)
    y = b("Conv", x, b.weights(5, 2, *[3] * spatial), group=1)
    assert only(applied(b.graph(y), make_layers)).attributes["spatial"] == spatial


def test_a_convolution_without_constant_weights_stays() -> None:
    b = Builder()
    x, kernel = b.input(1, 2, 5, 5), b.input(3, 2, 2, 2)
    assert operators(applied(b.graph(b("Conv", x, kernel, group=1)), make_layers)) == ["Conv"]


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("addend", [None, (5,), (1, 5), (1,), (1, 1), ()])
def test_gemm_becomes_dense(transposed: int, addend: tuple[int, ...] | None) -> None:
    b = Builder()
    x = b.input(7, "N") if transposed else b.input("N", 7)
    kernel = b.weights(5, 7) if transposed else b.weights(7, 5)
    rest = () if addend is None else (b.weights(*addend),)
    y = b("Gemm", x, kernel, *rest, transA=transposed, transB=transposed, alpha=0.5, beta=2.0)
    after = applied(b.graph(y), make_layers)
    assert operators(after) == ["Transpose"] * transposed + ["fastsep.Dense"]


@pytest.mark.parametrize("shape", [(3, 5), (3, 1)])
def test_gemm_with_an_addend_of_rows_stays(shape: tuple[int, int]) -> None:
    b = Builder()
    y = b("Gemm", b.input(3, 7), b.weights(7, 5), b.weights(*shape))
    assert operators(applied(b.graph(y), make_layers)) == ["Gemm"]


@pytest.mark.parametrize("shape", [("N", 7), ("N", 3, 7), (7,)])
def test_matmul_and_add_become_dense(shape: tuple[Any, ...]) -> None:
    b = Builder()
    y = b("Add", b.weights(5), b("MatMul", b.input(*shape), b.weights(7, 5)))
    assert operators(applied(b.graph(y), make_layers, fold_scales)) == ["fastsep.Dense"]


@pytest.mark.parametrize("shapes", [((5, 7), None), ((2, 7, 5), ("N", 3, 7))])
def test_other_products_stay(shapes: Any) -> None:
    b = Builder()
    first, second = shapes
    if second is None:
        y = b("MatMul", b.weights(*first), b.input(7, "N"))
    else:
        y = b("MatMul", b.input(2, 3, 7), b.weights(*first))
    assert operators(applied(b.graph(y), make_layers)) == ["MatMul"]


# --- batch norms ---


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("group", [1, 2, 4])
def test_batch_norms_go_into_the_convolution_before(bias: bool, group: int) -> None:
    b = Builder()
    y = b.norm(b.conv(b.input("N", 4, 6, 6), 4, 8, 3, bias=bias, group=group), 8)
    assert only(applied(b.graph(y), make_layers, fold_batch_norms)).op == "fastsep.Conv"


def test_batch_norms_are_computed_in_double_precision() -> None:
    b = Builder()
    kernel = b.weights(8, 4, 1, 1)
    y = b.norm(b("Conv", b.input(1, 4, 2, 2), kernel, group=1), 8)
    graph = b.graph(y)
    scale, shift, mean, variance = (graph.constants[name].astype(float) for name in graph.nodes[1].inputs[1:])
    slope = scale / np.sqrt(variance + 1e-3)
    after = fold_batch_norms(make_layers(graph))
    wanted = graph.constants[kernel][:, :, 0, 0].T * slope
    np.testing.assert_array_equal(after.constants[only(after).inputs[1]][0, 0], wanted.astype(np.float32))
    np.testing.assert_array_equal(
        after.constants[only(after).inputs[2]], (shift - mean * slope).astype(np.float32)
    )


def test_batch_norms_go_into_dense_layers() -> None:
    b = Builder()
    y = b.norm(b("Gemm", b.input("N", 7), b.weights(7, 5)), 5)
    assert only(applied(b.graph(y), make_layers, fold_batch_norms)).op == "fastsep.Dense"


def test_a_batch_norm_of_rows_does_not_go_into_a_dense_layer() -> None:
    b = Builder()
    y = b.norm(b("MatMul", b.input("N", 5, 7), b.weights(7, 5)), 5)
    after = applied(b.graph(y), make_layers, fold_batch_norms, fold_scales)
    assert operators(after) == ["fastsep.Dense", "Mul", "Add"]


def test_a_batch_norm_of_what_is_read_elsewhere() -> None:
    b = Builder()
    y = b.conv(b.input("N", 4, 6, 6), 4, 4)
    after = applied(b.graph(b.norm(y, 4), y), make_layers, fold_batch_norms)
    assert operators(after) == ["fastsep.Conv", "Mul", "Add"]


@pytest.mark.parametrize("group", [1, 2])
def test_batch_norms_go_into_the_convolution_behind(group: int) -> None:
    b = Builder()
    y = b.conv(b.norm(b.input("N", 4, 6, 6), 4), 4, 6, 3, pads=(0,) * 4, group=group)
    after = applied(b.graph(y), make_layers, fold_batch_norms, fold_scales)
    assert operators(after) == ["fastsep.Conv"]


def test_padding_keeps_the_sum_of_a_batch_norm() -> None:
    b = Builder()
    y = b.conv(b.norm(b.input("N", 4, 6, 6), 4), 4, 6, 3)
    after = applied(b.graph(y), make_layers, fold_batch_norms, fold_scales)
    assert operators(after) == ["Mul", "Add", "fastsep.Conv"]


# --- products and sums per channel ---


@pytest.mark.parametrize(
    ("op", "behind"),
    [
        ("Add", False),
        ("Sub", False),
        ("Mul", False),
        ("Div", False),
        ("Add", True),
        ("Sub", True),
        ("Mul", True),
    ],
)
@pytest.mark.parametrize("shape", [(), (1,), (8, 1, 1), (1, 8, 1, 1), (1, 1, 1, 1)])
def test_constants_go_into_the_convolution_before(op: str, shape: tuple[int, ...], behind: bool) -> None:
    b = Builder()
    y = b.conv(b.input("N", 4, 6, 6), 4, 8, 3, bias=behind)
    value = b.constant(np.asarray(b.random.uniform(0.5, 2, shape)))
    y = b(op, value, y) if behind else b(op, y, value)
    after = applied(b.graph(y), make_layers, fold_scales)
    assert operators(after) == ["fastsep.Conv"]


def test_a_divisor_takes_no_constant() -> None:
    b = Builder()
    # Far from 0, where a quotient would magnify any rounding.
    far = b("Add", b.conv(b.input("N", 4, 6, 6), 4, 8, 3), b.constant(np.asarray(100.0)))
    y = b("Div", b.constant(np.asarray(1.5)), far)
    assert operators(applied(b.graph(y), make_layers, fold_scales)) == ["fastsep.Conv", "Div"]


@pytest.mark.parametrize("shape", [(6,), (6, 6), (2, 8, 1, 1), (1, 1, 8, 1, 1), (1, 8, 1, 6)])
def test_other_constants_stay(shape: tuple[int, ...]) -> None:
    b = Builder()
    y = b("Add", b.conv(b.input(1, 4, 6, 6), 4, 8, 3), b.weights(*shape))
    after = applied(b.graph(y), make_layers, fold_scales)
    assert operators(after) == ["fastsep.Conv", "Add"]


def test_a_constant_that_makes_channels_of_one_stays() -> None:
    b = Builder()
    y = b("Mul", b.conv(b.input("N", 4, 6, 6), 4, 1, 3), b.weights(8, 1, 1))
    assert operators(applied(b.graph(y), make_layers, fold_scales)) == ["fastsep.Conv", "Mul"]
    b = Builder()
    y = b.conv(b("Mul", b.input("N", 1, 6, 6), b.weights(8, 1, 1)), 8, 4)
    assert operators(applied(b.graph(y), make_layers, fold_scales)) == ["Mul", "fastsep.Conv"]


def test_only_what_is_linear_takes_a_constant() -> None:
    b = Builder()
    y = b("Mul", b("Relu", b.conv(b.input("N", 4, 6, 6), 4, 8)), [2.0])
    after = applied(b.graph(y), fuse_activations, make_layers, fuse_epilogues, fold_scales)
    assert operators(after) == ["fastsep.Conv", "Mul"]


def test_division_by_zero_is_not_folded() -> None:
    b = Builder()
    y = b("Div", b.conv(b.input("N", 2, 3, 3), 2, 2), np.array([[[1.0]], [[0.0]]]))
    assert operators(fold_scales(make_layers(b.graph(y)))) == ["fastsep.Conv", "Div"]


def test_a_product_goes_into_a_padded_convolution_behind() -> None:
    b = Builder()
    y = b.conv(b("Div", b.input("N", 4, 6, 6), b.constant(np.full((4, 1, 1), 255.0))), 4, 6, 3)
    assert operators(applied(b.graph(y), make_layers, fold_scales)) == ["fastsep.Conv"]


def test_a_dense_layer_takes_what_is_before_it() -> None:
    b = Builder()
    x = b("Add", b("Mul", b.input("N", 4), b.weights(4)), b.weights(1, 4))
    y = b("MatMul", x, b.weights(4, 3))
    assert operators(applied(b.graph(y), make_layers, fold_scales)) == ["fastsep.Dense"]


def test_a_line_before_an_activation_is_one_layer() -> None:
    b = Builder()
    y = b("Relu", b.norm(b("MaxPool", b.input("N", 4, 6, 6), kernel_shape=(2, 2)), 4))
    after = applied(b.graph(y), fuse_activations, fold_batch_norms, fuse_lines, fuse_epilogues)
    assert operators(after) == ["MaxPool", "fastsep.Conv"]
    assert after.nodes[1].attributes["groups"] == 4
    assert after.nodes[1].attributes["activation"] == "relu"


def test_a_line_of_channels_at_the_end() -> None:
    b = Builder()
    y = b("Sub", b("Mul", b.input("N", "H", "W", 3), 1 / 255), b.weights(3))
    node = only(applied(b.graph(y), fuse_lines))
    assert node.attributes["layout"] == "N…C"


# --- pads ---


@pytest.mark.parametrize("fill", [(), ("",), (0.0,)])
def test_pads_go_into_convolutions(fill: tuple[Any, ...]) -> None:
    b = Builder()
    x = b("Pad", b.input("N", 4, 6, 6), np.array([0, 0, 0, 1, 0, 0, 2, 3]), *fill, mode="constant")
    node = only(applied(b.graph(b.conv(x, 4, 8, 3)), make_layers, fold_pads))
    assert node.attributes["padding"] == ((1, 3), (2, 4))


def test_pads_of_named_axes() -> None:
    b = Builder()
    x = b("Pad", b.input("N", 4, 6, 6), np.array([1, 2]), "", np.array([-1]), mode="constant")
    node = only(applied(b.graph(b.conv(x, 4, 8, 3)), make_layers, fold_pads))
    assert node.attributes["padding"] == ((1, 1), (2, 3))


@pytest.mark.parametrize(
    ("pads", "fill", "mode"),
    [
        ((0, 0, 1, 1, 0, 0, 1, 1), 1.0, "constant"),
        ((0, 0, 1, 1, 0, 0, 1, 1), 0.0, "reflect"),
        ((0, 0, 1, -1, 0, 0, 1, 1), 0.0, "constant"),
        ((0, 1, 1, 1, 0, 0, 1, 1), 0.0, "constant"),
    ],
)
def test_other_pads_stay(pads: tuple[int, ...], fill: float, mode: str) -> None:
    b = Builder()
    x = b("Pad", b.input("N", 4, 6, 6), np.array(pads), fill, mode=mode)
    y = b.conv(x, 4 + pads[1], 8, 3)
    assert operators(applied(b.graph(y), make_layers, fold_pads)) == ["Pad", "fastsep.Conv"]


def test_a_pad_does_not_go_into_a_convolution_that_pads_as_it_must() -> None:
    b = Builder()
    x = b("Pad", b.input("N", 4, 6, 6), np.array([0, 0, 1, 1, 0, 0, 1, 1]), mode="constant")
    y = b.conv(x, 4, 8, 3, auto_pad="SAME_UPPER", strides=(2, 2), pads=(0,) * 4)
    assert operators(applied(b.graph(y), make_layers, fold_pads)) == ["Pad", "fastsep.Conv"]


def test_a_pad_that_is_read_elsewhere_is_folded_and_stays() -> None:
    b = Builder()
    x = b("Pad", b.input("N", 4, 6, 6), np.array([0, 0, 1, 1, 0, 0, 1, 1]), mode="constant")
    after = applied(b.graph(b.conv(x, 4, 8, 3), b("Relu", x)), make_layers, fold_pads)
    assert counted(after) == {"Pad": 1, "fastsep.Conv": 1, "Relu": 1}
    conv = next(node for node in after.nodes if node.op == "fastsep.Conv")
    assert conv.inputs[0] == "x0"


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("fill", [0.0, -math.inf, 1.0])
def test_pads_go_into_max_pools(positive: bool, fill: float) -> None:
    b = Builder()
    x = b.input("N", 4, 6, 6)
    if positive:
        x = b("Relu", x)
    x = b("Pad", x, np.array([0, 0, 1, 1, 0, 0, 1, 1]), fill, mode="constant")
    y = b("MaxPool", x, kernel_shape=(3, 3), strides=(2, 2))
    after = applied(b.graph(y), fuse_activations, make_pools, fold_pads)
    folded = fill == -math.inf or (positive and fill == 0)
    assert ("Pad" not in operators(after)) == folded


def test_a_window_in_the_padding_keeps_zeros() -> None:
    b = Builder()
    x = b("Pad", b("Relu", b.input("N", 4, 6, 6)), np.array([0, 0, 3, 3, 0, 0, 0, 0]), mode="constant")
    y = b("MaxPool", x, kernel_shape=(2, 2), strides=(1, 1))
    assert "Pad" in operators(applied(b.graph(y), fuse_activations, make_pools, fold_pads))


def test_a_window_around_the_image_keeps_zeros() -> None:
    """Steps of two pixels pass over an image of one: what they see is padding on both sides."""
    for size, folded in ((1, False), (2, True), ("H", False), (9, True)):
        b = Builder()
        x = b("Relu", b.input(1, 1, size, size))
        x = b("Pad", x, np.array([0, 0, 1, 1, 0, 0, 1, 1]), mode="constant")
        y = b("MaxPool", x, kernel_shape=(2, 2), dilations=(2, 2))
        after = applied(b.graph(y), fuse_activations, make_pools, fold_pads)
        assert ("Pad" not in operators(after)) == folded
        if size == "H":
            assert_same(b.graph(y), after, sizes={"H": 1})


def test_a_window_around_a_turned_image_keeps_zeros() -> None:
    for size, folded in ((1, False), (2, True)):
        b = Builder()
        x = b("Relu", b.input(1, size, 5, 3))
        x = b("Pad", x, np.array([0, 1, 0, 0, 0, 1, 0, 0]), mode="constant")
        y = b("MaxPool", b("Transpose", x, perm=(0, 3, 1, 2)), kernel_shape=(2, 1), dilations=(2, 1))
        after = applied(b.graph(y), fuse_activations, make_pools, fold_pads)
        assert ("Pad" not in operators(after)) == folded


@pytest.mark.parametrize(("attributes", "folded"), [
    ({}, True),
    ({"count_include_pad": 1, "pads": (1, 1, 1, 1)}, True),
    ({"pads": (1, 1, 1, 1)}, False),
    ({"ceil_mode": 1, "strides": (2, 2)}, False),
])  # fmt: skip
def test_pads_go_into_means(attributes: dict[str, Any], folded: bool) -> None:
    b = Builder()
    x = b("Pad", b.input("N", 4, 6, 6), np.array([0, 0, 1, 1, 0, 0, 1, 0]), mode="constant")
    after = applied(b.graph(b("AveragePool", x, kernel_shape=(3, 3), **attributes)), make_pools, fold_pads)
    assert ("Pad" not in operators(after)) == folded


# --- pools ---


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"pads": (1, 0, 1, 1), "strides": (2, 2)},
        {"auto_pad": "SAME_UPPER", "strides": (2, 2)},
        {"auto_pad": "SAME_LOWER", "strides": (2, 1)},
        {"ceil_mode": 1, "strides": (2, 2), "pads": (1, 1, 1, 1)},
        {"dilations": (1, 2)},
    ],
)
def test_pools(op: str, attributes: dict[str, Any]) -> None:
    b = Builder()
    y = b(op, b.input("N", 4, "H", 8), kernel_shape=(3, 3), **attributes)
    assert only(applied(b.graph(y), make_pools)).op == "fastsep.Pool"


def test_a_pool_that_says_where_stays() -> None:
    b = Builder()
    y, places = b("MaxPool", b.input("N", 4, 8, 8), kernel_shape=(2, 2), outputs=2)
    graph = b.graph(y, b("Cast", places, to="float32"))
    assert "MaxPool" in operators(applied(graph, make_pools))


@pytest.mark.parametrize("change", ["flatten", "reshape", "squeeze", "reduce", None])
def test_global_pools(change: str | None) -> None:
    b = Builder()
    x = b.input("N", 4, "H", "W")
    y = b("ReduceMean", x, np.array([-1, 2]), keepdims=0) if change == "reduce" else b("GlobalAveragePool", x)
    if change == "flatten":
        y = b("Flatten", y, axis=1)
    elif change == "reshape":
        y = b("Reshape", y, np.array([-1, 4]))
    elif change == "squeeze":
        y = b("Squeeze", y, np.array([2, 3]))
    node = only(applied(b.graph(y), make_pools))
    assert node.op == "fastsep.GlobalPool"
    assert node.attributes["keepdims"] == (change is None)


def test_a_mean_of_channels_last() -> None:
    b = Builder()
    node = only(applied(b.graph(b("ReduceMean", b.input("N", "H", "W", 4), np.array([1, 2]))), make_pools))
    assert node.attributes["layout"] == "N…C"


@pytest.mark.parametrize("axes", [[1], [0, 2, 3], [1, 2, 3], [2]])
def test_other_means_stay(axes: list[int]) -> None:
    b = Builder()
    y = b("ReduceMean", b.input("N", 4, "H", "W"), np.array(axes))
    assert only(applied(b.graph(y), make_pools)).op == "ReduceMean"


def test_a_pool_of_the_whole_image() -> None:
    b = Builder()
    y = b("AveragePool", b.input("N", 4, 7, 7), kernel_shape=(7, 7))
    assert only(applied(b.graph(y), make_pools)).op == "fastsep.GlobalPool"


# --- epilogues ---


def test_residual_then_activation() -> None:
    b = Builder()
    x = b.input("N", 4, "H", "W")
    y = b("Relu", b("Add", x, b.conv(x, 4, 4, 3)))
    node = only(applied(b.graph(y), fuse_activations, make_layers, fuse_epilogues))
    assert node.inputs[3] == x
    assert node.attributes["activation"] == "relu"


def test_a_strided_shortcut() -> None:
    b = Builder()
    x = b.input("N", 4, "H", "W")
    y = b("Add", b.conv(x, 4, 4, 3, strides=(2, 2)), b.conv(x, 4, 4, 1, strides=(2, 2)))
    after = applied(b.graph(y), make_layers, fuse_epilogues)
    assert operators(after) == ["fastsep.Conv", "fastsep.Conv"]


@pytest.mark.parametrize(
    "shape", [("N", 4, 1, 1), ("N", 4, "H", 1), ("M", 4, "H", "W"), (4, "H", "W"), ("N", 4, "W", "H")]
)
def test_what_may_be_broadcast_is_no_residual(shape: tuple[Any, ...]) -> None:
    b = Builder()
    x = b.input("N", 4, "H", "W")
    y = b("Add", b.conv(x, 4, 4, 3), b.input(*shape))
    assert operators(applied(b.graph(y), make_layers, fuse_epilogues)) == ["fastsep.Conv", "Add"]


def test_sizes_that_differ_for_some_images_are_no_residual() -> None:
    b = Builder()
    x = b.input("N", 4, "H", "W")
    # ⌊(H − 1) / 2⌋ + 1 and ⌊H / 2⌋ + 1 are equal for odd sizes, such as the 7 that the test runs.
    y = b("Add", b.conv(x, 4, 4, 3, strides=(2, 2)), b.conv(x, 4, 4, 4, strides=(2, 2), pads=(2, 2, 2, 2)))
    assert "Add" in operators(applied(b.graph(y), make_layers, fuse_epilogues))


def test_an_output_is_not_swallowed() -> None:
    b = Builder()
    y = b.conv(b.input("N", 4, 6, 6), 4, 4, 3)
    after = applied(b.graph(b("Relu", y), y), fuse_activations, make_layers, fuse_epilogues)
    assert operators(after) == ["fastsep.Conv", "fastsep.Activation"]


def test_an_activation_before_the_residual() -> None:
    b = Builder()
    x = b.input("N", 4, 6, 6)
    y = b("Add", x, b("Relu", b.conv(x, 4, 4, 3)))
    after = applied(b.graph(y), fuse_activations, make_layers, fuse_epilogues)
    assert operators(after) == ["fastsep.Conv", "Add"]


def test_twice_the_same() -> None:
    b = Builder()
    y = b.conv(b.input("N", 4, 6, 6), 4, 4, 3)
    after = applied(b.graph(b("Add", y, y)), make_layers, fuse_epilogues)
    assert operators(after) == ["fastsep.Conv", "Add"]


# --- separable ---

LAYERS = (fuse_activations, make_layers, make_pools, fold_batch_norms, fold_scales, fuse_epilogues)


@pytest.mark.parametrize("activation", [None, "Relu"])
def test_depthwise_then_pointwise(activation: str | None) -> None:
    b = Builder()
    x = b.input("N", 4, "H", "W")
    y = b.norm(b.depthwise(x, 4, 3, strides=(2, 2)), 4)
    y = b("Relu", b.norm(b.conv(b(activation, y) if activation else y, 4, 6), 6))
    node = only(applied(b.graph(y), *LAYERS, fuse_separable))
    assert node.op == "fastsep.Separable"
    assert node.attributes["depthwise_activation"] == (activation and "relu")
    assert node.attributes["activation"] == "relu"
    assert len(node.origin) == 5 + (activation is not None)


def test_a_multiplier_and_a_residual() -> None:
    b = Builder()
    x = b.input("N", 4, "H", "W")
    y = b("Add", x, b.conv(b.conv(x, 4, 12, 5, group=4, bias=True), 12, 4, bias=True))
    node = only(applied(b.graph(y), *LAYERS, fuse_separable))
    assert node.inputs[5] == x


@pytest.mark.parametrize(
    "write",
    [
        lambda b, x: b.conv(b.conv(x, 4, 4, 3), 4, 6),
        lambda b, x: b.conv(b.depthwise(x, 4), 4, 6, strides=(2, 2)),
        lambda b, x: b.conv(b.depthwise(x, 4), 4, 6, 3),
        lambda b, x: b.conv(b.depthwise(x, 4), 4, 6, group=2),
        lambda b, x: b.conv(b.depthwise(x, 4), 4, 6, pads=(1, 1, 1, 1)),
        lambda b, x: b.conv(b("Add", x, b.depthwise(x, 4)), 4, 6),
    ],
)
def test_other_pairs_stay(write: Any) -> None:
    b = Builder()
    graph = b.graph(write(b, b.input("N", 4, 6, 6)))
    after = applied(graph, *LAYERS, fuse_inverted_residuals, fuse_separable)
    assert operators(after) == ["fastsep.Conv", "fastsep.Conv"]


# --- inverted residuals ---


def block(
    b: Builder,
    x: str,
    channels: int = 4,
    hidden: int = 8,
    outputs: int = 4,
    *,
    first: str | None = "Relu",
    second: str | None = "Relu",
    gate: Any = None,
    residual: str | None = None,
    **attributes: Any,
) -> str:
    """Write an inverted residual with batch norms."""
    y = x
    if hidden != channels:
        y = b.norm(b.conv(x, channels, hidden), hidden)
        y = b(first, y) if first else y
    y = b.norm(b.depthwise(y, hidden, 3, **attributes), hidden)
    y = b(second, y) if second else y
    if gate is not None:
        y = gate(b, y, hidden)
    y = b.norm(b.conv(y, hidden, outputs), outputs)
    return y if residual is None else b("Add", residual, y)


FUSE = (*LAYERS, fuse_inverted_residuals, fuse_separable)


@pytest.mark.parametrize("activation", ["Relu", "HardSwish", None])
@pytest.mark.parametrize("adds", [False, True])
def test_blocks(activation: str | None, adds: bool) -> None:
    b = Builder()
    x = b.input("N", 4, "H", "W")
    graph = b.graph(block(b, x, first=activation, second=activation, residual=x if adds else None))
    node = only(applied(graph, *FUSE))
    assert node.op == "fastsep.InvertedResidual"
    assert node.attributes["residual"] is adds
    assert set(node.origin) == {node.name for node in graph.nodes}


def test_a_block_of_one_pixel_adds_its_input_at_any_stride() -> None:
    """InvertedResidual refuses it: with more pixels it could not."""
    b = Builder()
    x = b.input("N", 4, 1, 1)
    after = applied(b.graph(block(b, x, residual=x, strides=(2, 2))), *FUSE)
    assert counted(after) == {"fastsep.Conv": 1, "fastsep.Separable": 1}
    assert after.nodes[1].inputs[5] == x


def test_a_block_without_expansion() -> None:
    b = Builder()
    x = b.input("N", 4, "H", "W")
    node = only(applied(b.graph(block(b, x, hidden=4, residual=x)), *FUSE))
    assert node.op == "fastsep.InvertedResidual"
    assert node.inputs[1] == ""


def test_blocks_one_after_the_other() -> None:
    b = Builder()
    x = b("Relu", b.conv(b.input("N", 3, "H", "W"), 3, 4, 3, strides=(2, 2)))
    for _ in range(3):
        x = block(b, x, residual=x)
    x = block(b, x, outputs=6, strides=(2, 2))
    assert operators(applied(b.graph(x), *FUSE)) == ["fastsep.Conv"] + ["fastsep.InvertedResidual"] * 4


def by_convolutions(b: Builder, y: str, channels: int, *, pool: str = "GlobalAveragePool") -> str:
    """Gate as PyTorch's vision models do."""
    means = b(pool, y) if pool.startswith("Global") else b(pool, y, np.array([2, 3]), keepdims=1)
    squeezed = b("Relu", b.conv(means, channels, 2, bias=True))
    factors = b("Sigmoid", b.conv(squeezed, 2, channels, bias=True))
    return b("Mul", factors, y)


def by_dense_layers(b: Builder, y: str, channels: int) -> str:
    """Gate as those with linear layers do."""
    means = b("Flatten", b("GlobalAveragePool", y), axis=1)
    squeezed = b("Mul", h := b("Gemm", means, b.weights(channels, 2), b.weights(2)), b("Sigmoid", h))
    factors = b("HardSigmoid", b("MatMul", squeezed, b.weights(2, channels)), alpha=float(SIXTH), beta=0.5)
    return b("Mul", y, b("Reshape", factors, np.array([-1, channels, 1, 1])))


def by_unsqueezed_means(b: Builder, y: str, channels: int) -> str:
    """Gate with means that lose their axes and get them back."""
    means = b("Unsqueeze", b("ReduceMean", y, np.array([2, 3]), keepdims=0), np.array([2, 3]))
    squeezed = b("HardSwish", b.conv(means, channels, 2))
    return b("Mul", y, b("Sigmoid", b.conv(squeezed, 2, channels)))


GATES = {
    "convolutions": by_convolutions,
    "reduce": lambda b, y, channels: by_convolutions(b, y, channels, pool="ReduceMean"),
    "dense": by_dense_layers,
    "unsqueezed": by_unsqueezed_means,
}


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("hidden", [4, 8])
def test_blocks_with_a_gate(gate: str, hidden: int) -> None:
    b = Builder()
    x = b.input("N", 4, "H", "W")
    graph = b.graph(block(b, x, hidden=hidden, gate=GATES[gate], residual=x))
    node = only(applied(graph, *FUSE))
    assert node.op == "fastsep.InvertedResidual"
    assert all(node.inputs[index] for index in (7, 9))
    assert set(node.origin) == {node.name for node in graph.nodes}


def test_blocks_that_are_not_quite() -> None:
    b = Builder()
    x, other = b.input("N", 4, "H", "W"), b.input("N", 4, "H", "W")
    different = block(b, x, first="Relu", second="HardSwish")
    assert counted(applied(b.graph(different), *FUSE)) == {"fastsep.Conv": 1, "fastsep.InvertedResidual": 1}
    added = block(b, x, residual=other)
    after = applied(b.graph(added), *FUSE)
    assert counted(after) == {"fastsep.Conv": 1, "fastsep.Separable": 1}
    assert after.nodes[1].inputs[5] == other
    nonlinear = b("Relu", block(b, x))
    assert counted(applied(b.graph(nonlinear), *FUSE)) == {"fastsep.Conv": 1, "fastsep.Separable": 1}
    shared = block(b, x)
    expanded = next(node for node in reversed(b.nodes) if node.op == "Relu" and "v" in node.inputs[0])
    assert "fastsep.InvertedResidual" not in operators(
        applied(b.graph(shared, expanded.outputs[0]), *LAYERS, fuse_inverted_residuals)
    )


def test_a_gate_from_another_image_stays() -> None:
    def gate(b: Builder, y: str, channels: int) -> str:
        means = b("GlobalAveragePool", b.input("N", channels, "H", "W"))
        return b("Mul", y, b("Sigmoid", b.conv(b("Relu", b.conv(means, channels, 2)), 2, channels)))

    b = Builder()
    x = b.input("N", 4, "H", "W")
    after = applied(b.graph(block(b, x, gate=gate)), *FUSE)
    assert "Mul" in operators(after)


def test_a_gate_with_the_greatest_stays() -> None:
    b = Builder()
    x = b.input("N", 4, "H", "W")
    graph = b.graph(block(b, x, gate=lambda b, y, c: by_convolutions(b, y, c, pool="GlobalMaxPool")))
    assert "Mul" in operators(applied(graph, *FUSE))


@pytest.mark.parametrize("place", range(12))
def test_a_block_with_an_output_inside(place: int) -> None:
    b = Builder()
    x = b.input("N", 4, "H", "W")
    y = block(b, x, gate=by_convolutions, residual=x)
    inside = b.nodes[place].outputs[0]
    applied(b.graph(y, inside), *FUSE)
    b("Relu", inside)
    applied(b.graph(y, b.nodes[-1].outputs[0]), *FUSE)


# --- element by element ---


@pytest.mark.parametrize(("op", "made"), [("Add", "fastsep.Add"), ("Mul", "fastsep.Multiply")])
@pytest.mark.parametrize("shape", [("N", 4, "H", "W"), ("N", 4, 1, 1), ("N", 1, "H", "W"), (4, 1, 1)])
def test_an_activation_joins_sums_and_products(op: str, made: str, shape: tuple[Any, ...]) -> None:
    b = Builder()
    y = b("Relu", b(op, b.input(*shape), b.input("N", 4, "H", "W")))
    node = only(applied(b.graph(y), fuse_activations, make_elementwise))
    assert node.op == made
    assert node.attributes["activation"] == "relu"


def test_a_sum_that_is_read_elsewhere_keeps_its_activation_apart() -> None:
    b = Builder()
    y = b("Add", b.input("N", 4, 6, 6), b.input("N", 4, 6, 6))
    after = applied(b.graph(b("Sigmoid", y), y), fuse_activations, make_elementwise)
    assert operators(after) == ["fastsep.Add", "fastsep.Activation"]


def test_one_activation_alone_joins_a_sum() -> None:
    b = Builder()
    y = b("Add", b.input("N", 4, 6, 6), b.input("N", 4, 6, 6))
    after = applied(b.graph(b("Sigmoid", b("Relu", y))), fuse_activations, make_elementwise)
    assert operators(after) == ["fastsep.Add", "fastsep.Activation"]
    assert [node.attributes["activation"] for node in after.nodes] == ["relu", "sigmoid"]


def test_sums_of_integers_stay() -> None:
    b = Builder()
    y = b("Add", b.input("N", 4, dtype=np.int64), b.input("N", 4, dtype=np.int64))
    assert operators(make_elementwise(b.graph(y))) == ["Add"]


# --- transposes ---

LAST = (0, 2, 3, 1)
FIRST = (0, 3, 1, 2)


def image(b: Builder) -> str:
    """Return an image of open sizes whose channels were first and now are last."""
    return b("Transpose", b.input("N", 4, "H", "W"), perm=LAST)


def sunk(graph: Graph) -> list[str]:
    return operators(applied(graph, sink_transposes))


def test_transposes_are_composed_and_cancel() -> None:
    b = Builder()
    assert sunk(b.graph(b("Relu", b("Transpose", image(b), perm=FIRST)))) == ["Relu"]
    b = Builder()
    after = applied(b.graph(b("Transpose", image(b), perm=LAST)), sink_transposes)
    assert only(after).attributes["perm"] == (0, 3, 1, 2) and len(only(after).origin) == 2
    b = Builder()
    after = applied(b.graph(b("Transpose", b.input(2, "N", 3))), sink_transposes)
    assert only(after).attributes["perm"] == (2, 1, 0)


def test_a_transpose_that_is_an_output_stays() -> None:
    b = Builder()
    x = image(b)
    after = applied(b.graph(b("Relu", x), x), sink_transposes)
    assert counted(after) == {"Transpose": 2, "Relu": 1}


@pytest.mark.parametrize("op", ["Relu", "Sigmoid", "Tanh", "Erf", "Cast", "Identity", "Abs"])
def test_transposes_go_behind_curves(op: str) -> None:
    b = Builder()
    attributes = {"to": "float32"} if op == "Cast" else {}
    assert sunk(b.graph(b(op, image(b), **attributes))) == [op, "Transpose"]


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [1, 3, -1, -2])
def test_transposes_go_behind_a_softmax(op: str, axis: int) -> None:
    b = Builder()
    after = applied(b.graph(b(op, image(b), axis=axis)), sink_transposes)
    assert operators(after) == [op, "Transpose"]
    assert after.nodes[0].attributes["axis"] == LAST[axis]


def test_a_softmax_of_rows_keeps_its_transpose() -> None:
    b = Builder()
    assert sunk(b.graph(b("Softmax", image(b), axis=2, flatten=True))) == ["Transpose", "Softmax"]


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min"])
def test_transposes_go_behind_what_takes_two_images(op: str) -> None:
    b = Builder()
    x = b("Transpose", b.input("N", 4, "H", "W"), perm=LAST)
    y = b("Transpose", b.input("N", 4, "H", "W"), perm=LAST)
    assert sunk(b.graph(b(op, x, y))) == [op, "Transpose"]


def test_images_turned_differently_stay() -> None:
    b = Builder()
    x = b("Transpose", b.input("N", 4, 6, 6), perm=LAST)
    y = b("Transpose", b.input("N", 6, 6, 4), perm=(0, 1, 2, 3))
    z = b("Transpose", b.input("N", 6, 4, 6), perm=(0, 1, 3, 2))
    assert counted(applied(b.graph(b("Sum", x, y, z)), sink_transposes))["Transpose"] == 3


@pytest.mark.parametrize("shape", [(), (1,), (4,), (7, 4), (7, 7, 4), (1, 7, 7, 4), (7, 1, 1)])
def test_constants_beside_a_transpose_are_turned_back(shape: tuple[int, ...]) -> None:
    for behind in (False, True):
        b = Builder()
        x, value = image(b), b.constant(np.asarray(b.random.normal(size=shape)))
        y = b("Sub", value, x) if behind else b("Sub", x, value)
        assert sunk(b.graph(y)) == ["Sub", "Transpose"]


def test_a_gate_beside_a_transpose_is_turned_back() -> None:
    b = Builder()
    after = applied(b.graph(b("Mul", image(b), b.input("N", 1, 1, 4))), sink_transposes)
    assert operators(after) == ["Transpose", "Mul", "Transpose"]
    assert after.nodes[0].inputs == ("x1",) and after.nodes[0].attributes["perm"] == FIRST


@pytest.mark.parametrize("shape", [("N", "H", "W", 4), ("W", 4), (1, "H", "W", 1)])
def test_images_beside_a_transpose_are_not_turned_back(shape: tuple[Any, ...]) -> None:
    b = Builder()
    assert sunk(b.graph(b("Add", image(b), b.input(*shape)))) == ["Transpose", "Add"]


@pytest.mark.parametrize("axis", [0, 1, 3, -1])
def test_transposes_go_behind_a_concatenation(axis: int) -> None:
    b = Builder()
    x, y = image(b), b("Transpose", b.input("N", 4, "H", "W"), perm=LAST)
    after = applied(b.graph(b("Concat", x, y, axis=axis)), sink_transposes)
    assert operators(after) == ["Concat", "Transpose"]
    assert after.nodes[0].attributes["axis"] == LAST[axis]


def test_a_concatenation_with_another_image_stays() -> None:
    b = Builder()
    y = b("Concat", image(b), b.input("N", "H", "W", 4), axis=3)
    assert sunk(b.graph(y)) == ["Transpose", "Concat"]


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("axes", [[1, 2], [-1], [3, 0], [0, 1, 2, 3], [2]])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_transposes_go_behind_reductions(op: str, axes: list[int], keepdims: int) -> None:
    b = Builder()
    y = b(op, image(b), np.array(axes), keepdims=keepdims)
    after = applied(b.graph(y), sink_transposes)
    assert operators(after)[0] == op and after.nodes[0].inputs[0] == "x0"
    # One Transpose behind it at most: that of axes which stayed.
    assert operators(after)[1:] in ([], ["Transpose"], ["Reshape"])


def test_a_reduction_of_all_axes_or_of_unknown_ones_stays() -> None:
    b = Builder()
    assert sunk(b.graph(b("ReduceMean", image(b)))) == ["Transpose", "ReduceMean"]
    b = Builder()
    axes = b("Cast", b.input(1), to="int64")
    after = sink_transposes(b.graph(b("ReduceMean", image(b), axes)))
    assert operators(after)[-1] == "ReduceMean"


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
@pytest.mark.parametrize("named", [False, True])
def test_transposes_go_behind_pads(mode: str, named: bool) -> None:
    b = Builder()
    pads = [1, 0, 2, 3] if named else [0, 1, 0, 0, 0, 2, 3, 0]
    operands = (np.array([1, -2]),) if named else ()
    y = b("Pad", image(b), np.array(pads), *(("", *operands) if named else ()), mode=mode)
    after = applied(b.graph(y), sink_transposes)
    assert operators(after) == ["Pad", "Transpose"]


def test_a_pad_keeps_its_number() -> None:
    b = Builder()
    y = b("Pad", image(b), np.array([0, 1, 0, 0, 0, 1, 0, 2]), 5.0, mode="constant")
    assert sunk(b.graph(y)) == ["Pad", "Transpose"]


@pytest.mark.parametrize(
    ("shape", "perm", "becomes"),
    [
        (("N", 4, 1, 1), LAST, "Reshape"),
        ((2, 1, 3), (1, 0, 2), "Reshape"),
        (("N", 1, "H", "W"), LAST, "Transpose"),
        (("N", 4, "H", 1), LAST, "Transpose"),
        ((0, 1, 3), (1, 0, 2), "Transpose"),
        (("N", 4, 2), (0, 1, 2), "Transpose"),
    ],
)
def test_transposes_that_move_axes_of_one_are_reshapes(
    shape: tuple[Any, ...], perm: tuple[int, ...], becomes: str
) -> None:
    b = Builder()
    assert only(applied(b.graph(b("Transpose", b.input(*shape), perm=perm)), sink_transposes)).op == becomes


def test_two_values_are_not_moved_behind_what_makes_several() -> None:
    b = Builder()
    y, places = b("MaxPool", image(b), kernel_shape=(2, 2), outputs=2)
    graph = b.graph(y, b("Cast", places, to="float32"))
    assert operators(applied(graph, sink_transposes))[0] == "Transpose"
