"""Arithmetic, comparisons and logic, element by element, with NumPy's broadcasting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastsep.onnx._graph import Array, Node, Spec
from fastsep.onnx._operators._operator import Operator
from fastsep.onnx._operators._specs import (
    broadcast,
    given,
    of_kinds,
    one_of,
    result_of,
    same_dtype,
    written,
)

_NUMBERS = "fiu"
_BOOL = np.dtype(np.bool_)


def _unary(function: np.ufunc, kinds: str) -> Operator:
    def write(node: Node, x: Array, out: Array) -> None:
        function(x, out=out)

    return written(write, kinds)


def _test(function: np.ufunc, kinds: str) -> Operator:
    """A question asked of each element."""

    def infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
        return [Spec(of_kinds(node, given(node, specs, 0), kinds).shape, _BOOL)]

    def compute(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        return result_of(function(given(node, inputs, 0)))

    return Operator(infer, compute)


def _binary_infer(kinds: str, dtype: np.dtype[Any] | None) -> Callable[..., list[Spec]]:
    def infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
        x, y = of_kinds(node, given(node, specs, 0), kinds), given(node, specs, 1)
        common = same_dtype(node, specs)
        return [Spec(broadcast(node, x.shape, y.shape), common if dtype is None else dtype)]

    return infer


def _binary(function: np.ufunc, kinds: str = _NUMBERS, dtype: np.dtype[Any] | None = None) -> Operator:
    def compute(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        return result_of(function(given(node, inputs, 0), given(node, inputs, 1)))

    def into(node: Node, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> None:
        function(given(node, inputs, 0), given(node, inputs, 1), out=outputs[0])

    return Operator(_binary_infer(kinds, dtype), compute, into)


def _computed(function: Callable[[Node, Array, Array], Any]) -> Operator:
    """A binary operator that is more than one NumPy function."""

    def compute(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x, y = given(node, inputs, 0), given(node, inputs, 1)
        return result_of(function(node, x, y), x.dtype)

    return Operator(_binary_infer(_NUMBERS, None), compute)


def _divide(node: Node, x: Array, y: Array) -> Any:
    """Integers are divided as in C: towards zero."""
    if x.dtype.kind == "f":
        return np.true_divide(x, y)
    quotient = np.floor_divide(x, y)
    if x.dtype.kind == "u":
        return quotient
    uneven = np.not_equal(quotient * y, x) & (y != 0)
    return quotient + (uneven & ((x < 0) != (y < 0))).astype(x.dtype)


def _divide_into(node: Node, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> None:
    x, y = given(node, inputs, 0), given(node, inputs, 1)
    if x.dtype.kind == "f":
        np.true_divide(x, y, out=outputs[0])
    else:
        outputs[0][...] = _divide(node, x, y)


def _modulo(node: Node, x: Array, y: Array) -> Any:
    """`fmod=1` takes the sign of the dividend, as C does; otherwise that of the divisor, as Python does."""
    return np.fmod(x, y) if node.attributes["fmod"] else np.mod(x, y)


def _shift(node: Node, x: Array, y: Array) -> Any:
    """A shift by as many bits as there are, or more, leaves nothing but the sign."""
    bits = x.dtype.itemsize * 8
    left = node.attributes["direction"] == "LEFT"
    outside = (y < 0) | (y >= bits)
    inside = np.where(outside, 0, y).astype(x.dtype)
    if left:
        return np.where(outside, x.dtype.type(0), np.left_shift(x, inside))
    return np.where(outside, np.where(x < 0, x.dtype.type(-1 if x.dtype.kind == "i" else 0), x.dtype.type(0)),
                    np.right_shift(x, inside))  # fmt: skip


def _shift_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    one_of(node, "direction", "LEFT", "RIGHT")
    return _binary_infer("iu", None)(node, specs)


def _power_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x, y = given(node, specs, 0), given(node, specs, 1)
    of_kinds(node, x, _NUMBERS), of_kinds(node, y, _NUMBERS)
    return [Spec(broadcast(node, x.shape, y.shape), x.dtype)]


def _power(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """The result has the dtype of the base; integers to integer powers stay exact."""
    x, y = given(node, inputs, 0), given(node, inputs, 1)
    if x.dtype.kind in "iu" and y.dtype.kind in "iu" and (y.dtype.kind == "u" or not (y < 0).any()):
        exponent = y.astype(x.dtype) if x.dtype.kind == "u" or y.dtype.kind == "u" else y
        return result_of(np.asarray(np.power(x, exponent)).astype(x.dtype))
    if x.dtype == y.dtype and x.dtype.kind == "f":
        return result_of(np.power(x, y))
    wide = np.result_type(x.dtype, y.dtype, np.float32)
    return result_of(np.asarray(np.power(x.astype(wide), y.astype(wide))).astype(x.dtype))


def _power_into(node: Node, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> None:
    x, y = given(node, inputs, 0), given(node, inputs, 1)
    if x.dtype == y.dtype and x.dtype.kind == "f":
        np.power(x, y, out=outputs[0])
    else:
        outputs[0][...] = _power(node, inputs)[0]


def _several(function: np.ufunc, kinds: str, mean: bool = False) -> Operator:
    """Max, Min, Sum and Mean of any number of inputs."""

    def infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
        of_kinds(node, given(node, specs, 0), kinds)
        shapes = [given(node, specs, index).shape for index in range(len(specs))]
        return [Spec(broadcast(node, *shapes), same_dtype(node, specs))]

    def compute(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        total = given(node, inputs, 0)
        if len(inputs) == 1:
            return [total.copy()]
        for index in range(1, len(inputs)):
            total = np.asarray(function(total, given(node, inputs, index)))
        return result_of(np.true_divide(total, total.dtype.type(len(inputs)))) if mean else [total]

    def into(node: Node, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> None:
        out = outputs[0]
        if len(inputs) == 1:
            np.copyto(out, given(node, inputs, 0))
            return
        function(given(node, inputs, 0), given(node, inputs, 1), out=out)
        for index in range(2, len(inputs)):
            function(out, given(node, inputs, index), out=out)
        if mean:
            np.true_divide(out, out.dtype.type(len(inputs)), out=out)

    return Operator(infer, compute, into)


def _where_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    condition, x, y = (given(node, specs, index) for index in range(3))
    of_kinds(node, condition, "b")
    return [Spec(broadcast(node, condition.shape, x.shape, y.shape), same_dtype(node, [x, y]))]


def _where(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    condition, x, y = (given(node, inputs, index) for index in range(3))
    return result_of(np.where(condition, x, y))


def _reciprocal(node: Node, x: Array, out: Array) -> None:
    np.true_divide(x.dtype.type(1), x, out=out)


def _is_infinite(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = given(node, inputs, 0)
    infinite = np.isinf(x)
    if not node.attributes["detect_negative"]:
        infinite &= x > 0
    if not node.attributes["detect_positive"]:
        infinite &= x < 0
    return result_of(infinite)


def _is_infinite_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    return [Spec(of_kinds(node, given(node, specs, 0), "f").shape, _BOOL)]


def _rounding(function: np.ufunc) -> Operator:
    return _unary(function, "f")


OPERATORS = {
    "Abs": _unary(np.absolute, _NUMBERS),
    "Neg": _unary(np.negative, "fi"),
    "Sign": _unary(np.sign, _NUMBERS),
    "Reciprocal": written(_reciprocal),
    "Floor": _rounding(np.floor),
    "Ceil": _rounding(np.ceil),
    "Round": _rounding(np.rint),
    **{
        name: _unary(function, "f")
        for name, function in {
            "Sqrt": np.sqrt,
            "Exp": np.exp,
            "Log": np.log,
            "Sin": np.sin,
            "Cos": np.cos,
            "Tan": np.tan,
            "Asin": np.arcsin,
            "Acos": np.arccos,
            "Atan": np.arctan,
            "Sinh": np.sinh,
            "Cosh": np.cosh,
            "Asinh": np.arcsinh,
            "Acosh": np.arccosh,
            "Atanh": np.arctanh,
        }.items()
    },
    "Not": _unary(np.logical_not, "b"),
    "BitwiseNot": _unary(np.invert, "iu"),
    "IsNaN": _test(np.isnan, "f"),
    "IsInf": Operator(_is_infinite_infer, _is_infinite),
    "Add": _binary(np.add),
    "Sub": _binary(np.subtract),
    "Mul": _binary(np.multiply),
    "Div": Operator(_binary_infer(_NUMBERS, None), _computed(_divide).compute, _divide_into),
    "Mod": _computed(_modulo),
    "BitShift": Operator(_shift_infer, _computed(_shift).compute),
    "Pow": Operator(_power_infer, _power, _power_into),
    "Equal": _binary(np.equal, "fiub", _BOOL),
    "Greater": _binary(np.greater, _NUMBERS, _BOOL),
    "GreaterOrEqual": _binary(np.greater_equal, _NUMBERS, _BOOL),
    "Less": _binary(np.less, _NUMBERS, _BOOL),
    "LessOrEqual": _binary(np.less_equal, _NUMBERS, _BOOL),
    "And": _binary(np.logical_and, "b"),
    "Or": _binary(np.logical_or, "b"),
    "Xor": _binary(np.logical_xor, "b"),
    "BitwiseAnd": _binary(np.bitwise_and, "iu"),
    "BitwiseOr": _binary(np.bitwise_or, "iu"),
    "BitwiseXor": _binary(np.bitwise_xor, "iu"),
    "Max": _several(np.maximum, _NUMBERS),
    "Min": _several(np.minimum, _NUMBERS),
    "Sum": _several(np.add, "f"),
    "Mean": _several(np.add, "f", mean=True),
    "Where": Operator(_where_infer, _where),
}
