"""PyTorch: channels_last through oneDNN, as anybody writes it, or weights packed, activation fused."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F

from bench.blocks import Block, Stage
from bench.peers.form import Form, aligned, groups_of, kernel_oihw, pads_of
from bench.shapes import Activation

NAME = "PyTorch"

# For good, instead of around every call: entering it takes a microsecond or two.
torch.inference_mode().__enter__()

Step = Callable[[torch.Tensor], torch.Tensor]

FUSED: dict[Activation | None, tuple[str, list[float]]] = {
    "relu": ("relu", []),
    "relu6": ("hardtanh", [0.0, 6.0]),
    "silu": ("swish", []),
    None: ("none", []),
}


def forms(block: Block, threads: int) -> Iterator[Form]:
    """Yield F.conv2d, packed oneDNN convolutions, and for a pointwise layer the matrix product."""
    torch.set_num_threads(threads)
    yield form(block, "channels_last, F.conv2d, activation in place", plain_step)
    yield form(block, "channels_last, packed oneDNN weights, activation fused", packed_step)
    if len(block.stages) == 1 and block.stages[0].family == "pointwise" and block.stages[0].stride == 1:
        yield matmul_form(block)


def activate(y: torch.Tensor, activation: Activation | None) -> torch.Tensor:
    """Apply `activation` in place."""
    match activation:
        case "relu":
            return y.relu_()
        case "relu6":
            return y.clamp_(0, 6)
        case "silu":
            return F.silu(y, inplace=True)
        case None:
            return y


def kernel_of(stage: Stage) -> torch.Tensor:
    """Return the kernel as PyTorch takes it."""
    return torch.from_numpy(np.ascontiguousarray(kernel_oihw(stage)))


def padding_of(stage: Stage, in_shape: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Return the symmetric padding that the convolution does, and what F.pad must add before.

    PyTorch pads both sides alike; "same" with a stride needs more after than before.
    """
    (top, bottom), (left, right) = pads_of(stage, in_shape)
    if (top, left) == (bottom, right):
        return [top, left], []
    return [0, 0], [left, right, top, bottom]


def plain_step(stage: Stage, in_shape: tuple[int, ...]) -> Step:
    """Return F.conv2d."""
    kernel = kernel_of(stage).to(memory_format=torch.channels_last)
    padding, _ = padding_of(stage, in_shape)
    groups = groups_of(stage)

    def step(x: torch.Tensor) -> torch.Tensor:
        y = F.conv2d(x, kernel, None, stage.stride, padding, stage.dilation, groups)
        return activate(y, stage.activation)

    return step


def packed_step(stage: Stage, in_shape: tuple[int, ...]) -> Step:
    """Return oneDNN's convolution as PyTorch's compiler calls it."""
    padding, before = padding_of(stage, in_shape)
    strides, dilations, groups = [stage.stride] * 2, [stage.dilation] * 2, groups_of(stage)
    batch, height, width, channels = in_shape
    if before:
        height, width = height + before[2] + before[3], width + before[0] + before[1]
    packed = torch._C._nn.mkldnn_reorder_conv2d_weight(
        kernel_of(stage).to_mkldnn(), padding, strides, dilations, groups, [batch, channels, height, width]
    )
    attribute, scalars = FUSED[stage.activation]
    convolve = torch.ops.mkldnn._convolution_pointwise.default
    return lambda x: convolve(x, packed, None, padding, strides, dilations, groups, attribute, scalars, "")


def form(block: Block, words: str, step_of: Callable[[Stage, tuple[int, ...]], Step]) -> Form:
    """Return a form of one call per layer."""
    steps: list[Step] = []
    x = torch.from_numpy(aligned(block.x)).permute(0, 3, 1, 2)
    shapes = (block.x.shape, *block.out_shapes[:-1])
    for index, (stage, in_shape) in enumerate(zip(block.stages, shapes, strict=True)):
        _, before = padding_of(stage, in_shape)
        if before and index == 0:
            # The input is in place already, so its padding is too.
            x = F.pad(x, before).contiguous(memory_format=torch.channels_last)
            words += ", input padded beforehand"
        elif before:
            steps.append(lambda y, before=before: F.pad(y, before))  # type: ignore[misc]
        steps.append(step_of(stage, in_shape))
        if block.gate is not None and stage.family == "depthwise":
            steps.append(gate_step(block))
    residual = block.residual
    last: list[torch.Tensor] = []

    def call() -> None:
        y = x
        for step in steps:
            y = step(y)
        last[:] = [y.add_(x) if residual else y]

    return Form(words, call, lambda: last[0].permute(0, 2, 3, 1).numpy())


def gate_step(block: Block) -> Step:
    """Return squeeze-and-excite."""
    gate = block.gate
    assert gate is not None
    reduce, expand = (torch.from_numpy(np.ascontiguousarray(w.T)) for w in (gate.reduce, gate.expand))

    def step(x: torch.Tensor) -> torch.Tensor:
        squeezed = activate(F.linear(x.mean((2, 3)), reduce), gate.activation)
        return x.mul_(F.linear(squeezed, expand).sigmoid_()[:, :, None, None])

    return step


def matmul_form(block: Block) -> Form:
    """Return a pointwise layer as a matrix product into a buffer."""
    (stage,) = block.stages
    x = torch.from_numpy(aligned(block.x)).reshape(-1, block.x.shape[-1])
    kernel = torch.from_numpy(np.array(stage.kernel))
    out_shape = block.out_shapes[-1]
    y = torch.empty(x.shape[0], out_shape[-1])

    def call() -> None:
        torch.mm(x, kernel, out=y)
        activate(y, stage.activation)

    return Form(
        "torch.mm over NHWC into a buffer, activation in place", call, lambda: y.numpy().reshape(out_shape)
    )
