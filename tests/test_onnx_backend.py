"""The ONNX package's own backend test-suite, against fastsep's backend class.

onnx_backend_cases.txt lists the cases that pass; it may only grow. Every other case must be refused at load.
"""

from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("onnx")

import onnx.backend.test

from fastsep.onnx._errors import ModelError
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
