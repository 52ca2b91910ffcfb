"""What became of a network: its steps, what they take, and how near that is to the roofline."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from fastsep import _threads
from fastsep._isa import get_isa
from fastsep._table import sizes, table
from fastsep.onnx._execution import Execution
from fastsep.onnx._graph import Array, Graph
from fastsep.onnx._schedule import Schedule
from fastsep.onnx._work import work
from fastsep.roofline import remembered

_WARM = 2
_RUNS = 9
_MOST_ORIGINS = 3


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
        Median of several runs.
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
        Median of whole runs, which are not slowed down by timing every step.
    arena_bytes, scratch_bytes, weight_bytes : int
        Memory of the values between the steps, of the kernels' tiles, and of the network's weights.
    threads : int
    """

    steps: tuple[StepSummary, ...]
    views: int
    seconds: float
    arena_bytes: int
    scratch_bytes: int
    weight_bytes: int
    threads: int

    def to_dict(self) -> dict[str, Any]:
        """The attributes as a dictionary."""
        return asdict(self)

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
                f"{self.seconds * 1e3:.3f} ms a run on {self.threads} thread{'s' * (self.threads > 1)}, "
                f"{flops / 1e9:.3f} GFLOP, {roofline / self.seconds:.0%} of the roofline",
                f"arena {self.arena_bytes / 1e6:.2f} MB, scratch {self.scratch_bytes / 1e6:.2f} MB, "
                f"weights {self.weight_bytes / 1e6:.2f} MB",
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
    whole = []
    for _ in range(_RUNS):
        begun = time.perf_counter()
        execution.run(feeds, results)
        whole.append(time.perf_counter() - begun)
    timed = [execution.run_timed(feeds, results) for _ in range(_RUNS)]
    used = _threads.resolve(threads)
    steps = []
    for step, seconds in zip(planned.steps, zip(*timed, strict=True), strict=True):
        flops, moved = work(step.node, planned.specs)
        output = planned.specs[step.makes[0]]
        kind = "float64" if output.dtype == np.float64 else "float32"
        steps.append(
            StepSummary(
                op=step.node.op.removeprefix("fastsep."),
                stands_for=step.node.origin or (step.node.name,),
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
        seconds=median(whole),
        arena_bytes=planned.arena_bytes,
        scratch_bytes=execution.scratch_bytes,
        weight_bytes=sum(value.nbytes for value in graph.constants.values()),
        threads=used,
    )


def _origins(names: tuple[str, ...]) -> str:
    """Name the nodes that a step stands for, the first of many."""
    shown = ", ".join(names[:_MOST_ORIGINS])
    return shown + (f" + {len(names) - _MOST_ORIGINS}" if len(names) > _MOST_ORIGINS else "")
