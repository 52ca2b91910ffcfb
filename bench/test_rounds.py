"""Blocks of calls alternate as they should; nothing here looks at the clock."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.peers.beside import measure_beside
from bench.peers.form import Form
from bench.peers.quiet import check_affinities
from bench.peers.rounds import CALLS_AT_MOST, Pace, Timing, blocks, calls_of, turns
from bench.results import OURS

NO_TIME = Pace("no time", rounds=3, block_seconds=0, warm_seconds=0, pause_seconds=0, choice_seconds=0)


def test_every_round_holds_each_name_once_and_begins_one_further() -> None:
    assert list(turns(["a", "b", "c"], 4)) == [*"abc", *"bca", *"cab", *"abc"]


@pytest.mark.parametrize(
    ("seconds_a_call", "block_seconds", "calls"),
    [(1e-3, 15e-3, 15), (2e-3, 15e-3, 8), (1.0, 15e-3, 1), (1e-6, 15e-3, CALLS_AT_MOST)],
)
def test_calls_fill_a_block(seconds_a_call: float, block_seconds: float, calls: int) -> None:
    assert calls_of(seconds_a_call, block_seconds) == calls


def test_blocks_alternate_and_hand_our_blocks_out() -> None:
    made: list[str] = []
    calls = {name: lambda name=name: made.append(name) for name in ("ours", "one", "two")}
    schedule = blocks(calls, {"ours": 2, "one": 3, "two": 1}, NO_TIME, "ours")
    rounds: dict[str, list[float]] = {}
    for yielded in schedule:
        rounds = yielded
        made.append("OURS")
    # Two warm calls before every block.
    ours, one, two = ["ours"] * 2 + ["OURS"], ["one"] * 5, ["two"] * 3
    assert made == [*ours, *one, *two, *one, *two, *ours, *two, *ours, *one]
    assert {name: len(times) for name, times in rounds.items()} == {"one": 3, "two": 3}


def test_a_pace_says_how_many_calls_warm() -> None:
    made: list[str] = []
    calls = {name: lambda name=name: made.append(name) for name in ("ours", "one")}
    pace = replace(NO_TIME, rounds=1, warm_calls=1)
    schedule = blocks(calls, {"ours": 1, "one": 2}, pace, "ours")
    next(schedule)
    assert made == ["ours"]
    assert list(schedule) == []
    assert made == ["ours", "one", "one", "one"]


def test_peers_behind_our_last_block_are_timed_when_the_schedule_is_exhausted() -> None:
    calls = {"ours": lambda: None, "one": lambda: None}
    schedule = blocks(calls, {"ours": 1, "one": 1}, NO_TIME, "ours")
    rounds: dict[str, list[float]] = {}
    for _ in range(NO_TIME.rounds):
        rounds = next(schedule)
    assert len(rounds["one"]) == 2
    assert list(schedule) == []
    assert len(rounds["one"]) == 3


class CountedBenchmark:
    """In the place of pytest-benchmark's fixture: it makes the calls, and times nothing."""

    def pedantic(
        self, call: Callable[[], object], rounds: int, iterations: int, teardown: Callable[[], None]
    ) -> None:
        for _ in range(rounds):
            for _ in range(iterations):
                call()
            teardown()


def test_parts_take_turns_but_are_no_peers() -> None:
    made: list[str] = []

    def form(name: str) -> Form:
        return Form(f"the form of {name}", lambda: made.append(name), lambda: np.zeros(1))

    chosen = {name: form(name) for name in (OURS, "one")}
    parts = {name: form(name) for name in ("depthwise", "pointwise")}
    benchmark: Any = CountedBenchmark()
    beside = measure_beside(benchmark, chosen, NO_TIME, parts)
    # A block of no length is one call.
    assert len(beside.ours.rounds) == 3
    assert min(beside.ours.rounds) > 0
    assert {name: len(timing.rounds) for name, timing in beside.peers.items()} == {"one": 3}
    assert {name: len(timing.rounds) for name, timing in beside.parts.items()} == dict.fromkeys(parts, 3)
    # Two warm calls before all blocks, and before each.
    assert {name: made.count(name) for name in (*chosen, *parts)} == dict.fromkeys((*chosen, *parts), 11)
    stored = beside.as_json(chosen, dict.fromkeys(chosen, 0.0))
    assert stored["best_peer"] == "one"
    assert list(stored["peers"]) == ["one"]
    seconds = [part["median"] for part in stored["parts"].values()]
    assert stored["parts_share"] == sum(seconds) / beside.ours.median
    benchmark = CountedBenchmark()
    alone = measure_beside(benchmark, chosen, NO_TIME)
    assert not {"parts", "parts_share"} & alone.as_json(chosen, dict.fromkeys(chosen, 0.0)).keys()


def test_a_timing_is_the_median_and_the_minimum_of_its_rounds() -> None:
    timing = Timing((3.0, 1.0, 2.0))
    assert timing.as_json() == {"rounds": [3.0, 1.0, 2.0], "median": 2.0, "minimum": 1.0}
    assert statistics.median(timing.rounds) == timing.median


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not tell affinities")
def test_a_pinned_thread_is_found() -> None:
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        pytest.skip("this process has one CPU; a thread cannot be tied to fewer")
    pinned, checked = threading.Event(), threading.Event()

    def work() -> None:
        os.sched_setaffinity(0, {min(allowed)})
        pinned.set()
        checked.wait()

    check_affinities()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        pinned.wait()
        with pytest.raises(AssertionError, match="a thread is tied to CPUs"):
            check_affinities()
    finally:
        checked.set()
        thread.join()
    # The thread's end is known here before the system has taken it off its list.
    while Path(f"/proc/self/task/{thread.native_id}").exists():
        time.sleep(0.001)
    check_affinities()
