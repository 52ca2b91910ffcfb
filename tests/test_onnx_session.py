"""`fastsep.onnx.InferenceSession` beside ONNX Runtime: the same calls, the same results."""

from __future__ import annotations

import gc
import os
import pickle
import stat
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.lib.stride_tricks import as_strided
from onnx import helper
from onnx_models import assert_close, every_kind, expected, model, small_network, weight

import fastsep
from fastsep import _threads
from fastsep.onnx import InferenceSession, ModelError, SessionOptions
from fastsep.onnx._execution import Execution
from fastsep.onnx._graph import Graph, Node, Port
from fastsep.onnx._summary import Summary

RNG = np.random.default_rng(0)
X = RNG.standard_normal((1, 3, 32, 32)).astype(np.float32)


@pytest.fixture(scope="module")
def proto() -> onnx.ModelProto:
    return small_network()


@pytest.fixture(scope="module")
def session(proto: onnx.ModelProto) -> InferenceSession:
    return InferenceSession(proto.SerializeToString())


def test_a_network_agrees_with_onnx_runtime_on_every_instruction_set(
    proto: onnx.ModelProto, isa: str
) -> None:
    (got,) = InferenceSession(proto.SerializeToString()).run(None, {"x": X})
    assert_close(got, expected(proto, {"x": X})[0])


@pytest.mark.parametrize("opset", [11, 13, 15, 18, 21])
def test_old_and_new_opsets(opset: int) -> None:
    network = small_network(opset=opset)
    (got,) = InferenceSession(network.SerializeToString()).run(None, {"x": X})
    assert_close(got, expected(network, {"x": X})[0])


def test_the_calls_of_onnx_runtime_work_unchanged(proto: onnx.ModelProto, tmp_path: Any) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(proto, path)
    results = []
    for runtime in (onnxruntime, fastsep.onnx):
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        given, made = session.get_inputs()[0], session.get_outputs()[0]
        assert (given.name, given.type, given.shape) == ("x", "tensor(float)", [1, 3, 32, 32])
        assert (made.name, made.type, made.shape) == ("logits", "tensor(float)", [1, 10])
        assert session.get_providers() == ["CPUExecutionProvider"]
        results.append(session.run([made.name], {given.name: X}, None)[0])
    assert_close(results[1], results[0])


def test_onnx_runtimes_own_options_are_understood(proto: onnx.ModelProto) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"], [{}])
    assert session.run(None, {"x": X}, onnxruntime.RunOptions())[0].shape == (1, 10)
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    with pytest.raises(ValueError, match="set_denormal_as_zero"):
        InferenceSession(proto.SerializeToString(), options)


def test_what_would_change_results_or_write_files_is_refused(proto: onnx.ModelProto) -> None:
    data = proto.SerializeToString()
    options = SessionOptions()
    options.enable_profiling = True
    with pytest.raises(ValueError, match="summary"):
        InferenceSession(data, options)
    options = SessionOptions()
    options.optimized_model_filepath = "x.onnx"
    with pytest.raises(ValueError, match="save"):
        InferenceSession(data, options)
    with pytest.raises(TypeError, match="sess_options"):
        InferenceSession(data, 4)
    with pytest.raises(ValueError, match="CPUExecutionProvider"):
        InferenceSession(data, providers=["CUDAExecutionProvider"])
    with pytest.raises(TypeError, match="providers"):
        InferenceSession(data, providers="CPUExecutionProvider")
    with pytest.raises(ValueError, match="provider_options"):
        InferenceSession(data, providers=["CPUExecutionProvider"], provider_options=[{}, {}])
    with pytest.raises(ValueError, match="threads"):
        InferenceSession(data, threads=0)


def test_the_names_that_callers_of_onnx_runtime_use(proto: onnx.ModelProto) -> None:
    ort = fastsep.onnx
    assert ort.get_available_providers() == ["CPUExecutionProvider"] and ort.get_device() == "CPU"
    for kind in ("GraphOptimizationLevel", "ExecutionMode"):
        theirs = {name: int(member) for name, member in getattr(onnxruntime, kind).__members__.items()}
        assert {name: int(member) for name, member in getattr(ort, kind).__members__.items()} == theirs
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    given = ort.InferenceSession(proto.SerializeToString(), options, ort.get_available_providers())
    assert given.run(None, {"x": X})[0].shape == (1, 10)


def test_session_options_are_those_of_onnx_runtime() -> None:
    theirs, ours = onnxruntime.SessionOptions(), SessionOptions()
    for name in (name for name in SessionOptions.__slots__ if not name.startswith("_")):
        assert getattr(ours, name) == getattr(theirs, name) or getattr(ours, name) == int(
            getattr(theirs, name)
        )
    options = {
        name for name in dir(theirs) if not name.startswith("_") and not callable(getattr(theirs, name))
    }
    assert options <= set(SessionOptions.__slots__)
    with pytest.raises(ValueError, match="register_custom_ops_library: operators are those"):
        ours.register_custom_ops_library("ops.so")
    with pytest.raises(ValueError, match="by_denotation: use add_free_dimension_override_by_name"):
        ours.add_free_dimension_override_by_denotation("DATA_BATCH", 1)
    with pytest.raises(AttributeError, match="intra_op_threads"):
        ours.intra_op_threads = 4  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="no option 'optimise'"):
        _ = ours.optimise


def test_a_size_that_is_left_open_may_be_fixed() -> None:
    data = small_network("n", "s").SerializeToString()
    shapes = []
    for runtime in (onnxruntime, fastsep.onnx):
        options = runtime.SessionOptions()
        for name, size in (("n", 1), ("s", 32)):
            options.add_free_dimension_override_by_name(name, size)
        session = runtime.InferenceSession(data, options, providers=[])
        shapes.append(session.get_inputs()[0].shape)
        assert session.run(None, {"x": X})[0].shape == (1, 10)
        with pytest.raises(Exception, match=r"[xX]"):
            session.run(None, {"x": np.zeros((2, 3, 32, 32), np.float32)})
    assert shapes == [[1, 3, 32, 32]] * 2
    options = SessionOptions()
    options.add_free_dimension_override_by_name("batch", 1)
    with pytest.raises(
        ValueError, match=r"add_free_dimension_override_by_name\('batch', 1\).*\['n', 's'\]"
    ) as caught:
        InferenceSession(data, options)
    # The model is right.
    assert not isinstance(caught.value, ModelError)
    for wrong in (-1, 1.5, "1"):
        with pytest.raises(ValueError, match="size must be"):
            options.add_free_dimension_override_by_name("n", wrong)  # type: ignore[arg-type]


def test_what_a_session_says_of_itself_is_what_onnx_runtime_says(tmp_path: Any) -> None:
    proto = small_network()
    proto.producer_name, proto.domain, proto.doc_string, proto.model_version = "by hand", "org", "text", 7
    proto.graph.doc_string = "a graph"
    helper.set_model_props(proto, {"classes": "ten", "größe": "32"})
    data = proto.SerializeToString()
    theirs = onnxruntime.InferenceSession(data)
    ours = InferenceSession(data)
    ours.save(tmp_path / "net.fastsep")
    changed: Any = ours.get_modelmeta().custom_metadata_map
    changed["classes"] = "eleven"
    for session in (ours, fastsep.load(tmp_path / "net.fastsep"), pickle.loads(pickle.dumps(ours))):
        wanted, got = theirs.get_modelmeta(), session.get_modelmeta()
        for name in (name for name in dir(wanted) if not name.startswith("_")):
            assert getattr(got, name) == getattr(wanted, name)
        assert session.get_provider_options() == theirs.get_provider_options()
        assert session.end_profiling() == theirs.end_profiling() == ""
        assert session.get_session_options().intra_op_num_threads == 0
    options = onnxruntime.SessionOptions()
    assert InferenceSession(data, options).get_session_options() is options
    assert InferenceSession(data, threads=2).get_session_options().intra_op_num_threads == 2


def test_run_options_are_those_of_onnx_runtime(session: InferenceSession) -> None:
    theirs, ours = onnxruntime.RunOptions(), fastsep.onnx.RunOptions()
    for name in (name for name in dir(theirs) if not name.startswith("_")):
        if callable(getattr(theirs, name)):
            assert callable(getattr(ours, name))
        else:
            assert getattr(ours, name) == getattr(theirs, name)
    ours.add_run_config_entry("key", "value")
    assert ours.get_run_config_entry("key") == "value"
    with pytest.raises(RuntimeError, match="'other'"):
        ours.get_run_config_entry("other")
    with pytest.raises(ValueError, match="add_active_adapter"):
        ours.add_active_adapter(None)
    assert session.run(None, {"x": X}, ours)[0].shape == (1, 10)
    for options in (theirs, ours):
        options.terminate = True
        with pytest.raises(RuntimeError, match="terminate"):
            session.run(None, {"x": X}, options)


@pytest.mark.parametrize("start", [5, -1, 100, 2**63 - 1, -(2**63), 2])
@pytest.mark.parametrize("step", [-1, -2, 1, 2])
@pytest.mark.parametrize("held", [True, False])
def test_slices_end_where_onnx_runtimes_do(start: int, step: int, held: bool) -> None:
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    for end in (2**63 - 1, 2**31 - 1, 2**31, -(2**63), -(2**31), 0, -1, -7, 3, 100):
        weights = {"start": [start], "end": [end], "axis": [1], "step": [step]}
        constants = {name: np.array(value) for name, value in weights.items()}
        nodes = [helper.make_node("Slice", ["x", *constants], ["s"]), helper.make_node("Relu", ["s"], ["y"])]
        proto = model(nodes, {"x": [2, 6] if held else ["a", "b"]}, {"y": None}, constants)
        (wanted,) = expected(proto, {"x": x})
        (got,) = InferenceSession(proto.SerializeToString()).run(None, {"x": x})
        assert got.shape == wanted.shape and np.array_equal(got, wanted), end


def test_a_run_that_does_not_wait(session: InferenceSession) -> None:
    (wanted,) = session.run(None, {"x": X})
    said: list[Any] = []
    done = threading.Event()

    def callback(*arguments: Any) -> None:
        said.append(arguments)
        done.set()

    session.run_async(None, {"x": X}, callback, "mine")
    assert done.wait(60)
    (results, user_data, error) = said.pop()
    assert np.array_equal(results[0], wanted) and (user_data, error) == ("mine", "")
    # The dictionary is the caller's again as soon as the call returns.
    done.clear()
    feeds = {"x": X}
    session.run_async(["logits"], feeds, callback, None)
    feeds.clear()
    assert done.wait(60)
    assert said.pop()[2] == ""
    # What only a run finds out, the callback is told.
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    adds = InferenceSession(model(nodes, {"a": ["n"], "b": ["m"]}, {"y": ["k"]}, {}))
    done.clear()
    adds.run_async(None, {"a": np.ones(2, np.float32), "b": np.ones(3, np.float32)}, callback, "his")
    assert done.wait(60)
    assert said[0][:2] == ([], "his") and "Add" in said[0][2]


def test_what_is_wrong_with_a_call_that_does_not_wait_is_said_at_once(session: InferenceSession) -> None:
    def callback(*arguments: Any) -> None:
        raise AssertionError("nothing was begun")

    given: Any = 5
    with pytest.raises(TypeError, match="callback"):
        session.run_async(None, {"x": X}, given, None)
    with pytest.raises(ValueError, match="4 axes"):
        session.run_async(None, {"x": X[0]}, callback, None)
    with pytest.raises(ValueError, match="'nothing'"):
        session.run_async(["nothing"], {"x": X}, callback, None)
    with pytest.raises(TypeError, match="run_options must be a RunOptions"):
        session.run_async(None, {"x": X}, callback, None, given)


def test_no_more_runs_that_do_not_wait_are_under_way_than_there_are_cpus(
    proto: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = _threads.resolve(-1)
    lock, go = threading.Lock(), threading.Event()
    all_in, all_done = threading.Event(), threading.Event()
    under_way: list[int] = [0]
    seen: list[int] = []
    errors: list[str] = []

    class Watched(Execution):
        def run(self, feeds: Mapping[str, Any], results: Mapping[str, Any]) -> None:
            with lock:
                under_way[0] += 1
                seen.append(under_way[0])
                if under_way[0] == most:
                    all_in.set()
            assert go.wait(60)
            super().run(feeds, results)
            with lock:
                under_way[0] -= 1

    def callback(results: list[Any], user_data: Any, error: str) -> None:
        errors.append(error)
        if len(errors) == 3 * most:
            all_done.set()

    monkeypatch.setattr("fastsep.onnx._session.Execution", Watched)
    session = InferenceSession(proto, threads=1)
    for _ in range(3 * most):
        session.run_async(None, {"x": X}, callback, None)
    assert all_in.wait(60)
    go.set()
    assert all_done.wait(60)
    assert errors == [""] * 3 * most
    assert len(seen) == 3 * most and max(seen) == most


def test_arguments_of_a_wrong_type_are_named(proto: onnx.ModelProto, session: InferenceSession) -> None:
    data = proto.SerializeToString()
    given: Any = 5
    with pytest.raises(TypeError, match=r"run_options must be a RunOptions.*int"):
        session.run(None, {"x": X}, given)
    with pytest.raises(TypeError, match="output_names must be a list of names or None; got 5"):
        session.run(given, {"x": X})
    with pytest.raises(TypeError, match="provider_options must be a list of dicts; got 5"):
        InferenceSession(data, providers=["CPUExecutionProvider"], provider_options=given)
    for names in ([], None):
        with pytest.raises(ValueError, match="provider_options needs providers"):
            InferenceSession(data, providers=names, provider_options=[{}])
    for wrong in ("", 5, "CPUExecutionProvider"):
        with pytest.raises(TypeError, match="providers must be a list of names"):
            InferenceSession(data, providers=wrong)  # type: ignore[arg-type]
    InferenceSession(data, providers=[], disabled_optimizers=["ConstantFolding"], enable_fallback=False)


def test_wrong_inputs_are_named(session: InferenceSession) -> None:
    with pytest.raises(ValueError, match="lacks 'x'"):
        session.run(None, {})
    with pytest.raises(ValueError, match="'y'"):
        session.run(None, {"x": X, "y": X})
    with pytest.raises(TypeError, match="float64"):
        session.run(None, {"x": X.astype(np.float64)})
    with pytest.raises(TypeError, match="list"):
        session.run(None, {"x": X.tolist()})
    with pytest.raises(TypeError, match="MaskedArray"):
        session.run(None, {"x": np.ma.masked_array(X)})
    with pytest.raises(ValueError, match="4 axes"):
        session.run(None, {"x": X[0]})
    with pytest.raises(ValueError, match="31 on axis 3"):
        session.run(None, {"x": X[..., 1:]})
    with pytest.raises(ValueError, match="'nothing'"):
        session.run(["nothing"], {"x": X})
    with pytest.raises(TypeError, match="output_names"):
        session.run("logits", {"x": X})
    with pytest.raises(ValueError, match="'nothing'"):
        session.run((name for name in ("logits", "nothing")), {"x": X})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="input_feed"):
        session.run(None, X)


def test_output_names_may_come_one_by_one(session: InferenceSession) -> None:
    (wanted,) = session.run(None, {"x": X})
    names: Any = (name for name in ("logits", "logits"))
    found = session.run(names, {"x": X})
    assert len(found) == 2 and all(np.array_equal(each, wanted) for each in found)


def test_out_receives_the_outputs(session: InferenceSession) -> None:
    (wanted,) = session.run(None, {"x": X})
    out = np.full((1, 10), np.nan, np.float32)
    (got,) = session.run(None, {"x": X}, out=[out])
    assert got is out and np.array_equal(out, wanted)
    strided = np.zeros((1, 20), np.float32)[:, ::2]
    session.run(None, {"x": X}, out=[strided])
    assert np.array_equal(strided, wanted)
    with pytest.raises(ValueError, match="shape"):
        session.run(None, {"x": X}, out=[np.zeros((1, 9), np.float32)])
    with pytest.raises(ValueError, match="float64"):
        session.run(None, {"x": X}, out=[np.zeros((1, 10))])
    with pytest.raises(ValueError, match="list of 1"):
        session.run(None, {"x": X}, out=[None, None])
    frozen = np.zeros((1, 10), np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        session.run(None, {"x": X}, out=[frozen])
    with pytest.raises(TypeError, match="MaskedArray"):
        session.run(None, {"x": X}, out=[np.ma.zeros((1, 10), np.float32)])
    with pytest.raises(ValueError, match=">f4"):
        session.run(None, {"x": X}, out=[np.zeros((1, 10), ">f4")])


class Subclass(np.ndarray[Any, Any]):
    """An array that somebody else's library makes."""


def test_subclasses_are_taken_for_the_arrays_they_are(session: InferenceSession, tmp_path: Any) -> None:
    (wanted,) = session.run(None, {"x": X})
    mapped = np.memmap(tmp_path / "x.bin", np.float32, "w+", shape=X.shape)
    mapped[:] = X
    for x in (mapped, X.view(np.recarray), X.view(Subclass)):
        assert np.array_equal(session.run(None, {"x": x})[0], wanted)
        (first, second) = session.run(["logits", "logits"], {"x": x})
        assert type(first) is type(second) is np.ndarray
    outs = [
        np.memmap(tmp_path / "out.bin", np.float32, "w+", shape=(1, 10)),
        np.empty((1, 10), np.float32).view(np.recarray),
        np.empty((1, 10), np.float32).view(Subclass),
    ]
    for out in outs:
        (got,) = session.run(None, {"x": mapped}, out=[out])
        assert got is out and np.array_equal(np.asarray(out), wanted)
        with pytest.raises(ValueError, match="out for 'logits' must not share memory with out for"):
            session.run(["logits", "logits"], {"x": X}, out=[out, out])
    assert np.array_equal(np.fromfile(tmp_path / "out.bin", np.float32), wanted[0])
    frozen = np.memmap(tmp_path / "out.bin", np.float32, "r", shape=(1, 10))
    with pytest.raises(ValueError, match="out for 'logits' is read-only"):
        session.run(None, {"x": X}, out=[frozen])


def test_out_shares_no_memory_with_itself_another_or_an_input() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Neg", ["x"], ["b"])]
    session = InferenceSession(
        model(nodes, {"x": [2, 3]}, {"a": [2, 3], "b": [2, 3]}, {}).SerializeToString()
    )
    memory = RNG.standard_normal(32).astype(np.float32)
    before = memory.copy()
    x = memory[:6].reshape(2, 3)
    free = np.empty((2, 3), np.float32)

    def seen(offset: int, *strides: int) -> np.ndarray[Any, Any]:
        return as_strided(memory[offset:], (2, 3), [4 * stride for stride in strides])

    for overlapping in (seen(8, 0, 1), seen(8, 3, 0), seen(8, 2, 1), seen(10, -1, 1), seen(8, 0, 0)):
        with pytest.raises(ValueError, match=r"out for 'b' must not overlap itself.*strides"):
            session.run(None, {"x": x}, out=[free, overlapping])
    for beside in (seen(5, 3, 1), seen(0, 3, 1), seen(2, 9, 3)):
        with pytest.raises(ValueError, match="out for 'a' must not share memory with input 'x'"):
            session.run(None, {"x": x}, out=[beside, None])
    with pytest.raises(ValueError, match="out for 'b' must not share memory with out for 'a'"):
        session.run(None, {"x": x}, out=[seen(8, 3, 1), seen(13, 3, 1)])
    with pytest.raises(ValueError, match="out for 'a' must not share memory with out for 'a'"):
        session.run(["a", "a"], {"x": x}, out=[free, free])
    assert np.array_equal(memory, before)
    # Axes that interleave, in the gaps of the other and of the input, are no overlap.
    first, second = seen(8, 3, 2), seen(20, 6, 2)
    session.run(None, {"x": x}, out=[first, second])
    assert np.array_equal(first, np.maximum(x, 0)) and np.array_equal(second, -x)
    third = memory[21:][::2][:6].reshape(2, 3)
    session.run(None, {"x": x}, out=[third, second])
    assert np.array_equal(third, np.maximum(x, 0)) and np.array_equal(second, -x)


def test_an_output_may_be_asked_for_twice(session: InferenceSession) -> None:
    (wanted,) = session.run(None, {"x": X})
    out = np.full((1, 10), np.nan, np.float32)
    first, second = session.run(["logits", "logits"], {"x": X}, out=[out, None])
    assert first is out and not np.shares_memory(first, second)
    assert np.array_equal(first, wanted) and np.array_equal(second, wanted)


def test_inputs_of_any_layout_give_the_same_bits_and_stay(session: InferenceSession) -> None:
    (wanted,) = session.run(None, {"x": X})
    channels_last = np.ascontiguousarray(X.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for x in (channels_last, np.asfortranarray(X), X[:, :, ::-1].copy()[:, :, ::-1], X.astype(">f4")):
        before = x.copy()
        assert np.array_equal(session.run(None, {"x": x})[0], wanted)
        assert np.array_equal(x, before)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    "op", ["ReduceMean", "ReduceSum", "ReduceL2", "ReduceLogSumExp", "Softmax", "LogSoftmax", "GlobalLpPool"]
)
def test_what_numpy_sums_has_the_same_bits_for_any_layout(op: str, turned: bool) -> None:
    x = RNG.standard_normal((2, 7, 9, 33)).astype(np.float32)
    nodes = [helper.make_node(op, ["t" if turned else "x"], ["y"])]
    if turned:
        nodes.insert(0, helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]))
    session = InferenceSession(model(nodes, {"x": x.shape}, {"y": None}, {}).SerializeToString())
    (wanted,) = session.run(None, {"x": x})
    channels_last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    shifted = np.empty(x.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(x.shape)
    shifted[...] = x
    for other in (channels_last, np.asfortranarray(x), x[:, :, ::-1].copy()[:, :, ::-1], shifted):
        assert np.array_equal(session.run(None, {"x": other})[0], wanted)
        out = np.empty(wanted.shape[::-1], np.float32).T
        session.run(None, {"x": other}, out=[out])
        assert np.array_equal(out, wanted)


def test_the_bits_do_not_depend_on_threads_nor_on_the_batch() -> None:
    network = small_network("n", "s").SerializeToString()
    batch = RNG.standard_normal((5, 3, 33, 33)).astype(np.float32)
    (wanted,) = InferenceSession(network, threads=1).run(None, {"x": batch})
    for threads in (2, 3, 7):
        assert np.array_equal(InferenceSession(network, threads=threads).run(None, {"x": batch})[0], wanted)
    session = InferenceSession(network, threads=2)
    for index in range(5):
        assert np.array_equal(session.run(None, {"x": batch[index : index + 1]})[0][0], wanted[index])


def test_open_sizes_are_planned_as_they_come() -> None:
    network = small_network("n", "s")
    session = InferenceSession(network.SerializeToString())
    assert session.get_inputs()[0].shape == ["n", 3, "s", "s"]
    for turn in range(2):
        for batch in range(1, 12):
            size = 16 + batch + turn
            x = RNG.standard_normal((batch, 3, size, size)).astype(np.float32)
            assert_close(session.run(None, {"x": x})[0], expected(network, {"x": x})[0])
    assert len(session._runs) <= 8
    with pytest.raises(ValueError, match="size 's'"):
        session.run(None, {"x": X[:, :, :20]})


def test_several_threads_call_one_session(session: InferenceSession) -> None:
    images = RNG.standard_normal((16, 1, 3, 32, 32)).astype(np.float32)
    wanted = [session.run(None, {"x": image})[0] for image in images]
    wrong: list[int] = []

    def work(first: int) -> None:
        for turn in range(40):
            index = (first + turn) % len(images)
            if not np.array_equal(session.run(None, {"x": images[index]})[0], wanted[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_pickled_session_gives_the_same_bits(session: InferenceSession) -> None:
    again = pickle.loads(pickle.dumps(session))
    assert np.array_equal(again.run(None, {"x": X})[0], session.run(None, {"x": X})[0])
    assert again.get_inputs() == session.get_inputs()


def test_outputs_in_the_middle_and_outputs_that_are_inputs_or_constants() -> None:
    weights = {"w": weight(0, 8, 3, 3, 3), "c": weight(1, 4)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Transpose", ["b"], ["t"], perm=[0, 2, 3, 1]),
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Identity", ["c"], ["constant"]),
        helper.make_node("Reshape", ["b", "shape"], ["flat"]),
    ]
    weights["shape"] = np.array([1, -1])
    image = [1, 8, 32, 32]
    shapes = {
        "a": image,
        "b": image,
        "t": [1, 32, 32, 8],
        "same": [1, 3, 32, 32],
        "constant": [4],
        "flat": [1, 8192],
    }
    proto = model(nodes, {"x": [1, 3, 32, 32]}, shapes, weights)
    session = InferenceSession(proto.SerializeToString())
    wanted = expected(proto, {"x": X})
    for got, right in zip(session.run(None, {"x": X}), wanted, strict=True):
        assert_close(got, right)
        assert not np.shares_memory(got, X) and got.flags.writeable
    first = session.run(["flat", "same"], {"x": X})
    session.run(None, {"x": -X})
    assert_close(first[0], wanted[5])
    assert np.array_equal(first[1], X)


def test_an_input_may_say_a_shape() -> None:
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        "reshape",
        [
            helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [4, 6]),
            helper.make_tensor_value_info("shape", onnx.TensorProto.INT64, [2]),
        ],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["a", "b"])],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = InferenceSession(proto.SerializeToString())
    x = RNG.standard_normal((4, 6)).astype(np.float32)
    for shape in ([3, 8], [2, -1], [3, 8]):
        (got,) = session.run(None, {"x": x, "shape": np.array(shape)})
        assert np.array_equal(got, x.reshape(shape))
    with pytest.raises(ValueError, match="Reshape"):
        session.run(None, {"x": x, "shape": np.array([5, 5])})


def test_what_is_kept_of_shapes_is_bounded() -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    proto = model(nodes, {"x": ["n"]}, {"y": None}, {})
    proto.graph.input.append(helper.make_tensor_value_info("shape", onnx.TensorProto.INT64, [2]))
    session = InferenceSession(proto)
    for _ in range(2):
        for n in range(1, 30):
            x = np.arange(n, dtype=np.float32)
            (y,) = session.run(None, {"x": x, "shape": np.array([n, 1])})
            np.testing.assert_array_equal(y, x.reshape(n, 1))
    kept = [getattr(session, name) for name in ("_runs", "_sized", "_plans")]
    assert max(map(len, kept)) <= 8


def test_what_is_kept_of_shapes_is_what_was_used_last() -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    proto = model(nodes, {"x": ["n"]}, {"y": None}, {})
    proto.graph.input.append(helper.make_tensor_value_info("shape", onnx.TensorProto.INT64, [2]))
    session = InferenceSession(proto)
    for n in range(2, 20):
        for size in (n, 1):
            session.run(None, {"x": np.ones(size, np.float32), "shape": np.array([size, 1])})
    kept = [dict(key)["x"] for key in session._sized]
    assert kept == [(size,) for size in (13, 14, 15, 16, 17, 18, 19, 1)]
    assert kept == [dict(full[0])["x"] for full in session._runs]


def test_a_session_keeps_nothing_of_its_callers(proto: onnx.ModelProto) -> None:
    weights = {"w": weight(0, 8, 3, 3, 3)}
    # Compiled steps and NumPy's, that read and write the caller's arrays, also by views.
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Softmax", ["b"], ["soft"], axis=1),
    ]
    mixed = model(nodes, {"x": [1, 9, 9, 3]}, {"b": None, "soft": None}, weights)
    for network, shape in ((proto, (1, 3, 32, 32)), (mixed, (1, 9, 9, 3))):
        session = InferenceSession(network)
        for _ in range(2):
            x = np.ones(shape, np.float32)
            results = session.run(None, {"x": x})
            session.run(None, {"x": x}, out=results)
            arrays = [weakref.ref(each) for each in (x, *results)]
            del x, results
            assert [each() for each in arrays] == [None] * len(arrays)


def test_planning_holds_up_nobody_whose_shape_is_planned() -> None:
    session = InferenceSession(small_network("n", "s"), threads=1)
    session.run(None, {"x": X})
    begun, may_end = threading.Event(), threading.Event()
    plan = session._planned

    def slowly(*arguments: Any) -> Any:
        begun.set()
        assert may_end.wait(60)
        return plan(*arguments)

    session._planned = slowly  # type: ignore[method-assign]
    twice = [np.concatenate([X, X])] * 2
    made: list[Any] = []
    planners = [
        threading.Thread(target=lambda: made.append(session.run(None, {"x": twice[0]})[0]), daemon=True)
        for _ in range(2)
    ]
    for each in planners:
        each.start()
    assert begun.wait(60)
    others = threading.Thread(target=lambda: made.append(session.run(None, {"x": X})[0]), daemon=True)
    others.start()
    others.join(60)
    assert not others.is_alive() and len(made) == 1
    may_end.set()
    for each in planners:
        each.join(60)
    assert len(made) == 3 and len(session._runs) == 2
    assert np.array_equal(made[1], made[2]) and np.array_equal(made[1][:1], made[0])


@pytest.fixture
def no_forced_switches() -> Any:
    """Python changes threads only where one lets go of the GIL by itself."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(before)


def most_at_once(call: Callable[[], object]) -> int:
    """How many of two threads were ever in the middle of a call."""
    under_way = most = 0

    def work() -> None:
        nonlocal under_way, most
        for _ in range(300):
            under_way += 1
            most = max(most, under_way)
            call()
            under_way -= 1
            if most > 1:
                return

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return most


def test_runs_overlap_without_the_gil(no_forced_switches: None) -> None:
    session = InferenceSession(small_network("n", "s"), threads=1)
    x = RNG.standard_normal((4, 3, 128, 128)).astype(np.float32)
    session.run(None, {"x": x})
    assert most_at_once(lambda: sum(range(1000))) == 1
    assert most_at_once(lambda: session.run(None, {"x": x})) == 2
    # Each had memory of its own at that time.
    (runs,) = session._runs.values()
    assert len(runs._idle) == 2


def test_pythons_collector_is_as_it_was_before(proto: onnx.ModelProto) -> None:
    assert gc.isenabled()
    InferenceSession(proto)
    with pytest.raises(ModelError):
        InferenceSession(b"no model")
    assert gc.isenabled()
    gc.disable()
    try:
        InferenceSession(proto)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_model_whose_shapes_do_not_fit_is_refused_at_load() -> None:
    proto = model(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        {"x": [1, 4, 8, 8]},
        {"y": [1, 8, 6, 6]},
        {"w": weight(0, 8, 3, 3, 3)},
    )
    with pytest.raises(ValueError, match="Conv"):
        InferenceSession(proto.SerializeToString())


def test_summary_accounts_for_every_node(proto: onnx.ModelProto, session: InferenceSession) -> None:
    summary = session.summary()
    assert [step.op for step in summary.steps] == [
        "Conv", "InvertedResidual", "Separable", "GlobalPool", "Dense",
    ]  # fmt: skip
    stands_for = {name for step in summary.steps for name in step.stands_for}
    assert stands_for == {node.name for node in proto.graph.node}
    assert all(step.seconds > 0 and step.roofline_seconds > 0 for step in summary.steps)
    assert summary.arena_bytes > 0 and summary.weight_bytes > 0
    text = str(summary)
    assert "InvertedResidual" in text and "arena" in text
    assert summary.to_dict()["steps"][0]["op"] == "Conv"


def test_summary_says_of_each_node_what_became_of_it(tmp_path: Any) -> None:
    def node(op: str, name: str, *inputs: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(op, inputs, [f"{name}.y"], name=name, **attributes)

    nodes = [
        node("Identity", "same", "x"),
        node("Conv", "conv", "same.y", "k", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", "relu", "conv.y"),
        node("Abs", "dead", "conv.y"),
        node("Transpose", "there", "relu.y", perm=[0, 2, 3, 1]),
        node("Transpose", "back", "there.y", perm=[0, 3, 1, 2]),
        node("Constant", "one", value_floats=[1.0]),
        node("Neg", "minus", "one.y"),
        node("Exp", "exp", "back.y"),
        node("Add", "added", "exp.y", "minus.y"),
        node("Shape", "shape", "x"),
        node("Gather", "batch", "shape.y", "zero"),
        node("Concat", "wanted", "batch.y", "rest", axis=0),
        node("Reshape", "flat", "added.y", "wanted.y"),
        helper.make_node("Softmax", ["flat.y"], ["y"]),
    ]
    weights = {"k": weight(0, 4, 3, 3, 3), "zero": np.array([0]), "rest": np.array([-1])}
    proto = model(nodes, {"x": ["n", 3, 8, 8]}, {"y": ["n", None]}, weights)  # type: ignore[list-item]
    session = InferenceSession(proto.SerializeToString())
    session.save(tmp_path / "net.fastsep")
    for each in (session, fastsep.load(tmp_path / "net.fastsep"), pickle.loads(pickle.dumps(session))):
        summary = each.summary({"x": (2, 3, 8, 8)})
        assert list(summary.nodes) == [each.name or "y" for each in nodes]
        found = dict(summary.nodes)
        assert found["same"] == "left out: it changes nothing"
        assert found["conv"] == found["relu"] == "step 1, Conv"
        assert found["dead"] == "left out: no output needs it"
        assert found["there"] == found["back"] == "left out: it undoes another, or is part of one"
        assert found["one"] == found["minus"] == "folded into a constant"
        for name in ("shape", "batch", "wanted"):
            assert found[name] == "known before the run, from shapes or values"
        assert found["flat"] == "a view of its input" or found["flat"].startswith("step ")
        for index, step in enumerate(summary.steps, 1):
            assert all(found[name].startswith(f"step {index}, {step.op}") for name in step.stands_for)
        assert summary.to_dict()["nodes"] == found
        assert f"{len(nodes)} nodes: " in str(summary) and "folded into a constant: 2" in str(summary)
        lines = summary.account().splitlines()
        assert len(lines) == len(nodes) + 2 and lines[3].split() == ["conv", "step", "1,", "Conv"]


@pytest.mark.parametrize("opset", [11, 21])
def test_summary_leaves_no_node_out(opset: int) -> None:
    proto = every_kind(opset)
    nodes = InferenceSession(proto.SerializeToString()).summary({"x": (1, 3, 8, 8)}).nodes
    assert list(nodes) == [node.name or node.output[0] for node in proto.graph.node] and all(nodes.values())


def test_summary_tells_what_is_folded_or_changes_nothing_from_what_nobody_needs() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Shape", ["c"], ["s"], name="shape"),
        helper.make_node("Reshape", ["x", "s"], ["r"], name="same"),
        helper.make_node("Softmax", ["r"], ["y"], name="last"),
    ]
    weights = {"k": weight(0, 3, 3, 3, 3)}
    proto = model(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 3, 8, 8]}, weights)
    found = InferenceSession(proto.SerializeToString()).summary().nodes
    assert found["shape"] == "folded into a constant"
    assert found["conv"] == "left out: no output needs it"
    assert found["same"] == "left out: it changes nothing"
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], name="shape"),
        helper.make_node("Gather", ["s", "zero"], ["n"], name="batch"),
        helper.make_node("Concat", ["n", "rest"], ["wanted"], name="wanted", axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["r"], name="same"),
        helper.make_node("Softmax", ["r"], ["y"], name="last"),
    ]
    weights = {"zero": np.array([0]), "rest": np.array([3, 8])}
    proto = model(nodes, {"x": ["n", 3, 8]}, {"y": ["n", 3, 8]}, weights)
    found = InferenceSession(proto.SerializeToString()).summary({"x": (2, 3, 8)}).nodes
    assert found["same"] == "left out: it changes nothing"
    for name in ("shape", "batch", "wanted"):
        assert found[name] == "left out: no output needs it"


def test_summary_tells_constants_from_what_inputs_say() -> None:
    nodes = [
        helper.make_node("Neg", ["c"], ["fixed"], name="minus"),
        helper.make_node("Concat", ["sizes", "rest"], ["wanted"], name="wanted", axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["flat"], name="flat"),
        helper.make_node("Softmax", ["flat"], ["y"], name="last"),
    ]
    weights = {"c": np.ones(3, np.float32), "rest": np.array([-1])}
    proto = model(nodes, {"x": [2, 6]}, {"y": [None, None], "fixed": [3]}, weights)  # type: ignore[list-item]
    proto.graph.input.append(helper.make_tensor_value_info("sizes", onnx.TensorProto.INT64, [1]))
    found = InferenceSession(proto.SerializeToString()).summary().nodes
    assert found["minus"] == "folded into a constant"
    assert found["wanted"] == "known before the run, from shapes or values"
    assert found["flat"] == "a view of its input" and found["last"].startswith("step ")


def test_summary_names_a_few_of_many_steps() -> None:
    names = [f"value{index}" for index in range(12)]
    nodes = tuple(
        Node("Exp", (before,), (after,), origin=("shared", f"of {after}"))
        for before, after in zip(["x", *names], [*names, "y"], strict=True)
    )
    ports = [Port(name, np.dtype(np.float32), (4,)) for name in "xy"]
    found = InferenceSession._of(Graph(nodes, (ports[0],), (ports[1],), {}), 1).summary().nodes
    assert found["of y"] == "step 13, Exp"
    assert found["shared"] == "step 1, Exp and step 2, Exp and step 3, Exp and step 4, Exp and 9 more"


def test_a_summary_without_nodes_is_made_as_it_was_before_there_were_any() -> None:
    summary = Summary((), 1, 0.5, 2, 3, 4, 5)
    assert (summary.views, summary.seconds, summary.threads, summary.nodes) == (1, 0.5, 5, {})


def test_nodes_that_share_a_name_are_told_apart_by_their_outputs(tmp_path: Any) -> None:
    nodes = [
        helper.make_node("Exp", ["x"], ["a"], name="same"),
        helper.make_node("Constant", [], ["c"], name="same", value_floats=[2.0]),
        helper.make_node("Softmax", ["a"], ["d"], name="same (a)"),
        # Without a name, it goes by what another is called.
        helper.make_node("Add", ["d", "c"], ["same"]),
        helper.make_node("Softmax", ["same"], ["y"], name="last"),
    ]
    session = InferenceSession(model(nodes, {"x": [1, 4]}, {"y": [1, 4]}, {}).SerializeToString())
    session.save(tmp_path / "net.fastsep")
    for each in (session, fastsep.load(tmp_path / "net.fastsep")):
        summary = each.summary()
        assert list(summary.nodes) == ["same (a)'", "same (c)", "same (a)", "same (same)", "last"]
        assert summary.nodes["same (c)"] == "folded into a constant"
        by_step = {name for step in summary.steps for name in step.stands_for}
        assert by_step == set(summary.nodes) - {"same (c)"}


def test_summary_needs_the_sizes_that_the_model_leaves_open() -> None:
    session = InferenceSession(small_network("n", 32).SerializeToString())
    with pytest.raises(ValueError, match="shapes must hold input 'x'"):
        session.summary()
    assert session.summary({"x": (2, 3, 32, 32)}).steps[0].shape == (2, 16, 16, 16)
    wrong: Any
    for wrong in ([(1, 3, 32, 32)], "x", 5):
        with pytest.raises(TypeError, match="shapes must be a dict of shapes by input name"):
            session.summary(wrong)
    for wrong in ((1, 3, -8, 32), 5, "1332", (1, 3, 8.0, 32), (1, 3, "n", 32), None):
        with pytest.raises(ValueError, match=r"shapes\['x'\] must be a tuple of whole numbers"):
            session.summary({"x": wrong})
    with pytest.raises(ValueError, match="shapes holds 'image'; the model takes 'x'"):
        session.summary({"image": (1, 3, 32, 32)})
    with pytest.raises(ValueError, match="input 'x' must be of shape"):
        session.summary({"x": (1, 3, 32, 33)})
    with pytest.raises(ValueError, match="input 'x' would have shape"):
        session.summary({"x": (10**12, 3, 32, 32)})
    for sizes in ((1, 3, 32), (1,) * 70, (10**30, 10**30, 10**30)):
        with pytest.raises(ValueError, match="input 'x' must have 4 axes"):
            session.summary({"x": sizes})
    open_sizes = InferenceSession(small_network("n", "s"))
    with pytest.raises(ValueError, match="size 's' is 32 in input 'x' and 31 on axis 3 of 'x'"):
        open_sizes.summary({"x": (1, 3, 32, 31)})
    with pytest.raises(
        ValueError, match=r"input 'x' cannot have shape \(1000000000000000000000, 3, 0, 0\): "
    ):
        open_sizes.summary({"x": (10**21, 3, 0, 0)})


def test_the_arena_is_reused(session: InferenceSession) -> None:
    summary = session.summary()
    made = sum(4 * int(np.prod(step.shape)) for step in summary.steps)
    assert summary.arena_bytes < made


def test_a_missing_file_is_a_missing_file() -> None:
    with pytest.raises(FileNotFoundError):
        InferenceSession("no_such_model.onnx")


def test_save_and_load_give_the_same_bits(session: InferenceSession, tmp_path: Any) -> None:
    path = tmp_path / "net.fastsep"
    session.save(path)
    again = fastsep.load(path)
    assert np.array_equal(again.run(None, {"x": X})[0], session.run(None, {"x": X})[0])
    again.save(tmp_path / "again.fastsep")
    assert (tmp_path / "again.fastsep").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["", "halves"])
@pytest.mark.parametrize("op", [13, 18])
def test_a_split_may_do_without_its_first_output(name: str, op: int, tmp_path: Any) -> None:
    attributes = {"num_outputs": 2} if op == 18 else {}
    nodes = [
        helper.make_node("Split", ["x"], ["", "b"], name=name, axis=1, **attributes),
        helper.make_node("Relu", ["b"], ["y"], name="relu"),
    ]
    proto = model(nodes, {"x": [1, 4]}, {"y": [1, 2]}, {}, opset=op)
    x = np.arange(4, dtype=np.float32).reshape(1, 4)
    session = InferenceSession(proto.SerializeToString())
    session.save(tmp_path / "net.fastsep")
    for each in (session, fastsep.load(tmp_path / "net.fastsep")):
        assert np.array_equal(each.run(None, {"x": x})[0], x[:, 2:])
        assert list(each.summary().nodes) == [name or "b", "relu"]


def test_saving_over_the_file_that_is_in_use(session: InferenceSession, tmp_path: Any) -> None:
    path = tmp_path / "net.fastsep"
    session.save(path)
    loaded = fastsep.load(path)
    loaded.save(path)
    assert np.array_equal(loaded.run(None, {"x": X})[0], session.run(None, {"x": X})[0])


@pytest.mark.parametrize("batch", [1, "n"])
def test_a_saved_file_may_change_in_place_once_it_is_loaded(batch: int | str, tmp_path: Any) -> None:
    path = tmp_path / "net.fastsep"
    session = InferenceSession(small_network(batch).SerializeToString())
    (wanted,) = session.run(None, {"x": X})
    session.save(path)
    data = path.read_bytes()
    before, later = fastsep.load(path), fastsep.load(path)
    before.run(None, {"x": X})
    with path.open("r+b") as file:
        file.write(bytes(len(data)))
    for loaded in (before, later):
        assert np.array_equal(loaded.run(None, {"x": X})[0], wanted)
    path.write_bytes(data)
    last = fastsep.load(path)
    # What reads a page that is gone is killed by the system.
    os.truncate(path, 0)
    for loaded in (last, later):
        assert np.array_equal(loaded.run(None, {"x": X})[0], wanted)
        again = pickle.loads(pickle.dumps(loaded))
        assert np.array_equal(again.run(None, {"x": X})[0], wanted)
        loaded.save(tmp_path / "again.fastsep")
        assert (tmp_path / "again.fastsep").read_bytes() == data


def test_a_saved_file_may_be_read_by_whom_the_umask_says(
    session: InferenceSession, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0o027)
    try:
        # It is the whole process's: nobody else may see another one meanwhile.
        monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask was changed"))
        session.save(tmp_path / "net.fastsep")
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "net.fastsep").stat().st_mode) == 0o640


def test_damaged_files_are_refused(session: InferenceSession, tmp_path: Any) -> None:
    path = tmp_path / "net.fastsep"
    session.save(path)
    data = path.read_bytes()
    wrong = tmp_path / "wrong.fastsep"
    for damaged in (
        b"",
        data[:20],
        data[:200],
        data[:-1],
        data[:-1] + b"\x55",
        b"ONNX" + data[4:],
        data + b"1",
    ):
        wrong.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"wrong\.fastsep"):
            fastsep.load(wrong)
    rng = np.random.default_rng(1)
    for _ in range(100):
        flipped = bytearray(data)
        flipped[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        wrong.write_bytes(flipped)
        with pytest.raises(ModelError):
            fastsep.load(wrong)
    with pytest.raises(FileNotFoundError):
        fastsep.load(tmp_path / "nothing.fastsep")


def test_every_bit_before_the_header_counts(session: InferenceSession, tmp_path: Any) -> None:
    session.save(tmp_path / "net.fastsep")
    data = (tmp_path / "net.fastsep").read_bytes()
    for bit in range(8 * 56):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        (tmp_path / "net.fastsep").write_bytes(changed)
        with pytest.raises(ModelError, match=r"net\.fastsep"):
            fastsep.load(tmp_path / "net.fastsep")


def test_a_header_of_another_length_is_refused(session: InferenceSession, tmp_path: Any) -> None:
    session.save(tmp_path / "net.fastsep")
    data = (tmp_path / "net.fastsep").read_bytes()
    (length,) = np.frombuffer(data[16:24], "<u8")
    for other in (*range(int(length) - 64, int(length)), *range(int(length) + 1, int(length) + 65)):
        changed = data[:16] + np.array(other, "<u8").tobytes() + data[24:]
        (tmp_path / "net.fastsep").write_bytes(changed)
        with pytest.raises(ModelError, match=r"net\.fastsep"):
            fastsep.load(tmp_path / "net.fastsep")


def test_a_saved_network_is_not_taken_for_onnx(session: InferenceSession, tmp_path: Any) -> None:
    session.save(tmp_path / "net.fastsep")
    with pytest.raises(ValueError, match=r"fastsep\.load reads it"):
        InferenceSession(str(tmp_path / "net.fastsep"))


def test_no_unfinished_file_is_left(session: InferenceSession, tmp_path: Any) -> None:
    session.save(tmp_path / "net.fastsep")
    with pytest.raises(OSError, match="nowhere"):
        session.save(tmp_path / "nowhere" / "net.fastsep")
    assert [path.name for path in tmp_path.iterdir()] == ["net.fastsep"]
