"""Operators that look elements up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastsep.onnx._graph import Array, Node, Spec
from fastsep.onnx._operators._operator import Operator
from fastsep.onnx._operators._specs import (
    Shape,
    axis_of,
    given,
    known,
    of_kinds,
    one_of,
    result_of,
    same_dtype,
)


def _in_range(node: Node, indices: Array, size: int) -> Array:
    """Indices counted from the front.

    Raises
    ------
    ValueError
        One of them points outside.
    """
    if indices.size and not (-size <= indices.min() and indices.max() < size):
        raise ValueError(
            f"{node.describe()}: indices from {indices.min()} to {indices.max()} "
            f"point outside {size} elements"
        )
    return np.where(indices < 0, indices + size, indices).astype(np.intp)


def _gather_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x, indices = given(node, specs, 0), of_kinds(node, given(node, specs, 1), "iu")
    axis = axis_of(node, node.attributes["axis"], len(x.shape))
    return [Spec((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype)]


def _gather(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, indices = given(node, inputs, 0), given(node, inputs, 1)
    axis = axis_of(node, node.attributes["axis"], x.ndim)
    return result_of(np.take(x, _in_range(node, indices, x.shape[axis]), axis))


def _elements_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x, indices = given(node, specs, 0), of_kinds(node, given(node, specs, 1), "iu")
    axis = axis_of(node, node.attributes["axis"], len(x.shape))
    if len(indices.shape) != len(x.shape) or any(
        wanted > size
        for place, (wanted, size) in enumerate(zip(indices.shape, x.shape, strict=True))
        if place != axis
    ):
        raise ValueError(f"{node.describe()}: indices of shape {indices.shape} do not fit {x.shape}")
    return [Spec(indices.shape, x.dtype)]


def _elements(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, indices = given(node, inputs, 0), given(node, inputs, 1)
    axis = axis_of(node, node.attributes["axis"], x.ndim)
    places = [
        np.arange(size).reshape(-1, *(1,) * (indices.ndim - 1 - place))
        for place, size in enumerate(indices.shape)
    ]
    places[axis] = _in_range(node, indices, x.shape[axis])
    return result_of(x[tuple(places)])


def _nd_shape(node: Node, x: Shape, indices: Shape) -> tuple[int, int]:
    """How many axes count the batch, and how many the indices address."""
    batch = node.attributes["batch_dims"]
    if (
        not x
        or not indices
        or not 0 <= batch < min(len(x), len(indices))
        or x[:batch] != indices[:batch]
        or not 1 <= indices[-1] <= len(x) - batch
    ):
        raise ValueError(f"{node.describe()}: indices of shape {indices} do not fit {x} ({batch} batch axes)")
    return batch, indices[-1]


def _nd_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x, indices = given(node, specs, 0), of_kinds(node, given(node, specs, 1), "iu")
    batch, depth = _nd_shape(node, x.shape, indices.shape)
    return [Spec((*indices.shape[:-1], *x.shape[batch + depth :]), x.dtype)]


def _nd(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, indices = given(node, inputs, 0), given(node, inputs, 1)
    batch, depth = _nd_shape(node, x.shape, indices.shape)
    rank = indices.ndim - 1
    places = [
        np.arange(size).reshape(-1, *(1,) * (rank - 1 - place)) for place, size in enumerate(x.shape[:batch])
    ]
    places += [_in_range(node, indices[..., place], x.shape[batch + place]) for place in range(depth)]
    return result_of(x[tuple(places)])


def _one_hot_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    indices, values = given(node, specs, 0), given(node, specs, 2)
    depth = known(node, specs, 1, "depth")
    if depth.size != 1 or values.shape != (2,):
        raise ValueError(f"{node.describe()}: depth must be one number, values a pair (off, on)")
    count = int(depth.reshape(-1)[0])
    axis = axis_of(node, node.attributes["axis"], len(indices.shape) + 1)
    if count < 0:
        raise ValueError(f"{node.describe()}: depth must not be negative; got {count}")
    return [Spec((*indices.shape[:axis], count, *indices.shape[axis:]), values.dtype)]


def _one_hot(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """An index outside −depth … depth − 1 marks nothing."""
    indices, depth, values = (given(node, inputs, index) for index in range(3))
    count = int(depth.reshape(-1)[0])
    axis = axis_of(node, node.attributes["axis"], indices.ndim + 1)
    whole = np.expand_dims(indices.astype(np.int64), axis)
    places = np.arange(count).reshape(-1, *(1,) * (indices.ndim - axis))
    return result_of(
        np.where((whole == places) | (whole + count == places), values[1], values[0]), values.dtype
    )


def _top_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x, count = of_kinds(node, given(node, specs, 0), "fiu"), known(node, specs, 1, "K")
    if count.size != 1:
        raise ValueError(f"{node.describe()}: K must be one number; got shape {count.shape}")
    number = int(count.reshape(-1)[0])
    axis = axis_of(node, node.attributes["axis"], len(x.shape))
    if not 0 <= number <= x.shape[axis]:
        raise ValueError(f"{node.describe()}: K is {number}, axis {axis} has {x.shape[axis]} elements")
    shape = (*x.shape[:axis], number, *x.shape[axis + 1 :])
    return [Spec(shape, x.dtype), Spec(shape, np.dtype(np.int64))]


def _top(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Sorted; of equal elements the one with the lower index comes first."""
    x = given(node, inputs, 0)
    number = int(given(node, inputs, 1).reshape(-1)[0])
    axis = axis_of(node, node.attributes["axis"], x.ndim)
    if node.attributes["largest"]:
        # A stable sort of the reversed elements, read backwards, keeps lower indices first.
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    else:
        order = np.argsort(x, axis, kind="stable")
    order = np.take(order, np.arange(number), axis)
    return [np.take_along_axis(x, order, axis), order.astype(np.int64)]


def _scatter_elements_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x, indices, updates = (given(node, specs, index) for index in range(3))
    axis_of(node, node.attributes["axis"], len(x.shape))
    of_kinds(node, indices, "iu")
    _check_reduction(node)
    if indices.shape != updates.shape or len(indices.shape) != len(x.shape):
        raise ValueError(
            f"{node.describe()}: indices {indices.shape} and updates {updates.shape} do not fit {x.shape}"
        )
    return [Spec(x.shape, same_dtype(node, [x, updates]))]


def _check_reduction(node: Node) -> None:
    one_of(node, "reduction", "none", *_COMBINE)


_COMBINE = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _scatter(node: Node, result: Array, places: tuple[Array, ...], updates: Array) -> list[Array]:
    how = node.attributes["reduction"]
    if how == "none":
        result[places] = updates
    else:
        _COMBINE[how].at(result, places, updates)
    return [result]


def _scatter_elements(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, indices, updates = (given(node, inputs, index) for index in range(3))
    axis = axis_of(node, node.attributes["axis"], x.ndim)
    places = [
        np.arange(size).reshape(-1, *(1,) * (indices.ndim - 1 - place))
        for place, size in enumerate(indices.shape)
    ]
    places[axis] = _in_range(node, indices, x.shape[axis])
    return _scatter(node, x.copy(), tuple(places), updates)


def _scatter_nd_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x, indices, updates = (given(node, specs, index) for index in range(3))
    of_kinds(node, indices, "iu")
    _check_reduction(node)
    depth = indices.shape[-1] if indices.shape else 0
    if not 1 <= depth <= len(x.shape) or updates.shape != indices.shape[:-1] + x.shape[depth:]:
        raise ValueError(
            f"{node.describe()}: indices {indices.shape} and updates {updates.shape} do not fit {x.shape}"
        )
    return [Spec(x.shape, same_dtype(node, [x, updates]))]


def _scatter_nd(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, indices, updates = (given(node, inputs, index) for index in range(3))
    places = tuple(_in_range(node, indices[..., place], x.shape[place]) for place in range(indices.shape[-1]))
    return _scatter(node, x.copy(), places, updates)


OPERATORS = {
    "Gather": Operator(_gather_infer, _gather),
    "GatherElements": Operator(_elements_infer, _elements),
    "GatherND": Operator(_nd_infer, _nd),
    "OneHot": Operator(_one_hot_infer, _one_hot),
    "TopK": Operator(_top_infer, _top),
    "ScatterElements": Operator(_scatter_elements_infer, _scatter_elements),
    "ScatterND": Operator(_scatter_nd_infer, _scatter_nd),
}
