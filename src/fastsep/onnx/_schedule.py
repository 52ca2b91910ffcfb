"""What runs in which order for inputs of one shape, and where every value lies: the plan of a run.

A value has a logical shape, that of the graph, and lies in memory in an order of its own: images
channels-last, whatever the graph says. At run time it is a NumPy view of the arena, so a Transpose costs
nothing.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from fastsep._job import CompiledPlan
from fastsep.onnx._arena import Block, place
from fastsep.onnx._compile import Order, sources
from fastsep.onnx._graph import Array, Graph, Node, Spec
from fastsep.onnx._operators import OPERATORS
from fastsep.onnx._operators.fused import CHANNELS_FIRST


class Step(NamedTuple):
    """One node at work. `plan` is None where NumPy runs it; `order` is how its output lies in memory."""

    node: Node
    plan: CompiledPlan | None
    order: Order
    reads: tuple[str, ...]
    makes: tuple[str, ...]


class Place(NamedTuple):
    """Where a value lies: `order` is the logical axis of each axis in memory, the last being contiguous."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    order: Order
    offset: int

    @property
    def size(self) -> int:
        """Bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def array(self, memory: Array) -> Array:
        """Return the value's array within the arena's bytes."""
        flat = memory[self.offset : self.offset + self.size].view(self.dtype)
        stored = flat.reshape([self.shape[axis] for axis in self.order])
        return stored.transpose(np.argsort(self.order))


class Schedule(NamedTuple):
    """A run for inputs of one shape.

    Attributes
    ----------
    specs : dict of Spec
        Of all values.
    steps : tuple of Step
        In order; those that only look at a value another way are in `views`.
    views : tuple of Node
        Make views of values, in an order in which they can be made once these values have their places.
    places : dict of Place
        Of the values that steps make, in the arena.
    arena_bytes : int
    direct : frozenset of str
        Outputs that a step writes where the caller wants them: nothing else reads them.
    """

    specs: Mapping[str, Spec]
    steps: tuple[Step, ...]
    views: tuple[Node, ...]
    places: Mapping[str, Place]
    arena_bytes: int
    direct: frozenset[str]


def schedule(
    graph: Graph,
    specs: dict[str, Spec],
    plan_of: Callable[[Node, dict[str, Spec], Order], CompiledPlan | None],
) -> Schedule:
    """Plan the run of a graph whose specs are known.

    Parameters
    ----------
    graph : Graph
    specs : dict of Spec
    plan_of : callable
        The compiled plan of a node whose output lies in memory in a certain order, or None. It may replace
        weights in the specs by anything of their shape if a plan holds them.
    """
    trial = _Trial(specs)
    steps: list[Step] = []
    views: list[Node] = []
    for node in graph.nodes:
        makes = tuple(name for name in node.outputs if name)
        if all(specs[name].value is not None for name in makes):
            continue
        if OPERATORS[node.op].view and trial.views(node):
            views.append(node)
            continue
        orders = [_order(node, name, trial) for name in makes]
        plan = plan_of(node, specs, orders[0])
        reads = sources(node) if plan is not None else [name for name in node.inputs if name]
        for name, order in zip(makes, orders, strict=True):
            trial.make(name, order)
        steps.append(Step(node, plan, orders[0], tuple(reads), makes))
    read = {name for step in steps for name in step.reads} | {node.inputs[0] for node in views}
    made = {name for step in steps for name in step.makes}
    direct = frozenset(port.name for port in graph.outputs if port.name in made - read)
    places, size = _placed(graph, steps, trial, direct)
    return Schedule(specs, tuple(steps), tuple(views), places, size, direct)


class _Trial:
    """Values as arrays whose memory is reserved but never touched, to see which operators give views.

    All lie in the same memory, as large as the largest of them: what an operator returns is compared with its
    own input alone.
    """

    def __init__(self, specs: Mapping[str, Spec]) -> None:
        self.specs = specs
        self._memory = np.empty(max(map(_bytes_of, specs.values()), default=0), np.uint8)
        self.arrays: dict[str, Array] = {}
        self.roots: dict[str, str] = {}
        self.orders: dict[str, Order] = {}

    def array(self, name: str) -> Array:
        """Return a stand-in for a value, or the value if it is known."""
        if name not in self.arrays:
            spec = self.specs[name]
            self.arrays[name] = self._stand_in(spec.shape, spec) if spec.value is None else spec.value
            self.roots[name] = name
        return self.arrays[name]

    def make(self, name: str, order: Order) -> None:
        """Give a value memory of its own."""
        spec = self.specs[name]
        stored = self._stand_in(tuple(spec.shape[axis] for axis in order), spec)
        self.arrays[name] = stored.transpose(np.argsort(order))
        self.roots[name] = name
        self.orders[name] = order

    def _stand_in(self, shape: tuple[int, ...], spec: Spec) -> Array:
        return self._memory[: _bytes_of(spec)].view(spec.dtype).reshape(shape)

    def views(self, node: Node) -> bool:
        """Whether all outputs of a node can be views of its first input; if so, they are noted as such."""
        source = self.array(node.inputs[0])
        if self.specs[node.inputs[0]].value is not None or source.size == 0:
            return False
        known = [self.specs[name].value if name else None for name in node.inputs[1:]]
        if any(name and value is None for name, value in zip(node.inputs[1:], known, strict=True)):
            return False
        if source.nbytes > _MOST_TRIED and node.op in _MAY_COPY and not source.flags.c_contiguous:
            return False
        results = OPERATORS[node.op].compute(node, [source, *known])
        if not all(np.may_share_memory(result, source) for result in results):
            return False
        for name, result in zip(node.outputs, results, strict=False):
            if name:
                self.arrays[name] = result
                self.roots[name] = self.roots[node.inputs[0]]
        return True


def _bytes_of(spec: Spec) -> int:
    return 0 if spec.value is not None else math.prod(spec.shape) * spec.dtype.itemsize


# A reshape of an array that is not contiguous may have to copy it; trying would touch that much memory.
_MAY_COPY = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
_MOST_TRIED = 1 << 20


def _order(node: Node, name: str, trial: _Trial) -> Order:
    """Return how a value that a step makes lies in memory."""
    rank = len(trial.specs[name].shape)
    plain = tuple(range(rank))
    if "layout" in node.attributes:
        return (0, *range(2, rank), 1) if node.attributes["layout"] == CHANNELS_FIRST else plain
    if node.op == "fastsep.Dense":
        return plain
    # As its largest source of the same rank lies: NumPy's loops then run along memory.
    largest = None
    for source in node.inputs:
        if source and len(trial.specs[source].shape) == rank:
            array = trial.array(source)
            if largest is None or array.size > largest.size:
                largest = array
    if largest is None or largest.flags.c_contiguous:
        return plain
    return tuple(sorted(plain, key=lambda axis: (-abs(largest.strides[axis]), axis)))


def _placed(
    graph: Graph, steps: list[Step], trial: _Trial, direct: frozenset[str]
) -> tuple[dict[str, Place], int]:
    """Place in the arena what the steps make, for as long as anything reads it."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for index, step in enumerate(steps):
        for name in step.makes:
            first[name] = last[name] = index
        for name in step.reads:
            root = trial.roots.get(name)
            if root in last:
                last[root] = index
    for port in graph.outputs:
        root = trial.roots.get(port.name)
        if root in last:
            last[root] = len(steps)
    names = [name for name in first if name not in direct]
    drafts = [
        Place(trial.specs[name].shape, trial.specs[name].dtype, trial.orders[name], 0) for name in names
    ]
    offsets, size = place(
        [Block(draft.size, first[name], last[name]) for name, draft in zip(names, drafts, strict=True)]
    )
    places = {
        name: Place(draft.shape, draft.dtype, draft.order, offset)
        for name, draft, offset in zip(names, drafts, offsets, strict=True)
    }
    return places, size
