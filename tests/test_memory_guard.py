"""No kernel touches a byte that it was not given: every operand between pages without access."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from calls import CASES
from hypothesis import settings

pytestmark = pytest.mark.skipif(os.name != "posix", reason="page protection is done with POSIX mprotect")

HERE = Path(__file__).parent


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=HERE, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("family", CASES)
def test_every_operand_at_the_edge_of_its_memory(family: str, isa: str) -> None:
    assert_inside(run(["guard_pages.py", family, isa]))


def test_every_filtered_array_at_the_edge_of_its_memory(isa: str) -> None:
    """Under an emulator every seventh: all filters and dtypes, but not of each shape."""
    emulated = settings.default is not None and settings.default.max_examples < 100
    assert_inside(run(["guard_filters.py", isa, "7" if emulated else "1"]))


def test_every_pooled_array_at_the_edge_of_its_memory(isa: str) -> None:
    assert_inside(run(["guard_pools.py", isa]))


def assert_inside(process: subprocess.CompletedProcess[str]) -> None:
    last = process.stdout.splitlines()[-1:] or ["(before the first case)"]
    assert process.returncode == 0, f"{last[0]}\n{process.stderr}"
    count = re.fullmatch(r"(\d+) cases stayed inside their memory", last[0])
    assert count is not None
    assert int(count[1]) >= 100


@pytest.mark.parametrize("at_end", [True, False])
def test_the_guard_kills(at_end: bool) -> None:
    """The guard itself: reading one byte further ends the process, reading inside does not."""
    program = (
        "import ctypes, guard_pages, numpy as np\n"
        f"memory = guard_pages.Guarded((4, 3), (12, 4), np.float32, {at_end})\n"
        "address = memory.array.ctypes.data\n"
        "inside = ctypes.string_at(address, 48)\n"
        "print(len(inside), flush=True)\n"
        f"ctypes.string_at(address + {48 if at_end else -1}, 1)\n"
    )
    process = run(["-c", program])
    assert process.stdout == "48\n"
    assert process.returncode < 0, "the process should have been killed by a signal"


@pytest.mark.parametrize("offset", [-1, 48])
def test_the_canaries_notice(offset: int) -> None:
    """The other half of the guard: a byte written beside the array, inside its own page."""
    import guard_pages

    memory = guard_pages.Guarded((4, 3), (12, 4), np.float32, at_end=offset < 0)
    ctypes.memset(memory.array.ctypes.data + offset, 0, 1)
    assert not memory.outside_is_untouched()
    memory = guard_pages.Guarded((4, 3), (12, 4), np.float32, at_end=offset < 0)
    memory.array[...] = 1
    assert memory.outside_is_untouched()
