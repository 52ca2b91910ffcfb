"""`fastsep filter`: files in, files out, against the functions themselves."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio.v3
import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import tifffile

from fastsep import _filter_command
from fastsep.__main__ import main

CAMERA = skimage.data.camera()[:60, :80]
ASTRONAUT = skimage.data.astronaut()[:60, :80]
VOLUME = np.random.default_rng(0).integers(0, 4000, (9, 20, 30)).astype(np.uint16)


def rounded(values: Any, dtype: Any) -> Any:
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


def assert_within_one(actual: Any, expected: Any, share: float = 1e-3) -> None:
    """Equal, but for numbers near a half, which float32 and float64 may round to either side."""
    assert actual.dtype == expected.dtype
    difference = np.abs(actual.astype(float) - expected)
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= share * difference.size


def test_gaussian_of_a_picture(tmp_path: Path) -> None:
    source, target = tmp_path / "photo.png", tmp_path / "out.png"
    imageio.v3.imwrite(source, ASTRONAUT)
    assert main(["filter", "gaussian", "--sigma", "3", str(source), str(target)]) == 0
    expected = scipy.ndimage.gaussian_filter(ASTRONAUT.astype(float), 3, axes=(0, 1))
    assert_within_one(imageio.v3.imread(target), rounded(expected, np.uint8))


def test_box_of_a_volume_of_pages(tmp_path: Path) -> None:
    source, target = tmp_path / "volume.tif", tmp_path / "out.tif"
    tifffile.imwrite(source, VOLUME, photometric="minisblack")
    assert main(["filter", "box", "--size", "1,3,5", "--mode", "wrap", str(source), str(target)]) == 0
    expected = scipy.ndimage.uniform_filter(VOLUME.astype(float), (1, 3, 5), mode="wrap")
    assert_within_one(tifffile.imread(target), rounded(expected, np.uint16), 1e-2)


def test_gaussian_of_an_array_keeps_its_dtype(tmp_path: Path) -> None:
    source, target = tmp_path / "volume.npy", tmp_path / "out.npy"
    np.save(source, VOLUME.astype(np.float64))
    arguments = ["--sigma", "1,2,0", "--order", "0,1,0", "--mode", "constant", "--cval", "5"]
    assert main(["filter", "gaussian", *arguments, "--threads", "2", str(source), str(target)]) == 0
    expected = scipy.ndimage.gaussian_filter(
        VOLUME.astype(float), (1, 2, 0), (0, 1, 0), mode="constant", cval=5
    )
    np.testing.assert_allclose(np.load(target), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("name", "sum_of_taps"), [("sobel", 4), ("prewitt", 3), ("scharr", 16)])
def test_edges_are_root_mean_squares_in_the_range_of_the_input(
    tmp_path: Path, name: str, sum_of_taps: int
) -> None:
    source, target = tmp_path / "photo.png", tmp_path / "out.png"
    imageio.v3.imwrite(source, CAMERA)
    assert main(["filter", name, str(source), str(target)]) == 0
    smoothing = {"sobel": [1, 2, 1], "prewitt": [1, 1, 1], "scharr": [3, 10, 3]}[name]
    kernel = np.outer(smoothing, [-1, 0, 1]) / sum_of_taps
    squares = [scipy.ndimage.correlate(CAMERA.astype(float), k) ** 2 for k in (kernel, kernel.T)]
    assert_within_one(imageio.v3.imread(target), rounded(np.sqrt(np.mean(squares, axis=0)), np.uint8), 1e-2)


def test_one_derivative_is_signed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "photo.png", tmp_path / "out.tif"
    imageio.v3.imwrite(source, ASTRONAUT)
    assert main(["filter", "sobel", "--axis", "0", str(source), str(target)]) == 0
    expected = [scipy.ndimage.sobel(ASTRONAUT[..., c].astype(float), 0) for c in range(3)]
    np.testing.assert_array_equal(tifffile.imread(target), np.stack(expected, axis=-1).astype(np.float32))
    assert main(["filter", "sobel", "--axis", "0", str(source), str(tmp_path / "out.png")]) == 1
    assert "float32; write .tif or .npy" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".txt", ".npy"])
def test_a_kernel_from_a_file(tmp_path: Path, suffix: str) -> None:
    kernel = np.array([[0, 1.5, 0], [1, -4, 0], [0, 1, 0.25]])
    source, target, table = tmp_path / "photo.npy", tmp_path / "out.npy", tmp_path / f"kernel{suffix}"
    np.save(source, CAMERA)
    if suffix == ".npy":
        np.save(table, kernel)
    else:
        table.write_text("\n".join(", ".join(map(str, row)) for row in kernel))
    arguments = ["--kernel", str(table), "--dtype", "float64", str(source), str(target)]
    assert main(["filter", "kernel", *arguments]) == 0
    np.testing.assert_allclose(np.load(target), scipy.ndimage.correlate(CAMERA.astype(float), kernel))


def test_laplace_of_chosen_axes(tmp_path: Path) -> None:
    source, target = tmp_path / "volume.npy", tmp_path / "out.npy"
    np.save(source, VOLUME)
    assert main(["filter", "laplace", "--axes", "1,2", str(source), str(target)]) == 0
    expected = scipy.ndimage.laplace(VOLUME.astype(np.float32), axes=(1, 2))
    np.testing.assert_array_equal(np.load(target), expected)


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["gaussian", "missing.png", "out.png"], "missing.png"),
        (["gaussian", "--sigma", "1,2,3", "photo.png", "out.png"], "--sigma.*2.*got 3"),
        (["kernel", "photo.png", "out.png"], "--kernel FILE"),
        (["box", "--size", "0", "photo.png", "out.png"], "--size.*0"),
        (["box", "photo.png", "nowhere/out.png"], "nowhere"),
        (["gaussian", "--threads", "0", "photo.png", "out.png"], "threads"),
        (["gaussian", "--dtype", "nothing", "photo.png", "out.png"], "nothing"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    fragment: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    imageio.v3.imwrite("photo.png", CAMERA)
    assert main(["filter", *arguments]) == 1
    assert re.search(fragment, capsys.readouterr().err)


def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "imageio.v3", None)
    assert main(["filter", "gaussian", str(tmp_path / "photo.png"), "out.png"]) == 1
    assert "pip install 'fastsep[image]'" in capsys.readouterr().err


def test_integers_saturate() -> None:
    for kind in (np.int8, np.uint16, np.int64, np.uint64):
        limits = np.iinfo(kind)
        values = np.array([-1e30, limits.min, 0.5, 1.5, 1e30])
        result = _filter_command._rounded(values, np.dtype(kind))
        assert result[0] == limits.min
        assert list(result[2:4]) == [0, 2]
        assert limits.max - result[4] <= limits.max // 2**50


def bytes_on_a_terminal(folder: Path, work: int) -> str:
    """What the command writes to a terminal's error stream, for work that counts as long from `work` on."""
    leader, follower = pty.openpty()
    program = (
        "import sys; from fastsep import _filter_command as f; from fastsep.__main__ import main;"
        f"f._LONG = {work}; sys.exit(main(['filter', 'gaussian', 'volume.npy', 'out.npy']))"
    )
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, stderr=follower, timeout=120, env=environment
    )
    assert process.returncode == 0
    os.close(follower)
    os.set_blocking(leader, False)
    try:
        return os.read(leader, 1 << 16).decode()
    except (BlockingIOError, OSError):
        return ""
    finally:
        os.close(leader)


def test_a_bar_is_shown_on_terminals_while_the_work_is_long(tmp_path: Path) -> None:
    np.save(tmp_path / "volume.npy", VOLUME)
    assert "filtering" in bytes_on_a_terminal(tmp_path, 0)
    assert bytes_on_a_terminal(tmp_path, 10**9) == ""
