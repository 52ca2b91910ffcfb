"""XNNPACK, as LiteRT's delegate for float32 models; NHWC, like ours."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from bench.blocks import Array, Block, Gate, Stage
from bench.network_rows import NetworkRow
from bench.networks.folded import Network
from bench.peers.form import Form

NAME = "XNNPACK"

ROOT = Path(__file__).parents[2]
CONVERTED = ROOT / "build" / "bench" / "tflite"
CONVERTER = ROOT / ".venv-convert" / "bin" / "python"
CONVERT = Path(__file__).with_name("convert.py")


class Convertible(ABC):
    """What a .tflite file is written from."""

    @abstractmethod
    def description(self) -> str:
        """Say in JSON what convert.py needs beside the weights."""

    @abstractmethod
    def weights(self) -> dict[str, Array]:
        """Return the weights by the names that convert.py reads."""

    @cached_property
    def path(self) -> Path:
        """Where the converted model is kept: named after all that goes into it, the converter included."""
        digest = hashlib.sha256(CONVERT.read_bytes() + self.description().encode())
        digest.update((CONVERT.with_name("convert-requirements.txt")).read_bytes())
        for name, values in self.weights().items():
            digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
        return CONVERTED / f"{digest.hexdigest()[:32]}.tflite"


@dataclass(frozen=True, eq=False)
class Model(Convertible):
    """A block without its input."""

    in_shape: tuple[int, ...]
    stages: tuple[Stage, ...]
    residual: bool
    gate: Gate | None

    def description(self) -> str:
        """Say in JSON what convert.py needs beside the weights."""
        return json.dumps(
            {
                "in_shape": self.in_shape,
                "stages": [
                    {
                        "family": stage.family,
                        "stride": stage.stride,
                        "padding": stage.padding,
                        "activation": stage.activation,
                        "dilation": stage.dilation,
                    }
                    for stage in self.stages
                ],
                "residual": self.residual,
                "gate_activation": self.gate.activation if self.gate else None,
            },
            sort_keys=True,
        )

    def weights(self) -> dict[str, Array]:
        """Return the weights by the names that convert.py reads."""
        kernels = {f"kernel{index}": stage.kernel for index, stage in enumerate(self.stages)}
        gate = {"reduce": self.gate.reduce, "expand": self.gate.expand} if self.gate else {}
        return kernels | gate


@dataclass(frozen=True, eq=False)
class NetworkModel(Convertible):
    """A whole network."""

    network: Network

    def description(self) -> str:
        """Say in JSON what convert.py needs beside the weights."""
        return json.dumps(
            {
                "shape": self.network.shape,
                "output": self.network.output,
                "steps": [
                    {
                        "operator": step.operator,
                        "inputs": step.inputs,
                        "output": step.output,
                        **step.attributes,
                    }
                    for step in self.network.steps
                ],
            },
            sort_keys=True,
        )

    def weights(self) -> dict[str, Array]:
        """Return the weights by the names that convert.py reads."""
        found: dict[str, Array] = {}
        for index, step in enumerate(self.network.steps):
            if step.kernel is not None and step.bias is not None:
                found |= {f"kernel{index}": step.kernel, f"bias{index}": step.bias}
        return found


def convert(models: Iterable[Convertible]) -> None:
    """Write the .tflite files that do not exist yet, all in one process of the converter's environment."""
    missing = {model.path: model for model in models if not model.path.exists()}
    if not missing:
        return
    CONVERTED.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for path, model in missing.items():
            arrays: dict[str, Any] = {**model.weights(), "description": np.array(model.description())}
            np.savez(Path(folder, path.stem), **arrays)
        command = [str(CONVERTER), str(CONVERT), folder, str(CONVERTED)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")


def forms(block: Block, threads: int) -> Iterator[Form]:
    """Yield the one form: the delegate takes NHWC, packs constant weights and fuses clamps."""
    yield form(Model(block.x.shape, block.stages, block.residual, block.gate), block.x, threads)


def network_forms(row: NetworkRow, threads: int) -> Iterator[Form]:
    """Yield the one form, the batch norms folded beforehand."""
    yield form(NetworkModel(row.folded()), row.images().transpose(0, 2, 3, 1), threads)


def form(model: Convertible, x: Array, threads: int) -> Form:
    """Return the form of a model and its input."""
    convert([model])
    interpreter = Interpreter(model_path=str(model.path), num_threads=threads)
    interpreter.allocate_tensors()
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(given["index"], np.ascontiguousarray(x))
    return Form(
        "LiteRT's XNNPACK delegate, NHWC; tensors in place",
        interpreter.invoke,
        lambda: interpreter.get_tensor(result["index"]),
    )
