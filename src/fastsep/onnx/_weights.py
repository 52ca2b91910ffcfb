"""The constants of a session: what a plan has packed is let go, and got back from the plan when it is wanted.

A plan holds weights in an order of its own, padded to whole vectors. To keep them as the graph has them as
well would take their memory twice (ResNet-50: 100 MB more), for `save`, for pickles and for plans of other
ranks alone. Packing only moves numbers. So to get them back a second plan is made in the same way, of weights
that are their own places: what lies where in its memory says which weight lies there in the first one's.
"""

import math
import mmap
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from fastsep._arrays import collect_packed
from fastsep._isa import get_isa
from fastsep._job import CompiledPlan
from fastsep.onnx._compile import weights_of
from fastsep.onnx._graph import Array, Graph, Node, Spec
from fastsep.onnx._mapped import ModelMap, give_back, lies_in_a_model, owner_of

# Biases and the like stay: they are part of what a plan packs, and small.
_LEAST_BYTES = 1 << 14

# Takes a node, specs, and an instruction set.
Make = Callable[[Node, Mapping[str, Spec], str], CompiledPlan | None]


class _Packed(NamedTuple):
    """A plan's memory, and what it was made of: of weights that were let go, shape and dtype alone."""

    node: Node
    specs: Mapping[str, Spec]
    make: Make
    isa: str
    memory: list[Any]


class Weights:
    """The constants of a graph.

    Parameters
    ----------
    graph : Graph
        Its dictionary of constants becomes this object's own, which changes it.

    Attributes
    ----------
    bytes : int
        Of all constants, whether they are here or in plans.
    """

    def __init__(self, graph: Graph) -> None:
        assert isinstance(graph.constants, dict)
        self.bytes = sum(value.nbytes for value in graph.constants.values())
        self._constants: dict[str, Array] = graph.constants
        uses = graph.uses()
        self._read_once = {name for name in graph.constants if uses[name] == 1}
        self._packed: dict[str, _Packed] = {}

    def pack(self, node: Node, specs: dict[str, Spec], make: Make) -> CompiledPlan | None:
        """Make the plan of a node, and let go of the weights that it packed; in `specs` as well.

        Where there is no plan, `specs` holds the weights.
        """
        weights = weights_of(node)
        for name in weights:
            if name in self._packed:
                specs[name] = specs[name]._replace(value=self._got_back(name))
        memory: list[Any] = []
        with _collected(memory):
            plan = make(node, specs, get_isa())
        if plan is None:
            for name in weights:
                if name in self._constants and name not in self._packed:
                    specs[name] = specs[name]._replace(value=self._owned(name))
            return None
        gone = []
        for name in weights:
            value = specs[name].value
            if value is not None:
                give_back(value)
                if self._is_let_go(name, value):
                    self._constants[name] = np.broadcast_to(np.zeros((), value.dtype), value.shape)
                    specs[name] = specs[name]._replace(value=self._constants[name])
                    gone.append(name)
        given = {name: specs[name] for name in node.inputs if name}
        self._packed.update(dict.fromkeys(gone, _Packed(node, given, make, plan.isa, memory)))
        return plan

    def own(self, but: Collection[str] = ()) -> None:
        """Copy the constants that lie in the model's file or bytes, which others may change or drop.

        External data files stay mapped: processes share the pages of what no plan packs.

        Parameters
        ----------
        but : collection of str
            Weights that are packed presently: of those that are then let go no copy is made.
        """
        for name, value in list(self._constants.items()):
            if name not in but or not self._is_let_go(name, value):
                self._owned(name)

    def _owned(self, name: str) -> Array:
        """Return a constant that does not lie in the model."""
        value = self._constants[name]
        if lies_in_a_model(value):
            copy = self._constants[name] = value.copy(order="K")
            copy.flags.writeable = False
            give_back(value)
        return self._constants[name]

    def _is_let_go(self, name: str, value: Array) -> bool:
        """Return whether a constant goes when a plan has packed it; what is mapped takes no memory."""
        owner = owner_of(value)
        stays = isinstance(owner, mmap.mmap) and not isinstance(owner, ModelMap)
        return name in self._read_once and value.nbytes >= _LEAST_BYTES and not stays

    def whole(self) -> dict[str, Array]:
        """Return all constants as the graph has them."""
        return {
            name: self._got_back(name) if name in self._packed else value
            for name, value in self._constants.items()
        }

    def _got_back(self, name: str) -> Array:
        """Return weights that are in a plan alone."""
        packed = self._packed[name]
        wanted = packed.specs[name]
        places = np.arange(1, math.prod(wanted.shape) + 1, dtype=f"u{wanted.dtype.itemsize}")
        specs = {
            each: spec if spec.value is None else spec._replace(value=np.zeros(spec.shape, spec.dtype))
            for each, spec in packed.specs.items()
        }
        specs[name] = wanted._replace(value=places.view(wanted.dtype).reshape(wanted.shape))
        memory: list[Any] = []
        with _collected(memory):
            # For the set it was packed for, whichever is chosen now: that is everybody's.
            packed.make(packed.node, specs, packed.isa)
        found, seen = np.empty_like(places), np.zeros(places.shape, np.bool_)
        for holds, said in zip(packed.memory, memory, strict=True):
            place = np.frombuffer(said, places.dtype)
            there = place != 0
            found[place[there] - 1] = np.frombuffer(holds, places.dtype)[there]
            seen[place[there] - 1] = True
        if not seen.all():
            raise AssertionError(f"{packed.node.describe()} does not hold all of {name!r}")
        found.flags.writeable = False
        return found.view(wanted.dtype).reshape(wanted.shape)


@contextmanager
def _collected(memory: list[Any]) -> Iterator[None]:
    """Put what plans allocate meanwhile into the list."""
    collect_packed(memory)
    try:
        yield
    finally:
        collect_packed(None)
