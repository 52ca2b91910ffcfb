"""Reading and writing images and volumes; needs the extra ``image``, but for .npy."""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_TIFF = (".tif", ".tiff")
# Pillow's modes of grey, or of red, green and blue, with or without alpha; P and PA have a palette.
_MODES = ("1", "L", "LA", "RGB", "RGBA", "P", "PA", "I", "I;16", "I;16B", "I;16L", "F")
# What pictures are, by bytes of a number and numbers of a pixel, in Pillow's words and in ours.
_WRITTEN = {(1, 1): ("L", "grey"), (1, 2): ("LA", "grey with alpha"), (1, 3): ("RGB", "RGB"),
            (1, 4): ("RGBA", "RGB with alpha"), (2, 1): ("I;16", "grey of 16 bits")}  # fmt: skip
# Formats that hold such as they are, but for what lossy ones lose; others make palettes, or several sizes.
_FORMATS = {
    "PNG": ("L", "LA", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB"),
    "JPEG2000": ("L", "LA", "RGB", "RGBA", "I;16"),
    "WEBP": ("L", "RGB", "RGBA"),
    "AVIF": ("L", "RGB", "RGBA"),
    "GIF": ("L",),
    "BMP": ("L", "RGB"),
    "PPM": ("L", "RGB", "I;16"),
    "TGA": ("L", "LA", "RGB", "RGBA"),
    "PCX": ("L", "RGB"),
    "SGI": ("L", "RGB", "RGBA"),
}
# Orientations of TIFF and EXIF: whether rows and columns are exchanged, then which of both are reversed.
_ORIENTATIONS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


class Image(NamedTuple):
    """What a file holds."""

    values: Array
    spatial: tuple[int, ...]
    """The axes that lie in space: all but colours, channels and time."""
    colours: int | None
    """The axis of a pixel's samples; None if it has one. An .npy has no colours."""


def read(path: Path) -> Image:
    """Read a file by its suffix: .npy, .tif (all pages, as a volume), and whatever Pillow reads.

    An image comes as it is to be seen: its orientation is applied.

    Raises
    ------
    ValueError
        The file is missing, or holds something else than one image or volume, grey or in RGB.
    ImportError
        A package of the extra is missing.
    """
    suffix = path.suffix.lower()
    with _naming(f"input {path}"):
        if path.is_dir():
            raise ValueError("this is a directory")
        if suffix == ".npy":
            image = _read_npy(path)
        elif suffix in _TIFF:
            image = _read_tiff(path)
        else:
            image = _read_picture(path)
        dtype = image.values.dtype
        if dtype.kind not in "biu" and (dtype.kind != "f" or dtype.itemsize not in (4, 8)):
            raise ValueError(
                f"it holds {dtype}, and filters take bool, integers, float32 and float64; convert it first"
            )
    return image


def _read_npy(path: Path) -> Image:
    with path.open("rb") as file:
        try:
            values = np.lib.format.read_array(file, allow_pickle=False)
        except ValueError:
            raise ValueError("this is no complete .npy file of numbers") from None
    return Image(values, tuple(range(values.ndim)), None)


def _read_tiff(path: Path) -> Image:
    with package("tifffile").TiffFile(path) as file:
        if len(file.series) != 1:
            shapes = ", ".join(f"{series.shape} {series.dtype}" for series in file.series)
            raise ValueError(
                f"it holds {len(file.pages)} pages that are no volume, in {len(file.series)} series: "
                f"{shapes}; write each to a file of its own"
            )
        series = file.series[0]
        page = series.keyframe
        kind = getattr(page.photometric, "name", str(page.photometric))
        # Tifffile makes RGB of what a JPEG inside holds, and of nothing else.
        decoded = kind == "YCBCR" and getattr(page.compression, "name", "") == "JPEG"
        if kind not in ("MINISBLACK", "RGB") and not decoded:
            raise ValueError(f"its pixels are {_colour(kind)}; convert them to grey or RGB first")
        # Tifffile's letters: samples of a pixel, channels, time.
        axes, values = series.axes, series.asarray()
        orientation = page.tags.get("Orientation")
    if orientation is not None and orientation.value in _ORIENTATIONS and {"X", "Y"} <= set(axes):
        exchanged, *reversed_axes = _ORIENTATIONS[orientation.value]
        places = axes.index("Y"), axes.index("X")
        values = np.swapaxes(values, *places) if exchanged else values
        flipped = tuple(place for place, flip in zip(places, reversed_axes, strict=True) if flip)
        values = np.ascontiguousarray(np.flip(values, flipped))
    spatial = tuple(i for i, kind in enumerate(axes) if kind not in "SCT")
    return Image(values, spatial, axes.index("S") if "S" in axes else None)


def _read_picture(path: Path) -> Image:
    pillow, operations = package("PIL.Image"), package("PIL.ImageOps")
    try:
        file = pillow.open(path)
    except pillow.UnidentifiedImageError:
        raise ValueError(
            "this is no image of a format that is known: .npy, .tif, or one of Pillow's"
        ) from None
    with file:
        # The further pictures of an MPO, which cameras name .jpg, are previews and depths of the first.
        frames = 1 if file.format == "MPO" else getattr(file, "n_frames", 1)
        if frames > 1:
            raise ValueError(f"it holds {frames} frames, and one is filtered; a volume is .tif or .npy")
        if file.mode not in _MODES:
            raise ValueError(f"its pixels are {_colour(file.mode)}; convert them to grey or RGB first")
        if len(file.getbands()) > 1:
            if file.format in ("JPEG2000", "AVIF"):
                raise ValueError(
                    f"it holds colours of {file.format}, of which Pillow reads 8 bits and does not say "
                    "whether there are more; write it as .tif or .png"
                )
            if any(map(_has_words, file.tile)):
                raise ValueError("it holds colours of 16 bits, of which Pillow reads 8; write it as .tif")
        image = operations.exif_transpose(file)
        # A palette's colours may have alpha of their own.
        own = image.mode == "P" and image.palette.mode.endswith("A")
        if "P" in image.mode or "transparency" in image.info:
            if image.mode not in ("1", "L", "RGB", "P", "PA"):
                raise ValueError(
                    f"a transparent value of {image.mode} would be lost; store it as alpha first"
                )
            alpha = own or image.mode == "PA" or "transparency" in image.info
            grey = image.mode in ("1", "L")
            image = image.convert(("L" if grey else "RGB") + "A" * alpha)
        values = np.asarray(image)
        if file.format == "PNG" and image.mode == "I":
            values = values.astype(np.uint16)  # as Pillow before 11 reads 16 bits
    return Image(values, (0, 1), 2 if values.ndim == 3 else None)


def _has_words(tile: Any) -> bool:
    """Whether a decoder reads 16 bits a sample: by its raw mode (RGB;16B), of PPM by the greatest value."""
    decoder, arguments = tile[0], tile[3]
    return ";16" in str(arguments) or (decoder.startswith("ppm") and arguments[-1] > 255)


def _colour(kind: str) -> str:
    return "CMYK" if kind == "SEPARATED" else kind


def check(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], colours: int | None) -> None:
    """Raise what `write` would, as far as can be known before there are values."""
    suffix = path.suffix.lower()
    with _naming(f"output {path}"):
        if path.is_dir():
            raise ValueError("this is a directory")
        if not path.parent.is_dir():
            raise ValueError(f"there is no directory {path.parent}")
        if suffix == ".npy":
            return
        if suffix in _TIFF:
            package("tifffile")
            return
        pillow = package("PIL.Image")
        pillow.init()
        kind = pillow.registered_extensions().get(suffix)
        if kind not in _FORMATS or kind not in pillow.SAVE:
            raise ValueError(
                f"{suffix or 'no suffix'!r} is no format that is written; write .tif, .npy or .png"
            )
        dtype = dtype.newbyteorder("=")
        samples = 1 if colours is None else shape[colours]
        if len(shape) - (colours is not None) != 2 or not 1 <= samples <= 4:
            raise ValueError(
                f"{suffix} holds one image, grey or in RGB (.npy has no colours); got shape {shape}; "
                "write .tif or .npy"
            )
        if dtype != np.uint8 and (dtype != np.uint16 or samples > 1):
            raise ValueError(
                f"{suffix} holds uint8, or uint16 without colours; got {dtype}; write .tif or .npy"
            )
        mode, what = _WRITTEN[dtype.itemsize, samples]
        if mode not in _FORMATS[kind]:
            held = ", ".join(words for name, words in _WRITTEN.values() if name in _FORMATS[kind])
            raise ValueError(f"{suffix} holds {held}; got {what}; write .tif, .npy or .png")


def write(path: Path, values: Array, colours: int | None) -> None:
    """Write a file by its suffix, as `read` reads it.

    One that is there is replaced when the new one is complete.

    Raises
    ------
    ValueError
        The format does not hold such values, or the file cannot be written.
    ImportError
        A package of the extra is missing.
    """
    check(path, values.shape, values.dtype, colours)
    suffix = path.suffix.lower()
    with _naming(f"output {path}"), _replacing(path) as unfinished:
        if suffix == ".npy":
            with unfinished.open("wb") as file:
                np.save(file, values)
            return
        if colours is not None:
            values = np.ascontiguousarray(np.moveaxis(values, colours, -1))
        if suffix in _TIFF:
            layout: dict[str, Any] = {"photometric": "minisblack"}
            if colours is not None:
                # Without it, three axes would be taken for pages, or pages for colours.
                samples = values.shape[-1]
                layout = {
                    "photometric": "rgb" if samples in (3, 4) else "minisblack",
                    "planarconfig": "contig",
                }
                if samples in (2, 4):
                    layout["extrasamples"] = ["unassalpha"]
            package("tifffile").imwrite(unfinished, values, **layout)
            return
        package("PIL.Image").fromarray(values).save(unfinished)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file of the same suffix in a directory beside, which then takes the place of `path`, or vanishes."""
    path = path.resolve()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        unfinished = Path(folder, path.name)
        yield unfinished
        if path.exists():
            shutil.copymode(path, unfinished)
        os.replace(unfinished, path)


@contextmanager
def _naming(file: str) -> Iterator[None]:
    """What is wrong, with the file's name: decoders do not say it, and raise errors of many types."""
    try:
        yield
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ValueError(f"{file}: {reason}") from None


def package(name: str) -> Any:
    """Return a package of the extra, or say how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{error}; images need `pip install 'fastsep[image]'`") from None
