"""`fastsep filter`: an image or a volume from a file, filtered, to another."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsep._kernel_file import read_kernel
from fastsep._options import numbers, refuse, settle
from fastsep._passes import PLAIN_MODES

if TYPE_CHECKING:
    from fastsep._images import Image

Array = NDArray[Any]
Step = Callable[[], object]

_EDGES = ("sobel", "prewitt", "scharr")
_FILTERS = ("gaussian", "box", *_EDGES, "laplace", "kernel")
_MODES = [mode for mode in PLAIN_MODES if mode != "valid"]
# Which filters an option goes with; None is not given, and then these defaults hold.
_OF = {
    "sigma": ("gaussian",),
    "order": ("gaussian",),
    "truncate": ("gaussian",),
    "size": ("box",),
    "axis": _EDGES,
    "kernel": ("kernel",),
}
_DEFAULTS = {"sigma": [1.0], "order": [0], "truncate": 4.0, "size": [3], "cval": 0.0}
# The greatest radius: 2·2³⁰ + 1 weights of float64 are 16 GB.
_FARTHEST = 2**30
# Integers up to here are float64.
_EXACT = 2**53
# From here on a filter may take a second, and a terminal is shown a bar: elements times taps.
_LONG = 2_000_000_000
# Parts of one pass, so that a bar moves.
_PARTS = 16


def add_filter(commands: Any) -> None:
    """The command's arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "filter",
        help="filter an image or a volume from a file to another",
        description="Reads and writes .npy, .tif (several pages are a volume) and what Pillow knows. Colours "
        "are filtered one by one, but an .npy has none: all its axes lie in space, if --axes says nothing. "
        "Integers are rounded to the nearest and saturate. Photographs are turned as EXIF says; metadata is "
        "not kept. A file is replaced when the new one is complete. Long work shows a bar on a terminal, by "
        "the package rich, which the extra image holds.",
    )
    parser.add_argument("filter", choices=_FILTERS, help="sobel and the like: magnitude, or one --axis")
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument(
        "--sigma", type=numbers(float), help="gaussian: one, or one per axis: 1,2,2 (default: 1)"
    )
    parser.add_argument("--order", type=numbers(int), help="gaussian: derivative, one, or one per axis")
    parser.add_argument("--truncate", type=float, help="gaussian: radius in sigmas (default: 4)")
    parser.add_argument("--size", type=numbers(int), help="box: one, or one per axis (default: 3)")
    parser.add_argument("--axis", type=int, help="sobel, prewitt, scharr: along this axis, signed")
    parser.add_argument("--kernel", type=Path, help="kernel: .npy, or a table of numbers as text; correlated")
    parser.add_argument("--axes", type=numbers(int), help="the filtered axes (default: those in space)")
    parser.add_argument("--mode", choices=_MODES, default="reflect", help="default: %(default)s")
    parser.add_argument("--cval", type=float, help="beyond the ends, with --mode constant (default: 0)")
    parser.add_argument(
        "--dtype", help="of the output, such as float32 (default: the input's; float32 if it is signed)"
    )
    parser.add_argument("--threads", type=int, default=None, help="-1 is all; default: OpenMP's limit")


def run_filter(options: argparse.Namespace) -> None:
    """Read, filter, write.

    Raises
    ------
    ValueError, RuntimeError, TypeError, OSError, ImportError
        An argument or a file is wrong, or a package of the extra ``image`` is missing.
    """
    from fastsep import _images

    _check(options)
    image = _images.read(options.input)
    values = image.values
    axes = _axes(options, image)
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * np.uint8(255)
    wide = values.dtype.kind in "iu" and values.dtype.itemsize == 8 and values.size
    if wide and not -_EXACT <= int(values.min()) <= int(values.max()) <= _EXACT:
        raise ValueError(
            f"input {options.input}: it holds integers beyond 2**53, and sums are in float64, which does "
            "not hold them all; convert it to float64 first, if near is enough"
        )
    signed = options.filter == "laplace" or options.axis is not None or any(options.order)
    stored = _stored(
        options.dtype, np.dtype(np.float32) if signed and values.dtype.kind in "iu" else values.dtype
    )
    _images.check(options.output, values.shape, stored, image.colours)
    # Summed in what holds the input, and rounded once at the end.
    small = values.dtype.itemsize <= 2 or (values.dtype.kind, values.dtype.itemsize) == ("f", 4)
    result, steps, taps = _plan(options, values, axes, np.dtype(np.float32 if small else np.float64))
    with _bar(len(steps), values.size * taps) as advance:
        for step in steps:
            step()
            advance()
    _images.write(options.output, _rounded(result, stored), image.colours)


def _check(options: argparse.Namespace) -> None:
    """Refuse options of other filters, and numbers that no image makes right."""
    for name, filters in _OF.items():
        if options.filter not in filters:
            refuse(options, [name], f"goes with {', '.join(filters)}; got filter {options.filter}")
    if options.mode != "constant":
        refuse(options, ["cval"], f"goes with --mode constant; got --mode {options.mode}")
    settle(options, _DEFAULTS)
    for sigma in options.sigma:
        if not 0 <= sigma < math.inf:
            raise ValueError(f"--sigma must be finite, 0 or greater; got {sigma}")
    if not 0 <= options.truncate < math.inf:
        raise ValueError(f"--truncate must be finite, 0 or greater; got {options.truncate}")
    if max(options.sigma) * options.truncate > _FARTHEST:
        raise ValueError(
            f"--sigma times --truncate, the radius, must be at most {_FARTHEST}; "
            f"got {max(options.sigma)} times {options.truncate}"
        )
    if min(options.order) < 0:
        raise ValueError(f"--order must be 0 or greater; got {min(options.order)}")
    for size in options.size:
        if not 1 <= size <= _FARTHEST:
            raise ValueError(f"--size must be from 1 to {_FARTHEST}; got {size}")


def _axes(options: argparse.Namespace, image: Image) -> tuple[int, ...]:
    """The filtered axes, counted from 0; --axis becomes one of them."""
    count = image.values.ndim
    given = image.spatial if options.axes is None else options.axes
    if not given:
        raise ValueError(f"input {options.input}: it has no axis to filter")
    axes = tuple(_counted(axis, count, "--axes") for axis in given)
    if len(set(axes)) < len(axes):
        raise ValueError(
            f"--axes must be unique; got {','.join(map(str, given))} for an input of {count} axes"
        )
    if options.axis is not None:
        axis = _counted(options.axis, count, "--axis")
        if axis not in axes:
            raise ValueError(
                f"--axis must be one of the filtered axes, {', '.join(map(str, axes))}; got {options.axis}"
            )
        options.axis = axis
    return axes


def _counted(axis: int, count: int, name: str) -> int:
    if not -count <= axis < count:
        raise ValueError(f"{name} must be from {-count} to {count - 1}; got {axis}")
    return axis % count


def _stored(name: str | None, default: np.dtype[Any]) -> np.dtype[Any]:
    """The output's dtype."""
    if name is None:
        return default
    try:
        dtype = np.dtype(name)
    except (TypeError, SyntaxError, ValueError):
        dtype = None
    if dtype is None or dtype.kind not in "iuf":
        raise ValueError(f"--dtype must be of integers or floats, such as uint8 or float32; got {name!r}")
    return dtype


def _plan(
    options: argparse.Namespace, values: Array, axes: tuple[int, ...], working: np.dtype[Any]
) -> tuple[Array, list[Step], int]:
    """The array to come, what fills it, and how many taps an element meets."""
    from fastsep import ndimage

    result = np.empty(values.shape, working)
    common = {"mode": options.mode, "cval": options.cval, "threads": options.threads}
    name = options.filter
    if name == "gaussian":
        sigmas = _per_axis(options.sigma, axes, "--sigma")
        orders = _per_axis(options.order, axes, "--order")

        def smooth(source: Array, into: Array, i: int) -> None:
            ndimage.gaussian_filter(
                source, sigmas[i], orders[i], into, truncate=options.truncate, axes=(axes[i],), **common
            )

        taps = sum(2 * int(options.truncate * sigma + 0.5) + 1 for sigma in sigmas if sigma > 0)
        return result, _passes(smooth, values, result, axes), taps
    if name == "box":
        sizes = _per_axis(options.size, axes, "--size")

        def mean(source: Array, into: Array, i: int) -> None:
            ndimage.uniform_filter(source, sizes[i], into, axes=(axes[i],), **common)

        return result, _passes(mean, values, result, axes), 4 * len(axes)
    if name in _EDGES:
        return (
            result,
            _edges(getattr(ndimage, name), options, values, result, axes, common),
            3 * len(axes) ** 2,
        )
    if name == "laplace":
        return result, [lambda: ndimage.laplace(values, result, axes=axes, **common)], 3 * len(axes)
    kernel = _kernel(options.kernel, axes)
    steps: list[Step] = [lambda: ndimage.correlate(values, kernel, result, axes=axes, **common)]
    return result, steps, kernel.size


def _edges(
    function: Callable[..., Array],
    options: argparse.Namespace,
    values: Array,
    result: Array,
    axes: tuple[int, ...],
    common: dict[str, Any],
) -> list[Step]:
    """The derivative along one axis as it is; or the root mean square of all, in the range of the input."""
    if options.axis is not None:
        return [lambda: _along(function, values, options.axis, result, axes, common)]
    smoothing = {"sobel": 4, "prewitt": 3, "scharr": 16}[options.filter] ** (len(axes) - 1)
    squares = np.zeros(values.shape, result.dtype)

    def add(axis: int) -> None:
        _along(function, values, axis, result, axes, common)
        np.divide(result, smoothing, out=result)
        np.add(squares, np.square(result, out=result), out=squares)

    def finish() -> None:
        np.sqrt(np.divide(squares, len(axes), out=squares), out=result)

    return [*(partial(add, axis) for axis in axes), finish]


def _along(
    function: Callable[..., Array],
    values: Array,
    axis: int,
    result: Array,
    axes: tuple[int, ...],
    common: dict[str, Any],
) -> Array:
    """A derivative of images that lie along the other axes: one after another."""
    others = [i for i in range(values.ndim) if i not in axes]
    inner = sorted(i for i in range(values.ndim) if i not in others)
    source, into = (
        np.moveaxis(values, others, range(len(others))),
        np.moveaxis(result, others, range(len(others))),
    )
    for index in np.ndindex(*source.shape[: len(others)]):
        function(source[index], inner.index(axis), into[index], **common)
    return result


def _passes(
    one_axis: Callable[[Array, Array, int], None], values: Array, result: Array, axes: tuple[int, ...]
) -> list[Step]:
    """One pass after another, each in parts along the longest of the other axes: the bits are the same."""
    steps: list[Step] = []
    for i, axis in enumerate(axes):
        source = values if i == 0 else result
        others = [other for other in range(values.ndim) if other != axis]
        if not others:
            steps.append(partial(one_axis, source, result, i))
            continue
        along = max(others, key=lambda other: values.shape[other])
        for part in _parts(values.shape[along]):
            window = (slice(None),) * along + (part,)
            steps.append(partial(one_axis, source[window], result[window], i))
    return steps


def _parts(length: int) -> Iterator[slice]:
    step = max(1, math.ceil(length / _PARTS))
    for first in range(0, length, step):
        yield slice(first, first + step)


def _per_axis(values: Sequence[Any], axes: tuple[int, ...], name: str) -> list[Any]:
    if len(values) not in (1, len(axes)):
        raise ValueError(f"{name} takes one number or {len(axes)}, one per axis {axes}; got {len(values)}")
    return list(values) * (len(axes) if len(values) == 1 else 1)


def _kernel(path: Path | None, axes: tuple[int, ...]) -> Array:
    if path is None:
        raise ValueError("filter kernel needs --kernel FILE: .npy, or a table of numbers as text")
    kernel: Array = read_kernel(path)
    if kernel.dtype.kind not in "biuf":
        raise ValueError(f"--kernel must hold integers or floats; got {kernel.dtype} from {path}")
    if kernel.ndim != len(axes) or not kernel.size:
        raise ValueError(
            f"--kernel must have as many axes as are filtered, {len(axes)}, and none of length 0; "
            f"got shape {kernel.shape} from {path}"
        )
    return kernel


def _rounded(result: Array, dtype: np.dtype[Any]) -> Array:
    """Integers by rounding to the nearest, within their range; floats as they are."""
    if dtype.kind not in "iu":
        try:
            with np.errstate(over="raise"):
                return result.astype(dtype, copy=False)
        except FloatingPointError:
            raise ValueError(f"{dtype} does not hold the largest results; write --dtype float64") from None
    if missing := np.count_nonzero(np.isnan(result)):
        raise ValueError(f"{dtype} holds no NaN, as {missing} results are; write --dtype float32 or float64")
    limits = np.iinfo(dtype)
    # The largest number of a wide integer type is no float; the one below it is.
    highest = np.nextafter(result.dtype.type(limits.max), result.dtype.type(0))
    most = result.dtype.type(limits.max) if float(result.dtype.type(limits.max)) <= limits.max else highest
    np.rint(result, out=result)
    return np.clip(result, result.dtype.type(limits.min), most, out=result).astype(dtype)


@contextmanager
def _bar(steps: int, work: int) -> Iterator[Callable[[], None]]:
    """A progress bar on the terminal's error stream, if there is one, and rich, and the work is long.

    Of a single step nobody knows how far it is: its bar goes to and fro.
    """
    if work < _LONG or not sys.stderr.isatty():
        yield lambda: None
        return
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        yield lambda: None
        return
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("filtering", total=steps if steps > 1 else None)
        yield lambda: progress.advance(task)
