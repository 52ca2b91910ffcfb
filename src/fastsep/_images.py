"""Reading and writing images and volumes; needs the extra ``image``, but for .npy."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_TIFF = (".tif", ".tiff")


class Image(NamedTuple):
    """What a file holds."""

    values: Array
    spatial: tuple[int, ...]
    """The axes that lie in space: all but colours, channels and time."""


def read(path: Path) -> Image:
    """Read a file by its suffix: .npy, .tif (all pages, as a volume), and whatever imageio reads.

    Raises
    ------
    OSError, ValueError
        The file is missing or holds no image.
    ImportError
        A package of the extra is missing.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        values = np.load(path, allow_pickle=False)
        return Image(values, tuple(range(values.ndim)))
    if suffix in _TIFF:
        with package("tifffile").TiffFile(path) as file:
            series = file.series[0]
            # Tifffile's letters: samples of a pixel, channels, time.
            kinds = series.axes
            return Image(series.asarray(), tuple(i for i, kind in enumerate(kinds) if kind not in "SCT"))
    values = np.asarray(package("imageio.v3").imread(path))
    colours = values.ndim > 2 and values.shape[-1] in (2, 3, 4)
    return Image(values, tuple(range(values.ndim - colours)))


def write(path: Path, values: Array) -> None:
    """Write a file by its suffix, as `read` reads it.

    Raises
    ------
    ValueError
        The format does not hold such values.
    OSError
        The file cannot be written.
    ImportError
        A package of the extra is missing.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        np.save(path, values)
        return
    if suffix in _TIFF:
        colours = values.ndim > 2 and values.shape[-1] in (3, 4) and values.dtype in (np.uint8, np.uint16)
        package("tifffile").imwrite(path, values, photometric="rgb" if colours else "minisblack")
        return
    if values.dtype.kind == "f":
        raise ValueError(f"{path.name}: {suffix} holds no {values.dtype}; write .tif or .npy")
    package("imageio.v3").imwrite(path, values)


def package(name: str) -> Any:
    """Return a package of the extra, or say how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{error}; images need `pip install 'fastsep[image]'`") from None
