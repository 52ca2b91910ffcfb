"""Weights are read where they lie in a model file: what is taken out before it is parsed, what is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_models import model, small_network, weight

import fastsep
from fastsep.onnx import InferenceSession
from fastsep.onnx._load import load
from fastsep.onnx._mapped import give_back
from fastsep.onnx._weights import Weights
from fastsep.onnx._wire import split

X = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)


def taken_apart(data: bytes) -> onnx.ModelProto:
    """Parse what `split` leaves, and put back what it took."""
    rest, raw = split(memoryview(data), least=0)
    proto = onnx.ModelProto.FromString(rest)
    if raw:
        for tensor, part in zip(proto.graph.initializer, raw, strict=True):
            if part is not None:
                assert not tensor.HasField("raw_data")
                tensor.raw_data = bytes(part)
    return proto


def test_weights_are_taken_out_and_all_else_is_kept() -> None:
    proto = small_network()
    proto.graph.initializer[3].ClearField("raw_data")
    proto.graph.initializer[3].float_data.extend([1.0] * 16)
    data = proto.SerializeToString()
    rest, raw = split(memoryview(data), least=0)
    assert len(raw) == len(proto.graph.initializer) and raw[3] is None
    assert len(rest) + sum(0 if part is None else len(part) for part in raw) < len(data)
    assert taken_apart(data) == proto


def test_small_weights_are_left_to_the_parser() -> None:
    proto = small_network()
    data = proto.SerializeToString()
    rest, raw = split(memoryview(data), least=2000)
    kept = onnx.ModelProto.FromString(rest).graph.initializer
    for tensor, of_file, part in zip(kept, proto.graph.initializer, raw, strict=True):
        assert (part is None) == (of_file.ByteSize() < 2000)
        assert tensor.HasField("raw_data") == (part is None)


def test_a_graph_in_two_pieces_is_one() -> None:
    first, second = small_network(), onnx.ModelProto()
    second.graph.initializer.append(helper.make_tensor("more", TensorProto.FLOAT, [2], b"\0" * 8, raw=True))
    data = first.SerializeToString() + second.SerializeToString()
    assert taken_apart(data) == onnx.ModelProto.FromString(data)
    assert len(split(memoryview(data), least=0)[1]) == len(first.graph.initializer) + 1


@given(st.data())
def test_changed_bytes_are_what_the_parser_says(draw: st.DataObject) -> None:
    data = bytearray(small_network().SerializeToString())
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    changed = bytes(data[: draw.draw(st.integers(0, len(data)))])
    try:
        wanted = onnx.ModelProto.FromString(changed)
    except DecodeError:
        with pytest.raises(DecodeError):
            taken_apart(changed)
    else:
        assert taken_apart(changed).SerializeToString() == wanted.SerializeToString()


@given(st.binary(max_size=200))
def test_any_bytes_are_what_the_parser_says(data: bytes) -> None:
    try:
        wanted = onnx.ModelProto.FromString(data)
    except DecodeError:
        with pytest.raises(DecodeError):
            taken_apart(data)
    else:
        assert taken_apart(data).SerializeToString() == wanted.SerializeToString()


def test_weights_lie_in_the_file_until_they_are_independent(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(small_network(), path)
    graph = load(path)
    name = "stem.w"
    owner = graph.constants[name]
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    assert not owner.flags.owndata
    before = dict(graph.constants)
    Weights(graph).own()
    assert all(value.flags.owndata for value in graph.constants.values())
    assert np.array_equal(before[name], graph.constants[name])
    with pytest.raises(ValueError, match="read-only"):
        graph.constants[name][...] = 0


@pytest.mark.parametrize("sizes", [(1, 32), ("n", "s")])
@pytest.mark.parametrize("change", ["overwritten", "truncated", "deleted"])
def test_the_file_may_change_once_it_is_loaded(
    tmp_path: Path, change: str, sizes: tuple[int | str, int | str]
) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(small_network(*sizes), path)
    session = InferenceSession(str(path))
    wanted = InferenceSession(path.read_bytes()).run(None, {"x": X})[0]
    if change == "overwritten":
        path.write_bytes(bytes(path.stat().st_size))
    elif change == "truncated":
        path.write_bytes(b"")
    else:
        path.unlink()
    # Packed now, for the first shapes that come.
    assert np.array_equal(session.run(None, {"x": X})[0], wanted)
    session.save(tmp_path / "net.fastsep")
    assert np.array_equal(fastsep.load(tmp_path / "net.fastsep").run(None, {"x": X})[0], wanted)


@pytest.mark.parametrize("offset", range(8))
def test_weights_at_any_address(offset: int) -> None:
    # A name moves what lies behind it; a product that no layer takes reads the constant as it is.
    name = "w" * (1 + offset)
    nodes = [
        helper.make_node("Conv", ["x", name], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Mul", ["b", "factor"], ["y"]),
    ]
    weights = {name: weight(0, 5, 3, 1, 1), "factor": weight(1, 1, 5, 32, 32)}
    proto = model(nodes, {"x": [1, 3, 32, 32]}, {"y": [1, 5, 32, 32]}, weights)
    (got,) = InferenceSession(proto.SerializeToString()).run(None, {"x": X})
    plain = np.einsum("oc,nchw->nohw", weights[name][:, :, 0, 0].astype(np.float64), X.astype(np.float64))
    np.testing.assert_allclose(got, np.maximum(plain, 0) * weights["factor"], rtol=0, atol=1e-5)


def resident_bytes(path: Path) -> int:
    """Bytes of a mapped file that are in this process's memory."""
    inside, total = False, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            inside = line.endswith(str(path))
        elif inside and first == "Rss:":
            total += 1024 * int(line.split()[1])
    return total


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux says which pages are there")
def test_pages_of_packed_weights_are_given_back(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    numbers = np.arange(1 << 18, dtype=np.float32)
    numbers.tofile(path)
    mapped = np.asarray(np.memmap(path, np.float32, mode="r"))
    assert np.array_equal(mapped, numbers)
    before = resident_bytes(path)
    give_back(mapped[3:-5])
    # The first and the last page hold other numbers as well.
    assert resident_bytes(path) <= before - numbers.nbytes + 2 * 65536
    assert np.array_equal(mapped, numbers)


def test_arrays_of_their_own_have_nothing_to_give_back() -> None:
    for value in (np.ones(10000), np.frombuffer(bytes(80000), np.float32)):
        before = value.copy()
        give_back(value)
        assert np.array_equal(value, before)


def test_a_loaded_network_maps_its_file_but_does_not_keep_it_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "net.fastsep"
    weights = {"w": weight(0, 512, 512, 3, 3)}
    proto = model(
        [helper.make_node("Conv", ["x", "w"], ["y"])], {"x": [1, 512, 3, 3]}, {"y": [1, 512, 1, 1]}, weights
    )
    InferenceSession(proto.SerializeToString()).save(path)
    again = fastsep.load(path)
    if Path("/proc/self/smaps").exists():
        assert resident_bytes(path) < weights["w"].nbytes / 4
    again.save(tmp_path / "copy.fastsep")
    assert (tmp_path / "copy.fastsep").read_bytes() == path.read_bytes()
