"""Malformed models: refused with an error that says what is wrong where, before memory is taken for them."""

from __future__ import annotations

import contextlib
import math
import os
import re
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_models import Array, assert_close, every_kind, expected, model, small_network, weight
from onnx_mutations import mutate
from steps import lines_run

import fastsep
from fastsep.onnx import InferenceSession, ModelError, UnsupportedOperator

IMAGE = {"x": [1, 3, 8, 8]}
OPEN_IMAGE: dict[str, Sequence[int | str]] = {"x": ["n", 3, "h", "w"]}
HUGE = 2**40


def node(op: str, inputs: Sequence[str], *outputs: str, **attributes: Any) -> onnx.NodeProto:
    """A node with a name; "xw" are two inputs."""
    return helper.make_node(op, list(inputs), list(outputs or ("y",)), name=f"the_{op}", **attributes)


def of(
    *nodes: onnx.NodeProto,
    inputs: Mapping[str, Sequence[int | str]] = IMAGE,
    output: str = "y",
    opset: int = 21,
    **weights: Array,
) -> onnx.ModelProto:
    """A model of these nodes; nothing is said of the shape of its output but that it has one axis."""
    return model(nodes, inputs, {output: ["any"]}, weights, opset)


def assert_refused(proto: onnx.ModelProto, words: str, kind: type[ModelError] = ModelError) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        InferenceSession(proto.SerializeToString())
    assert type(caught.value) is kind


KERNEL = weight(0, 4, 3, 3, 3)
F32, I64 = np.float32, np.int64


def sizes(*numbers: int) -> Array:
    return np.array(numbers, I64)


CONTRADICTIONS: dict[str, tuple[onnx.ModelProto, str]] = {
    "channels": (of(node("Conv", "xw"), w=weight(0, 4, 2, 3, 3)), "the_Conv.*does not fit 3 channels"),
    "kernel too large": (of(node("Conv", "xw"), w=weight(0, 4, 3, 9, 9)), "the_Conv.*does not fit 8"),
    "kernel of another rank": (of(node("Conv", "xw"), w=weight(0, 4, 3, 3)), "the_Conv.*as many axes"),
    "kernel_shape": (of(node("Conv", "xw", kernel_shape=[5, 5]), w=KERNEL), "the_Conv.*kernel_shape is"),
    "groups": (of(node("Conv", "xw", group=0), w=KERNEL), "the_Conv.*0 groups"),
    "groups of filters": (of(node("Conv", "xw", group=3), w=weight(0, 4, 1, 3, 3)), "the_Conv.*3 groups"),
    "pads": (of(node("Conv", "xw", pads=[1, 1]), w=KERNEL), "the_Conv.*pads must hold 4"),
    "negative pads": (of(node("Conv", "xw", pads=[0, -1, 0, 0]), w=KERNEL), "the_Conv.*negative"),
    "strides": (of(node("Conv", "xw", strides=[1, 0]), w=KERNEL), "the_Conv.*strides"),
    "dilations": (of(node("Conv", "xw", dilations=[1, 1, 1]), w=KERNEL), "the_Conv.*dilations"),
    "auto_pad": (of(node("Conv", "xw", auto_pad="SAME"), w=KERNEL), "the_Conv.*auto_pad"),
    "bias": (of(node("Conv", "xwb"), w=KERNEL, b=weight(1, 5)), "the_Conv.*bias"),
    "batch norm": (
        of(node("BatchNormalization", "xsssm"), s=weight(0, 3), m=weight(0, 4)),
        "the_BatchNormalization.*'m'.*3 channels",
    ),
    "pool": (of(node("MaxPool", "x", kernel_shape=[3])), "the_MaxPool.*spatial axes"),
    "empty window": (of(node("AveragePool", "x", kernel_shape=[3, 0])), "the_AveragePool.*empty"),
    "broadcasting": (of(node("Add", "xw"), w=weight(0, 5)), "the_Add.*do not broadcast"),
    "matrices": (of(node("MatMul", "xw"), w=weight(0, 9, 5)), "the_MatMul.*8.*9"),
    "gemm of an image": (of(node("Gemm", "xw"), w=weight(0, 8, 5)), "the_Gemm.* takes matrices"),
    "reshape": (of(node("Reshape", "xs"), s=np.array([5, -1])), "the_Reshape.*192 elements"),
    "reshape to less than nothing": (of(node("Reshape", "xs"), s=np.array([-2, 4])), "the_Reshape.*no shape"),
    "reshape by floats": (of(node("Reshape", "xs"), s=np.ones(2, F32)), "the_Reshape.*integers"),
    "concat": (of(node("Concat", "xw", axis=1), w=weight(0, 1, 3, 8, 7)), "the_Concat.*differ"),
    "axis": (of(node("Softmax", "x", axis=4)), "the_Softmax.*axis 4"),
    "permutation": (of(node("Transpose", "x", perm=[0, 1, 1, 3])), "the_Transpose.*perm"),
    "squeeze": (of(node("Squeeze", "xa"), a=np.array([1])), "the_Squeeze.*size 1"),
    "axis twice": (of(node("ReduceSum", "xa"), a=np.array([1, -3])), "the_ReduceSum.*twice"),
    "split": (of(node("Split", "xs", "y", "z", axis=1), s=np.array([1, 1])), "the_Split.*do not divide"),
    "slice": (of(node("Slice", "xsea"), s=np.array([0]), e=np.array([1, 2]), a=np.array([1])), "the_Slice"),
    "pad": (of(node("Pad", "xp"), p=np.array([1, 1])), "the_Pad.*pads"),
    "gather": (of(node("Gather", "wi"), w=weight(0, 4), i=np.array(4)), "the_Gather.*point outside 4"),
    "expand": (of(node("Expand", "xs"), s=np.array([5, 8])), "the_Expand.*broadcast"),
    "blocks": (of(node("DepthToSpace", "x", blocksize=2)), "the_DepthToSpace.*blocks of 2"),
    "clip by a vector": (of(node("Clip", "xl"), l=weight(0, 3)), "the_Clip.*one number"),
    "float64 weights": (of(node("Conv", "xw"), w=KERNEL.astype(np.float64)), "the_Conv.*float32, float64"),
    "integers": (of(node("Conv", "xw"), w=KERNEL.astype(np.int32)), "the_Conv.*int32"),
    "two dtypes": (of(node("Mul", "xw"), w=np.ones(1, I64)), "the_Mul.*float32, int64"),
    "logic of floats": (of(node("Not", "x")), "the_Not"),
    "roots of integers": (of(node("Sqrt", "w"), w=np.ones(1, I64)), "the_Sqrt.*int64"),
    "values decide a shape": (
        of(node("Cast", "x", "i", to=TensorProto.INT64), node("Reshape", "xi")), "the_Reshape.*depend on",
    ),
    "cycle": (of(node("Relu", "b", "a"), node("Add", "xa", "b"), node("Neg", "b")), "cycle"),
    "its own input": (of(node("Add", "xy")), "the_Add.*cycle"),
    "missing initialiser": (of(node("Conv", "xw")), "the_Conv.*reads 'w', which nothing makes"),
    "missing output": (of(node("Relu", "x", "z")), "output 'y'.*made by nothing"),
    "made twice": (of(node("Relu", "x"), node("Neg", "x")), "the_Neg.*makes 'y', which is there already"),
    "made and given": (of(node("Relu", "x", "x"), node("Neg", "x")), "the_Relu.*makes 'x'"),
    "no output": (of(helper.make_node("Neg", ["x"], [], name="none")), "'none'.*no outputs"),
    "absent operand": (of(helper.make_node("Conv", ["x", ""], ["y"], name="c")), "input 1 .*empty"),
    "too few operands": (of(node("Conv", "x")), "the_Conv.*input size 1"),
    "too many operands": (of(node("Relu", "xx")), "the_Relu.*input size 2"),
    "attribute of another type": (of(node("Conv", "xw", strides=1.5), w=KERNEL), "the_Conv"),
    "a deprecated form": (of(node("GroupNormalization", "xbb"), opset=18, b=weight(0, 3)),
                          "the_GroupNormalization.*num_groups"),
    "direction": (of(node("BitShift", "ii", direction="UP"), i=np.ones(1, np.uint8)), "the_BitShift.*UP"),
    "approximation": (of(node("Gelu", "x", approximate="erf")), "the_Gelu.*none, tanh; got 'erf'"),
    "mode of blocks": (
        of(node("DepthToSpace", "x", blocksize=1, mode="RCD")), "the_DepthToSpace.*DCR, CRD; got 'RCD'",
    ),
    "mode of padding": (of(node("Pad", "xp", mode="zero"), p=np.zeros(8, I64)), "the_Pad.*mode.*'zero'"),
    "reduction": (
        of(node("ScatterND", "xiu", reduction="sum"), i=np.zeros((1, 1), I64), u=weight(0, 1, 3, 8, 8)),
        "the_ScatterND.*reduction.*'sum'",
    ),
    "batch norm of one number": (
        of(node("BatchNormalization", "xssss"), s=weight(0, 1)), "the_BatchNormalization.*'s'.*3 channels",
    ),
    "batch norm of two lengths": (
        of(node("BatchNormalization", "xsbss"), s=weight(0, 3), b=weight(0, 1)),
        "the_BatchNormalization.*'b'.*3 channels",
    ),
    "batch norm of a matrix": (
        of(node("BatchNormalization", "xssss"), s=weight(0, 3, 1)), "the_BatchNormalization.*'s'.*3 channels",
    ),
    **{
        f"bias of one number before {op}": (
            of(node("Conv", "xwb", "a"), node(op, ("a", *others)), w=KERNEL, b=weight(1, 1), s=weight(0, 4),
               o=np.ones(1, F32)),
            r"the_Conv.*bias.*\(4,\); got \(1,\)",
        )
        for op, others in (("BatchNormalization", "ssss"), ("Add", "o"), ("Mul", "o"))
    },
    "axes of a mean": (of(node("ReduceMean", "xa"), a=np.array([6, 7])), "the_ReduceMean.*axis 6.*4 axes"),
    "axes of a mean from behind": (of(node("ReduceMean", "xa"), a=np.array([-1, -6])), "the_ReduceMean.*-6"),
    "axes of a pad": (
        of(node("Pad", ("x", "p", "", "a"), "b"), node("Conv", "bw"), p=np.ones(4, I64), a=np.array([6, 7]),
           w=KERNEL),
        "the_Pad.*axis 6",
    ),
    "an axis of a pad twice": (
        of(node("Pad", ("x", "p", "", "a"), "b"), node("Conv", "bw"), p=np.ones(4, I64), a=np.array([2, -2]),
           w=KERNEL),
        "the_Pad.*twice",
    ),
    "pads of nothing": (of(node("Pad", "xp"), p=np.zeros(6, I64)), "the_Pad.*6 pads"),
    "axes of a sum behind a transpose": (
        of(node("Transpose", "x", "t", perm=[0, 2, 3, 1]), node("ReduceSum", "ta"), a=np.array([5, 6])),
        "the_ReduceSum.*axis 5",
    ),
    "axes of a pad behind a transpose": (
        of(node("Transpose", "x", "t", perm=[0, 2, 3, 1]), node("Pad", ("t", "p", "", "a")),
           p=np.ones(4, I64), a=np.array([1, 4])),
        "the_Pad.*axis 4",
    ),
    "pads behind a transpose": (
        of(node("Transpose", "x", "t", perm=[0, 2, 3, 1]), node("Pad", "tp"), p=np.ones(10, I64)),
        "the_Pad.*10 pads",
    ),
    "axis of a concatenation": (of(node("Concat", "xx", axis=5)), "the_Concat.*axis 5"),
    "axis of a split": (of(node("Split", "x", "y", "z", axis=-5, num_outputs=2)), "the_Split.*axis -5"),
    "axis to squeeze": (of(node("Squeeze", "xa"), a=np.array([4])), "the_Squeeze.*axis 4"),
    "axis to add": (of(node("Unsqueeze", "xa"), a=np.array([5])), "the_Unsqueeze.*axis 5"),
    "axis to flatten": (of(node("Flatten", "x", axis=5)), "the_Flatten.*axis 5"),
    "axis of a slice": (of(node("Slice", "xsea"), s=sizes(0), e=sizes(1), a=sizes(4)), "the_Slice.*axis 4"),
    "uneven parts": (of(node("Split", "x", "y", "z", axis=1), opset=13), "the_Split.*evenly"),
    "more parts than there is": (
        of(node("Split", "x", "y", *"abcdef", axis=2, num_outputs=7)), "the_Split.*do not divide 8",
    ),
    "parts without a number": (of(node("Split", "x", "y", "z", axis=1)), "the_Split.*neither sizes nor"),
    "addend of a gemm": (
        of(node("Flatten", "x", "f"), node("Gemm", "fwb"), w=weight(0, 192, 5), b=weight(1, 4)),
        "the_Gemm.*not broadcast",
    ),
    "unknown attribute": (of(node("Conv", "xw", strider=[1, 1]), w=KERNEL), "strider.*the_Conv"),
}  # fmt: skip


@pytest.mark.parametrize(("proto", "words"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_what_contradicts_itself_is_refused(proto: onnx.ModelProto, words: str) -> None:
    assert_refused(proto, words)


def opened(proto: onnx.ModelProto, sizes: Sequence[int | str]) -> onnx.ModelProto:
    """A copy whose image has these sizes."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    dims = copy.graph.input[0].type.tensor_type.shape.dim
    for dim, size in zip(dims, sizes, strict=True):
        if isinstance(size, str):
            dim.dim_param = size
        else:
            dim.dim_value = size
    return copy


@pytest.mark.parametrize(
    "name",
    ["kernel_shape", "groups", "groups of filters", "pads", "negative pads", "strides", "dilations",
     "auto_pad", "approximation", "empty window", "permutation", "cycle", "missing initialiser",
     "bias", "batch norm", "batch norm of two lengths", "channels", "pool", "gemm of an image", "axis twice",
     "axes of a mean", "axes of a mean from behind", "axes of a pad", "an axis of a pad twice",
     "pads of nothing", "axes of a sum behind a transpose", "axes of a pad behind a transpose",
     "axis of a concatenation", "axis to squeeze", "uneven parts"],
)  # fmt: skip
def test_what_contradicts_itself_is_refused_whatever_the_size_of_images(name: str) -> None:
    proto, words = CONTRADICTIONS[name]
    assert_refused(opened(proto, OPEN_IMAGE["x"]), words)


@pytest.mark.parametrize(("proto", "words"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_what_contradicts_itself_never_runs(proto: onnx.ModelProto, words: str) -> None:
    """With sizes left open it is refused at load, or, where some image might fit, when one comes."""
    models = [opened(proto, sizes) for sizes in (["n", 3, 8, 8], OPEN_IMAGE["x"], ["n", "c", "h", "w"])]
    models.append(opened(proto, IMAGE["x"]))
    models[-1].graph.input[0].type.tensor_type.ClearField("shape")
    for each in models:
        with pytest.raises(ValueError, match=words.split(".*")[0]):
            InferenceSession(each.SerializeToString()).run(None, {"x": np.ones((1, 3, 8, 8), F32)})


def test_onnx_runtime_refuses_it_as_well() -> None:
    """But for an axis that is named twice, and a reduction that there is not, which it takes for none."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    runs = set()
    for name, (proto, _) in CONTRADICTIONS.items():
        for sizes in (IMAGE["x"], ["n", 3, 8, 8], ["n", "c", "h", "w"]):
            data = opened(proto, sizes).SerializeToString()
            # Its exceptions have no base of their own.
            with contextlib.suppress(Exception):
                session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
                session.run(None, {"x": np.ones((1, 3, 8, 8), F32)})
                runs.add(name)
    assert runs == {"axis twice", "reduction"}


def test_a_batch_norm_of_one_channel_fits_one_channel() -> None:
    proto = of(node("BatchNormalization", "xssss"), inputs={"x": ["n", "c", "h", "w"]}, s=np.ones(1, F32))
    session = InferenceSession(proto.SerializeToString())
    x = np.random.default_rng(0).standard_normal((2, 1, 4, 5)).astype(F32)
    assert_close(session.run(None, {"x": x})[0], expected(proto, {"x": x})[0])
    with pytest.raises(ValueError, match=r"the_BatchNormalization.*3 channels"):
        session.run(None, {"x": np.ones((2, 3, 4, 5), F32)})


def test_shapes_need_not_be_declared() -> None:
    proto = of(node("Conv", "xw"), node("Relu", "y", "z"), output="z", w=KERNEL)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.ClearField("shape")
    session = InferenceSession(proto.SerializeToString())
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 8)).astype(F32)
    assert_close(session.run(None, {"x": x})[0], expected(proto, {"x": x})[0])
    with pytest.raises(ValueError, match="the_Conv"):
        session.run(None, {"x": x[0]})


def test_what_fits_no_image_is_refused_when_one_comes() -> None:
    session = InferenceSession(of(node("Add", "xw"), w=weight(0, 5), inputs=OPEN_IMAGE).SerializeToString())
    with pytest.raises(ValueError, match=r"the_Add.*do not broadcast"):
        session.run(None, {"x": np.ones((1, 3, 8, 8), F32)})
    assert session.run(None, {"x": np.ones((1, 3, 8, 5), F32)})[0].shape == (1, 3, 8, 5)


def test_a_size_of_less_than_nothing_is_open() -> None:
    """As in ONNX Runtime: some exporters write -1."""
    proto = of(node("Relu", "x"), inputs={"x": [-1, 3]})
    session = InferenceSession(proto.SerializeToString())
    assert session.get_inputs()[0].shape == [None, 3]
    for count in (1, 2):
        x = np.ones((count, 3), F32)
        assert_close(session.run(None, {"x": x})[0], expected(proto, {"x": x})[0])


def test_what_the_model_stores_is_not_replaced() -> None:
    """ONNX Runtime lets callers feed an initialiser that is an input as well."""
    proto = of(node("Add", "xw"), inputs={"x": [3], "w": [3]}, w=np.ones(3, F32))
    session = InferenceSession(proto.SerializeToString())
    assert [port.name for port in session.get_inputs()] == ["x"]
    assert session.get_overridable_initializers() == []
    x = np.zeros(3, F32)
    with pytest.raises(ValueError, match=r"holds .w., .* takes .x.; what it stores cannot be replaced"):
        session.run(None, {"x": x, "w": x})


def test_names_that_are_there_twice_or_not_at_all() -> None:
    proto = of(node("Relu", "x"), node("Neg", "y", "z"), output="z", w=KERNEL)
    for field in ("input", "output", "initializer"):
        twice = onnx.ModelProto()
        twice.CopyFrom(proto)
        values = getattr(twice.graph, field)
        values.append(values[0])
        assert_refused(twice, f"two of the model's {field.replace('izer', 'iser')}s have the name")
        values[1].name = ""
        assert_refused(twice, "has no name")
    declared = of(node("Conv", "xw"), w=KERNEL, inputs={"x": [1, 3, 8, 8], "w": [4, 3, 5, 5]})
    assert_refused(declared, r"initialiser 'w' is float32 of shape \(4, 3, 3, 3\).*\(4, 3, 5, 5\)")


def changed(change: Callable[[onnx.ModelProto], object]) -> onnx.ModelProto:
    proto = of(node("Conv", "xw"), w=KERNEL)
    change(proto)
    return proto


def first(proto: onnx.ModelProto) -> onnx.TensorProto:
    return proto.graph.initializer[0]


def element_type(number: int) -> Callable[[onnx.ModelProto], object]:
    return lambda proto: setattr(first(proto), "data_type", number)


def cut(proto: onnx.ModelProto) -> None:
    first(proto).raw_data = first(proto).raw_data[:-4]


def twice_as_numbers(proto: onnx.ModelProto) -> None:
    first(proto).ClearField("raw_data")
    first(proto).float_data.extend([1.0] * 216)


def out_of_range(proto: onnx.ModelProto) -> None:
    first(proto).CopyFrom(onnx.TensorProto(name="w", data_type=TensorProto.INT8, dims=[1], int32_data=[300]))


def segmented(proto: onnx.ModelProto) -> None:
    first(proto).segment.end = 5


def a_sequence(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, None))


def sparse(proto: onnx.ModelProto) -> None:
    proto.graph.sparse_initializer.add()


TENSORS: list[tuple[Callable[[onnx.ModelProto], object], str, type[ModelError]]] = [
    (cut, "'w' holds 428 bytes.*takes 432", ModelError),
    (twice_as_numbers, "'w' holds 216 numbers.*take 108", ModelError),
    (lambda proto: first(proto).dims.append(2), "'w' holds 432 bytes.*takes 864", ModelError),
    (lambda proto: first(proto).dims.__setitem__(0, -4), "'w' has dims", ModelError),
    (lambda proto: first(proto).dims.__setitem__(0, HUGE), "'w' holds 432 bytes", ModelError),
    (lambda proto: first(proto).dims.extend([2**62, 2**62]), "'w' has dims.*memory", ModelError),
    (lambda proto: first(proto).dims.extend([1] * 40), "'w' has dims.*32 sizes", ModelError),
    (out_of_range, "'w' holds numbers that int8 cannot hold", ModelError),
    (segmented, "'w' is stored in segments", UnsupportedOperator),
    (sparse, "sparse initialisers", UnsupportedOperator),
    (element_type(0), "'w' has element type 0", ModelError),
    (element_type(99), "'w' has element type 99", ModelError),
    (element_type(TensorProto.BFLOAT16), "'w' has element type BFLOAT16; supported", UnsupportedOperator),
    (element_type(TensorProto.STRING), "'w' has element type STRING; supported", UnsupportedOperator),
    (element_type(TensorProto.FLOAT8E4M3FN), "'w' has element type FLOAT8E4M3FN", UnsupportedOperator),
    (element_type(TensorProto.INT4), "'w' has element type INT4", UnsupportedOperator),
    (a_sequence, "input 'x'.*sequence_type", UnsupportedOperator),
    (lambda proto: proto.graph.input[0].type.tensor_type.shape.dim[0].__setattr__("dim_value", HUGE),
     "input 'x' has a size of", ModelError),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words", "kind"), TENSORS, ids=range(len(TENSORS)))
def test_malformed_tensors_are_refused(
    change: Callable[[onnx.ModelProto], object], words: str, kind: type[ModelError]
) -> None:
    assert_refused(changed(change), words, kind)


def opset(*entries: tuple[str, int]) -> Callable[[onnx.ModelProto], object]:
    def change(proto: onnx.ModelProto) -> None:
        del proto.opset_import[:]
        proto.opset_import.extend(helper.make_opsetid(*entry) for entry in entries)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (opset(), r"must name one opset.*names \[\]"),
        (opset(("", 13), ("ai.onnx", 21)), r"must name one opset.*\[13, 21\]"),
        (opset(("", 10)), "of opset 10; supported are 11 to .*convert_version"),
        (opset(("", 0)), "of opset 0"),
        (opset(("", 999)), "of opset 999; onnx .* knows opsets up to .*newer onnx"),
        (opset(("", -3)), "of opset -3"),
        (opset(("custom", 1)), "must name one opset"),
        (lambda proto: proto.ClearField("graph"), "has no graph"),
        (lambda proto: proto.ClearField("ir_version"), "ir_version"),
    ],
)
def test_unknown_opsets_are_refused(change: Callable[[onnx.ModelProto], object], words: str) -> None:
    assert_refused(changed(change), words)


def test_a_model_without_an_opset_or_a_graph_is_none() -> None:
    for data in (b"", b"\0", b"not a model", small_network().graph.SerializeToString()):
        with pytest.raises(ModelError):
            InferenceSession(data)
    with pytest.raises(TypeError, match="a model must be a path, bytes"):
        InferenceSession(3)


def test_an_operator_that_is_not_supported_is_named_with_its_node_and_what_is() -> None:
    words = (
        "node 'the_RoiAlign': operator 'RoiAlign' of domain 'ai.onnx', opset 21, is not supported; supported"
    )
    assert_refused(of(node("RoiAlign", "xxx")), words + ".* Conv, .*Softmax", UnsupportedOperator)
    custom = of(node("Conv", "xw", domain="com.acme"), w=KERNEL)
    custom.opset_import.append(helper.make_opsetid("com.acme", 1))
    assert_refused(custom, "'the_Conv': operator 'Conv' of domain 'com.acme'", UnsupportedOperator)
    nameless = of(helper.make_node("NoSuchThing", ["x"], ["y"]))
    assert_refused(nameless, "a node that makes 'y': operator 'NoSuchThing'", UnsupportedOperator)
    branch = helper.make_graph([], "branch", [], [])
    choice = of(node("If", "x", then_branch=branch, else_branch=branch))
    assert_refused(choice, "'the_If'.*control flow", UnsupportedOperator)
    # Behind an operator that is supported, and unread: the model is refused all the same.
    unread = of(node("Relu", "x"), node("NonZero", "x", "z"))
    assert_refused(unread, "'the_NonZero': operator 'NonZero'", UnsupportedOperator)


@pytest.mark.parametrize(
    "op",
    ["QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul",
     "ConvInteger", "MatMulInteger"],
)  # fmt: skip
def test_quantised_models_are_refused_by_name(op: str) -> None:
    words = f"'the_{op}': operator '{op}'.* belongs to a quantised model.*before quantisation"
    assert_refused(of(node("Relu", "x", "a"), node(op, "ass")), words, UnsupportedOperator)
    microsoft = of(node("QLinearAdd", "xs", domain="com.microsoft"))
    microsoft.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert_refused(microsoft, "'QLinearAdd'.*com.microsoft.*quantised", UnsupportedOperator)


@pytest.mark.parametrize(
    ("op", "operands", "opset", "count", "attributes"),
    [
        ("LayerNormalization", "xs", 17, 8, {}),
        ("GroupNormalization", "xss", 21, 3, {"num_groups": 1}),
        ("RMSNormalization", "xs", 23, 8, {}),
    ],
)
def test_sums_of_another_type_are_refused(
    op: str, operands: str, opset: int, count: int, attributes: dict[str, Any]
) -> None:
    proto = of(node(op, operands, stash_type=10, **attributes), opset=opset, s=weight(0, count))
    assert_refused(proto, f"the_{op}.*stash_type 10; supported is 1", UnsupportedOperator)


TAPS = {"kernel_shape": [2, 2]}
FAR = [2**20] * 4
FLAT = {"x": [1, 1, 1, 1]}
VALUES: dict[str, Array] = {"one": np.ones((1, 1, 1, 1), F32), "w": np.ones((1, 1, 2, 2), F32)}
ENORMOUS = {
    "a constant": of(node("ConstantOfShape", "s"), s=sizes(HUGE)),
    "a constant of two axes": of(node("ConstantOfShape", "s"), s=sizes(2**20, 2**20)),
    "a constant of more than 64 bits": of(node("ConstantOfShape", "s"), s=sizes(2**62, 2**62, 2**62)),
    "a constant that is read": of(node("ConstantOfShape", "s", "a"), node("ReduceSum", "a"), s=sizes(HUGE)),
    "expand": of(node("Expand", "xs"), s=sizes(2**20, 2**18, 3, 8, 8)),
    "expand of a constant": of(node("Expand", "ws"), s=sizes(2**20, 2**20, 2, 2), w=VALUES["w"]),
    "tile": of(node("Tile", "xr"), r=sizes(2**20, 1, 2**20, 1)),
    "range": of(node("Range", "abc"), a=np.array(0), b=np.array(HUGE), c=np.array(1)),
    "pad": of(node("Pad", "xp"), p=sizes(0, 0, 2**20, 2**20, 0, 0, 2**20, 2**20)),
    "pad of a constant": of(node("Pad", ("one", "p")), p=sizes(0, 0, HUGE, 0, 0, 0, 0, 0), one=VALUES["one"]),
    "reflected pad": of(node("Pad", "xp", mode="reflect"), p=sizes(0, 0, 0, HUGE, 0, 0, 0, 0)),
    "conv": of(node("Conv", "xw", pads=FAR), inputs=FLAT, w=VALUES["w"]),
    "conv of a constant": of(node("Conv", ("one", "w"), pads=FAR), **VALUES),
    "pool": of(node("MaxPool", "x", pads=FAR, **TAPS)),
    "mean pool": of(node("AveragePool", "x", pads=FAR, count_include_pad=1, **TAPS)),
    "hot": of(node("OneHot", "idv"), i=sizes(1), d=np.array(HUGE), v=np.ones(2, F32)),
    "outer product": of(node("Expand", "ws", "a"), node("Add", "ax"), s=sizes(2**17, 1, 1, 1, 1),
                        w=np.ones((2**17, 1, 1, 1), F32)),
    "images": of(node("Relu", "x"), inputs={"x": [2**20, 2**20, 1, 1]}),
    "images of which little is left": of(node("GlobalMaxPool", "x"), inputs={"x": [1, 1, 2**30, 2**30]}),
}  # fmt: skip


@pytest.mark.parametrize("proto", ENORMOUS.values(), ids=ENORMOUS)
def test_enormous_values_are_refused_before_memory_is_taken(proto: onnx.ModelProto) -> None:
    data = proto.SerializeToString()
    tracemalloc.start()
    try:
        with pytest.raises(
            ModelError, match=r"(the_\w+'.*|input 'x') would have shape .* more than \d+ bytes"
        ):
            InferenceSession(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


FAR_TAPS = {"kernel_shape": [2**20] * 2, "pads": [2**20 - 1] * 4, "strides": [2**20] * 2}
FAR_STEPS = {"pads": [2**20] * 4, "strides": [2**20] * 2}


@pytest.mark.parametrize(
    ("proto", "shape"),
    [
        (of(node("MaxPool", "x", **FAR_TAPS)), (1, 3, 2, 2)),
        (of(node("AveragePool", "x", **FAR_TAPS, count_include_pad=1)), (1, 3, 2, 2)),
        (of(node("Conv", "xw", **FAR_STEPS), w=KERNEL), (1, 4, 3, 3)),
        (of(node("Conv", "xw", pads=[2**20] * 4, dilations=[2**20] * 2), w=KERNEL), (1, 4, 8, 8)),
        (of(node("LRN", "x", size=2**40)), (1, 3, 8, 8)),
        (of(node("Trilu", "xa"), a=np.array(2**62)), (1, 3, 8, 8)),
        (of(node("EyeLike", ("m",), k=2**62), m=np.ones((3, 4), F32)), (3, 4)),
    ],
)
def test_what_reaches_far_beyond_the_image_takes_no_memory(
    proto: onnx.ModelProto, shape: tuple[int, ...]
) -> None:
    session = InferenceSession(proto.SerializeToString())
    feeds = {port.name: np.ones((1, 3, 8, 8), F32) for port in session.get_inputs()}
    tracemalloc.start()
    try:
        (got,) = session.run(None, feeds)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert got.shape == shape and np.isfinite(got).all() and peak < 1 << 20


def test_a_small_file_does_not_become_large_constants() -> None:
    # 64 times 16 MB, each of its own, all read at the end.
    constants = [node("ConstantOfShape", "s", f"c{index}") for index in range(64)]
    means = [node("ReduceMax", (f"c{index}", "axis"), f"m{index}") for index in range(64)]
    grown = [node("Add", (f"c{index}", "x"), f"g{index}") for index in range(64)]
    proto = of(
        *constants,
        *grown,
        node("Sum", [f"g{index}" for index in range(64)]),
        *means,
        inputs={"x": [1]},
        s=sizes(1 << 22),
        axis=sizes(0),
    )
    data = proto.SerializeToString()
    tracemalloc.start()
    try:
        session = InferenceSession(data)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 128 << 20
    del session


def with_external_data(folder: Path, **entries: object) -> Path:
    """A model whose kernel lies in another file, as the entries say."""
    proto = of(node("Conv", "xw"), w=KERNEL)
    tensor = first(proto)
    (folder / "data").write_bytes(bytes(64) + tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": "data", "offset": 64} | entries).items():
        tensor.external_data.add(key=key, value=str(value))
    path = folder / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_external_data_are_read_where_the_entries_say(tmp_path: Path) -> None:
    for entries in ({}, {"length": 432}, {"checksum": "unknown"}):
        session = InferenceSession(with_external_data(tmp_path, **entries))
        x = np.zeros((1, 3, 8, 8), F32)
        x[0, :, 4, 4] = 1
        (got,) = session.run(None, {"x": x})
        np.testing.assert_allclose(got[0, :, 3, 3], KERNEL[:, :, 1, 1].sum(axis=1), rtol=1e-6)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"location": "nothing"}, "'nothing', which cannot be read"),
        ({"location": ""}, "must be in the model's folder"),
        ({"location": "../data"}, "must be in the model's folder"),
        ({"location": "a/../../data"}, "must be in the model's folder"),
        ({"location": "/etc/passwd"}, "must be in the model's folder"),
        ({"location": "data\0"}, "must be in the model's folder"),
        ({"location": "link"}, "a link to .*: the file must be in the model's folder"),
        ({"location": "linked/secret"}, "must be in the model's folder"),
        ({"location": "."}, "no regular file"),
        ({"location": "pipe"}, "no regular file"),
        ({"location": "empty", "offset": 0}, "has 0 bytes in 'empty'"),
        ({"offset": 65}, "has 431 bytes in 'data'"),
        ({"offset": 65, "length": 432}, "bytes 65 to 497 of 'data', which has 496"),
        ({"offset": 2**60, "length": 432}, "which has 496"),
        ({"offset": 2**60}, "bytes in 'data'"),
        ({"offset": -1}, "the offset '-1'"),
        ({"offset": "9" * 30}, "the offset '999"),
        ({"length": 431}, "has 431 bytes"),
        ({"length": "many"}, "the length 'many'"),
    ],
)
def test_external_data_that_cannot_be_had_are_refused(
    tmp_path: Path, entries: dict[str, object], words: str
) -> None:
    folder, elsewhere = tmp_path / "models", tmp_path / "elsewhere"
    folder.mkdir(), elsewhere.mkdir()
    (elsewhere / "secret").write_bytes(bytes(496))
    (folder / "link").symlink_to(elsewhere / "secret")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "empty").touch()
    os.mkfifo(folder / "pipe")
    path = with_external_data(folder, **entries)
    with pytest.raises(ModelError, match=words) as caught:
        InferenceSession(path)
    assert "initialiser 'w'" in str(caught.value) and str(path) in str(caught.value)


def test_bytes_have_no_folder(tmp_path: Path) -> None:
    data = with_external_data(tmp_path).read_bytes()
    with pytest.raises(ModelError, match="give the path of the model, not its bytes"):
        InferenceSession(data)


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    for proto, kind in [
        (of(node("Relu", "x", "x")), ModelError),
        (of(node("RoiAlign", "xxx")), UnsupportedOperator),
        (CONTRADICTIONS["channels"][0], ModelError),
        (ENORMOUS["conv"], ModelError),
    ]:
        path.write_bytes(proto.SerializeToString())
        for given_path in (path, str(path)):
            with pytest.raises(ModelError, match=f"^{re.escape(str(path))}: ") as caught:
                InferenceSession(given_path)
            assert type(caught.value) is kind
            assert str(caught.value).count(str(path)) == 1
    path.write_bytes(small_network().SerializeToString()[:1000])
    with pytest.raises(ModelError, match="^" + re.escape(str(path)) + ": .*1000 bytes.*truncated"):
        InferenceSession(path)
    path.write_bytes(b"")
    with pytest.raises(ModelError, match=re.escape(str(path))):
        InferenceSession(path)
    # What is wrong with a call is no matter of the file.
    path.write_bytes(small_network().SerializeToString())
    with pytest.raises(ValueError, match=r"^threads"):
        InferenceSession(path, threads=0)


def test_a_truncated_file_is_refused_wherever_it_ends() -> None:
    data = small_network().SerializeToString()
    for length in (*range(200), *range(200, len(data), 97), len(data) - 1):
        with pytest.raises(ModelError):
            InferenceSession(data[:length])


@pytest.mark.parametrize("text", [b"\xff", b"a\x80", b"\xc3"])
def test_names_that_are_no_text_are_refused(text: bytes) -> None:
    data = of(node("Relu", "x"), node("Add", "yw", "z"), output="z", w=KERNEL).SerializeToString()
    for name in (b"the_Relu", b"Relu", b"the_Add"):
        broken = data.replace(name, (text * len(name))[: len(name)])
        with pytest.raises(ModelError, match="not UTF-8"):
            InferenceSession(broken)


def test_what_a_model_says_of_itself_may_be_of_another_encoding(tmp_path: Path) -> None:
    proto = of(node("Relu", "x"))
    proto.producer_name = proto.domain = proto.doc_string = proto.graph.doc_string = "gr__e"
    helper.set_model_props(proto, {"gr__e": "gr__e"})
    text = "größe".encode("latin-1")
    session = InferenceSession(proto.SerializeToString().replace(b"gr__e", text))
    session.save(tmp_path / "net.fastsep")
    for each in (session, fastsep.load(tmp_path / "net.fastsep")):
        found = each.get_modelmeta()
        read = text.decode(errors="replace")
        assert found.producer_name == found.domain == found.description == found.graph_description == read
        assert found.custom_metadata_map == {read: read}


@pytest.mark.parametrize("functions", [1, 200])
def test_functions_that_call_themselves_or_multiply_are_refused(functions: int) -> None:
    proto = of(helper.make_node("f0", ["x"], ["y"], domain="own"))
    proto.opset_import.append(helper.make_opsetid("own", 1))
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    for index in range(functions):
        calls = [
            helper.make_node(f"f{(index + 1) % functions}", [before], [after], domain="own")
            for before, after in (("a", "b"), ("b", "c"))
        ]
        proto.functions.append(helper.make_function("own", f"f{index}", ["a"], ["c"], calls, imports))
    assert_refused(proto, "calls itself, or is nested too deeply")
    del proto.functions[-1].node[:]
    proto.functions[-1].node.extend([helper.make_node("Relu", ["a"], ["c"])])
    if functions == 200:
        del proto.functions[20:-1]
        proto.functions[-1].name = "f20"
        assert_refused(proto, "more than 100000 nodes")


def runs_or_says_why(data: bytes) -> None:
    """Load a model and run it; nothing but the documented errors may come."""
    try:
        session = InferenceSession(data, threads=1)
        feeds = {}
        for port in session.get_inputs():
            shape = [size if isinstance(size, int) else 9 for size in port.shape]
            if math.prod(shape) > 100_000:
                return
            feeds[port.name] = np.ones(shape, NUMPY_NAMES.get(port.type, port.type[7:-1]))
        planned = session._runs_for(feeds, {name: value.shape for name, value in feeds.items()})
        if planned.schedule.arena_bytes < 1 << 24:
            session.run(None, feeds)
    except ModelError as error:
        assert str(error)
    except ValueError as error:
        # Sizes that the model leaves open, and that do not fit: the node says so.
        assert not session.get_inputs() or " node " in str(error), error


NUMPY_NAMES = {"tensor(float)": "float32", "tensor(double)": "float64"}
SMALL = [
    small_network(1, 8),
    small_network("n", "s", opset=13),
    every_kind(21),
    every_kind(11, open_sizes=True),
]
SMALL_BYTES = [proto.SerializeToString() for proto in SMALL]


def test_the_models_that_are_fuzzed_are_valid() -> None:
    for data in SMALL_BYTES:
        session = InferenceSession(data)
        x = np.ones([size if isinstance(size, int) else 8 for size in session.get_inputs()[0].shape], F32)
        assert all(np.isfinite(each).all() for each in session.run(None, {"x": x}))


@given(st.sampled_from(SMALL_BYTES), st.data())
def test_flipped_bits_never_crash(data: bytes, draw: st.DataObject) -> None:
    changed_bytes = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        changed_bytes[draw.draw(st.integers(0, len(data) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    runs_or_says_why(bytes(changed_bytes))


@given(st.sampled_from(SMALL_BYTES), st.sampled_from(SMALL_BYTES), st.data())
def test_spliced_bytes_never_crash(data: bytes, other: bytes, draw: st.DataObject) -> None:
    start, end = (draw.draw(st.integers(0, len(data))) for _ in range(2))
    begin = draw.draw(st.integers(0, len(other)))
    piece = other[begin : begin + draw.draw(st.integers(0, 300))]
    runs_or_says_why(data[:start] + piece + data[end:])


@settings(max_examples=300)
@given(st.sampled_from(SMALL), st.randoms(use_true_random=False))
def test_changed_fields_never_crash(proto: onnx.ModelProto, random: Random) -> None:
    mutant = onnx.ModelProto()
    mutant.CopyFrom(proto)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        mutate(mutant, random)
    runs_or_says_why(mutant.SerializeToString())


def chain(kind: str, count: int) -> bytes:
    """A network of one kind of block, one behind the other, so many nodes in all."""
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, Array] = {}
    ends: list[str] = []
    value, index = "x", 0
    while len(nodes) < count:
        index += 1
        name = f"{kind}{index}"
        if kind == "residual":
            weights[f"{name}.w"] = weight(index, 3, 3, 1, 1)
            weights |= {f"{name}.{each}": np.ones(3, F32) for each in "smbv"}
            statistics = [f"{name}.{each}" for each in "smbv"]
            nodes += [
                helper.make_node("Conv", [value, f"{name}.w"], [f"{name}.conv"]),
                helper.make_node("BatchNormalization", [f"{name}.conv", *statistics], [f"{name}.norm"]),
                helper.make_node("Relu", [f"{name}.norm"], [f"{name}.relu"]),
                helper.make_node("Add", [f"{name}.relu", value], [name]),
            ]
        elif kind == "shapes":
            nodes += [
                helper.make_node("Shape", [value], [f"{name}.s"]),
                helper.make_node("Transpose", [value], [f"{name}.t"], perm=[0, 2, 3, 1]),
                helper.make_node("Sigmoid", [f"{name}.t"], [f"{name}.u"]),
                helper.make_node("Transpose", [f"{name}.u"], [f"{name}.v"], perm=[0, 3, 1, 2]),
                helper.make_node("Reshape", [f"{name}.v", f"{name}.s"], [name]),
            ]
        else:
            nodes.append(helper.make_node("Exp", [value], [name]))
            ends.append(name)
        value = name
    if ends:
        # All of them live until the end.
        nodes.append(helper.make_node("Sum", ends, ["all"]))
        value = "all"
    return model(nodes, IMAGE, {value: IMAGE["x"]}, weights).SerializeToString()


@pytest.mark.parametrize("kind", ["residual", "shapes", "values that are kept"])
def test_twice_the_nodes_take_twice_the_steps(kind: str) -> None:
    InferenceSession(chain(kind, 20))
    few, many = (lines_run(InferenceSession, chain(kind, count)) for count in (1000, 2000))
    assert many < 2.2 * few
