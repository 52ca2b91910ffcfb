"""The roofline: a lower bound made of measured limits. No test here says how fast the machine is."""

from __future__ import annotations

from itertools import pairwise

import pytest

from fastsep import roofline

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
    assert measured.cycles_per_second > 1e6
    assert measured.fmas_per_cycle > 0


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


def test_a_bound_grows_with_the_work(measured: roofline.Roofline) -> None:
    sizes = [10.0**exponent for exponent in range(2, 12)]
    for shape in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        bounds = [measured.seconds(shape[0] * size, shape[1] * size) for size in sizes]
        assert all(0 < smaller <= larger for smaller, larger in pairwise(bounds))


@pytest.mark.parametrize("dtype", ["float16", "int32"])
def test_other_types_are_refused(dtype: str) -> None:
    with pytest.raises(ValueError, match=f"dtype.*{dtype}"):
        roofline.measure(dtype=dtype)
