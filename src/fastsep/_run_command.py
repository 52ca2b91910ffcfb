"""`fastsep run`: a network from a file, on an image or on random inputs."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsep._options import numbers

if TYPE_CHECKING:
    from fastsep.onnx import InferenceSession, NodeArg

Array = NDArray[Any]

# What the classifiers of torchvision, timm and most exports were trained with.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
# The part of the shorter side that is seen: 224 of 256.
_SEEN = 0.875
_SIZE = 224
_RUNS = 20
_TOP = 5
# What says how an image becomes an input, or what to show of its classes.
_OF_IMAGES = ("top", "labels", "mean", "std", "layout")
_SUFFIX = ".fastsep"
# Of an image or of random numbers in float64; what is larger is a mistake, and some systems end a process
# that asks for it.
_MOST_BYTES = 1 << 32


def add_run(commands: Any) -> None:
    """The command's arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "run",
        help="run a network from an ONNX file, or from one that session.save wrote",
        description="With --image, classifies it and says what was assumed about the input; without, runs on "
        "random inputs. --profile shows the steps with their times and shares of the roofline, --nodes what "
        "became of each node.",
    )
    parser.add_argument("model", type=Path, help=f".onnx, or {_SUFFIX}")
    parser.add_argument("--image", type=Path, help="what to classify")
    parser.add_argument("--top", type=int, help=f"classes shown (default: {_TOP})")
    parser.add_argument("--labels", type=Path, help="text, one class a line")
    parser.add_argument(
        "--size", type=_size, help="height and width: 224, or 224,320 (default: the model's, or 224)"
    )
    parser.add_argument(
        "--mean", type=numbers(float), help=f"of the channels, of values in 0…1 (default: {_joined(_MEAN)})"
    )
    parser.add_argument("--std", type=numbers(float), help=f"of the channels (default: {_joined(_STD)})")
    parser.add_argument(
        "--layout", choices=("nchw", "nhwc"), help="of the input (default: by where it has 1 or 3 channels)"
    )
    parser.add_argument("--profile", action="store_true", help="a table of all steps")
    parser.add_argument(
        "--nodes", action="store_true", help="a table of all nodes of the model, and what became of each"
    )
    parser.add_argument(
        "--batch", type=int, help="of random inputs, where the model leaves it open (default: 1)"
    )
    parser.add_argument("--threads", type=int, default=None, help="-1 is all; default: OpenMP's limit")


def _size(text: str) -> tuple[int, int]:
    try:
        sizes = [int(item) for item in text.split(",")]
    except ValueError:
        sizes = []
    if not 1 <= len(sizes) <= 2 or min(sizes) < 1:
        raise argparse.ArgumentTypeError(
            f"must be one number of at least 1, or height,width, such as 224 or 224,320; got {text!r}"
        )
    return sizes[0], sizes[-1]


def _joined(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)


def run_network(options: argparse.Namespace) -> str:
    """Load, run, and say what came out.

    Raises
    ------
    ValueError, TypeError, RuntimeError, OSError, ImportError
        An argument, the model or the image is wrong, or a package of an extra is missing.
    """
    _check(options)
    labels = None if options.labels is None else _lines(options.labels)
    begun = time.perf_counter()
    with _progress(f"loading {options.model.name}"):
        session = _session(options.model, options.threads)
    lines = [f"{options.model.name}: loaded in {(time.perf_counter() - begun) * 1e3:.0f} ms"]
    inputs = session.get_inputs()
    if options.image is not None:
        if len(inputs) != 1:
            raise ValueError(f"--image needs a model with one input; {options.model.name} has {len(inputs)}")
        layout, size, assumed = _form(inputs[0], options)
        lines += assumed
        image = _prepared(options.image, layout, size, inputs[0], options, lines)
        feeds = {inputs[0].name: image}
    else:
        shapes = {each.name: _closed(each, options) for each in inputs}
        _check_taken(options, shapes)
        feeds = {each.name: _random(each, shapes[each.name]) for each in inputs}
        lines.append("random inputs: " + ", ".join(f"{name} {value.shape}" for name, value in feeds.items()))
    with _progress("running"):
        outputs, seconds = _timed(session, feeds)
    lines.append(f"{seconds * 1e3:.3f} ms a run (median of {_RUNS})")
    if options.image is not None:
        names = [port.name for port in session.get_outputs()]
        if len(names) > 1:
            others = ", ".join(map(repr, names[1:]))
            lines.append(f"classes are those of the first output, {names[0]!r}; not shown: {others}")
        lines += _classes(outputs[0], options.top or _TOP, labels)
    else:
        lines += [
            f"{port.name} {value.shape}, mean {value.mean():.4g}, standard deviation {value.std():.4g}"
            for port, value in zip(session.get_outputs(), outputs, strict=True)
        ]
    if options.profile or options.nodes:
        summary = session.summary({name: value.shape for name, value in feeds.items()})
        lines += ["", str(summary)] if options.profile else []
        lines += ["", summary.account()] if options.nodes else []
    return "\n".join(lines)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"--labels must be a text file in UTF-8, one class a line; {path}: {error}"
        ) from None


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot be, and what would be ignored."""
    for name in ("top", "batch"):
        count = getattr(options, name)
        if count is not None and count < 1:
            raise ValueError(f"--{name} must be at least 1; got {count}")
    for name in ("mean", "std"):
        values = getattr(options, name)
        if values is not None and not all(map(math.isfinite, values)):
            raise ValueError(f"--{name} must be finite; got {_joined(values)}")
    if options.image is not None and options.batch is not None:
        raise ValueError("--batch is for random inputs; --image is a batch of one")
    for name in _OF_IMAGES:
        if options.image is None and getattr(options, name) is not None:
            raise ValueError(f"--{name} needs --image")


def _check_taken(options: argparse.Namespace, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse sizes that no input has taken."""
    if options.batch is not None and all(shape[:1] != (options.batch,) for shape in shapes.values()):
        raise ValueError(f"--batch {options.batch}: the model fixes its batch; {_shapes(shapes)}")
    size = options.size
    if size is not None and not any(size in (shape[1:3], shape[2:4]) for shape in shapes.values()):
        raise ValueError(f"--size {size[0]},{size[1]}: the model fixes its sizes; {_shapes(shapes)}")


def _shapes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name!r} is {shape}" for name, shape in shapes.items())


def _session(path: Path, threads: int | None) -> InferenceSession:
    if path.suffix == _SUFFIX:
        from fastsep import load

        return load(path, threads=threads)
    from fastsep.onnx import InferenceSession

    return InferenceSession(path, threads=threads)


def _progress(text: str) -> AbstractContextManager[object]:
    """A line that moves while something takes long, on a terminal that can show it."""
    try:
        from rich.console import Console
    except ImportError:
        return nullcontext()
    console = Console(stderr=True)
    return console.status(text) if console.is_terminal else nullcontext()


def _form(given: NodeArg, options: argparse.Namespace) -> tuple[str, tuple[int, int], list[str]]:
    """Return layout, height and width of the input, and what was assumed to know them."""
    shape = given.shape
    assumed = []
    if len(shape) != 4:
        raise ValueError(f"--image needs an input of 4 axes; {given.name!r} has shape {shape}")
    layout = options.layout
    if layout is None:
        layout = "nhwc" if shape[3] in (1, 3) and shape[1] not in (1, 3) else "nchw"
        assumed.append(f"assumed --layout {layout}: {given.name!r} has shape {shape}")
    high, wide = (shape[1], shape[2]) if layout == "nhwc" else (shape[2], shape[3])
    if options.size is not None:
        # Now: what is resized may be large.
        if any(
            isinstance(own, int) and own != size for own, size in zip((high, wide), options.size, strict=True)
        ):
            raise ValueError(
                f"--size {options.size[0]},{options.size[1]}: the model fixes its sizes; "
                f"{given.name!r} is {shape}"
            )
        return layout, options.size, assumed
    if not isinstance(high, int) or not isinstance(wide, int):
        assumed.append(f"assumed --size {_SIZE}: the model leaves it open")
        return layout, (_SIZE, _SIZE), assumed
    return layout, (high, wide), assumed


def _prepared(
    path: Path,
    layout: str,
    size: tuple[int, int],
    given: NodeArg,
    options: argparse.Namespace,
    lines: list[str],
) -> Array:
    """Return the image as the network takes it."""
    channels = given.shape[3] if layout == "nhwc" else given.shape[1]
    channels = channels if isinstance(channels, int) else 3
    if channels not in (1, 3):
        raise ValueError(f"--image needs an input of 1 or 3 channels; {given.name!r} has {channels}")
    what = f"--size {size[0]},{size[1]}" if options.size else f"{given.name!r} is {tuple(given.shape)}"
    _check_bytes((*size, channels), f"{what}: an image of so many pixels")
    values, seen = _resized(path, size, channels)
    lines.append(
        f"{path.name}: scaled so that its middle {seen[1]}×{seen[0]} becomes {size[1]}×{size[0]}, bilinear"
    )
    numbers = {}
    for name, usual in (("mean", _MEAN), ("std", _STD)):
        chosen = getattr(options, name)
        if chosen is None:
            chosen = usual if channels == 3 else (math.fsum(usual) / 3,)
            lines.append(f"assumed --{name} {_joined(chosen)}, of values in 0…1")
        if len(chosen) not in (1, channels):
            raise ValueError(f"--{name} must hold 1 or {channels} numbers; got {len(chosen)}")
        numbers[name] = np.array(chosen)
    if not np.all(numbers["std"] > 0):
        raise ValueError(f"--std must be positive; got {_joined(options.std)}")
    values = ((values / 255 - numbers["mean"]) / numbers["std"]).astype(_dtype(given))
    if layout == "nchw":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[np.newaxis])


def _resized(path: Path, size: tuple[int, int], channels: int) -> tuple[Array, tuple[int, int]]:
    """Return the middle of an image at a size, as float64 in 0…255, and how many pixels it had."""
    from fastsep import _images

    Image, ImageOps = _images.package("PIL.Image"), _images.package("PIL.ImageOps")
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file).convert("L" if channels == 1 else "RGB")
    high, wide = size
    scale = min(image.height / high, image.width / wide) * _SEEN
    seen_high, seen_wide = scale * high, scale * wide
    top, left = (image.height - seen_high) / 2, (image.width - seen_wide) / 2
    box = (left, top, left + seen_wide, top + seen_high)
    resized = image.resize((wide, high), Image.Resampling.BILINEAR, box=box)
    values = np.asarray(resized, np.float64).reshape(high, wide, channels)
    return values, (round(seen_high), round(seen_wide))


def _dtype(given: NodeArg) -> np.dtype[Any]:
    names = {"tensor(float)": np.float32, "tensor(double)": np.float64}
    if given.type not in names:
        raise ValueError(
            f"{given.name!r} takes {given.type}; this command makes inputs of float32 and float64"
        )
    return np.dtype(names[given.type])


def _closed(given: NodeArg, options: argparse.Namespace) -> tuple[int, ...]:
    """Return an input's shape, open sizes filled in: the batch, then height and width."""
    shape = list(given.shape)
    if shape and not isinstance(shape[0], int):
        shape[0] = options.batch or 1
    spatial = [axis for axis, size in enumerate(shape) if not isinstance(size, int)]
    for axis, size in zip(spatial, options.size or (_SIZE, _SIZE), strict=False):
        shape[axis] = size
    closed = tuple(size for size in shape if isinstance(size, int))
    if len(closed) < len(shape):
        raise ValueError(f"{given.name!r} leaves more open than batch, height and width: {given.shape}")
    return closed


def _random(given: NodeArg, shape: tuple[int, ...]) -> Array:
    dtype = _dtype(given)
    _check_bytes(shape, f"random input {given.name!r} of shape {shape}")
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def _check_bytes(shape: tuple[int, ...], what: str) -> None:
    """Refuse an array, made in float64, that is larger than can be meant."""
    if 8 * math.prod(shape) > _MOST_BYTES:
        raise ValueError(f"{what} is more than {_MOST_BYTES} bytes in float64")


def _timed(session: InferenceSession, feeds: dict[str, Array]) -> tuple[list[Array], float]:
    outputs = session.run(None, feeds)
    seconds = []
    for _ in range(_RUNS):
        begun = time.perf_counter()
        session.run(None, feeds, out=outputs)
        seconds.append(time.perf_counter() - begun)
    return outputs, median(seconds)


def _classes(output: Array, top: int, labels: list[str] | None) -> list[str]:
    """Return the likeliest classes; logits become probabilities."""
    scores = np.asarray(output, np.float64).reshape(len(output), -1)[0]
    if labels is not None and len(labels) != scores.size:
        raise ValueError(f"--labels holds {len(labels)} lines; the model has {scores.size} classes")
    lines = []
    if np.any(scores < 0) or abs(scores.sum() - 1) > 1e-3:
        with np.errstate(invalid="ignore"):
            scores = np.exp(scores - scores.max())
            scores /= scores.sum()
        lines.append("assumed that the outputs are logits: softmax applied")
    # Also where a logit is infinite.
    if np.isnan(scores).any():
        return ["no class is likeliest: outputs are NaN or infinite"]
    for index in np.argsort(-scores, kind="stable")[:top]:
        name = f"class {index}" if labels is None else f"{labels[index]} ({index})"
        lines.append(f"  {scores[index]:7.2%}  {name}")
    return lines
