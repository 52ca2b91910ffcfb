"""The command line: `fastsep` and `python -m fastsep`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fastsep import _version
from fastsep._filter_command import add_filter
from fastsep._run_command import add_run
from fastsep._theory_commands import add_commands, run_cost, run_factorize


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastsep", description="Fast depthwise, separable and standard convolution for NumPy arrays."
    )
    parser.add_argument("--version", action="version", version=f"fastsep {_version.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("info", help="what this machine and this build can do")
    commands.add_parser("selftest", help="check this copy against the reference on every instruction set")
    bench = commands.add_parser("bench", help="time one layer, and show its share of the roofline")
    bench.add_argument(
        "--family",
        choices=("conv", "depthwise", "pointwise", "separable"),
        default="separable",
        help="default: %(default)s",
    )
    bench.add_argument(
        "--size", type=int, default=56, help="height and width of the image (default: %(default)s)"
    )
    bench.add_argument("--channels", type=int, default=128, help="input channels (default: %(default)s)")
    bench.add_argument("--outputs", type=int, default=128, help="output channels (default: %(default)s)")
    bench.add_argument(
        "--kernel", type=int, default=3, help="height and width of the kernel (default: %(default)s)"
    )
    bench.add_argument("--strides", type=int, default=1, help="(default: %(default)s)")
    bench.add_argument("--batch", type=int, default=1, help="(default: %(default)s)")
    bench.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="default: %(default)s"
    )
    bench.add_argument("--threads", type=int, default=None, help="-1 is all; default: OpenMP's limit")
    add_filter(commands)
    add_commands(commands)
    add_run(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str or None
        None takes those of the process.

    Returns
    -------
    int
        Exit status: 0, or 1 if the self-test found an error, an argument or a file was wrong, or a
        kernel is not separable.
    """
    options = _parser().parse_args(arguments)
    if options.command == "info":
        from fastsep._info import report

        print(report())
        return 0
    if options.command == "selftest":
        from fastsep._selftest import run

        return run()
    try:
        if options.command == "bench":
            from fastsep._quick_bench import bench

            print(bench(**{name: value for name, value in vars(options).items() if name != "command"}))
        elif options.command == "filter":
            from fastsep._filter_command import run_filter

            run_filter(options)
        elif options.command == "run":
            from fastsep._run_command import run_network

            print(run_network(options))
        else:
            print({"factorize": run_factorize, "cost": run_cost}[options.command](options))
    except (TypeError, ValueError, RuntimeError, OSError, ImportError, MemoryError) as error:
        # Python's own MemoryError says nothing.
        print(f"fastsep {options.command}: {str(error) or type(error).__name__}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
