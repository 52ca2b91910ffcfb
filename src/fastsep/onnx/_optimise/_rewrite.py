"""How a pass walks a graph: a rule sees each node in turn, and says what takes its place.

A rule looks back from the last node of what it wants to replace, along `Draft.maker`, to nodes that it makes
superfluous. It need not remove them: what nothing reads any more is left out at the end. A value that is read
elsewhere, or is an output, keeps its maker that way; whether it is worth to compute something twice is for
the rule to say, by `Draft.uses`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastsep.onnx._errors import CONTRADICTIONS, raise_of
from fastsep.onnx._graph import Array, Graph, Node, with_account, without_dead_code
from fastsep.onnx._optimise import _facts
from fastsep.onnx._optimise._facts import NOTHING, Fact


class Same(NamedTuple):
    """What a rule returns for a node that is left out: its first output is that other value."""

    value: str


Rule = Callable[["Draft", Node], Sequence[Node] | Same | None]


class Draft:
    """A graph while a pass walks through it: who makes a value, how often it is read, what is known of it."""

    def __init__(self, graph: Graph) -> None:
        self.constants = dict(graph.constants)
        self.outputs = {port.name for port in graph.outputs}
        self._uses = graph.uses()
        self._makers: dict[str, Node] = {}
        self._places: dict[str, int] = {}
        self._settled: dict[str, Fact] = graph.facts
        self._facts = {port.name: _facts.of_port(port) for port in graph.inputs}
        self._nodes = graph.nodes
        self._taken: set[str] = set()

    def maker(self, value: str, *ops: str) -> Node | None:
        """Return the node that makes a value, if it is one of these operators."""
        node = self._makers.get(value)
        return node if node is not None and (not ops or node.op in ops) else None

    def sole(self, value: str, *ops: str) -> Node | None:
        """Return the node that makes a value which is read once, if it is one of these operators."""
        return self.maker(value, *ops) if self._uses[value] == 1 else None

    def uses(self, value: str) -> int:
        """Return how often a value is read; an output of the graph counts as one use."""
        return self._uses[value]

    def place(self, value: str) -> int:
        """Return where in the order of execution a value is made; -1 for inputs and constants."""
        return self._places.get(value, -1)

    def constant(self, value: str) -> Array | None:
        """Return the value itself, if nothing can change it."""
        return self.constants.get(value)

    def scalar(self, value: str) -> float | None:
        """Return a constant of one element, real or int, as a number."""
        found = self.constants.get(value)
        return (
            float(found.item())
            if found is not None and found.size == 1 and found.dtype.kind in "fiu"
            else None
        )

    def fact(self, value: str) -> Fact:
        """Return what is known of a value."""
        found = self._settled.get(value) or self._facts.get(value)
        if found is None and value in self.constants:
            found = self._facts[value] = _facts.of_constant(self.constants[value])
        return NOTHING if found is None else found

    def fresh(self, stem: str) -> str:
        """Return a name that nothing has yet."""
        if not self._taken:
            self._taken.update(name for node in self._nodes for name in node.outputs)
            # A name that an earlier pass gave to something else must not be given again: its facts are known.
            self._taken.update(self._settled, self._facts, self.constants)
        name, number = stem, 1
        while name in self._taken:
            number += 1
            name = f"{stem}.{number}"
        self._taken.add(name)
        return name

    def add(self, stem: str, value: Array) -> str:
        """Add a constant, and return its name."""
        name = self.fresh(stem)
        held = np.asarray(value).view()
        held.flags.writeable = False
        self.constants[name] = held
        return name

    def learn(self, node: Node) -> None:
        """Take note of a node that the graph holds now."""
        new = False
        for name in filter(None, node.outputs):
            self._makers[name] = node
            self._places[name] = len(self._places)
            new = new or name not in self._settled
        if not new:
            return
        facts = _facts.of_node(node, [self.fact(name) for name in node.inputs], self.constants)
        for name, fact in zip(node.outputs, facts, strict=True):
            known = self._facts.get(name)
            if name and (known is None or known.shape is None):
                self._facts[name] = fact
                if fact.settled:
                    self._settled[name] = fact

    def merge(self, old: Node, value: str) -> None:
        """Count the uses of values anew: who read the first output of `old` reads `value` now."""
        self._uses[value] += self._uses[old.outputs[0]]
        self.exchange(old, ())

    def exchange(self, old: Node, new: Iterable[Node]) -> None:
        """Count the uses of values anew: `old` is gone, with what served it alone; `new` is there."""
        for node in new:
            for name in node.inputs:
                if name:
                    self._uses[name] += 1
        gone = [old]
        made = {name for node in new for name in node.outputs}
        while gone:
            for name in gone.pop().inputs:
                self._uses[name] -= 1
                maker = self._makers.get(name)
                if maker is None or self._uses[name] or name in made:
                    continue
                if not any(self._uses[output] for output in maker.outputs):
                    gone.append(maker)


def rewrite(graph: Graph, rule: Rule, *needs: str, reason: str = "") -> Graph:
    """Apply a rule to each node in turn, and leave out what nothing reads any more.

    Parameters
    ----------
    graph : Graph
    rule : callable
    *needs : str
        Operators without any of which the rule never applies.
    reason : str
        What became of nodes that the rule replaced, if nothing stands for them now. It is not said of those
        that are gone because nothing reads them any more.

    Returns
    -------
    Graph
        The graph itself if the rule never applied.
    """
    if needs and not any(node.op in needs for node in graph.nodes):
        return graph
    draft = Draft(graph)
    nodes: list[Node] = []
    names: dict[str, str] = {}
    replaced: list[Node] = []
    changed = False
    for original in graph.nodes:
        node = renamed(original, names) if names else original
        try:
            draft.learn(node)
            found = rule(draft, node)
        except CONTRADICTIONS as error:
            raise_of(original.describe(), error)
        if found is None:
            nodes.append(node)
            continue
        replaced.append(node)
        new: Sequence[Node]
        if isinstance(found, Same) and node.outputs[0] in draft.outputs:
            # The output keeps its name: what is left is a view.
            new = (Node("Identity", (found.value,), node.outputs[:1], {}, node.name, origin(node)),)
            changed = changed or node.op != "Identity"
            draft.exchange(node, new)
        elif isinstance(found, Same):
            new = ()
            changed = True
            names[node.outputs[0]] = found.value
            draft.merge(node, found.value)
        else:
            new = found
            changed = True
            draft.exchange(node, new)
        try:
            for member in new:
                draft.learn(member)
        except CONTRADICTIONS as error:
            raise_of(original.describe(), error)
        nodes.extend(new)
    if not changed:
        return graph
    after = without_dead_code(graph._replace(nodes=tuple(nodes), constants=draft.constants))
    return with_account(after, replaced, reason) if reason else after


def renamed(node: Node, names: dict[str, str]) -> Node:
    """Return the node reading values by their other names."""
    if not any(name in names for name in node.inputs):
        return node
    return node.with_inputs(*(names.get(name, name) for name in node.inputs))


def origin(*nodes: Node) -> tuple[str, ...]:
    """Return the names of the file's nodes that these stand for, each once."""
    found: dict[str, None] = {}
    for node in nodes:
        found.update(dict.fromkeys(node.origin or ((node.name,) if node.name else ())))
    return tuple(found)


def fused(op: str, inputs: Sequence[str], last: Node, attributes: dict[str, Any], *others: Node) -> Node:
    """Return a node of one output in place of several, the last of which gives its name and its output."""
    return Node(op, tuple(inputs), (last.outputs[0],), attributes, last.name, origin(*others, last))
