"""What every test file shares: the instruction sets as a parameter, and how Hypothesis searches."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

import fastsep

# Derandomised: a failure here is a failure everywhere. The `isa` fixture is one value for all examples of a
# test, so its function scope is harmless.
settings.register_profile(
    "fastsep",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# Under an emulator, where Python itself is slow: --hypothesis-profile=emulated.
settings.register_profile("emulated", settings.get_profile("fastsep"), max_examples=15)
settings.load_profile("fastsep")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses the `isa` fixture once for every instruction set of this machine."""
    if "isa" in metafunc.fixturenames:
        metafunc.parametrize("isa", fastsep.available_isas(), indirect=True)


@pytest.fixture
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Select an instruction set for the test, and put the former one back."""
    before = fastsep.get_isa()
    fastsep.set_isa(request.param)
    yield request.param
    fastsep.set_isa(before)
