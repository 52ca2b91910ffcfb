"""A schedule with memory of its own: what one run at a time uses."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Protocol

import numpy as np

from fastsep._network import Network
from fastsep.onnx._compile import operands
from fastsep.onnx._errors import CONTRADICTIONS, raise_of
from fastsep.onnx._graph import Array, Node
from fastsep.onnx._operators import OPERATORS
from fastsep.onnx._schedule import Schedule, Step

_PAGE_BYTES = 4096
# A step of a network, and its input, output and residual.
_Replacement = tuple[int, Array, Array, Array | None]


class Execution:
    """An arena, every value's array in it, and the compiled steps prepared for these arrays.

    Compiled steps that follow one another become one `Network`; NumPy runs the others, one at a time.
    """

    def __init__(self, schedule: Schedule, threads: int | None) -> None:
        self._schedule = schedule
        reserved = np.empty(schedule.arena_bytes + _PAGE_BYTES, np.uint8)
        start = -reserved.__array_interface__["data"][0] % _PAGE_BYTES
        arena = reserved[start : start + schedule.arena_bytes]
        self._fixed = {name: spec.value for name, spec in schedule.specs.items() if spec.value is not None}
        self._fixed.update({name: place.array(arena) for name, place in schedule.places.items()})
        # Views of what the caller hands in are made anew in every run.
        self._views = _with_views(schedule.views, self._fixed)
        self._in_order = _read_by_numpy(schedule)
        self._parts = [
            _CompiledPart(list(steps), self._fixed, threads) if compiled else _OperatorPart(list(steps))
            for compiled, steps in groupby(schedule.steps, key=lambda step: step.plan is not None)
        ]

    @property
    def scratch_bytes(self) -> int:
        """What the compiled steps take beside the arena, for all threads."""
        return max((part.scratch_bytes for part in self._parts), default=0)

    def run(self, feeds: Mapping[str, Array], results: Mapping[str, Array]) -> None:
        """Compute the outputs into the arrays of `results`."""
        arrays = self._arrays(feeds, results)
        # What becomes NaN or infinite is no news: ONNX defines it, and kernels say nothing either.
        with np.errstate(all="ignore"):
            for part in self._parts:
                part.run(arrays)
        self._hand_over(arrays, results)

    def run_timed(self, feeds: Mapping[str, Array], results: Mapping[str, Array]) -> list[float]:
        """Compute as `run`; return the seconds of each step of the schedule."""
        arrays = self._arrays(feeds, results)
        with np.errstate(all="ignore"):
            seconds = [each for part in self._parts for each in part.run_timed(arrays)]
        self._hand_over(arrays, results)
        return seconds

    def _arrays(self, feeds: Mapping[str, Array], results: Mapping[str, Array]) -> dict[str, Array]:
        arrays = {**self._fixed, **feeds}
        for name in self._in_order.intersection(feeds):
            arrays[name] = np.require(feeds[name], requirements=["C", "A"])
        for name in self._schedule.direct:
            spec = self._schedule.specs[name]
            arrays[name] = results[name] if name in results else np.empty(spec.shape, spec.dtype)
        _with_views(self._views, arrays)
        return arrays

    def _hand_over(self, arrays: Mapping[str, Array], results: Mapping[str, Array]) -> None:
        for name, result in results.items():
            if name not in self._schedule.direct:
                np.copyto(result, arrays[name])


def _with_views(views: Sequence[Node], arrays: dict[str, Array]) -> list[Node]:
    """Add the views of arrays that are there; return the nodes whose sources are not."""
    left = []
    for node in views:
        if node.inputs[0] in arrays:
            given = [arrays[name] if name else None for name in node.inputs]
            results = OPERATORS[node.op].compute(node, given)
            arrays.update({name: view for name, view in zip(node.outputs, results, strict=False) if name})
        else:
            left.append(node)
    return left


def _read_by_numpy(schedule: Schedule) -> set[str]:
    """Return the values that NumPy's steps read: in which order it sums follows from how these lie."""
    roots: dict[str, str] = {}
    for node in schedule.views:
        root = roots.get(node.inputs[0], node.inputs[0])
        roots.update({name: root for name in node.outputs if name})
    return {roots.get(name, name) for step in schedule.steps if step.plan is None for name in step.reads}


class _Part(Protocol):
    @property
    def scratch_bytes(self) -> int: ...

    def run(self, arrays: Mapping[str, Array]) -> None: ...

    def run_timed(self, arrays: Mapping[str, Array]) -> list[float]: ...


class _CompiledPart:
    """Compiled steps in one network; those that touch the caller's arrays get them for one run at a time."""

    def __init__(self, steps: list[Step], fixed: Mapping[str, Array], threads: int | None) -> None:
        self._steps = steps
        self._threads = threads
        self._changing = [
            index
            for index, step in enumerate(steps)
            if any(name not in fixed for name in (*step.reads, *step.makes))
        ]
        self._network: Network | None = None

    @property
    def scratch_bytes(self) -> int:
        return 0 if self._network is None else self._network.scratch_bytes

    def _prepared(self, arrays: Mapping[str, Array]) -> tuple[Network, list[_Replacement]]:
        """Return the network, and what it is given for this run alone: it keeps nothing of the caller's."""
        if self._network is None:
            changing = set(self._changing)
            nothing = None, None, None
            self._network = Network(
                [
                    (
                        step.plan,
                        *(nothing if index in changing else operands(step.node, step.order, arrays)),
                    )
                    for index, step in enumerate(self._steps)
                    if step.plan is not None
                ],
                self._threads,
            )
        steps = self._steps
        return self._network, [
            (index, *operands(steps[index].node, steps[index].order, arrays)) for index in self._changing
        ]

    def run(self, arrays: Mapping[str, Array]) -> None:
        network, given = self._prepared(arrays)
        network.run(given)

    def run_timed(self, arrays: Mapping[str, Array]) -> list[float]:
        network, given = self._prepared(arrays)
        return list(network.run_timed(given))


class _OperatorPart:
    """Steps that NumPy runs."""

    scratch_bytes = 0

    def __init__(self, steps: list[Step]) -> None:
        self._steps = steps

    def run(self, arrays: Mapping[str, Array]) -> None:
        for step in self._steps:
            _run_operator(step.node, arrays)

    def run_timed(self, arrays: Mapping[str, Array]) -> list[float]:
        seconds = []
        for step in self._steps:
            begun = time.perf_counter()
            _run_operator(step.node, arrays)
            seconds.append(time.perf_counter() - begun)
        return seconds


def _run_operator(node: Node, arrays: Mapping[str, Array]) -> None:
    operator = OPERATORS[node.op]
    given = [arrays[name] if name else None for name in node.inputs]
    try:
        if operator.into is not None and all(node.outputs):
            operator.into(node, given, [arrays[name] for name in node.outputs])
            return
        for name, value in zip(node.outputs, operator.compute(node, given), strict=False):
            if name:
                np.copyto(arrays[name], value)
    except CONTRADICTIONS as error:
        raise_of(node.describe(), error)
