"""fastsep as a backend of the onnx package, so that its own test-suite can run it.

Raises
------
ImportError
    At import, without the onnx package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep, namedtupledict

from fastsep.onnx._graph import Array
from fastsep.onnx._session import InferenceSession


class FastsepRep(BackendRep):  # type: ignore[misc]
    """A session, called as the onnx package calls."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session

    def run(self, inputs: Sequence[Any], **kwargs: Any) -> tuple[Array, ...]:
        """Run the model on its inputs in their order, and return its outputs in theirs."""
        ports = self._session.get_inputs()
        if len(inputs) != len(ports):
            raise ValueError(f"the model has {len(ports)} inputs; got {len(inputs)}")
        feeds = {port.name: np.asarray(value) for port, value in zip(ports, inputs, strict=True)}
        names = [port.name for port in self._session.get_outputs()]
        outputs: tuple[Array, ...] = namedtupledict("Outputs", names)(*self._session.run(None, feeds))
        return outputs


class FastsepBackend(Backend):  # type: ignore[misc]
    """The face that `onnx.backend.test` asks for."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> FastsepRep:
        """Load a model.

        Raises
        ------
        fastsep.onnx.ModelError
            The model is malformed or not supported.
        """
        if not cls.supports_device(device):
            raise ValueError(f"the device must be CPU; got {device!r}")
        return FastsepRep(InferenceSession(model))

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Sequence[Any],
        device: str = "CPU",
        outputs_info: Sequence[tuple[Any, tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Array, ...]:
        """Run one node on arrays; `opset_version` says which opset it is of, the newest by default."""
        arrays = [np.asarray(value) for value in inputs]
        names = [name for name in node.input if name]
        infos: list[Any] = list(outputs_info) if outputs_info else [None] * len(node.output)
        opset = kwargs.get("opset_version", onnx.defs.onnx_opset_version())
        graph = onnx.helper.make_graph(
            [node],
            "node",
            [
                onnx.helper.make_tensor_value_info(
                    name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
                )
                for name, array in zip(names, arrays, strict=True)
            ],
            [
                onnx.helper.make_tensor_value_info(
                    name, onnx.TensorProto.FLOAT if info is None else
                    onnx.helper.np_dtype_to_tensor_dtype(np.dtype(info[0])), None
                )
                for name, info in zip(node.output, infos, strict=True)
                if name
            ],
        )  # fmt: skip
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
        return cls.prepare(model, device).run(arrays)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether `device` is the CPU."""
        return device.split(":")[0] == "CPU"


prepare = FastsepBackend.prepare
run_node = FastsepBackend.run_node
run_model = FastsepBackend.run_model
supports_device = FastsepBackend.supports_device
