"""`python -m fastsep selftest`: this copy against the reference, on every instruction set, in seconds."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import fastsep
from fastsep import _reference, _reference_filters
from fastsep._validate import Array

# Sums of at most a few hundred terms of magnitude around 1: far above rounding, far below any real mistake.
_TOLERANCE = {"float32": 1e-4, "float64": 1e-12}

Case = tuple[str, Callable[[], Array], Callable[[], Array]]


def _cases(dtype: str) -> Iterator[Case]:
    generator = np.random.default_rng(20240229)

    def numbers(*shape: int) -> Array:
        return generator.standard_normal(shape).astype(dtype)

    def pair(name: str, function: str, *arrays: Array, **options: Any) -> Case:
        return (
            name,
            lambda: getattr(fastsep, function)(*arrays, **options),
            lambda: getattr(_reference, function)(*arrays, **options),
        )

    for channels, strides, dilation, padding in itertools.product(
        (1, 7, 16, 37), (1, 2), (1, 2), ("same", "valid", "same_lower", 2)
    ):
        geometry: dict[str, Any] = {"strides": strides, "dilation_rate": dilation, "padding": padding}
        what = f"{channels} channels, strides {strides}, dilation {dilation}, padding {padding}"
        x = numbers(2, 11, 13, channels)
        yield pair(f"depthwise 3×3, {what}", "depthwise_conv", x, numbers(3, 3, channels, 1), **geometry)
        yield pair(
            f"separable 5×3, {what}",
            "separable_conv",
            x,
            numbers(5, 3, channels, 2),
            numbers(2 * channels, 19),
            depthwise_activation="relu6",
            bias=numbers(19),
            **geometry,
        )
        yield pair(
            f"standard 3×3, {what}", "conv", x, numbers(3, 3, channels, 9), bias=numbers(9), **geometry
        )
    for rank, data_format in itertools.product((1, 2, 3), ("channels_last", "channels_first")):
        spatial = (9, 6, 5)[:rank]
        shape = (2, *spatial, 12) if data_format == "channels_last" else (2, 12, *spatial)
        x = numbers(*shape)
        options: dict[str, Any] = {"padding": "same", "data_format": data_format}
        taps = (3,) * rank
        yield pair(
            f"{rank}-D depthwise, {data_format}", "depthwise_conv", x, numbers(*taps, 12, 1), **options
        )
        yield pair(f"{rank}-D standard, 3 groups, {data_format}", "conv", x, numbers(*taps, 4, 15), **options)
        yield pair(
            f"{rank}-D pointwise, {data_format}",
            "pointwise_conv",
            x,
            numbers(12, 33),
            data_format=data_format,
        )
    x = numbers(1, 6, 6, 24)
    for activation in (
        "relu",
        "relu6",
        "sigmoid",
        "hard_sigmoid",
        "silu",
        "hard_swish",
        "gelu",
        "gelu_tanh",
        (-1, 1),
    ):
        yield pair(
            f"pointwise with {activation}", "pointwise_conv", x, numbers(24, 20), activation=activation
        )
    weights: dict[str, Any] = {
        "expand_kernel": numbers(24, 72),
        "depthwise_kernel": numbers(3, 3, 72, 1),
        "project_kernel": numbers(72, 24),
        "residual": True,
    }
    yield (
        "inverted residual",
        lambda: fastsep.InvertedResidual(**weights)(x),
        lambda: _reference.inverted_residual(x, **weights),
    )
    gate: dict[str, Any] = {
        "reduce_kernel": numbers(72, 6),
        "expand_kernel": numbers(6, 72),
        "activation": "silu",
    }
    yield (
        "inverted residual with squeeze-and-excite",
        lambda: fastsep.InvertedResidual(**weights, squeeze_excite=fastsep.SqueezeExcite(**gate))(x),
        lambda: _reference.inverted_residual(x, **weights, squeeze_excite=gate),
    )


def _filter_cases(dtype: str) -> Iterator[Case]:
    from fastsep import ndimage

    generator = np.random.default_rng(20240301)
    image = generator.standard_normal((23, 41)).astype(dtype)
    counts = generator.integers(0, 256, (23, 41), dtype=np.uint8)
    taps, kernel = generator.standard_normal(7), generator.standard_normal((3, 4))
    mean = np.full(6, np.longdouble(1) / 6)
    for mode in ("reflect", "constant", "nearest", "mirror", "wrap"):

        def passes(weights: Array, before: int, mode: str = mode) -> Array:
            down = _reference_filters.exact_pass(image, 0, weights, before, mode, 1.5)
            return _reference_filters.exact_pass(down, 1, weights, before, mode, 1.5)

        def scipys(mode: str = mode) -> Array:
            down = _reference_filters.scipy_pass(counts, 0, "correlate", taps, 7, 3, mode, 1.5, np.int32)
            return _reference_filters.scipy_pass(down, 1, "correlate", taps, 7, 3, mode, 1.5, np.int32)

        options: dict[str, Any] = {"mode": mode, "cval": 1.5}
        separable = partial(ndimage.separable_filter, kernels=[taps, taps], **options)
        yield f"separable filter, {mode}", partial(separable, image), partial(passes, taps, 3)
        yield (
            f"mean of 6, {mode}",
            partial(ndimage.uniform_filter, image, 6, **options),
            partial(passes, mean, 3),
        )
        yield f"separable filter of uint8, {mode}", partial(separable, counts, output=np.int32), scipys
        yield (
            f"3×4 kernel, {mode}",
            partial(ndimage.correlate, image, kernel, method="direct", **options),
            partial(_reference_filters.correlate, image, kernel, (1, 2), mode, 1.5, np.float64),
        )


def _error(ours: Array, exact: Array) -> float:
    """Greatest difference, as a share of the greatest number, if that is above 1."""
    if ours.shape != exact.shape:
        return np.inf
    scale = max(1.0, float(np.abs(exact).max(initial=0)))
    return float(np.abs(ours - exact).max(initial=0)) / scale


def run() -> int:
    """Run every case and print a line per dtype and instruction set; 0 if all agree, else 1."""
    before, begun = fastsep.get_isa(), time.perf_counter()
    isas = fastsep.available_isas()
    failures = 0
    try:
        for dtype in ("float32", "float64"):
            count, worst = 0, dict.fromkeys(isas, 0.0)
            for name, computed, expected in itertools.chain(_cases(dtype), _filter_cases(dtype)):
                # The definition takes longer than all instruction sets together.
                exact = expected()
                count += 1
                for isa in isas:
                    fastsep.set_isa(isa)
                    error = _error(computed(), exact)
                    worst[isa] = max(worst[isa], error)
                    # Written so that a NaN fails too.
                    if not error <= _TOLERANCE[dtype]:
                        failures += 1
                        allowed = _TOLERANCE[dtype]
                        print(f"FAILED {isa} {dtype}: {name}: error {error:.3g}, allowed {allowed:g}")
            for isa in isas:
                print(f"{isa:<8} {dtype}: {count} cases, greatest error {worst[isa]:.2g}")
    finally:
        fastsep.set_isa(before)
    seconds = time.perf_counter() - begun
    print(f"self-test passed in {seconds:.1f} s" if not failures else f"self-test FAILED: {failures} cases")
    return 1 if failures else 0
