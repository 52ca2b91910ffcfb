"""Whether the nodes of a model fit what they are given, before any image comes.

Where the model says every size, shapes are inferred as for a run. Behind sizes that it leaves open, what is
known of a value for every image stands in for its shape, each open size being one that fits if any does: a
node is refused only if no image fits it. The passes of the optimiser rely on this. What they replace or leave
out is not looked at again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastsep.onnx._errors import CONTRADICTIONS, DependsOnValuesError, raise_of
from fastsep.onnx._graph import Array, Graph, Node, Spec
from fastsep.onnx._operators import OPERATORS
from fastsep.onnx._operators._specs import Shape
from fastsep.onnx._operators._windows import WINDOWED
from fastsep.onnx._optimise import _facts
from fastsep.onnx._optimise._facts import NOTHING, Fact
from fastsep.onnx._specialise import infer, input_spec

# Larger than any window.
_LARGE = 1 << 80
_NUMBERS = frozenset({int})


class _Open(int):
    """A size that stands in for one that the model leaves open; messages show it as such."""

    def __repr__(self) -> str:
        return "?"


def check_shapes(graph: Graph) -> None:
    """Find out whether nodes fit what they are given, as far as the model itself says how large that is.

    Raises
    ------
    ValueError
        The message names the node.
    """
    specs = {name: Spec(value.shape, value.dtype, value) for name, value in graph.constants.items()}
    facts: dict[str, Fact] = {"": NOTHING}
    for port in graph.inputs:
        sizes = () if port.shape is None else tuple(size for size in port.shape if isinstance(size, int))
        if port.shape is not None and len(sizes) == len(port.shape):
            specs[port.name] = input_spec(port, sizes)
        else:
            facts[port.name] = _facts.of_port(port)
    for node in graph.nodes:
        if all(name in specs for name in node.inputs if name):
            try:
                found = infer(node, [specs[name] if name else None for name in node.inputs])
            except DependsOnValuesError:
                pass
            else:
                specs.update({name: spec for name, spec in zip(node.outputs, found, strict=False) if name})
                continue
        for name in node.inputs:
            if name not in facts:
                facts[name] = _of_spec(specs[name])
        given = [facts[name] for name in node.inputs]
        values = {
            name: value for name in node.inputs if name in specs and (value := specs[name].value) is not None
        }
        try:
            _check_open(node, given, values)
            facts.update(zip(node.outputs, _facts.of_node(node, given, values), strict=True))
        except CONTRADICTIONS as error:
            raise_of(node.describe(), error)
        facts[""] = NOTHING


def _of_spec(spec: Spec) -> Fact:
    return Fact(spec.dtype, spec.shape) if spec.value is None else _facts.of_constant(spec.value)


def _check_open(node: Node, given: Sequence[Fact], values: dict[str, Array]) -> None:
    """Check a node of which some operands have open sizes."""
    fit = _FITS.get(node.op)
    shapes = None if fit is None else fit(node, given, [values.get(name) for name in node.inputs])
    if shapes is None:
        return
    specs: list[Spec | None] = []
    for name, fact, shape in zip(node.inputs, given, shapes, strict=True):
        if not name:
            specs.append(None)
            continue
        dtype = _usual_dtype(node, given) if fact.dtype is None else fact.dtype
        specs.append(Spec(shape, dtype, _value(fact, values.get(name))))
    try:
        OPERATORS[node.op].infer(node, specs)
    except DependsOnValuesError:
        # Of the run's images, or not known here.
        return


def _usual_dtype(node: Node, given: Sequence[Fact]) -> np.dtype[Any]:
    """Return the dtype of an operand of which nothing is known."""
    known = [fact.dtype for fact in given if fact.dtype is not None]
    return next((dtype for dtype in known if dtype.kind == "f" or node.op in _ONE_DTYPE), np.dtype("f4"))


def _value(fact: Fact, value: Array | None) -> Array | None:
    """Return a value that is the same for every image."""
    if value is not None or fact.value is None or fact.shape is None or fact.dtype is None:
        return value
    sizes = [size for size in fact.value if isinstance(size, int)]
    shape = [size for size in fact.shape if isinstance(size, int)]
    if len(sizes) < len(fact.value) or math.prod(shape) != len(sizes):
        return None
    return np.array(sizes, fact.dtype).reshape(shape)


# ---- sizes that fit if any do ---

_Given = Sequence[Fact]
_Values = Sequence[Array | None]
_Fit = Callable[[Node, _Given, _Values], list[Shape] | None]


def _sized(fact: Fact, *sizes: int, rest: int = 1) -> Shape:
    """Return a shape, open sizes being `sizes`, then `rest`; without axes if nothing is known of it."""
    shape = fact.shape or ()
    # Most operands are weights.
    if _NUMBERS.issuperset(map(type, shape)):
        return shape  # type: ignore[return-value]
    return tuple(
        size if isinstance(size, int) else _Open(sizes[axis] if axis < len(sizes) else rest)
        for axis, size in enumerate(shape)
    )


def _any_sizes(node: Node, given: _Given, values: _Values) -> list[Shape] | None:
    """What matters is which sizes are there; 1 fits any other."""
    return [_sized(fact) for fact in given]


def _ranks(node: Node, given: _Given, values: _Values) -> list[Shape] | None:
    """What matters is how many axes the first operand has."""
    return None if given[0].shape is None else _any_sizes(node, given, values)


def _transpose(node: Node, given: _Given, values: _Values) -> list[Shape] | None:
    perm = node.attributes.get("perm") or ()
    return [_sized(given[0]) if given[0].shape is not None else (_Open(1),) * len(perm)]


def _conv(node: Node, given: _Given, values: _Values) -> list[Shape] | None:
    x, kernel, *bias = given
    shape = kernel.shape
    if shape is None or not all(isinstance(size, int) for size in shape):
        return None
    weights = _sized(kernel)
    image = 1, math.prod(weights[1:2]) * int(node.attributes["group"])
    if x.shape is None:
        x = Fact(x.dtype, ("?",) * len(weights))
    offsets = [weights[:1] if each.shape is None else _sized(each, *weights) for each in bias]
    return [_sized(x, *image, rest=_LARGE), weights, *offsets]


def _pool(node: Node, given: _Given, values: _Values) -> list[Shape] | None:
    x = given[0]
    if x.shape is None:
        x = Fact(x.dtype, ("?",) * (2 + len(node.attributes["kernel_shape"])))
    return [_sized(x, 1, 1, rest=_LARGE)]


def _batch_norm(node: Node, given: _Given, values: _Values) -> list[Shape] | None:
    vectors = [fact.shape for fact in given[1:] if fact.shape is not None]
    counts = [size for shape in vectors for size in shape[:1] if isinstance(size, int)]
    channels = counts[0] if counts else 1
    image = Fact(given[0].dtype, given[0].shape or ("?", "?"))
    rest = [(_Open(channels),) if fact.shape is None else _sized(fact, channels) for fact in given[1:]]
    return [_sized(image, 1, channels), *rest]


def _matmul(node: Node, given: _Given, values: _Values) -> list[Shape] | None:
    x, y = given[0].shape, given[1].shape
    if not x or not y:
        return None if x is None or y is None else _any_sizes(node, given, values)
    rows = -2 if len(y) > 1 else -1
    return [_meeting(x, -1, y, rows), _meeting(y, rows, x, -1)]


def _meeting(shape: Sequence[object], axis: int, other: Sequence[object], its: int) -> Shape:
    """Return a shape whose size on an axis is that of the other if it is open."""
    at = axis % len(shape)
    found = other[its]
    return tuple(
        size if isinstance(size, int) else _Open(found if place == at and isinstance(found, int) else 1)
        for place, size in enumerate(shape)
    )


def _gemm(node: Node, given: _Given, values: _Values) -> list[Shape] | None:
    x, y, *addend = given
    if x.shape is None or y.shape is None:
        return None
    if len(x.shape) != 2 or len(y.shape) != 2:
        return _any_sizes(node, given, values)
    columns_of_x = 0 if node.attributes["transA"] else 1
    rows_of_y = 1 if node.attributes["transB"] else 0
    left = list(_meeting(x.shape, columns_of_x, y.shape, rows_of_y))
    right = list(_meeting(y.shape, rows_of_y, x.shape, columns_of_x))
    added = _sized(addend[0]) if addend else ()
    # What is added decides the sizes that neither matrix knows.
    for axis, shape, at, open_size in (
        (-2, left, 1 - columns_of_x, x.shape[1 - columns_of_x]),
        (-1, right, 1 - rows_of_y, y.shape[1 - rows_of_y]),
    ):
        if len(added) >= -axis and not isinstance(open_size, int):
            shape[at] = _Open(added[axis])
    return [tuple(left), tuple(right), *([added] if addend else [])]


def _concat(node: Node, given: _Given, values: _Values) -> list[Shape] | None:
    shapes = [fact.shape for fact in given if fact.shape is not None]
    if len(shapes) < len(given):
        return None
    along = zip(*shapes, strict=False)
    numbers = [next((size for size in sizes if isinstance(size, int)), 1) for sizes in along]
    return [_sized(fact, *numbers) for fact in given]


def _split(node: Node, given: _Given, values: _Values) -> list[Shape] | None:
    sizes = values[1] if len(values) > 1 else None
    whole = len(node.outputs) if sizes is None else int(sizes.sum())
    if given[0].shape is None:
        return None
    return [_sized(given[0], rest=whole), *map(_sized, given[1:])]


def _pad(node: Node, given: _Given, values: _Values) -> list[Shape] | None:
    if given[0].shape is None:
        return None
    return [_sized(given[0], rest=_LARGE), *map(_sized, given[1:])]


def _reshape(node: Node, given: _Given, values: _Values) -> list[Shape] | None:
    """Of the sizes that are not copied, an open one is what the new shape leaves for it."""
    shape, wanted = given[0].shape, _value(given[1], values[1])
    if shape is None or wanted is None or wanted.ndim > 1 or wanted.dtype.kind not in "iu":
        return None if shape is None or wanted is None else _any_sizes(node, given, values)
    new = [int(size) for size in wanted.ravel()]
    copied = {axis for axis, size in enumerate(new) if size == 0 and not node.attributes["allowzero"]}
    target = math.prod(size for axis, size in enumerate(new) if axis not in copied and size != -1)
    numbers = math.prod(
        size for axis, size in enumerate(shape) if isinstance(size, int) and axis not in copied
    )
    fitting = target if -1 in new else target // numbers if numbers and target % numbers == 0 else 1
    sizes = [1] * len(shape)
    for axis, size in enumerate(shape):
        if axis not in copied and not isinstance(size, int):
            sizes[axis] = max(fitting, 0)
            break
    return [_sized(given[0], *sizes), _sized(given[1])]


def _blocks(node: Node, given: _Given, values: _Values) -> list[Shape] | None:
    block = node.attributes["blocksize"]
    return None if given[0].shape is None else [_sized(given[0], rest=block * block)]


_ELEMENT_BY_ELEMENT = (
    "Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Equal", "Greater", "GreaterOrEqual", "Less",
    "LessOrEqual", "Clip",
)  # fmt: skip
# Whose operands are all of one dtype, which so says that of one of which nothing is known.
_ONE_DTYPE = {*_ELEMENT_BY_ELEMENT, "Conv", "BatchNormalization", "MatMul", "Gemm", "Concat"}
# Of what a pass replaces, or leaves out.
_FITS: dict[str, _Fit] = {
    **dict.fromkeys((*_ELEMENT_BY_ELEMENT, "Gelu", "Pow", "Expand"), _any_sizes),
    **dict.fromkeys(
        (
            "Softmax", "LogSoftmax", "Flatten", "Squeeze", "Unsqueeze", "Slice", "GlobalAveragePool",
            "GlobalMaxPool", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin",
        ),
        _ranks,
    ),
    **dict.fromkeys(WINDOWED, _pool),
    "Conv": _conv,
    "Transpose": _transpose,
    "BatchNormalization": _batch_norm,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Concat": _concat,
    "Split": _split,
    "Pad": _pad,
    "Reshape": _reshape,
    "DepthToSpace": _blocks,
}  # fmt: skip
