"""Reads the assembly of the kernels: FMAs, and vector registers spilled inside the inner loops.

    python tools/check_assembly.py avx2|avx512|neon [module]

Reads the module that is installed, fastsep._isa, or the one that is named, and looks at every innermost loop
of every function of that instruction set. Fails if

- one stores vectors on the stack or reads them from there, through the stack pointer or a frame pointer, more
  often than ALLOWED says for its function;
- the object holds no FMA, or a hot kernel none;
- the busiest loop of a hot kernel multiplies vectors without adding in the same instruction, computes with
  scalars, or calls more functions than CALLS allows.

Prints for each hot kernel FMAs, vector loads, broadcasts and scalar arithmetic of its busiest loop, and then
every function that has vectors on the stack, with the reason why.
"""

from __future__ import annotations

import argparse
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from assembly import Instructions, Loop, functions, inner_loops

# Their busiest loop is all FMAs; those of 16-bit lanes multiply and add by pmaddwd.
DEPTHWISE = (
    *("depthwise_3x3", "depthwise_3x3_row", "depthwise_3x3_lines"),
    *("depthwise_3x3_stride2", "depthwise_3x3_stride2_row", "depthwise_3x3_stride2_lines"),
    *("depthwise_2x2", "depthwise_5x5", "depthwise_7x7", "depthwise_fours", "depthwise_fours_row"),
    *("depthwise_3", "depthwise_3_row", "depthwise_5", "depthwise_5_row", "depthwise_7", "depthwise_7_row"),
    *("depthwise_5_stride2", "depthwise_5_stride2_row", "depthwise_7_stride2", "depthwise_7_stride2_row"),
    "depthwise_any",
)
LINES = (
    *("lines_symmetric", "lines_antisymmetric", "lines_unfolded"),
    *(f"lines_{kind}_{taps}" for kind in ("symmetric", "antisymmetric") for taps in (1, 2, 3, 4)),
    *(f"lines_along_{kind}" for kind in ("unfolded", "symmetric", "antisymmetric")),
)
PANELS = ("pointwise_panel_1", "pointwise_panel_2", "pointwise_panel_3")
WHOLE = ("pointwise_whole_2_4", "pointwise_whole_2_5", "pointwise_whole_2_6", "pointwise_whole_3_4")
SHORT = ("lines_down", "lines_along")
HOT = {
    "avx2": (*PANELS, *WHOLE, *DEPTHWISE, "footprint_row_fused", *LINES),
    "avx512": (*PANELS, "pointwise_panel_4", *DEPTHWISE, "footprint_row_fused", *LINES),
    "neon": (*PANELS, "pointwise_panel_4", *DEPTHWISE, *LINES),
}
HOT_SHORT = {"avx2": SHORT, "avx512": SHORT, "neon": ()}
# Calls in the busiest loop: depthwise_curve, for a residual or a curve, of sums that are stored already;
# lines_fetch, of rows from memory, and lines_round_tile, of what is rounded when it is stored.
FEW_TAPS = [kernel for kernel in LINES if kernel[-1].isdigit()]
CALLS = dict.fromkeys(DEPTHWISE, 1) | dict.fromkeys(FEW_TAPS, 4)


class Allowed(NamedTuple):
    """Vectors that any innermost loop of a function may store on the stack and reload from it."""

    function: str
    stored: int
    reloaded: int
    reason: str


BOUNDS = "no spill: the clamp's two bounds lie in `struct columns`, in memory on purpose"
BLOCK = "no spill: the block of vectors that a curve is given is an array"
WEIGHTS = (
    "no vectors: weights, which are doubles, converted and broadcast once for several vectors of outputs"
)
DIVISOR = "what the sums are divided by or clamped to, once a vector of outputs"
ALLOWED: dict[str, tuple[Allowed, ...]] = {
    "avx2": (
        Allowed("depthwise_any", 0, 2, BOUNDS),
        Allowed("depthwise_2x2", 0, 2, BOUNDS),
        Allowed("depthwise_3x3_row", 0, 4, BOUNDS + "; in a loop twice"),
        Allowed("depthwise_3x3", 0, 2, BOUNDS),
        Allowed("depthwise_3x3_stride2_row", 0, 2, BOUNDS),
        Allowed("depthwise_3x3_stride2", 0, 2, BOUNDS),
        Allowed("depthwise_5x5", 0, 2, BOUNDS),
        Allowed("depthwise_7x7", 0, 2, BOUNDS),
        Allowed("lines_symmetric_1", 1, 2, DIVISOR),
        Allowed("lines_symmetric_2", 1, 2, DIVISOR),
        Allowed("lines_symmetric_3", 1, 2, DIVISOR),
        Allowed("lines_symmetric_4", 2, 3, DIVISOR),
        Allowed("lines_antisymmetric_1", 1, 2, DIVISOR),
        Allowed("lines_antisymmetric_2", 1, 2, DIVISOR),
        Allowed("lines_antisymmetric_3", 1, 2, DIVISOR),
        Allowed("lines_antisymmetric_4", 2, 3, DIVISOR),
        Allowed("lines_symmetric_exact_4", 2, 3, "two sums of 9 factors' products, rounded one by one"),
        Allowed("lines_antisymmetric_exact_4", 2, 3, "two sums of 9 factors' products, rounded one by one"),
        Allowed("lines_mean_5", 0, 1, DIVISOR),
        Allowed("lines_mean_7", 0, 2, DIVISOR),
        Allowed("lines_mean_9", 0, 14, DIVISOR),
        # One vector at a time spills none, and takes 11.3 cycles a vector for silu where two take 7.8.
        Allowed("activate_rows", 3, 3, "two vectors of a curve at a time, of whose chains three values wait"),
        Allowed("elementwise", 19, 12, BLOCK),
        Allowed("lines_neighbours_symmetric", 0, 6, WEIGHTS),
        Allowed("lines_neighbours_antisymmetric", 0, 6, WEIGHTS),
        Allowed("lines_neighbours_symmetric_4", 0, 3, WEIGHTS),
        Allowed("lines_neighbours_antisymmetric_4", 0, 3, WEIGHTS),
    ),
    "avx512": (Allowed("elementwise", 16, 8, BLOCK),),
    "neon": (
        Allowed("depthwise_3x3_stride2", 7, 7, "inputs of a row, read ahead"),
        Allowed("depthwise_5_stride2", 3, 5, "inputs of both rows, read ahead; doubles alone"),
        Allowed("depthwise_7_stride2", 6, 9, "inputs of both rows, read ahead; doubles alone"),
        Allowed("elementwise", 18, 10, BLOCK),
        Allowed("activate_rows", 1, 1, "two vectors of a curve and its constants: 33 registers"),
        Allowed("fma_burst", 15, 0, "GCC keeps the sums of each repetition for what follows the loop"),
        Allowed("clock_burst", 15, 0, "as fma_burst, whose FMAs it runs"),
    ),
}


def installed() -> Path:
    """The module that holds the micro-kernels."""
    import fastsep._isa

    return Path(str(fastsep._isa.__file__))


def disassemble(module: Path, isa: str) -> str:
    foreign = (isa == "neon") != (platform.machine() == "aarch64")
    objdump = ("aarch64" if isa == "neon" else "x86_64") + "-linux-gnu-objdump" if foreign else "objdump"
    command = [objdump, "--disassemble", "--no-show-raw-insn", str(module)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def kernel_of(symbol: str) -> str:
    """`depthwise_3x3` of depthwise_3x3_f32_avx2."""
    return re.sub(r"_(f32|f64|i16)_\w+$", "", symbol)


def hot_failures(loops: dict[str, list[Loop]], isa: str) -> list[str]:
    """What is wrong with hot kernels, whose busiest loops are printed."""
    failures = []
    if not any(loop.fmas for found in loops.values() for loop in found):
        failures.append(f"the object of {isa} holds no FMA at all")
    hot = [f"{kernel}_{dtype}_{isa}" for kernel in HOT[isa] for dtype in ("f32", "f64")]
    hot += [f"{kernel}_i16_{isa}" for kernel in HOT_SHORT[isa]]
    print(f"{'kernel':<32} {'FMAs':>5} {'products':>9} {'loads':>6} {'broadcasts':>11} {'scalars':>8}")
    for symbol in hot:
        # Of as many FMAs the one of whole vectors inside the image: borders and masks load more.
        busiest = max(loops.get(symbol, []), key=lambda loop: (loop.fmas, -loop.loads), default=Loop())
        print(
            f"{symbol:<32} {busiest.fmas:>5} {busiest.products:>9} {busiest.loads:>6} "
            f"{busiest.broadcasts:>11} {busiest.scalars:>8}"
        )
        if not busiest.fmas:
            failures.append(f"{symbol}: no inner loop with an FMA")
        elif busiest.scalars or busiest.products or busiest.calls > CALLS.get(kernel_of(symbol), 0):
            failures.append(f"{symbol}: scalars, products that are not added, or a call in its busiest loop")
    return failures


def stack_failures(loops: dict[str, list[Loop]], isa: str) -> list[str]:
    """Loops that use the stack more often than they are allowed to; all that use it are printed."""
    failures = []
    limits = {allowed.function: allowed for allowed in ALLOWED[isa]}
    print(
        f"\n{sum(map(len, loops.values()))} innermost loops of {len(loops)} functions; vectors on the stack:"
    )
    print(f"{'function':<40} {'stored':>7} {'reloaded':>9}  why")
    for symbol, found in loops.items():
        stored = max((loop.stored for loop in found), default=0)
        reloaded = max((loop.reloaded for loop in found), default=0)
        if not stored and not reloaded:
            continue
        limit = limits.get(kernel_of(symbol), Allowed("", 0, 0, "nothing allows it"))
        print(f"{symbol:<40} {stored:>7} {reloaded:>9}  {limit.reason}")
        if stored > limit.stored or reloaded > limit.reloaded:
            failures.append(
                f"{symbol}: an inner loop stores {stored} vectors on the stack and reloads {reloaded}, "
                f"allowed are {limit.stored} and {limit.reloaded}"
            )
    return failures


def check(found: dict[str, Instructions], isa: str) -> list[str]:
    """All that is wrong with an object, after printing what it does."""
    loops: dict[str, list[Loop]] = {}
    for symbol, instructions in found.items():
        name = re.sub(r"\.(isra|constprop|part|cold)\.\d+$", "", symbol)
        if instructions and name.endswith(f"_{isa}"):
            loops.setdefault(name, []).extend(inner_loops(instructions, isa))
    return hot_failures(loops, isa) + stack_failures(loops, isa)


def main(isa: str, module: Path) -> int:
    failures = check(functions(disassemble(module, isa)), isa)
    for failure in failures:
        print(f"FAILED {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="FMAs and spills of the micro-kernels' machine code.")
    parser.add_argument("isa", choices=sorted(HOT))
    parser.add_argument("module", type=Path, nargs="?", help="the installed fastsep._isa")
    options = parser.parse_args()
    sys.exit(main(options.isa, options.module or installed()))
