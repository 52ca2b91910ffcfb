"""The roofline: a lower bound made of measured limits. No test here says how fast the machine is."""

from __future__ import annotations

from itertools import pairwise

import pytest

from fastsep import _isa, _roofline, roofline

LEVELS = ("L1", "L2", "L3", "DRAM")


@pytest.fixture(scope="module")
def measured() -> roofline.Roofline:
    return roofline.measure(threads=1, dtype="float64")


def test_measure(measured: roofline.Roofline) -> None:
    assert measured.threads == 1
    assert measured.dtype == "float64"
    assert measured.flops_per_second > 0
    assert tuple(measured.bytes_per_second) == tuple(measured.cache_bytes) == LEVELS
    assert all(bandwidth > 0 for bandwidth in measured.bytes_per_second.values())
    sizes = [measured.cache_bytes[level] for level in LEVELS]
    assert all(inner < outer for inner, outer in pairwise(sizes))
    assert 1e6 < measured.cycles_per_second < 1e11
    assert measured.fmas_per_cycle > 0


@pytest.mark.parametrize("ports", [1, 2, 4])
@pytest.mark.parametrize("threads", [1, 2])
def test_chains_of_additions_count_cycles(ports: int, threads: int) -> None:
    clock, flops = _roofline.clock_burst(_isa.get_isa(), 4, threads, 10_000, ports)
    assert 0 < clock < 1e11
    assert flops > 0


def test_seconds_is_the_slower_of_arithmetic_and_memory() -> None:
    limits = roofline.Roofline(
        threads=1,
        dtype="float32",
        flops_per_second=100.0,
        bytes_per_second={"L1": 80.0, "L2": 40.0, "L3": 20.0, "DRAM": 10.0},
        cache_bytes={"L1": 1000.0, "L2": 2000.0, "L3": 4000.0, "DRAM": float("inf")},
        cycles_per_second=25.0,
        fmas_per_cycle=2.0,
    )
    assert limits.seconds(5000, 80) == 50
    assert limits.seconds(0, 80) == 1
    assert limits.seconds(0, 1000) == 12.5
    assert limits.seconds(0, 2000) == 50
    assert limits.seconds(0, 4000) == 200
    assert limits.seconds(0, 5000) == 500
    assert limits.seconds(60_000, 5000) == 600


@pytest.mark.parametrize(
    ("fmas_per_cycle", "ports", "deviation"),
    [
        (2.0, 2, 0.0),
        (1.92, 2, 0.04),
        (2.12, 2, 0.06),
        (0.94, 1, 0.06),
        (0.4, 1, 0.6),
        (3.9, 4, 0.025),
        (2.9, 4, 0.275),
    ],
)
def test_the_peak_is_checked_against_whole_ports(fmas_per_cycle: float, ports: int, deviation: float) -> None:
    limits = roofline.Roofline(
        1, "float32", 1.0, {"L1": 1.0}, {"L1": 1.0}, cycles_per_second=1.0, fmas_per_cycle=fmas_per_cycle
    )
    assert limits.fma_ports == ports
    assert limits.port_deviation == pytest.approx(deviation)


class SimulatedCore:
    """Bursts of a core with so many FMA ports, a share of which is used, and a clock that falls under load.

    From `clock` without vectors to `heavy` with all FMA ports busy: linearly, or at once where half are.
    """

    def __init__(
        self, ports: int, used: float = 1.0, clock: float = 4e9, heavy: float = 4e9, at_once: bool = False
    ) -> None:
        self.ports, self.rate = ports, ports * used
        self.clock, self.heavy, self.at_once = clock, heavy, at_once
        self.adds = {4: 5, 2: 9, 1: 18}

    def seconds(self, adds: int) -> float:
        """Of sixteen FMAs beside so many dependent additions."""
        cycles = max(16 / self.rate, adds)
        busy = 16 / self.ports / cycles
        load = float(busy > 0.5) if self.at_once else busy
        return cycles / (self.clock - (self.clock - self.heavy) * load)

    def fma_burst(self, isa: str, item_bytes: int, threads: int, repetitions: int) -> float:
        lanes = _isa.register_tiles(isa)["float32"]["lanes"] * 4 // item_bytes
        return threads * 2 * lanes * 16 / self.seconds(0)

    def clock_burst(
        self, isa: str, item_bytes: int, threads: int, repetitions: int, ports: int
    ) -> tuple[float, float]:
        seconds = self.seconds(self.adds[ports])
        lanes = _isa.register_tiles(isa)["float32"]["lanes"] * 4 // item_bytes
        return self.adds[ports] / seconds, threads * 2 * lanes * 16 / seconds


def checked(core: SimulatedCore, monkeypatch: pytest.MonkeyPatch, threads: int = 1) -> roofline.Roofline:
    monkeypatch.setattr("fastsep.roofline._roofline.fma_burst", core.fma_burst)
    monkeypatch.setattr("fastsep.roofline._roofline.clock_burst", core.clock_burst)
    monkeypatch.setattr("fastsep.roofline._roofline.memory_burst", lambda *arguments: (1e11, 1e11))
    return roofline.measure(threads=threads)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("heavy", "at_once", "off"), [(4e9, False, 0.001), (2.8e9, True, 0.001), (3.4e9, False, 0.05)]
)
@pytest.mark.parametrize("ports", [1, 2, 4])
def test_the_clock_is_that_of_heavy_vectors(
    ports: int, heavy: float, at_once: bool, off: float, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that falls under vectors, which a chain alone would never see, invalidates nothing."""
    limits = checked(SimulatedCore(ports, heavy=heavy, at_once=at_once), monkeypatch, threads)
    assert limits.fma_ports == ports
    assert limits.cycles_per_second == pytest.approx(heavy, rel=off)
    assert limits.port_deviation < off


@pytest.mark.parametrize("used", [0.9, 0.75, 1.1])
@pytest.mark.parametrize("ports", [1, 2, 4])
def test_a_peak_that_is_not_reached_is_found(
    ports: int, used: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checked(SimulatedCore(ports, used), monkeypatch).port_deviation > 0.09


def test_fewer_fmas_than_any_chain_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """No chain binds beside FMAs that slow, and none is taken for one that does."""
    assert checked(SimulatedCore(1, 0.5), monkeypatch).port_deviation > 0.05


def test_a_bound_grows_with_the_work(measured: roofline.Roofline) -> None:
    sizes = [10.0**exponent for exponent in range(2, 12)]
    for shape in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        bounds = [measured.seconds(shape[0] * size, shape[1] * size) for size in sizes]
        assert all(0 < smaller <= larger for smaller, larger in pairwise(bounds))


@pytest.mark.parametrize("dtype", ["float16", "int32"])
def test_other_types_are_refused(dtype: str) -> None:
    with pytest.raises(ValueError, match=f"dtype.*{dtype}"):
        roofline.measure(dtype=dtype)
