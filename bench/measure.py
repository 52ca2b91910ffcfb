"""How a variant of a block is checked and timed."""

from __future__ import annotations

import time
from functools import cache, lru_cache
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from bench.blocks import Array, Block
from bench.variants import Call, Variant, numpy_matmul
from fastsep import _threads

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

# A round much shorter than this would measure the timer and the scheduler as well.
SECONDS_A_ROUND = 0.005
SECONDS_A_BENCHMARK = 0.6
ROUNDS_AT_LEAST = 3

# Workers of OpenMP and BLAS spin for a while after their work; the next variant must find them asleep.
SECONDS_UNTIL_WORKERS_SLEEP = 0.1

# Of the largest output. float32 sums of up to 2048 terms that differ only in their order stay far below it,
# while one wrong tap, channel or border pixel lies far above.
TOLERANCE = 1e-4

# A measured FMA peak further than this from frequency × whole ports invalidates a run.
PORT_DEVIATION = 0.05


@cache
def thread_counts() -> tuple[int, ...]:
    """Return one and all threads; one alone where there are no more."""
    return tuple(sorted({1, _threads.resolve(-1)}))


@lru_cache(maxsize=4)
def expected_output(block: Block) -> Array:
    """Return the block's output, computed by NumPy in float64."""
    return numpy_matmul(block.astype(np.float64), 1)()


def check(call: Call, block: Block) -> None:
    """Raise AssertionError unless the call's output is the block's."""
    expected = expected_output(block)
    np.testing.assert_allclose(call(), expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


def seconds_of(call: Call) -> float:
    """Return about how long a warm call takes."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
        if times[-1] > SECONDS_A_BENCHMARK / ROUNDS_AT_LEAST:
            break
    return min(times)


def measure(benchmark: BenchmarkFixture, block: Block, variant: Variant, threads: int) -> None:
    """Check one variant of a block, then time it."""
    call = variant(block, threads)
    with threadpool_limits(limits=threads, user_api="blas"):
        check(call, block)
        benchmark.extra_info.update(
            parameters=block.parameters,
            multiply_adds=block.multiply_adds,
            compulsory_bytes=block.compulsory_bytes,
        )
        measure_call(benchmark, call, threads)


def measure_call(benchmark: BenchmarkFixture, call: Call, threads: int) -> None:
    """Time a call that is known to be right."""
    time.sleep(SECONDS_UNTIL_WORKERS_SLEEP)
    seconds = seconds_of(call)
    iterations = max(1, ceil(SECONDS_A_ROUND / seconds))
    rounds = max(ROUNDS_AT_LEAST, round(SECONDS_A_BENCHMARK / (iterations * seconds)))
    benchmark.extra_info.update(threads=threads)
    benchmark.pedantic(call, rounds=rounds, iterations=iterations, warmup_rounds=1)
