"""From a model file to a Graph: parse, inline, check, and raise every node to one form."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastsep.onnx._errors import ModelError, UnsupportedOperator
from fastsep.onnx._forms import Forms
from fastsep.onnx._graph import FOLDED, Array, Graph, ModelMetadata, Node, Port, first_output, in_order
from fastsep.onnx._mapped import mapped, recycle
from fastsep.onnx._operators import OPERATORS
from fastsep.onnx._package import Package, package
from fastsep.onnx._tensors import ExternalFiles, element_type, to_array
from fastsep.onnx._wire import split

_OLDEST_OPSET = 11
# How files of `session.save` begin.
_OF_OURS = b"fastsep\n"
# A size that no array reaches is a mistake in the file.
_MOST = 2**31 - 1
# Networks have thousands of nodes; functions that call functions can blow up a small file.
_MOST_NODES = 100_000
_DEFAULT_DOMAIN = ("", "ai.onnx")
_QUANTISED = (
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul",
    "ConvInteger", "MatMulInteger",
)  # fmt: skip
# Until which opset: of these there is a newer form.
_DEPRECATED = {"GroupNormalization": 20}
_CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")
# Of the default domain; names with a dot are our own.
_SUPPORTED = {"Constant", *(name for name in OPERATORS if "." not in name)}


def load(source: str | os.PathLike[str] | bytes | Any, folder: str | os.PathLike[str] | None = None) -> Graph:
    """Read an ONNX model.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
        The model; opset 11 to the newest that the onnx package knows.
    folder : path, optional
        Where external data files lie; that of the model if `source` is a path.

    Returns
    -------
    Graph
        Nodes in order of execution and in their one form. Weights are not copied: they lie in the bytes, or
        in the mapped file, which must not change as long as they are used; see `Weights.own`.

    Raises
    ------
    ImportError
        The onnx package is missing.
    OSError
        The file cannot be read.
    ModelError
        The file is no valid model; the message says what is wrong where.
    UnsupportedOperator
        A node, its domain, or a data type is not supported.
    """
    try:
        onnx = package()
    except ImportError as error:
        raise ImportError("reading ONNX files needs the onnx package: pip install 'fastsep[onnx]'") from error
    if not isinstance(source, bytes | bytearray | memoryview | onnx.ModelProto):
        if not isinstance(source, str | os.PathLike):
            raise TypeError(
                f"a model must be a path, bytes or an onnx.ModelProto; got {type(source).__name__}"
            )
        folder = os.path.dirname(os.fspath(source)) or os.curdir if folder is None else folder
        source = mapped(source)
    try:
        raw: Sequence[memoryview | None] = ()
        if isinstance(source, onnx.ModelProto):
            model = source
        elif bytes(memoryview(source).cast("B")[: len(_OF_OURS)]) == _OF_OURS:
            raise ModelError("this is no ONNX model: session.save wrote it, and fastsep.load reads it")
        else:
            data = memoryview(source).cast("B")
            # Now: the checker's schemas are 10 MB.
            recycle(2 * len(data))
            rest, raw = split(data)
            model = _parse(onnx, rest, len(data))
        return _graph_of(onnx, model, ExternalFiles(None if folder is None else os.fspath(folder)), raw)
    except UnicodeDecodeError as error:
        raise ModelError(f"the model holds text that is not UTF-8: {error.object[:40]!r}") from None


def _parse(onnx: Package, data: bytes, size: int) -> Any:
    try:
        return onnx.ModelProto.FromString(data)
    except onnx.DecodeError:
        raise ModelError(
            f"these {size} bytes are no ONNX model: they cannot be parsed, or the file is truncated"
        ) from None


def _graph_of(onnx: Package, model: Any, files: ExternalFiles, raw: Sequence[memoryview | None]) -> Graph:
    if not model.HasField("graph"):
        raise ModelError("this is no ONNX model: it has no graph")
    _check_texts(model)
    opset = _opset(onnx, model)
    _check_unique([tensor.name for tensor in model.graph.initializer], "initialisers")
    _check_unique([value.name for value in model.graph.input], "inputs")
    _check_unique([value.name for value in model.graph.output], "outputs")
    if model.graph.sparse_initializer:
        raise UnsupportedOperator("the model has sparse initialisers, which are not supported")
    light = _without_weights(onnx, model)
    if model.functions:
        light = _inlined(onnx, light, opset)
    for proto in light.graph.node:
        _check_supported(proto, opset)
    _sort(light, model)
    _check(onnx, light, opset)

    ports = {value.name: _port(onnx, value, "input") for value in model.graph.input}
    constants: dict[str, Array] = {}
    for index, tensor in enumerate(model.graph.initializer):
        taken = raw[index] if index < len(raw) else None
        array = to_array(onnx, tensor, files, f"initialiser {tensor.name!r}", taken)
        _check_declared(tensor.name, array, ports.pop(tensor.name, None))
        constants[tensor.name] = array
    outputs = tuple(_port(onnx, value, "output") for value in model.graph.output)
    forms = Forms(
        onnx,
        opset,
        files,
        constants,
        taken={*ports, *constants, *(name for proto in light.graph.node for name in proto.output)},
        used={name for proto in light.graph.node for name in proto.input} | {port.name for port in outputs},
        ranks={name: len(port.shape) for name, port in ports.items() if port.shape is not None},
    )
    names = _names(light.graph.node)
    raised = [forms.raised(proto, name) for proto, name in zip(light.graph.node, names, strict=True)]
    nodes = tuple(node for node in raised if node is not None)
    became = {name: FOLDED if node is None else "" for name, node in zip(names, raised, strict=True)}
    graph = Graph(nodes, tuple(ports.values()), outputs, forms.constants)
    return graph._replace(metadata=_metadata(model), became=became)


def _names(protos: Sequence[Any]) -> list[str]:
    """Return what each node goes by: its name, else its first output; both where several have that name."""
    firsts = [first_output(proto.output) for proto in protos]
    names = [proto.name or first for proto, first in zip(protos, firsts, strict=True)]
    counts = Counter(names)
    if len(counts) == len(names):
        return names
    taken = {name for name, count in counts.items() if count == 1}
    for index, (name, first) in enumerate(zip(names, firsts, strict=True)):
        if counts[name] > 1:
            both = f"{name} ({first})"
            while both in taken:
                both += "'"
            taken.add(both)
            names[index] = both
    return names


def _metadata(model: Any) -> ModelMetadata:
    return ModelMetadata(
        _readable(model.producer_name),
        model.graph.name,
        _readable(model.domain),
        _readable(model.doc_string),
        _readable(model.graph.doc_string),
        model.model_version,
        {_readable(entry.key): _readable(entry.value) for entry in model.metadata_props},
    )


def _readable(text: str | bytes) -> str:
    """Return a text that nothing depends on; of bytes that are not UTF-8, what can be read."""
    return text if isinstance(text, str) else text.decode(errors="replace")


def _check_texts(model: Any) -> None:
    """Refuse names that are not UTF-8, which protocol buffers give as bytes."""
    for text in _texts(model):
        if not isinstance(text, str):
            raise ModelError(f"the model holds text that is not UTF-8: {text[:40]!r}")


def _texts(model: Any) -> Iterator[Any]:
    """Return the names of a model; what it says of itself beside them may be anything."""
    graph = model.graph
    yield graph.name
    yield from (entry.domain for entry in model.opset_import)
    yield from (tensor.name for tensor in graph.initializer)
    for value in (*graph.input, *graph.output):
        yield value.name
        if value.type.HasField("tensor_type"):
            yield from (size.dim_param for size in value.type.tensor_type.shape.dim if size.dim_param)
    for function in model.functions:
        yield from (function.domain, function.name, *function.input, *function.output, *function.attribute)
    for nodes in (graph.node, *(function.node for function in model.functions)):
        for proto in nodes:
            yield from (proto.op_type, proto.domain, proto.name, *proto.input, *proto.output)
            yield from (attribute.name for attribute in proto.attribute)


def _opset(onnx: Package, model: Any) -> int:
    """The opset of the default domain."""
    versions = {entry.version for entry in model.opset_import if entry.domain in _DEFAULT_DOMAIN}
    if len(versions) != 1:
        raise ModelError(f"the model must name one opset of domain 'ai.onnx'; it names {sorted(versions)}")
    (version,) = versions
    newest = onnx.newest_opset
    if version < _OLDEST_OPSET:
        raise ModelError(
            f"the model is of opset {version}; supported are {_OLDEST_OPSET} to {newest}: "
            "convert it with onnx.version_converter.convert_version"
        )
    if version > newest:
        raise ModelError(
            f"the model is of opset {version}; onnx {onnx.version} knows opsets up to {newest}: "
            "install a newer onnx"
        )
    return int(version)


def _check_unique(names: list[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if not name:
            raise ModelError(f"one of the model's {what} has no name")
        if name in seen:
            raise ModelError(f"two of the model's {what} have the name {name!r}")
        seen.add(name)


def _without_weights(onnx: Package, model: Any) -> Any:
    """A copy in which initialisers are inputs: what checks and inlining need, without copying weights."""
    light = onnx.ModelProto()
    light.ir_version = model.ir_version
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    light.graph.name = model.graph.name or "graph"
    light.graph.node.extend(model.graph.node)
    light.graph.output.extend(model.graph.output)
    light.graph.input.extend(model.graph.input)
    for value in (*light.graph.input, *light.graph.output):
        # The checker wants a shape; without one, none is known, and that is in use.
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()
    inputs = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if tensor.name not in inputs:
            value = light.graph.input.add()
            value.name = tensor.name
            value.type.tensor_type.elem_type = tensor.data_type
            value.type.tensor_type.shape.SetInParent()
    return light


def _check_supported(proto: Any, opset: int, functions: frozenset[tuple[str, str]] = frozenset()) -> None:
    """Refuse by name what cannot be run, before anything else may complain about it."""
    if (proto.domain, proto.op_type) in functions:
        return
    domain = proto.domain or "ai.onnx"
    what = f"node {proto.name!r}" if proto.name else "a node"
    if not any(proto.output):
        raise ModelError(f"{what} ({proto.op_type}) has no outputs")
    what = what if proto.name else f"{what} that makes {first_output(proto.output)!r}"
    described = f"{what}: operator {proto.op_type!r} of domain {domain!r}, opset {opset},"
    if proto.op_type in _QUANTISED or proto.op_type.startswith("QLinear"):
        raise UnsupportedOperator(
            f"{described} belongs to a quantised model, which is not supported: "
            "load the model as it was before quantisation, in float32"
        )
    if proto.domain in _DEFAULT_DOMAIN:
        if proto.op_type in _CONTROL_FLOW or any(
            attribute.HasField("g") or attribute.graphs for attribute in proto.attribute
        ):
            raise UnsupportedOperator(
                f"{described} is control flow, which is not supported: export the model with the branch "
                "taken or the loop unrolled"
            )
        if proto.op_type in _SUPPORTED:
            return
    supported = ", ".join(sorted(_SUPPORTED))
    raise UnsupportedOperator(f"{described} is not supported; supported of domain 'ai.onnx' are {supported}")


def _inlined(onnx: Package, light: Any, opset: int) -> Any:
    """The model without functions of its own."""
    bodies = {(function.domain, function.name): function for function in light.functions}
    if len(bodies) < len(light.functions):
        raise UnsupportedOperator("the model overloads functions, which is not supported")
    names = frozenset(bodies)
    for nodes in (light.graph.node, *(function.node for function in light.functions)):
        for proto in nodes:
            _check_supported(proto, opset, names)
    _check_expansion(light, bodies)
    _check(onnx, light, opset)
    try:
        result = onnx.inlined(light)
    except Exception as error:
        # The inliner is C++, which says in many ways that a function is malformed.
        raise ModelError(f"the model's functions cannot be inlined: {_one_line(error)}") from None
    return result


def _check_expansion(light: Any, bodies: dict[tuple[str, str], Any]) -> None:
    """Refuse functions that call themselves, and those that would become too many nodes."""
    sizes: dict[tuple[str, str], int] = {}

    def size_of(key: tuple[str, str], callers: tuple[tuple[str, str], ...]) -> int:
        if key in callers or len(callers) > 100:
            raise ModelError(
                f"function {key[1]!r} of domain {key[0]!r} calls itself, or is nested too deeply"
            )
        if key not in sizes:
            sizes[key] = total(bodies[key].node, (*callers, key))
        return sizes[key]

    def total(nodes: Any, callers: tuple[tuple[str, str], ...]) -> int:
        count = 0
        for proto in nodes:
            key = (proto.domain, proto.op_type)
            count += size_of(key, callers) if key in bodies else 1
        if count > _MOST_NODES:
            raise ModelError(f"the model's functions would become more than {_MOST_NODES} nodes")
        return count

    total(light.graph.node, ())


def _sort(light: Any, model: Any) -> None:
    """Bring the nodes into an order in which they can run."""
    graph = light.graph
    bare = [
        Node(proto.op_type, tuple(proto.input), tuple(proto.output), {"index": index}, proto.name)
        for index, proto in enumerate(graph.node)
    ]
    known = {value.name for value in graph.input}
    try:
        ordered = in_order(bare, known)
    except ValueError as error:
        raise ModelError(str(error)) from None
    made = known | {name for node in bare for name in node.outputs}
    for value in model.graph.output:
        if value.name not in made:
            raise ModelError(f"output {value.name!r} of the model is made by nothing")
    order = [node.attributes["index"] for node in ordered]
    if order != sorted(order):
        nodes = [graph.node[index] for index in order]
        copies = [type(proto).FromString(proto.SerializeToString()) for proto in nodes]
        del graph.node[:]
        graph.node.extend(copies)


def _check(onnx: Package, light: Any, opset: int) -> None:
    try:
        onnx.check(_without_deprecated(light, opset))
    except onnx.ValidationError as error:
        raise ModelError(f"the model is not valid: {_one_line(error)}") from None


def _without_deprecated(light: Any, opset: int) -> Any:
    """The model for the checker, which takes for invalid what is deprecated, but defined and in use."""
    if not any(opset <= _DEPRECATED.get(proto.op_type, 0) for proto in light.graph.node):
        return light
    copy = type(light)()
    copy.CopyFrom(light)
    for proto in copy.graph.node:
        if opset <= _DEPRECATED.get(proto.op_type, 0):
            proto.op_type = "Identity"
            del proto.input[1:], proto.attribute[:]
    return copy


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _port(onnx: Package, value: Any, role: str) -> Port:
    what = f"{role} {value.name!r}"
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise UnsupportedOperator(f"{what} of the model is no tensor ({kind}); supported are dense tensors")
    dtype = element_type(onnx, value.type.tensor_type.elem_type, what)
    if not value.type.tensor_type.HasField("shape"):
        return Port(value.name, dtype, None)
    shape: list[int | str | None] = []
    for dimension in value.type.tensor_type.shape.dim:
        if dimension.HasField("dim_value"):
            if dimension.dim_value > _MOST:
                raise ModelError(f"{what} has a size of {dimension.dim_value}; sizes are from 0 to {_MOST}")
            # -1 is how some exporters write a size that is open.
            shape.append(int(dimension.dim_value) if dimension.dim_value >= 0 else None)
        else:
            shape.append(dimension.dim_param or None)
    return Port(value.name, dtype, tuple(shape))


def _check_declared(name: str, array: Array, port: Port | None) -> None:
    """An initialiser that is an input, too, must be what the input says."""
    if port is None:
        return
    sizes = port.shape
    fits = sizes is None or (
        len(sizes) == array.ndim
        and all(
            not isinstance(size, int) or size == real for size, real in zip(sizes, array.shape, strict=True)
        )
    )
    if not fits or np.dtype(port.dtype) != array.dtype:
        raise ModelError(
            f"initialiser {name!r} is {array.dtype} of shape {array.shape}; "
            f"the input of that name is {port.dtype} of shape {sizes}"
        )
