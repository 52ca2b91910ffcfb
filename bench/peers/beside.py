"""One row measured side by side: ours as pytest-benchmark's rounds, the peers' blocks between them."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from bench.peers.form import Form
from bench.peers.quiet import Others, check_affinities
from bench.peers.rounds import Pace, Timing, blocks, calls_of, warm
from bench.results import OURS

NO_PARTS: Mapping[str, Form] = {}


@dataclass(frozen=True)
class Beside:
    """What one row's rounds gave."""

    ours: Timing
    peers: Mapping[str, Timing]
    # Of some rows, our own layers as plans of their own.
    parts: Mapping[str, Timing]
    # CPUs that other processes kept busy meanwhile; None where the system does not tell.
    busy_elsewhere: float | None

    def as_json(self, chosen: Mapping[str, Form], differences: Mapping[str, float]) -> dict[str, Any]:
        """Return what `extra_info` holds of it, with each library's form and difference."""
        best = min(self.peers, key=lambda name: self.peers[name].median)
        return {
            **self.parts_as_json(),
            "ours": self.ours.as_json(),
            "peers": {
                name: {
                    **timing.as_json(),
                    "form": chosen[name].description,
                    "difference": differences[name],
                }
                for name, timing in self.peers.items()
            },
            "best_peer": best,
            "ratio": self.peers[best].median / self.ours.median,
            "largest_difference": differences[OURS],
            "busy_elsewhere": self.busy_elsewhere,
        }

    def parts_as_json(self) -> dict[str, Any]:
        """Return what `extra_info` holds of the parts: timings, and their sum over the fused plan's time."""
        if not self.parts:
            return {}
        return {
            "parts": {name: timing.as_json() for name, timing in self.parts.items()},
            "parts_share": sum(timing.median for timing in self.parts.values()) / self.ours.median,
        }


def measure_beside(
    benchmark: BenchmarkFixture,
    chosen: Mapping[str, Form],
    pace: Pace,
    parts: Mapping[str, Form] = NO_PARTS,
) -> Beside:
    """Time the chosen forms and the parts in alternating blocks; ours is the one called OURS."""
    calls = {name: form.call for name, form in {**chosen, **parts}.items()}
    counts = {name: calls_of(warm(call, pace), pace.block_seconds) for name, call in calls.items()}
    gc.collect()
    schedule = blocks(calls, counts, pace, OURS)
    other_rounds: dict[str, list[float]] = {}
    seconds: list[float] = []

    def timed() -> None:
        start = time.perf_counter()
        calls[OURS]()
        seconds.append(time.perf_counter() - start)

    def until_our_turn() -> None:
        other_rounds.update(next(schedule, {}))

    check_affinities()
    others = Others()
    until_our_turn()
    # Blocks of ours are iterations, back to back as the peers' calls are: with a `setup` before every call,
    # what pytest-benchmark does in between (its instrumentation off and on) would slow ours alone.
    benchmark.pedantic(timed, rounds=pace.rounds, iterations=counts[OURS], teardown=until_our_turn)
    for _ in schedule:
        raise AssertionError("pytest-benchmark made fewer calls than it was asked for")
    busy_elsewhere = others.cpus()
    check_affinities()
    # pytest-benchmark makes one call more when its rounds are over.
    ours_by_call = np.array(seconds[: pace.rounds * counts[OURS]]).reshape(pace.rounds, counts[OURS])
    others_timed = {name: Timing(tuple(rounds)) for name, rounds in other_rounds.items()}
    return Beside(
        Timing(tuple(statistics.median(block) for block in ours_by_call.tolist())),
        {name: timing for name, timing in others_timed.items() if name in chosen},
        {name: timing for name, timing in others_timed.items() if name in parts},
        busy_elsewhere,
    )
