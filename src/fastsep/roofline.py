"""The two roofs of this machine, measured by the kernels' own vectors: FMA peak, bandwidth by cache."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from fastsep import _isa, _roofline, _threads

_BURSTS = 5
# Of several threads: long beside the 44 µs that waking one can take. Of one: short beside the turns that the
# system gives to other processes, of which a burst should meet none.
_BURST_SECONDS, _SHORT_BURST_SECONDS = 2e-3, 2e-4
# Beside a chain that binds, FMAs run at 0.89 of their peak or less; a clock that rises meanwhile adds some
# hundredths.
_SLOWED = 0.95


def whole_ports(fmas_per_cycle: float) -> int:
    """The number of FMA ports, 1, 2, 4 or 8, that a measured rate comes nearest to."""
    return min((1, 2, 4, 8), key=lambda ports: abs(fmas_per_cycle / ports - 1))


@dataclass(frozen=True)
class Roofline:
    """Measured limits of the machine.

    Attributes
    ----------
    threads : int
    dtype : str
    flops_per_second : float
        Of `threads` together, a fused multiply-add being two operations.
    bytes_per_second : dict
        By level ("L1", "L2", "L3", "DRAM"), of `threads` together: the faster of reading and copying.
    cache_bytes : dict
        Sizes of the levels, L1 and L2 of one core; "DRAM" is infinite.
    cycles_per_second : float
        Of one core at vector arithmetic, by chains of dependent integer additions beside it; the best one.
    fmas_per_cycle : float
        Vectors of fused multiply-adds that one core finished in a cycle: peak over cycles. The median of
        bursts that were each timed between two such chains, because clocks move.
    """

    threads: int
    dtype: str
    flops_per_second: float
    bytes_per_second: dict[str, float]
    cache_bytes: dict[str, float]
    cycles_per_second: float
    fmas_per_cycle: float

    @property
    def fma_ports(self) -> int:
        """Of 1, 2, 4 and 8, what comes nearest to `fmas_per_cycle`: no core has three."""
        return whole_ports(self.fmas_per_cycle)

    @property
    def port_deviation(self) -> float:
        """How far the measured peak lies from frequency × ports; from 0.05 on, something is wrong.

        Either the peak was not reached or the clock was not what the chain saw; shares of this roofline then
        mean nothing.
        """
        return abs(self.fmas_per_cycle / self.fma_ports - 1)

    def level(self, moved_bytes: float) -> str:
        """Smallest level that holds a working set shared out over the threads."""
        for name in ("L1", "L2"):
            if moved_bytes <= self.cache_bytes[name] * self.threads:
                return name
        return "L3" if moved_bytes <= self.cache_bytes["L3"] else "DRAM"

    def seconds(self, flops: float, moved_bytes: float) -> float:
        """Lower bound of the time for so much arithmetic and so many bytes, each moved once."""
        bandwidth = self.bytes_per_second[self.level(moved_bytes)]
        return max(flops / self.flops_per_second, moved_bytes / bandwidth)


def _peak(threads: int, isa: str, dtype: np.dtype[Any]) -> tuple[float, float, float]:
    """Operations a second of all threads, and cycles a second and vector FMAs a cycle of one core."""
    flops_a_vector = 2 * _isa.register_tiles(isa)[str(dtype)]["lanes"]
    calibration = 20_000
    begun = time.perf_counter()
    _roofline.fma_burst(isa, dtype.itemsize, 1, calibration)
    burst = _SHORT_BURST_SECONDS if threads == 1 else _BURST_SECONDS
    repetitions = int(calibration * burst / (time.perf_counter() - begun)) + 1
    ports = _chain_ports(threads, isa, dtype, repetitions)
    peak = cycles = 0.0
    rates = []
    for _ in range(20 if threads > 1 else 100):
        before, _ = _roofline.clock_burst(isa, dtype.itemsize, threads, repetitions, ports)
        flops = _roofline.fma_burst(isa, dtype.itemsize, threads, repetitions)
        after, _ = _roofline.clock_burst(isa, dtype.itemsize, threads, repetitions, ports)
        clock = (before + after) / 2
        rates.append(flops / (threads * clock * flops_a_vector))
        peak, cycles = max(peak, flops), max(cycles, clock)
    return peak, cycles, float(np.median(rates))


def _chain_ports(threads: int, isa: str, dtype: np.dtype[Any], repetitions: int) -> int:
    """The number of FMA ports whose chain of additions measures the clock here.

    The shortest chain that slows down the FMAs beside it takes longer than they do, so each of its additions
    is a cycle; and it leaves the core as busy with vectors as can be, so at their clock.
    """
    bursts = range(_BURSTS)
    peak = max(_roofline.fma_burst(isa, dtype.itemsize, threads, repetitions) for _ in bursts)
    for ports in (4, 2):
        beside = max(
            _roofline.clock_burst(isa, dtype.itemsize, threads, repetitions, ports)[1] for _ in bursts
        )
        if beside < _SLOWED * peak:
            return ports
    return 1


def measure(threads: int = 1, dtype: str = "float32", isa: str | None = None) -> Roofline:
    """Measure the roofs now (about half a second).

    Parameters
    ----------
    threads : int
        As for a call; -1 is all.
    dtype : str
        "float32" or "float64".
    isa : str or None
        Instruction set whose vectors are used; None is the one that new plans use.

    Returns
    -------
    Roofline
        The best of several bursts each: interference only ever slows a burst down.
    """
    threads = _threads.resolve(threads)
    isa = _isa.get_isa() if isa is None else isa
    item_bytes = np.dtype(dtype).itemsize
    if np.dtype(dtype) not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype must be float32 or float64; got {dtype!r}")
    peak, cycles, rate = _peak(threads, isa, np.dtype(dtype))

    caches = _isa.cache_bytes()
    # 256 MB at most: a virtual machine may show 480 MB of L3, of which it gets a part, and four times that
    # took 17 s and 2 GB.
    sizes = {
        "L1": caches["L1"] // 2,
        "L2": max(caches["L2"] // 2, 2 * caches["L1"]),
        "L3": max(min(caches["L3"] // 4, 64 << 20) // threads, 2 * caches["L2"]),
        "DRAM": min(max(4 * caches["L3"], 64 << 20), 256 << 20) // threads,
    }
    moved = {"L1": 8e8, "L2": 4e8, "L3": 2e8, "DRAM": 2.0 * sizes["DRAM"]}
    bandwidth = {
        name: max(
            max(_roofline.memory_burst(isa, item_bytes, threads, size, moved[name])) for _ in range(_BURSTS)
        )
        for name, size in sizes.items()
    }
    # A level is never slower than the one behind it; where it seems so, the measurement was disturbed.
    for inner, outer in (("L3", "DRAM"), ("L2", "L3"), ("L1", "L2")):
        bandwidth[inner] = max(bandwidth[inner], bandwidth[outer])
    return Roofline(
        threads,
        str(np.dtype(dtype)),
        peak,
        bandwidth,
        {**caches, "DRAM": float("inf")},
        cycles,
        rate,
    )


@lru_cache(maxsize=16)
def remembered(threads: int, dtype: str, isa: str) -> Roofline:
    """`measure`, once per process and argument: for `describe`, whose figure is a guide."""
    return measure(threads, dtype, isa)
