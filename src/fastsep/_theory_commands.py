"""`python -m fastsep factorize` and `python -m fastsep cost`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from fastsep._named_kernels import NAMES, named_kernel
from fastsep._table import table
from fastsep.cost import FORMS, cost, networks
from fastsep.factor import factorize, factorize_conv


def add_commands(commands: Any) -> None:
    """Add both to what `argparse.ArgumentParser.add_subparsers` gave."""
    one = commands.add_parser("factorize", help="write a kernel as separable factors")
    one.add_argument(
        "kernel",
        help=f"a file (.npy; .txt or .csv: a row of the kernel in each line), or one of {', '.join(NAMES)}",
    )
    one.add_argument(
        "--rank", type=int, default=None, help="terms of the sum; default: one, and it must be exact"
    )
    one.add_argument("--tolerance", type=float, default=None, help="greatest relative error")
    one.add_argument(
        "--conv",
        action="store_true",
        help="the kernel is a layer's, (*K, Cin, Cout): as depthwise, then pointwise",
    )
    one.add_argument("--multiplier", type=int, default=None, help="of --conv; default: as few as are exact")
    one.add_argument("--dimensions", type=int, default=2, help="of a named kernel (default: %(default)s)")
    one.add_argument(
        "--axis", type=int, default=-1, help="of a named kernel's difference (default: %(default)s)"
    )
    one.add_argument("--size", type=int, default=5, help="of binomial and box (default: %(default)s)")
    one.add_argument("--sigma", type=float, default=1.0, help="of gaussian (default: %(default)s)")
    one.add_argument("--json", action="store_true", help="print all figures as JSON")

    two = commands.add_parser("cost", help="parameters, multiply-adds and bytes of layers and networks")
    two.add_argument(
        "what",
        nargs="?",
        help="a network's name, or an image with its channels, such as 12x12x3; without it: all networks",
    )
    two.add_argument("--kernel", default="3", help="taps, such as 5 or 3x5 (default: %(default)s)")
    two.add_argument("--outputs", type=int, default=1, help="output channels (default: %(default)s)")
    two.add_argument("--strides", type=int, default=1, help="(default: %(default)s)")
    two.add_argument("--padding", choices=("valid", "same"), default="valid", help="default: %(default)s")
    two.add_argument(
        "--multiplier", type=int, default=1, help="depthwise filters for each channel (default: %(default)s)"
    )
    two.add_argument("--rank", type=int, default=1, help="terms of each kernel (default: %(default)s)")
    two.add_argument("--form", choices=FORMS, default=None, help="a network's twin in this form")
    two.add_argument("--layers", action="store_true", help="a row for every layer of a network")
    two.add_argument("--dtype", default="float32", help="for the bytes (default: %(default)s)")
    two.add_argument("--json", action="store_true", help="print all figures as JSON")


def run_factorize(options: argparse.Namespace) -> str:
    """What `factorize` prints."""
    path = Path(options.kernel)
    if path.suffix in (".npy", ".txt", ".csv"):
        kernel = read_kernel(path)
    else:
        kernel = named_kernel(options.kernel, options.dimensions, options.axis, options.size, options.sigma)
    if options.conv:
        if options.rank is not None:
            raise ValueError("--rank is for spatial kernels; --conv takes --multiplier")
        result: Any = factorize_conv(kernel, options.multiplier, tolerance=options.tolerance)
    elif options.multiplier is not None:
        raise ValueError("--multiplier needs --conv")
    else:
        result = factorize(kernel, options.rank, tolerance=options.tolerance)
    return json.dumps(result.to_dict()) if options.json else str(result)


def read_kernel(path: Path) -> Any:
    """An array from a .npy file, or a matrix from text; whole numbers become integers."""
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(f"kernel cannot be read from {path}: {error}") from None
    separator = "," if path.suffix == ".csv" else None
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    rows = [[_number(word, path) for word in line.split(separator)] for line in lines if line]
    if not rows:
        raise ValueError(f"kernel cannot be read from {path}: there are no numbers")
    if len({len(row) for row in rows}) > 1:
        lengths = ", ".join(str(len(row)) for row in rows)
        raise ValueError(f"kernel cannot be read from {path}: its rows have {lengths} numbers")
    return np.array(rows)


def _number(word: str, path: Path) -> int | float:
    try:
        return int(word)
    except ValueError:
        pass
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"kernel cannot be read from {path}: {word.strip()!r} is no number") from None


def run_cost(options: argparse.Namespace) -> str:
    """What `cost` prints."""
    if options.what is None:
        if options.json:
            return json.dumps({name: cost(name).to_dict() for name in networks()})
        return _all_networks()
    if options.what[:1].isdigit():
        if options.form is not None or options.layers:
            raise ValueError("--form and --layers are for networks")
        taps = _sizes(options.kernel, "--kernel")
        result: Any = cost(
            _sizes(options.what, "image"),
            taps[0] if len(taps) == 1 else taps,
            options.outputs,
            options.strides,
            options.padding,
            multiplier=options.multiplier,
            rank=options.rank,
            dtype=options.dtype,
        )
    else:
        result = cost(options.what, form=options.form, dtype=options.dtype)
    if options.json:
        return json.dumps(result.to_dict())
    return str(result.table()) if options.layers else str(result)


def _sizes(text: str, name: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(size) for size in text.split("x"))
        if min(sizes) < 1:
            raise ValueError
        return sizes
    except ValueError:
        raise ValueError(f"{name} must be positive sizes, such as 12x12x3; got {text!r}") from None


def _all_networks() -> str:
    rows = []
    for name in networks():
        network = cost(name)
        published = (network.published_multiply_adds, network.published_parameters)
        rows.append(
            [
                name,
                f"{network.multiply_adds / 1e6:,.1f} M",
                *(f"{figure / 1e6:,g} M" if figure else "" for figure in published[:1]),
                f"{network.parameters:,}",
                *(f"{figure / 1e6:,g} M" if figure else "" for figure in published[1:]),
            ]
        )
    return table(["network", "multiply-adds", "published", "parameters", "published"], rows)
