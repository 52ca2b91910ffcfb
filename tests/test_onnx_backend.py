"""The ONNX package's own backend test-suite, against fastsep's backend class: every case runs in a session.

onnx_backend_cases.txt lists the cases that pass; it may only grow. Every other case must be refused at load.
"""

from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("onnx")

import numpy as np
import onnx.backend.test
from onnx_models import small_network

from fastsep.onnx import InferenceSession, ModelError, backend
from fastsep.onnx.backend import FastsepBackend

LIST = Path(__file__).parent / "onnx_backend_cases.txt"
LISTED = [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]


@cache
def cases():
    """Every case by name, as a unittest case; the real models would have to be downloaded."""
    suite = onnx.backend.test.BackendTest(FastsepBackend, __name__).test_cases
    return {
        name: case(name)
        for kind, case in suite.items()
        if kind != "OnnxBackendRealModelTest"
        for name in vars(case)
        if name.startswith("test_") and name.endswith("_cpu")
    }


def test_the_list_is_sorted_and_names_a_case_once():
    assert sorted(set(LISTED)) == LISTED
    assert len(LISTED) >= 1120


def test_the_backend_is_a_session_by_the_names_of_the_onnx_package():
    proto = small_network()
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    (wanted,) = InferenceSession(proto).run(None, {"x": x})
    prepared = backend.prepare(proto)
    assert isinstance(prepared._session, InferenceSession)
    for outputs in (prepared.run([x]), backend.run_model(proto, [x]), backend.run_model(proto, [x], "CPU:0")):
        assert np.array_equal(outputs.logits, wanted)
    assert backend.supports_device("CPU") and not backend.supports_device("CUDA")
    with pytest.raises(ValueError, match="'CUDA'"):
        backend.prepare(proto, "CUDA")
    with pytest.raises(ValueError, match="1 inputs; got 2"):
        prepared.run([x, x])


def test_a_node_alone_runs_as_of_any_opset():
    rows = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    node = onnx.helper.make_node("Softmax", ["x"], ["y"], axis=1)
    (new,) = backend.run_node(node, [rows])
    (old,) = backend.run_node(node, [rows], opset_version=11)
    np.testing.assert_allclose(new.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(old.sum(axis=(1, 2)), 1, rtol=1e-6)


@pytest.mark.parametrize("name", LISTED)
def test_listed_case_passes(name):
    assert name in cases(), f"{name} is not in onnx {onnx.__version__}"
    cases()[name].debug()


def test_other_cases_are_refused_at_load():
    unlisted, wrong = [], []
    for name, case in cases().items():
        if name in LISTED:
            continue
        try:
            case.debug()
        except ModelError:
            continue
        except Exception as error:
            wrong.append(f"{name}: {type(error).__name__}: {str(error)[:300]}")
        else:
            unlisted.append(name)
    assert not wrong, "cases that load and fail:\n" + "\n".join(wrong)
    assert not unlisted, f"cases that pass; add them to {LIST.name}:\n" + "\n".join(unlisted)
