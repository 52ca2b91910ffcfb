"""Weights that only plans hold: let go once they are packed, and got back with every bit."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_models import model, small_network, weight

import fastsep
from fastsep.onnx import InferenceSession
from fastsep.onnx._load import load
from fastsep.onnx._optimise import optimise
from fastsep.onnx._weights import Weights

Array = np.ndarray[Any, Any]
WIDE = 72


def conv(x: str, name: str, y: str, **attributes: Any) -> Any:
    return helper.make_node("Conv", [x, f"{name}.w", f"{name}.b"], [y], name=name, **attributes)


def network(dtype: int = TensorProto.FLOAT) -> Any:
    """Every family that packs: standard, with groups, separable, inverted residual, its gate, dense."""
    shapes = {
        "stem": (40, 36, 3, 3),
        "grouped": (WIDE, 20, 5, 5),
        "deep": (WIDE, 1, 9, 9),
        "point": (WIDE, WIDE, 1, 1),
        "expand": (6 * WIDE, WIDE, 1, 1),
        "middle": (6 * WIDE, 1, 3, 3),
        "squeeze": (18, 6 * WIDE, 1, 1),
        "gate": (6 * WIDE, 18, 1, 1),
        "project": (WIDE, 6 * WIDE, 1, 1),
    }
    weights: dict[str, Array] = {}
    for seed, (name, shape) in enumerate(shapes.items()):
        weights[f"{name}.w"] = weight(seed, *shape)
        weights[f"{name}.b"] = weight(seed + 100, shape[0], 4)[:, 0]
    weights["dense.w"], weights["dense.b"] = weight(50, 101, WIDE), weight(51, 101, 4)[:, 0]
    nodes = [
        conv("x", "stem", "a", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["ar"]),
        conv("ar", "grouped", "b", group=2, strides=[2, 2], pads=[2, 2, 2, 2]),
        conv("b", "deep", "c", group=WIDE, pads=[4, 4, 4, 4]),
        conv("c", "point", "d"),
        conv("d", "expand", "e"),
        helper.make_node("Relu", ["e"], ["er"]),
        conv("er", "middle", "f", group=6 * WIDE, pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["f"], ["fr"]),
        helper.make_node("GlobalAveragePool", ["fr"], ["s"]),
        conv("s", "squeeze", "t"),
        helper.make_node("Relu", ["t"], ["tr"]),
        conv("tr", "gate", "u"),
        helper.make_node("Sigmoid", ["u"], ["v"]),
        helper.make_node("Mul", ["fr", "v"], ["g"]),
        conv("g", "project", "h"),
        helper.make_node("Add", ["h", "d"], ["i"]),
        helper.make_node("GlobalAveragePool", ["i"], ["j"]),
        helper.make_node("Flatten", ["j"], ["k"]),
        helper.make_node("Gemm", ["k", "dense.w", "dense.b"], ["y"], transB=1),
    ]
    kind = np.float64 if dtype == TensorProto.DOUBLE else np.float32
    weights = {name: value.astype(kind) for name, value in weights.items()}
    return model(nodes, {"x": [1, 36, 9, 9]}, {"y": [1, 101]}, weights, dtype=dtype)


def bits(constants: Mapping[str, Array]) -> dict[str, tuple[Any, ...]]:
    return {name: (value.dtype, value.shape, value.tobytes()) for name, value in constants.items()}


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.DOUBLE])
def test_what_was_packed_comes_back_with_every_bit(dtype: int, isa: str) -> None:
    graph = optimise(load(network(dtype).SerializeToString()))
    Weights(graph).own()
    assert {node.op.removeprefix("fastsep.") for node in graph.nodes} >= {
        "Conv", "Separable", "InvertedResidual", "Dense",
    }  # fmt: skip
    large = [name for name, value in graph.constants.items() if value.nbytes >= 1 << 14]
    # Not all numbers are numbers.
    special = graph.constants[large[0]].copy()
    special.flat[:4] = np.nan, -np.inf, -0.0, np.finfo(special.dtype).tiny / 3
    assert isinstance(graph.constants, dict)
    graph.constants[large[0]] = special
    before = bits(graph.constants)
    session = InferenceSession._of(graph, 1)
    let_go = [name for name, value in session._graph.constants.items() if not any(value.strides)]
    assert set(large) <= set(let_go)
    assert len(large) >= 8
    fastsep.set_isa(fastsep.available_isas()[0])
    assert bits(session._whole().constants) == before


@pytest.mark.parametrize("sizes", [[1, 16, 32, 32], ["n", 16, "h", "w"]])
def test_what_a_layer_adds_is_no_weight_of_it(sizes: list[int | str]) -> None:
    # A constant as large as the image: added by the convolution's epilogue, at every run.
    weights = {"w": weight(0, 16, 16, 1, 1), "added": weight(1, 1, 16, 32, 32)}
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Add", ["a", "added"], ["y"])]
    proto = model(nodes, {"x": sizes}, {"y": sizes}, weights)
    session = InferenceSession(proto.SerializeToString())
    x = weight(2, 1, 16, 32, 32)
    plain = np.einsum("oc,nchw->nohw", weights["w"][:, :, 0, 0], x) + weights["added"]
    np.testing.assert_allclose(session.run(None, {"x": x})[0], plain, rtol=0, atol=1e-5)


def test_a_session_holds_its_weights_once() -> None:
    weights = {"w": weight(0, 512, 512, 3, 3)}
    proto = model(
        [helper.make_node("Conv", ["x", "w"], ["y"])], {"x": [1, 512, 3, 3]}, {"y": [1, 512, 1, 1]}, weights
    )
    session = InferenceSession(proto.SerializeToString())
    held = [value for value in session._graph.constants.values() if any(value.strides)]
    assert sum(value.nbytes for value in held) < weights["w"].nbytes / 100
    assert sys.getsizeof(session._graph.constants[next(iter(session._graph.constants))]) < 1000
    assert session.summary().weight_bytes == weights["w"].nbytes


def test_pickled_saved_and_pickled_again(tmp_path: Any) -> None:
    session = InferenceSession(network().SerializeToString())
    x = weight(7, 1, 36, 9, 9)
    (wanted,) = session.run(None, {"x": x})
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(session))))
    session.save(tmp_path / "first.fastsep")
    again.save(tmp_path / "second.fastsep")
    fastsep.load(tmp_path / "first.fastsep").save(tmp_path / "third.fastsep")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    for each in (again, fastsep.load(tmp_path / "third.fastsep")):
        assert np.array_equal(each.run(None, {"x": x})[0], wanted)


def test_plans_for_another_rank_get_the_weights_as_well() -> None:
    weights = {"w": weight(0, 96, 80)}
    proto = model([helper.make_node("MatMul", ["x", "w"], ["y"])], {}, {"y": None}, weights)
    proto.graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, None))
    session = InferenceSession(proto.SerializeToString())
    for shape in ((5, 96), (2, 5, 96), (2, 3, 4, 96), (1, 1, 2, 3, 2, 96), (2, 2, 1, 2, 1, 1, 96), (7, 96)):
        x = weight(len(shape), *shape)
        np.testing.assert_allclose(session.run(None, {"x": x})[0], x @ weights["w"], rtol=0, atol=1e-5)
    whole = session._whole().constants
    assert any(np.array_equal(value, weights["w"]) for value in whole.values())


def test_shared_weights_stay_for_all_their_readers(tmp_path: Any) -> None:
    weights = {"w": weight(0, 80, 80, 1, 1)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w"], ["c"]),
        helper.make_node("Concat", ["c", "w"], ["y"], axis=0),
    ]
    proto = model(nodes, {"x": [1, 80, 1, 1]}, {"y": [81, 80, 1, 1]}, weights)
    session = InferenceSession(proto.SerializeToString())
    (y,) = session.run(None, {"x": weight(3, 1, 80, 1, 1)})
    assert np.array_equal(y[1:], weights["w"])
    session.save(tmp_path / "net.fastsep")
    assert np.array_equal(
        fastsep.load(tmp_path / "net.fastsep").run(None, {"x": weight(3, 1, 80, 1, 1)})[0], y
    )


def test_threads_that_make_sessions_do_not_mix_up_their_weights() -> None:
    protos = [network().SerializeToString(), small_network(1, 32).SerializeToString()]
    wanted = [bits(optimise(load(data)).constants) for data in protos]
    failures: list[object] = []

    def make(which: int) -> None:
        made = [bits(InferenceSession(protos[which])._whole().constants) for _ in range(5)]
        failures.extend(each for each in made if each != wanted[which])

    workers = [threading.Thread(target=make, args=(index % 2,)) for index in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


def test_nobody_sees_another_instruction_set_meanwhile(isa: str) -> None:
    """It is the whole process's: what other threads make then would be for the wrong one."""
    session = InferenceSession(network().SerializeToString())
    chosen = fastsep.available_isas()[0]
    fastsep.set_isa(chosen)
    seen: set[tuple[str, str]] = set()

    def noting(packed: Any) -> Any:
        def make(node: Any, specs: Any, wanted: str) -> Any:
            seen.add((fastsep.get_isa(), wanted))
            return packed.make(node, specs, wanted)

        return packed._replace(make=make)

    held = session._weights._packed
    held.update({name: noting(packed) for name, packed in held.items()})
    session._whole()
    assert seen == {(chosen, isa)}
