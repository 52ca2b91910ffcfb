"""Reductions along axes, and running sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastsep.onnx._graph import Array, Node, Spec
from fastsep.onnx._operators._operator import Operator
from fastsep.onnx._operators._specs import (
    axes_of,
    axis_of,
    given,
    integers,
    known,
    of_kinds,
    optional,
    result_of,
    total,
)

_INDEX = np.dtype(np.int64)


def _axes(node: Node, axes: Array | None, rank: int) -> tuple[int, ...] | None:
    """The axes to reduce; None where nothing is to be done."""
    numbers = [] if axes is None else integers(node, axes, "axes")
    if not numbers:
        return None if node.attributes["noop_with_empty_axes"] else tuple(range(rank))
    return axes_of(node, numbers, rank)


def _infer(kinds: str) -> Callable[..., list[Spec]]:
    def infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
        x = of_kinds(node, given(node, specs, 0), kinds)
        if optional(specs, 1) is None:
            axes = _axes(node, None, len(x.shape))
        else:
            axes = _axes(node, known(node, specs, 1, "axes"), len(x.shape))
        if axes is None:
            return [Spec(x.shape, x.dtype)]
        keep = node.attributes["keepdims"]
        shape = tuple(
            1 if axis in axes else size for axis, size in enumerate(x.shape) if keep or axis not in axes
        )
        return [Spec(shape, x.dtype)]

    return infer


def _reduction(reduce: Callable[[Array, tuple[int, ...]], Any], kinds: str = "fiu") -> Operator:
    """`reduce(x, axes)` keeps the axes, with size 1."""

    def compute(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = given(node, inputs, 0)
        axes = _axes(node, optional(inputs, 1), x.ndim)
        if axes is None:
            # ONNX asks for the reduction over no axes: what is applied to each element stays.
            return result_of(np.array(reduce(x, ())), x.dtype)
        result = np.asarray(reduce(x, axes)).astype(x.dtype, copy=False)
        return [result if node.attributes["keepdims"] else np.squeeze(result, axes)]

    return Operator(_infer(kinds), compute)


def _limit(dtype: np.dtype[Any], low: bool) -> Any:
    if dtype.kind == "f":
        return -np.inf if low else np.inf
    if dtype.kind == "b":
        return not low
    return np.iinfo(dtype).min if low else np.iinfo(dtype).max


def _mean(x: Array, axes: tuple[int, ...]) -> Any:
    return np.mean(x, axes, keepdims=True)


def _prod(x: Array, axes: tuple[int, ...]) -> Any:
    return np.prod(x, axes, dtype=x.dtype, keepdims=True)


def _max(x: Array, axes: tuple[int, ...]) -> Any:
    return np.max(x, axes, keepdims=True, initial=_limit(x.dtype, True))


def _min(x: Array, axes: tuple[int, ...]) -> Any:
    return np.min(x, axes, keepdims=True, initial=_limit(x.dtype, False))


def _l1(x: Array, axes: tuple[int, ...]) -> Any:
    return total(np.abs(x), axes)


def _l2(x: Array, axes: tuple[int, ...]) -> Any:
    return np.sqrt(total(x * x, axes))


def _log_sum(x: Array, axes: tuple[int, ...]) -> Any:
    return np.log(total(x, axes))


def _log_sum_exp(x: Array, axes: tuple[int, ...]) -> Any:
    if x.dtype.kind != "f":
        x = x.astype(np.float64)
    top = _max(x, axes)
    shift = np.where(np.isfinite(top), top, x.dtype.type(0))
    return np.log(total(np.exp(x - shift), axes)) + shift


def _sum_square(x: Array, axes: tuple[int, ...]) -> Any:
    return total(x * x, axes)


def _arg_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = of_kinds(node, given(node, specs, 0), "fiu")
    axis = axis_of(node, node.attributes["axis"], len(x.shape))
    if x.shape[axis] == 0:
        raise ValueError(f"{node.describe()}: axis {axis} of shape {x.shape} is empty")
    kept = (1,) if node.attributes["keepdims"] else ()
    return [Spec(x.shape[:axis] + kept + x.shape[axis + 1 :], _INDEX)]


def _arg(find: Callable[..., Any]) -> Operator:
    def compute(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = given(node, inputs, 0)
        axis = axis_of(node, node.attributes["axis"], x.ndim)
        keep = bool(node.attributes["keepdims"])
        if node.attributes.get("select_last_index"):
            found = x.shape[axis] - 1 - find(np.flip(x, axis), axis, keepdims=keep)
        else:
            found = find(x, axis, keepdims=keep)
        return result_of(found, _INDEX)

    return Operator(_arg_infer, compute)


def _running_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x, axis = of_kinds(node, given(node, specs, 0), "fiu"), given(node, specs, 1)
    if axis.value is not None:
        axis_of(node, int(axis.value.reshape(-1)[0]), len(x.shape))
    return [Spec(x.shape, x.dtype)]


def _running(accumulate: Callable[..., Any], first: int) -> Operator:
    """`first` is what an exclusive sum or product starts with."""

    def compute(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = given(node, inputs, 0)
        axis = axis_of(node, int(given(node, inputs, 1).reshape(-1)[0]), x.ndim)
        ordered = np.flip(x, axis) if node.attributes["reverse"] else x
        result = accumulate(ordered, axis, dtype=x.dtype)
        if node.attributes["exclusive"] and x.shape[axis]:
            shifted = np.full_like(result, first)
            along: list[slice] = [slice(None)] * x.ndim
            behind = along.copy()
            along[axis], behind[axis] = slice(None, -1), slice(1, None)
            shifted[tuple(behind)] = result[tuple(along)]
            result = shifted
        return [np.ascontiguousarray(np.flip(result, axis)) if node.attributes["reverse"] else result]

    return Operator(_running_infer, compute)


OPERATORS = {
    "ReduceSum": _reduction(total),
    "ReduceMean": _reduction(_mean),
    "ReduceProd": _reduction(_prod),
    "ReduceMax": _reduction(_max, "fiub"),
    "ReduceMin": _reduction(_min, "fiub"),
    "ReduceL1": _reduction(_l1),
    "ReduceL2": _reduction(_l2),
    "ReduceLogSum": _reduction(_log_sum),
    "ReduceLogSumExp": _reduction(_log_sum_exp),
    "ReduceSumSquare": _reduction(_sum_square),
    "ArgMax": _arg(np.argmax),
    "ArgMin": _arg(np.argmin),
    "CumSum": _running(np.cumsum, 0),
    "CumProd": _running(np.cumprod, 1),
}
