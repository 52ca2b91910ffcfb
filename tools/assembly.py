"""What objdump prints, as functions, loops and counts of what a loop does."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields

# x86's jumps; Arm's branches, whose tests of a register come before the target.
JUMP = re.compile(r"(?:bnd |notrack )*(?:j\w+|b|b\.\w+|cbn?z +\w+,|tbn?z +\w+, #\w+,) +([0-9a-f]+) ")
# What the next instruction does not follow, and the jump through a register that a `switch` becomes.
LEAVES = re.compile(r"(?:bnd |notrack )*(?:jmp|ret|ud2|b |br )")
SWITCH = re.compile(r"(?:bnd |notrack )*(?:jmp +\*|br +x)")

Instructions = list[tuple[int, str]]
Edges = Mapping[int, list[int]]


@dataclass
class Loop:
    """Counts of one innermost loop: `products` are vectors multiplied but not added in the same instruction,
    `stored` and `reloaded` are vectors on the stack."""

    fmas: int = 0
    products: int = 0
    loads: int = 0
    broadcasts: int = 0
    scalars: int = 0
    calls: int = 0
    stored: int = 0
    reloaded: int = 0

    def __add__(self, other: Loop) -> Loop:
        return Loop(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def functions(listing: str) -> dict[str, Instructions]:
    """Instructions (address, text) by symbol."""
    found: dict[str, Instructions] = {}
    current: Instructions = []
    for line in listing.replace("\t", " ").splitlines():
        if symbol := re.match(r"[0-9a-f]+ <(.+)>:", line):
            current = found.setdefault(symbol.group(1), [])
        elif instruction := re.match(r" *([0-9a-f]+): +(.+)", line):
            current.append((int(instruction.group(1), 16), instruction.group(2)))
    return found


def blocks(instructions: Instructions) -> tuple[dict[int, list[str]], Edges]:
    """Stretches without a jump by their first address, and where control goes from each."""
    target = {}
    starts = {instructions[0][0]}
    for (address, text), (following, _) in zip(instructions, [*instructions[1:], (0, "")], strict=True):
        if jump := JUMP.match(text):
            target[address] = int(jump.group(1), 16)
        if jump or LEAVES.match(text):
            starts |= {target.get(address, following), following}
    bodies: dict[int, list[str]] = {}
    last = {}
    for address, text in instructions:
        if address in starts:
            first = address
        bodies.setdefault(first, []).append(text)
        last[first] = address
    edges: dict[int, list[int]] = {first: [] for first in bodies}
    behind = dict(zip(bodies, list(bodies)[1:], strict=False))
    for first, body in bodies.items():
        if (to := target.get(last[first])) is not None and to in bodies:
            edges[first].append(to)
        if not LEAVES.match(body[-1]) and first in behind:
            edges[first].append(behind[first])
    # The table of a switch is not read: it may go wherever nothing else does.
    reached = {to for targets in edges.values() for to in targets} | {instructions[0][0]}
    for first, body in bodies.items():
        if SWITCH.match(body[-1]):
            edges[first] += [to for to in bodies if to not in reached]
    return bodies, edges


def components(nodes: Collection[int], edges: Edges) -> Iterator[set[int]]:
    """Strongly connected components (Tarjan's, without recursion: functions have thousands of blocks)."""
    number: dict[int, int] = {}
    lowest: dict[int, int] = {}
    open_: list[int] = []
    for root in nodes:
        path = [] if root in number else [(root, iter(edges[root]))]
        if path:
            number[root] = lowest[root] = len(number)
            open_.append(root)
        while path:
            node, targets = path[-1]
            for to in targets:
                if to in nodes and to not in number:
                    number[to] = lowest[to] = len(number)
                    open_.append(to)
                    path.append((to, iter(edges[to])))
                    break
                if to in lowest and to in nodes:
                    lowest[node] = min(lowest[node], lowest[to])
            else:
                path.pop()
                if path:
                    lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[node])
                if lowest[node] == number[node]:
                    at = open_.index(node)
                    component = set(open_[at:])
                    del open_[at:]
                    for done in component:
                        del lowest[done]
                    yield component


def innermost(nodes: Collection[int], edges: Edges) -> list[set[int]]:
    """The loops that hold no other, as blocks; those of a loop need not lie side by side."""
    found = []
    for loop in components(nodes, edges):
        if not any(to in loop for node in loop for to in edges[node]):
            continue
        entries = {to for node in nodes if node not in loop for to in edges[node] if to in loop} or {
            min(loop)
        }
        inside = {node: [to for to in edges[node] if to in loop and to not in entries] for node in loop}
        found += innermost(loop, inside) or [loop]
    return found


def inner_loops(instructions: Instructions, isa: str) -> list[Loop]:
    """What each innermost loop of a function does."""
    bodies, edges = blocks(instructions)
    # Where GCC aligns the stack, locals are addressed from %rbp; elsewhere that is a register like any other.
    framed = any(re.match(r"mov +%rsp,%rbp", text) for _, text in instructions)
    found = []
    for loop in innermost(list(bodies), edges):
        texts = [text for first in sorted(loop) for text in bodies[first]]
        found.append(sum((count(text, isa, framed) for text in texts), Loop()))
    return found


def count(text: str, isa: str, framed: bool) -> Loop:
    """What one instruction does."""
    if isa == "neon":
        return count_neon(text)
    return count_x86(text, "zmm" if isa == "avx512" else "ymm", framed)


def count_x86(text: str, register: str, framed: bool) -> Loop:
    name, _, operands = text.partition(" ")
    loop = Loop()
    # An array on the stack is indexed; what is spilled has a place of its own.
    on_stack = re.search(r"\(%rsp\)|\(%rbp\)" if framed else r"\(%rsp\)", operands) and re.search(
        r"%[xyz]mm", operands
    )
    stores = operands.rstrip().endswith(")")
    if on_stack:
        loop.stored = int(stores)
        loop.reloaded = 1 - loop.stored
    loop.fmas = int(name.startswith(("vfmadd", "vpmaddwd")) and register in operands)
    loop.products = int(name.startswith("vmulp") and register in operands)
    loop.broadcasts = int(name.startswith(("vbroadcast", "vpbroadcast")) and "(" in operands)
    loop.loads = int(register in operands and "(" in operands and not stores and not on_stack)
    loop.scalars = int(re.match(r"v(fmadd\w+|mul|add)s[sd]$", name) is not None)
    loop.calls = int(name == "call")
    return loop


def count_neon(text: str) -> Loop:
    """A pair (ldp, stp) counts twice; a broadcast is a scalar's load, whose lane 0 the FMA names."""
    name, _, operands = text.partition(" ")
    loop = Loop()
    vectors = len(re.findall(r"\bq\d+", operands))
    if re.search(r"\[(sp|x29)\b", operands):
        loop.reloaded = vectors * name.startswith("ld")
        loop.stored = vectors - loop.reloaded
    else:
        loop.loads = vectors * name.startswith("ld")
    loop.fmas = int(name == "fmla" and re.match(r" *v\d+\.(4s|2d),", operands) is not None)
    loop.products = int(name == "fmul" and re.match(r" *v\d+\.(4s|2d),", operands) is not None)
    loop.broadcasts = int(name == "ld1r" or re.match(r"ldr +[sd]\d+, \[x", text) is not None)
    loop.scalars = int(re.match(r"f(madd|mul|add) +[sd]\d+,", text) is not None)
    loop.calls = int(name == "bl")
    return loop
