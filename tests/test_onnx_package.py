"""What is loaded of the onnx package: two modules alone, which a later `import onnx` shares."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx_models import small_network
from programs import output_of

# In a process of its own: here onnx is imported long since.
BEGIN = """
    import sys
    from pathlib import Path
    import numpy as np
    import fastsep.onnx

    path = Path({path!r})
    x = np.ones((1, 3, 8, 8), np.float32)

    def run(model):
        return fastsep.onnx.InferenceSession(model, threads=1).run(None, {{"x": x}})[0]
"""
ALONE = """
    alone = run(path)
    assert "onnx" not in sys.modules
    assert not any(name in sys.modules for name in ("onnx.helper", "google.protobuf.json_format"))
    messages, compiled = sys.modules["onnx.onnx_ml_pb2"], sys.modules["onnx.onnx_cpp2py_export"]
    assert np.array_equal(run(path), alone)
"""
TOGETHER = """
    import onnx
    import onnx.shape_inference, onnx.version_converter

    assert onnx.onnx_ml_pb2.ModelProto is onnx.ModelProto
    assert onnx.onnx_cpp2py_export.checker is onnx.checker.C
    assert type(onnx.__spec__.loader).__name__ == type(onnx.__loader__).__name__ == "SourceFileLoader"
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    together = run(model)
    assert np.array_equal(run(path), together)
    del model.graph.node[0].input[:]
    try:
        run(model)
    except fastsep.onnx.ModelError as error:
        print(error)
    else:
        raise AssertionError("the checker refused nothing")
"""
SHARED = """
    assert onnx.onnx_ml_pb2 is messages and onnx.onnx_cpp2py_export is compiled
    assert np.array_equal(alone, together)
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    """The beginning of a program that runs a small network."""
    path = tmp_path / "small.onnx"
    onnx.save(small_network(1, 8), str(path))
    return BEGIN.format(path=str(path))


def test_a_session_loads_two_modules_which_a_later_import_shares(program: str) -> None:
    assert "is not valid" in output_of(program + ALONE + TOGETHER + SHARED)


def test_a_session_takes_the_package_that_is_imported(program: str) -> None:
    assert "is not valid" in output_of(program + TOGETHER)


def test_the_checker_is_the_package_s_own(program: str) -> None:
    said = output_of(
        program
        + """
    data = path.read_bytes()
    try:
        run(data.replace(b"kernel_shape", b"kernel_shapo"))
    except fastsep.onnx.ModelError as error:
        print(error)
    assert "onnx" not in sys.modules
"""
    )
    assert "Unrecognized attribute: kernel_shapo" in said


def test_without_the_package_the_extra_is_named(program: str) -> None:
    said = output_of(
        program
        + """
    sys.modules["onnx"] = None
    try:
        run(path)
    except ImportError as error:
        print(error)
"""
    )
    assert "pip install 'fastsep[onnx]'" in said


# Whose annotations `typing` compiles: it takes them for names of types that are defined later.
COMPILED = """
    import builtins, sys, typing

    compile, names = builtins.compile, set()

    def noted(source, *others, **options):
        frame = sys._getframe(1)
        if frame.f_globals["__name__"] == "typing":
            while frame.f_globals["__name__"] == "typing":
                frame = frame.f_back
            names.add(frame.f_globals["__name__"])
        return compile(source, *others, **options)

    builtins.compile = noted
"""


def test_no_annotations_are_compiled_to_load_a_network(program: str) -> None:
    said = output_of(
        COMPILED
        + program
        + """
    run(path)
    print(sorted(name for name in names if name.startswith("fastsep.")))

    # A module that does have texts for annotations is seen.
    other = type(sys)("fastsep.other")
    exec("from typing import NamedTuple\\nclass Pair(NamedTuple):\\n    first: 'int'", other.__dict__)
    print(sorted(name for name in names if name.startswith("fastsep.")))
"""
    )
    assert said.splitlines() == ["[]", "['fastsep.other']"]
