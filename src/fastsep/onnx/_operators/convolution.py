"""Convolution by its definition: one product of matrices for every tap."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fastsep.onnx._graph import Array, Node, Spec
from fastsep.onnx._operators._operator import Operator
from fastsep.onnx._operators._specs import floating, given, optional, same_dtype, widened
from fastsep.onnx._operators._windows import Windows, padded, tap, window_numbers, windows_of


def check_kernel(node: Node, kernel: tuple[int, ...]) -> None:
    """Check what attributes say of a kernel (M, C/group, *taps), whatever the image.

    Raises
    ------
    ValueError
    """
    group = node.attributes["group"]
    if len(kernel) < 3:
        raise ValueError(f"{node.describe()}: a kernel has axes (M, C/group, *taps); got shape {kernel}")
    if group < 1 or kernel[0] % group:
        raise ValueError(f"{node.describe()}: {group} groups do not divide a kernel of shape {kernel}")
    declared = node.attributes.get("kernel_shape")
    if declared and tuple(declared) != kernel[2:]:
        raise ValueError(
            f"{node.describe()}: kernel_shape is {tuple(declared)}, the kernel has shape {kernel}"
        )
    window_numbers(node, kernel[2:])


def _geometry(node: Node, image: tuple[int, ...], kernel: tuple[int, ...]) -> Windows:
    if len(image) < 3 or len(kernel) != len(image):
        raise ValueError(
            f"{node.describe()}: an image (N, C, *spatial) and a kernel (M, C/group, *taps) "
            "have as many axes; "
            f"got {image} and {kernel}"
        )
    check_kernel(node, kernel)
    group = node.attributes["group"]
    if kernel[1] * group != image[1]:
        raise ValueError(
            f"{node.describe()}: a kernel of shape {kernel} in {group} groups "
            f"does not fit {image[1]} channels"
        )
    return windows_of(node, image[2:], kernel[2:])


def _infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x, kernel, bias = floating(node, given(node, specs, 0)), given(node, specs, 1), optional(specs, 2)
    windows = _geometry(node, x.shape, kernel.shape)
    if bias is not None and bias.shape != kernel.shape[:1]:
        raise ValueError(
            f"{node.describe()}: a bias for {kernel.shape[0]} filters has shape ({kernel.shape[0]},); "
            f"got {bias.shape}"
        )
    return [Spec((x.shape[0], kernel.shape[0], *windows.outputs), same_dtype(node, specs))]


def _compute(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, kernel, bias = given(node, inputs, 0), given(node, inputs, 1), optional(inputs, 2)
    windows = _geometry(node, x.shape, kernel.shape)
    group: int = node.attributes["group"]
    batch, filters, depth = x.shape[0], kernel.shape[0], kernel.shape[1]
    image = padded(widened(x), windows, 0)
    wide = image.dtype
    kernel = kernel.astype(wide, copy=False)
    count = math.prod(windows.outputs)
    total = np.zeros((batch, group, filters // group, count), wide)
    for place in np.ndindex(*windows.taps):
        pixels = tap(image, windows, place).reshape(batch, group, depth, count)
        factors = kernel[(slice(None), slice(None), *place)].reshape(group, filters // group, depth)
        total += factors * pixels if depth == 1 else factors @ pixels
    result = total.reshape(batch, filters, *windows.outputs)
    if bias is not None:
        result += bias.reshape(-1, *(1,) * len(windows.outputs))
    return [result.astype(x.dtype, copy=False)]


OPERATORS = {"Conv": Operator(_infer, _compute)}
