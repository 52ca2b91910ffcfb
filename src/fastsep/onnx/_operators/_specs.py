"""What the definitions of operators share: operands by position, broadcasting, errors that name the node."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from fastsep.onnx._errors import DependsOnValuesError
from fastsep.onnx._graph import Array, Node, Spec
from fastsep.onnx._operators._operator import Operator

Item = TypeVar("Item", Array, Spec)
Shape = tuple[int, ...]

# A value larger than this is a mistake in the model: no image network holds 16 GiB in one array.
MOST_BYTES = 2**34


def given(node: Node, items: Sequence[Item | None], index: int) -> Item:
    """The operand at a position where one must be."""
    item = items[index] if index < len(items) else None
    if item is None:
        raise ValueError(f"{node.describe()} needs an input at position {index}, which is absent")
    return item


def optional(items: Sequence[Item | None], index: int) -> Item | None:
    """The operand at a position where there may be none."""
    return items[index] if index < len(items) else None


def known(node: Node, specs: Sequence[Spec | None], index: int, what: str) -> Array:
    """The value of an operand that decides shapes.

    Raises
    ------
    DependsOnValuesError
        Nothing but a run can say it.
    """
    value = given(node, specs, index).value
    if value is None:
        raise DependsOnValuesError(
            f"{node.describe()}: its {what} ({node.inputs[index]!r}) must follow from the shapes of the "
            "model's inputs, but depend on their values"
        )
    return value


def integers(node: Node, value: Array, what: str) -> list[int]:
    """A vector of integers (a scalar counts as one) as a list."""
    if value.dtype.kind not in "iu" or value.ndim > 1:
        raise ValueError(
            f"{node.describe()}: its {what} must be a vector of integers; "
            f"got {value.dtype} of shape {value.shape}"
        )
    return [int(item) for item in value.reshape(-1)]


def axis_of(node: Node, axis: int, rank: int, what: str = "axis") -> int:
    """An axis counted from either end as one counted from the front."""
    if not -rank <= axis < rank:
        raise ValueError(f"{node.describe()}: {what} {axis} is out of range for {rank} axes")
    return axis + rank if axis < 0 else axis


def axes_of(node: Node, axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes counted from the front, ascending."""
    found = [axis_of(node, axis, rank) for axis in axes]
    if len(set(found)) < len(found):
        raise ValueError(f"{node.describe()}: axes {tuple(axes)} name an axis twice")
    return tuple(sorted(found))


def broadcast(node: Node, *shapes: Shape) -> Shape:
    """The shape that these shapes have in common."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(
            f"{node.describe()}: shapes {' and '.join(map(str, shapes))} do not broadcast"
        ) from None


def same_dtype(node: Node, specs: Sequence[Spec | None]) -> np.dtype[Any]:
    """The dtype that all operands must have."""
    dtypes = [spec.dtype for spec in specs if spec is not None]
    if any(dtype != dtypes[0] for dtype in dtypes):
        raise ValueError(
            f"{node.describe()}: its inputs must have one dtype; got {', '.join(map(str, dtypes))}"
        )
    return dtypes[0]


def floating(node: Node, spec: Spec) -> Spec:
    """`spec`, checked to be of a floating-point dtype."""
    if spec.dtype.kind != "f":
        raise ValueError(f"{node.describe()} takes floating-point numbers; got {spec.dtype}")
    return spec


def of_kinds(node: Node, spec: Spec, kinds: str) -> Spec:
    """`spec`, checked to be of one of NumPy's kinds of dtypes."""
    if spec.dtype.kind not in kinds:
        raise ValueError(f"{node.describe()} does not take {spec.dtype}")
    return spec


def one_of(node: Node, name: str, *words: str) -> str:
    """An attribute that must be one of these words."""
    word: str = node.attributes[name]
    if word not in words:
        raise ValueError(f"{node.describe()}: {name} must be one of {', '.join(words)}; got {word!r}")
    return word


def check_size(node: Node, specs: Sequence[Spec]) -> None:
    """Refuse values that cannot be meant before anything is allocated for them.

    Raises
    ------
    ValueError
        An output would be larger than 16 GiB.
    """
    for name, spec in zip(node.outputs, specs, strict=False):
        size = math.prod(spec.shape) * spec.dtype.itemsize
        if isinstance(size, float):
            # Of an attribute in a saved file that was changed.
            raise ValueError(
                f"{node.describe()}: {name!r} would have shape {spec.shape}, not of whole numbers"
            )
        if size > MOST_BYTES:
            raise ValueError(
                f"{node.describe()}: {name!r} would have shape {spec.shape}, more than {MOST_BYTES} bytes"
            )


def widened(x: Array) -> Array:
    """`x` with room for sums: those of float16 are kept in float32, as ONNX Runtime does."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def total(x: Array, axes: int | tuple[int, ...]) -> Array:
    """The sums along axes, which stay, of the dtype of `x`.

    float16 is rounded once, as NumPy does only where memory is contiguous along the axes.
    """
    wide = np.float32 if x.dtype == np.float16 else x.dtype
    sums: Array = np.asarray(np.sum(x, axes, dtype=wide, keepdims=True))
    return sums.astype(x.dtype, copy=False)


def unchanged(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    """Infer one output of the shape and dtype of the first input."""
    first = given(node, specs, 0)
    return [Spec(first.shape, first.dtype)]


def floating_unchanged(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    """Infer one output of the shape and dtype of the first input, which must be floating."""
    first = floating(node, given(node, specs, 0))
    return [Spec(first.shape, first.dtype)]


def result_of(value: Any, dtype: np.dtype[Any] | None = None) -> list[Array]:
    """One output; NumPy's scalars become arrays without axes."""
    return [np.asarray(value, dtype)]


def written(write: Callable[[Node, Array, Array], None], kinds: str = "f") -> Operator:
    """Make an operator of one input of which each element becomes one of the output.

    `write(node, x, out)` computes into `out`, which has the shape of `x` and shares no memory with it.
    """

    def infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
        first = of_kinds(node, given(node, specs, 0), kinds)
        return [Spec(first.shape, first.dtype)]

    def compute(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = given(node, inputs, 0)
        out = np.empty_like(x)
        write(node, x, out)
        return [out]

    def into(node: Node, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> None:
        write(node, given(node, inputs, 0), outputs[0])

    return Operator(infer, compute, into)
