"""`python -m fastsep bench`: one layer, timed here and now."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from fastsep.layers import Conv, DepthwiseConv, PointwiseConv, SeparableConv

_ROUNDS = 15
_ROUND_SECONDS = 0.02


def _median_seconds(call: Any) -> float:
    call()
    begun = time.perf_counter()
    call()
    calls = max(1, int(_ROUND_SECONDS / max(time.perf_counter() - begun, 1e-7)))
    rounds = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        for _ in range(calls):
            call()
        rounds.append((time.perf_counter() - begun) / calls)
    return statistics.median(rounds)


def bench(
    family: str,
    size: int,
    channels: int,
    outputs: int,
    kernel: int,
    strides: int,
    batch: int,
    dtype: str,
    threads: int | None,
) -> str:
    """Time a layer of random weights and say how near the roofline it comes."""
    for name, value in (
        ("size", size),
        ("channels", channels),
        ("outputs", outputs),
        ("kernel", kernel),
        ("batch", batch),
    ):
        if value < 1:
            raise ValueError(f"--{name} must be at least 1; got {value}")
    generator = np.random.default_rng(0)

    def numbers(*shape: int) -> Any:
        return generator.standard_normal(shape).astype(dtype)

    plans: dict[str, Any] = {
        "conv": lambda: Conv(numbers(kernel, kernel, channels, outputs), strides, "same"),
        "depthwise": lambda: DepthwiseConv(numbers(kernel, kernel, channels, 1), strides, "same"),
        "pointwise": lambda: PointwiseConv(numbers(channels, outputs)),
        "separable": lambda: SeparableConv(
            numbers(kernel, kernel, channels, 1), numbers(channels, outputs), strides, "same"
        ),
    }
    plan = plans[family]()
    x = numbers(batch, size, size, channels)
    out = plan(x)
    description = plan.describe(x.shape, threads)
    seconds = _median_seconds(lambda: plan(x, out, threads=threads))
    rate = description.flops / seconds / 1e9
    share = description.roofline_seconds / seconds
    return (
        f"{description}\nmeasured  {seconds * 1e3:.4f} ms, {rate:.1f} GFLOP/s, {share:.0%} of the roofline "
        f"(median of {_ROUNDS})"
    )
