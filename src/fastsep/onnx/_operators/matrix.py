"""Products of matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastsep.onnx._graph import Array, Node, Spec
from fastsep.onnx._operators._operator import Operator
from fastsep.onnx._operators._specs import Shape, broadcast, given, of_kinds, optional, result_of, same_dtype


def _product_shape(node: Node, x: Shape, y: Shape) -> Shape:
    if not x or not y:
        raise ValueError(f"{node.describe()} takes no scalars; got shapes {x} and {y}")
    rows = x if len(x) > 1 else (1, *x)
    columns = y if len(y) > 1 else (*y, 1)
    if rows[-1] != columns[-2]:
        raise ValueError(f"{node.describe()}: {x} and {y} do not fit: {rows[-1]} columns, {columns[-2]} rows")
    shape = broadcast(node, rows[:-2], columns[:-2])
    if len(x) > 1:
        shape += rows[-2:-1]
    if len(y) > 1:
        shape += columns[-1:]
    return shape


def _matmul_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x, y = of_kinds(node, given(node, specs, 0), "fiu"), given(node, specs, 1)
    return [Spec(_product_shape(node, x.shape, y.shape), same_dtype(node, specs))]


def _matmul(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return result_of(np.matmul(given(node, inputs, 0), given(node, inputs, 1)))


def _matmul_into(node: Node, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> None:
    x, y = given(node, inputs, 0), given(node, inputs, 1)
    if x.ndim == 1 and y.ndim == 1:
        outputs[0][...] = np.matmul(x, y)
    else:
        np.matmul(x, y, out=outputs[0])


def _gemm_infer(node: Node, specs: Sequence[Spec | None]) -> list[Spec]:
    x, y, bias = of_kinds(node, given(node, specs, 0), "fiu"), given(node, specs, 1), optional(specs, 2)
    if len(x.shape) != 2 or len(y.shape) != 2:
        raise ValueError(f"{node.describe()} takes matrices; got shapes {x.shape} and {y.shape}")
    left = x.shape[::-1] if node.attributes["transA"] else x.shape
    right = y.shape[::-1] if node.attributes["transB"] else y.shape
    shape = _product_shape(node, left, right)
    if bias is not None and broadcast(node, shape, bias.shape) != shape:
        raise ValueError(f"{node.describe()}: an addend of shape {bias.shape} does not broadcast to {shape}")
    return [Spec(shape, same_dtype(node, specs))]


def _gemm(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, y, bias = given(node, inputs, 0), given(node, inputs, 1), optional(inputs, 2)
    alpha, beta = node.attributes["alpha"], node.attributes["beta"]
    result = (x.T if node.attributes["transA"] else x) @ (y.T if node.attributes["transB"] else y)
    if alpha != 1:
        result = (result * alpha).astype(x.dtype)
    if bias is not None:
        result = result + (bias if beta == 1 else (bias * beta).astype(x.dtype))
    return result_of(result)


OPERATORS = {
    "MatMul": Operator(_matmul_infer, _matmul, _matmul_into),
    "Gemm": Operator(_gemm_infer, _gemm),
}
