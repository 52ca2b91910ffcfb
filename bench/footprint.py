"""What it takes to run a network once: fresh processes that load it, and the size of what is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bench.network_rows import NetworkRow
from bench.peers import fresh

# Of so many processes each, by turns, the smallest figure counts: what disturbs only adds, often for seconds.
PROCESSES = 5
# Seconds until a process that hangs fails its row.
PATIENCE = 120


def model_files(row: NetworkRow, folder: Path) -> dict[str, Path]:
    """Write the file that each library loads; return the files by library."""
    import torch

    import fastsep.onnx
    from bench.peers import pytorch_network, xnnpack

    onnx_file = folder / f"{row.name}.onnx"
    onnx_file.write_bytes(row.model())
    own_file = folder / f"{row.name}.fastsep"
    fastsep.onnx.InferenceSession(str(onnx_file)).save(own_file)
    converted = xnnpack.NetworkModel(row.folded())
    xnnpack.convert([converted])
    torch_file = folder / f"{row.name}.pt2"
    x = torch.from_numpy(row.images())
    torch.export.save(torch.export.export(pytorch_network.module_of(row.folded()), (x,)), torch_file)
    return {
        "fastsep": onnx_file,
        "fastsep.load": own_file,
        "XNNPACK": converted.path,
        "ONNX Runtime": onnx_file,
        "OpenVINO": onnx_file,
        "PyTorch": torch_file,
        "nothing": onnx_file,
    }


def in_a_fresh_process(library: str, model: Path, image: Path, threads: int) -> dict[str, Any]:
    """Return what one process says."""
    command = [sys.executable, fresh.__file__, library, str(model), str(image), str(threads)]
    # Packages that were installed have their bytecode; ours, in a source tree, may write its own as well.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def smallest(said: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the smallest of each figure."""
    return {name: min(each[name] for each in said) for name in said[0] if name != "largest"}


def footprints(row: NetworkRow, folder: Path, threads: int) -> dict[str, dict[str, Any]]:
    """Return import, load and first run in seconds and the peak in bytes, by library.

    All must give the same class as the first, ours.
    """
    image = folder / "image.npy"
    np.save(image, row.images())
    models = model_files(row, folder)
    said: dict[str, list[dict[str, Any]]] = {library: [] for library in models}
    for _ in range(PROCESSES):
        for library, model in models.items():
            said[library].append(in_a_fresh_process(library, model, image, threads))
    classes = {library: each[0]["largest"] for library, each in said.items()}
    wrong = {
        library: each
        for library, each in classes.items()
        if library != "nothing" and each != classes["fastsep"]
    }
    assert not wrong, f"{row.label}: ours says class {classes['fastsep']}, others {wrong}"
    return {library: smallest(each) for library, each in said.items()}
