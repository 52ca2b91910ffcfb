"""`python -m fastsep factorize` and `python -m fastsep cost`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from fastsep._kernel_file import read_kernel
from fastsep._named_kernels import NAMES, named_kernel
from fastsep._options import refuse, settle
from fastsep._table import table
from fastsep.cost import FORMS, cost, networks
from fastsep.factor import factorize, factorize_conv

# Options of `factorize` that go with named kernels alone, and of these with some.
_OF_NAMED = {
    "dimensions": NAMES,
    "axis": ("sobel", "prewitt", "scharr"),
    "size": ("binomial", "box"),
    "sigma": ("gaussian",),
}
_NAMED = {"dimensions": 2, "axis": -1, "size": 5, "sigma": 1.0}
# Options of `cost` that go with the shape of an image.
_LAYER = {"kernel": "3", "outputs": 1, "strides": 1, "padding": "valid", "multiplier": 1, "rank": 1}


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
    one.add_argument("--dimensions", type=int, help="of a named kernel (default: 2)")
    one.add_argument("--axis", type=int, help="of the difference of sobel, prewitt, scharr (default: -1)")
    one.add_argument("--size", type=int, help="of binomial and box (default: 5)")
    one.add_argument("--sigma", type=float, help="of gaussian (default: 1)")
    one.add_argument("--json", action="store_true", help="print all figures as JSON")

    two = commands.add_parser("cost", help="parameters, multiply-adds and bytes of layers and networks")
    two.add_argument(
        "what",
        nargs="?",
        help="a network's name, or an image with its channels, such as 12x12x3; without it: all networks",
    )
    two.add_argument("--kernel", help="taps, such as 5 or 3x5 (default: 3)")
    two.add_argument("--outputs", type=int, help="output channels (default: 1)")
    two.add_argument("--strides", type=int, help="(default: 1)")
    two.add_argument("--padding", choices=("valid", "same"), help="default: valid")
    two.add_argument("--multiplier", type=int, help="depthwise filters for each channel (default: 1)")
    two.add_argument("--rank", type=int, help="terms of each kernel (default: 1)")
    two.add_argument("--form", choices=FORMS, default=None, help="a network's twin in this form")
    two.add_argument("--layers", action="store_true", help="a row for every layer of a network")
    two.add_argument("--dtype", help="for the bytes (default: float32)")
    two.add_argument("--json", action="store_true", help="print all figures as JSON")


def run_factorize(options: argparse.Namespace) -> str:
    """What `factorize` prints."""
    path = Path(options.kernel)
    if path.suffix.lower() in (".npy", ".txt", ".csv"):
        refuse(options, _OF_NAMED, f"goes with named kernels; got the file {path}")
        kernel = read_kernel(path)
    else:
        for name, kernels in _OF_NAMED.items():
            if options.kernel in NAMES and options.kernel not in kernels:
                refuse(options, [name], f"goes with {', '.join(kernels)}; got {options.kernel}")
        settle(options, _NAMED)
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


def run_cost(options: argparse.Namespace) -> str:
    """What `cost` prints."""
    if options.what is None:
        refuse(options, [*_LAYER, "form", "layers", "dtype"], "goes with an image or a network; got neither")
        if options.json:
            return json.dumps({name: cost(name).to_dict() for name in networks()})
        return _all_networks()
    image = options.what[:1].isdigit()
    if not image:
        refuse(options, _LAYER, f"goes with an image, such as 12x12x3; got {options.what!r}")
    settle(options, _LAYER | {"dtype": "float32"})
    if image:
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
