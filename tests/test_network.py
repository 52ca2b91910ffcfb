"""A list of steps run as one: the bits of single calls; arrays replaced; threads, limits, forks, Ctrl-C."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from bounds import assert_same_bits
from numpy.typing import NDArray
from programs import output_of
from strategies import numbers

import fastsep
from fastsep import _activations
from fastsep._elementwise import ElementwisePlan
from fastsep._job import CompiledPlan
from fastsep._network import Network
from fastsep._pooling import GlobalPoolPlan, PoolPlan

Array = NDArray[Any]
Step = tuple[CompiledPlan, Array | None, Array | None, Array | None]

F32 = np.dtype(np.float32)


def weights(seed: int, *shape: int, dtype: Any = np.float32) -> Array:
    return numbers(seed, shape, dtype) / np.asarray(np.sqrt(np.prod(shape[:-1])), dtype)


def plans(dtype: Any = np.float32) -> list[CompiledPlan]:
    """A small network of every kind of step; its image has 3 channels."""
    isa, kind = fastsep.get_isa(), np.dtype(dtype)
    stem = fastsep.Conv(weights(1, 3, 3, 3, 16, dtype=dtype), 2, "same", activation="relu6")
    first = fastsep.SeparableConv(
        weights(2, 3, 3, 16, 1, dtype=dtype), weights(3, 16, 24, dtype=dtype), 1, "same", activation="relu"
    )
    block = fastsep.InvertedResidual(
        weights(4, 24, 96, dtype=dtype), weights(5, 3, 3, 96, 1, dtype=dtype), weights(6, 96, 24, dtype=dtype)
    )
    gated = fastsep.InvertedResidual(
        weights(7, 24, 96, dtype=dtype),
        weights(8, 3, 3, 96, 1, dtype=dtype),
        weights(9, 96, 24, dtype=dtype),
        squeeze_excite=fastsep.SqueezeExcite(
            weights(10, 96, 8, dtype=dtype), weights(11, 8, 96, dtype=dtype)
        ),
    )
    deep = fastsep.DepthwiseConv(weights(12, 5, 5, 24, 1, dtype=dtype), 1, "same", activation="silu")
    last = fastsep.PointwiseConv(weights(13, 24, 130, dtype=dtype), activation="hard_swish")
    pool = PoolPlan("max", ((3, 3), (2, 2), (1, 1), "same"), 24, kind, isa)
    curve = _activations.epilogue("relu", "activation", kind)
    return [
        stem._compiled(3),
        first._compiled(16),
        block._compiled(24),
        pool,
        gated._compiled(24),
        deep._compiled(24),
        ElementwisePlan("add", 24, curve, kind, isa),
        last._compiled(24),
        GlobalPoolPlan("average", 130, kind, isa),
    ]


def steps_of(image: Array, compiled: list[CompiledPlan]) -> list[Step]:
    """A chain; every residual is the step's own input where the shapes agree."""
    steps: list[Step] = []
    x = image
    for plan in compiled:
        out = np.full((x.shape[0], *plan.output_shape(x.shape[1:-1]), plan.outputs), -7, image.dtype)
        steps.append((plan, x, out, x if out.shape == x.shape else None))
        x = out
    return steps


def by_single_calls(steps: list[Step]) -> list[Array]:
    for plan, x, out, residual in steps:
        assert x is not None
        assert out is not None
        plan.run(x, out, residual, x.ndim - 2, False, 1)
    return [out.copy() for _, _, out, _ in steps if out is not None]


def forget(steps: list[Step]) -> None:
    for _, _, out, _ in steps:
        assert out is not None
        out[...] = -7


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 9, 64])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_bits_of_single_calls(batch: int, size: int, dtype: Any) -> None:
    steps = steps_of(numbers(1, (batch, size, size + 2, 3), dtype), plans(dtype))
    expected = by_single_calls(steps)
    for threads in (1, 2, 3, 7, None):
        network = Network(steps, threads)
        for _ in range(2):
            forget(steps)
            network.run()
            for (_, _, out, _), values in zip(steps, expected, strict=True):
                assert_same_bits(out, values)


def test_arrays_replaced_for_one_run() -> None:
    compiled = plans()
    steps = steps_of(numbers(1, (1, 32, 32, 3), np.float32), compiled)
    last = len(steps) - 1
    unbound = [*steps]
    unbound[0] = (compiled[0], None, steps[0][2], None)
    unbound[last] = (compiled[last], steps[last][1], None, None)
    network = Network(unbound, 2)
    for seed in range(3):
        image = numbers(seed, (1, 32, 32, 3), np.float32)
        expected = by_single_calls(steps_of(image, compiled))[-1]
        out = np.empty_like(expected)
        network.run([(0, image, None, None), (last, None, out, None)])
        assert_same_bits(out, expected)
        watched = weakref.ref(image)
        del image
        gc.collect()
        assert watched() is None, "the network holds an array of a run that is over"
    with pytest.raises(ValueError, match="step 0 has no x; give it one with bind"):
        network.run([(last, None, out, None)])


def test_arrays_replaced_for_good() -> None:
    compiled = plans()[2:3]
    x, residual = numbers(1, (1, 16, 16, 24), np.float32), numbers(2, (1, 16, 16, 24), np.float32)
    out = np.empty_like(x)
    network = Network([(compiled[0], np.ones_like(x), np.empty_like(x), None)], 1)
    network.bind(0, x, out, residual)
    network.run()
    expected = np.empty_like(x)
    compiled[0].run(x, expected, residual, 2, False, 1)
    assert_same_bits(out, expected)
    # Another size, which needs more scratch.
    x = numbers(3, (2, 40, 60, 24), np.float32)
    out, expected = np.empty_like(x), np.empty_like(x)
    before = network.scratch_bytes
    network.bind(0, x, out, x)
    assert network.scratch_bytes > before
    network.run()
    compiled[0].run(x, expected, x, 2, False, 1)
    assert_same_bits(out, expected)


def test_a_residual_replaced_for_one_run_is_missed_in_the_next() -> None:
    (plan,) = plans()[6:7]
    x, out = np.ones((1, 4, 4, 24), np.float32), np.zeros((1, 4, 4, 24), np.float32)
    network = Network([(plan, x, out, None)], 1)
    network.run([(0, None, None, x)])
    assert (out == 2).all()
    with pytest.raises(ValueError, match="step 0 has no residual"):
        network.run()
    network.bind(0, residual=-x)
    network.run()
    assert (out == 0).all()


def test_what_a_step_cannot_take_is_refused() -> None:
    (plan,) = plans()[2:3]
    x = np.zeros((1, 8, 8, 24), np.float32)
    out = np.zeros_like(x)
    network = Network([(plan, x, out, None)], 1)
    with pytest.raises(TypeError, match="step 0: x must be a plain NumPy array of float32"):
        network.bind(0, x.astype(np.float64))
    with pytest.raises(TypeError, match="native byte order"):
        network.bind(0, x.astype(">f4"))
    with pytest.raises(ValueError, match=r"step 0 has no array that it can take"):
        network.run()
    with pytest.raises(ValueError, match=r"step 0: x must have 24 channels"):
        network.bind(0, x[..., :8])
    with pytest.raises(ValueError, match=r"step 0: out must have shape \(1, 8, 8, 24\)"):
        network.bind(0, x, x[:, :4])
    with pytest.raises(ValueError, match="step 0: residual must have shape"):
        network.bind(0, x, out, out[:, :, :4])
    with pytest.raises(ValueError, match="3 to 5 axes"):
        network.bind(0, x[0, 0])
    frozen = out.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="step 0: out must be writable"):
        network.bind(0, x, frozen)
    with pytest.raises(IndexError, match="0 to 0"):
        network.bind(1, x)
    with pytest.raises(TypeError):
        Network([(object(), x, out, None)])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="threads must be None, -1"):
        Network([], 0)


def test_nothing_to_do() -> None:
    Network([], 2).run()
    assert Network([]).run_timed() == []
    empty = np.empty((0, 8, 8, 24), np.float32)
    network = Network([(plans()[2], empty, empty.copy(), None)] * 2, 2)
    assert len(network) == 2
    assert network.run_timed() == [0.0, 0.0]


@pytest.mark.parametrize("threads", [1, 2])
def test_times(threads: int) -> None:
    steps = steps_of(numbers(1, (1, 64, 64, 3), np.float32), plans())
    expected = by_single_calls(steps)
    forget(steps)
    seconds = Network(steps, threads).run_timed()
    assert len(seconds) == len(steps)
    assert all(each > 0 for each in seconds)
    for (_, _, out, _), values in zip(steps, expected, strict=True):
        assert_same_bits(out, values)


def test_scratch_is_reported_and_shared() -> None:
    steps = steps_of(numbers(1, (1, 64, 64, 3), np.float32), plans())
    alone = [Network([step], 2).scratch_bytes for step in steps]
    together = Network(steps, 2).scratch_bytes
    assert max(alone) <= together < sum(alone)


# ---- threads ----------------------------------------------------------------------------------------------


def test_a_network_serves_one_run_at_a_time() -> None:
    """A second run, and a bind, while the first is under way: refused, and the first is unharmed."""
    plan = fastsep.Conv(weights(1, 5, 5, 32, 32), 1, "same")._compiled(32)
    x = numbers(1, (1, 400, 400, 32), np.float32)
    out, expected = np.full_like(x, np.nan), np.empty_like(x)
    plan.run(x, expected, None, 2, False, 1)
    network = Network([(plan, x, out, None)], 1)
    worker = threading.Thread(target=network.run)
    worker.start()
    while np.isnan(out[0, 0, 0, 0]):
        pass
    with pytest.raises(RuntimeError, match="one run at a time"):
        network.run()
    with pytest.raises(RuntimeError, match="between two runs"):
        network.bind(0, x)
    worker.join()
    assert_same_bits(out, expected)
    network.run()


def test_many_networks_at_once() -> None:
    compiled = plans()
    image = numbers(1, (1, 48, 48, 3), np.float32)
    expected = by_single_calls(steps_of(image, compiled))
    results = [steps_of(image, compiled) for _ in range(4)]
    networks = [Network(steps, 2) for steps in results]

    def run(network: Network) -> None:
        for _ in range(20):
            network.run()

    workers = [threading.Thread(target=run, args=(network,)) for network in networks]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for steps in results:
        for (_, _, out, _), values in zip(steps, expected, strict=True):
            assert_same_bits(out, values)


def test_a_lower_limit_is_obeyed_in_later_runs() -> None:
    steps = steps_of(numbers(1, (1, 48, 48, 3), np.float32), plans())
    expected = by_single_calls(steps)
    network = Network(steps, None)
    with threadpoolctl.threadpool_limits(1):
        assert Network(steps, None).threads == 1
        forget(steps)
        network.run()
        for (_, _, out, _), values in zip(steps, expected, strict=True):
            assert_same_bits(out, values)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_runs_a_network_of_its_parent() -> None:
    program = """
        import os
        import numpy as np
        from test_network import by_single_calls, forget, plans, steps_of
        from bounds import assert_same_bits
        from strategies import numbers
        from fastsep._network import Network
        steps = steps_of(numbers(1, (1, 64, 64, 3), np.float32), plans())
        expected = by_single_calls(steps)
        network = Network(steps, 2)
        network.run()
        child = os.fork()
        forget(steps)
        network.run()
        Network(steps, 2).run()
        for (_, _, out, _), values in zip(steps, expected):
            assert_same_bits(out, values)
        if child == 0:
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert output_of(program, timeout=60) == "0\n"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("many", [True, False])
def test_interrupt_stops_a_long_network(many: bool, threads: int) -> None:
    """Ctrl-C between steps or within one: something is left to do, and the network works after it."""
    program = f"""
        import numpy as np
        import fastsep
        from fastsep._network import Network
        from interrupting import interrupt_once_written
        fastsep.set_isa("generic")
        plan = fastsep.Conv(np.ones((5, 5, 16, 16)), 1, "same")._compiled(16)
        count, size = (60, 64) if {many} else (1, 700)
        x = np.ones((1, size, size, 16))
        outs = [np.full_like(x, np.nan) for _ in range(count)]
        steps = [(plan, x, out, None) for out in outs]
        network = Network(steps, {threads})
        first, last = outs[0].reshape(-1), outs[-1].reshape(-1)

        watcher = interrupt_once_written(first)
        try:
            network.run()
            print("not interrupted")
        except KeyboardInterrupt:
            print("interrupted", np.isnan(last[-1]))
        watcher.join()
        network.run()
        print("usable", np.isnan(last).any())
    """
    assert output_of(program, timeout=200) == "interrupted True\nusable False\n"
