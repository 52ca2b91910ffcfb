"""Cache sizes: where they come from, and that calls cut for other sizes give the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bounds import assert_same_bits
from calls import CASES, PLANS, channels_first, kept_bytes
from hypothesis import given
from programs import output_of, run_program
from strategies import (
    Case,
    conv_cases,
    depthwise_cases,
    inverted_residual_cases,
    numbers,
    pointwise_cases,
    separable_cases,
    squeeze_excite_cases,
)

import fastsep
from fastsep import _isa, roofline

SMALL = "L1=32K,L2=256K,L3=4M"
TINY = "L1=1,L2=1,L3=1"
HUGE = "L1=1024M,L2=1024M,L3=1024M"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = ",".join(f"{level}={size}" for level, size in _isa.cache_bytes().items())
    yield
    _isa.set_caches(before)


@pytest.fixture(autouse=True)
def roofs_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of caches of a gigabyte, which `describe` would measure here, they take minutes."""
    roofs = roofline.remembered(1, "float32", fastsep.get_isa())
    monkeypatch.setattr(roofline, "remembered", lambda threads, dtype, isa: roofs)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("size", [9, 50])
@pytest.mark.parametrize("family", CASES)
def test_the_same_bits_for_any_sizes(family: str, size: int, data_format: str, dtype: Any) -> None:
    case = CASES[family](dtype, size=size)
    if data_format == "channels_first":
        case = channels_first(case)
    plan = case.plan(PLANS[family])
    _isa.set_caches(None)
    expected = case.run(plan, threads=1)
    for caches in (SMALL, TINY, HUGE):
        _isa.set_caches(caches)
        for threads in (1, 2):
            assert_same_bits(case.run(plan, threads=threads), expected)
            assert_same_bits(case.run(case.plan(PLANS[family]), threads=threads), expected)


def same_bits_when_tiny(case: Case, family: str) -> None:
    plan = case.plan(PLANS[family])
    _isa.set_caches(None)
    expected = case.run(plan)
    _isa.set_caches(TINY)
    assert_same_bits(case.run(plan), expected)


@given(conv_cases())
def test_every_conv_in_tiny_caches(case: Case) -> None:
    same_bits_when_tiny(case, "conv")


@given(depthwise_cases())
def test_every_depthwise_in_tiny_caches(case: Case) -> None:
    same_bits_when_tiny(case, "depthwise")


@given(pointwise_cases())
def test_every_pointwise_in_tiny_caches(case: Case) -> None:
    same_bits_when_tiny(case, "pointwise")


@given(separable_cases())
def test_every_separable_in_tiny_caches(case: Case) -> None:
    same_bits_when_tiny(case, "separable")


@given(inverted_residual_cases())
def test_every_inverted_residual_in_tiny_caches(case: Case) -> None:
    same_bits_when_tiny(case, "inverted residual")


@given(squeeze_excite_cases())
def test_every_squeeze_and_excite_in_tiny_caches(case: Case) -> None:
    same_bits_when_tiny(case, "squeeze and excite")


def test_sizes_change_how_a_call_is_cut() -> None:
    """Else the tests above would compare a call with itself."""
    changed = set()
    for family in CASES:
        for data_format in ("channels_last", "channels_first"):
            case = CASES[family](size=50)
            if data_format == "channels_first":
                case = channels_first(case)
            plan = case.plan(PLANS[family])
            tiles = set()
            for caches in (SMALL, TINY, HUGE):
                _isa.set_caches(caches)
                tiles.add(plan.describe(case.operands["inputs"].shape, threads=1).tile)
            if len(tiles) > 1:
                changed.add(family)
    assert changed >= {"depthwise", "pointwise", "separable", "inverted residual"}


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", [None, "relu6", "silu"])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("channels", [64, 65, 79, 88])
def test_depthwise_line_by_line(channels: int, strides: int, activation: str | None, dtype: Any) -> None:
    """What the last-level cache does not hold goes by another tile: odd rows, borders of every width."""
    plan = fastsep.DepthwiseConv(
        numbers(3, (3, 3, channels, 1), dtype),
        strides,
        [(2, 1), (1, 3)],
        bias=numbers(4, (channels,), dtype),
        activation=activation,
    )
    for size in ((5, 7), (8, 4), (2, 11), (4, 1)):
        x = numbers(5, (2, *size, channels), dtype)
        _isa.set_caches(HUGE)
        expected = plan(x)
        residual = numbers(6, expected.shape, dtype)
        added = plan(x, residual=residual)
        assert "line by line" not in plan.describe(x.shape).tile
        _isa.set_caches("L3=1")
        assert "line by line" in plan.describe(x.shape).tile
        for threads in (1, 2):
            assert_same_bits(plan(x, threads=threads), expected)
            assert_same_bits(plan(x, residual=residual, threads=threads), added)


def test_plans_print_tiles_for_the_present_sizes() -> None:
    plan = CASES["separable"](channels=64).plan(PLANS["separable"])
    _isa.set_caches("L1=32K,L2=256K,L3=4M")
    assert "about 192 pixels a tile" in repr(plan)
    _isa.set_caches("L1=64K,L2=256K,L3=4M")
    assert "about 256 pixels a tile" in repr(plan)


@pytest.mark.parametrize("family", CASES)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_scratch_is_bounded_in_small_caches(family: str, data_format: str) -> None:
    _isa.set_caches(SMALL)
    case = CASES[family](size=200, channels=40)
    if data_format == "channels_first":
        case = channels_first(case)
    plan = case.plan(PLANS[family])
    description = plan.describe(case.operands["inputs"].shape, threads=1)
    assert description.scratch_bytes < 512 * 1024 + kept_bytes(plan, description.output_shape)


# ---- where they come from ---------------------------------------------------------------------------------


PRINT = "from fastsep import _isa; print(*_isa.cache_bytes().values()); print(_isa.cache_source())"


def test_the_environment_sets_them() -> None:
    sizes, source = output_of(PRINT, FASTSEP_CACHES=SMALL).splitlines()
    assert sizes == "32768 262144 4194304"
    assert "FASTSEP_CACHES" in source
    sizes, source = output_of(PRINT, FASTSEP_CACHES=" L2=100000 ").splitlines()
    _isa.set_caches(None)
    system = _isa.cache_bytes()
    assert sizes == f"{system['L1']} 100000 {system['L3']}"
    assert "L2 as FASTSEP_CACHES" in source


def test_info_shows_them() -> None:
    program = "import sys; sys.argv = ['fastsep', 'info']; import fastsep.__main__ as m; m.main()"
    (line,) = [
        line for line in output_of(program, FASTSEP_CACHES=SMALL).splitlines() if line.startswith("caches")
    ]
    assert "L1 32 KB, L2 256 KB, L3 4096 KB" in line
    assert "FASTSEP_CACHES" in line


@pytest.mark.parametrize(
    "text",
    [
        "L4=1M",
        "L1",
        "L1=",
        "L1=K",
        "L1=-1",
        "L1=0",
        "L1=1.5K",
        "L1=32k",
        "L1=1G",
        "L1=1K;L2=2K",
        "L1=1K,L1=2K",
        ",",
        "32K",
    ],
)
def test_bad_sizes(text: str) -> None:
    before = _isa.cache_bytes()
    with pytest.raises(ValueError, match=r"text=.*L1=32K,L2=256K,L3=4M"):
        _isa.set_caches(text)
    assert _isa.cache_bytes() == before
    process = run_program("import fastsep", FASTSEP_CACHES=text)
    assert process.returncode != 0
    assert f"FASTSEP_CACHES={text!r}" in process.stderr


def test_text_is_a_string() -> None:
    with pytest.raises(TypeError, match=r"text must be None or a str.*got int"):
        _isa.set_caches(32)  # type: ignore[arg-type]


def sysfs(folder: Path, *caches: tuple[str, str, str]) -> str:
    """A folder like /sys/devices/system/cpu, with the same caches for each CPU that this process may have."""
    for cpu in range(1024):
        for index, (kind, level, size) in enumerate(caches):
            entry = folder / f"cpu{cpu}" / "cache" / f"index{index}"
            entry.mkdir(parents=True)
            for name, text in (("type", kind), ("level", level), ("size", size)):
                (entry / name).write_text(text + "\n")
        if cpu >= 15:
            break
    return str(folder)


def test_sysfs_is_read(tmp_path: Path) -> None:
    folder = sysfs(
        tmp_path,
        ("Data", "1", "48K"),
        ("Instruction", "1", "64K"),
        ("Unified", "2", "1280K"),
        ("Unified", "3", "24M"),
    )
    assert _isa.system_caches(folder) == (
        {"L1": 48 * 1024, "L2": 1280 * 1024, "L3": 24 * 1024 * 1024},
        "sysfs",
    )


def test_without_a_third_level_the_second_is_the_last(tmp_path: Path) -> None:
    folder = sysfs(tmp_path, ("Data", "1", "32K"), ("Unified", "2", "1M"))
    found, source = _isa.system_caches(folder)
    assert found["L3"] == found["L2"] == 1024 * 1024
    assert source == "sysfs"


@pytest.mark.parametrize("size", ["", "K", "big", "0K", "-1K"])
def test_nonsense_in_sysfs_is_left_out(tmp_path: Path, size: str) -> None:
    folder = sysfs(tmp_path, ("Data", "1", "32K"), ("Unified", "2", "1M"), ("Unified", "3", size))
    assert _isa.system_caches(folder)[0]["L3"] == 1024 * 1024


def test_without_sysfs_somebody_else_is_asked(tmp_path: Path) -> None:
    found, source = _isa.system_caches(str(tmp_path / "nothing"))
    assert source == "the operating system"
    assert all(1024 <= size <= 2**30 for size in found.values())
