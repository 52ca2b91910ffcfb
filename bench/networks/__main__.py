"""Write a network to a file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import onnx

from bench.networks import NETWORKS, build
from fastsep import _networks


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.networks", description=__doc__)
    parser.add_argument("name", choices=list(_networks.variants()), metavar="name", help=", ".join(NETWORKS))
    parser.add_argument("path", type=Path)
    parser.add_argument("--size", type=int, help="pixels of height and width; the network's own by default")
    parser.add_argument("--batch", type=int, help="images a run; left to each run by default")
    parser.add_argument("--width", type=float, help="multiplies channels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--softmax", action="store_true", help="after the logits")
    options = vars(parser.parse_args())
    path = options.pop("path")
    model = build(**options)
    onnx.save(model, str(path))
    print(f"written: {path}, {path.stat().st_size / 1e6:.1f} MB, {len(model.graph.node)} nodes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
