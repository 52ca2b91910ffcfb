"""Saved networks whose checksum is right and whose content is not: refused with an error, never a crash."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import struct
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import every_kind, small_network

import fastsep
from fastsep.onnx import InferenceSession, ModelError

PREFIX = struct.Struct("<8sQQ32s")
Header = dict[str, Any]
Saved = tuple[Header, bytes]


def taken_apart(proto: onnx.ModelProto, folder: Path) -> Saved:
    """The header and the weights of a saved network."""
    path = folder / "net.fastsep"
    InferenceSession(proto.SerializeToString()).save(path)
    data = path.read_bytes()
    _, _, length, _ = PREFIX.unpack(data[: PREFIX.size])
    return json.loads(data[PREFIX.size :][:length]), data[PREFIX.size + length :]


def written(path: Path, header: object, weights: bytes, version: int = 1) -> Path:
    """Write a network with the checksum that belongs to it."""
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    text += b" " * (-(PREFIX.size + len(text)) % 64)
    digest = hashlib.sha256(text + weights).digest()
    path.write_bytes(PREFIX.pack(b"fastsep\n", version, len(text), digest) + text + weights)
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> list[Saved]:
    folder = tmp_path_factory.mktemp("saved")
    models = (small_network(1, 8), small_network("n", "s"), every_kind(), every_kind(11, open_sizes=True))
    return [taken_apart(proto, folder) for proto in models]


def test_what_is_put_together_again_is_the_same_network(saved: list[Saved], tmp_path: Path) -> None:
    for header, weights in saved:
        again = fastsep.load(written(tmp_path / "net.fastsep", header, weights))
        x = np.ones((1, 3, 8, 8), np.float32)
        assert all(np.isfinite(value).all() for value in again.run(None, {"x": x}))


def a_node(header: Header, op: str) -> Any:
    return next(entry for entry in header["nodes"] if entry["op"] == op)


def first(header: Header) -> Any:
    return next(iter(header["constants"].values()))


CHANGES: dict[str, tuple[Any, str]] = {
    "no nodes": (lambda header: header.pop("nodes"), "'nodes'"),
    "an unknown operator": (lambda header: a_node(header, "fastsep.Conv").update(op="system"), "'system'"),
    "a missing value": (lambda header: a_node(header, "fastsep.Dense").update(inputs=["no", "k"]), "'no'"),
    "a cycle": (
        lambda header: a_node(header, "fastsep.Conv")["inputs"].__setitem__(0, header["outputs"][0]["name"]),
        "cycle",
    ),
    "outputs that are a text": (
        lambda header: a_node(header, "fastsep.Conv").update(outputs="xy"), "'xy' should be a list of texts",
    ),
    "an output that is no text": (
        lambda header: a_node(header, "fastsep.Conv").update(outputs=[3]), "3 should be text",
    ),
    "no outputs": (
        lambda header: a_node(header, "fastsep.Conv").update(outputs=[]), r"Conv node has outputs \(\)",
    ),
    "no inputs": (
        lambda header: a_node(header, "fastsep.Conv").update(inputs=[]), r"Conv node has inputs \(\)",
    ),
    "no first input": (
        lambda header: a_node(header, "fastsep.InvertedResidual")["inputs"].__setitem__(0, ""), "has inputs",
    ),
    "no first output": (
        lambda header: a_node(header, "fastsep.Conv").update(outputs=["", "y"]), "Conv node has outputs",
    ),
    "too many outputs": (
        lambda header: a_node(header, "fastsep.Conv")["outputs"].extend(["more", "than"]),
        "makes 1 values, not 3",
    ),
    "an unknown output": (lambda header: header["outputs"][0].update(name="none"), "'none'"),
    "a negative size": (lambda header: header["inputs"][0]["shape"].__setitem__(1, -3), "-3"),
    "a dtype": (lambda header: first(header).update(dtype="object"), "object"),
    "an offset": (lambda header: first(header).update(offset=2**40), "not within the file"),
    "an odd offset": (lambda header: first(header).update(offset=4), "at 4"),
    "a negative offset": (lambda header: first(header).update(offset=-64), "at -64"),
    "a huge constant": (lambda header: first(header).update(shape=[2**40, 2**40]), "not within the file"),
    "an attribute": (lambda header: a_node(header, "fastsep.Conv")["attributes"].pop("strides"), "strides"),
    "an activation": (
        lambda header: a_node(header, "fastsep.Conv")["attributes"].update(activation="explode"), "explode",
    ),
    "a layout": (lambda header: a_node(header, "fastsep.Conv")["attributes"].update(layout="CN"), "Conv"),
    "padding": (
        lambda header: a_node(header, "fastsep.Conv")["attributes"].update(padding=[[2**40, 0], [0, 0]]),
        "Conv node",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES)
def test_a_header_that_makes_no_sense_is_refused(
    saved: list[Saved], tmp_path: Path, change: Any, words: str
) -> None:
    header, weights = copy.deepcopy(saved[0])
    change(header)
    path = written(tmp_path / "net.fastsep", header, weights)
    with pytest.raises(ModelError, match=words) as caught:
        fastsep.load(path)
    assert str(caught.value).count(str(path)) == 1


@pytest.mark.parametrize("header", [[], None, 7, {}, b"not JSON", b"[" * 100_000, b"\xff"])
def test_a_header_of_another_form_is_refused(tmp_path: Path, header: object) -> None:
    path = written(tmp_path / "net.fastsep", header, b"")
    with pytest.raises(ModelError, match="does not make sense"):
        fastsep.load(path)


def test_another_version_is_refused_by_its_number(saved: list[Saved], tmp_path: Path) -> None:
    path = written(tmp_path / "net.fastsep", *saved[0], version=2)
    with pytest.raises(ModelError, match="format 2; this fastsep reads format 1"):
        fastsep.load(path)


VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 2**31, 2**40, 2**63, -(2**63), 1.5, 1e300, "", "x", "same", "relu", [],
    [1], [1, 1], [2, 2], [[0, 0], [1, 1]], [[-1, 5], [1, 1]], {}, "float64", "int8", "NC…", "N…C",
)  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in nested dicts and lists."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in ((value, key), *places(value[key]))]


def change(header: Header, random: Random) -> None:
    """Change one place."""
    holder, key = random.choice(places(header))
    kind = random.choice(("delete", "copy", "set", "set", "count"))
    if kind == "delete":
        del holder[key]
    elif kind == "copy":
        source, name = random.choice(places(header))
        holder[key] = copy.deepcopy(source[name])
    elif kind == "count" and type(holder[key]) is int:
        holder[key] += random.choice((1, -1))
    else:
        holder[key] = copy.deepcopy(random.choice(VALUES))


@settings(max_examples=400)
@given(st.integers(0, 3), st.randoms(use_true_random=False))
def test_changed_headers_never_crash(saved: list[Saved], tmp_path: Path, which: int, random: Random) -> None:
    header, weights = copy.deepcopy(saved[which])
    for _ in range(random.choice((1, 1, 2))):
        change(header, random)
    path = written(tmp_path / "net.fastsep", header, weights)
    try:
        session = fastsep.load(path, threads=1)
    except ModelError as error:
        assert str(path) in str(error)
        return
    feeds = {}
    for port in session.get_inputs():
        shape = [size if isinstance(size, int) else 9 for size in port.shape]
        if math.prod(shape) > 100_000:
            return
        name = port.type[7:-1]
        feeds[port.name] = np.ones(shape, {"float": "float32", "double": "float64"}.get(name, name))
    try:
        planned = session._runs_for(feeds, {name: value.shape for name, value in feeds.items()})
        if planned.schedule.arena_bytes < 1 << 24:
            session.run(None, feeds)
    except ValueError as error:
        assert " node " in str(error)
