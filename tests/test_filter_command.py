"""`fastsep filter`: files in, files out, against the functions themselves."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import imageio.v3
import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import tifffile
from PIL import Image, ImageOps

from fastsep import _filter_command, _images
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
    imageio.v3.imwrite(tmp_path / "photo.png", CAMERA)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    assert main(["filter", "gaussian", str(tmp_path / "photo.png"), str(tmp_path / "out.png")]) == 1
    assert "pip install 'fastsep[image]'" in capsys.readouterr().err


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What the command says to arguments that it refuses."""
    assert main(["filter", *map(str, arguments)]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("fastsep filter: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_file_that_cannot_be_written_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imageio.v3.imwrite(tmp_path / "alpha.png", np.dstack([ASTRONAUT, CAMERA]))
    target = tmp_path / "keep.jpg"
    imageio.v3.imwrite(target, CAMERA)
    before = target.read_bytes()
    assert "keep.jpg" in refused(capsys, "gaussian", tmp_path / "alpha.png", target)
    assert target.read_bytes() == before
    assert "'.nothing' is no format" in refused(capsys, "box", target, tmp_path / "out.nothing")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alpha.png", "keep.jpg"]


def test_a_file_may_replace_itself_and_keeps_its_mode(tmp_path: Path) -> None:
    target, link = tmp_path / "photo.png", tmp_path / "link.png"
    imageio.v3.imwrite(target, CAMERA)
    target.chmod(0o640)
    link.symlink_to(target)
    assert main(["filter", "box", str(link), str(link)]) == 0
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    expected = scipy.ndimage.uniform_filter(CAMERA.astype(float), 3)
    assert_within_one(imageio.v3.imread(target), rounded(expected, np.uint8), 1e-2)


def test_cmyk_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = Image.fromarray(ASTRONAUT).convert("CMYK")
    for name in ("c.jpg", "c.tif"):
        picture.save(tmp_path / name)
        assert re.search(f"{name}.*CMYK.*RGB", refused(capsys, "box", tmp_path / name, tmp_path / "out.tif"))
    tifffile.imwrite(tmp_path / "white.tif", CAMERA, photometric="miniswhite")
    assert "MINISWHITE" in refused(capsys, "box", tmp_path / "white.tif", tmp_path / "out.tif")
    assert not (tmp_path / "out.tif").exists()


def test_pages_that_are_no_volume_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "pages.tif"
    tifffile.imwrite(source, CAMERA)
    tifffile.imwrite(source, CAMERA[:20], append=True)
    message = refused(capsys, "gaussian", source, tmp_path / "out.tif")
    assert re.search(r"pages.tif.* 2 pages .* 2 series: \(60, 80\) uint8, \(20, 80\) uint8", message)
    frames = [Image.fromarray(CAMERA), Image.fromarray(CAMERA[::-1])]
    frames[0].save(tmp_path / "frames.gif", save_all=True, append_images=frames[1:])
    assert "2 frames" in refused(capsys, "gaussian", tmp_path / "frames.gif", tmp_path / "out.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("pixels", [CAMERA, ASTRONAUT], ids=["grey", "colours"])
def test_pictures_are_turned_as_their_orientation_says(tmp_path: Path, orientation: int, pixels: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "photo.png", exif=exif)
    with Image.open(tmp_path / "photo.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    tag = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "photo.tif", pixels, extratags=tag)
    for name in ("photo.png", "photo.tif"):
        target = tmp_path / f"out-{name}"
        assert main(["filter", "gaussian", "--sigma", "0", str(tmp_path / name), str(target)]) == 0
        np.testing.assert_array_equal(imageio.v3.imread(target), expected)
        with Image.open(target) as image:
            assert image.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("shape", [(5, 20, 4), (5, 20, 3), (6, 7, 2)])
def test_a_volume_is_no_picture_with_colours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shape: tuple[int, ...]
) -> None:
    values = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    np.save(tmp_path / "v.npy", values)
    tifffile.imwrite(tmp_path / "v.tif", values, photometric="minisblack")
    expected = rounded(scipy.ndimage.uniform_filter(values.astype(float), 3), np.uint8)
    for name in ("v.npy", "v.tif"):
        assert main(["filter", "box", str(tmp_path / name), str(tmp_path / "out.tif")]) == 0
        with tifffile.TiffFile(tmp_path / "out.tif") as file:
            assert len(file.pages) == shape[0]
            assert file.pages[0].photometric == tifffile.PHOTOMETRIC.MINISBLACK
            assert_within_one(file.asarray(), expected, 1e-2)
    message = refused(capsys, "box", tmp_path / "v.npy", tmp_path / "out.png")
    assert ".npy has no colours" in message
    assert str(shape) in message


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA"])
def test_colours_stay_colours(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(np.dstack([ASTRONAUT, CAMERA])).convert(mode)
    picture.save(tmp_path / "photo.png")
    for target in (tmp_path / "out.tif", tmp_path / "out.png"):
        assert main(["filter", "gaussian", "--sigma", "0", str(tmp_path / "photo.png"), str(target)]) == 0
        with Image.open(target) as image:
            assert image.mode == mode
            np.testing.assert_array_equal(np.asarray(image), np.asarray(picture))


@pytest.mark.parametrize("dtype", [">u2", ">f4", ">f8"])
def test_other_byte_orders(tmp_path: Path, dtype: str) -> None:
    values = VOLUME[0].astype(dtype)
    np.save(tmp_path / "v.npy", values)
    for name in ("o.npy", "o.tif", *(("o.png",) if dtype == ">u2" else ())):
        target = tmp_path / name
        assert main(["filter", "gaussian", "--sigma", "0", str(tmp_path / "v.npy"), str(target)]) == 0
        result = np.load(target) if name == "o.npy" else imageio.v3.imread(target)
        np.testing.assert_array_equal(result, values)


def test_planes_of_colours(tmp_path: Path) -> None:
    planes = np.ascontiguousarray(np.moveaxis(ASTRONAUT, -1, 0))
    tifffile.imwrite(tmp_path / "planes.tif", planes, photometric="rgb", planarconfig="separate")
    tifffile.imwrite(tmp_path / "pixels.tif", ASTRONAUT, photometric="rgb")
    for name in ("planes", "pixels"):
        assert main(["filter", "box", str(tmp_path / f"{name}.tif"), str(tmp_path / f"{name}.png")]) == 0
    pictures = [imageio.v3.imread(tmp_path / f"{name}.png") for name in ("planes", "pixels")]
    np.testing.assert_array_equal(*pictures)
    assert pictures[0].shape == ASTRONAUT.shape


@pytest.mark.parametrize(("mode", "seen"), [("1", "LA"), ("L", "LA"), ("RGB", "RGBA"), ("P", "RGBA")])
def test_a_transparent_colour_becomes_alpha(tmp_path: Path, mode: str, seen: str) -> None:
    source, target = tmp_path / "photo.png", tmp_path / "out.png"
    picture = Image.fromarray(ASTRONAUT).convert(mode)
    transparent = picture.getpixel((5, 6))
    picture.save(source, transparency=transparent)
    assert main(["filter", "gaussian", "--sigma", "0", str(source), str(target)]) == 0
    with Image.open(source) as image:
        expected = np.asarray(image.convert("RGBA").convert(seen))
    assert expected[6, 5, -1] == 0
    np.testing.assert_array_equal(imageio.v3.imread(target), expected)


def test_a_transparent_value_of_16_bits_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(VOLUME[0]).save(tmp_path / "deep.png", transparency=7)
    assert "transparent value of I" in refused(capsys, "box", tmp_path / "deep.png", tmp_path / "out.png")


def test_nothing_is_lost_by_dtypes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "v.npy", tmp_path / "out.npy"
    for value in (2**53 + 1, -(2**53) - 1):
        np.save(source, np.array([0, value]))
        assert re.search(r"v.npy.*2\*\*53", refused(capsys, "gaussian", source, target))
    np.save(source, np.array([0.0, np.nan, 1.0]))
    assert "uint8 holds no NaN" in refused(capsys, "box", "--dtype", "uint8", source, target)
    np.save(source, np.array([1e300, 1e300]))
    assert "float32" in refused(capsys, "box", "--dtype", "float32", source, target)
    for dtype in ("bool", "complex64", "foo", "object"):
        assert re.search(f"--dtype must.*{dtype}", refused(capsys, "box", "--dtype", dtype, source, target))
    assert not target.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sobel", "--axis", "5", "photo.png"], "--axis must be from -2 to 1; got 5"),
        (["sobel", "--axis", "2", "colours.png"], "--axis must be one of the filtered axes, 0, 1; got 2"),
        (["sobel", "--axis", "0", "--axes", "1", "photo.png"], "--axis must be one of.* 1; got 0"),
        (["gaussian", "--axes", "0,2", "photo.png"], "--axes must be from -2 to 1; got 2"),
        (["gaussian", "--axes", "0,-2", "photo.png"], "--axes must be unique; got 0,-2"),
        (["gaussian", "--sigma", "inf", "photo.png"], "--sigma must be finite, 0 or greater; got inf"),
        (["gaussian", "--sigma", "nan", "photo.png"], "--sigma must be finite, 0 or greater; got nan"),
        (["gaussian", "--sigma=1,-3", "photo.png"], "--sigma must be finite, 0 or greater; got -3"),
        (["gaussian", "--sigma", "1e308", "photo.png"], "--sigma times --truncate.*got 1e"),
        (["gaussian", "--truncate", "nan", "photo.png"], "--truncate must be finite.*got nan"),
        (["gaussian", "--order=-1", "photo.png"], "--order must be 0 or greater; got -1"),
        (["box", "--sigma", "3", "photo.png"], "--sigma goes with gaussian; got filter box"),
        (["gaussian", "--size", "3", "photo.png"], "--size goes with box; got filter gaussian"),
        (["gaussian", "--axis", "0", "photo.png"], "--axis goes with sobel, prewitt, scharr"),
        (["box", "--kernel", "k.txt", "photo.png"], "--kernel goes with kernel; got filter box"),
        (["box", "--cval", "0", "photo.png"], "--cval goes with --mode constant; got --mode reflect"),
        (["box", "missing.png"], "input missing.png: No such file or directory$"),
        (["box", "."], "input .: this is a directory"),
        (["box", "truncated.png"], "input truncated.png: .*truncated"),
        (["box", "empty.png"], "input empty.png: this is no image of a format that is known"),
        (["box", "empty.tif"], "input empty.tif: "),
        (["box", "objects.npy"], "input objects.npy: this is no complete .npy file of numbers"),
        (["box", "empty.npy"], "input empty.npy: this is no complete .npy file of numbers"),
        (["box", "complex.npy"], "input complex.npy: it holds complex128, and filters take"),
        (["box", "scalar.npy"], "input scalar.npy: it has no axis to filter"),
        (["box", "deep.png"], "input deep.png: it holds colours of 16 bits, of which Pillow reads 8"),
        (["box", "deep.ppm"], "input deep.ppm: it holds colours of 16 bits, of which Pillow reads 8"),
        (["box", "colours.jp2"], "input colours.jp2: it holds colours of JPEG2000, .*write it as .tif"),
        (["box", "--size", str(10**20), "photo.png"], "--size must be from 1 to .*; got 1000"),
        (["kernel", "--kernel", "commas.txt", "photo.png"], "commas.txt: numbers have a point.*'0,5;1,0'"),
        (["kernel", "--kernel", "words.txt", "photo.png"], "kernel .* words.txt: 'two' is no number"),
        (["kernel", "--kernel", "empty.txt", "photo.png"], "kernel .* empty.txt: there are no numbers"),
        (["kernel", "--kernel", "photo.png", "photo.png"], "kernel cannot be read from photo.png"),
        (
            ["kernel", "--kernel", "complex.npy", "photo.png"],
            "--kernel must hold.*got complex128 from complex",
        ),
        (
            ["kernel", "--kernel", "deep.npy", "photo.png"],
            r"--kernel.*2.*got shape \(3, 3, 3\) from deep.npy",
        ),
    ],
)
def test_errors_name_the_option_or_the_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    imageio.v3.imwrite("photo.png", CAMERA)
    imageio.v3.imwrite("colours.png", ASTRONAUT)
    Path("truncated.png").write_bytes(Path("colours.png").read_bytes()[:3000])
    for name in ("empty.png", "empty.npy", "empty.tif", "empty.txt"):
        Path(name).touch()
    Path("words.txt").write_text("1 two\n")
    Path("commas.txt").write_text("0,5;1,0\n")
    Path("deep.ppm").write_bytes(b"P6 2 2 65535\n" + bytes(24))
    if "jp2" in arguments[-1]:
        pillow = pytest.importorskip("PIL.Image")
        pillow.fromarray(ASTRONAUT).save("colours.jp2")
    np.save("objects.npy", np.array([object()]), allow_pickle=True)
    np.save("complex.npy", np.ones((3, 3), complex))
    np.save("scalar.npy", np.float32(1))
    np.save("deep.npy", np.ones((3, 3, 3)))
    Path("deep.png").write_bytes(png_of_16_bit_colours())
    assert re.search(message, refused(capsys, *arguments, "out.tif"))
    assert not Path("out.tif").exists()


def png_of_16_bit_colours() -> bytes:
    """4 × 3 pixels, which Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + np.arange(12, dtype=">u2").tobytes()
    header = struct.pack(">IIBBBBB", 4, 3, 16, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(row * 3)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("kind", _images._FORMATS)
def test_a_format_holds_what_it_is_given_or_refuses_it(tmp_path: Path, kind: str) -> None:
    if kind not in Image.SAVE:
        pytest.skip(f"Pillow was built without {kind}")
    suffix = {"JPEG": ".jpg", "JPEG2000": ".jp2"}.get(kind, f".{kind.lower()}")
    rows, columns = np.indices((40, 48))
    for (item_bytes, samples), (mode, _) in _images._WRITTEN.items():
        values = np.stack([4 * rows + columns + 9 * sample for sample in range(samples)], -1)
        values = (values * 256 if item_bytes == 2 else values).astype(f"u{item_bytes}")
        colours = None if samples == 1 else 2
        values = values[..., 0] if samples == 1 else values
        path = tmp_path / f"{mode[0]}{samples}{suffix}"
        if mode not in _images._FORMATS[kind]:
            with pytest.raises(ValueError, match=rf"output .*\{suffix} holds .*; got"):
                _images.check(path, values.shape, values.dtype, colours)
            continue
        _images.write(path, values, colours)
        with Image.open(path) as image:
            found = np.asarray(image)
        # WebP and AVIF have no grey.
        found = found[..., 0] if found.ndim > values.ndim else found
        assert found.shape == values.shape
        off = np.abs(found.astype(int) - values.astype(int)).max()
        assert off <= (20 if kind in ("JPEG", "WEBP", "AVIF") else 0), (mode, off)


@pytest.mark.parametrize("suffix", [".ico", ".icns", ".pdf", ".eps", ".spider"])
def test_formats_that_hold_something_else_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    imageio.v3.imwrite(tmp_path / "photo.png", CAMERA)
    message = refused(capsys, "box", tmp_path / "photo.png", tmp_path / f"out{suffix}")
    assert f"'{suffix}' is no format that is written" in message


def test_a_palette_may_have_alpha_of_its_own(tmp_path: Path) -> None:
    palette = np.array([[10, 20, 30, 255], [40, 50, 60, 0], [70, 80, 90, 128]], np.uint8)
    indices = np.array([[0, 1, 2, 0], [2, 2, 1, 1]], np.uint8)
    header = struct.pack("<BBBHHBHHHHBB", 0, 1, 1, 0, len(palette), 32, 0, 0, 4, 2, 8, 0x20)
    colours = palette[:, [2, 1, 0, 3]].tobytes()
    (tmp_path / "p.tga").write_bytes(header + colours + indices.tobytes())
    target = tmp_path / "out.png"
    assert main(["filter", "gaussian", "--sigma", "0", str(tmp_path / "p.tga"), str(target)]) == 0
    np.testing.assert_array_equal(imageio.v3.imread(target), palette[indices])


def test_outputs_are_checked_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imageio.v3.imwrite(tmp_path / "photo.png", CAMERA)
    assert "this is a directory" in refused(capsys, "box", tmp_path / "photo.png", tmp_path)
    deep = VOLUME[0]
    np.save(tmp_path / "deep.npy", deep)
    assert main(["filter", "box", str(tmp_path / "deep.npy"), str(tmp_path / "deep.png")]) == 0
    expected = rounded(scipy.ndimage.uniform_filter(deep.astype(float), 3), np.uint16)
    assert_within_one(imageio.v3.imread(tmp_path / "deep.png"), expected, 1e-2)


def test_integers_saturate() -> None:
    for kind in (np.int8, np.uint16, np.int64, np.uint64):
        limits = np.iinfo(kind)
        values = np.array([-1e30, limits.min, 0.5, 1.5, 1e30])
        result = _filter_command._rounded(values, np.dtype(kind))
        assert result[0] == limits.min
        assert list(result[2:4]) == [0, 2]
        assert limits.max - result[4] <= limits.max // 2**50


def bytes_on_a_terminal(folder: Path, work: int, *arguments: str, before: str = "pass") -> str:
    """What the command writes to a terminal's error stream, for work that counts as long from `work` on."""
    leader, follower = pty.openpty()
    program = (
        f"import sys; {before};"
        "from fastsep import _filter_command as f; from fastsep.__main__ import main;"
        f"f._LONG = {work}; sys.exit(main(['filter', *{arguments}, 'volume.npy', 'out.npy']))"
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


@pytest.mark.parametrize(
    "arguments",
    [("gaussian",), ("sobel",), ("sobel", "--axis", "0"), ("laplace",), ("kernel", "--kernel", "volume.npy")],
    ids=" ".join,
)
def test_a_bar_is_shown_on_terminals_while_the_work_is_long(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    np.save(tmp_path / "volume.npy", VOLUME[:3, :4, :5])
    assert "filtering" in bytes_on_a_terminal(tmp_path, 0, *arguments)
    assert bytes_on_a_terminal(tmp_path, 10**9, *arguments) == ""


def test_without_rich_there_is_no_bar(tmp_path: Path) -> None:
    np.save(tmp_path / "volume.npy", VOLUME[:3, :4, :5])
    assert bytes_on_a_terminal(tmp_path, 0, "laplace", before="sys.modules['rich.console'] = None") == ""
    assert (tmp_path / "out.npy").exists()
