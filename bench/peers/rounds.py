"""How several libraries are timed side by side: alternating blocks of calls, a pause before each."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from bench.peers.form import Form

if TYPE_CHECKING:
    import pytest

# Calls of a few microseconds: enough of them for a median.
CALLS_AT_MOST = 1000


@dataclass(frozen=True)
class Pace:
    """How long a row takes."""

    name: str
    rounds: int
    # Of the blocks of calls that are timed, and of the warm calls before them.
    block_seconds: float
    warm_seconds: float
    # Until the spinning workers of the library before have fallen asleep. With call-by-call interleaving they
    # slow the next library by half: XNNPACK's MobileNet on two threads from 9.0 to 14.6 ms.
    pause_seconds: float
    # Of the short block that chooses a library's form.
    choice_seconds: float
    # At least so many warm calls, however long they take.
    warm_calls: int = 2


# Five rounds: a neighbour on the machine spoils blocks as a whole, and a median of five bears two of them.
FULL = Pace("full", 5, block_seconds=0.015, warm_seconds=0.01, pause_seconds=0.1, choice_seconds=0.006)
QUICK = Pace("quick", 5, block_seconds=0.006, warm_seconds=0.005, pause_seconds=0.05, choice_seconds=0.003)


def pace_of(config: pytest.Config) -> Pace:
    """Return the pace that the command line asks for."""
    return QUICK if config.getoption("quick") else FULL


@dataclass(frozen=True)
class Timing:
    """A library's rounds: of every block the median call, in seconds."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)

    @property
    def minimum(self) -> float:
        """The fastest round."""
        return min(self.rounds)

    def as_json(self) -> dict[str, object]:
        """Return what `extra_info` holds."""
        return {"rounds": list(self.rounds), "median": self.median, "minimum": self.minimum}


def turns(names: Sequence[str], rounds: int) -> Iterator[str]:
    """Yield whose block is next: each name once a round, each round beginning one further."""
    for first in range(rounds):
        for index in range(len(names)):
            yield names[(first + index) % len(names)]


def timed_calls(call: Callable[[], object], count: int) -> list[float]:
    """Return the seconds that each of `count` calls takes."""
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def warm(call: Callable[[], object], pace: Pace) -> float:
    """Call for as long as the pace says; return the seconds of the fastest call."""
    fastest = float("inf")
    end = time.perf_counter() + pace.warm_seconds
    calls = 0
    while calls < pace.warm_calls or time.perf_counter() < end:
        fastest = min(fastest, *timed_calls(call, 1))
        calls += 1
    return fastest


def calls_of(seconds_a_call: float, block_seconds: float) -> int:
    """Return how many calls fill a block."""
    return max(1, min(CALLS_AT_MOST, ceil(block_seconds / seconds_a_call)))


def fastest_form(forms: Iterable[Form], pace: Pace) -> Form:
    """Return the form with the shortest median call in one of two short blocks; a single one is not timed.

    Two, so that a disturbance in the only block of a peer's best form does not cost it that form.
    """
    forms = list(forms)
    if len(forms) == 1:
        return forms[0]
    timed = []
    for form in (*forms, *reversed(forms)):
        time.sleep(pace.pause_seconds)
        seconds = warm(form.call, pace)
        median = statistics.median(timed_calls(form.call, calls_of(seconds, pace.choice_seconds)))
        timed.append((median, form))
    return min(timed, key=lambda pair: pair[0])[1]


def blocks(
    calls: Mapping[str, Callable[[], object]], counts: Mapping[str, int], pace: Pace, handed_out: str
) -> Iterator[dict[str, list[float]]]:
    """Time all libraries' blocks, but leave those of one library to whoever iterates.

    Each yield asks for one block of `handed_out`, which is due and warm. What is yielded collects the rounds
    of the others: of every block the median call.
    """
    rounds: dict[str, list[float]] = {name: [] for name in calls if name != handed_out}
    for name in turns(list(calls), pace.rounds):
        time.sleep(pace.pause_seconds)
        warm(calls[name], pace)
        if name == handed_out:
            yield rounds
        else:
            rounds[name].append(statistics.median(timed_calls(calls[name], counts[name])))
