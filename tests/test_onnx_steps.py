"""What lies between the layers of a network: pools, sums, products and curves as compiled steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_models import assert_close, expected, model, weight

from fastsep.onnx import InferenceSession

Array = np.ndarray[Any, Any]
Shape = Sequence[int | str]
RNG = np.random.default_rng(0)


def numbers(*shape: int, dtype: Any = np.float32) -> Array:
    return RNG.standard_normal(shape).astype(dtype)


def open_sizes(rank: int) -> list[str]:
    return [f"size{axis}" for axis in range(rank)]


def one_node(
    op: str, inputs: Mapping[str, Shape], dtype: Any = np.float32, **attributes: Any
) -> onnx.ModelProto:
    """A model of one operator."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    node = helper.make_node(op, list(inputs), ["y"], name="node", **attributes)
    return model([node], inputs, {"y": open_sizes(max(map(len, inputs.values())))}, {}, dtype=kind)


def kinds(session: InferenceSession, shapes: Mapping[str, Sequence[int]] | None = None) -> list[str]:
    return [step.runs_as for step in session.summary(shapes).steps]


def with_pools() -> onnx.ModelProto:
    """What ResNet, Xception and gates have between their convolutions, with several readers of a value."""
    around = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    weights = {
        "stem": weight(0, 16, 3, 3, 3),
        "depthwise": weight(1, 16, 1, 3, 3),
        "pointwise": weight(2, 16, 16, 1, 1),
        "shortcut": weight(3, 16, 16, 1, 1),
        "gate": weight(4, 16, 16, 1, 1),
        "classes": weight(5, 10, 16),
    }
    nodes = [
        helper.make_node("Conv", ["x", "stem"], ["a"], **around),
        helper.make_node("MaxPool", ["a"], ["b"], strides=[2, 2], **around),
        # Read by the shortcut and by the activation before the separable convolution.
        helper.make_node("Conv", ["b", "shortcut"], ["s"], strides=[2, 2]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Conv", ["c", "depthwise"], ["d"], group=16, **around),
        helper.make_node("Conv", ["d", "pointwise"], ["e"]),
        helper.make_node("MaxPool", ["e"], ["f"], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
        helper.make_node("Add", ["f", "s"], ["g"]),
        # A gate on a sum that is read by four.
        helper.make_node("GlobalAveragePool", ["g"], ["h"]),
        helper.make_node("Conv", ["h", "gate"], ["i"]),
        helper.make_node("Sigmoid", ["i"], ["j"]),
        helper.make_node("Mul", ["j", "g"], ["k"]),
        helper.make_node("Add", ["k", "g"], ["l"]),
        helper.make_node("Clip", ["l", "low", "high"], ["m"]),
        helper.make_node("AveragePool", ["m"], ["n"], ceil_mode=1, kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalMaxPool", ["n"], ["o"]),
        helper.make_node("Flatten", ["o"], ["p"]),
        helper.make_node("Gemm", ["p", "classes"], ["y"], transB=1),
    ]
    limits = {"low": np.array(-0.5, np.float32), "high": np.array(2, np.float32)}
    return model(nodes, {"x": ["n", 3, "s", "s"]}, {"y": ["n", 10]}, weights | limits)


def test_networks_with_pools_agree_with_onnx_runtime(isa: str) -> None:
    proto = with_pools()
    session = InferenceSession(proto.SerializeToString())
    for shape in [(1, 3, 32, 32), (2, 3, 37, 37), (1, 3, 5, 5)]:
        x = numbers(*shape)
        assert_close(session.run(None, {"x": x})[0], expected(proto, {"x": x})[0])


def test_all_that_lies_between_layers_is_compiled() -> None:
    session = InferenceSession(with_pools().SerializeToString())
    summary = session.summary({"x": (1, 3, 32, 32)})
    assert [step.op for step in summary.steps if step.runs_as == "NumPy"] == []
    made = {step.op for step in summary.steps}
    assert made >= {"Pool", "GlobalPool", "Activation", "Add", "Multiply"}


def test_the_bits_between_layers_do_not_depend_on_threads() -> None:
    data = with_pools().SerializeToString()
    x = numbers(3, 3, 65, 65)
    (wanted,) = InferenceSession(data, threads=1).run(None, {"x": x})
    for threads in (2, 3, 7):
        assert np.array_equal(InferenceSession(data, threads=threads).run(None, {"x": x})[0], wanted)


# Shapes of the operands: the same, one repeated along some axes, and of every rank that the kernels know.
OPERANDS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((2, 5, 7, 9), (2, 5, 7, 9)),
    ((2, 5, 7, 9), (2, 5, 1, 1)),
    ((2, 5, 1, 1), (2, 5, 7, 9)),
    ((2, 5, 7, 9), (1, 1, 7, 9)),
    ((2, 5, 7, 9), (9,)),
    ((), (2, 5, 7, 9)),
    ((), ()),
    ((17,), (17,)),
    ((3, 17), (17,)),
    ((3, 1), (3, 17)),
    ((2, 3, 17), (2, 3, 17)),
    ((2, 3, 4, 5, 6), (3, 1, 1, 1)),
    ((2, 0, 3), (2, 0, 3)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("a", "b"), OPERANDS)
@pytest.mark.parametrize(("op", "combine"), [("Add", np.add), ("Mul", np.multiply)])
def test_sums_and_products_have_numpy_s_bits(
    op: str, combine: np.ufunc, a: tuple[int, ...], b: tuple[int, ...], dtype: Any
) -> None:
    session = InferenceSession(one_node(op, {"a": a, "b": b}, dtype).SerializeToString())
    assert kinds(session) == ["kernel"]
    first, second = numbers(*a, dtype=dtype), numbers(*b, dtype=dtype)
    (got,) = session.run(None, {"a": first, "b": second})
    assert got.dtype == dtype and np.array_equal(got, combine(first, second))


@pytest.mark.parametrize(
    ("a", "b"),
    [((2, 5, 1, 1), (1, 1, 7, 9)), ((1, 2, 1, 2, 1, 2), (1, 2, 1, 2, 1, 2))],
    ids=["both repeated", "six axes"],
)
def test_what_the_kernels_do_not_take_is_numpy_s(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    session = InferenceSession(one_node("Mul", {"a": a, "b": b}).SerializeToString())
    assert kinds(session) == ["NumPy"]
    first, second = numbers(*a), numbers(*b)
    assert np.array_equal(session.run(None, {"a": first, "b": second})[0], first * second)


def test_one_plan_serves_operands_that_are_repeated_in_one_run_and_not_in_the_next() -> None:
    proto = one_node("Add", {"a": ["n", 4, "h", "w"], "b": ["m", 4, "k", "l"]})
    session = InferenceSession(proto.SerializeToString())
    for a, b in [
        ((2, 4, 5, 6), (2, 4, 5, 6)),
        ((2, 4, 5, 6), (1, 4, 1, 1)),
        ((1, 4, 1, 6), (2, 4, 5, 1)),
        ((1, 4, 1, 1), (2, 4, 5, 6)),
    ]:
        first, second = numbers(*a), numbers(*b)
        assert np.array_equal(session.run(None, {"a": first, "b": second})[0], first + second)


@pytest.mark.parametrize("layout", ["channels last", "Fortran", "reversed"])
def test_operands_in_any_layout_give_the_same_bits(layout: str) -> None:
    session = InferenceSession(
        one_node("Mul", {"a": (2, 5, 7, 9), "b": (2, 5, 7, 9)}).SerializeToString(), threads=2
    )
    first, second = numbers(2, 5, 7, 9), numbers(2, 5, 7, 9)
    turned = {
        "channels last": np.ascontiguousarray(second.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        "Fortran": np.asfortranarray(second),
        "reversed": np.ascontiguousarray(second[..., ::-1])[..., ::-1],
    }[layout]
    for feeds in ({"a": first, "b": turned}, {"a": turned, "b": first}):
        out = np.asfortranarray(np.full((2, 5, 7, 9), np.nan, np.float32))
        session.run(None, feeds, out=[out])
        assert np.array_equal(out, first * second)


@pytest.mark.parametrize("shape", [(), (9,), (3, 9), (2, 3, 9), (2, 3, 9, 9), (2, 3, 4, 5, 6)])
def test_a_curve_alone_is_compiled(shape: tuple[int, ...]) -> None:
    proto = one_node("Sigmoid", {"x": shape})
    session = InferenceSession(proto.SerializeToString())
    assert kinds(session) == ["kernel"]
    x = numbers(*shape)
    assert_close(session.run(None, {"x": x})[0], expected(proto, {"x": x})[0])


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 1, 1, 0], "ceil_mode": 1},
        {"kernel_shape": [2, 3], "auto_pad": "SAME_LOWER"},
        {"kernel_shape": [7, 2], "strides": [1, 3], "pads": [3, 0, 2, 1], "dilations": [2, 1]},
        {"kernel_shape": [3], "strides": [2], "pads": [1, 1]},
        {"kernel_shape": [2, 2, 3], "strides": [1, 2, 1], "pads": [0, 1, 1, 1, 0, 1]},
    ],
)
def test_pools_agree_with_onnx_runtime(op: str, attributes: dict[str, Any], isa: str) -> None:
    spatial = {1: (30,), 2: (17, 19), 3: (5, 6, 7)}[len(attributes["kernel_shape"])]
    if op == "AveragePool":
        attributes = {**attributes, "count_include_pad": 1} if "ceil_mode" not in attributes else attributes
    shape = (2, 19, *spatial)
    proto = one_node(op, {"x": shape}, **attributes)
    session = InferenceSession(proto.SerializeToString())
    assert kinds(session) == ["kernel"]
    x = numbers(*shape)
    assert_close(session.run(None, {"x": x})[0], expected(proto, {"x": x})[0])


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize(("axes", "rank"), [([2, 3], 4), ([1, 2], 4), ([2], 3), ([2, 3, 4], 5)])
@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax"])
def test_whole_images_agree_with_onnx_runtime(op: str, axes: list[int], rank: int, keepdims: int) -> None:
    shape = (2, 5, 6, 7, 8)[:rank]
    node = helper.make_node(op, ["x", "axes"], ["y"], keepdims=keepdims)
    made = open_sizes(rank if keepdims else rank - len(axes))
    proto = model([node], {"x": shape}, {"y": made}, {"axes": np.array(axes)})
    session = InferenceSession(proto.SerializeToString())
    assert kinds(session) == ["kernel"]
    x = numbers(*shape)
    assert_close(session.run(None, {"x": x})[0], expected(proto, {"x": x})[0])


def test_a_constant_operand() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Mul", ["a", "factor"], ["b"]),
        helper.make_node("Add", ["shift", "b"], ["y"]),
    ]
    weights = {"factor": numbers(1, 5, 7, 9), "shift": numbers(2, 5, 7, 9)}
    session = InferenceSession(
        model(nodes, {"x": (2, 5, 7, 9)}, {"y": (2, 5, 7, 9)}, weights).SerializeToString()
    )
    assert set(kinds(session)) == {"kernel"}
    x = numbers(2, 5, 7, 9)
    wanted = weights["shift"] + np.maximum(x, 0) * weights["factor"]
    assert np.array_equal(session.run(None, {"x": x})[0], wanted)
