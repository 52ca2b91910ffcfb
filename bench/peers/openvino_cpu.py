"""OpenVINO's CPU plugin: float32 inference, one stream; NCHW and NHWC tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import openvino as ov
from openvino.preprocess import PrePostProcessor

import fastsep
from bench.blocks import Array, Block
from bench.network_rows import NetworkRow
from bench.peers.form import Form, aligned
from bench.peers.onnx_model import model_of, nchw_shape

NAME = "OpenVINO"


@cache
def core() -> ov.Core:
    """Return the one core of the process."""
    return ov.Core()


def forms(block: Block, threads: int) -> Iterator[Form]:
    """Yield both layouts."""
    model = model_of(block).SerializeToString()
    for layout in ("NCHW", "NHWC"):
        network = core().read_model(model)
        if layout == "NHWC":
            processing = PrePostProcessor(network)
            for side in (processing.input(), processing.output()):
                side.tensor().set_layout(ov.Layout("NHWC"))
                side.model().set_layout(ov.Layout("NCHW"))
            network = processing.build()
        yield form(network, block, threads, layout)


def network_forms(row: NetworkRow, threads: int) -> Iterator[Form]:
    """Yield the input in both layouts; batch norms are folded at load."""
    for layout in ("NCHW", "NHWC"):
        network = core().read_model(row.model())
        x = row.images()
        if layout == "NHWC":
            processing = PrePostProcessor(network)
            processing.input().tensor().set_layout(ov.Layout("NHWC"))
            processing.input().model().set_layout(ov.Layout("NCHW"))
            network = processing.build()
            x = x.transpose(0, 2, 3, 1)
        y = fastsep.empty(row.out_shape)
        yield request_form(network, aligned(x), y, threads, layout, lambda y=y: y)  # type: ignore[misc]


def form(network: ov.Model, block: Block, threads: int, layout: str) -> Form:
    """Return the form of a block."""
    first = layout == "NCHW"
    x = aligned(block.x.transpose(0, 3, 1, 2) if first else block.x)
    out_shape = block.out_shapes[-1]
    y = fastsep.empty(nchw_shape(out_shape) if first else out_shape)
    return request_form(network, x, y, threads, layout, lambda: y.transpose(0, 2, 3, 1) if first else y)


def settings(threads: int) -> dict[str, str]:
    """Return how the CPU plugin compiles: one stream, and no thread tied to a CPU."""
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(threads),
        "ENABLE_CPU_PINNING": "NO",
    }


def request_form(
    network: ov.Model, x: Array, y: Array, threads: int, layout: str, output: Callable[[], Array]
) -> Form:
    """Return a request whose input and output stay where they are."""
    compiled = core().compile_model(network, "CPU", settings(threads))
    request = compiled.create_infer_request()
    given, result = ov.Tensor(x, shared_memory=True), ov.Tensor(y, shared_memory=True)
    request.set_input_tensor(given)
    request.set_output_tensor(result)

    def call() -> None:
        # Without the dictionary of outputs that infer() builds.
        request.start_async()
        request.wait()

    return Form(
        f"{layout}, f32, latency hint; input and output tensors shared",
        call,
        output,
        kept=(compiled, x, given, result),
    )
