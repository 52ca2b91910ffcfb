"""Nodes of a file, of any opset, as nodes of one form.

Attributes have their defaults; what older opsets say by attributes are inputs, as in the newest opset; an
element type is NumPy's name for it; Constant is a constant of the graph. Absent operands at the end of a list
are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastsep.onnx._errors import ModelError, UnsupportedOperator
from fastsep.onnx._graph import Array, Node
from fastsep.onnx._package import Package
from fastsep.onnx._tensors import ExternalFiles, element_type, to_array

# Since which opset the axes of a reduction are an input.
_AXES_INPUT_SINCE = {"ReduceSum": 13, "Squeeze": 13, "Unsqueeze": 13}
_REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
# Attributes that say how to round or which seed to take where nothing is rounded or drawn.
_MEANINGLESS = {
    "Cast": ("saturate", "round_mode"),
    "CastLike": ("saturate", "round_mode"),
    "Dropout": ("seed",),
    "BatchNormalization": ("momentum", "training_mode"),
    "Split": ("num_outputs",),
    "Range": ("stash_type",),
    "LayerNormalization": ("stash_type",),
    "RMSNormalization": ("stash_type",),
    "GroupNormalization": ("stash_type",),
    "TopK": ("sorted",),
}
# Numbers of onnx.AttributeProto.AttributeType, and how such an attribute is read. To look one of them up by
# its name in the package takes 1.5 µs; a node takes 25.
_READERS: dict[int, Callable[[Any], Any]] = {
    1: lambda attribute: attribute.f,
    2: lambda attribute: attribute.i,
    3: lambda attribute: attribute.s.decode(),
    6: lambda attribute: tuple(attribute.floats),
    7: lambda attribute: tuple(attribute.ints),
    8: lambda attribute: tuple(text.decode() for text in attribute.strings),
}
_TENSOR = 4


class Forms:
    """What raising a node may ask for, and where it puts new constants.

    Parameters
    ----------
    onnx : Package
    opset : int
        Of the default domain.
    constants : dict
        By name; grows.
    taken : set of str
        Names that values of the graph have.
    used : set of str
        Values that a node or the caller reads.
    ranks : dict
        How many axes a value has, where the file says so.
    """

    def __init__(
        self,
        onnx: Package,
        opset: int,
        files: ExternalFiles,
        constants: dict[str, Array],
        *,
        taken: set[str],
        used: set[str],
        ranks: dict[str, int],
    ) -> None:
        self.onnx = onnx
        self.opset = opset
        self.files = files
        self.constants = constants
        self.used = used
        self.ranks = ranks
        self._taken = taken
        self._defaults: dict[str, dict[str, Any]] = {}

    def constant(self, near: str, role: str, values: Sequence[int]) -> str:
        """Add integers to the constants of the graph, and return their name."""
        name = f"{near}.{role}"
        while name in self._taken:
            name += "'"
        self._taken.add(name)
        array = np.array(values, np.int64)
        array.flags.writeable = False
        self.constants[name] = array
        return name

    def defaults(self, op: str) -> dict[str, Any]:
        """Attributes that a node need not have: those of its opset, then those that came later."""
        if op not in self._defaults:
            found: dict[str, Any] = {}
            for version in (self.onnx.newest_opset, self.opset):
                for name, attribute in self.onnx.defaults(op, version).items():
                    found[name] = self.value(attribute, op)
            self._defaults[op] = found
        return self._defaults[op]

    def value(self, attribute: Any, what: str) -> Any:
        """The value of an AttributeProto: a number, text, an array, or a tuple of numbers or texts."""
        kind = attribute.type
        read = _READERS.get(kind)
        if read is not None:
            return read(attribute)
        if kind == _TENSOR:
            return to_array(self.onnx, attribute.t, self.files, f"{what}: attribute {attribute.name!r}")
        names = {value: name for name, value in self.onnx.AttributeProto.AttributeType.items()}
        raise UnsupportedOperator(
            f"{what}: attribute {attribute.name!r} is of type {names.get(kind, kind)}, which is not supported"
        )

    def raised(self, proto: Any, origin: str) -> Node | None:
        """One node in its one form, of that origin; None if it became a constant.

        Raises
        ------
        ModelError
            The node contradicts itself; UnsupportedOperator if it asks for what isn't implemented.
        """
        op = proto.op_type
        inputs, outputs = tuple(proto.input), tuple(proto.output)
        bare = Node(op, inputs, outputs, {}, proto.name, (origin,))
        what = bare.describe()
        given = {attribute.name: self.value(attribute, what) for attribute in proto.attribute}
        if op == "Constant":
            self.constants[outputs[0]] = _constant(what, given)
            return None
        attributes = {**self.defaults(op), **given}
        node = Node(op, inputs, outputs, attributes, bare.name, bare.origin)
        change = _CHANGES.get(op)
        if change is not None:
            node = change(self, node)
        left = {
            name: value
            for name, value in node.attributes.items()
            if name not in _MEANINGLESS.get(op, ()) and value is not None
        }
        outputs = node.outputs if op == "Split" else _trimmed(node.outputs)
        return Node(op, _trimmed(node.inputs), outputs, left, node.name, node.origin)


def _trimmed(names: tuple[str, ...]) -> tuple[str, ...]:
    count = len(names)
    while count > 1 and not names[count - 1]:
        count -= 1
    return names[:count]


def _constant(what: str, attributes: dict[str, Any]) -> Array:
    if len(attributes) != 1:
        raise ModelError(f"{what} must have one attribute that holds its value; got {sorted(attributes)}")
    ((name, value),) = attributes.items()
    if name == "value":
        array: Array = value
    elif name in ("value_float", "value_floats"):
        array = np.array(value, np.float32)
    elif name in ("value_int", "value_ints"):
        array = np.array(value, np.int64)
    else:
        raise UnsupportedOperator(f"{what} holds a {name}; supported are numbers and dense tensors")
    array.flags.writeable = False
    return array


def _with(node: Node, *, inputs: tuple[str, ...] | None = None, outputs: tuple[str, ...] | None = None,
          without: Sequence[str] = (), **attributes: Any) -> Node:  # fmt: skip
    kept = {name: value for name, value in node.attributes.items() if name not in without}
    return Node(
        node.op,
        node.inputs if inputs is None else inputs,
        node.outputs if outputs is None else outputs,
        {**kept, **attributes},
        node.name,
        node.origin,
    )


def _axes(forms: Forms, node: Node) -> Node:
    """Axes as an input."""
    if forms.opset >= _AXES_INPUT_SINCE.get(node.op, 18):
        return node
    axes = node.attributes.get("axes")
    inputs = node.inputs[:1]
    if axes is not None:
        inputs += (forms.constant(node.outputs[0], "axes", axes),)
    return _with(node, inputs=inputs, without=("axes",))


def _split(forms: Forms, node: Node) -> Node:
    """Sizes as an input; without them there are as many parts as outputs."""
    sizes = node.attributes.get("split") if forms.opset < 13 else None
    count = node.attributes.get("num_outputs")
    if count is not None and count != len(node.outputs):
        raise ModelError(
            f"{node.describe()}: num_outputs is {count}, and there are {len(node.outputs)} outputs"
        )
    inputs = node.inputs
    if forms.opset >= 18 and count is None and len(_trimmed(inputs)) < 2:
        raise ModelError(f"{node.describe()}: neither sizes nor num_outputs say how to split")
    if sizes is not None:
        inputs = (*node.inputs[:1], forms.constant(node.outputs[0], "split", sizes))
    # Before opset 18 the parts must be of one size.
    return _with(node, inputs=inputs, without=("split",), uneven=forms.opset >= 18)


def _softmax(forms: Forms, node: Node) -> Node:
    """Before opset 13 all axes from `axis` on count as one."""
    return _with(node, flatten=forms.opset < 13)


def _windows(forms: Forms, node: Node) -> Node:
    """Strides, dilations and pads in full, where the number of axes is known."""
    taps: tuple[int, ...] | None = node.attributes.get("kernel_shape")
    spatial = None if taps is None else len(taps)
    if node.op == "Conv":
        kernel = forms.constants.get(node.inputs[1])
        rank = forms.ranks.get(node.inputs[1]) if kernel is None else kernel.ndim
        rank = forms.ranks.get(node.inputs[0]) if rank is None else rank
        if kernel is not None and taps is None and kernel.ndim > 2:
            taps = kernel.shape[2:]
        if spatial is None and rank is not None:
            spatial = rank - 2
    attributes: dict[str, Any] = {} if taps is None else {"kernel_shape": tuple(taps)}
    auto_pad = node.attributes["auto_pad"]
    pads = node.attributes.get("pads") if auto_pad == "NOTSET" else None
    attributes["auto_pad"] = "NOTSET" if auto_pad == "VALID" else auto_pad
    if spatial is not None and spatial > 0:
        attributes["strides"] = node.attributes.get("strides") or (1,) * spatial
        attributes["dilations"] = node.attributes.get("dilations") or (1,) * spatial
        pads = pads or (0,) * (2 * spatial)
    return _with(node, without=("pads",), **attributes, **({} if pads is None else {"pads": tuple(pads)}))


def _max_pool(forms: Forms, node: Node) -> Node:
    return _windows(forms, _without_unused(forms, node))


def _without_unused(forms: Forms, node: Node) -> Node:
    """Outputs but the first that nothing reads are absent."""
    outputs = (node.outputs[0], *(name if name in forms.used else "" for name in node.outputs[1:]))
    return _with(node, outputs=_trimmed(outputs))


def _batch_normalization(forms: Forms, node: Node) -> Node:
    node = _without_unused(forms, node)
    if node.attributes.get("training_mode") or len(node.outputs) > 1:
        raise UnsupportedOperator(
            f"{node.describe()} is in training mode; supported is inference: "
            "export the model in evaluation mode"
        )
    return node


def _dropout(forms: Forms, node: Node) -> Node:
    node = _without_unused(forms, node)
    training = node.inputs[2] if len(node.inputs) > 2 else ""
    if training:
        value = forms.constants.get(training)
        if value is None or value.any():
            raise UnsupportedOperator(
                f"{node.describe()} is in training mode, or may be; supported is inference: "
                "export the model in evaluation mode"
            )
    return _with(node, inputs=node.inputs[:1], without=("ratio",))


def _to(name: str) -> Callable[[Forms, Node], Node]:
    """An element type by NumPy's name."""

    def change(forms: Forms, node: Node) -> Node:
        number = node.attributes.get(name)
        if number is None:
            return node
        dtype = element_type(forms.onnx, number, f"{node.describe()}: attribute {name!r}")
        attributes: dict[str, Any] = {name: dtype.name}
        return _with(node, **attributes)

    return change


def _constant_of_shape(forms: Forms, node: Node) -> Node:
    value = node.attributes.get("value")
    if value is None:
        return _with(node, value=0.0, dtype="float32")
    if value.size != 1:
        raise ModelError(f"{node.describe()}: value must hold one number; got shape {value.shape}")
    return _with(node, value=value.reshape(())[()].item(), dtype=value.dtype.name)


def _group_normalization(forms: Forms, node: Node) -> Node:
    """Before opset 21 there was one factor a group, since then one a channel."""
    _check_stash_type(node)
    return _with(node, per_group=forms.opset < 21)


def _check_stash_type(node: Node) -> None:
    """Refuse sums of anything but float32 or what is wider."""
    stash_type = node.attributes.get("stash_type", 1)
    if stash_type != 1:
        raise UnsupportedOperator(f"{node.describe()} has stash_type {stash_type}; supported is 1")


def _rms_normalization(forms: Forms, node: Node) -> Node:
    _check_stash_type(node)
    return node


def _layer_normalization(forms: Forms, node: Node) -> Node:
    _check_stash_type(node)
    return _without_unused(forms, node)


_CHANGES: dict[str, Callable[[Forms, Node], Node]] = {
    **dict.fromkeys((*_REDUCTIONS, "Squeeze", "Unsqueeze"), _axes),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _softmax),
    **dict.fromkeys(("Conv", "AveragePool", "LpPool"), _windows),
    "MaxPool": _max_pool,
    "Split": _split,
    "BatchNormalization": _batch_normalization,
    "Dropout": _dropout,
    "Cast": _to("to"),
    "BitCast": _to("to"),
    "EyeLike": _to("dtype"),
    "ConstantOfShape": _constant_of_shape,
    "GroupNormalization": _group_normalization,
    "LayerNormalization": _layer_normalization,
    "RMSNormalization": _rms_normalization,
}
