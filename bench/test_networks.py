"""The networks are the published ones, in a sensible range, and tell images apart."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper, shape_inference

import fastsep
import fastsep.onnx
from bench.blocks import Array
from bench.measure import TOLERANCE
from bench.network_rows import BATCHES, NetworkRow, all_network_rows, images
from bench.networks import NETWORKS, build
from bench.networks.folded import folded
from fastsep.onnx._interpret import interpret
from fastsep.onnx._load import load

# What must lie between two images, in tolerances.
APART = 100
LEAST, MOST = 0.1, 10
# Pixels of the images on which whole networks are compared.
SMALL = 64


@cache
def built(name: str) -> onnx.ModelProto:
    """Return a network of open sizes: to draw its weights takes seconds."""
    return build(name, batch=None, dynamic_size=True)


def network(name: str, batch: int = 1, size: int | None = None) -> onnx.ModelProto:
    """Return a network of fixed sizes, as `build` makes it."""
    model = onnx.ModelProto()
    model.CopyFrom(built(name))
    pixels = NetworkRow(name, 1).size if size is None else size
    for value, sizes in (
        (model.graph.input[0], (batch, 3, pixels, pixels)),
        (model.graph.output[0], (batch,)),
    ):
        for dim, number in zip(value.type.tensor_type.shape.dim, sizes, strict=False):
            dim.dim_value = number
    return model


def run(model: onnx.ModelProto, x: Array, outputs: list[str] | None = None) -> list[Array]:
    """Return what ONNX Runtime computes, nodes as they stand."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: list[Array] = session.run(outputs, {"x": x})
    return found


def with_every_value(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """Return the model with every node's output as an output, and their names."""
    names = [name for node in model.graph.node for name in node.output]
    instrumented = onnx.ModelProto()
    instrumented.CopyFrom(model)
    del instrumented.graph.output[:]
    instrumented.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    return instrumented, names


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_keeps_a_sensible_range_and_images_stay_apart(name: str) -> None:
    # Each of the images that are measured, by itself: of others the deviation is not known.
    instrumented, names = with_every_value(network(name))
    logits = []
    for index, x in enumerate(images(max(BATCHES), NetworkRow(name, 1).size)):
        for value, y in zip(names, run(instrumented, x[np.newaxis], names), strict=True):
            assert np.isfinite(y).all(), value
            assert LEAST <= y.std() <= MOST, f"image {index}, {value}: {y.std():.3g}"
        logits.append(y)
    one, other = logits[:2]
    assert np.abs(one - other).max() >= APART * TOLERANCE * max(np.abs(one).max(), np.abs(other).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_rounding_stays_far_below_the_tolerance(name: str) -> None:
    # A change of the input by half a rounding error must not be blown up to what counts as wrong.
    model = network(name)
    x = images(1, NetworkRow(name, 1).size)
    random = np.random.default_rng(0)
    moved = x * (1 + 2.0**-24 * random.choice([-1, 1], x.shape)).astype(np.float32)
    moved = np.where(moved == x, np.nextafter(x, np.float32(random.choice([-9, 9]))), moved)
    (y,), (z,) = run(model, x), run(model, moved)
    assert 0 < np.abs(y - z).max() <= 0.2 * TOLERANCE * np.abs(y).max()


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_and_multiply_adds_are_those_of_the_paper(name: str) -> None:
    model = shape_inference.infer_shapes(network(name))
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    shapes = {
        each.name: [size.dim_value for size in each.type.tensor_type.shape.dim]
        for each in (*model.graph.value_info, *model.graph.output)
    }
    parameters = multiply_adds = 0
    for node in model.graph.node:
        # Mean and variance of a batch norm are not trained.
        trained = {"Conv": slice(1, 3), "Gemm": slice(1, 3), "BatchNormalization": slice(1, 3)}
        if node.op_type in trained:
            parameters += sum(constants[value].size for value in node.input[trained[node.op_type]])
        if node.op_type in ("Conv", "Gemm"):
            terms = constants[node.input[1]][0].size
            multiply_adds += terms * int(np.prod(shapes[node.output[0]]))
    published = fastsep.cost(name)
    assert parameters == published.parameters == published.trainable_parameters
    assert multiply_adds == published.multiply_adds


def operators(model: onnx.ModelProto) -> set[str]:
    """Return the operators of a model."""
    return {node.op_type for node in model.graph.node}


def test_nodes_are_those_that_exporters_write() -> None:
    assert {"Clip", "BatchNormalization", "GlobalAveragePool", "Gemm"} <= operators(built("mobilenet_v2"))
    assert {"HardSwish", "HardSigmoid", "Mul", "GlobalAveragePool"} <= operators(built("mobilenet_v3_large"))
    assert {"Sigmoid", "Mul", "ReduceMean"} <= operators(built("efficientnet_b0"))
    assert {"MaxPool", "Relu", "Add"} <= operators(built("xception"))
    for name in NETWORKS:
        convolutions = [node for node in built(name).graph.node if node.op_type == "Conv"]
        with_bias = [node for node in convolutions if len(node.input) == 3]
        assert all(".reduce" in node.name or ".excite" in node.name for node in with_bias)


@pytest.mark.parametrize("name", NETWORKS)
def test_residuals(name: str) -> None:
    sums = sum(node.op_type == "Add" for node in built(name).graph.node)
    # From the papers: blocks whose input has the shape of their output; all of ResNet's; Xception's 4 and 8.
    expected = {
        "mobilenet_v1": 0,
        "mobilenet_v2": 10,
        "mobilenet_v3_large": 10,
        "efficientnet_b0": 9,
        "xception": 12,
        "resnet50": 16,
    }
    assert sums == expected[name]


def dims(value: Any) -> list[int | str]:
    """Return the shape of an input or output."""
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]


def test_options() -> None:
    small = build("mobilenet_v2", size=64, batch=None, width=0.5, softmax=True)
    assert dims(small.graph.input[0]) == ["batch", 3, 64, 64]
    assert dims(small.graph.output[0]) == ["batch", 1000]
    x = images(3, 64)
    (y,) = run(small, x)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-5)
    (first,) = run(small, x[:1])
    np.testing.assert_allclose(first, y[:1], rtol=1e-4)
    free = built("mobilenet_v2")
    assert dims(free.graph.input[0]) == ["batch", 3, "height", "width"]
    assert run(free, images(2, 96))[0].shape == (2, 1000)
    fixed = build("mobilenet_v2", size=(64, 96))
    assert dims(fixed.graph.input[0]) == [1, 3, 64, 96]
    assert build("mobilenet_v2", opset=21).opset_import[0].version == 21


def test_sizes_change_nothing_else() -> None:
    assert network("mobilenet_v2", 2, 64) == build("mobilenet_v2", batch=2, size=64)


def test_seeds_give_other_weights() -> None:
    def weights(model: onnx.ModelProto) -> Array:
        found: Array
        (found,) = [
            numpy_helper.to_array(each) for each in model.graph.initializer if each.name == "conv1.weight"
        ]
        return found

    other = build("mobilenet_v2", seed=1)
    assert not np.array_equal(weights(built("mobilenet_v2")), weights(other))


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"name must be one of .*mobilenet_v2.*; got 'mobilenet'"):
        build("mobilenet")
    with pytest.raises(ValueError, match="opset must be 18 or newer, got 11"):
        build("mobilenet_v2", opset=11)
    with pytest.raises(ValueError, match="no room for size=64"):
        build("mobilenet_v2", size=64, dynamic_size=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_small_images_agree_with_onnx_runtime_in_compiled_steps(name: str) -> None:
    model, x = network(name, 2, SMALL), images(2, SMALL)
    session = fastsep.onnx.InferenceSession(model, threads=2)
    assert_agrees(session.run(None, {"x": x})[0], run(model, x)[0])
    steps = session._runs_for({}, {"x": x.shape}).schedule.steps
    assert [step.node.describe() for step in steps if step.plan is None] == []


@pytest.mark.parametrize("name", NETWORKS)
def test_small_images_agree_with_the_definition(name: str) -> None:
    model, x = network(name, 2, SMALL), images(2, SMALL)
    (wanted,) = interpret(load(model.SerializeToString()), {"x": x}).values()
    assert_agrees(fastsep.onnx.InferenceSession(model, threads=2).run(None, {"x": x})[0], wanted)


def assert_agrees(got: Array, wanted: Array) -> None:
    """Within the tolerance of the largest logit, and the same five best classes."""
    assert got.shape == wanted.shape == (2, 1000)
    assert np.abs(got - wanted).max() <= TOLERANCE * np.abs(wanted).max()
    assert np.array_equal(np.argsort(-got)[:, :5], np.argsort(-wanted)[:, :5])


@pytest.mark.parametrize("name", NETWORKS)
def test_folded_networks_have_no_norms_and_all_the_weights(name: str) -> None:
    model = network(name)
    plain = folded(model)
    assert plain.shape == (1, 3, NetworkRow(name, 1).size, NetworkRow(name, 1).size)
    convolutions = [step for step in plain.steps if step.operator == "conv"]
    assert len(convolutions) == sum(node.op_type == "Conv" for node in model.graph.node)
    made = {"x"}
    for step in plain.steps:
        assert set(step.inputs) <= made, step.output
        made.add(step.output)
    assert plain.output in made
    silus = sum(step.operator == "silu" for step in plain.steps)
    assert (silus > 0) == (name == "efficientnet_b0")


def test_a_norm_is_folded_into_the_convolution_before_it() -> None:
    model = network("mobilenet_v2")
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    step = folded(model).steps[0]
    assert step.kernel is not None and step.bias is not None
    scale, shift, mean, variance = (
        constants[f"conv1.norm.{name}"].astype(np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    factor = scale / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(step.bias, shift - mean * factor, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        step.kernel, constants["conv1.weight"] * factor[:, None, None, None], rtol=1e-5
    )


def test_foreign_nodes_are_refused() -> None:
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    graph = helper.make_graph([helper.make_node("Tan", ["x"], ["y"], name="odd")], "g", [x], [y])
    with pytest.raises(ValueError, match="odd: networks of this package have no Tan"):
        folded(helper.make_model(graph))


def test_rows_are_those_of_the_targets() -> None:
    from bench.families import NETWORK_FAMILIES

    rows = all_network_rows()
    assert {row.family for row in rows} == NETWORK_FAMILIES.keys()
    assert {(row.name, row.batch) for row in rows} == {(name, n) for name in NETWORKS for n in (1, 8)}
    assert len({row.label for row in rows}) == len(rows)
    assert NetworkRow("xception", 8).label == "Xception 299, batch 8"


def test_images_differ_and_are_normalised() -> None:
    x = images(3, 96)
    np.testing.assert_allclose(x.std(axis=(2, 3)), 1, rtol=1e-3)
    assert np.abs(x[0] - x[2]).mean() > 0.1
