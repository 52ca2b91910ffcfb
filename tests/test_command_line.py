"""`python -m fastsep`: what it prints, and that its exit code can be trusted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from programs import run_command, run_program

import fastsep


def command(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command outside the source tree."""
    return run_command([sys.executable, "-m", "fastsep", *arguments], folder, timeout=120, **environment)


def test_info(tmp_path: Path) -> None:
    process = command(tmp_path, "info")
    assert process.returncode == 0, process.stderr
    for name in fastsep.available_isas():
        assert name in process.stdout
    assert np.__version__ in process.stdout
    for word in ("OpenMP", "thread", "CPU", "tile", "Python"):
        assert re.search(word, process.stdout, re.IGNORECASE), f"{word} is missing from\n{process.stdout}"


def test_info_tells_the_chosen_instruction_set(tmp_path: Path) -> None:
    shown = {name: command(tmp_path, "info", FASTSEP_ISA=name).stdout for name in fastsep.available_isas()}
    for name, text in shown.items():
        assert re.search(rf"chosen.*\b{name}\b|\b{name}\b.*chosen", text), text
    assert len(set(shown.values())) == len(shown)


def test_info_tells_where_the_number_of_threads_comes_from(tmp_path: Path) -> None:
    assert "OMP_NUM_THREADS" in command(tmp_path, "info", OMP_NUM_THREADS="1").stdout


def test_selftest(tmp_path: Path) -> None:
    process = command(tmp_path, "selftest")
    assert process.returncode == 0, process.stdout + process.stderr
    for name in fastsep.available_isas():
        assert name in process.stdout


@pytest.mark.parametrize("name", ["conv", "depthwise_conv", "pointwise_conv", "separable_conv"])
def test_selftest_fails_when_kernel_and_reference_disagree(name: str) -> None:
    """A specification that is wrong by one part in a thousand stands in for a kernel that is."""
    process = run_program(f"""
        import sys
        import numpy as np
        from fastsep import _reference
        right = _reference.{name}
        def wrong(*arguments, **keywords):
            result = np.array(right(*arguments, **keywords))
            result.flat[-1:] *= 1.001
            return result
        _reference.{name} = wrong
        sys.argv = ["fastsep", "selftest"]
        from fastsep.__main__ import main
        sys.exit(main())
    """)
    assert process.returncode == 1, process.stdout + process.stderr


@pytest.mark.parametrize("arguments", [["frobnicate"], ["info", "--frobnicate"], ["selftest", "frobnicate"]])
def test_unknown_commands(tmp_path: Path, arguments: list[str]) -> None:
    process = command(tmp_path, *arguments)
    assert process.returncode == 2
    assert "frobnicate" in process.stderr
    assert "usage" in process.stderr.lower()


def test_help_lists_the_commands(tmp_path: Path) -> None:
    process = command(tmp_path, "--help")
    assert process.returncode == 0
    for name in ("info", "selftest", "bench", "filter"):
        assert name in process.stdout
