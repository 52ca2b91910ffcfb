"""`fastsep run`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio.v3
import numpy as np
import onnx
import pytest
import skimage.data
from onnx import helper
from onnx_models import model, small_network

import fastsep
from fastsep.__main__ import main
from fastsep.onnx import InferenceSession

PHOTO = skimage.data.astronaut()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    onnx.save(small_network("n", "s"), folder / "net.onnx")
    InferenceSession(folder / "net.onnx").save(folder / "net.fastsep")
    imageio.v3.imwrite(folder / "photo.png", PHOTO)
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    code = main(["run", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def colour_means(layout: str) -> onnx.ModelProto:
    """A network whose logits are the means of the channels of its input."""
    nchw = layout == "nchw"
    axes = np.array([2, 3] if nchw else [1, 2])
    shape = [1, 3, 40, 40] if nchw else [1, 40, 40, 3]
    nodes = [helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)]
    return model(nodes, {"x": shape}, {"y": [1, 3]}, {"axes": axes}, opset=18)


def test_classes_of_a_photo(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = folder / "labels.txt"
    labels.write_text("\n".join(f"name{index}" for index in range(10)))
    arguments = ["--image", folder / "photo.png", "--top", 3, "--labels", labels, "--size", 64]
    code, text, _ = run(capsys, folder / "net.onnx", *arguments)
    assert code == 0
    shown = re.findall(r"([\d.]+)%  name(\d+) \((\d+)\)", text)
    assert len(shown) == 3 and all(name == index for _, name, index in shown)
    shares = [float(share) for share, _, _ in shown]
    assert shares == sorted(shares, reverse=True)
    assert "assumed --layout nchw" in text and "assumed --mean 0.485,0.456,0.406" in text
    assert "logits: softmax" in text and "ms a run" in text
    code, saved, _ = run(capsys, folder / "net.fastsep", *arguments)
    assert code == 0 and re.findall(r"([\d.]+)%  name(\d+) \((\d+)\)", saved) == shown


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_the_image_arrives_as_it_is(layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(colour_means(layout), tmp_path / "means.onnx")
    picture = np.zeros((50, 70, 3), np.uint8)
    picture[...] = (255, 51, 0)
    imageio.v3.imwrite(tmp_path / "red.png", picture)
    arguments = [
        tmp_path / "means.onnx",
        "--image",
        tmp_path / "red.png",
        "--mean",
        "0",
        "--std",
        "1",
        "--top",
        3,
    ]
    code, text, _ = run(capsys, *arguments)
    assert code == 0 and f"assumed --layout {layout}" in text
    shares = {int(index): float(share) for share, index in re.findall(r"([\d.]+)%  class (\d)", text)}
    wanted = np.exp([1, 0.2, 0]) / np.exp([1, 0.2, 0]).sum() * 100
    assert [shares[index] for index in range(3)] == pytest.approx(wanted, abs=0.01)


def test_random_inputs_and_profile(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = run(
        capsys, folder / "net.onnx", "--profile", "--batch", 2, "--size", "40", "--threads", 1
    )
    assert code == 0
    assert "x (2, 3, 40, 40)" in text and "on 1 thread," in text
    table = text[text.index("\nstep ") :].splitlines()[1:]
    assert table[0].split() == ["step", "stands", "for", "output", "by", "ms", "MFLOP", "roofline"]
    rows = [line for line in table if re.search(r" (kernel|NumPy) ", line)]
    assert [line.split()[0] for line in rows] == [
        "Conv",
        "InvertedResidual",
        "Separable",
        "GlobalPool",
        "Dense",
    ]
    for line in rows:
        found = re.search(r" kernel +(\d+\.\d{3}) +(\d+\.\d) +(\d+)%$", line)
        assert found is not None, line
    assert "nodes: part of the steps: " in text and "\nnode " not in text
    code, text, _ = run(capsys, folder / "net.onnx", "--nodes", "--size", 32)
    assert code == 0 and "\nstep " not in text
    account = text[text.index("\nnode ") :].splitlines()[3:]
    names = [node.name or node.output[0] for node in onnx.load(folder / "net.onnx").graph.node]
    assert [line.split()[0] for line in account] == names
    assert all(re.search(r" step \d+, \w+$", line) for line in account)
    # The stem: 27 multiply-adds for each of 16 channels of 20² pixels of 2 images.
    assert float(rows[0].split()[-2]) == pytest.approx(2 * 27 * 16 * 400 * 2 / 1e6, abs=0.05)
    assert sum(float(line.split()[-3]) for line in rows) > 0
    assert max(int(line.split()[-1][:-1]) for line in rows) > 0


def test_of_several_outputs_the_first_is_classified_and_the_others_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proto = colour_means("nchw")
    proto.graph.node.append(helper.make_node("Neg", ["y"], ["z"]))
    proto.graph.output.append(helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [1, 3]))
    onnx.save(proto, tmp_path / "two.onnx")
    imageio.v3.imwrite(tmp_path / "red.png", np.full((40, 40, 3), (255, 51, 0), np.uint8))
    code, text, _ = run(capsys, tmp_path / "two.onnx", "--image", tmp_path / "red.png")
    assert code == 0 and "classes are those of the first output, 'y'; not shown: 'z'" in text
    onnx.save(colour_means("nchw"), tmp_path / "one.onnx")
    assert "not shown" not in run(capsys, tmp_path / "one.onnx", "--image", tmp_path / "red.png")[1]


def test_what_is_wrong_is_said(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net, photo = folder / "net.onnx", folder / "photo.png"
    few = tmp_path / "few.txt"
    few.write_text("one\ntwo")
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"no model")
    for arguments, words in (
        ([tmp_path / "none.onnx"], "none.onnx"),
        ([tmp_path / "none.fastsep"], "none.fastsep"),
        ([junk], "no ONNX model"),
        ([net, "--image", tmp_path / "none.png"], "none.png"),
        ([net, "--image", photo, "--labels", few], "2 lines; the model has 10"),
        (
            [net, "--image", photo, "--labels", photo],
            f"--labels must be a text file in UTF-8, one class a line; {photo}: ",
        ),
        ([net, "--image", photo, "--size", "100000"], "--size 100000,100000: an image of so many pixels"),
        ([net, "--size", "100000"], "random input 'x' of shape (1, 3, 100000, 100000) is more than"),
        ([net, "--batch", str(10**30)], f"random input 'x' of shape ({10**30}, 3, 224, 224) is more than"),
        ([net, "--image", photo, "--mean", "1,2"], "--mean must hold 1 or 3"),
        ([net, "--image", photo, "--std", "0"], "--std must be positive"),
        ([net, "--top", "0"], "--top"),
        ([net, "--threads", "0"], "threads"),
    ):
        code, out, err = run(capsys, *arguments)
        assert code == 1 and words in err and not out, arguments


def test_sizes_that_a_model_fixes_are_not_called_an_argument(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proto = colour_means("nchw")
    for axis in (2, 3):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 14000
    onnx.save(proto, tmp_path / "large.onnx")
    imageio.v3.imwrite(tmp_path / "photo.png", PHOTO)
    shape = "(1, 3, 14000, 14000)"
    for arguments, words in (
        ([], f"random input 'x' of shape {shape} is more than 4294967296 bytes in float64"),
        (["--image", tmp_path / "photo.png"], f"'x' is {shape}: an image of so many pixels is more than"),
    ):
        code, out, err = run(capsys, tmp_path / "large.onnx", *arguments)
        assert code == 1 and words in err and "--size" not in err and not out, arguments


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--labels", "names.txt"], "--labels needs --image"),
        (["--layout", "nhwc"], "--layout needs --image"),
        (["--mean", "0"], "--mean needs --image"),
        (["--std", "1"], "--std needs --image"),
        (["--top", "3"], "--top needs --image"),
        (["--batch", "0"], "--batch must be at least 1; got 0"),
        (["--batch", "2"], "--batch 2: the model fixes its batch; 'x' is (1, 3, 40, 40)"),
        (["--size", "41"], "--size 41,41: the model fixes its sizes; 'x' is (1, 3, 40, 40)"),
        # None of these makes an image first, nor looks for one.
        (
            ["--image", "red.png", "--size", "100000"],
            "--size 100000,100000: the model fixes its sizes; 'x' is",
        ),
        (["--image", "red.png", "--size", "40,41"], "--size 40,41: the model fixes its sizes; 'x' is"),
        (["--image", "red.png", "--batch", "2"], "--batch is for random inputs"),
        (["--image", "red.png", "--mean", "nan"], "--mean must be finite; got nan"),
        (["--image", "red.png", "--std", "inf"], "--std must be finite; got inf"),
    ],
)
def test_no_argument_is_ignored(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(colour_means("nchw"), tmp_path / "means.onnx")
    code, _, error = run(capsys, tmp_path / "means.onnx", *arguments)
    assert code != 0 and words in error


@pytest.mark.parametrize("arguments", [[], ["--batch", "1"], ["--size", "40"]])
def test_what_the_model_says_may_be_said_again(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(colour_means("nchw"), tmp_path / "means.onnx")
    assert run(capsys, tmp_path / "means.onnx", *arguments)[0] == 0


@pytest.mark.parametrize("text", ["0", "224,0", "1,2,3", "many", ""])
def test_what_a_size_must_be_is_said(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(capsys, "net.onnx", "--size", text)
    wanted = "argument --size: must be one number of at least 1, or height,width, such as 224 or 224,320; got"
    assert f"{wanted} {text!r}" in capsys.readouterr().err


@pytest.mark.parametrize("op", ["Log", "Reciprocal"])
def test_no_class_is_likeliest_where_there_is_no_number(
    op: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proto = colour_means("nchw")
    proto.graph.node[0].output[0] = "mean"
    proto.graph.node.append(helper.make_node(op, ["mean"], ["y"]))
    onnx.save(proto, tmp_path / "net.onnx")
    picture = np.zeros((40, 40, 3), np.uint8)
    imageio.v3.imwrite(tmp_path / "black.png", picture)
    arguments = ["--image", tmp_path / "black.png", "--std", "1", "--mean", "0.5" if op == "Log" else "0"]
    code, text, _ = run(capsys, tmp_path / "net.onnx", *arguments)
    assert code == 0 and "no class is likeliest: outputs are NaN or infinite" in text and "%" not in text


def test_memory_that_is_not_there_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(options: object) -> str:
        raise MemoryError

    monkeypatch.setattr("fastsep._run_command.run_network", none_left)
    assert run(capsys, folder / "net.onnx") == (1, "", "fastsep run: MemoryError\n")


def test_a_saved_network_needs_numpy_alone(folder: Path) -> None:
    program = (
        "import sys\n"
        "for name in ('onnx', 'google.protobuf', 'scipy', 'PIL', 'rich'): sys.modules[name] = None\n"
        "import numpy as np, fastsep\n"
        f"session = fastsep.load({str(folder / 'net.fastsep')!r}, threads=1)\n"
        "x = np.zeros((1, 3, 32, 32), np.float32)\n"
        "print(session.run(None, {'x': x})[0].shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "(1, 10)\n"
    assert fastsep.load(folder / "net.fastsep").get_inputs()[0].shape == ["n", 3, "s", "s"]
