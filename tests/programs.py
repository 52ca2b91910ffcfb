"""Running a piece of Python in a process of its own, killed with its children if it hangs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

HERE = Path(__file__).parent


def run_program(program: str, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program beside the test files, with these environment variables in addition."""
    return run_command([sys.executable, "-c", textwrap.dedent(program)], HERE, timeout, **environment)


def run_command(
    command: list[str], folder: Path, timeout: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a session of its own, so that a time-out also ends what it has started."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as hung:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
            raise AssertionError(f"no end after {timeout} s; so far:\n{stdout}\n{stderr}") from hung
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def output_of(program: str, timeout: float = 120, **environment: str) -> str:
    """Run a program that must succeed, and return what it printed."""
    process = run_program(program, timeout, **environment)
    assert process.returncode == 0, f"exit code {process.returncode}\n{process.stdout}\n{process.stderr}"
    return process.stdout
