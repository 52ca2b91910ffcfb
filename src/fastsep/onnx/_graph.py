"""The one graph type: what loading makes, what every pass of the optimiser takes and returns, what runs.

Nothing here knows the onnx package. Graphs are immutable: a pass returns a new one.

Annotations are no texts here, nor in other modules of this package that have named tuples, which would
compile each: 2 ms of the 40 that are the package's own when a network is loaded.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    Array = np.ndarray
# Nodes of the file that a message names.
_MOST_NAMED = 4


class Node(NamedTuple):
    """One operator: reads values by name, and makes values by name.

    `inputs` and `outputs` hold "" where an optional one is absent. `origin` names the nodes of the file that
    this one stands for.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = {}  # nobody writes to it
    name: str = ""
    origin: tuple[str, ...] = ()

    def with_inputs(self, *inputs: str) -> Self:
        """Return the same operator on other values."""
        return self._replace(inputs=inputs)

    def describe(self) -> str:
        """Return the operator with its name, for messages; with the file's nodes if it is several of them."""
        made = first_output(self.outputs)
        what = f"{self.op} node {self.name!r}" if self.name else f"{self.op} node that makes {made!r}"
        if len(self.origin) < 2:
            return what
        more = f" and {len(self.origin) - _MOST_NAMED} more" if len(self.origin) > _MOST_NAMED else ""
        return f"{what} (of {', '.join(map(repr, self.origin[:_MOST_NAMED]))}{more})"


def first_output(outputs: Iterable[str]) -> str:
    """Return the first output that is there: a Split may do without its first."""
    return next(filter(None, outputs), "")


def stood_for(node: Node) -> tuple[str, ...]:
    """Return the names of the nodes of the file that a node stands for; its own, if there was no file."""
    return node.origin or (node.name or first_output(node.outputs),)


_INPUTS = attrgetter("inputs")
_ORIGIN = attrgetter("origin")
# What became of nodes that no node stands for any more.
FOLDED = "folded into a constant"
UNUSED = "left out: no output needs it"


class Port(NamedTuple):
    """An input or output of a graph; a str or None in `shape` is a size that only a call knows."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str | None, ...] | None


class Spec(NamedTuple):
    """What is known of a value before a run: shape, dtype, and the value itself if nothing can change it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    value: Array | None = None


class ModelMetadata(NamedTuple):
    """What a model says of itself, by ONNX Runtime's names."""

    producer_name: str = ""
    graph_name: str = ""
    domain: str = ""
    description: str = ""
    graph_description: str = ""
    version: int = 0
    custom_metadata_map: Mapping[str, str] = {}  # nobody writes to it


class _Parts(NamedTuple):
    """No dataclass, whose module and whose decorator take 2 ms."""

    nodes: tuple[Node, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    constants: Mapping[str, Array]
    facts: dict[str, Any]
    metadata: ModelMetadata
    became: Mapping[str, str]


_UNKNOWN = ModelMetadata()


class Graph(_Parts):
    """Nodes in an order in which they can run, and the constants they read.

    `facts` is what the optimiser found out about values, by name. As values keep their meaning, all graphs
    that are made of one share it. `became` has the names of all nodes of the file, in order: with "" those
    for which some node here stands, the others with what became of them.
    """

    __slots__ = ()

    def __new__(
        cls,
        nodes: tuple[Node, ...],
        inputs: tuple[Port, ...],
        outputs: tuple[Port, ...],
        constants: Mapping[str, Array],
        facts: dict[str, Any] | None = None,
        metadata: ModelMetadata = _UNKNOWN,
        became: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a graph; a new one knows no facts."""
        facts = {} if facts is None else facts
        became = {} if became is None else became
        return super().__new__(cls, nodes, inputs, outputs, constants, facts, metadata, became)

    def producers(self) -> dict[str, Node]:
        """Return the node that makes each value."""
        return {name: node for node in self.nodes for name in node.outputs if name}

    def readers(self) -> dict[str, list[Node]]:
        """Return the nodes that read each value, a node once for every time it reads it."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                if name:
                    found.setdefault(name, []).append(node)
        return found

    def uses(self) -> Counter[str]:
        """Return how often each value is read; an output of the graph counts as one use."""
        # Without a step of Python for each: every pass asks.
        counts = Counter(chain.from_iterable(map(_INPUTS, self.nodes)))
        counts.pop("", None)
        counts.update(port.name for port in self.outputs)
        return counts

    def with_nodes(self, nodes: Iterable[Node], constants: Mapping[str, Array] | None = None) -> Self:
        """Return a graph of the same inputs and outputs; `constants` are added to those there are."""
        merged = self.constants if constants is None else {**self.constants, **constants}
        return self._replace(nodes=tuple(nodes), constants=merged)


def with_account(after: Graph, before: Sequence[Node], reason: str) -> Graph:
    """Return a graph that says why none of its nodes stands for nodes of the file for which these stood.

    What was said of a node already holds.
    """
    if after.nodes is before:
        return after
    gone = {name for name in _stood_for(before) - _stood_for(after.nodes) if not after.became.get(name)}
    return after._replace(became={**after.became, **dict.fromkeys(gone, reason)}) if gone else after


def _stood_for(nodes: Iterable[Node]) -> set[str]:
    return set(chain.from_iterable(map(_ORIGIN, nodes)))


def without_dead_code(graph: Graph) -> Graph:
    """Leave out nodes and constants that no output needs."""
    needed = {port.name for port in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if needed.intersection(name for name in node.outputs if name):
            kept.append(node)
            needed.update(node.inputs)
    constants = {name: value for name, value in graph.constants.items() if name in needed}
    return graph._replace(nodes=tuple(reversed(kept)), constants=constants)


def in_order(nodes: Iterable[Node], known: Iterable[str]) -> tuple[Node, ...]:
    """Return the nodes so that each comes after those whose values it reads, otherwise in the order given.

    Parameters
    ----------
    nodes : iterable of Node
    known : iterable of str
        Values that no node makes: inputs and constants.

    Raises
    ------
    ValueError
        A value is read that nothing makes, made twice, or made from itself.
    """
    nodes = tuple(nodes)
    known = set(known)
    if _is_in_order(nodes, set(known)):
        return nodes
    makers: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in node.outputs:
            if name and (name in makers or name in known):
                raise ValueError(f"{node.describe()} makes {name!r}, which is there already")
            if name:
                makers[name] = index
    waiting = []
    followers: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        sources = set()
        for name in node.inputs:
            if name in makers:
                sources.add(makers[name])
            elif name and name not in known:
                raise ValueError(f"{node.describe()} reads {name!r}, which nothing makes")
        waiting.append(len(sources))
        for source in sources:
            followers.setdefault(source, []).append(index)
    # Only here, where nodes are out of order: 0.5 ms.
    import heapq

    ready = [index for index, count in enumerate(waiting) if count == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        index = heapq.heappop(ready)
        order.append(nodes[index])
        for follower in followers.get(index, ()):
            waiting[follower] -= 1
            if waiting[follower] == 0:
                heapq.heappush(ready, follower)
    if len(order) < len(nodes):
        stuck = next(node for node, count in zip(nodes, waiting, strict=True) if count)
        raise ValueError(f"{stuck.describe()} depends on its own output: the graph has a cycle")
    return tuple(order)


def _is_in_order(nodes: Iterable[Node], known: set[str]) -> bool:
    """Return whether every value is made once, before it is read; exporters write them so."""
    for node in nodes:
        for name in node.inputs:
            if name and name not in known:
                return False
        for name in node.outputs:
            if name:
                if name in known:
                    return False
                known.add(name)
    return True
