"""One representative call of every public function and plan, for the tests that treat them alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from strategies import Case, numbers

import fastsep

Array = NDArray[Any]


def conv_case(
    dtype: Any = np.float32,
    channels: int = 12,
    filters: int = 20,
    taps: int = 3,
    size: int = 9,
    **options: Any,
) -> Case:
    """A standard convolution with bias and residual."""
    options = {"padding": "same", "activation": "relu6"} | options
    return Case(
        {
            "inputs": numbers(1, (2, size, size + 1, channels), dtype),
            "kernel": numbers(2, (taps, taps, channels, filters), dtype),
            "bias": numbers(3, (filters,), dtype),
            "residual": numbers(4, (2, size, size + 1, filters), dtype),
        },
        options,
    )


def depthwise_case(
    dtype: Any = np.float32,
    channels: int = 19,
    multiplier: int = 1,
    taps: int = 3,
    size: int = 9,
    **options: Any,
) -> Case:
    """A depthwise convolution with bias and residual."""
    options = {"padding": "same", "activation": "silu"} | options
    return Case(
        {
            "inputs": numbers(5, (2, size, size + 1, channels), dtype),
            "kernel": numbers(6, (taps, taps, channels, multiplier), dtype),
            "bias": numbers(7, (channels * multiplier,), dtype),
            "residual": numbers(8, (2, size, size + 1, channels * multiplier), dtype),
        },
        options,
    )


def pointwise_case(
    dtype: Any = np.float32, channels: int = 13, filters: int = 21, size: int = 9, **options: Any
) -> Case:
    """A pointwise convolution with bias and residual."""
    return Case(
        {
            "inputs": numbers(9, (2, size, size + 1, channels), dtype),
            "kernel": numbers(10, (channels, filters), dtype),
            "bias": numbers(11, (filters,), dtype),
            "residual": numbers(12, (2, size, size + 1, filters), dtype),
        },
        {"activation": "gelu"} | options,
    )


def separable_case(
    dtype: Any = np.float32,
    channels: int = 13,
    filters: int = 18,
    taps: int = 3,
    size: int = 9,
    **options: Any,
) -> Case:
    """A separable convolution with both biases and a residual."""
    options = {"padding": "same", "depthwise_activation": "relu", "activation": (-4.0, 9.0)} | options
    return Case(
        {
            "inputs": numbers(13, (2, size, size + 1, channels), dtype),
            "depthwise_kernel": numbers(14, (taps, taps, channels, 1), dtype),
            "pointwise_kernel": numbers(15, (channels, filters), dtype),
            "depthwise_bias": numbers(16, (channels,), dtype),
            "bias": numbers(17, (filters,), dtype),
            "residual": numbers(18, (2, size, size + 1, filters), dtype),
        },
        options,
    )


def inverted_residual_case(
    dtype: Any = np.float32,
    channels: int = 10,
    expanded: int = 45,
    taps: int = 3,
    size: int = 9,
    **options: Any,
) -> Case:
    """An inverted residual with all biases, that adds its input."""
    return Case(
        {
            "inputs": numbers(19, (2, size, size + 1, channels), dtype),
            "expand_kernel": numbers(20, (channels, expanded), dtype),
            "depthwise_kernel": numbers(21, (taps, taps, expanded, 1), dtype),
            "project_kernel": numbers(22, (expanded, channels), dtype),
            "expand_bias": numbers(23, (expanded,), dtype),
            "depthwise_bias": numbers(24, (expanded,), dtype),
            "bias": numbers(25, (channels,), dtype),
        },
        {"residual": True} | options,
    )


def squeeze_excite_case(
    dtype: Any = np.float32,
    channels: int = 10,
    expanded: int = 45,
    taps: int = 3,
    size: int = 9,
    **options: Any,
) -> Case:
    """An inverted residual with a gate between its last two parts."""
    case = inverted_residual_case(dtype, channels, expanded, taps, size, **options)
    case.options["squeeze_excite"] = {
        "reduce_kernel": numbers(26, (expanded, 7), dtype),
        "expand_kernel": numbers(27, (7, expanded), dtype),
        "reduce_bias": numbers(28, (7,), dtype),
        "expand_bias": numbers(29, (expanded,), dtype),
        "activation": "silu",
        "gate": "sigmoid",
    }
    return case


def kept_bytes(plan: Any, output_shape: tuple[int, ...]) -> int:
    """Bytes of what a call must keep of an image: its depthwise outputs, until their mean is known."""
    if getattr(plan, "_squeeze_excite", None) is None:
        return 0
    kernel = plan._depthwise_kernel
    pixels = math.prod(output_shape[1:]) // plan._project_kernel.shape[-1]
    return int(pixels * kernel.shape[-2] * kernel.itemsize)


def channels_first(case: Case) -> Case:
    """The same call on images in the other data format."""
    images = {name: array for name, array in case.operands.items() if name in ("inputs", "residual")}
    moved = {name: np.ascontiguousarray(np.moveaxis(image, -1, 1)) for name, image in images.items()}
    return Case(case.operands | moved, case.options | {"data_format": "channels_first"})


CASES: dict[str, Callable[..., Case]] = {
    "conv": conv_case,
    "depthwise": depthwise_case,
    "pointwise": pointwise_case,
    "separable": separable_case,
    "inverted residual": inverted_residual_case,
    "squeeze and excite": squeeze_excite_case,
}

PLANS: dict[str, Any] = {
    "conv": fastsep.Conv,
    "depthwise": fastsep.DepthwiseConv,
    "pointwise": fastsep.PointwiseConv,
    "separable": fastsep.SeparableConv,
    "inverted residual": fastsep.InvertedResidual,
    "squeeze and excite": fastsep.InvertedResidual,
}


FUNCTIONS: dict[str, Any] = {
    "conv": fastsep.conv,
    "depthwise": fastsep.depthwise_conv,
    "pointwise": fastsep.pointwise_conv,
    "separable": fastsep.separable_conv,
}


def compute(family: str, case: Case, **more: Any) -> Array:
    """Build the plan of a family, and call it: the same for functions and blocks."""
    return case.run(case.plan(PLANS[family]), **more)
