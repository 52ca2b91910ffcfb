"""Whether a row was measured undisturbed: nothing else ran, and no library tied threads to a CPU."""

from __future__ import annotations

import os
import time
from pathlib import Path

STAT = Path("/proc/stat")
TASKS = Path("/proc/self/task")

# CPUs that everything else may keep busy during a row before its figures are doubted; 0.02 is an idle system.
DISTURBED_CPUS = 0.2


def is_disturbed(busy_elsewhere: float | None) -> bool:
    """Tell whether a row's figures are to be doubted; where the system does not tell, they are not."""
    return busy_elsewhere is not None and busy_elsewhere > DISTURBED_CPUS


class Others:
    """How busy everything but this process keeps the machine's CPUs, from now on; Linux only."""

    def __init__(self) -> None:
        self.start = self.now()

    @staticmethod
    def now() -> tuple[float, float, float]:
        """Return the clock, the busy seconds of all CPUs, and those of this process."""
        busy = 0.0
        if STAT.exists():
            # user nice system idle iowait irq softirq steal, in ticks
            ticks = [int(field) for field in STAT.read_text().splitlines()[0].split()[1:9]]
            busy = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
        return time.perf_counter(), busy, time.process_time()

    def cpus(self) -> float | None:
        """Return how many CPUs the others kept busy on average; None where the system does not tell."""
        if not STAT.exists():
            return None
        elapsed, busy, ours = (now - then for now, then in zip(self.now(), self.start, strict=True))
        return max(0.0, busy - ours) / elapsed


def check_affinities() -> None:
    """Raise AssertionError if a thread of this process may not use every CPU that the process may.

    A library that pins threads would leave two threads of another on one CPU: 10 ms a call instead of 0.5.
    """
    if not TASKS.exists():
        return
    allowed = os.sched_getaffinity(0)
    for task in TASKS.iterdir():
        try:
            pinned = os.sched_getaffinity(int(task.name))
        except ProcessLookupError:  # ended meanwhile
            continue
        assert pinned == allowed, f"a thread is tied to CPUs {sorted(pinned)} of {sorted(allowed)}"
