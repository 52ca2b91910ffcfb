"""Memory of a call: what the plan reports is what is allocated, and it is small for every published layer."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Any

import numpy as np
import pytest
from calls import CASES, PLANS, channels_first, kept_bytes
from programs import output_of

import fastsep
from bench.rows import Row, all_rows
from bench.shapes import Layer, load_networks, work_of
from fastsep import _isa, _validate
from fastsep._plan import Plan

MOST = 1_000_000  # bytes a thread


def weights(dtype: Any, *shape: int) -> Any:
    return np.zeros(shape, dtype)


def pointwise_weights(dtype: Any, layer: Layer) -> Any:
    return weights(dtype, layer.in_channels, layer.out_channels)


def depthwise_weights(dtype: Any, layer: Layer) -> Any:
    return weights(dtype, *layer.kernel, layer.in_channels, layer.out_channels // layer.in_channels)


def layer_plan(layer: Layer, dtype: Any = np.float32, **options: Any) -> Plan:
    if layer.family == "pointwise" and layer.stride == 1:
        return fastsep.PointwiseConv(pointwise_weights(dtype, layer), **options)
    options |= {"strides": layer.stride, "padding": layer.padding, "dilation_rate": layer.dilation}
    if layer.family == "depthwise":
        return fastsep.DepthwiseConv(depthwise_weights(dtype, layer), **options)
    return fastsep.Conv(weights(dtype, *layer.kernel, layer.in_channels, layer.out_channels), **options)


def published(dtype: Any, **options: Any) -> Iterator[tuple[str, Plan, tuple[int, ...]]]:
    """(name, plan, shape of its input, channels last): single layers of networks, and what fuses of them."""
    seen: set[tuple[Layer, ...]] = set()
    for network in load_networks():
        for layer in network.layers:
            if (key := (work_of(layer),)) not in seen:
                seen.add(key)
                yield (
                    f"{network.name} {layer.name}",
                    layer_plan(layer, dtype, **options),
                    (1, *layer.in_shape),
                )
        for first, second in pairwise(network.layers):
            if (first.family, second.family) != ("depthwise", "pointwise"):
                continue
            if (key := (work_of(first), work_of(second))) not in seen:
                seen.add(key)
                window = {"strides": first.stride, "padding": first.padding} | options
                plan = fastsep.SeparableConv(
                    depthwise_weights(dtype, first), pointwise_weights(dtype, second), **window
                )
                yield f"{network.name} {first.name}, {second.name}", plan, (1, *first.in_shape)
        for expand, middle, project in zip(
            network.layers, network.layers[1:], network.layers[2:], strict=False
        ):
            families = (expand.family, middle.family, project.family)
            widens = expand.out_channels > expand.in_channels and project.out_channels < project.in_channels
            if families != ("pointwise", "depthwise", "pointwise") or not widens:
                continue
            if (key := (work_of(expand), work_of(middle), work_of(project))) not in seen:
                seen.add(key)
                block = fastsep.InvertedResidual(
                    pointwise_weights(dtype, expand),
                    depthwise_weights(dtype, middle),
                    pointwise_weights(dtype, project),
                    strides=middle.stride,
                    padding=middle.padding,
                    **options,
                )
                yield f"{network.name} {expand.name} to {project.name}", block, (1, *expand.in_shape)


def row_plan(row: Row, dtype: Any = np.float32, **options: Any) -> Plan:
    """What `make bench-peers` times."""
    if len(row.layers) == 1:
        return layer_plan(row.layers[0], dtype, **options)
    *expand, middle, project = row.layers
    window = {"strides": middle.stride, "padding": middle.padding} | options
    if row.family != "inverted residual":
        return fastsep.SeparableConv(
            depthwise_weights(dtype, middle),
            pointwise_weights(dtype, project),
            depthwise_activation=middle.activation,
            activation=project.activation,
            **window,
        )
    gate = None
    if channels := row.squeezed and middle.out_channels:
        gate = fastsep.SqueezeExcite(
            weights(dtype, channels, row.squeezed),
            weights(dtype, row.squeezed, channels),
            activation=middle.activation,
        )
    return fastsep.InvertedResidual(
        pointwise_weights(dtype, expand[0]) if expand else None,
        depthwise_weights(dtype, middle),
        pointwise_weights(dtype, project),
        activation=middle.activation,
        residual=row.residual,
        squeeze_excite=gate,
        **window,
    )


def in_format(shape: tuple[int, ...], data_format: str) -> tuple[int, ...]:
    if data_format == "channels_last":
        return shape
    batch, height, width, channels = shape
    return batch, channels, height, width


def scratch_a_thread(plan: Plan, shape: tuple[int, ...], threads: int) -> float:
    """Without what squeeze-and-excite keeps of an image, which all threads share."""
    description = plan.describe(shape, threads)
    return (description.scratch_bytes - kept_bytes(plan, description.output_shape)) / description.threads


def beginning(at: int, shape: tuple[int, ...]) -> Any:
    """Zeros in float32 whose address is `at` modulo 4096."""
    size = 4 * math.prod(shape)
    memory = np.zeros(size + 4096, np.uint8)
    first = (at - memory.ctypes.data) % 4096
    return memory[first : first + size].view(np.float32).reshape(shape)


def allocated(plan: Plan, x: Any, out: Any, threads: int | None) -> int:
    """Bytes that a call takes beyond its arrays."""
    first = plan._channels_first
    compiled = plan._compiled(_validate.split_shape(x.shape, first)[2])
    taken: int = compiled.run(x, out, plan._own_residual(x), x.ndim - 2, first, threads)
    return taken


def assert_reported(plan: Plan, shape: tuple[int, ...], threads: int | None) -> None:
    description = plan.describe(shape, threads)
    as_numpy = beginning(16, shape), beginning(16, description.output_shape)
    assert allocated(plan, *as_numpy, threads) == description.scratch_bytes, plan
    for x_at, out_at in ((0, 0), (0, 1024), (32, 96), (4, 2052)):
        elsewhere = beginning(x_at, shape), beginning(out_at, description.output_shape)
        assert allocated(plan, *elsewhere, threads) <= description.scratch_bytes, plan


def test_what_addresses_decide() -> None:
    """Pixels 2048 bytes apart are copied where the micro-kernel would wait for L1: a description says so."""
    plan = fastsep.DepthwiseConv(weights(np.float32, 3, 3, 512, 1), padding="same", threads=1)
    shape = (1, 14, 14, 512)

    def copied(x_at: int, out_at: int) -> bool:
        taken = allocated(plan, beginning(x_at, shape), beginning(out_at, shape), 1)
        assert taken <= description.scratch_bytes
        return taken == description.scratch_bytes

    description = plan.describe(shape)
    assert copied(16, 16) and copied(16, 1040) and not copied(0, 1024)
    assert copied(0, 0) == (description.isa not in ("avx512", "split"))  # vectors of a whole cache line


@pytest.fixture
def system_caches() -> Iterator[None]:
    """Put the sizes back that the process had."""
    before = ",".join(f"{level}={size}" for level, size in _isa.cache_bytes().items())
    yield
    _isa.set_caches(before)


@pytest.mark.usefixtures("system_caches")
@pytest.mark.parametrize(
    "caches",
    [None, "L1=32K,L2=256K,L3=4M", "L1=48K,L2=2M,L3=32M", "L1=64K,L2=16M,L3=16M", "L1=1K,L2=2K,L3=4K"],
)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scratch_of_every_published_shape(dtype: Any, data_format: str, caches: str | None) -> None:
    _isa.set_caches(caches)
    too_much, count = [], 0
    rows = ((row.label, row_plan(row, dtype, data_format=data_format), row.in_shape) for row in all_rows())
    for name, plan, channels_last in chain(published(dtype, data_format=data_format), rows):
        shape = in_format(channels_last, data_format)
        for threads in (1, 2):
            count += 1
            if not 0 < (scratch := scratch_a_thread(plan, shape, threads)) < MOST:
                too_much.append(f"{name}, {threads} threads: {scratch:.0f} bytes, {plan}")
    assert not too_much
    assert count > 500


@pytest.mark.usefixtures("system_caches")
@pytest.mark.parametrize("caches", [None, "L1=16K,L2=128K,L3=1M"])
@pytest.mark.parametrize("threads", [1, 2, 3, None])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("size", [9, 64])
@pytest.mark.parametrize("family", CASES)
def test_what_is_reported_is_allocated(
    family: str, size: int, data_format: str, threads: int | None, caches: str | None
) -> None:
    """Of a call without a residual, unless it is the plan's own: that is what a description is about."""
    _isa.set_caches(caches)
    case = CASES[family](size=size)
    if data_format == "channels_first":
        case = channels_first(case)
    plan: Plan = case.plan(PLANS[family])
    assert_reported(plan, case.operands["inputs"].shape, threads)


@pytest.mark.usefixtures("system_caches")
@pytest.mark.parametrize("caches", [None, "L1=32K,L2=256K,L3=4M"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_what_is_reported_of_every_row_is_allocated(
    data_format: str, threads: int, caches: str | None
) -> None:
    _isa.set_caches(caches)
    count = gated = 0
    for row in all_rows():
        assert_reported(row_plan(row, data_format=data_format), in_format(row.in_shape, data_format), threads)
        count += 1
        gated += row.squeezed > 0
    assert count > 100
    assert gated == 12  # EfficientNet-B0's blocks, each once


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize("family", CASES)
def test_the_process_grows_by_no_more(family: str) -> None:
    """The peak of the resident set, which knows nothing of our own accounts.

    The arrays between fused stages would be 8 MB and more; squeeze-and-excite keeps one of them, for one
    image of the two. 2 MB are Python's, libgomp's, and the kernel's way of counting pages a CPU at a time.
    """
    program = f"""
        import numpy as np
        from calls import CASES, PLANS, kept_bytes
        case = CASES[{family!r}](size=256, channels=32)
        case.operands.pop("residual", None)
        plan = case.plan(PLANS[{family!r}])
        x = case.operands["inputs"]
        out = np.full(plan.describe(x.shape).output_shape, 1, np.float32)
        plan(x[:, :9, :9], threads=2)

        def resident(key):
            for line in open("/proc/self/status"):
                if line.startswith(key):
                    return 1024 * int(line.split()[1])

        before = resident("VmRSS")
        open("/proc/self/clear_refs", "w").write("5")
        plan(x, out, threads=2)
        print(resident("VmHWM") - before, plan.describe(x.shape, threads=2).scratch_bytes,
              kept_bytes(plan, out.shape))
    """
    grown, reported, kept = map(int, output_of(program).split())
    assert reported < 2 * MOST + kept
    assert grown <= reported + 2 * 1024 * 1024
