"""The ways to compute a block that the benchmarks compare.

Each takes a block and a number of threads, allocates all it will need, and returns the call to be timed.
NumPy has no argument for its threads; `measure` limits those of its BLAS.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import fastsep
import fastsep._naive
from bench.blocks import Array, Block, Gate, Stage
from bench.shapes import Activation

Call = Callable[[], Array]
Variant = Callable[[Block, int], Call]
Step = Callable[[Array, Array], object]


def naive(block: Block, threads: int) -> Call:
    """Textbook loop nests, compiled."""
    return one_after_another(block, [naive_step(stage, threads) for stage in block.stages])


def numpy_matmul(block: Block, threads: int) -> Call:
    """NumPy at its best: im2col and a matrix product; one tap after another where channels stay apart."""
    shapes = (block.x.shape, *block.out_shapes[:-1])
    steps = [
        numpy_step(stage, shape, block.x.dtype) for stage, shape in zip(block.stages, shapes, strict=True)
    ]
    return one_after_another(block, steps)


def single_plans(block: Block, threads: int) -> list[Call]:
    """Return a call for each layer, of a plan of ours, that reads what the one before it wrote."""
    outputs = allocate_outputs(block)
    residuals = [None] * (len(outputs) - 1) + [block.x if block.residual else None]
    return [
        partial(plan_of(stage), read_by(stage, x), out, residual=residual, threads=threads)
        for stage, x, out, residual in zip(
            block.stages, (block.x, *outputs[:-1]), outputs, residuals, strict=True
        )
    ]


def unfused(block: Block, threads: int) -> Call:
    """Return one plan of ours per layer; every intermediate is stored."""
    *inner, last = single_plans(block, threads)

    def call() -> Array:
        for each in inner:
            each()
        return last()

    return call


def fused(block: Block, threads: int) -> Call:
    """Return one plan of ours for all layers."""
    families = [stage.family for stage in block.stages]
    plan: fastsep.SeparableConv | fastsep.InvertedResidual
    if block.gate is not None:
        plan = gated_plan(block, block.gate)
    elif families == ["depthwise", "pointwise"]:
        depthwise, pointwise = block.stages
        plan = fastsep.SeparableConv(
            depthwise.kernel,
            pointwise.kernel,
            depthwise.stride,
            depthwise.padding,
            dilation_rate=depthwise.dilation,
            depthwise_activation=depthwise.activation,
            activation=pointwise.activation,
        )
    elif families == ["pointwise", "depthwise", "pointwise"]:
        expand, depthwise, project = block.stages
        if expand.activation != depthwise.activation or project.activation is not None:
            raise ValueError("an inverted residual has one activation and a linear projection")
        plan = fastsep.InvertedResidual(
            expand.kernel,
            depthwise.kernel,
            project.kernel,
            strides=depthwise.stride,
            padding=depthwise.padding,
            activation=depthwise.activation,
            residual=block.residual,
        )
    else:
        raise ValueError(f"there is no fused plan for {families}")
    out = allocate_outputs(block)[-1]
    return lambda: plan(block.x, out, threads=threads)


def gated_plan(block: Block, gate: Gate) -> fastsep.InvertedResidual:
    """Return an inverted residual with squeeze-and-excite; two stages have no expanding layer."""
    *expand, depthwise, project = block.stages
    if {stage.activation for stage in expand} - {depthwise.activation} or project.activation is not None:
        raise ValueError("an inverted residual has one activation and a linear projection")
    return fastsep.InvertedResidual(
        expand[0].kernel if expand else None,
        depthwise.kernel,
        project.kernel,
        strides=depthwise.stride,
        padding=depthwise.padding,
        activation=depthwise.activation,
        residual=block.residual,
        squeeze_excite=fastsep.SqueezeExcite(gate.reduce, gate.expand, activation=gate.activation),
    )


def ours(block: Block, threads: int) -> Call:
    """Return our best: the layer's plan, or one plan for all layers, which decides itself what to fuse."""
    return unfused(block, threads) if len(block.stages) == 1 else fused(block, threads)


def allocate_outputs(block: Block) -> list[Array]:
    """Return an array for the output of every stage."""
    return [fastsep.empty(shape, block.x.dtype) for shape in block.out_shapes]


def one_after_another(block: Block, steps: list[Step]) -> Call:
    """Return the call that takes each step in turn, then its activation, and last the residual."""
    outputs = allocate_outputs(block)

    def call() -> Array:
        x = block.x
        for step, stage, out in zip(steps, block.stages, outputs, strict=True):
            step(x, out)
            activate(out, stage.activation)
            if block.gate is not None and stage.family == "depthwise":
                apply_gate(out, block.gate)
            x = out
        if block.residual:
            np.add(x, block.x, out=x)
        return x

    return call


def activate(values: Array, activation: Activation | None) -> None:
    """Apply `activation` in place."""
    match activation:
        case "relu":
            np.maximum(values, 0, out=values)
        case "relu6":
            np.clip(values, 0, 6, out=values)
        case "silu":
            values /= 1 + np.exp(-values)
        case None:
            pass


def apply_gate(values: Array, gate: Gate) -> None:
    """Scale each channel in place, in NumPy."""
    squeezed = values.mean(axis=(1, 2), keepdims=True) @ gate.reduce
    activate(squeezed, gate.activation)
    values /= 1 + np.exp(-(squeezed @ gate.expand))


def read_by(stage: Stage, x: Array) -> Array:
    """Return what a stage reads of `x`: a pointwise layer with a stride reads every stride-th pixel."""
    return x[:, :: stage.stride, :: stage.stride] if stage.family == "pointwise" and stage.stride > 1 else x


def naive_step(stage: Stage, threads: int) -> Step:
    """Return one layer as a loop nest."""
    if stage.family == "pointwise":
        return lambda x, out: fastsep._naive.pointwise_conv(
            np.ascontiguousarray(read_by(stage, x)), stage.kernel, out=out, threads=threads
        )
    loops = fastsep._naive.conv if stage.family == "conv" else fastsep._naive.depthwise_conv
    return lambda x, out: loops(
        x, stage.kernel, stage.stride, stage.padding, stage.dilation, out=out, threads=threads
    )


def plan_of(stage: Stage) -> fastsep.Conv | fastsep.DepthwiseConv | fastsep.PointwiseConv:
    """Return one layer as our plan."""
    if stage.family == "pointwise":
        return fastsep.PointwiseConv(stage.kernel, activation=stage.activation)
    layer = fastsep.Conv if stage.family == "conv" else fastsep.DepthwiseConv
    return layer(
        stage.kernel, stage.stride, stage.padding, dilation_rate=stage.dilation, activation=stage.activation
    )


def numpy_step(stage: Stage, in_shape: tuple[int, ...], dtype: np.dtype[np.floating]) -> Step:
    """Return one layer in NumPy, with its working arrays."""
    if stage.family == "pointwise":
        return lambda x, out: np.matmul(read_by(stage, x), stage.kernel, out=out)
    taps_high, taps_wide = stage.kernel.shape[:2]
    padded, interior = padded_input(stage, in_shape, dtype)
    reach = [(taps - 1) * stage.dilation + 1 for taps in (taps_high, taps_wide)]
    windows = sliding_window_view(padded, reach, axis=(1, 2))
    step, dilation = stage.stride, stage.dilation
    windows = windows[:, ::step, ::step, :, ::dilation, ::dilation].transpose(0, 1, 2, 4, 5, 3)

    if stage.family == "conv":
        columns = np.empty(windows.shape, dtype)
        weights = stage.kernel.reshape(-1, stage.kernel.shape[-1])

        def im2col(x: Array, out: Array) -> None:
            np.copyto(interior, x)
            np.copyto(columns, windows)
            np.matmul(columns.reshape(-1, weights.shape[0]), weights, out=out.reshape(-1, weights.shape[1]))

        return im2col

    batch, height, width, *_ = windows.shape
    products = np.empty((batch, height, width, *stage.kernel.shape[2:]), dtype)

    def tap_by_tap(x: Array, out: Array) -> None:
        np.copyto(interior, x)
        sums = out.reshape(products.shape)
        sums.fill(0)
        for i, j in np.ndindex(taps_high, taps_wide):
            np.multiply(windows[:, :, :, i, j, :, np.newaxis], stage.kernel[i, j], out=products)
            np.add(sums, products, out=sums)

    return tap_by_tap


def padded_input(
    stage: Stage, in_shape: tuple[int, ...], dtype: np.dtype[np.floating]
) -> tuple[Array, Array]:
    """Return a zeroed array with room for the padding, and the view of it that takes the input."""
    batch, *size, channels = in_shape
    before, after = [0, 0], [0, 0]
    if stage.padding == "same":
        out_size = stage.out_shape(in_shape)[1:3]
        for axis in range(2):
            taps = (stage.kernel.shape[axis] - 1) * stage.dilation + 1
            reach = (out_size[axis] - 1) * stage.stride + taps
            surplus = max(reach - size[axis], 0)
            before[axis], after[axis] = surplus // 2, surplus - surplus // 2
    high, wide = (b + pixels + a for b, pixels, a in zip(before, size, after, strict=True))
    padded = np.zeros((batch, high, wide, channels), dtype)
    interior = padded[:, before[0] : before[0] + size[0], before[1] : before[1] + size[1]]
    return padded, interior
