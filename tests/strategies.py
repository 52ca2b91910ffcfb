"""Hypothesis strategies: what a user may ask for, and how the arrays may lie in memory.

Hypothesis draws shapes and options; the numbers come from a seeded generator, because the interesting
corners of a convolution are in its geometry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

import fastsep
from fastsep import _reference

Array = NDArray[Any]

ACTIVATIONS: tuple[str, ...] = (
    "relu", "relu6", "sigmoid", "hard_sigmoid", "silu", "hard_swish", "gelu", "gelu_tanh",
)  # fmt: skip

LAYOUTS = (
    "fortran", "transposed", "negative strides", "sliced channels", "sliced pixels", "zero strides",
    "unaligned", "byte-swapped", "read-only",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One call: arrays and options, under the names of the public signatures."""

    operands: dict[str, Any]
    options: dict[str, Any]

    def call(self, function: Callable[..., Array], **more: Any) -> Array:
        """Call a function with everything."""
        return function(**self.operands, **self.options, **more)

    def plan(self, plan_type: Callable[..., Any], **more: Any) -> Any:
        """Build a plan with everything that a plan holds."""
        held = {name: array for name, array in self.operands.items() if name not in ("inputs", "residual")}
        options = dict(self.options)
        if isinstance(options.get("squeeze_excite"), dict):
            options["squeeze_excite"] = fastsep.SqueezeExcite(**options["squeeze_excite"])
        return plan_type(**held, **options, **more)

    def run(self, plan: Any, **more: Any) -> Array:
        """Call a plan with everything that it does not hold."""
        if "residual" in self.operands:
            more["residual"] = self.operands["residual"]
        result: Array = plan(self.operands["inputs"], **more)
        return result


def numbers(seed: int, shape: tuple[int, ...], dtype: Any) -> Array:
    """Numbers of both signs, over a few binades, with some zeros among them."""
    generator = np.random.default_rng(seed)
    values = generator.standard_normal(shape) * 2.0 ** generator.integers(-4, 4, shape)
    values[generator.random(shape) < 0.05] = 0
    return values.astype(dtype)


def integers(seed: int, shape: tuple[int, ...], dtype: Any, largest: int = 8) -> Array:
    """Small whole numbers, whose sums of products are exact in any order."""
    return np.random.default_rng(seed).integers(-largest, largest + 1, shape).astype(dtype)


@st.composite
def geometries(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Spatial size, taps, and strides, padding and dilation_rate in each of their forms."""
    rank = draw(st.sampled_from([2, 1, 3]))
    largest_size, most_taps = {1: (40, 9), 2: (12, 7), 3: (6, 4)}[rank]
    spatial = draw(st.tuples(*[st.integers(0, largest_size)] * rank))
    taps = draw(st.tuples(*[st.integers(1, most_taps)] * rank))

    def per_axis(values: st.SearchStrategy[Any]) -> Any:
        return draw(values | st.tuples(*[values] * rank))

    before_after = st.tuples(st.integers(0, 4), st.integers(0, 4))
    padding = draw(
        st.sampled_from(["valid", "same", "same_lower"])
        | st.integers(0, 4)
        | st.tuples(*[before_after] * rank)
    )
    return (
        spatial,
        taps,
        {
            "strides": per_axis(st.integers(1, 3)),
            "padding": padding,
            "dilation_rate": per_axis(st.integers(1, 3)),
        },
    )


dtypes = st.sampled_from([np.float32, np.float64])
channel_counts = st.integers(1, 70)
batch_sizes = st.sampled_from([1, 2, 3, 1, 2, 3, 1, 0])
seeds = st.integers(0, 2**32 - 1)
data_formats = st.sampled_from([None, "channels_last", "channels_first"])
activations = st.sampled_from([None, *ACTIVATIONS, (-1.0, 2.5), (0.5, np.inf), (-np.inf, 0.25)])


def image(draw: st.DrawFn, shape: tuple[int, ...], data_format: str | None, dtype: Any) -> Array:
    """An array of a channels_last shape, in the data format."""
    values = numbers(draw(seeds), shape, dtype)
    return np.ascontiguousarray(np.moveaxis(values, -1, 1)) if data_format == "channels_first" else values


def epilogue(
    draw: st.DrawFn, output_shape: tuple[int, ...], data_format: str | None, dtype: Any
) -> dict[str, Array]:
    """Maybe a bias and maybe a residual."""
    operands = {}
    if draw(st.booleans()):
        operands["bias"] = numbers(draw(seeds), output_shape[-1:], dtype)
    if draw(st.booleans()):
        operands["residual"] = image(draw, output_shape, data_format, dtype)
    return operands


@st.composite
def conv_cases(draw: st.DrawFn) -> Case:
    """Standard convolutions, groups included."""
    spatial, taps, geometry = draw(geometries())
    taps = tuple(min(count, 4) for count in taps)
    groups = draw(st.sampled_from([1, 1, 2, 3, 5]))
    depth, filters = draw(st.integers(1, 70 // groups)), groups * draw(st.integers(1, 70 // groups))
    batch, dtype, data_format = draw(batch_sizes), draw(dtypes), draw(data_formats)
    sizes, _ = _reference.output_geometry(spatial, taps, **geometry)
    return Case(
        {
            "inputs": image(draw, (batch, *spatial, groups * depth), data_format, dtype),
            "kernel": numbers(draw(seeds), (*taps, depth, filters), dtype),
            **epilogue(draw, (batch, *sizes, filters), data_format, dtype),
        },
        {"data_format": data_format, "activation": draw(activations), **geometry},
    )


@st.composite
def depthwise_cases(draw: st.DrawFn) -> Case:
    """Depthwise convolutions."""
    spatial, taps, geometry = draw(geometries())
    channels, multiplier = draw(channel_counts), draw(st.sampled_from([1, 1, 2, 3, 4]))
    batch, dtype, data_format = draw(batch_sizes), draw(dtypes), draw(data_formats)
    sizes, _ = _reference.output_geometry(spatial, taps, **geometry)
    return Case(
        {
            "inputs": image(draw, (batch, *spatial, channels), data_format, dtype),
            "kernel": numbers(draw(seeds), (*taps, channels, multiplier), dtype),
            **epilogue(draw, (batch, *sizes, channels * multiplier), data_format, dtype),
        },
        {"data_format": data_format, "activation": draw(activations), **geometry},
    )


@st.composite
def pointwise_cases(draw: st.DrawFn) -> Case:
    """Pointwise convolutions of 1-, 2- and 3-D images, the kernel in either of its forms."""
    rank = draw(st.sampled_from([2, 1, 3]))
    spatial = draw(st.tuples(*[st.integers(1, {1: 60, 2: 9, 3: 4}[rank])] * rank))
    channels, filters = draw(channel_counts), draw(channel_counts)
    batch, dtype, data_format = draw(batch_sizes), draw(dtypes), draw(data_formats)
    ones = draw(st.sampled_from([(), (1,) * rank]))
    return Case(
        {
            "inputs": image(draw, (batch, *spatial, channels), data_format, dtype),
            "kernel": numbers(draw(seeds), (*ones, channels, filters), dtype),
            **epilogue(draw, (batch, *spatial, filters), data_format, dtype),
        },
        {"data_format": data_format, "activation": draw(activations)},
    )


@st.composite
def separable_cases(draw: st.DrawFn) -> Case:
    """Separable convolutions."""
    spatial, taps, geometry = draw(geometries())
    multiplier = draw(st.sampled_from([1, 1, 2, 3]))
    channels, filters = draw(st.integers(1, 70 // multiplier)), draw(channel_counts)
    batch, dtype, data_format = draw(batch_sizes), draw(dtypes), draw(data_formats)
    sizes, _ = _reference.output_geometry(spatial, taps, **geometry)
    operands = {
        "inputs": image(draw, (batch, *spatial, channels), data_format, dtype),
        "depthwise_kernel": numbers(draw(seeds), (*taps, channels, multiplier), dtype),
        "pointwise_kernel": numbers(draw(seeds), (channels * multiplier, filters), dtype),
        **epilogue(draw, (batch, *sizes, filters), data_format, dtype),
    }
    if draw(st.booleans()):
        ones = (1,) * len(taps)
        operands["pointwise_kernel"] = operands["pointwise_kernel"].reshape(*ones, -1, filters)
    if draw(st.booleans()):
        operands["depthwise_bias"] = numbers(draw(seeds), (channels * multiplier,), dtype)
    return Case(
        operands,
        {
            "data_format": data_format,
            "depthwise_activation": draw(activations),
            "activation": draw(activations),
            **geometry,
        },
    )


@st.composite
def inverted_residual_cases(draw: st.DrawFn) -> Case:
    """Inverted residuals; half of them of the shape that allows adding the input."""
    spatial, taps, geometry = draw(geometries())
    residual = draw(st.booleans())
    if residual:
        geometry |= {"strides": 1, "padding": draw(st.sampled_from(["same", "same_lower"]))}
    channels = draw(st.integers(1, 24))
    expanded = draw(channel_counts)
    filters = channels if residual else draw(st.integers(1, 40))
    batch, dtype, data_format = draw(batch_sizes), draw(dtypes), draw(data_formats)
    operands = {
        "inputs": image(draw, (batch, *spatial, channels), data_format, dtype),
        "expand_kernel": numbers(draw(seeds), (channels, expanded), dtype),
        "depthwise_kernel": numbers(draw(seeds), (*taps, expanded, 1), dtype),
        "project_kernel": numbers(draw(seeds), (expanded, filters), dtype),
    }
    for name, width in (
        ("expand_bias", expanded),
        ("depthwise_bias", expanded),
        ("bias", filters),
    ):
        if draw(st.booleans()):
            operands[name] = numbers(draw(seeds), (width,), dtype)
    return Case(
        operands,
        {
            "data_format": data_format,
            "activation": draw(activations),
            "residual": residual,
            **geometry,
        },
    )


@st.composite
def squeeze_excite_cases(draw: st.DrawFn) -> Case:
    """Inverted residuals with a gate; some of them without expansion."""
    case = draw(inverted_residual_cases())
    operands, options = dict(case.operands), dict(case.options)
    channels, filters = operands["project_kernel"].shape
    dtype, reduced = operands["project_kernel"].dtype, draw(st.integers(1, 20))
    if draw(st.sampled_from([False, False, True])):
        operands |= {"expand_kernel": None, "expand_bias": None}
        first = options["data_format"] == "channels_first"
        batch, *spatial = np.delete(operands["inputs"].shape, 1 if first else -1)
        operands["inputs"] = image(draw, (batch, *spatial, channels), options["data_format"], dtype)
        options["residual"] = options["residual"] and channels == filters
    gate: dict[str, Any] = {
        "reduce_kernel": numbers(draw(seeds), (channels, reduced), dtype),
        "expand_kernel": numbers(draw(seeds), (reduced, channels), dtype),
        "activation": draw(activations),
        "gate": draw(activations),
    }
    if draw(st.booleans()):
        ones = (1,) * (operands["depthwise_kernel"].ndim - 2)
        gate["reduce_kernel"] = gate["reduce_kernel"].reshape(*ones, channels, reduced)
        gate["expand_kernel"] = gate["expand_kernel"].reshape(*ones, reduced, channels)
    for name, width in (("reduce_bias", reduced), ("expand_bias", channels)):
        if draw(st.booleans()):
            gate[name] = numbers(draw(seeds), (width,), dtype)
    return Case(operands, options | {"squeeze_excite": gate})


def in_layout(values: Array, layout: str) -> Array:
    """Lay equal values (for zero strides: the first pixel's) elsewhere in memory, with NaN in the gaps."""
    if layout == "fortran":
        return np.asfortranarray(values)
    if layout == "transposed":
        # Every axis has a stride other than its own size would give it, and none is contiguous.
        order = np.roll(np.arange(values.ndim), 1)
        return np.ascontiguousarray(values.transpose(order)).transpose(np.argsort(order))
    if layout == "negative strides":
        everywhere = (slice(None, None, -1),) * values.ndim
        return np.ascontiguousarray(values[everywhere])[everywhere]
    if layout == "sliced channels":
        wider = np.full((*values.shape[:-1], 3 * values.shape[-1] + 2), np.nan, values.dtype)
        sliced = wider[..., 1:-1:3]
        sliced[...] = values
        return sliced
    if layout == "sliced pixels":
        wider = np.full(
            tuple(2 * size + 1 for size in values.shape[:-1]) + values.shape[-1:], np.nan, values.dtype
        )
        sliced = wider[(slice(1, None, 2),) * (values.ndim - 1)]
        sliced[...] = values
        return sliced
    if layout == "zero strides":
        first = values[(slice(0, 1),) * max(1, values.ndim - 1)]
        return np.broadcast_to(first, values.shape)
    if layout == "unaligned":
        raw = np.empty(values.nbytes + 1, np.uint8)
        moved = raw[1:].view(values.dtype).reshape(values.shape)
        moved[...] = values
        return moved
    if layout == "byte-swapped":
        return values.astype(values.dtype.newbyteorder())
    if layout == "read-only":
        frozen = values.copy()
        frozen.flags.writeable = False
        return frozen
    raise ValueError(f"no such layout: {layout!r}")
