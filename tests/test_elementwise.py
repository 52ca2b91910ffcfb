"""Sums, products and curves place by place, in any layout, with what is repeated along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bounds import activation_ulps, assert_same_bits, ulp
from numpy.typing import NDArray
from strategies import in_layout, numbers

import fastsep
from fastsep import _activations, _reference
from fastsep._elementwise import ElementwisePlan

Array = NDArray[Any]

LAYOUTS = ("fortran", "transposed", "negative strides", "sliced channels", "sliced pixels", "unaligned")
SHAPES = [(2, 9, 10, 24), (1, 7, 7, 1280), (3, 50, 3), (1, 3, 4, 5, 33), (1, 1, 1, 40000), (2, 300, 300, 1)]


def run(
    kind: str,
    x: Array,
    residual: Array | None,
    activation: Any = None,
    threads: int | None = 1,
    out: Array | None = None,
) -> Array:
    epilogue = _activations.epilogue(activation, "activation", x.dtype)
    plan = ElementwisePlan(kind, x.shape[-1], epilogue, x.dtype, fastsep.get_isa())
    result = np.full(x.shape, -7, x.dtype) if out is None else out
    plan.run(x, result, residual, x.ndim - 2, False, threads)
    return result


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_and_products_have_numpy_s_bits(shape: tuple[int, ...], dtype: Any) -> None:
    x, y = numbers(1, shape, dtype), numbers(2, shape, dtype)
    for threads in (1, 2, 5, None):
        assert_same_bits(run("add", x, y, threads=threads), x + y)
        assert_same_bits(run("multiply", x, y, threads=threads), x * y)
        np.testing.assert_array_equal(run("add", x, y, "relu6", threads), np.clip(x + y, 0, 6))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("shape", SHAPES)
def test_a_factor_a_channel(shape: tuple[int, ...]) -> None:
    x = numbers(1, shape, np.float32)
    gate = numbers(2, (shape[0], *(1 for _ in shape[1:-1]), shape[-1]), np.float32)
    for threads in (1, 3):
        assert_same_bits(run("multiply", x, np.broadcast_to(gate, shape), threads=threads), x * gate)
        scalar = np.broadcast_to(np.float32(3), shape)
        assert_same_bits(run("multiply", x, scalar, threads=threads), x * np.float32(3))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "activation", ["relu", "sigmoid", "hard_sigmoid", "silu", "hard_swish", "gelu", (-1, 2)]
)
def test_curves(activation: Any, dtype: Any) -> None:
    x = numbers(1, (2, 5, 6, 21), dtype)
    exact = _reference.activate(x.astype(np.longdouble), activation)
    result = run("add", x, None, activation)
    allowed = activation_ulps(activation, np.dtype(dtype)) * ulp(exact, np.dtype(dtype))
    assert (np.abs(result - exact) <= allowed + np.finfo(dtype).smallest_subnormal).all()
    assert_same_bits(run("add", x, None, activation, threads=3), result)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["add", "multiply"])
def test_any_layout_gives_the_same_bits(kind: str, layout: str) -> None:
    x, y = numbers(1, (2, 9, 10, 24), np.float32), numbers(2, (2, 9, 10, 24), np.float32)
    expected = run(kind, x, y, "silu")
    for threads in (1, 3):
        out = in_layout(np.full(x.shape, -7, np.float32), layout)
        assert_same_bits(
            np.ascontiguousarray(run(kind, in_layout(x, layout), in_layout(y, layout), "silu", threads, out)),
            expected,
        )
        assert_same_bits(np.ascontiguousarray(run(kind, in_layout(x, layout), y, "silu", threads)), expected)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("channels", [3, 16, 21])
def test_in_place(channels: int) -> None:
    x, y = numbers(1, (2, 9, 10, channels), np.float32), numbers(2, (2, 9, 10, channels), np.float32)
    expected = run("add", x, y, "silu")
    for threads in (1, 2):
        over_x, over_y = x.copy(), y.copy()
        assert_same_bits(run("add", over_x, y, "silu", threads, out=over_x), expected)
        assert_same_bits(run("add", x, over_y, "silu", threads, out=over_y), expected)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind must be 'add' or 'multiply'"):
        ElementwisePlan("divide", 3, ("clamp", -np.inf, np.inf), np.dtype(np.float32), fastsep.get_isa())
