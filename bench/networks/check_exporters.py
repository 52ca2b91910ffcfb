"""What PyTorch's two exporters write runs as in PyTorch and in ONNX Runtime. `make test-networks`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch

import fastsep.onnx
from bench.measure import TOLERANCE
from bench.networks.torch_models import MODELS, with_statistics

SIZE = 64
# Of the TorchScript exporter; the other writes its newest.
OPSETS = (11, 13, 17)


def images(count: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (count, 3, size, size)).astype(np.float32)


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


def compare_with_torch(path: Path, model: torch.nn.Module, *xs: np.ndarray) -> None:
    session = fastsep.onnx.InferenceSession(str(path))
    for x in xs:
        with torch.no_grad():
            expected = model(torch.from_numpy(x)).numpy()
        (found,) = session.run(None, {"x": x})
        assert_close(found, expected)


def compare_with_onnx_runtime(path: Path, *xs: np.ndarray) -> None:
    ours = fastsep.onnx.InferenceSession(str(path))
    theirs = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [(each.name, each.type) for each in ours.get_inputs()] == [
        (each.name, each.type) for each in theirs.get_inputs()
    ]
    for x in xs:
        feeds = {theirs.get_inputs()[0].name: x}
        found, expected = ours.run(None, feeds), theirs.run(None, feeds)
        assert len(found) == len(expected)
        for y, z in zip(found, expected, strict=True):
            assert_close(y, z)


def export(folder: Path, name: str, **options: Any) -> tuple[Path, torch.nn.Module]:
    """Write a network by one of the exporters; return where, and the network."""
    path = folder / "network.onnx"
    model = with_statistics(MODELS[name](), SIZE).eval()
    torch.onnx.export(
        model,
        (torch.from_numpy(images(2)),),
        str(path),
        input_names=["x"],
        output_names=["y"],
        **options,
    )
    return path, model


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", MODELS)
def test_torchscript(tmp_path: Path, name: str, opset: int) -> None:
    axes = {0: "batch", 2: "height", 3: "width"}
    # The shuffle's view knows its sizes as numbers if they are fixed, and computes them if not.
    path, model = export(
        tmp_path, name, dynamic_axes={"x": axes, "y": {0: "batch"}}, opset_version=opset, dynamo=False
    )
    xs = images(1), images(3), images(2, 96)
    compare_with_torch(path, model, *xs)
    # The dilated convolution of this one is exported with SAME_UPPER, which ONNX Runtime refuses.
    if name != "convnext_like":
        compare_with_onnx_runtime(path, *xs)


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_dynamo(tmp_path: Path, name: str, external: bool) -> None:
    shapes = {"input": {0: torch.export.Dim("batch")}}
    path, model = export(
        tmp_path, name, dynamic_shapes=shapes, external_data=external, dynamo=True, verbose=False
    )
    assert path.with_suffix(".onnx.data").exists() == external
    compare_with_torch(path, model, images(1), images(3))
    compare_with_onnx_runtime(path, images(1), images(3))
