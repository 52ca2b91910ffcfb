"""Reads the assembly of the kernels: FMAs, and vector registers spilled inside the inner loops.

    python tools/check_assembly.py avx2|avx512|neon

Compiles src/_kernels/isa_<name>.c, isa_neon.c with the cross compiler aarch64-linux-gnu-gcc, as setup.py
does, finds the innermost loops that hold fused multiply-adds, and prints for each hot kernel: FMAs, vector
loads, broadcasts, spills and scalar arithmetic of its busiest loop. Fails if the object holds no FMA, if a
hot kernel has none, or if its busiest loop spills more than SPILLS_ALLOWED says, computes with scalars or
calls a function.
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

KERNELS = Path(__file__).resolve().parent.parent / "src" / "_kernels"
FLAGS = ["-std=gnu11", "-O3", "-ffp-contract=off", "-fvisibility=hidden", "-fPIC", "-g0"]

# Vectors on the stack that the busiest loop of a kernel may read or write.
SPILLS_ALLOWED = {
    "avx2": {
        "pointwise_panel_1": 0,
        "pointwise_panel_2": 0,
        "pointwise_panel_3": 0,
        "depthwise_3x3": 0,
        "depthwise_3x3_stride2": 0,
        "depthwise_5x5": 0,
        "depthwise_7x7": 0,
        "footprint_row_fused": 0,
        "lines_symmetric": 0,
        "lines_antisymmetric": 0,
        "lines_unfolded": 0,
    },
    "avx512": {
        "pointwise_panel_1": 0,
        "pointwise_panel_2": 0,
        "pointwise_panel_3": 0,
        "pointwise_panel_4": 0,
        "depthwise_3x3": 0,
        "depthwise_3x3_stride2": 0,
        "depthwise_5x5": 0,
        "depthwise_7x7": 0,
        "footprint_row_fused": 0,
        "lines_symmetric": 0,
        "lines_antisymmetric": 0,
        "lines_unfolded": 0,
    },
    # Not for want of registers: GCC stores the sums early for the branch with residual or curve.
    "neon": {
        "pointwise_panel_1": 0,
        "pointwise_panel_2": 0,
        "pointwise_panel_3": 0,
        "pointwise_panel_4": 0,
        "depthwise_3x3": 6,
        "depthwise_3x3_stride2": 14,
        "depthwise_5x5": 8,
        "depthwise_7x7": 16,
        "lines_symmetric": 0,
        "lines_antisymmetric": 0,
        "lines_unfolded": 0,
    },
}

# Those of 16-bit lanes, whose multiply-add is pmaddwd: no spill either.
SHORT_KERNELS = {"avx2": ("lines_down", "lines_along"), "avx512": ("lines_down", "lines_along")}

# x86's jumps; Arm's branches, whose tests of a register come before the target.
JUMP = r"(?:j\w+|b|b\.\w+|cbn?z +\w+,|tbn?z +\w+, #\w+,) +([0-9a-f]+) "


@dataclass
class Loop:
    """Counts of one innermost loop."""

    fmas: int = 0
    loads: int = 0
    broadcasts: int = 0
    spills: int = 0
    scalars: int = 0


def disassemble(isa: str) -> str:
    prefix = "aarch64-linux-gnu-" if isa == "neon" and platform.machine() != "aarch64" else ""
    compiler = f"{prefix}gcc" if prefix else "cc"
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, f"isa_{isa}.o")
        subprocess.run([compiler, *FLAGS, "-c", str(KERNELS / f"isa_{isa}.c"), "-o", str(target)], check=True)
        listing = subprocess.run(
            [f"{prefix}objdump", "-d", "--no-show-raw-insn", str(target)],
            check=True,
            capture_output=True,
            text=True,
        )
        return listing.stdout.replace("\t", " ")


def functions(listing: str) -> dict[str, list[tuple[int, str]]]:
    """Instructions (address, text) by symbol."""
    found: dict[str, list[tuple[int, str]]] = {}
    current: list[tuple[int, str]] = []
    for line in listing.splitlines():
        if symbol := re.match(r"[0-9a-f]+ <(.+)>:", line):
            current = found.setdefault(symbol.group(1), [])
        elif instruction := re.match(r" *([0-9a-f]+): +(.+)", line):
            current.append((int(instruction.group(1), 16), instruction.group(2)))
    return found


def innermost_loops(instructions: list[tuple[int, str]]) -> list[list[str]]:
    """Bodies of backward jumps that hold no other backward jump."""
    spans = []
    for address, text in instructions:
        jump = re.match(JUMP, text)
        if jump and int(jump.group(1), 16) <= address:
            spans.append((int(jump.group(1), 16), address))
    inner = [
        (begin, end)
        for begin, end in spans
        if not any((b, e) != (begin, end) and begin <= b and e <= end for b, e in spans)
    ]
    return [[text for address, text in instructions if begin <= address <= end] for begin, end in inner]


def count(body: list[str], isa: str) -> Loop:
    if isa == "neon":
        return count_neon(body)
    return count_x86(body, "zmm" if isa == "avx512" else "ymm")


def count_x86(body: list[str], register: str) -> Loop:
    loop = Loop()
    for text in body:
        name, _, operands = text.partition(" ")
        loop.fmas += name.startswith(("vfmadd", "vpmaddwd")) and register in operands
        loop.broadcasts += name.startswith(("vbroadcast", "vpbroadcast")) and "(" in operands
        on_stack = "(%rsp" in operands and register in operands
        loop.spills += on_stack
        loop.loads += register in operands and "(" in operands.rpartition(",")[0] and not on_stack
        loop.scalars += re.match(r"v(fmadd\w+|mul|add)s[sd]$|call", name) is not None
    return loop


def count_neon(body: list[str]) -> Loop:
    """A pair (ldp, stp) counts twice; a broadcast is a scalar's load, whose lane 0 the FMA names."""
    loop = Loop()
    for text in body:
        name, _, operands = text.partition(" ")
        vectors = len(re.findall(r"\bq\d+", operands))
        loop.fmas += name == "fmla" and re.match(r" *v\d+\.(4s|2d),", operands) is not None
        loop.broadcasts += name == "ld1r" or re.match(r"ldr +[sd]\d+, \[x", text) is not None
        loop.spills += vectors * ("[sp" in operands)
        loop.loads += vectors * (name.startswith("ld") and "[sp" not in operands)
        loop.scalars += name == "bl" or re.match(r"f(madd|mul|add) +[sd]\d+,", text) is not None
    return loop


def main(isa: str) -> int:
    found = functions(disassemble(isa))
    failures = []
    if not any(count([text], isa).fmas for body in found.values() for _, text in body):
        failures.append(f"the object of {isa} holds no FMA at all")
    print(f"{'kernel':<32} {'FMAs':>5} {'loads':>6} {'broadcasts':>11} {'spills':>7} {'scalars':>8}")
    hot = {
        f"{kernel}_{dtype}_{isa}": allowed
        for kernel, allowed in SPILLS_ALLOWED[isa].items()
        for dtype in ("f32", "f64")
    }
    hot |= {f"{kernel}_i16_{isa}": 0 for kernel in SHORT_KERNELS.get(isa, ())}
    for symbol, allowed in hot.items():
        loops = [count(body, isa) for body in innermost_loops(found.get(symbol, []))]
        busiest = max(loops, key=lambda loop: loop.fmas, default=Loop())
        counts = f"{busiest.fmas:>5} {busiest.loads:>6} {busiest.broadcasts:>11} {busiest.spills:>7}"
        print(f"{symbol:<32} {counts} {busiest.scalars:>8}")
        if not busiest.fmas:
            failures.append(f"{symbol}: no inner loop with an FMA")
        elif busiest.spills > allowed:
            failures.append(f"{symbol}: {busiest.spills} spills in its busiest loop, {allowed} allowed")
        elif busiest.scalars:
            failures.append(f"{symbol}: scalar arithmetic or a call in its busiest loop")
    for failure in failures:
        print(f"FAILED {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
