"""Every distinct conv layer of the networks in bench/shapes."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.blocks import block_of
from bench.measure import measure, thread_counts
from bench.shapes import Layer, layers_of_family
from bench.variants import unfused


@pytest.mark.parametrize("threads", thread_counts())
@pytest.mark.parametrize(("network", "layer"), layers_of_family("conv"), ids=str)
def test_conv(benchmark: BenchmarkFixture, network: str, layer: Layer, threads: int) -> None:
    benchmark.group = network
    benchmark.extra_info.update(step=network, label=str(layer))
    measure(benchmark, block_of(layer), unfused, threads)
