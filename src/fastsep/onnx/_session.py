"""`InferenceSession`: ONNX Runtime's interface over our own run."""

from __future__ import annotations

import gc
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fastsep._isa import get_isa
from fastsep._job import CompiledPlan
from fastsep._threads import check as check_threads
from fastsep._threads import resolve as resolve_threads
from fastsep.onnx import _options, _ports
from fastsep.onnx._compile import Order, compiled, plan_key, weights_of
from fastsep.onnx._errors import DependsOnValuesError, reading
from fastsep.onnx._execution import Execution
from fastsep.onnx._graph import Array, Graph, ModelMetadata, Node, Spec
from fastsep.onnx._ports import NodeArg
from fastsep.onnx._schedule import Schedule, schedule
from fastsep.onnx._specialise import specialise
from fastsep.onnx._weights import Weights

if TYPE_CHECKING:
    from fastsep.onnx._summary import Summary

# Input shapes whose schedules are kept, the least recently used going first; and of each, memory for so many
# runs at a time.
_MOST_SHAPES = 8
_MOST_IDLE = 4

_Key = tuple[Any, ...]


class InferenceSession:
    """A network, ready to run.

    Parameters
    ----------
    path_or_bytes : str, path, bytes or onnx.ModelProto
        An ONNX model, opset 11 or newer; the file may change once it is loaded. External data lie beside it
        and stay mapped: they must not be changed in place as long as the session lives.
    sess_options : SessionOptions of fastsep.onnx or of onnxruntime, or None
        `intra_op_num_threads` and, of ours, `add_free_dimension_override_by_name` are honoured. What would
        change results or write files is refused, except what an object of onnxruntime keeps to itself:
        initialisers, external ones, and sizes that were added to it are not seen. A size that no input
        leaves open is a ValueError; ONNX Runtime ignores it.
    providers : sequence or None
        Must hold "CPUExecutionProvider", or nothing.
    provider_options : sequence of dict or None
        For the CPU there are none.
    threads : int or None
        None follows `intra_op_num_threads`, then OpenMP's limit; -1 is all CPUs.
    disabled_optimizers, enable_fallback
        Have no effect: a session is always optimised, by passes of its own, and there is one provider.

    Raises
    ------
    ModelError
        The model is malformed, or an operator is not supported (`UnsupportedOperator`).
    FileNotFoundError, ImportError
        There is no such file; the package ``onnx`` is missing (``pip install fastsep[onnx]``).
    TypeError, ValueError
        An argument is wrong.

    Notes
    -----
    Several threads may call one session at a time: each run has memory of its own. A session pickles: the
    pickle holds the optimised network.
    """

    def __init__(
        self,
        path_or_bytes: Any,
        sess_options: Any = None,
        providers: Sequence[Any] | None = None,
        provider_options: Sequence[Mapping[str, Any]] | None = None,
        *,
        threads: int | None = None,
        disabled_optimizers: Any = None,
        enable_fallback: Any = True,
    ) -> None:
        _options.check_providers(providers, provider_options)
        threads = _options.threads_of(sess_options, threads)
        check_threads(threads)
        self._options: Any = sess_options
        with _no_search_for_cycles():
            # What only a model needs: a saved network starts without it.
            from fastsep.onnx._check import check_shapes
            from fastsep.onnx._load import load
            from fastsep.onnx._optimise import optimise

            with reading(path_or_bytes):
                graph = load(path_or_bytes)
            # A size that is not there is no fault of the model.
            graph = _options.with_fixed_sizes(graph, sess_options)
            with reading(path_or_bytes):
                check_shapes(graph)
                self._begin(optimise(graph), threads)

    @classmethod
    def _of(cls, graph: Graph, threads: int | None) -> InferenceSession:
        """A session of a graph that is optimised already."""
        self = cls.__new__(cls)
        self._options = None
        self._begin(graph, threads)
        return self

    def _begin(self, graph: Graph, threads: int | None) -> None:
        self._graph = graph
        self._threads = threads
        self._weights = Weights(graph)
        self._plans: dict[_Key, CompiledPlan | None] = {}
        self._runs: OrderedDict[_Key, _Runs] = OrderedDict()
        self._sized: OrderedDict[_Key, tuple[str, ...]] = OrderedDict()
        # Of the two caches; and of weights and plans, which takes as long as planning does.
        self._lock = threading.Lock()
        self._planning = threading.Lock()
        # Each run of `run_async` takes an arena; more at a time than CPUs would be no faster.
        self._asynchronous = threading.Semaphore(resolve_threads(-1))
        shapes = _ports.fixed_shapes(graph)
        if shapes is None:
            self._weights.own()
            return
        self._weights.own({name for node in graph.nodes for name in weights_of(node)})
        try:
            # Every size is known: weights are packed now, and a model whose shapes do not fit is refused now.
            self._runs_for({}, shapes)
        except DependsOnValuesError:
            if not any(
                _ports.may_say_sizes(port.dtype, math.prod(shapes[port.name])) for port in graph.inputs
            ):
                raise
        self._weights.own()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._whole(), self._threads)

    def get_inputs(self) -> list[NodeArg]:
        """Return what a run needs."""
        return [_ports.node_arg(port) for port in self._graph.inputs]

    def get_outputs(self) -> list[NodeArg]:
        """Return what a run makes."""
        return [_ports.node_arg(port) for port in self._graph.outputs]

    def get_overridable_initializers(self) -> list[NodeArg]:
        """Return []: what a model stores is constant, also where it is an input as well."""
        return []

    def get_providers(self) -> list[str]:
        """Return ["CPUExecutionProvider"]."""
        return list(_options.PROVIDERS)

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        """Return what the providers were given: nothing."""
        return {name: {} for name in _options.PROVIDERS}

    def get_session_options(self) -> Any:
        """Return the options the session was made with; new ones if there were none."""
        if self._options is None:
            self._options = _options.SessionOptions()
            self._options.intra_op_num_threads = self._threads or 0
        return self._options

    def get_modelmeta(self) -> ModelMetadata:
        """Return what the model says of itself: producer, names, texts, version, and its own entries."""
        # The entries are a dictionary: whoever changes it changes the copy.
        entries = dict(self._graph.metadata.custom_metadata_map)
        return self._graph.metadata._replace(custom_metadata_map=entries)

    def end_profiling(self) -> str:
        """Return "": nothing is written, and `summary` times the steps."""
        return ""

    def run_async(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Array],
        callback: Callable[[list[Array], Any, str], object],
        user_data: Any,
        run_options: Any = None,
    ) -> None:
        """Run the network in a thread of its own, and return at once.

        Parameters
        ----------
        output_names, input_feed, run_options
            As for `run`; the arrays must not change until the callback is called.
        callback : callable
            Called by that thread with the list of outputs, `user_data`, and "". If something goes wrong in
            the run, the list is empty, and the last says what.
        user_data : object

        Raises
        ------
        TypeError, ValueError, RuntimeError
            An argument is wrong, as for `run`; sizes that the model leaves open are looked at in the run.

        Notes
        -----
        Of one session as many of these runs are under way at a time as `threads=-1` has threads, each in
        memory of its own; the threads of the others wait.
        """
        if not callable(callback):
            raise TypeError(f"callback must be callable; got {callback!r}")
        # Now: the dictionary is the caller's.
        _options.check_run_options(run_options)
        names = _ports.output_names(self._graph, output_names)
        feeds = _ports.feeds(self._graph, input_feed)

        def work() -> None:
            error = ""
            results: list[Array] = []
            try:
                with self._asynchronous:
                    results = self._computed(names, feeds, None)
            except Exception as raised:
                error = str(raised) or type(raised).__name__
            callback(results, user_data, error)

        threading.Thread(target=work, name="fastsep.run_async").start()

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Array],
        run_options: Any = None,
        *,
        out: Sequence[Array | None] | None = None,
    ) -> list[Array]:
        """Run the network.

        Parameters
        ----------
        output_names : sequence of str or None
            None is all, in the model's order.
        input_feed : dict of ndarray
            By name, of the model's dtypes and shapes; never written. Subclasses such as np.memmap are taken,
            masked arrays are not.
        run_options : RunOptions of fastsep.onnx or of onnxruntime, or None
        out : sequence of ndarray or None
            Receives the outputs, one for each name, of the output's shape and dtype. None of their elements
            shares memory with another or with an input. None where a new array is wanted.

        Returns
        -------
        list of ndarray
            Those of `out` where they were given.

        Raises
        ------
        TypeError, ValueError
            An input is missing, not known, or of a wrong dtype or shape; an output name is not known; `out`
            does not fit. The message names it.
        """
        _options.check_run_options(run_options)
        names = _ports.output_names(self._graph, output_names)
        return self._computed(names, _ports.feeds(self._graph, input_feed), out)

    def _computed(
        self, names: Sequence[str], feeds: Mapping[str, Array], out: Sequence[Array | None] | None
    ) -> list[Array]:
        runs = self._runs_for(feeds, {name: value.shape for name, value in feeds.items()})
        results = _ports.results(names, runs.schedule.specs, out, feeds)
        execution = runs.take(self._threads)
        try:
            made = dict(zip(names, results, strict=True))
            execution.run(feeds, made)
        finally:
            runs.give_back(execution)
        for name, result in zip(names, results, strict=True):
            # Asked for twice, made once.
            if result is not made[name]:
                np.copyto(result, made[name])
        if out is None:
            return results
        return [result if given is None else given for result, given in zip(results, out, strict=True)]

    def summary(self, shapes: Mapping[str, Sequence[int]] | None = None) -> Summary:
        """Run a few times on random inputs, and say what became of each node.

        Parameters
        ----------
        shapes : dict or None
            Of the inputs, by name; needed for those with open sizes.

        Returns
        -------
        Summary
            Its `str` is a table: each step with the nodes it stands for, its shape, milliseconds and share of
            the roofline; `to_dict()` gives the figures.
        """
        from fastsep.onnx._summary import summarise

        feeds = _ports.random_feeds(self._graph, shapes)
        runs = self._runs_for(feeds, {name: value.shape for name, value in feeds.items()})
        execution = runs.take(self._threads)
        try:
            return summarise(self._graph, runs.schedule, execution, feeds, self._threads)
        finally:
            runs.give_back(execution)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the optimised network and its weights; `fastsep.load` reads them with NumPy alone.

        Parameters
        ----------
        path : str or path
            Replaced only when all is written. The file is the same for every instruction set.
        """
        from fastsep.onnx import _file

        _file.save(self._whole(), path)

    def _whole(self) -> Graph:
        """Return the graph with the weights that only plans hold."""
        with self._planning:
            return self._graph._replace(constants=self._weights.whole())

    def _runs_for(self, feeds: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]) -> _Runs:
        """Return the schedule for inputs of these shapes, from the cache if it is there."""
        key: _Key = tuple(shapes.items())
        with self._lock:
            full, found = self._cached(key, feeds)
        if found is not None:
            return found
        # Others go on with what is there: to plan takes milliseconds.
        with self._planning:
            with self._lock:
                full, found = self._cached(key, feeds)
            if found is not None:
                return found
            sized, runs = self._planned(feeds, shapes, self._sized.get(key, ()))
            with self._lock:
                if sized:
                    self._sized[key] = sized
                    _forget(self._sized)
                    full = (key, *(feeds[name].tobytes() for name in sized))
                self._runs[full] = runs
                _forget(self._runs)
            return runs

    def _cached(self, key: _Key, feeds: Mapping[str, Array]) -> tuple[_Key, _Runs | None]:
        """Return the key of inputs of these shapes, with the values that say sizes, and their schedule."""
        full = key
        if key in self._sized:
            self._sized.move_to_end(key)
            full = (key, *(feeds[name].tobytes() for name in self._sized[key]))
        if full in self._runs:
            self._runs.move_to_end(full)
        return full, self._runs.get(full)

    def _planned(
        self, feeds: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]], sized: tuple[str, ...]
    ) -> tuple[tuple[str, ...], _Runs]:
        """Return which inputs say sizes, and the schedule."""
        try:
            specs = specialise(self._graph, shapes, _kept(feeds, sized))
        except DependsOnValuesError:
            # Some input may say how large something is: what a Reshape takes its shape from.
            found = tuple(
                name for name, value in feeds.items() if _ports.may_say_sizes(value.dtype, value.size)
            )
            if sized or not found:
                raise
            sized = found
            specs = specialise(self._graph, shapes, _kept(feeds, sized))
        return sized, _Runs(schedule(self._graph, specs, self._plan_of))

    def _plan_of(self, node: Node, specs: dict[str, Spec], order: Order) -> CompiledPlan | None:
        """Return a node's plan, weights packed once for all shapes they serve."""
        key = plan_key(node, specs)
        if key is None:
            return compiled(node, specs, get_isa(), order)
        if self._plans.get(key) is None:
            self._plans[key] = self._weights.pack(node, specs, partial(compiled, order=order))
        return self._plans[key]


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Let Python's collector rest meanwhile: loading makes tuples by the thousand and no cycles.

    It would look at all objects of the process again and again, 4 ms of MobileNetV2's 100.
    This is the switch of the whole process: the garbage of other threads waits as long, 0.1 to 0.2 s, and if
    one of them turns the collector off meanwhile, it is on again afterwards. Python does not say who did.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _kept(feeds: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
    """Return copies: the schedule outlives the call, whose arrays are the caller's."""
    return {name: feeds[name].copy() for name in names}


def _forget(cache: OrderedDict[_Key, Any]) -> None:
    """Let go of the shapes that were used least recently."""
    while len(cache) > _MOST_SHAPES:
        cache.popitem(last=False)


def _rebuild(graph: Graph, threads: int | None) -> InferenceSession:
    return InferenceSession._of(graph, threads)


class _Runs:
    """A schedule, and memory for runs that are not under way."""

    def __init__(self, planned: Schedule) -> None:
        self.schedule = planned
        self._idle: list[Execution] = []

    def take(self, threads: int | None) -> Execution:
        try:
            return self._idle.pop()
        except IndexError:
            return Execution(self.schedule, threads)

    def give_back(self, execution: Execution) -> None:
        if len(self._idle) < _MOST_IDLE:
            self._idle.append(execution)
