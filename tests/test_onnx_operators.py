"""Every supported operator in its forms, beside ONNX Runtime; where that has none, beside ONNX's reference.

Each case runs twice: its operands after the first given to the run, and stored in the model, where they are
folded, fused and compiled. What is inferred of a result before a run must be what the run makes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_models import Array

from fastsep import get_isa
from fastsep._pooling import PoolPlan
from fastsep.onnx import InferenceSession
from fastsep.onnx._check import check_shapes
from fastsep.onnx._graph import Node, Spec
from fastsep.onnx._load import load
from fastsep.onnx._operators import OPERATORS
from fastsep.onnx._operators._windows import windows_of
from fastsep.onnx._optimise._facts import window_sizes

F32, F64, I64, I32, U8, I8, BOOL = (
    np.float32, np.float64, np.int64, np.int32, np.uint8, np.int8, np.bool_,
)  # fmt: skip
RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Case:
    """One node on arrays; None is an absent operand. `by` says who computes what is expected."""

    op: str
    inputs: tuple[Array | None, ...]
    attributes: dict[str, Any]
    outputs: int = 1
    opset: int = 21
    by: str = "ONNX Runtime"

    def __str__(self) -> str:
        shapes = ",".join("×".join(map(str, x.shape)) if x is not None else "-" for x in self.inputs)
        given_attributes = ",".join(f"{key}={value}" for key, value in self.attributes.items())
        return f"{self.op}-{self.opset}-{shapes}-{given_attributes}"


def case(
    op: str, *inputs: Any, outputs: int = 1, opset: int = 21, by: str = "ONNX Runtime", **attributes: Any
) -> Case:
    arrays = tuple(None if each is None else np.asarray(each) for each in inputs)
    return Case(op, arrays, attributes, outputs, opset, by)


def image_of(each: Case) -> Array:
    """The first operand."""
    assert each.inputs[0] is not None
    return each.inputs[0]


def real(*shape: int, dtype: Any = F32) -> Array:
    return RNG.standard_normal(shape).astype(dtype)


def ints(*numbers: int) -> Array:
    return np.array(numbers, I64)


def model_of(each: Case, stored: bool, made: Sequence[Array] | None = None) -> onnx.ModelProto:
    """A model of the case; `stored` keeps all operands but the first in it; `made` are its outputs."""
    names = [f"x{index}" if value is not None else "" for index, value in enumerate(each.inputs)]
    outputs = [f"y{index}" for index in range(each.outputs)]
    values = {name: value for name, value in zip(names, each.inputs, strict=True) if value is not None}
    constants = dict(list(values.items())[1:]) if stored else {}
    open_sizes = [None] * each.outputs if made is None else [[None] * value.ndim for value in made]
    graph = helper.make_graph(
        [helper.make_node(each.op, names, outputs, name="node", **each.attributes)],
        "test",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in values.items()
            if name not in constants
        ],
        [
            helper.make_tensor_value_info(
                name,
                0 if made is None else helper.np_dtype_to_tensor_dtype(made[index].dtype),
                open_sizes[index],
            )
            for index, name in enumerate(outputs)
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    imports = [helper.make_opsetid("", each.opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def feeds_of(each: Case, stored: bool) -> dict[str, Array]:
    feeds = {f"x{index}": value for index, value in enumerate(each.inputs) if value is not None}
    return dict(list(feeds.items())[:1]) if stored else feeds


def wanted(each: Case) -> list[Array]:
    proto = onnx.shape_inference.infer_shapes(model_of(each, False))
    for info in proto.graph.output:
        # Of operators that are functions of others ONNX infers nothing: these keep the type of their input.
        if info.type.tensor_type.elem_type == 0:
            info.type.tensor_type.elem_type = proto.graph.input[0].type.tensor_type.elem_type
    if each.by != "ONNX Runtime":
        return [np.asarray(value) for value in ReferenceEvaluator(proto).run(None, feeds_of(each, False))]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, feeds_of(each, False)))


def assert_agrees(got: Array, right: Array, tolerance: float) -> None:
    """Integers and booleans have the same bits; reals are within a share of the largest finite value."""
    assert got.shape == right.shape and got.dtype == right.dtype
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, right)
        return
    scale = np.max(np.abs(right[np.isfinite(right)]), initial=0)
    np.testing.assert_allclose(got, right, rtol=0, atol=tolerance * scale)


def tolerance_of(each: Case) -> float:
    kinds = {x.dtype for x in each.inputs if x is not None and x.dtype.kind == "f"}
    return 2e-3 if np.dtype(np.float16) in kinds else 2e-6 if np.dtype(F32) in kinds else 1e-13


def check(each: Case) -> None:
    right = wanted(each)
    for stored in (False, True):
        proto = model_of(each, stored, right)
        session = InferenceSession(proto, threads=1)
        for got, value in zip(session.run(None, feeds_of(each, stored)), right, strict=True):
            assert_agrees(got, value, tolerance_of(each))
    check_inference(each, right)


def check_inference(each: Case, right: Sequence[Array]) -> None:
    """What is inferred is what is computed, also into memory that is there and lies otherwise."""
    graph = load(model_of(each, False, right))
    values = {**graph.constants, **feeds_of(each, False)}
    for node in graph.nodes:
        operator = OPERATORS[node.op]
        given_values = [values[name] if name else None for name in node.inputs]
        specs = operator.infer(node, [None if x is None else Spec(x.shape, x.dtype, x) for x in given_values])
        with np.errstate(all="ignore"):
            results = operator.compute(node, given_values)
        assert [(value.shape, value.dtype) for value in results] == [
            (spec.shape, spec.dtype) for spec in specs
        ]
        if operator.into is not None:
            into = [np.asfortranarray(np.zeros(spec.shape, spec.dtype)) for spec in specs]
            with np.errstate(all="ignore"):
                operator.into(node, given_values, into)
            for value, result in zip(into, results, strict=True):
                np.testing.assert_array_equal(value, result)


def ids(cases: Sequence[Case]) -> dict[str, Any]:
    return {"argvalues": cases, "ids": map(str, cases)}


CURVES = [
    *(case(op, real(3, 4, 5), opset=opset) for opset in (11, 13, 21)
      for op in ("Relu", "Sigmoid", "HardSigmoid", "LeakyRelu", "Elu", "Selu",
                 "Celu" if opset > 11 else "Elu",
                 "Softplus", "Softsign", "ThresholdedRelu", "Tanh", "Erf", "Abs", "Neg", "Sign", "Reciprocal",
                 "Floor", "Ceil", "Round", "Exp", "Sin", "Cos", "Tan", "Atan", "Sinh", "Cosh", "Asinh",
                 "IsNaN",
                 "Identity")),
    *(case(op, real(3, 4, 5, dtype=F64), by="reference")
      for op in ("Relu", "Sigmoid", "LeakyRelu", "Elu", "Tanh", "Softplus", "Celu", "Selu")),
    *(case(op, np.abs(real(4, 6)) + 1) for op in ("Sqrt", "Log", "Acosh")),
    *(case(op, np.tanh(real(4, 6))) for op in ("Asin", "Acos", "Atanh")),
    *(case("HardSwish", 4 * real(2, 3, 4), opset=opset) for opset in (14, 21)),
    case("Mish", 4 * real(2, 3, 4)),
    *(case("Gelu", 2 * real(2, 30), opset=20, approximate=way) for way in ("none", "tanh")),
    case("Swish", 2 * real(2, 30), opset=24, by="reference"),
    case("Swish", 2 * real(2, 30), opset=24, by="reference", alpha=1.5),
    case("HardSigmoid", 4 * real(2, 3, 4), alpha=0.3, beta=0.4),
    case("LeakyRelu", real(2, 3, 4), alpha=-0.3),
    case("Elu", real(2, 3, 4), alpha=0.5), case("Selu", real(2, 3, 4), alpha=0.5, gamma=2.0),
    case("Celu", real(2, 3, 4), alpha=0.5), case("ThresholdedRelu", real(2, 3, 4), alpha=0.5),
    case("Shrink", real(2, 3, 4)), case("Shrink", real(2, 30), lambd=0.2, bias=0.1),
    *(case("PRelu", real(2, 3, 4, 5), real(*shape), opset=opset)
      for opset in (11, 21) for shape in [(1,), (3, 1, 1), (2, 3, 4, 5), (5,)]),
    *(case("Clip", real(3, 40), low, high, opset=opset) for opset in (11, 12, 13, 21)
      for low, high in [(None, None), (F32(-0.5), None), (None, F32(0.5)), (F32(-0.5), F32(0.5)),
                        (F32(1), F32(-1))]),
    case("Clip", np.arange(-9, 9, dtype=I8), I8(-3), I8(4)), case("Clip", np.arange(20), I64(3), I64(4)),
    case("Not", real(3, 4) > 0), case("BitwiseNot", np.arange(9, dtype=U8), by="reference"),
    *(case("IsInf", np.array([1, np.inf, -np.inf, np.nan], F32), **way)
      for way in ({}, {"detect_negative": 0}, {"detect_positive": 0},
                  {"detect_negative": 0, "detect_positive": 0})),
    *(case(op, np.arange(-4, 5, dtype=dtype)) for op in ("Abs", "Neg", "Sign") for dtype in (I8, I32, I64)),
    *(case(op, np.array([-0.0, 0.5, 1.5, -2.5, np.inf, -np.inf, np.nan, 1e-40], F32))
      for op in ("Round", "Relu", "Floor", "Sign", "Reciprocal", "Sigmoid", "Tanh", "Exp")),
]  # fmt: skip
PAIRS = [
    ((3, 4, 5), (3, 4, 5)),
    ((3, 4, 5), (4, 1)),
    ((1,), (3, 4)),
    ((), (2, 3)),
    ((2, 1, 4), (3, 1)),
    ((0, 3), (3,)),
]
BINARY = [
    *(case(op, real(*a), real(*b), opset=opset) for op in ("Add", "Sub", "Mul", "Div")
      for a, b in PAIRS for opset in (11, 13, 21)),
    *(case(op, real(*a), real(*b)) for op in ("Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal")
      for a, b in PAIRS[:4]),
    *(case(op, real(*a), real(*b), opset=opset) for op in ("Greater", "Less", "Equal")
      for a, b in PAIRS[:2] for opset in (11, 13)),
    *(case(op, real(*a) > 0, real(*b) > 0) for op in ("And", "Or", "Xor", "Equal") for a, b in PAIRS[:4]),
    *(case(op, np.arange(-6, 6).reshape(3, 4).astype(dtype), np.array([3, -2, 5, -7]).astype(dtype))
      for op in ("Add", "Sub", "Mul", "Div") for dtype in (I32, I64)),
    *(case("Mod", np.arange(-6, 6), ints(*[3, -4] * 6), fmod=fmod) for fmod in (0, 1)),
    case("Mod", 5 * real(3, 4), real(4), fmod=1),
    *(case("BitShift", np.arange(8, dtype=U8), np.arange(8, dtype=U8), direction=way)
      for way in ("LEFT", "RIGHT")),
    *(case(op, np.arange(8, dtype=I32), np.arange(3, 11, dtype=I32), by="reference")
      for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")),
    *(case("Pow", np.abs(real(3, 4)) + F32(0.1), exponent, opset=opset) for opset in (12, 13, 15)
      for exponent in (F32(2), real(4), I64(3), ints(-1, 0, 1, 2))),
    *(case(op, *[real(3, 4), real(4), real(3, 1)][:count], opset=opset)
      for op in ("Max", "Min", "Sum", "Mean") for count in (1, 2, 3) for opset in (11, 13)),
    *(case(op, np.array([1, np.nan, np.inf], F32), np.array([np.nan, 2, 3], F32)) for op in ("Max", "Min")),
    *(case("Where", real(*a) > 0, real(*b), real(4, 1)) for a, b in [PAIRS[0], ((4, 5), (3, 4, 5))]),
    case("Where", real(4) > 0, np.arange(4), np.arange(4, 8)),
]  # fmt: skip


@pytest.mark.parametrize("each", **ids([*CURVES, *BINARY]))
def test_element_by_element(each: Case) -> None:
    check(each)


def test_erf_and_hard_swish_of_float64() -> None:
    """ONNX's reference computes these in float32."""
    x = np.concatenate([np.linspace(-7, 7, 1001), [0.0, np.inf, -np.inf]])
    info = helper.make_tensor_value_info("x", onnx.TensorProto.DOUBLE, x.shape)
    for op, function in (
        ("Erf", math.erf),
        ("HardSwish", lambda each: each * min(max(each / 6 + 0.5, 0), 1)),
    ):
        made = helper.make_tensor_value_info("y", onnx.TensorProto.DOUBLE, x.shape)
        graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "test", [info], [made])
        (got,) = InferenceSession(helper.make_model(graph)).run(None, {"x": x})
        finite = np.isfinite(x)
        right = np.array([function(each) for each in x[finite]])
        np.testing.assert_allclose(got[finite], right, rtol=4e-16, atol=4e-16)


IMAGES = {1: (2, 6, 17), 2: (2, 6, 9, 11), 3: (2, 6, 5, 6, 7)}
KERNELS = {1: (5,), 2: (3, 2), 3: (2, 3, 2)}
WINDOWS: dict[int, list[dict[str, Any]]] = {
    rank: [
        {},
        {"strides": [2, 3, 1][:rank]},
        {"dilations": [2, 1, 3][:rank]},
        {"pads": [1, 0, 1][:rank] + [0, 1, 0][:rank]},
        {"pads": [1] * 2 * rank, "strides": [2] * rank, "dilations": [2] * rank},
        *({"auto_pad": way, "strides": strides[:rank]}
          for way in ("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET") for strides in ([1, 1, 1], [2, 3, 2])),
    ]
    for rank in (1, 2, 3)
}  # fmt: skip
CONVOLUTIONS = [
    case("Conv", real(*IMAGES[rank]), real(filters, 6 // group, *KERNELS[rank]), *bias,
         opset=opset, group=group, **way)
    for rank in (1, 2, 3)
    for way in WINDOWS[rank]
    for group, filters, bias, opset in [
        (1, 4, (real(4),), 11), (1, 1, (), 22), (2, 4, (), 21), (3, 6, (real(6),), 13), (6, 6, (), 21),
        (6, 12, (real(12),), 18),
    ]
]  # fmt: skip
FLOAT64 = [
    case("Conv", real(*IMAGES[2], dtype=F64), real(6, 6 // group, 3, 3, dtype=F64), real(6, dtype=F64),
         by="reference", group=group, pads=[1, 1, 1, 1])
    for group in (1, 2, 6)
]  # fmt: skip
POOLS = [
    *(case(op, real(*IMAGES[rank]), opset=opset, kernel_shape=KERNELS[rank], ceil_mode=ceil, **way)
      for op in ("MaxPool", "AveragePool", "LpPool") for opset in ((12, 22) if op == "MaxPool" else (19, 22))
      for rank in (1, 2, 3) for way in WINDOWS[rank] for ceil in (0, 1)
      if not (op == "LpPool" and ("dilations" in way or ceil or opset < 22))),
    *(case("AveragePool", real(*IMAGES[rank]), opset=opset, kernel_shape=KERNELS[rank], count_include_pad=1,
           ceil_mode=ceil, **way)
      for opset in (11, 19, 22) for rank in (1, 2, 3) for way in WINDOWS[rank] for ceil in (0, 1)
      if not (opset < 19 and "dilations" in way)),
    *(case("MaxPool", real(*IMAGES[rank]), outputs=2, kernel_shape=KERNELS[rank], storage_order=order, **way)
      for rank in (1, 2, 3) for order in (0, 1) for way in WINDOWS[rank]),
    *(case(op, real(1, 6, size), opset=22, kernel_shape=[3], strides=[2], ceil_mode=1, auto_pad=way)
      for op in ("MaxPool", "AveragePool") for size in (2, 10) for way in ("VALID", "NOTSET")),
    *(case("MaxPool", np.arange(72, dtype=dtype).reshape(1, 1, 8, 9), kernel_shape=[2, 3])
      for dtype in (I8, U8)),
    *(case("LpPool", real(2, 3, 9, 9), opset=18, kernel_shape=[3, 2], p=p) for p in (1, 2, 3)),
    *(case(op, real(*IMAGES[rank]), opset=opset)
      for op in ("GlobalAveragePool", "GlobalMaxPool") for rank in (1, 2, 3) for opset in (11, 22)),
    *(case("GlobalLpPool", real(*IMAGES[rank]), p=p) for rank in (1, 2, 3) for p in (1, 2, 3)),
]  # fmt: skip


@pytest.mark.parametrize("each", **ids([*CONVOLUTIONS, *FLOAT64, *POOLS]))
def test_windows(each: Case) -> None:
    check(each)


# NumPy runs what says where the largest is, p-norms and integers.
COMPILED = [
    each
    for each in (*CONVOLUTIONS, *FLOAT64, *POOLS)
    if each.outputs == 1 and "Lp" not in each.op and image_of(each).dtype.kind == "f"
]


@pytest.mark.parametrize("each", **ids(COMPILED))
def test_windows_with_stored_weights_are_compiled(each: Case) -> None:
    image = image_of(each)
    session = InferenceSession(model_of(each, True, [image]))
    steps = session._runs_for({}, {"x0": image.shape}).schedule.steps
    assert len(steps) == 1 and steps[0].plan is not None


def padded_by_hand(each: Case, fill: float) -> Array:
    """The image with what SAME puts around it, by the standard's formula: as many windows as strides."""
    way, steps = each.attributes, each.attributes["dilations"]
    widths = [(0, 0), (0, 0)]
    x = image_of(each)
    for size, taps, stride, step in zip(x.shape[2:], KERNELS[x.ndim - 2], way["strides"], steps, strict=True):
        total = max((math.ceil(size / stride) - 1) * stride + (taps - 1) * step + 1 - size, 0)
        before = total // 2 if way["auto_pad"] == "SAME_UPPER" else total - total // 2
        widths.append((before, total - before))
    return np.pad(x, widths, constant_values=fill)


@pytest.mark.parametrize("way", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize(("strides", "dilations"), [((1, 1, 1), (2, 3, 2)), ((2, 3, 2), (3, 1, 2))])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_dilated_windows_that_pad_as_they_must(
    way: str, strides: tuple[int, ...], dilations: tuple[int, ...], rank: int
) -> None:
    """ONNX Runtime refuses some of them; it takes the padded image."""
    window = {"strides": strides[:rank], "dilations": dilations[:rank]}
    x, taps = real(*IMAGES[rank]), {"kernel_shape": KERNELS[rank]}
    for each, fill in (
        (case("Conv", x, real(4, 6, *KERNELS[rank]), auto_pad=way, **window), 0),
        (case("Conv", x, real(6, 1, *KERNELS[rank]), group=6, auto_pad=way, **window), 0),
        (case("MaxPool", x, auto_pad=way, opset=22, **taps, **window), -np.inf),
        (case("AveragePool", x, auto_pad=way, opset=22, count_include_pad=1, **taps, **window), 0),
        (case("AveragePool", x, auto_pad=way, opset=22, **taps, **window), 0),
    ):
        plain = {name: value for name, value in each.attributes.items() if name != "auto_pad"}
        around = padded_by_hand(each, fill)
        (right,) = wanted(replace(each, inputs=(around, *each.inputs[1:]), attributes=plain))
        if each.op == "AveragePool" and not each.attributes.get("count_include_pad"):
            # Of the padding nothing is counted.
            inside = padded_by_hand(replace(each, inputs=(np.ones_like(x),)), fill)
            right = right / wanted(replace(each, inputs=(inside,), attributes=plain))[0]
        for stored in (False, True):
            session = InferenceSession(model_of(each, stored, [right]), threads=1)
            assert_agrees(session.run(None, feeds_of(each, stored))[0], right, 2e-6)


def test_all_count_the_same_windows() -> None:
    """The definitions, the kernels, and what the optimiser knows of an image before it comes."""

    def at(dim: Any, size: int) -> int:
        if not isinstance(dim, tuple):
            return size if dim == "s" else dim
        if dim[0] == "plus":
            return at(dim[1], size) + dim[2]
        assert dim[0] == "window"
        return (at(dim[1], size) + dim[2]) // dim[3] + 1

    for taps, step, stride, before, after, ceil in itertools.product(
        (1, 2, 3), (1, 2), (1, 2, 3), range(4), range(6), (False, True)
    ):
        padding = ((before, after),)
        pool = Node("MaxPool", ("x",), ("y",), {
            "strides": (stride,), "dilations": (step,), "pads": (before, after), "ceil_mode": int(ceil),
        })  # fmt: skip
        plan = PoolPlan("max", ((taps,), (stride,), (step,), padding), 1, np.dtype(F32), get_isa(), ceil)
        numbers = (taps,), (stride,), padding, (step,), "y", ceil
        (symbol,) = window_sizes(("s",), *numbers)
        for size in range(1, 8):
            # With ceil_mode one window may be larger than what it sees.
            if size + before + after <= (taps - 1) * step + 1 - (stride if ceil else 1):
                with pytest.raises(ValueError, match="does not fit"):
                    windows_of(pool, (size,), (taps,))
                continue
            (count,) = windows_of(pool, (size,), (taps,)).outputs
            assert plan.output_shape((size,)) == (count,)
            assert window_sizes((size,), *numbers) == [count]
            assert symbol == ("unknown", "y", 0) or at(symbol, size) == count


@st.composite
def windows(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Spatial sizes, taps and attributes that fit one another, as ONNX Runtime takes them."""
    rank = draw(st.integers(1, 3))
    sizes = draw(st.tuples(*[st.integers(1, 12)] * rank))
    strides = draw(st.lists(st.integers(1, 4), min_size=rank, max_size=rank))
    if draw(st.booleans()):
        taps = tuple(draw(st.integers(1, size)) for size in sizes)
        # ONNX Runtime refuses padding that would be negative, where the last stride steps over the end.
        strides = [min(stride, count) for stride, count in zip(strides, taps, strict=True)]
        return (
            sizes,
            taps,
            {"strides": strides, "auto_pad": draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER"]))},
        )
    dilations = draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    taps = tuple(
        draw(st.integers(1, 1 + (size - 1) // step)) for size, step in zip(sizes, dilations, strict=True)
    )
    pads = [draw(st.integers(0, count - 1)) for _ in range(2) for count in taps]
    return sizes, taps, {"strides": strides, "dilations": dilations, "pads": pads}


@given(windows(), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_convolutions_of_any_form(
    window: Any, batch: int, group: int, depth: int, filters: int, has_bias: bool
) -> None:
    sizes, taps, attributes = window
    bias = (real(group * filters),) if has_bias else ()
    kernel = real(group * filters, depth, *taps)
    check(case("Conv", real(batch, group * depth, *sizes), kernel, *bias, group=group, **attributes))


@given(
    windows(),
    st.sampled_from(["MaxPool", "AveragePool"]),
    st.integers(0, 1),
    st.integers(0, 1),
    st.integers(1, 20),
)
def test_pools_of_any_form(window: Any, op: str, ceil_mode: int, include: int, channels: int) -> None:
    sizes, taps, attributes = window
    if op == "AveragePool":
        attributes = {**attributes, "count_include_pad": include}
    check(case(op, real(2, channels, *sizes), opset=22, kernel_shape=taps, ceil_mode=ceil_mode, **attributes))


def axes(numbers: Sequence[int] | None, opset: int, since: int) -> tuple[tuple[Array, ...], dict[str, Any]]:
    """Axes as an operand since some opset, and as an attribute before."""
    if numbers is None:
        return (), {}
    return ((ints(*numbers),), {}) if opset >= since else ((), {"axes": list(numbers)})


def reduction(op: str, x: Array, numbers: Sequence[int] | None, opset: int, **attributes: Any) -> Case:
    operands, form = axes(numbers, opset, 13 if op == "ReduceSum" else 18)
    return case(op, x, *operands, opset=opset, **form, **attributes)


REDUCTIONS = [
    *(reduction(op, np.abs(real(2, 3, 4, 5)) + F32(0.1), numbers, opset, keepdims=keep)
      for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
                 "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare")
      for opset in (11, 13, 18) for keep in (0, 1)
      for numbers in (None, [1], [-1], [2, 3], [-2, 0], [0, 1, 2, 3])),
    *(reduction(op, np.arange(24).reshape(2, 3, 4).astype(dtype), [1], 18)
      for op in ("ReduceSum", "ReduceMax", "ReduceMin") for dtype in (I32, I64)),
    *(reduction(op, real(3, 4) > 0, [1], 20) for op in ("ReduceMax", "ReduceMin")),
    *(reduction(op, real(2, 3), None, 18, noop_with_empty_axes=1)
      for op in ("ReduceSum", "ReduceMax", "ReduceMean")),
    *(case(op, np.round(3 * real(3, 4, 5)), opset=opset, axis=axis, keepdims=keep, **last)
      for op in ("ArgMax", "ArgMin") for opset in (11, 13) for axis in (0, -1) for keep in (0, 1)
      for last in ({}, {"select_last_index": 1} if opset > 11 else {})),
    *(case("CumSum", real(3, 4, 5), np.array(axis), opset=opset, exclusive=exclusive, reverse=reverse)
      for axis in (0, -1) for exclusive in (0, 1) for reverse in (0, 1) for opset in (11, 14)),
    *(case("CumProd", real(3, 4), np.array(axis), opset=26, by="reference", exclusive=exclusive,
           reverse=reverse)
      for axis in (0, 1) for exclusive in (0, 1) for reverse in (0, 1)),
    *(case(op, real(2, 3, 4, 5), opset=opset, axis=axis) for op in ("Softmax", "LogSoftmax", "Hardmax")
      for opset in (11, 12, 13, 21) for axis in (0, 1, 2, -1)),
    *(case(op, 100 * real(3, 40), opset=opset) for op in ("Softmax", "LogSoftmax") for opset in (11, 13)),
]  # fmt: skip
SCALE, SHIFT, MEAN = real(6), real(6), real(6)
VARIANCE = np.abs(real(6)) + F32(0.1)
NORMS = [
    *(case("BatchNormalization", real(*shape), SCALE, SHIFT, MEAN, VARIANCE, opset=opset, epsilon=1e-3)
      for shape in ((2, 6), *IMAGES.values()) for opset in (11, 14, 15)),
    *(case("InstanceNormalization", real(*shape), SCALE, SHIFT, opset=opset, epsilon=1e-3)
      for shape in IMAGES.values() for opset in (11, 22)),
    *(case("GroupNormalization", real(*shape), SCALE, SHIFT, num_groups=groups, epsilon=1e-3)
      for shape in IMAGES.values() for groups in (1, 2, 6)),
    *(case("GroupNormalization", real(2, 6, 5, 5), real(groups), real(groups), opset=18, num_groups=groups)
      for groups in (1, 2, 6)),
    *(case("LayerNormalization", real(2, 3, 4, 6), real(*shape), bias, opset=17, axis=axis, outputs=outputs)
      for axis, shape in ((-1, (6,)), (2, (4, 6)), (1, (3, 4, 6)))
      for bias in (None, real(*shape)) for outputs in (1, 3)),
    *(case("RMSNormalization", real(2, 3, 4, 6), real(*shape), opset=23, axis=axis, by="reference")
      for axis, shape in ((-1, (6,)), (2, (4, 6)))),
    *(case("LRN", real(*shape), opset=opset, size=size, alpha=0.01, beta=0.7, bias=1.5)
      for shape in ((2, 6, 7, 8),) for size in (1, 3, 5, 99) for opset in (11, 13)),
    *(case("LpNormalization", real(3, 4, 5), axis=axis, p=p) for axis in (0, -1) for p in (1, 2)),
    case("MeanVarianceNormalization", real(2, 3, 4, 5)),
    case("MeanVarianceNormalization", real(2, 3, 4, 5), axes=[2, 3]),
]  # fmt: skip
MATRICES = [
    *(case("MatMul", real(*a), real(*b), opset=opset) for opset in (11, 13)
      for a, b in [((3, 4), (4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((2, 3, 4), (4, 5)),
                   ((2, 1, 3, 4), (6, 4, 5)), ((5, 3, 4), (5, 4, 2)), ((3, 0), (0, 4))]),
    *(case("MatMul", np.arange(12).reshape(3, 4).astype(dtype), np.arange(8).reshape(4, 2).astype(dtype))
      for dtype in (I32, I64)),
    *(case("Gemm", real(*((4, 3) if a else (3, 4))), real(*((5, 4) if b else (4, 5))), *bias, opset=opset,
           transA=a, transB=b, alpha=alpha, beta=beta)
      for a in (0, 1) for b in (0, 1) for opset in (11, 13) for alpha, beta in ((1.0, 1.0), (0.5, -2.0))
      for bias in ((), (real(5),), (real(1, 5),), (real(3, 1),), (real(3, 5),), (real(1),), (F32(0.5),))),
    *(case("MatMul", real(*a, dtype=F64), real(*b, dtype=F64))
      for a, b in [((3, 4), (4, 5)), ((2, 3, 4), (4, 5))]),
    case("Gemm", real(3, 4, dtype=F64), real(4, 5, dtype=F64), real(5, dtype=F64)),
]  # fmt: skip


@pytest.mark.parametrize("each", **ids([*REDUCTIONS, *NORMS, *MATRICES]))
def test_sums(each: Case) -> None:
    check(each)


def squeezed(op: str, x: Array, numbers: Sequence[int] | None, opset: int) -> Case:
    operands, form = axes(numbers, opset, 13)
    return case(op, x, *operands, opset=opset, **form)


def padded(x: Array, pads: Sequence[int], *rest: Any, **attributes: Any) -> Case:
    return case("Pad", x, ints(*pads), *rest, **attributes)


X = real(2, 3, 4, 5)
VIEWS = [
    *(case("Reshape", X, ints(*shape), opset=opset) for opset in (11, 13, 21)
      for shape in [(6, 20), (-1, 5), (0, -1), (2, 0, 20), (120,), (1, 2, 3, 4, 5)]),
    case("Reshape", real(0, 3), ints(3, 0), allowzero=1), case("Reshape", real(0, 3), ints(0, -1, 3)[[0, 2]]),
    *(case("Flatten", X, opset=opset, axis=axis) for opset in (11, 13) for axis in (0, 1, 2, 4, -1)),
    *(squeezed("Squeeze", real(1, 3, 1, 4), numbers, opset)
      for opset in (11, 13) for numbers in (None, [0], [2], [0, -2])),
    case("Squeeze", real(1, 3, 1, 4), ints()),
    *(squeezed("Unsqueeze", real(3, 4), numbers, opset)
      for opset in (11, 13) for numbers in ([0], [-1], [1, 3], [0, -1])),
    *(case("Transpose", X, opset=opset, **way) for opset in (11, 13)
      for way in ({}, {"perm": [0, 2, 3, 1]}, {"perm": [3, 2, 1, 0]}, {"perm": [0, 1, 2, 3]})),
    *(case("Concat", X, real(*shape), X, opset=opset, axis=axis) for opset in (11, 13)
      for axis, shape in [(0, (1, 3, 4, 5)), (1, (2, 1, 4, 5)), (-1, (2, 3, 4, 7))]),
    *(case("Split", X, outputs=2, opset=11, axis=axis, split=split)
      for axis, split in [(0, [1, 1]), (-1, [2, 3]), (2, [4, 0])]),
    *(case("Split", X, ints(*split), outputs=2, opset=opset, axis=axis) for opset in (13, 18)
      for axis, split in [(0, [1, 1]), (-1, [2, 3]), (2, [4, 0])]),
    case("Split", X, outputs=2, opset=11, axis=2), case("Split", X, outputs=4, opset=13, axis=2),
    *(case("Split", X, outputs=3, opset=18, axis=axis, num_outputs=3) for axis in (1, 2, 3)),
    case("Split", real(2, 9), outputs=4, opset=18, axis=1, num_outputs=4),
    *(case("Slice", X, ints(*starts), ints(*ends), numbers, steps, opset=opset) for opset in (11, 13)
      for starts, ends, numbers, steps in [
          ([0, 1], [1, 3], None, None), ([1, -3], [9, -1], ints(1, 3), None),
          ([0], [2**62], ints(-1), ints(2)),
          ([4, 2], [-99, 0], ints(3, 1), ints(-2, -1)), ([3], [1], ints(2), None),
          ([0, 0], [2, 2], np.array([1, 2], I32).astype(I64), ints(1, 1)),
          ([-9], [-99], ints(2), ints(-1)), ([-9], [-2], ints(2), ints(-1)),
          ([-9, 9], [-99, -9], None, ints(-2, -3))]),
    *(padded(X, [0, 1, 2, 0, 1, 0, 0, 3], *rest, opset=opset, mode=mode) for opset in (11, 13, 18)
      for mode, rest in [("constant", ()), ("constant", (F32(1.5),)), ("reflect", ()), ("edge", ())]),
    padded(X, [0, -1, 0, 1, 0, 0, -2, 0]), padded(X, [1, 2, 0, 1], F32(2), ints(1, -1), opset=18),
    padded(X, [0, 1, 2, 0, 1, 0, 0, 3], opset=19, mode="wrap"),
    *(case("Expand", real(*a), ints(*b), opset=opset) for opset in (11, 13)
      for a, b in [((3, 1), (2, 3, 4)), ((3, 4), (1, 1)), ((1,), (0,)), ((), (2, 2))]),
    *(case("Tile", real(2, 3), ints(*repeats), opset=opset) for opset in (11, 13)
      for repeats in [(1, 1), (2, 3), (0, 2)]),
    *(case("Shape", X, opset=opset, **way) for opset, way in [
        (11, {}), (13, {}), (15, {"start": 1}), (15, {"start": -2}), (15, {"start": 1, "end": -1}),
        (21, {"end": 9})]),
    case("Size", X, opset=11), case("Size", X), case("Size", real(0, 3)),
    *(case("ConstantOfShape", ints(*shape), opset=opset, value=numpy_helper.from_array(value))
      for opset in (11, 20) for shape in [(2, 3), (0,), ()]
      for value in (np.array([1.5], F32), np.array([7]), np.array([True]))),
    case("ConstantOfShape", ints(2, 2)),
    *(case("Range", *(np.array(each, dtype) for each in bounds)) for dtype in (F32, I32, I64)
      for bounds in [(0, 7, 2), (5, -6, -3), (3, 3, 1), (3, 0, 1)]),
    *(case("Cast", values, opset=opset, to=to) for opset in (11, 13, 21)
      for values in (np.array([0.5, -1.5, 100.9, 0], F32), np.array([0, 1, -7, 100]), np.array([True, False]))
      for to in (1, 6, 7, 9, 10, 11)),
    case("CastLike", real(3), np.array(1), opset=19), case("CastLike", np.arange(3), F32(0), opset=15),
    case("BitCast", np.array([0, 1, 0x7F800000, 5], I32), opset=26, by="reference", to=1),
    *(case("DepthToSpace", real(2, 12, 3, 4), opset=opset, blocksize=2, mode=mode)
      for opset in (11, 13) for mode in ("DCR", "CRD")),
    case("SpaceToDepth", real(2, 3, 4, 6), blocksize=2),
    *(case("Trilu", real(*shape), np.array(k), opset=14, upper=upper)
      for shape in ((4, 5), (2, 5, 3)) for k in (-2, 0, 1, 9) for upper in (0, 1)),
    *(case("EyeLike", real(*shape), opset=opset, k=k, **dtype)
      for opset in (11, 22) for shape in ((3, 4), (4, 3)) for k in (-1, 0, 2)
      for dtype in ({}, {"dtype": 7})),
    *(case("Dropout", X, opset=opset, outputs=outputs) for opset in (12, 13, 22) for outputs in (1, 2)),
    case("Dropout", X, opset=11, ratio=0.3),
]  # fmt: skip
HALVES = np.array([[[0], [2]], [[1], [-1]]])
LOOKUPS = [
    *(case("Gather", X, np.array(where), opset=opset, axis=axis) for opset in (11, 13)
      for axis in (0, 2, -1) for where in (0, [1, -1], [[0, 1], [1, 0]])),
    *(case("GatherElements", X, np.zeros((1, 2, 3, 4), I64) - 1, opset=opset, axis=axis)
      for opset in (11, 13) for axis in (1, -1)),
    *(case("GatherND", real(2, 3, 4), where, opset=12, batch_dims=batch) for where, batch in [
        (ints(1, -1), 0), (np.array([[0, 1], [1, 2]]), 0), (np.array([[1], [0]]), 1), (HALVES, 1)]),
    *(case("OneHot", np.array([[0, 2], [-1, 9]]), np.array(depth), values, opset=11, axis=axis)
      for depth, values in ((3, np.array([0, 1], F32)), (F32(4), np.array([0, 1], F32)), (3, ints(5, 7)))
      for axis in (0, 1, -1)),
    *(case("TopK", np.round(3 * real(3, 4, 7)), ints(k), outputs=2, opset=opset, axis=axis, largest=largest)
      for opset in (11, 21) for k, axis in ((3, -1), (1, 0), (4, 1)) for largest in (0, 1)),
    *(case("ScatterElements", real(3, 4), np.array([[0, 2, 1], [2, 1, -3]]), real(2, 3), opset=opset,
           axis=axis, **how)
      for opset, axis, how in [(11, 0, {}), (13, 1, {}), (18, 0, {"reduction": "add"}),
                               (18, 0, {"reduction": "mul"}),
                               (18, 1, {"reduction": "max"}), (18, 1, {"reduction": "min"})]),
    *(case("ScatterND", real(4, 5), np.array([[0], [-1]]), real(2, 5), opset=opset, **how)
      for opset, how in [(11, {}), (13, {}), (18, {"reduction": "add"}), (18, {"reduction": "mul"}),
                         (18, {"reduction": "max"}), (18, {"reduction": "min"})]),
    case("ScatterND", real(4, 5), np.array([[0, 1], [3, -1]]), real(2)),
]  # fmt: skip


@pytest.mark.parametrize("each", **ids([*VIEWS, *LOOKUPS]))
def test_what_moves_and_looks_up(each: Case) -> None:
    check(each)


def test_every_operator_is_here() -> None:
    """But for Constant, which loading makes part of the graph, and what the optimiser makes."""
    compared = {
        each.op
        for cases in (CURVES, BINARY, CONVOLUTIONS, POOLS, REDUCTIONS, NORMS, MATRICES, VIEWS, LOOKUPS)
        for each in cases
    }
    assert compared == {op for op in OPERATORS if "." not in op}


def test_nothing_that_fits_is_refused_where_sizes_are_left_open() -> None:
    """Neither with open sizes nor with an unknown number of axes."""
    every = (CURVES, BINARY, CONVOLUTIONS, POOLS, REDUCTIONS, NORMS, MATRICES, VIEWS, LOOKUPS)
    kinds = {}
    for each in itertools.chain(*every):
        ranks = tuple(x if x is None else x.ndim for x in each.inputs)
        kinds[each.op, each.opset, ranks, each.outputs, *each.attributes] = each
    assert len(kinds) > 300
    for each in kinds.values():
        proto = model_of(each, True, [image_of(each)] * each.outputs)
        declared = proto.graph.input[0].type.tensor_type
        for axis, dim in enumerate(declared.shape.dim):
            dim.dim_param = f"size{axis}"
        check_shapes(load(proto))
        declared.ClearField("shape")
        check_shapes(load(proto))
