"""What a fresh process pays to run one image: time to import and to load, memory at its peak.

``python fresh.py <library> <model file> <image.npy> <threads>`` prints a line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[Any], Any]
# Imports, then a function that loads a file and returns what runs an image.
Library = Callable[[], Callable[[str, int], Run]]


def fastsep_onnx() -> Callable[[str, int], Run]:
    """Load the ONNX file with ours."""
    import fastsep.onnx

    def load(path: str, threads: int) -> Run:
        session = fastsep.onnx.InferenceSession(path, threads=threads)
        return lambda x: session.run(None, {"x": x})[0]

    return load


def fastsep_file() -> Callable[[str, int], Run]:
    """Load our own file, for which NumPy is enough."""
    import fastsep

    def load(path: str, threads: int) -> Run:
        session = fastsep.load(path, threads=threads)
        return lambda x: session.run(None, {"x": x})[0]

    return load


def onnx_runtime() -> Callable[[str, int], Run]:
    """Load the ONNX file with ONNX Runtime as its users do."""
    import onnxruntime as ort

    def load(path: str, threads: int) -> Run:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda x: session.run(None, {"x": x})[0]

    return load


def openvino() -> Callable[[str, int], Run]:
    """Load the ONNX file with OpenVINO."""
    import openvino as ov

    def load(path: str, threads: int) -> Run:
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": str(threads)}
        compiled = ov.Core().compile_model(path, "CPU", settings)
        return lambda x: compiled([x])[0]

    return load


def xnnpack() -> Callable[[str, int], Run]:
    """Load the .tflite file; the image is channels last."""
    from ai_edge_litert.interpreter import Interpreter

    def load(path: str, threads: int) -> Run:
        interpreter = Interpreter(model_path=path, num_threads=threads)
        interpreter.allocate_tensors()
        (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()

        def run(x: Any) -> Any:
            interpreter.set_tensor(given["index"], np.ascontiguousarray(x.transpose(0, 2, 3, 1)))
            interpreter.invoke()
            return interpreter.get_tensor(result["index"])

        return run

    return load


def pytorch() -> Callable[[str, int], Run]:
    """Load the exported program, not compiled: torch.compile would take a C++ compiler and many seconds."""
    import torch

    def load(path: str, threads: int) -> Run:
        torch.set_num_threads(threads)
        module = torch.export.load(path).module()

        def run(x: Any) -> Any:
            with torch.inference_mode():
                return module(torch.from_numpy(x)).numpy()

        return run

    return load


def nothing() -> Callable[[str, int], Run]:
    """Load nothing: what Python and NumPy take by themselves."""
    return lambda path, threads: lambda x: x


LIBRARIES: dict[str, Library] = {
    "fastsep": fastsep_onnx,
    "fastsep.load": fastsep_file,
    "XNNPACK": xnnpack,
    "ONNX Runtime": onnx_runtime,
    "OpenVINO": openvino,
    "PyTorch": pytorch,
    "nothing": nothing,
}


def peak_bytes() -> int:
    """Return the most memory that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss, which on Linux begins with what the parent held when it forked.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    # Kilobytes; bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    """Import, load, run once, and say what it took."""
    library, path, image, threads = sys.argv[1:]
    x = np.load(Path(image))
    start = time.perf_counter()
    load = LIBRARIES[library]()
    imported = time.perf_counter()
    run = load(path, int(threads))
    loaded = time.perf_counter()
    y = run(x)
    ran = time.perf_counter()
    print(
        json.dumps(
            {
                "import_seconds": imported - start,
                "load_seconds": loaded - imported,
                "first_run_seconds": ran - loaded,
                "peak_bytes": peak_bytes(),
                "largest": int(np.argmax(y[0])) if y.ndim == 2 else None,
            }
        )
    )


if __name__ == "__main__":
    main()
