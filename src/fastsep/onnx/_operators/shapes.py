"""Operators that move, cut and join, and those that compute shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastsep.onnx._graph import Array, Node, Spec
from fastsep.onnx._operators._operator import Operator
from fastsep.onnx._operators._specs import (
    Shape,
    axes_of,
    axis_of,
    broadcast,
    given,
    integers,
    known,
    one_of,
    optional,
    result_of,
    same_dtype,
)

_INDEX = np.dtype(np.int64)
_BOOL = np.dtype(np.bool_)


def _view(shape_of: Callable[[Node, Sequence[Any], Callable[[int, str], list[int]]], Shape]) -> Operator:
    """An operator that gives the elements of its first input another shape.

    `shape_of(node, operands, numbers)` may ask `numbers(position, what)` for what stands in the other inputs.
    """

    def infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
        def numbers(index: int, what: str) -> list[int]:
            return integers(node, known(node, specs, index, what), what)

        return [Spec(shape_of(node, specs, numbers), given(node, specs, 0).dtype)]

    def compute(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        def numbers(index: int, what: str) -> list[int]:
            return integers(node, given(node, inputs, index), what)

        return [given(node, inputs, 0).reshape(shape_of(node, inputs, numbers))]

    return Operator(infer, compute, view=True)


Numbers = Callable[[int, str], list[int]]


def _reshape(node: Node, operands: Sequence[Any], numbers: Numbers) -> Shape:
    old: Shape = given(node, operands, 0).shape
    wanted = numbers(1, "new shape")
    new = list(wanted)
    if any(size < -1 for size in new) or new.count(-1) > 1:
        raise ValueError(f"{node.describe()}: {tuple(wanted)} is no shape: one size may be -1, none less")
    if not node.attributes["allowzero"]:
        if any(size == 0 and axis >= len(old) for axis, size in enumerate(new)):
            raise ValueError(f"{node.describe()}: {tuple(wanted)} copies sizes that {old} does not have")
        new = [old[axis] if size == 0 else size for axis, size in enumerate(new)]
    elif -1 in new and 0 in new:
        raise ValueError(
            f"{node.describe()}: {tuple(wanted)} holds -1 beside an empty axis: any size would do"
        )
    count = math.prod(old)
    if -1 in new:
        others = -math.prod(new)
        if others == 0 or count % others:
            raise ValueError(f"{node.describe()}: {count} elements of {old} do not fit {tuple(wanted)}")
        new[new.index(-1)] = count // others
    if math.prod(new) != count:
        raise ValueError(f"{node.describe()}: {count} elements of {old} do not fit {tuple(wanted)}")
    return tuple(new)


def _flatten(node: Node, operands: Sequence[Any], numbers: Numbers) -> Shape:
    old: Shape = given(node, operands, 0).shape
    axis = node.attributes["axis"]
    if not -len(old) <= axis <= len(old):
        raise ValueError(f"{node.describe()}: axis {axis} is out of range for {len(old)} axes")
    axis = axis + len(old) if axis < 0 else axis
    return math.prod(old[:axis]), math.prod(old[axis:])


def _squeeze(node: Node, operands: Sequence[Any], numbers: Numbers) -> Shape:
    old: Shape = given(node, operands, 0).shape
    # No axes are all that can go, as in ONNX Runtime.
    named = [] if optional(operands, 1) is None else numbers(1, "axes")
    if not named:
        return tuple(size for size in old if size != 1)
    axes = axes_of(node, named, len(old))
    if any(old[axis] != 1 for axis in axes):
        raise ValueError(f"{node.describe()}: axes {axes} of shape {old} are not all of size 1")
    return tuple(size for axis, size in enumerate(old) if axis not in axes)


def _unsqueeze(node: Node, operands: Sequence[Any], numbers: Numbers) -> Shape:
    old: Shape = given(node, operands, 0).shape
    wanted = numbers(1, "axes")
    axes = axes_of(node, wanted, len(old) + len(wanted))
    sizes = iter(old)
    return tuple(1 if axis in axes else next(sizes) for axis in range(len(old) + len(axes)))


def _as_is(node: Node, operands: Sequence[Any], numbers: Numbers) -> Shape:
    shape: Shape = given(node, operands, 0).shape
    return shape


def _dropout_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = given(node, specs, 0)
    return [Spec(x.shape, x.dtype), Spec(x.shape, _BOOL)][: len(node.outputs)]


def _dropout(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Nothing is dropped at inference."""
    x = given(node, inputs, 0)
    return [x, np.ones(x.shape, _BOOL)][: len(node.outputs)]


def permutation(node: Node, rank: int) -> tuple[int, ...]:
    """The axes of a Transpose of so many axes.

    Raises
    ------
    ValueError
    """
    axes = node.attributes.get("perm")
    if axes is None:
        return tuple(range(rank))[::-1]
    if sorted(axes) != list(range(rank)):
        raise ValueError(f"{node.describe()}: perm {tuple(axes)} does not permute {rank} axes")
    return tuple(axes)


def _transpose_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = given(node, specs, 0)
    return [Spec(tuple(x.shape[axis] for axis in permutation(node, len(x.shape))), x.dtype)]


def _transpose(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = given(node, inputs, 0)
    return [x.transpose(permutation(node, x.ndim))]


def _concat_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    parts = [given(node, specs, index) for index in range(len(specs))]
    first = given(node, specs, 0).shape
    axis = axis_of(node, node.attributes["axis"], len(first))
    for part in parts:
        if len(part.shape) != len(first) or any(
            size != other
            for place, (size, other) in enumerate(zip(part.shape, first, strict=True))
            if place != axis
        ):
            raise ValueError(
                f"{node.describe()}: shapes {', '.join(str(part.shape) for part in parts)} "
                f"differ beside axis {axis}"
            )
    total = sum(part.shape[axis] for part in parts)
    return [Spec((*first[:axis], total, *first[axis + 1 :]), same_dtype(node, specs))]


def _concat(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    parts = [given(node, inputs, index) for index in range(len(inputs))]
    return [np.concatenate(parts, node.attributes["axis"])]


def _concat_into(node: Node, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> None:
    parts = [given(node, inputs, index) for index in range(len(inputs))]
    np.concatenate(parts, node.attributes["axis"], out=outputs[0])


def even_parts(total: int, count: int) -> list[int]:
    """Return sizes that are the same but for the last, which has what is left; less than 0 if nothing is."""
    each = -(-total // count)
    return [each] * (count - 1) + [total - each * (count - 1)]


def _split_sizes(node: Node, shape: Shape, sizes: list[int] | None) -> tuple[int, list[int]]:
    axis = axis_of(node, node.attributes["axis"], len(shape))
    total, count = shape[axis], len(node.outputs)
    if sizes is None:
        if total % count and not node.attributes.get("uneven", True):
            raise ValueError(
                f"{node.describe()}: {count} outputs do not divide {total} elements of axis {axis} evenly"
            )
        sizes = even_parts(total, count)
    if len(sizes) != count or sum(sizes) != total or min(sizes) < 0:
        raise ValueError(
            f"{node.describe()}: sizes {tuple(sizes)} do not divide {total} elements "
            f"of axis {axis} among {count} outputs"
        )
    return axis, sizes


def _split_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = given(node, specs, 0)
    asked = optional(specs, 1)
    sizes = None if asked is None else integers(node, known(node, specs, 1, "sizes"), "sizes")
    axis, sizes = _split_sizes(node, x.shape, sizes)
    return [Spec((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype) for size in sizes]


def _split(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, asked = given(node, inputs, 0), optional(inputs, 1)
    axis, sizes = _split_sizes(node, x.shape, None if asked is None else integers(node, asked, "sizes"))
    return list(np.split(x, np.cumsum(sizes)[:-1], axis))


# The largest numbers, with which exporters say that a slice has no end.
_ALL_THE_WAY = (2**31 - 1, 2**63 - 1)


def _slices(node: Node, shape: Shape, operands: Sequence[Any], numbers: Numbers) -> tuple[slice, ...]:
    """Python's slices: they clamp and count from the end as ONNX's do, but for starts of backward ones."""
    starts, ends = numbers(1, "starts"), numbers(2, "ends")
    axes = list(range(len(starts))) if optional(operands, 3) is None else numbers(3, "axes")
    steps = [1] * len(starts) if optional(operands, 4) is None else numbers(4, "steps")
    if not len(starts) == len(ends) == len(axes) == len(steps) or len(starts) > len(shape):
        raise ValueError(
            f"{node.describe()}: {len(starts)} starts, {len(ends)} ends, {len(axes)} axes "
            f"and {len(steps)} steps "
            f"do not cut {len(shape)} axes"
        )
    if 0 in steps:
        raise ValueError(f"{node.describe()}: a step must not be 0")
    axes_of(node, axes, len(shape))
    result = [slice(None)] * len(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        # Python takes no element, where ONNX moves a start before the first element to it.
        first = 0 if step < 0 and start < -shape[axis] else start
        # To the end of the way, as in ONNX Runtime; the standard would take no element.
        last = None if step < 0 and end in _ALL_THE_WAY else end
        result[axis] = slice(first, last, step)
    return tuple(result)


def _slice_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    def numbers(index: int, what: str) -> list[int]:
        return integers(node, known(node, specs, index, what), what)

    x = given(node, specs, 0)
    slices = _slices(node, x.shape, specs, numbers)
    shape = tuple(len(range(*part.indices(size))) for part, size in zip(slices, x.shape, strict=True))
    return [Spec(shape, x.dtype)]


def _slice(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    def numbers(index: int, what: str) -> list[int]:
        return integers(node, given(node, inputs, index), what)

    x = given(node, inputs, 0)
    slices = _slices(node, x.shape, inputs, numbers)
    result = x[slices]
    # Kernels take no negative strides.
    return [result.copy() if any(part.step is not None and part.step < 0 for part in slices) else result]


def _widths(node: Node, shape: Shape, operands: Sequence[Any], numbers: Numbers) -> list[tuple[int, int]]:
    """(before, after) for every axis; negative ones crop."""
    rank = len(shape)
    pads = numbers(1, "pads")
    axes = list(range(rank)) if optional(operands, 3) is None else numbers(3, "axes")
    axes_of(node, axes, rank)
    if len(pads) != 2 * len(axes):
        raise ValueError(f"{node.describe()}: {len(pads)} pads are not two for each of {len(axes)} axes")
    widths = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        widths[axis] = (pads[place], pads[place + len(axes)])
    for axis, (before, after) in enumerate(widths):
        size = shape[axis]
        kept = size + min(before, 0) + min(after, 0)
        if kept < 0 or (kept == 0 and max(before, after) > 0 and node.attributes["mode"] != "constant"):
            raise ValueError(
                f"{node.describe()}: pads {before} and {after} do not fit {size} elements of axis {axis}"
            )
    return widths


def _pad_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    def numbers(index: int, what: str) -> list[int]:
        return integers(node, known(node, specs, index, what), what)

    x, fill = given(node, specs, 0), optional(specs, 2)
    if fill is not None and math.prod(fill.shape) != 1:
        raise ValueError(f"{node.describe()}: the constant must be one number; got shape {fill.shape}")
    one_of(node, "mode", "constant", "reflect", "edge", "wrap")
    widths = _widths(node, x.shape, specs, numbers)
    shape = tuple(size + before + after for size, (before, after) in zip(x.shape, widths, strict=True))
    return [Spec(shape, same_dtype(node, [x, fill]))]


def _pad(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    def numbers(index: int, what: str) -> list[int]:
        return integers(node, given(node, inputs, index), what)

    x, fill = given(node, inputs, 0), optional(inputs, 2)
    widths = _widths(node, x.shape, inputs, numbers)
    cropped = x[
        tuple(
            slice(max(0, -before), size - max(0, -after))
            for size, (before, after) in zip(x.shape, widths, strict=True)
        )
    ]
    grown = [(max(0, before), max(0, after)) for before, after in widths]
    mode = node.attributes["mode"]
    if mode == "constant":
        value = x.dtype.type(0) if fill is None else fill.reshape(())[()]
        return [np.pad(cropped, grown, constant_values=value)]
    return [np.pad(cropped, grown, mode=mode)]


def _expand_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = given(node, specs, 0)
    wanted = tuple(integers(node, known(node, specs, 1, "shape"), "shape"))
    if any(size < 0 for size in wanted):
        raise ValueError(f"{node.describe()}: {wanted} is no shape")
    return [Spec(broadcast(node, x.shape, wanted), x.dtype)]


def _expand(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = given(node, inputs, 0)
    shape = broadcast(node, x.shape, tuple(integers(node, given(node, inputs, 1), "shape")))
    return [np.array(np.broadcast_to(x, shape))]


def _expand_into(node: Node, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> None:
    np.copyto(outputs[0], given(node, inputs, 0))


def _tile_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = given(node, specs, 0)
    repeats = integers(node, known(node, specs, 1, "repeats"), "repeats")
    if len(repeats) != len(x.shape) or any(count < 0 for count in repeats):
        raise ValueError(f"{node.describe()}: repeats {tuple(repeats)} do not fit {len(x.shape)} axes")
    return [Spec(tuple(size * count for size, count in zip(x.shape, repeats, strict=True)), x.dtype)]


def _tile(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [np.tile(given(node, inputs, 0), integers(node, given(node, inputs, 1), "repeats"))]


def _part_of_shape(node: Node, shape: Shape) -> list[int]:
    return list(shape[slice(node.attributes["start"], node.attributes.get("end"))])


def _shape_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    part = np.array(_part_of_shape(node, given(node, specs, 0).shape), _INDEX)
    return [Spec(part.shape, _INDEX, part)]


def _shape(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [np.array(_part_of_shape(node, given(node, inputs, 0).shape), _INDEX)]


def _size_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    return [Spec((), _INDEX, np.array(math.prod(given(node, specs, 0).shape), _INDEX))]


def _size(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [np.array(given(node, inputs, 0).size, _INDEX)]


def _constant_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    shape = tuple(integers(node, known(node, specs, 0, "shape"), "shape"))
    if any(size < 0 for size in shape):
        raise ValueError(f"{node.describe()}: {shape} is no shape")
    return [Spec(shape, np.dtype(node.attributes["dtype"]))]


def _constant(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    shape = integers(node, given(node, inputs, 0), "shape")
    return [np.full(shape, node.attributes["value"], np.dtype(node.attributes["dtype"]))]


def _range_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    dtype = same_dtype(node, specs)
    return [Spec((_range_count(node, [known(node, specs, index, "bounds") for index in range(3)]),), dtype)]


def _range_count(node: Node, bounds: list[Array]) -> int:
    if any(bound.size != 1 for bound in bounds):
        raise ValueError(f"{node.describe()}: start, limit and delta must be one number each")
    start, limit, delta = (bound.reshape(())[()].item() for bound in bounds)
    if delta == 0 or not all(map(math.isfinite, (start, limit, delta))):
        raise ValueError(f"{node.describe()}: from {start} to {limit} in steps of {delta} is no range")
    if isinstance(delta, int):
        return int(max(0, -((start - limit) // delta)))
    return int(max(0, math.ceil((limit - start) / delta)))


def _range(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    bounds = [given(node, inputs, index) for index in range(3)]
    count = _range_count(node, bounds)
    start, _, delta = (bound.reshape(())[()] for bound in bounds)
    return result_of(start + np.arange(count).astype(start.dtype) * delta, start.dtype)


def _cast_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    return [Spec(given(node, specs, 0).shape, np.dtype(node.attributes["to"]))]


def _cast(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [given(node, inputs, 0).astype(np.dtype(node.attributes["to"]))]


def _cast_into(node: Node, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> None:
    np.copyto(outputs[0], given(node, inputs, 0), casting="unsafe")


def _cast_like_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    return [Spec(given(node, specs, 0).shape, given(node, specs, 1).dtype)]


def _cast_like(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [given(node, inputs, 0).astype(given(node, inputs, 1).dtype)]


def _bit_cast_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x, dtype = given(node, specs, 0), np.dtype(node.attributes["to"])
    if x.dtype.itemsize != dtype.itemsize:
        raise ValueError(f"{node.describe()}: {x.dtype} and {dtype} differ in size")
    return [Spec(x.shape, dtype)]


def _bit_cast(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [given(node, inputs, 0).view(np.dtype(node.attributes["to"]))]


def _block_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x, block = given(node, specs, 0), node.attributes["blocksize"]
    shape = x.shape
    fits = len(shape) == 4 and block > 0
    if "mode" in node.attributes:
        one_of(node, "mode", "DCR", "CRD")
    if node.op == "DepthToSpace":
        fits = fits and shape[1] % (block * block) == 0
        new = (shape[0], shape[1] // (block * block), shape[2] * block, shape[3] * block) if fits else ()
    else:
        fits = fits and shape[2] % block == 0 and shape[3] % block == 0
        new = (shape[0], shape[1] * block * block, shape[2] // block, shape[3] // block) if fits else ()
    if not fits:
        raise ValueError(f"{node.describe()}: blocks of {block} do not fit an image of shape {shape}")
    return [Spec(new, x.dtype)]


def _depth_to_space(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, block = given(node, inputs, 0), node.attributes["blocksize"]
    batch, channels, height, width = x.shape
    depth = channels // (block * block)
    if node.attributes["mode"] == "CRD":
        parts = x.reshape(batch, depth, block, block, height, width).transpose(0, 1, 4, 2, 5, 3)
    else:
        parts = x.reshape(batch, block, block, depth, height, width).transpose(0, 3, 4, 1, 5, 2)
    return [parts.reshape(batch, depth, height * block, width * block)]


def _space_to_depth(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, block = given(node, inputs, 0), node.attributes["blocksize"]
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, channels, height // block, block, width // block, block)
    order = (0, 1, 3, 5, 2, 4) if node.attributes.get("mode") == "CRD" else (0, 3, 5, 1, 2, 4)
    shape = (batch, channels * block * block, height // block, width // block)
    return [parts.transpose(order).reshape(shape)]


def _triangle(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, offset = given(node, inputs, 0), optional(inputs, 1)
    number = 0 if offset is None else int(offset.reshape(-1)[0])
    number = max(-(x.shape[-2] + 1), min(number, x.shape[-1] + 1))
    return [np.triu(x, number) if node.attributes["upper"] else np.tril(x, number)]


def _triangle_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = given(node, specs, 0)
    if len(x.shape) < 2:
        raise ValueError(f"{node.describe()} takes matrices; got shape {x.shape}")
    return [Spec(x.shape, x.dtype)]


def _eye_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x = given(node, specs, 0)
    if len(x.shape) != 2:
        raise ValueError(f"{node.describe()} takes a matrix; got shape {x.shape}")
    return [Spec(x.shape, np.dtype(node.attributes.get("dtype") or x.dtype))]


def _eye(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = given(node, inputs, 0)
    offset = max(-x.shape[0], min(node.attributes["k"], x.shape[1]))
    return [np.eye(x.shape[0], x.shape[1], offset, dtype=np.dtype(node.attributes.get("dtype") or x.dtype))]


OPERATORS = {
    "Identity": _view(_as_is),
    "Reshape": _view(_reshape),
    "Flatten": _view(_flatten),
    "Squeeze": _view(_squeeze),
    "Unsqueeze": _view(_unsqueeze),
    "Dropout": Operator(_dropout_infer, _dropout, view=True),
    "Transpose": Operator(_transpose_infer, _transpose, view=True),
    "Split": Operator(_split_infer, _split, view=True),
    "Slice": Operator(_slice_infer, _slice, view=True),
    "Concat": Operator(_concat_infer, _concat, _concat_into),
    "Pad": Operator(_pad_infer, _pad),
    "Expand": Operator(_expand_infer, _expand, _expand_into),
    "Tile": Operator(_tile_infer, _tile),
    "Shape": Operator(_shape_infer, _shape),
    "Size": Operator(_size_infer, _size),
    "ConstantOfShape": Operator(_constant_infer, _constant),
    "Range": Operator(_range_infer, _range),
    "Cast": Operator(_cast_infer, _cast, _cast_into),
    "CastLike": Operator(_cast_like_infer, _cast_like, _cast_into),
    "BitCast": Operator(_bit_cast_infer, _bit_cast, view=True),
    "DepthToSpace": Operator(_block_infer, _depth_to_space),
    "SpaceToDepth": Operator(_block_infer, _space_to_depth),
    "Trilu": Operator(_triangle_infer, _triangle),
    "EyeLike": Operator(_eye_infer, _eye),
}
