"""EfficientNet's block: within the bound, the bits of its parts, sums in the contract's order."""

from __future__ import annotations

import re
from typing import Any

import bounds
import numpy as np
import pytest
from bounds import assert_same_bits, assert_within
from hypothesis import given
from numpy.typing import NDArray
from strategies import Case, numbers, squeeze_excite_cases

import fastsep

Array = NDArray[Any]

pytestmark = pytest.mark.usefixtures("isa")


def sums_in_order(image: Array) -> Array:
    """Sum a channels_last image over its pixels: each row from left to right, then the rows' sums."""
    rows = np.zeros((*image.shape[:-2], image.shape[-1]), image.dtype)
    for column in range(image.shape[-2]):
        rows = rows + image[..., column, :]
    rows = rows.reshape(image.shape[0], -1, image.shape[-1])
    total = np.zeros((image.shape[0], image.shape[-1]), image.dtype)
    for row in range(rows.shape[1]):
        total = total + rows[:, row]
    return total


def gated(
    image: Array,
    reduce_kernel: Array,
    expand_kernel: Array,
    reduce_bias: Array | None = None,
    expand_bias: Array | None = None,
    activation: Any = "relu",
    gate: Any = "sigmoid",
) -> Array:
    """Multiply a channels_last image by its gate, by NumPy and the package's dense layers."""
    pixels = int(np.prod(image.shape[1:-1]))
    if image.size == 0:
        return image
    means = sums_in_order(image) / image.dtype.type(pixels)
    layers = [
        (reduce_kernel, reduce_bias, activation),
        (expand_kernel, expand_bias, gate),
    ]
    factors = means[:, np.newaxis]
    for kernel, bias, curve in layers:
        kernel = kernel.reshape(kernel.shape[-2:])
        factors = fastsep.pointwise_conv(factors, kernel, bias=bias, activation=curve)
    product: Array = image * factors.reshape(image.shape[0], *(1,) * (image.ndim - 2), -1)
    return product


def in_parts(
    inputs: Array,
    expand_kernel: Array | None,
    depthwise_kernel: Array,
    project_kernel: Array,
    *,
    squeeze_excite: dict[str, Any],
    strides: Any = 1,
    padding: Any = "same",
    dilation_rate: Any = 1,
    data_format: str | None = None,
    expand_bias: Array | None = None,
    depthwise_bias: Array | None = None,
    bias: Array | None = None,
    activation: Any = "relu6",
    residual: bool = False,
) -> Array:
    """Compute the block by its parts, every array between them whole."""
    image = np.moveaxis(inputs, 1, -1) if data_format == "channels_first" else inputs
    expanded = image
    if expand_kernel is not None:
        expanded = fastsep.pointwise_conv(image, expand_kernel, bias=expand_bias, activation=activation)
    filtered = fastsep.depthwise_conv(
        expanded, depthwise_kernel, strides, padding,
        dilation_rate=dilation_rate, bias=depthwise_bias, activation=activation,
    )  # fmt: skip
    result = fastsep.pointwise_conv(
        gated(filtered, **squeeze_excite), project_kernel, bias=bias, residual=image if residual else None
    )
    return np.moveaxis(result, -1, 1) if data_format == "channels_first" else result


@given(squeeze_excite_cases())
def test_block_keeps_the_bound_and_the_bits_of_the_parts(case: Case) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        actual = case.run(case.plan(fastsep.InvertedResidual))
        assert actual.dtype == case.operands["inputs"].dtype
        assert_same_bits(actual, case.call(in_parts))
        assert_within(actual, bounds.inverted_residual(**case.operands, **case.options))


BLOCKS = [
    # height, width, channels, expanded, filters, taps, strides; expanded 0: no expansion
    (112, 112, 32, 0, 16, 3, 1),
    (57, 56, 16, 96, 24, 3, 2),
    (28, 27, 40, 240, 40, 5, 1),
    (14, 14, 80, 480, 112, 5, 1),
    (14, 14, 112, 672, 192, 5, 2),
    (7, 7, 192, 1152, 192, 5, 1),
    (7, 7, 33, 203, 33, 3, 1),
    (90, 1, 8, 40, 8, 3, 1),
    (1, 300, 8, 40, 8, 7, 1),
    (3, 3000, 24, 144, 24, 3, 1),
    (3, 1, 70, 0, 70, 3, 1),
]


def block(row: tuple[int, ...], dtype: Any, batch: int, **more: Any) -> Case:
    height, width, channels, expanded, filters, taps, strides = row
    wide = expanded or channels
    reduced = max(1, channels // 4)
    operands = {
        "inputs": numbers(1, (batch, height, width, channels), dtype),
        "expand_kernel": numbers(2, (channels, wide), dtype) if expanded else None,
        "depthwise_kernel": numbers(3, (taps, taps, wide, 1), dtype),
        "project_kernel": numbers(4, (wide, filters), dtype),
        "depthwise_bias": numbers(6, (wide,), dtype),
        "bias": numbers(7, (filters,), dtype),
    }
    gate = {
        "reduce_kernel": numbers(8, (wide, reduced), dtype),
        "expand_kernel": numbers(9, (reduced, wide), dtype),
        "reduce_bias": numbers(10, (reduced,), dtype),
        "expand_bias": numbers(11, (wide,), dtype),
        "activation": "hard_swish",
    }
    options = {"strides": strides, "residual": strides == 1 and channels == filters, "squeeze_excite": gate}
    return Case(operands, options | {"activation": "relu6"} | more)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row", BLOCKS)
def test_bits_of_real_blocks(row: tuple[int, ...], dtype: Any) -> None:
    """Many tiles, rounds of several images, columns cut; on any number of threads, in both data formats."""
    case = block(row, dtype, 3)
    plan = case.plan(fastsep.InvertedResidual)
    expected = case.call(in_parts)
    for threads in (1, 2, 3, 8):
        assert_same_bits(case.run(plan, threads=threads), expected)
    inputs = case.operands["inputs"]
    for image in range(3):
        alone = plan(inputs[image : image + 1], threads=1 + image)
        assert_same_bits(alone, expected[image : image + 1])
    first = block(row, dtype, 3, data_format="channels_first")
    moved = np.ascontiguousarray(np.moveaxis(inputs, -1, 1))
    result = first.plan(fastsep.InvertedResidual)(moved, threads=2)
    assert_same_bits(result, np.moveaxis(expected, -1, 1))


def test_order_of_the_sums() -> None:
    """Numbers whose sum depends on the order, to the bit: the projection shows the mean itself."""
    image = numbers(1, (2, 3, 9, 11, 24), np.float32)
    gate = {
        "reduce_kernel": np.eye(24, dtype=np.float32),
        "expand_kernel": np.eye(24, dtype=np.float32),
        "activation": None,
        "gate": None,
    }
    plan = fastsep.InvertedResidual(
        None,
        np.ones((1, 1, 1, 24, 1), np.float32),
        np.eye(24, dtype=np.float32),
        activation=None,
        squeeze_excite=fastsep.SqueezeExcite(**gate),
    )
    means = sums_in_order(image) / np.float32(3 * 9 * 11)
    assert_same_bits(plan(image), image * means[:, None, None, None] + np.float32(0))
    other_way = sums_in_order(image[:, ::-1, ::-1, ::-1]) / np.float32(3 * 9 * 11)
    assert not np.array_equal(means, other_way), "these numbers would not show the order"


@pytest.mark.parametrize("spatial", [(0, 5), (5, 0), (0, 0)])
def test_images_without_pixels(spatial: tuple[int, int]) -> None:
    """Without output pixels there is nothing to gate; padding alone may make some, which have a mean."""
    channels, kernel = 6, np.ones((3, 3, 6, 1), np.float32)
    gate = fastsep.SqueezeExcite(np.ones((6, 2), np.float32), np.ones((2, 6), np.float32))
    project = np.ones((6, 4), np.float32)
    inputs = np.ones((2, *spatial, channels), np.float32)
    plan = fastsep.InvertedResidual(None, kernel, project, squeeze_excite=gate)
    assert plan(inputs).shape == (2, *spatial, 4)
    assert plan(inputs[:0]).shape == (0, *spatial, 4)
    padded = fastsep.InvertedResidual(
        None, kernel, project, padding=2, depthwise_bias=np.ones(6, np.float32), squeeze_excite=gate
    )
    outputs = padded(inputs)
    # Every depthwise output is its bias 1, every mean too; the gate is sigmoid(2 · 6).
    np.testing.assert_allclose(outputs, np.full(outputs.shape, 6 / (1 + np.exp(-12.0))), rtol=1e-6)
    assert outputs.shape == (2, spatial[0] + 2, spatial[1] + 2, 4)


def test_a_nan_reaches_its_image_and_no_other() -> None:
    case = block((9, 8, 12, 40, 12, 3, 1), np.float32, 3)
    case.operands["inputs"][1, 4, 4, 4] = np.nan
    nan = np.isnan(case.run(case.plan(fastsep.InvertedResidual)))
    assert nan[1].all()
    assert not nan[[0, 2]].any()


def test_scratch_holds_the_depthwise_map_and_little_else() -> None:
    case = block((56, 56, 24, 144, 24, 3, 1), np.float32, 1)
    plan = case.plan(fastsep.InvertedResidual)
    without = Case(case.operands, case.options | {"squeeze_excite": None}).plan(fastsep.InvertedResidual)
    shape = case.operands["inputs"].shape
    the_map = 56 * 56 * 144 * 4
    for threads in (1, 2):
        described = plan.describe(shape, threads=threads)
        assert the_map < described.scratch_bytes < the_map + threads * 1_000_000
        assert described.flops == without.describe(shape).flops + 2 * 2 * 144 * 6
        assert "gate" in described.fusion
    # Of many images the maps do not exist at once.
    assert plan.describe((64, *shape[1:]), threads=1).scratch_bytes < 2 * the_map


# ---- arguments -------------------------------------------------------------------------------------------


def kernels(channels: int = 12, reduced: int = 3, dtype: Any = np.float32) -> dict[str, Any]:
    return {
        "reduce_kernel": numbers(1, (channels, reduced), dtype),
        "expand_kernel": numbers(2, (reduced, channels), dtype),
        "reduce_bias": numbers(3, (reduced,), dtype),
        "expand_bias": numbers(4, (channels,), dtype),
    }


@pytest.mark.parametrize(
    ("name", "value", "error", "fragment"),
    [
        ("reduce_kernel", None, TypeError, "None"),
        ("reduce_kernel", [[1.0]], TypeError, "list"),
        ("reduce_kernel", np.ones((12, 3)), TypeError, "float32.*float64|float64.*float32"),
        ("reduce_kernel", np.ones((12, 3), np.float16), TypeError, "float16"),
        ("reduce_kernel", np.ones((3, 3, 12, 3), np.float32), ValueError, r"\(3, 3, 12, 3\)"),
        ("reduce_kernel", np.ones((12, 0), np.float32), ValueError, r"\(12, 0\)"),
        ("expand_kernel", np.ones((3, 12)), TypeError, "float64.*float32"),
        ("expand_kernel", np.ones((12, 3), np.float32), ValueError, r"\(3, 12\).*\(12, 3\)"),
        ("expand_kernel", np.ones(12, np.float32), ValueError, r"\(12,\)"),
        ("reduce_bias", np.ones(12, np.float32), ValueError, r"\(3,\).*\(12,\)"),
        ("expand_bias", np.ones(3, np.float32), ValueError, r"\(12,\).*\(3,\)"),
        ("expand_bias", np.ones(12), TypeError, "float64.*float32"),
        ("activation", "swish", ValueError, "'swish'"),
        ("gate", "swish", ValueError, "'swish'"),
        ("gate", 6.0, TypeError, "float"),
        ("gate", (1.0, 0.0), ValueError, r"\(1\.0, 0\.0\)"),
    ],
)
def test_bad_arguments(name: str, value: Any, error: type[Exception], fragment: str) -> None:
    with pytest.raises(error) as caught:
        fastsep.SqueezeExcite(**kernels() | {name: value})
    assert re.search(fragment, str(caught.value))
    named = "expand_kernel|reduce_kernel" if isinstance(value, np.ndarray) and value.ndim == 2 else name
    assert re.search(named, str(caught.value))


def test_what_does_not_fit_the_block() -> None:
    def made(gate: Any) -> fastsep.InvertedResidual:
        return fastsep.InvertedResidual(
            None, np.ones((3, 3, 12, 1), np.float32), np.ones((12, 5), np.float32), squeeze_excite=gate
        )

    for value in (kernels(), True, fastsep.SqueezeExcite):
        with pytest.raises(TypeError, match=r"squeeze_excite must be None or a fastsep\.SqueezeExcite; got "):
            made(value)
    with pytest.raises(ValueError, match="squeeze_excite takes 13 channels, depthwise_kernel gives 12"):
        made(fastsep.SqueezeExcite(**kernels(13)))
    with pytest.raises(
        TypeError, match="squeeze_excite has dtype float64, depthwise_kernel has dtype float32"
    ):
        made(fastsep.SqueezeExcite(**kernels(dtype=np.float64)))
    deep = kernels()
    deep["reduce_kernel"] = deep["reduce_kernel"].reshape(1, 12, 3)
    with pytest.raises(
        ValueError, match=r"reduce_kernel of squeeze_excite must have 2 axes or as many .* 4; got 3"
    ):
        made(fastsep.SqueezeExcite(**deep))


def test_it_is_a_value() -> None:
    """Immutable, with weights of its own, pickled and printed like a plan."""
    import copy
    import pickle

    given_kernels = kernels()
    gate = fastsep.SqueezeExcite(**given_kernels, gate="hard_sigmoid")
    text = repr(gate)
    assert text == (
        "SqueezeExcite(12 → 3, reduce_bias, expand_bias, activation='relu', gate='hard_sigmoid', float32)"
    )
    inputs = numbers(5, (1, 6, 5, 12), np.float32)

    def block_of(part: fastsep.SqueezeExcite) -> fastsep.InvertedResidual:
        return fastsep.InvertedResidual(
            None, np.ones((3, 3, 12, 1), np.float32), np.eye(12, dtype=np.float32), squeeze_excite=part
        )

    assert text in repr(block_of(gate))
    expected = block_of(gate)(inputs)
    for array in given_kernels.values():
        array[...] = np.nan
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(gate, protocol))
        assert repr(again) == text
        assert_same_bits(block_of(again)(inputs), expected)
    assert copy.copy(gate) is gate
    assert copy.deepcopy(gate) is gate
    for name in ("gate", "reduce_kernel", "something_new"):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(gate, name, None)
    with pytest.raises(AttributeError, match="immutable"):
        gate.__init__(**kernels())  # type: ignore[misc]
