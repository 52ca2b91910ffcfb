"""Pools by their definition: one tap of all windows after the other, left to right, then downwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastsep.onnx._graph import Array, Node, Spec
from fastsep.onnx._operators._operator import Operator
from fastsep.onnx._operators._specs import floating, given, of_kinds, result_of, widened
from fastsep.onnx._operators._windows import Windows, padded, tap, windows_of

_INDEX = np.dtype(np.int64)


def _windows(node: Node, shape: tuple[int, ...]) -> Windows:
    if len(shape) < 3:
        raise ValueError(f"{node.describe()}: an image has axes (N, C, *spatial); got shape {shape}")
    return windows_of(node, shape[2:], tuple(node.attributes["kernel_shape"]))


def _lowest(dtype: np.dtype[Any]) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _max_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = of_kinds(node, given(node, specs, 0), "fiu")
    shape = (*x.shape[:2], *_windows(node, x.shape).outputs)
    return [Spec(shape, x.dtype), Spec(shape, _INDEX)][: len(node.outputs)]


def _max(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = given(node, inputs, 0)
    windows = _windows(node, x.shape)
    image = padded(x, windows, _lowest(x.dtype))
    shape = (*x.shape[:2], *windows.outputs)
    total = np.full(shape, _lowest(x.dtype), x.dtype)
    for place in np.ndindex(*windows.taps):
        np.maximum(total, tap(image, windows, place), out=total)
    return [total, _places(node, x, windows, total)] if len(node.outputs) > 1 else [total]


def _places(node: Node, x: Array, windows: Windows, largest: Array) -> Array:
    """Where the first largest element of every window lies in the flattened input.

    `storage_order=1` counts the spatial axes in column-major order.
    """
    spatial = x.shape[2:]
    order = "F" if node.attributes.get("storage_order", 0) else "C"
    numbers = np.arange(x.size, dtype=np.int64).reshape(x.shape)
    if order == "F":
        within = np.arange(int(np.prod(spatial))).reshape(spatial, order="F")
        planes = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *(1,) * len(spatial))
        numbers = planes * within.size + within
    image, numbers = padded(x, windows, _lowest(x.dtype)), padded(numbers, windows, -1)
    found = np.full(largest.shape, -1, np.int64)
    for place in np.ndindex(*windows.taps):
        number = tap(numbers, windows, place)
        here = (found < 0) & (number >= 0) & (tap(image, windows, place) == largest)
        np.copyto(found, number, where=here)
    return found


def _average_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = floating(node, given(node, specs, 0))
    return [Spec((*x.shape[:2], *_windows(node, x.shape).outputs), x.dtype)]


def _average(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Elements beyond the padding, where ceil_mode cuts a window off, never count."""
    x = given(node, inputs, 0)
    windows = _windows(node, x.shape)
    include = bool(node.attributes.get("count_include_pad", 0))
    total = _sum_of_taps(padded(x, windows, 0), windows)
    ones = np.ones((1, 1, *x.shape[2:]), np.int64)
    if include:
        ones = np.pad(ones, [(0, 0), (0, 0), *windows.pads], constant_values=1)
        # What is padded already need not be padded again.
        windows = Windows(
            windows.taps, windows.strides, windows.dilations, ((0, 0),) * len(windows.pads), windows.outputs
        )
    counts = _sum_of_taps(padded(ones, windows, 0), windows)
    return result_of(total / counts.astype(total.dtype), x.dtype)


def _sum_of_taps(image: Array, windows: Windows) -> Array:
    image = widened(image)
    total = np.zeros((*image.shape[:2], *windows.outputs), image.dtype)
    for place in np.ndindex(*windows.taps):
        total += tap(image, windows, place)
    return total


def _lp(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = given(node, inputs, 0)
    windows = _windows(node, x.shape)
    power = node.attributes["p"]
    image = padded(np.abs(x) ** x.dtype.type(power), windows, 0)
    total = _sum_of_taps(image, windows)
    return result_of(total ** total.dtype.type(1 / power), x.dtype)


def _global_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = floating(node, given(node, specs, 0))
    if len(x.shape) < 3 or 0 in x.shape[2:]:
        raise ValueError(f"{node.describe()}: an image has axes (N, C, *spatial), none empty; got {x.shape}")
    return [Spec((*x.shape[:2], *(1,) * (len(x.shape) - 2)), x.dtype)]


def _global(reduce: Callable[..., Any]) -> Operator:
    def compute(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = given(node, inputs, 0)
        return result_of(reduce(x, axis=tuple(range(2, x.ndim)), keepdims=True))

    def into(node: Node, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> None:
        x = given(node, inputs, 0)
        reduce(x, axis=tuple(range(2, x.ndim)), keepdims=True, out=outputs[0])

    return Operator(_global_infer, compute, into)


def _global_lp(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = given(node, inputs, 0)
    power = x.dtype.type(node.attributes["p"])
    total = (np.abs(x) ** power).sum(axis=tuple(range(2, x.ndim)), keepdims=True)
    return result_of(total ** (1 / power), x.dtype)


OPERATORS = {
    "MaxPool": Operator(_max_infer, _max),
    "AveragePool": Operator(_average_infer, _average),
    "LpPool": Operator(_average_infer, _lp),
    "GlobalAveragePool": _global(np.mean),
    "GlobalMaxPool": _global(np.max),
    "GlobalLpPool": Operator(_global_infer, _global_lp),
}
