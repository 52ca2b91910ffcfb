"""The numerical contract beyond the error bound: NaN, subnormals, exactness, and independence of position."""

from __future__ import annotations

import ctypes
import ctypes.util
import itertools
import platform
from typing import Any

import numpy as np
import pytest
from bounds import assert_same_bits
from calls import CASES, FUNCTIONS, compute
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import (
    Case,
    conv_cases,
    depthwise_cases,
    integers,
    numbers,
    pointwise_cases,
    separable_cases,
)

import fastsep
from fastsep import _reference

Array = NDArray[Any]

pytestmark = pytest.mark.usefixtures("isa")

DRAWN_CASES = {
    "conv": conv_cases(),
    "depthwise": depthwise_cases(),
    "pointwise": pointwise_cases(),
    "separable": separable_cases(),
}
SPECIFICATIONS: dict[str, Any] = {
    "conv": _reference.conv,
    "depthwise": _reference.depthwise_conv,
    "pointwise": _reference.pointwise_conv,
    "separable": _reference.separable_conv,
    "inverted residual": _reference.inverted_residual,
}


def cases_of(family: str) -> st.SearchStrategy[tuple[str, Case]]:
    """Cases of one family, under its name."""
    return st.tuples(st.just(family), DRAWN_CASES[family])


PADDINGS = ["valid", "same", "same_lower", 2, ((0, 3), (2, 0))]


def reached(inputs: Array, kernel: Array, depthwise: bool, **geometry: Any) -> Array:
    """The outputs whose support holds a value that is not finite, from where the ones of a mask reach."""
    marks = (~np.isfinite(inputs)).astype(np.float64)
    operation = _reference.depthwise_conv if depthwise else _reference.conv
    return operation(marks, np.ones(kernel.shape), accumulate=np.float64, **geometry) > 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("taps", [1, 2, 3, 5])
def test_nan_and_infinity_reach_their_support_and_nothing_else(taps: int, padding: Any, value: float) -> None:
    """At every pixel of a small image (one image of the batch each), through zero weights too."""
    channels = 11
    depthwise_kernel = numbers(1, (taps, taps, channels, 1), np.float32)
    kernel = numbers(2, (taps, taps, channels, 18), np.float32)
    depthwise_kernel[0] = kernel[0] = 0
    inputs = np.repeat(numbers(3, (1, 6, 7, channels), np.float32), 42, axis=0)
    for image, (row, column) in enumerate(np.ndindex(6, 7)):
        inputs[image, row, column, image % channels] = value
    for strides in (1, 2):
        geometry = {"padding": padding, "strides": strides}
        result = fastsep.depthwise_conv(inputs, depthwise_kernel, **geometry)
        np.testing.assert_array_equal(
            ~np.isfinite(result), reached(inputs, depthwise_kernel, True, **geometry)
        )
        result = fastsep.conv(inputs, kernel, **geometry)
        np.testing.assert_array_equal(~np.isfinite(result), reached(inputs, kernel, False, **geometry))


@given(st.sampled_from(["conv", "depthwise"]).flatmap(cases_of), st.floats(0.01, 0.3))
def test_nan_reaches_its_support_in_every_geometry(drawn: tuple[str, Case], share: float) -> None:
    family, case = drawn
    inputs, kernel = case.operands["inputs"].copy(), case.operands["kernel"]
    inputs[np.random.default_rng(4).random(inputs.shape) < share] = np.nan
    options = case.options | {"activation": None}
    result = FUNCTIONS[family](inputs, kernel, **options)
    np.testing.assert_array_equal(np.isnan(result), reached(inputs, kernel, family == "depthwise", **options))


def test_nan_in_one_pixel_of_the_others() -> None:
    """Pointwise: a NaN stays in its pixel; separable: it fills the depthwise support, in all channels."""
    inputs = numbers(5, (2, 9, 10, 13), np.float32)
    inputs[1, 4, 5, 6] = np.nan
    pointwise_kernel, depthwise_kernel = (
        numbers(6, (13, 21), np.float32),
        numbers(7, (3, 3, 13, 1), np.float32),
    )
    expected = np.zeros((2, 9, 10, 21), bool)
    expected[1, 4, 5] = True
    np.testing.assert_array_equal(np.isnan(fastsep.pointwise_conv(inputs, pointwise_kernel)), expected)
    expected[1, 3:6, 4:7] = True
    result = fastsep.separable_conv(inputs, depthwise_kernel, pointwise_kernel, padding="same")
    np.testing.assert_array_equal(np.isnan(result), expected)
    block = fastsep.InvertedResidual(
        pointwise_kernel, numbers(8, (3, 3, 21, 1), np.float32), np.ones((21, 5), np.float32)
    )
    np.testing.assert_array_equal(np.isnan(block(inputs)), expected[..., :5])


def test_padding_takes_part_in_the_sum() -> None:
    """A weight that is not finite shows at the border, because 0 · ∞ is NaN there as anywhere."""
    kernel = np.zeros((3, 3, 9, 1), np.float32)
    kernel[0, 0] = np.inf
    inputs = np.ones((1, 4, 5, 9), np.float32)
    expected = np.full((1, 4, 5, 9), np.inf, np.float32)
    expected[:, 0] = np.nan
    expected[:, :, 0] = np.nan
    np.testing.assert_array_equal(fastsep.depthwise_conv(inputs, kernel, padding="same"), expected)
    full = np.zeros((3, 3, 9, 4), np.float32)
    full[0, 0, 0] = np.inf
    np.testing.assert_array_equal(fastsep.conv(inputs, full, padding="same"), expected[..., :4])


@given(st.sampled_from(list(FUNCTIONS)).flatmap(cases_of))
def test_exact_sums_are_exact(drawn: tuple[str, Case]) -> None:
    """Whole numbers whose sums fit the format: any order of adding gives the same, and so do we."""
    family, case = drawn
    operands = {
        name: integers(number, array.shape, array.dtype, largest=4)
        for number, (name, array) in enumerate(case.operands.items())
    }
    options = {name: option for name, option in case.options.items() if not name.endswith("activation")}
    whole = Case(operands, options)
    expected = whole.call(SPECIFICATIONS[family])
    assert np.abs(expected).max(initial=0) < 2**24
    np.testing.assert_array_equal(whole.call(FUNCTIONS[family]).astype(np.longdouble), expected)


@pytest.mark.parametrize("padding", ["valid", "same", "same_lower", 2, ((3, 4), (0, 3))])
@pytest.mark.parametrize("shape", [(0, 5, 5), (2, 0, 5), (2, 5, 0), (1, 0, 0), (0, 0, 0), (2, 2, 2)])
def test_nothing_to_read(shape: tuple[int, ...], padding: Any) -> None:
    """Empty batches, images without pixels, kernels larger than the image: padding alone may make outputs."""
    inputs = np.ones((*shape, 9), np.float32)
    kernels = {
        "conv": {"kernel": integers(1, (3, 4, 9, 7), np.float32)},
        "depthwise": {"kernel": integers(2, (3, 4, 9, 1), np.float32)},
        "pointwise": {"kernel": integers(3, (9, 7), np.float32)},
        "separable": {
            "depthwise_kernel": integers(4, (3, 4, 9, 1), np.float32),
            "pointwise_kernel": integers(5, (9, 7), np.float32),
        },
        "inverted residual": {
            "expand_kernel": integers(6, (9, 5), np.float32),
            "depthwise_kernel": integers(7, (3, 4, 5, 1), np.float32),
            "project_kernel": integers(8, (5, 9), np.float32),
        },
    }
    for strides, (family, operands) in itertools.product((1, 2), kernels.items()):
        options = {} if family == "pointwise" else {"strides": strides, "padding": padding}
        bias = integers(9, (next(reversed(operands.values())).shape[-1],), np.float32)
        if family == "depthwise":
            bias = integers(9, (9,), np.float32)
        case = Case({"inputs": inputs, **operands, "bias": bias}, options)
        expected = case.call(SPECIFICATIONS[family]).astype(np.float32)
        np.testing.assert_array_equal(compute(family, case), expected, strict=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("family", CASES)
def test_subnormals_are_kept(family: str, dtype: Any) -> None:
    """Whole multiples of the smallest subnormal are exact too: nothing is flushed on the way."""
    case = CASES[family](dtype)
    smallest = np.finfo(dtype).smallest_subnormal
    for number, (name, array) in enumerate(case.operands.items()):
        case.operands[name] = integers(number, array.shape, dtype, 3)
    exact = Case(
        dict(case.operands), {name: value for name, value in case.options.items() if "activation" not in name}
    )
    if family in ("inverted residual", "squeeze and excite"):
        exact.options["activation"] = None
    if family == "squeeze and excite":
        # A gate of 1: any other is no linear function of the input.
        channels = exact.operands["project_kernel"].shape[0]
        exact.options["squeeze_excite"] = {
            "reduce_kernel": np.zeros((channels, 1), dtype),
            "expand_kernel": np.zeros((1, channels), dtype),
            "expand_bias": np.ones(channels, dtype),
            "gate": None,
        }
    expected = compute(family, exact).astype(np.longdouble) * smallest
    for name in exact.operands:
        if name in ("inputs", "residual") or name.endswith("bias"):
            exact.operands[name] = exact.operands[name] * smallest
    actual = compute(family, exact)
    assert np.abs(actual).max() < np.finfo(dtype).tiny
    assert np.count_nonzero(actual) > actual.size // 2
    np.testing.assert_array_equal(actual.astype(np.longdouble), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_may_be_subnormal(dtype: Any) -> None:
    tiny = np.finfo(dtype).tiny
    inputs = np.full((1, 3, 3, 5), tiny, dtype)
    result = fastsep.depthwise_conv(inputs, np.full((3, 3, 5, 1), dtype(0.125)))
    np.testing.assert_array_equal(result, np.full((1, 1, 1, 5), dtype(9) * tiny / dtype(8)))
    result = fastsep.pointwise_conv(inputs, np.full((5, 4), dtype(0.125)))
    np.testing.assert_array_equal(result, np.full((1, 3, 3, 4), dtype(5) * tiny / dtype(8)))


def control_state() -> tuple[int, ...]:
    """The rounding mode, and on x86-64 the control bits of MXCSR and of the x87 unit, without the flags."""
    library = ctypes.CDLL(ctypes.util.find_library("m"))
    environment = (ctypes.c_uint8 * 256)()
    assert library.fegetenv(environment) == 0
    if platform.machine() not in ("x86_64", "AMD64"):
        return (library.fegetround(),)
    # glibc's fenv_t: the x87 environment of 28 bytes, whose first 2 are its control word, then MXCSR.
    mxcsr = int.from_bytes(environment[28:32], "little") & ~0x3F
    return library.fegetround(), mxcsr, int.from_bytes(environment[0:2], "little")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("family", CASES)
def test_the_floating_point_state_is_left_alone(family: str, threads: int) -> None:
    before = control_state()
    case = CASES[family](size=40)
    compute(family, case, threads=threads)
    assert control_state() == before
    smallest = np.full(64, np.finfo(np.float32).smallest_subnormal, np.float32)
    assert np.count_nonzero(smallest * np.float32(1)) == 64
    assert np.count_nonzero((smallest + smallest) / np.float32(2)) == 64
    assert np.float32(1) + np.float32(2**-24) == 1


# ---- order -----------------------------------------------------------------------------------------------


def in_order(inputs: Array, kernel: Array, strides: int, fused: bool) -> Array:
    """Convolve in float32 with one rounding after another: taps ascending, then channels ascending.

    Operands of few bits make every product and every sum of longdoubles exact, so that the one rounding to
    float32 is that of a fused multiply-add.
    """
    sizes, _ = _reference.output_geometry(inputs.shape[1:3], kernel.shape[:2], strides)
    total = np.zeros((inputs.shape[0], *sizes, kernel.shape[-1]), np.float32)
    for row, column, channel in np.ndindex(kernel.shape[:3]):
        rows = slice(row, row + (sizes[0] - 1) * strides + 1, strides)
        columns = slice(column, column + (sizes[1] - 1) * strides + 1, strides)
        product = (
            inputs[:, rows, columns, channel, np.newaxis].astype(np.longdouble) * kernel[row, column, channel]
        )
        total = (total + (product if fused else product.astype(np.float32))).astype(np.float32)
    return total


def few_bits(seed: int, shape: tuple[int, ...]) -> Array:
    """Numbers of 14 bits within four binades: products need 28 bits, more than float32 has."""
    generator = np.random.default_rng(seed)
    return (generator.integers(-(2**13), 2**13, shape) * 2.0 ** generator.integers(-14, -10, shape)).astype(
        np.float32
    )


@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("taps", [1, 3, 4, 5, 7])
def test_order_of_summation(isa: str, taps: int, strides: int) -> None:
    """The contract's order, to the bit, in every family; generic has no FMA and rounds every product."""
    fused = isa != "generic"
    inputs = few_bits(1, (2, 11, 13, 10))
    kernel = few_bits(2, (taps, taps, 10, 21))
    expected = in_order(inputs, kernel, strides, fused)
    assert_same_bits(fastsep.conv(inputs, kernel, strides), expected)
    groups = [in_order(inputs[..., :5], kernel[..., :5, :7], strides, fused)]
    groups.append(in_order(inputs[..., 5:], kernel[..., :5, 7:14], strides, fused))
    assert_same_bits(fastsep.conv(inputs, kernel[..., :5, :14], strides), np.concatenate(groups, axis=-1))
    filters = few_bits(3, (taps, taps, 10, 2))
    channels = [
        in_order(inputs[..., c : c + 1], filters[..., c : c + 1, m : m + 1], strides, fused)
        for c, m in np.ndindex(10, 2)
    ]
    assert_same_bits(fastsep.depthwise_conv(inputs, filters, strides), np.concatenate(channels, axis=-1))
    if taps == 1 and strides == 1:
        assert_same_bits(fastsep.pointwise_conv(inputs, kernel[0, 0]), expected)


# ---- position ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("taps", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("family", ["conv", "depthwise", "separable"])
def test_shifting_the_image_shifts_the_bits(family: str, taps: int, dtype: Any) -> None:
    """The image in a larger one of zeros, at every small offset: borders and interiors sum alike."""
    case = CASES[family](dtype, taps=taps, padding=taps - 1)
    del case.operands["residual"]
    image = case.operands["inputs"]
    expected = compute(family, case)
    batch, height, width, channels = image.shape
    for top, left in [(0, 0), (1, 0), (0, 1), (2, 3), (3, 5), (5, 2), (4, 7)]:
        canvas = np.zeros((batch, height + 9, width + 9, channels), dtype)
        canvas[:, top : top + height, left : left + width] = image
        shifted = compute(family, Case(case.operands | {"inputs": canvas}, case.options))
        seen = shifted[:, top : top + expected.shape[1], left : left + expected.shape[2]]
        assert_same_bits(seen, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("family", CASES)
def test_an_image_does_not_see_its_batch(family: str, dtype: Any) -> None:
    case = CASES[family](dtype, size=11)
    for size in (2, 3, 5):
        images = numbers(size, (size, *case.operands["inputs"].shape[1:]), dtype)
        more = {"inputs": images}
        if "residual" in case.operands:
            more["residual"] = numbers(size + 9, (size, *case.operands["residual"].shape[1:]), dtype)
        together = compute(family, Case(case.operands | more, case.options))
        for number in range(size):
            alone = {name: array[number : number + 1] for name, array in more.items()}
            assert_same_bits(
                together[number : number + 1], compute(family, Case(case.operands | alone, case.options))
            )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("family", ["conv", "depthwise", "separable"])
def test_a_crop_has_the_bits_of_the_whole(family: str, dtype: Any) -> None:
    """Chunks with their halo, as a tiled computation would cut them."""
    case = CASES[family](dtype, size=30, padding="valid")
    del case.operands["residual"]
    whole = compute(family, case)
    for top, left, height, width in [
        (0, 0, 5, 5),
        (3, 4, 7, 3),
        (11, 2, 1, 20),
        (27, 28, 1, 1),
        (5, 5, 23, 24),
    ]:
        crop = case.operands["inputs"][:, top : top + height + 2, left : left + width + 2]
        part = compute(family, Case(case.operands | {"inputs": crop}, case.options))
        assert_same_bits(part, whole[:, top : top + height, left : left + width])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_output_channel_does_not_see_the_others(dtype: Any) -> None:
    inputs, kernel = numbers(1, (1, 6, 7, 20), dtype), numbers(2, (3, 3, 20, 41), dtype)
    filters, project = numbers(3, (3, 3, 20, 1), dtype), numbers(4, (20, 41), dtype)
    conv, pointwise = fastsep.conv(inputs, kernel), fastsep.pointwise_conv(inputs, project)
    depthwise = fastsep.depthwise_conv(inputs, filters)
    for first, last in [(0, 1), (40, 41), (3, 20), (7, 41), (16, 32)]:
        assert_same_bits(fastsep.conv(inputs, kernel[..., first:last]), conv[..., first:last])
        assert_same_bits(fastsep.pointwise_conv(inputs, project[:, first:last]), pointwise[..., first:last])
    for first, last in [(0, 1), (19, 20), (3, 20), (5, 13)]:
        alone = fastsep.depthwise_conv(inputs[..., first:last], filters[:, :, first:last])
        assert_same_bits(alone, depthwise[..., first:last])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("family", ["conv", "depthwise", "separable"])
def test_fewer_ranks_are_flat_images(family: str, dtype: Any) -> None:
    """A 1-D convolution has the bits of a 2-D one of height 1, and that of a 3-D one of depth 1."""
    case = CASES[family](dtype, padding="valid")
    del case.operands["residual"]
    line = case.operands["inputs"][:, 4]
    kernels = {
        name: array[1] if array.ndim == 4 else array
        for name, array in case.operands.items()
        if name != "inputs"
    }
    flat = compute(family, Case({"inputs": line, **kernels}, case.options))
    for ones in ((1,), (1, 1)):
        deeper = {
            name: array.reshape(*ones, *array.shape) for name, array in kernels.items() if array.ndim == 3
        }
        image = line.reshape(line.shape[0], *ones, *line.shape[1:])
        result = compute(family, Case({"inputs": image, **kernels, **deeper}, case.options))
        assert_same_bits(result.reshape(flat.shape), flat)
