"""Every distinct depthwise layer of the networks in bench/shapes with the pointwise layer it feeds.

Once as one plan, once as two. EfficientNet's pairs are timed without the squeeze-and-excitation between them.
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.blocks import block_of
from bench.measure import measure, thread_counts
from bench.shapes import Layer, separable_pairs
from bench.variants import Variant, fused, unfused


@pytest.mark.parametrize("threads", thread_counts())
@pytest.mark.parametrize("variant", [unfused, fused], ids=lambda variant: variant.__name__)
@pytest.mark.parametrize(("network", "depthwise", "pointwise"), separable_pairs(), ids=str)
def test_separable(
    benchmark: BenchmarkFixture,
    network: str,
    depthwise: Layer,
    pointwise: Layer,
    variant: Variant,
    threads: int,
) -> None:
    benchmark.group = network
    label = f"{depthwise}-{pointwise.out_channels}, {variant.__name__}"
    benchmark.extra_info.update(step=network, label=label)
    measure(benchmark, block_of(depthwise, pointwise), variant, threads)
