"""ONNX Runtime: NCHW as given, and its blocked layout NCHWc with the input and output left in it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from bench.blocks import Array, Block, Stage
from bench.network_rows import NetworkRow
from bench.peers.form import Form, aligned
from bench.peers.onnx_model import model_of, nchw_shape

NAME = "ONNX Runtime"


def forms(block: Block, threads: int) -> Iterator[Form]:
    """Yield NCHW with and without the blocked layout inside, and the blocked layout alone."""
    model = model_of(block).SerializeToString()
    x = aligned(block.x.transpose(0, 3, 1, 2))
    shape = nchw_shape(block.out_shapes[-1])
    for level, words in (
        (ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED, "NCHW"),
        (ort.GraphOptimizationLevel.ORT_ENABLE_ALL, "NCHW outside, layout optimisation inside"),
    ):
        session = ort.InferenceSession(model, options(threads, level), providers=["CPUExecutionProvider"])
        yield bound(session, words, x, shape, lambda y: y.transpose(0, 2, 3, 1))
    # Squeeze-and-excite leaves the blocked layout for its means.
    blocked = None if block.gate else blocked_model(model)
    if blocked is not None:
        yield blocked_form(block, blocked, threads)
    if len(block.stages) == 1 and block.stages[0].family == "pointwise" and block.stages[0].stride == 1:
        yield matmul_form(block, threads)


def network_forms(row: NetworkRow, threads: int) -> Iterator[Form]:
    """Yield NCHW with and without the blocked layout inside; batch norms are folded at load."""
    for level, words in (
        (ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED, "NCHW"),
        (ort.GraphOptimizationLevel.ORT_ENABLE_ALL, "NCHW outside, layout optimisation inside"),
    ):
        session = ort.InferenceSession(
            row.model(), options(threads, level), providers=["CPUExecutionProvider"]
        )
        yield bound(session, words, aligned(row.images()), row.out_shape, lambda y: y)


def options(threads: int, level: ort.GraphOptimizationLevel) -> ort.SessionOptions:
    """Return the options of a session on so many threads."""
    chosen = ort.SessionOptions()
    chosen.intra_op_num_threads = threads
    chosen.inter_op_num_threads = 1
    chosen.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    chosen.graph_optimization_level = level
    chosen.log_severity_level = 3
    return chosen


def bound(
    session: ort.InferenceSession,
    words: str,
    x: Array,
    out_shape: tuple[int, ...],
    channels_last: Callable[[Array], Array],
) -> Form:
    """Return a form whose input and output stay where they are."""
    binding = session.io_binding()
    given = ort.OrtValue.ortvalue_from_numpy(x, "cpu")
    result = ort.OrtValue.ortvalue_from_shape_and_type(list(out_shape), np.float32, "cpu")
    binding.bind_ortvalue_input(session.get_inputs()[0].name, given)
    binding.bind_ortvalue_output(session.get_outputs()[0].name, result)
    return Form(
        f"{words}; io_binding",
        lambda: session.run_with_iobinding(binding),
        lambda: channels_last(result.numpy()),
        kept=(x, given),
    )


def blocked_model(model: bytes) -> onnx.ModelProto | None:
    """Return the model as ONNX Runtime optimises it, without the reordering of input and output.

    None if the optimiser does not choose the blocked layout.
    """
    with tempfile.TemporaryDirectory() as folder:
        chosen = options(1, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
        chosen.optimized_model_filepath = str(Path(folder, "optimised.onnx"))
        ort.InferenceSession(model, chosen, providers=["CPUExecutionProvider"])
        optimised = onnx.load(chosen.optimized_model_filepath)
    return without_reordering(optimised)


# What means the same in any layout.
ELEMENTWISE = {"Add", "Clip", "Mul", "QuickGelu", "Relu", "Sigmoid"}


def without_reordering(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """Return an optimised model whose input and output are in the blocked layout; None if that cannot be.

    The optimiser leaves the residual's sum outside the blocked layout, because its graph's input is; here it
    becomes the last convolution's own.
    """
    graph = model.graph
    renamed = {node.output[0]: node.input[0] for node in graph.node if node.op_type.startswith("Reorder")}
    if graph.output[0].name not in renamed and graph.node[-1].op_type != "Add":
        return None
    blocked_input = any(node.op_type == "ReorderInput" for node in graph.node)
    # A renamed input shows later that it is blocked.
    renamed["x"] = "blocked" if blocked_input else "x"
    nodes = [node for node in graph.node if not node.op_type.startswith("Reorder")]
    if any(node.domain != "com.microsoft.nchwc" and node.op_type not in ELEMENTWISE for node in nodes):
        return None

    def name(value: str) -> str:
        while renamed.get(value, value) != value:
            value = renamed[value]
        return value

    for node in nodes:
        node.input[:] = [name(value) for value in node.input]
    graph.input[0].name = name("x")
    graph.output[0].name = name(graph.output[0].name)
    if nodes[-1].op_type == "Add":
        *nodes, conv, add = nodes
        (other,) = set(add.input) - {conv.output[0]}
        conv.input[:] = [*conv.input, *[""] * (3 - len(conv.input)), other]
        conv.output[:] = add.output
        nodes.append(conv)
    del graph.node[:]
    graph.node.extend(nodes)
    for value in [graph.input[0]] * blocked_input + [graph.output[0]]:
        channels = value.type.tensor_type.shape.dim[1]
        channels.dim_value = -(-channels.dim_value // block_channels()) * block_channels()
    return model


@cache
def block_channels() -> int:
    """Return how many channels ONNX Runtime's blocked layout keeps together on this machine.

    It shows in how far 24 output channels are padded: to 24 for 8, to 32 for 16.
    """
    kernel = np.zeros((16, 24), np.float32)
    probe = Block(np.zeros((1, 4, 4, 16), np.float32), (Stage("pointwise", kernel),))
    with tempfile.TemporaryDirectory() as folder:
        chosen = options(1, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
        chosen.optimized_model_filepath = str(Path(folder, "optimised.onnx"))
        model = model_of(probe).SerializeToString()
        ort.InferenceSession(model, chosen, providers=["CPUExecutionProvider"])
        (conv,) = [
            node for node in onnx.load(chosen.optimized_model_filepath).graph.node if node.op_type == "Conv"
        ]
        weights = {
            constant.name: constant
            for constant in onnx.load(chosen.optimized_model_filepath).graph.initializer
        }
    return 8 if weights[conv.input[1]].dims[0] == 24 else 16


def to_blocked(x: Array) -> Array:
    """Return (batch, height, width, channels) as (batch, blocks, height, width, channels of a block)."""
    size = block_channels()
    batch, height, width, channels = x.shape
    blocks = -(-channels // size)
    padded = np.pad(x, ((0, 0), (0, 0), (0, 0), (0, blocks * size - channels)))
    blocked = padded.reshape(batch, height, width, blocks, size).transpose(0, 3, 1, 2, 4)
    return aligned(blocked).reshape(batch, blocks * size, height, width)


def from_blocked(y: Array, channels: int) -> Array:
    """Return the blocked layout as (batch, height, width, channels)."""
    size = block_channels()
    batch, padded, height, width = y.shape
    values = y.reshape(batch, padded // size, height, width, size).transpose(0, 2, 3, 1, 4)
    return values.reshape(batch, height, width, padded)[..., :channels]


def blocked_form(block: Block, model: onnx.ModelProto, threads: int) -> Form:
    """Return the blocked layout from end to end, as a network's inner layers meet it."""
    level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options(threads, level), providers=["CPUExecutionProvider"]
    )
    channels = block.x.shape[-1]
    takes_blocked = session.get_inputs()[0].name != "x"
    x = to_blocked(block.x) if takes_blocked else aligned(block.x.transpose(0, 3, 1, 2))
    batch, height, width, channels = block.out_shapes[-1]
    padded = -(-channels // block_channels()) * block_channels()
    kept = "input and output" if takes_blocked else "output"
    words = f"NCHWc, {block_channels()} channels a block, {kept} left in it"
    return bound(session, words, x, (batch, padded, height, width), lambda y: from_blocked(y, channels))


def matmul_form(block: Block, threads: int) -> Form:
    """Return a pointwise layer as a matrix product over NHWC, its weights packed."""
    from bench.peers.onnx_model import IR_VERSION, OPSET, Graph

    (stage,) = block.stages
    graph = Graph()
    value = graph.node("MatMul", "x", graph.constant(stage.kernel))
    value = graph.activate(value, stage.activation)
    graph.nodes[-1].output[0] = "y"
    shapes = [(int(np.prod(shape[:-1])), shape[-1]) for shape in (block.x.shape, block.out_shapes[-1])]
    inputs, outputs = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(("x", "y"), shapes, strict=True)
    )
    model = helper.make_model(
        helper.make_graph(graph.nodes, "block", [inputs], [outputs], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options(threads, level), providers=["CPUExecutionProvider"]
    )
    out_shape = block.out_shapes[-1]
    return bound(
        session,
        "MatMul over NHWC",
        aligned(block.x).reshape(shapes[0]),
        shapes[1],
        lambda y: y.reshape(out_shape),
    )
