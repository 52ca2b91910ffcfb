"""What Keras 3 exports by PyTorch and TensorFlow runs as in ONNX Runtime. `make test-networks`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import fastsep.onnx
from bench.measure import TOLERANCE

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("keras_models.py")
PYTHONS = {"torch": Path(sys.executable), "tensorflow": ROOT / ".venv-convert" / "bin" / "python"}
NAMES = ("MobileNet", "MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "Xception")
SIZE = 96


@pytest.fixture(scope="module", params=PYTHONS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    backend = str(request.param)
    folder = tmp_path_factory.mktemp(backend)
    command = [str(PYTHONS[backend]), str(SCRIPT), str(folder), str(SIZE), *NAMES]
    done = subprocess.run(
        command, env={**os.environ, "KERAS_BACKEND": backend}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_keras(exported: Path, name: str) -> None:
    path = str(exported / f"{name}.onnx")
    ours = fastsep.onnx.InferenceSession(path)
    theirs = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    # The image, and what tf2onnx leaves of constants that it folded: unread, but every caller must pass it.
    given, *unread = theirs.get_inputs()
    assert [each.name for each in ours.get_inputs()] == [each.name for each in theirs.get_inputs()]
    others = {each.name: np.ones(each.shape, np.float32) for each in unread}
    random = np.random.default_rng(0)
    for batch in (1, 3) if isinstance(given.shape[0], str) else (given.shape[0],):
        x = random.uniform(0, 255, (batch, SIZE, SIZE, 3)).astype(np.float32)
        (found,), (expected,) = (each.run(None, {given.name: x, **others}) for each in (ours, theirs))
        assert found.shape == expected.shape == (batch, 1000)
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())
