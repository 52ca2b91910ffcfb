"""What is known of a value for every image a network may be given: dtype, shape, and small shapes' values.

Shapes hold symbols (`_dims`). Where an operator is not known here, nothing is known of what it makes, and the
passes that need to know leave it alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastsep.onnx._graph import Array, Node, Port
from fastsep.onnx._operators._specs import axis_of
from fastsep.onnx._operators._windows import window_count
from fastsep.onnx._operators.fused import CHANNELS_FIRST
from fastsep.onnx._operators.shapes import even_parts
from fastsep.onnx._optimise import _dims
from fastsep.onnx._optimise._dims import Dim


class Fact(NamedTuple):
    """None stands for what is not known. `value` is that of a scalar or vector of sizes."""

    dtype: np.dtype[Any] | None = None
    shape: tuple[Dim, ...] | None = None
    value: tuple[Dim, ...] | None = None

    @property
    def rank(self) -> int | None:
        """Number of axes."""
        return None if self.shape is None else len(self.shape)

    @property
    def is_real(self) -> bool:
        """Whether fastsep's kernels take the dtype."""
        return self.dtype in (np.float32, np.float64)

    @property
    def settled(self) -> bool:
        """Whether nothing more can be found out, whatever becomes of the nodes that make the value."""
        if self.dtype is None or self.shape is None or not all(map(_dims.settled, self.shape)):
            return False
        return self.dtype.kind == "f" or (self.value is not None and all(map(_dims.settled, self.value)))


NOTHING = Fact()
INT64 = np.dtype(np.int64)
# Vectors of sizes are no longer than this; what is longer is data.
_LONGEST = 64


def of_port(port: Port) -> Fact:
    """Return what the declaration of an input says."""
    if port.shape is None:
        return Fact(port.dtype)
    shape: list[Dim] = []
    for axis, size in enumerate(port.shape):
        shape.append(("unknown", port.name, axis) if size is None else size)
    return Fact(port.dtype, tuple(shape))


def of_constant(value: Array) -> Fact:
    """Return all about a constant."""
    small = value.dtype in (np.int64, np.int32) and value.ndim <= 1 and value.size <= _LONGEST
    return Fact(value.dtype, value.shape, tuple(int(n) for n in value.ravel()) if small else None)


def of_node(node: Node, inputs: Sequence[Fact], constants: Mapping[str, Array]) -> tuple[Fact, ...]:
    """Return what is known of the outputs of a node."""
    rule = _RULES.get(node.op)
    if rule is None:
        return (NOTHING,) * len(node.outputs)
    facts = rule(node, inputs, [constants.get(name) for name in node.inputs])
    return (*facts, *(NOTHING,) * (len(node.outputs) - len(facts)))[: len(node.outputs)]


Rule = Callable[[Node, Sequence[Fact], Sequence[Array | None]], Sequence[Fact]]


def _first(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    return [Fact(inputs[0].dtype, inputs[0].shape)]


def _identity(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    return [inputs[0]]


def _cast(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    try:
        dtype = np.dtype(node.attributes["to"])
    except (KeyError, TypeError):
        return [Fact(None, inputs[0].shape)]
    return [Fact(dtype, inputs[0].shape, inputs[0].value if dtype.kind == "i" else None)]


def _elementwise(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    return [Fact(inputs[0].dtype, _broadcast(node, inputs), _arithmetic(node.op, inputs))]


def _comparison(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    return [Fact(np.dtype(np.bool_), _broadcast(node, inputs))]


def _where(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    return [Fact(inputs[1].dtype, _broadcast(node, inputs))]


def _broadcast(node: Node, inputs: Sequence[Fact]) -> tuple[Dim, ...] | None:
    shapes = [fact.shape for fact in inputs if fact.shape is not None]
    return _dims.broadcast(shapes, node.outputs[0]) if len(shapes) == len(inputs) else None


def _arithmetic(op: str, inputs: Sequence[Fact]) -> tuple[Dim, ...] | None:
    """Return sums and products of sizes."""
    if len(inputs) != 2 or op not in ("Add", "Sub", "Mul"):
        return None
    a, b = (fact.value for fact in inputs)
    if not a or not b or not (len(a) == len(b) or 1 in (len(a), len(b))):
        return None
    longest = max(len(a), len(b))
    pairs = zip(a * (longest // len(a)), b * (longest // len(b)), strict=True)
    results: list[Dim] = []
    for left, right in pairs:
        if op == "Mul":
            results.append(_dims.product((left, right)))
        elif isinstance(right, int):
            results.append(_dims.plus(left, right if op == "Add" else -right))
        elif isinstance(left, int) and op == "Add":
            results.append(_dims.plus(right, left))
        else:
            return None
    return tuple(results)


def _conv(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    shape, kernel = inputs[0].shape, inputs[1].shape
    if shape is None or kernel is None or len(shape) != len(kernel):
        return [Fact(inputs[0].dtype)]
    sizes = _onnx_sizes(node, shape[2:], kernel[2:])
    return [Fact(inputs[0].dtype, (shape[0], kernel[0], *sizes))]


def _fused_conv(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    """Return the shape behind fastsep.Conv, fastsep.Separable and fastsep.InvertedResidual."""
    shape = inputs[0].shape
    taps = {"fastsep.Conv": 1, "fastsep.Separable": 1, "fastsep.InvertedResidual": 2}[node.op]
    last = {"fastsep.Conv": 1, "fastsep.Separable": 2, "fastsep.InvertedResidual": 3}[node.op]
    kernel, final = inputs[taps].shape, inputs[last].shape
    if shape is None or kernel is None or final is None:
        return [Fact(inputs[0].dtype)]
    first = node.attributes["layout"] == CHANNELS_FIRST
    sizes = window_sizes(
        shape[2:] if first else shape[1:-1],
        kernel[:-2],
        node.attributes["strides"],
        node.attributes["padding"],
        node.attributes["dilation_rate"],
        node.outputs[0],
    )
    outputs = final[-1]
    return [Fact(inputs[0].dtype, (shape[0], outputs, *sizes) if first else (shape[0], *sizes, outputs))]


def window_sizes(
    sizes: Sequence[Dim],
    taps: Sequence[Dim],
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    dilation_rate: Sequence[int],
    name: str,
    ceil_mode: bool = False,
) -> list[Dim]:
    """Return the places of a window on each axis; `name` is the value's, for sizes that cannot be known."""
    result: list[Dim] = []
    for axis, (size, width, stride, step) in enumerate(zip(sizes, taps, strides, dilation_rate, strict=True)):
        if padding == "same" or padding == "same_lower":
            result.append(_dims.window(size, -1, stride))
        elif not isinstance(width, int):
            result.append(("unknown", name, axis))
        else:
            before, after = (0, 0) if isinstance(padding, str) else padding[axis]
            offset = before + after - ((width - 1) * step + 1)
            if isinstance(size, int):
                extent = (width - 1) * step + 1
                result.append(max(0, window_count(size, before, after, extent, stride, ceil_mode)))
            elif not ceil_mode or (stride == 1 and after < (width - 1) * step + 1):
                result.append(_dims.window(size, offset, stride))
            else:
                result.append(("unknown", name, axis))
    return result


def pairs_of(pads: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return ONNX's list of pads, all before and then all behind, as one (before, after) pair an axis."""
    half = len(pads) // 2
    return tuple((int(before), int(after)) for before, after in zip(pads[:half], pads[half:], strict=True))


def padding_of(node: Node, spatial: int) -> str | tuple[tuple[int, int], ...]:
    """Return the padding of a convolution or pool as fastsep takes it."""
    named = {"SAME_UPPER": "same", "SAME_LOWER": "same_lower"}.get(node.attributes.get("auto_pad", "NOTSET"))
    if named is not None:
        return named
    if node.attributes.get("auto_pad") == "VALID":
        return ((0, 0),) * spatial
    return pairs_of(node.attributes.get("pads") or (0,) * 2 * spatial)


def per_axis(node: Node, name: str, spatial: int) -> tuple[int, ...]:
    """Return an attribute with one number per spatial axis, 1 by default."""
    return tuple(int(number) for number in node.attributes.get(name) or (1,) * spatial)


def _onnx_sizes(node: Node, sizes: Sequence[Dim], taps: Sequence[Dim]) -> list[Dim]:
    """Return the places of the windows of a convolution or pool of ONNX."""
    spatial = len(taps)
    return window_sizes(
        sizes,
        taps,
        per_axis(node, "strides", spatial),
        padding_of(node, spatial),
        per_axis(node, "dilations", spatial),
        node.outputs[0],
        bool(node.attributes.get("ceil_mode", 0)),
    )


def _pool(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    shape = inputs[0].shape
    taps = node.attributes["kernel_shape"]
    if shape is None or len(shape) != len(taps) + 2:
        return [Fact(inputs[0].dtype)]
    sizes = _onnx_sizes(node, shape[2:], taps)
    return [Fact(inputs[0].dtype, (*shape[:2], *sizes))]


def _fused_pool(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    shape = inputs[0].shape
    if shape is None:
        return [Fact(inputs[0].dtype)]
    first = node.attributes["layout"] == CHANNELS_FIRST
    sizes = window_sizes(
        shape[2:] if first else shape[1:-1],
        node.attributes["taps"],
        node.attributes["strides"],
        node.attributes["padding"],
        node.attributes["dilation_rate"],
        node.outputs[0],
        node.attributes["ceil_mode"],
    )
    return [Fact(inputs[0].dtype, (*shape[:2], *sizes) if first else (shape[0], *sizes, shape[-1]))]


def _global_pool(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    shape = inputs[0].shape
    if shape is None:
        return [Fact(inputs[0].dtype)]
    ones = (1,) * (len(shape) - 2) if node.attributes.get("keepdims", True) else ()
    if node.attributes.get("layout", CHANNELS_FIRST) == CHANNELS_FIRST:
        return [Fact(inputs[0].dtype, (*shape[:2], *ones))]
    return [Fact(inputs[0].dtype, (shape[0], *ones, shape[-1]))]


def _reduce(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    shape = inputs[0].shape
    axes = constants[1] if len(constants) > 1 else None
    absent = len(node.inputs) < 2 or not node.inputs[1]
    if shape is None or (axes is None and not absent):
        return [Fact(inputs[0].dtype)]
    if axes is None or axes.size == 0:
        if node.attributes.get("noop_with_empty_axes", 0):
            return [Fact(inputs[0].dtype, shape)]
        axes = None
    chosen = set(_axes(node, axes, shape, len(shape)))
    keep = node.attributes.get("keepdims", 1)
    kept = [1 if axis in chosen else size for axis, size in enumerate(shape) if keep or axis not in chosen]
    return [Fact(inputs[0].dtype, tuple(kept))]


def _dense(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    shape, kernel = inputs[0].shape, inputs[1].shape
    if shape is None or kernel is None:
        return [Fact(inputs[0].dtype)]
    return [Fact(inputs[0].dtype, (*shape[:-1], kernel[1]))]


def _matmul(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    a, b = inputs[0].shape, inputs[1].shape
    if a is None or b is None or len(a) < 2 or len(b) < 2:
        return [Fact(inputs[0].dtype)]
    batch = _dims.broadcast([a[:-2], b[:-2]], node.outputs[0])
    return [Fact(inputs[0].dtype, (*batch, a[-2], b[-1]))]


def _gemm(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    a, b = inputs[0].shape, inputs[1].shape
    if a is None or b is None or len(a) != 2 or len(b) != 2:
        return [Fact(inputs[0].dtype)]
    rows = a[1 if node.attributes.get("transA", 0) else 0]
    columns = b[0 if node.attributes.get("transB", 0) else 1]
    return [Fact(inputs[0].dtype, (rows, columns))]


def _transpose(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    shape = inputs[0].shape
    if shape is None:
        return [Fact(inputs[0].dtype)]
    perm = node.attributes.get("perm") or range(len(shape))[::-1]
    return [Fact(inputs[0].dtype, tuple(shape[axis] for axis in perm))]


def _reshape(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    shape, wanted = inputs[0].shape, inputs[1].value
    if wanted is None:
        length = inputs[1].shape[0] if inputs[1].shape else None
        if not isinstance(length, int):
            return [Fact(inputs[0].dtype)]
        return [Fact(inputs[0].dtype, tuple(("unknown", node.outputs[0], axis) for axis in range(length)))]
    sizes: list[Dim] = []
    for axis, size in enumerate(wanted):
        copied = size == 0 and not node.attributes.get("allowzero", 0)
        if not copied:
            sizes.append(size)
        else:
            sizes.append(("unknown", node.outputs[0], axis) if shape is None else shape[axis])
    if -1 in sizes:
        axis = sizes.index(-1)
        rest = sizes[:axis] + sizes[axis + 1 :]
        left = None if shape is None else _dims.quotient(shape, rest)
        sizes[axis] = ("unknown", node.outputs[0], axis) if left is None else left
    return [Fact(inputs[0].dtype, tuple(sizes))]


def _flatten(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    shape = inputs[0].shape
    if shape is None:
        return [Fact(inputs[0].dtype, (("unknown", node.outputs[0], 0), ("unknown", node.outputs[0], 1)))]
    axis = node.attributes.get("axis", 1)
    axis += len(shape) if axis < 0 else 0
    return [Fact(inputs[0].dtype, (_dims.product(shape[:axis]), _dims.product(shape[axis:])))]


def _squeeze(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    shape = inputs[0].shape
    axes = constants[1] if len(constants) > 1 else None
    absent = len(node.inputs) < 2 or not node.inputs[1]
    if axes is not None and axes.size == 0:
        axes, absent = None, True
    if shape is None or (axes is None and not (absent and _dims.known(shape))):
        return [Fact(inputs[0].dtype, None, inputs[0].value)]
    if axes is None:
        kept = tuple(size for size in shape if size != 1)
    else:
        gone = set(_axes(node, axes, shape, 0))
        kept = tuple(size for axis, size in enumerate(shape) if axis not in gone)
    return [Fact(inputs[0].dtype, kept, inputs[0].value)]


def _unsqueeze(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    shape, axes = inputs[0].shape, constants[1] if len(constants) > 1 else None
    if shape is None or axes is None:
        return [Fact(inputs[0].dtype)]
    rank = len(shape) + axes.size
    new = {axis_of(node, int(axis), rank) for axis in axes.ravel()}
    rest = iter(shape)
    sizes = tuple(1 if axis in new else next(rest) for axis in range(rank))
    return [Fact(inputs[0].dtype, sizes, inputs[0].value if rank <= 1 else None)]


def _concat(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    shapes = [fact.shape for fact in inputs if fact.shape is not None]
    if len(shapes) < len(inputs) or len({len(shape) for shape in shapes}) != 1:
        return [Fact(inputs[0].dtype)]
    axis = axis_of(node, node.attributes["axis"], len(shapes[0]))
    along = [shape[axis] for shape in shapes]
    numbers = [size for size in along if isinstance(size, int)]
    symbols = [size for size in along if not isinstance(size, int)]
    total: Dim = ("unknown", node.outputs[0], axis)
    if not symbols:
        total = sum(numbers)
    elif len(symbols) == 1:
        total = _dims.plus(symbols[0], sum(numbers))
    values = [fact.value for fact in inputs if fact.value is not None]
    value = tuple(size for part in values for size in part) if len(values) == len(inputs) else None
    return [Fact(inputs[0].dtype, (*shapes[0][:axis], total, *shapes[0][axis + 1 :]), value)]


def _shape_of(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    shape = inputs[0].shape
    if shape is None:
        return [Fact(INT64, (("unknown", node.outputs[0], 0),))]
    end = node.attributes.get("end")
    taken = shape[slice(node.attributes.get("start", 0), end)]
    return [Fact(INT64, (len(taken),), taken)]


def _gather(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    data, indices = inputs[0], inputs[1]
    if data.shape is None or indices.shape is None:
        return [Fact(data.dtype)]
    axis = axis_of(node, node.attributes.get("axis", 0), len(data.shape))
    value = None
    if data.value is not None and indices.value is not None and indices.shape in ((), (len(indices.value),)):
        picked = [index for index in indices.value if isinstance(index, int)]
        if len(picked) == len(indices.value) and all(-len(data.value) <= i < len(data.value) for i in picked):
            value = tuple(data.value[index] for index in picked)
    return [Fact(data.dtype, (*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :]), value)]


def _axes(node: Node, axes: Array | None, shape: tuple[Dim, ...], count: int) -> Sequence[int]:
    """Return the axes that an operand names; the first `count` without one."""
    if axes is None:
        return range(count)
    return [axis_of(node, int(axis), len(shape)) for axis in axes.ravel()]


def _slice(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    shape = inputs[0].shape
    given = [constants[index] if index < len(constants) else None for index in range(5)]
    starts, ends, axes, steps = given[1:]
    named = [index < len(node.inputs) and bool(node.inputs[index]) for index in range(5)]
    if shape is None or starts is None or ends is None:
        return [Fact(inputs[0].dtype)]
    if (named[3] and axes is None) or (named[4] and steps is None):
        return [Fact(inputs[0].dtype)]
    sizes = list(shape)
    value = inputs[0].value
    chosen = _axes(node, axes, shape, starts.size)
    walks = np.ones(starts.size, np.int64) if steps is None else steps.ravel()
    for axis, start, end, step in zip(chosen, starts.ravel(), ends.ravel(), walks, strict=True):
        size = sizes[axis]
        span = slice(int(start), int(end), int(step))
        if isinstance(size, int) and step > 0:
            sizes[axis] = len(range(*span.indices(size)))
            value = None if value is None else value[span]
        else:
            sizes[axis] = ("unknown", node.outputs[0], axis)
            value = None
    return [Fact(inputs[0].dtype, tuple(sizes), value)]


def _pad(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    shape = inputs[0].shape
    pads = constants[1] if len(constants) > 1 else None
    axes = constants[3] if len(constants) > 3 else None
    named = len(node.inputs) > 3 and bool(node.inputs[3])
    if shape is None or pads is None or (named and axes is None):
        return [Fact(inputs[0].dtype)]
    chosen = _axes(node, axes, shape, len(shape))
    sizes = list(shape)
    for axis, (before, after) in zip(chosen, pairs_of(pads.tolist()), strict=True):
        sizes[axis] = _dims.plus(sizes[axis], before + after)
    return [Fact(inputs[0].dtype, tuple(sizes))]


def _split(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    shape = inputs[0].shape
    parts = len(node.outputs)
    if shape is None:
        return [Fact(inputs[0].dtype)] * parts
    axis = axis_of(node, node.attributes.get("axis", 0), len(shape))
    sizes = constants[1] if len(constants) > 1 else None
    size = shape[axis]
    along: list[Dim]
    if sizes is not None:
        along = [int(part) for part in sizes.ravel()]
    elif len(node.inputs) > 1 and node.inputs[1]:
        along = [("unknown", name, axis) for name in node.outputs]
    elif isinstance(size, int):
        along = [*even_parts(size, parts)]
    else:
        along = [("unknown", name, axis) for name in node.outputs]
    return [Fact(inputs[0].dtype, (*shape[:axis], part, *shape[axis + 1 :])) for part in along]


def _expand(node: Node, inputs: Sequence[Fact], constants: Sequence[Array | None]) -> list[Fact]:
    shape, wanted = inputs[0].shape, inputs[1].value
    if shape is None or wanted is None:
        return [Fact(inputs[0].dtype)]
    return [Fact(inputs[0].dtype, _dims.broadcast([shape, wanted], node.outputs[0]))]


def _table(pairs: Iterable[tuple[str, Rule]]) -> dict[str, Rule]:
    return {name: rule for names, rule in pairs for name in names.split()}


_RULES: dict[str, Rule] = _table(
    [
        ("Identity Dropout", _identity),
        (
            "Relu Clip Sigmoid HardSigmoid HardSwish Swish Gelu Erf LeakyRelu Elu Selu Celu Tanh Softplus "
            "Softsign Mish ThresholdedRelu PRelu Softmax LogSoftmax Exp Log Sqrt Neg Abs Reciprocal Floor "
            "Ceil Round BatchNormalization InstanceNormalization LayerNormalization fastsep.Activation",
            _first,
        ),
        ("Add Sub Mul Div Max Min Mean Sum Pow fastsep.Add fastsep.Multiply", _elementwise),
        ("Equal Greater Less GreaterOrEqual LessOrEqual", _comparison),
        ("Where", _where),
        ("Cast", _cast),
        ("Conv", _conv),
        ("fastsep.Conv fastsep.Separable fastsep.InvertedResidual", _fused_conv),
        ("MaxPool AveragePool LpPool", _pool),
        ("fastsep.Pool", _fused_pool),
        ("GlobalAveragePool GlobalMaxPool fastsep.GlobalPool", _global_pool),
        ("ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL2 ReduceSumSquare", _reduce),
        ("fastsep.Dense", _dense),
        ("MatMul", _matmul),
        ("Gemm", _gemm),
        ("Transpose", _transpose),
        ("Reshape", _reshape),
        ("Flatten", _flatten),
        ("Squeeze", _squeeze),
        ("Unsqueeze", _unsqueeze),
        ("Concat", _concat),
        ("Shape", _shape_of),
        ("Gather", _gather),
        ("Slice", _slice),
        ("Pad", _pad),
        ("Split", _split),
        ("Expand", _expand),
    ]
)
