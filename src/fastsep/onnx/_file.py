r"""Optimised networks as files: `session.save` and `fastsep.load`. NumPy alone reads them; no pickle.

    8 bytes   b"fastsep\\n"
    8         format version, little-endian
    8         length of the header
    32        SHA-256 of all that follows
    header    JSON: inputs, outputs, nodes, constants (dtype, shape, offset)
    weights   little-endian, C order, each at a multiple of 64 bytes from the beginning of the file

Weights are those of the fused network, not packed for an instruction set: packing is done by loading.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastsep.onnx._errors import ModelError
from fastsep.onnx._graph import Array, Graph, ModelMetadata, Node, Port, in_order
from fastsep.onnx._mapped import mapped, recycle
from fastsep.onnx._operators import OPERATORS

_MAGIC = b"fastsep\n"
_VERSION = 1
_LINE_BYTES = 64
_PREFIX = struct.Struct("<8sQQ32s")
_MOST_HEADER = 1 << 30


def save(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write a graph; a file that is there is replaced when the new one is complete."""
    path = Path(path)
    arrays = {name: np.asarray(value, order="C") for name, value in graph.constants.items()}
    entries: dict[str, Any] = {}
    offset = 0
    for name, value in arrays.items():
        offset = _aligned(offset)
        entries[name] = {"dtype": value.dtype.name, "shape": list(value.shape), "offset": offset}
        offset += value.nbytes
    header = _header(graph, entries)
    # Padded, so that offsets from the first weight are offsets from the beginning of the file.
    header += b" " * (_aligned(_PREFIX.size + len(header)) - _PREFIX.size - len(header))
    digest = hashlib.sha256(header)
    unfinished = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    # As every new file: what the umask leaves. A name that is there would be an error, not be written over.
    file = open(unfinished, "xb")  # noqa: SIM115
    try:
        with file:
            file.write(_PREFIX.pack(_MAGIC, _VERSION, len(header), bytes(32)))
            file.write(header)
            at = 0
            for name, value in arrays.items():
                gap = bytes(entries[name]["offset"] - at)
                little = value.astype(value.dtype.newbyteorder("<"), copy=False)
                for part in (gap, little.tobytes()):
                    digest.update(part)
                    file.write(part)
                at = entries[name]["offset"] + value.nbytes
            file.seek(0)
            file.write(_PREFIX.pack(_MAGIC, _VERSION, len(header), digest.digest()))
        os.replace(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise


def read(path: str | os.PathLike[str]) -> Graph:
    """Read a graph; its constants are read-only views of the mapped file, not for long: see `Weights.own`.

    Raises
    ------
    ModelError
        The file is none of these, of a newer version, damaged, or does not make sense.
    OSError
        It cannot be read.
    """
    path = Path(path)
    data = np.frombuffer(mapped(path), np.uint8)
    size = data.size
    if size < _PREFIX.size:
        raise ModelError(f"{path}: {size} bytes are too few for a file that session.save wrote")
    magic, version, length, digest = _PREFIX.unpack(data[: _PREFIX.size].tobytes())
    if magic != _MAGIC:
        raise ModelError(f"{path} was not written by session.save; ONNX files: fastsep.onnx.InferenceSession")
    if version != _VERSION:
        raise ModelError(f"{path} is of format {version}; this fastsep reads format {_VERSION}")
    if length > min(size - _PREFIX.size, _MOST_HEADER):
        raise ModelError(f"{path} is truncated: its header would have {length} bytes")
    # The checksum is not over the length, and blanks end the header: without this, weights could lie beside
    # where they are read.
    if (_PREFIX.size + length) % _LINE_BYTES:
        raise ModelError(f"{path} is damaged: no header has {length} bytes")
    if _digest(data) != digest:
        raise ModelError(f"{path} is damaged: its checksum does not fit")
    # Not before: what is no network of ours may be large.
    recycle(2 * size)
    weights = data[_PREFIX.size + length :]
    try:
        header = json.loads(data[_PREFIX.size : _PREFIX.size + length].tobytes())
        constants = {name: _constant(entry, weights) for name, entry in header["constants"].items()}
        nodes = [_node(entry) for entry in header["nodes"]]
        inputs = tuple(_port(entry) for entry in header["inputs"])
        outputs = tuple(_port(entry) for entry in header["outputs"])
        known = {*constants, *(port.name for port in inputs)}
        ordered = in_order(nodes, known)
        metadata = _metadata(header.get("metadata", {}))
        became = {_text(name): _text(what) for name, what in header.get("became", {}).items()}
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} does not make sense: {error}") from None
    made = known.union(name for node in ordered for name in node.outputs)
    for port in outputs:
        if port.name not in made:
            raise ModelError(f"{path} does not make sense: nothing makes output {port.name!r}")
    return Graph(ordered, inputs, outputs, constants, metadata=metadata, became=became)


def _digest(data: Any) -> bytes:
    """Return the checksum of a mapped file, its prefix left out."""
    return hashlib.sha256(data[_PREFIX.size :]).digest()


def _aligned(offset: int) -> int:
    return -(-offset // _LINE_BYTES) * _LINE_BYTES


def _header(graph: Graph, entries: Mapping[str, Any]) -> bytes:
    description = {
        "inputs": [_port_entry(port) for port in graph.inputs],
        "outputs": [_port_entry(port) for port in graph.outputs],
        "nodes": [
            {
                "op": node.op,
                "inputs": node.inputs,
                "outputs": node.outputs,
                "attributes": node.attributes,
                "name": node.name,
                "origin": node.origin,
            }
            for node in graph.nodes
        ],
        "constants": entries,
        "metadata": graph.metadata._asdict(),
        "became": graph.became,
    }
    return json.dumps(description, default=_plain, separators=(",", ":")).encode()


def _plain(value: object) -> object:
    """Return what JSON holds for an attribute that is no plain Python value."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.dtype):
        return {"dtype": value.name}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.name}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"an attribute of type {type(value).__name__} cannot be saved")


def _attribute(value: Any) -> Any:
    """Undo what JSON makes of an attribute: tuples become lists."""
    if isinstance(value, list):
        return tuple(_attribute(item) for item in value)
    if isinstance(value, dict):
        if set(value) == {"dtype"}:
            return np.dtype(value["dtype"])
        if set(value) == {"array", "dtype"}:
            return np.array(value["array"], value["dtype"])
        return {name: _attribute(item) for name, item in value.items()}
    return value


def _port_entry(port: Port) -> dict[str, Any]:
    return {"name": port.name, "dtype": port.dtype.name, "shape": port.shape}


def _port(entry: Mapping[str, Any]) -> Port:
    shape = entry["shape"]
    if shape is not None:
        if not all(
            size is None or isinstance(size, str) or (type(size) is int and size >= 0) for size in shape
        ):
            raise ValueError(f"{entry['name']!r} has shape {shape}")
        shape = tuple(shape)
    return Port(_text(entry["name"]), _dtype(entry["dtype"]), shape)


def _node(entry: Mapping[str, Any]) -> Node:
    if entry["op"] not in OPERATORS:
        raise ValueError(f"operator {entry['op']!r} is not known")
    node = Node(
        entry["op"],
        _texts(entry["inputs"]),
        _texts(entry["outputs"]),
        {_text(name): _attribute(value) for name, value in entry["attributes"].items()},
        _text(entry["name"]),
        _texts(entry["origin"]),
    )
    # The first input, no operator can be without; the first output, only a Split, if it has another.
    made = node.outputs if node.op == "Split" else node.outputs[:1]
    for name, values, there in (("inputs", node.inputs, node.inputs[:1]), ("outputs", node.outputs, made)):
        if not any(there):
            raise ValueError(f"a {node.op} node has {name} {values}")
    return node


def _metadata(entry: Mapping[str, Any]) -> ModelMetadata:
    """Return what the model says of itself; files of the first days say nothing."""
    found = ModelMetadata(**entry)
    for value in (*found[:5], *found.custom_metadata_map, *found.custom_metadata_map.values()):
        _text(value)
    if type(found.version) is not int:
        raise TypeError(f"the model has version {found.version!r}")
    return found


def _constant(entry: Mapping[str, Any], weights: Array) -> Array:
    dtype = _dtype(entry["dtype"])
    shape = tuple(entry["shape"])
    offset = entry["offset"]
    if not all(type(size) is int and size >= 0 for size in (*shape, offset)) or offset % _LINE_BYTES:
        raise ValueError(f"a constant has shape {shape} at {offset}")
    size = math.prod(shape) * dtype.itemsize
    if offset + size > weights.size:
        raise ValueError(f"a constant of {size} bytes at {offset} is not within the file")
    stored = weights[offset : offset + size].view(dtype.newbyteorder("<")).reshape(shape)
    return stored if stored.dtype.isnative else stored.astype(dtype)


def _dtype(name: object) -> np.dtype[Any]:
    dtype = np.dtype(_text(name))
    if dtype.kind not in "fiub":
        raise ValueError(f"dtype {name!r} is not one of numbers")
    return dtype


def _texts(value: object) -> tuple[str, ...]:
    # A text is a sequence of texts, too.
    if not isinstance(value, list):
        raise TypeError(f"{value!r} should be a list of texts")
    return tuple(map(_text, value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} should be text")
    return value
