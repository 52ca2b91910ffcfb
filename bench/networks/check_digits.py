"""A trained network gives the class that ONNX Runtime gives, for every test image. `make test-networks`."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import fastsep.onnx
from bench.measure import TOLERANCE
from bench.networks import digits


@pytest.fixture(scope="module")
def data() -> digits.Digits:
    return digits.digits()


@pytest.fixture(scope="module")
def exported(data: digits.Digits, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    start = time.perf_counter()
    network = digits.train(data)
    print(f"trained in {time.perf_counter() - start:.0f} s")
    assert digits.accuracy(network, data) >= 0.97
    return digits.export(network, tmp_path_factory.mktemp("digits"))


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
@pytest.mark.parametrize("batch", [1, 50])
def test_every_class_is_that_of_onnx_runtime(
    exported: dict[str, Path], data: digits.Digits, exporter: str, batch: int
) -> None:
    path = str(exported[exporter])
    ours = fastsep.onnx.InferenceSession(path)
    theirs = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    right = 0
    for first in range(0, len(data.test_images), batch):
        x = data.test_images[first : first + batch]
        (found,), (expected,) = ours.run(None, {"x": x}), theirs.run(None, {"x": x})
        assert found.shape == expected.shape == (len(x), digits.CLASSES)
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())
        assert np.array_equal(found.argmax(axis=1), expected.argmax(axis=1))
        right += int(np.count_nonzero(found.argmax(axis=1) == data.test_classes[first : first + batch]))
    assert right >= 0.97 * len(data.test_images)
