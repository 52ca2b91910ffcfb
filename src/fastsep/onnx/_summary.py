"""What became of a network: its steps, what they take, and how near that is to the roofline."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import numpy as np

from fastsep import _threads
from fastsep._isa import get_isa
from fastsep._table import sizes, table
from fastsep.onnx._execution import Execution
from fastsep.onnx._graph import FOLDED, Array, Graph, Node, stood_for
from fastsep.onnx._schedule import Schedule
from fastsep.onnx._work import work
from fastsep.roofline import remembered

_WARM = 2
# Pairs of runs, one as a whole and one step by step: as many as fit into this time.
_SECONDS = 0.5
_LEAST_RUNS, _MOST_RUNS = 5, 50
_MOST_LETTERS = 40
# Steps that are named of those that one node became.
_MOST_STEPS = 4
# What became of a node that is no step.
_VIEW = "a view of its input"
_KNOWN = "known before the run, from shapes or values"


@dataclass(frozen=True)
class StepSummary:
    """One step of a run.

    Attributes
    ----------
    op : str
    stands_for : tuple of str
        Names of the model's nodes that became this step.
    runs_as : {"kernel", "NumPy"}
    shape : tuple of int
        Of its output, as the model has it.
    seconds : float
        Median of the fastest quarter of several runs: what disturbs only adds.
    flops, bytes : int
        A multiply-add is two; inputs, weights and outputs moved once.
    roofline_seconds : float
        It cannot be faster on this machine.
    """

    op: str
    stands_for: tuple[str, ...]
    runs_as: str
    shape: tuple[int, ...]
    seconds: float
    flops: int
    bytes: int
    roofline_seconds: float

    @property
    def share(self) -> float:
        """Share of the roofline."""
        return self.roofline_seconds / self.seconds if self.seconds else 1.0


@dataclass(frozen=True)
class Summary:
    """A network at work on inputs of one shape.

    Attributes
    ----------
    steps : tuple of StepSummary
        In order.
    views : int
        Nodes that cost nothing: they only look at a value another way.
    seconds : float
        The least of several whole runs, which alternate with those whose steps are timed.
    arena_bytes, scratch_bytes, weight_bytes : int
        Memory of the values between the steps, of the kernels' tiles, and of the network's weights.
    threads : int
    nodes : dict of str
        Of every node of the model, by name, what became of it: its steps, a view, a constant, what is known
        before the run, or why it was left out. A node without a name goes by its first output; of several of
        one name, each by both.
    """

    steps: tuple[StepSummary, ...]
    views: int
    seconds: float
    arena_bytes: int
    scratch_bytes: int
    weight_bytes: int
    threads: int
    nodes: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The attributes as a dictionary."""
        return asdict(self)

    def account(self) -> str:
        """Return a table of all nodes of the model, and what became of each."""
        return table(("node", "became"), list(self.nodes.items()), left=(0, 1))

    def __str__(self) -> str:
        rows = [
            (
                step.op,
                _origins(step.stands_for),
                sizes(step.shape),
                step.runs_as,
                f"{step.seconds * 1e3:.3f}",
                f"{step.flops / 1e6:.1f}",
                f"{step.share:.0%}",
            )
            for step in self.steps
        ]
        titles = ("step", "stands for", "output", "by", "ms", "MFLOP", "roofline")
        flops = sum(step.flops for step in self.steps)
        roofline = sum(step.roofline_seconds for step in self.steps)
        return "\n".join(
            [
                table(titles, rows, left=(0, 1, 2, 3)),
                "",
                _by_kind(self.steps),
                "",
                f"{self.seconds * 1e3:.3f} ms a run on {self.threads} thread{'s' * (self.threads > 1)}, "
                f"{flops / 1e9:.3f} GFLOP, {roofline / self.seconds:.0%} of the roofline",
                f"arena {self.arena_bytes / 1e6:.2f} MB, scratch {self.scratch_bytes / 1e6:.2f} MB, "
                f"weights {self.weight_bytes / 1e6:.2f} MB",
                _counted(self.nodes),
            ]
        )


def summarise(
    graph: Graph, planned: Schedule, execution: Execution, feeds: Mapping[str, Array], threads: int | None
) -> Summary:
    """Run a few times, and account for every step."""
    results = {
        port.name: np.empty(planned.specs[port.name].shape, planned.specs[port.name].dtype)
        for port in graph.outputs
    }
    for _ in range(_WARM):
        execution.run(feeds, results)
    whole: list[float] = []
    timed: list[list[float]] = []
    ends = time.perf_counter() + _SECONDS
    while len(whole) < _LEAST_RUNS or (len(whole) < _MOST_RUNS and time.perf_counter() < ends):
        begun = time.perf_counter()
        execution.run(feeds, results)
        whole.append(time.perf_counter() - begun)
        timed.append(execution.run_timed(feeds, results))
    # Not the least of each step: where a thread was interrupted, the next step may seem to take no time.
    timed = sorted(timed, key=sum)[: max(3, len(timed) // 4)]
    used = _threads.resolve(threads)
    steps = []
    for step, seconds in zip(planned.steps, zip(*timed, strict=True), strict=True):
        flops, moved = work(step.node, planned.specs)
        output = planned.specs[step.makes[0]]
        kind = "float64" if output.dtype == np.float64 else "float32"
        steps.append(
            StepSummary(
                op=_op(step.node),
                stands_for=stood_for(step.node),
                runs_as="NumPy" if step.plan is None else "kernel",
                shape=output.shape,
                seconds=median(seconds),
                flops=flops,
                bytes=moved,
                roofline_seconds=remembered(used, kind, get_isa()).seconds(flops, moved),
            )
        )
    return Summary(
        steps=tuple(steps),
        views=len(planned.views),
        seconds=min(whole),
        arena_bytes=planned.arena_bytes,
        scratch_bytes=execution.scratch_bytes,
        weight_bytes=sum(value.nbytes for value in graph.constants.values()),
        threads=used,
        nodes=_accounted(graph, planned),
    )


def _origins(names: tuple[str, ...]) -> str:
    """Name the first of the nodes that a step stands for; of a long name the end, where names differ."""
    name = names[0] if len(names[0]) <= _MOST_LETTERS else f"…{names[0][1 - _MOST_LETTERS :]}"
    return name + (f" + {len(names) - 1}" if len(names) > 1 else "")


def _accounted(graph: Graph, planned: Schedule) -> dict[str, str]:
    """Return what became of each node of the model, in its order."""
    steps: dict[str, list[str]] = {}
    for number, step in enumerate(planned.steps, 1):
        for name in stood_for(step.node):
            steps.setdefault(name, []).append(f"step {number}, {_op(step.node)}")
    constant = set(graph.constants)
    others: dict[str, str] = {}
    for node in graph.nodes:
        folded = constant.issuperset(filter(None, node.inputs))
        if folded:
            constant.update(node.outputs)
        for name in stood_for(node):
            if not folded or name not in others:
                others[name] = FOLDED if folded else _KNOWN
    views = (name for node in planned.views for name in stood_for(node))
    return {
        **graph.became,
        **others,
        **dict.fromkeys(views, _VIEW),
        **{name: _joined(numbered) for name, numbered in steps.items()},
    }


def _joined(numbered: list[str]) -> str:
    more = [f"{len(numbered) - _MOST_STEPS} more"] if len(numbered) > _MOST_STEPS else []
    return " and ".join(numbered[:_MOST_STEPS] + more)


def _op(node: Node) -> str:
    return node.op.removeprefix("fastsep.")


def _counted(nodes: Mapping[str, str]) -> str:
    """Return how many nodes became what, the steps in one."""
    counts = Counter("part of the steps" if what.startswith("step ") else what for what in nodes.values())
    return f"{len(nodes)} nodes: " + "; ".join(f"{what}: {count}" for what, count in counts.most_common())


def _by_kind(steps: tuple[StepSummary, ...]) -> str:
    """Return a table of the kinds of steps, that which takes most time first."""
    kinds: dict[str, list[StepSummary]] = {}
    for step in steps:
        kinds.setdefault(step.op, []).append(step)
    total = sum(step.seconds for step in steps) or 1.0
    rows = []
    for op, members in sorted(kinds.items(), key=lambda kind: -sum(step.seconds for step in kind[1])):
        seconds = sum(step.seconds for step in members)
        roofline = sum(step.roofline_seconds for step in members)
        rows.append(
            (
                op,
                str(len(members)),
                f"{seconds * 1e3:.3f}",
                f"{seconds / total:.0%}",
                f"{roofline / seconds if seconds else 1.0:.0%}",
            )
        )
    return table(("kind", "steps", "ms", "of all", "roofline"), rows, left=(0,))
