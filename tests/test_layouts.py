"""Where the numbers lie in memory: any layout gives the same bits, and `out` may be anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bounds import assert_same_bits
from calls import CASES, FUNCTIONS, PLANS, channels_first, compute
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import LAYOUTS, Case, depthwise_cases, in_layout, numbers

import fastsep

Array = NDArray[Any]

pytestmark = pytest.mark.usefixtures("isa")


def contiguous(view: Array) -> Array:
    """The same values in a new array, C-contiguous, in native byte order."""
    return np.array(view, dtype=view.dtype.newbyteorder("="), order="C")


def memory_of(view: Array) -> Array:
    """The array that owns the memory."""
    while isinstance(view.base, np.ndarray):
        view = view.base
    return view


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("family", CASES)
def test_any_layout_of_any_operand_gives_the_same_bits(family: str, layout: str, dtype: Any) -> None:
    case = CASES[family](dtype)
    for name in case.operands:
        moved = in_layout(case.operands[name], layout)
        owner = memory_of(moved)
        before = owner.tobytes()
        expected = compute(family, Case(case.operands | {name: contiguous(moved)}, case.options))
        assert_same_bits(compute(family, Case(case.operands | {name: moved}, case.options)), expected)
        assert owner.tobytes() == before, f"{name} was written to"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("family", CASES)
def test_channels_first_is_a_layout_of_the_same_numbers(family: str, layout: str) -> None:
    case = CASES[family]()
    expected = np.moveaxis(compute(family, case), -1, 1)
    first = channels_first(case)
    assert_same_bits(compute(family, first), expected)
    if layout != "zero strides":
        moved = {name: in_layout(array, layout) for name, array in first.operands.items()}
        assert_same_bits(compute(family, Case(moved, first.options)), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", range(1, 10))
def test_channels_first_of_every_remainder_of_a_square(channels: int, dtype: Any) -> None:
    # Squares of 4 × 4 or 2 × 2 numbers are transposed at a time; what is left over goes another way.
    kernel = numbers(1, (3, 3, channels, 5), dtype)
    for width in range(1, 11):
        x = numbers(width, (2, 4, width, channels), dtype)
        last = fastsep.conv(x, kernel, padding="same")
        first = np.ascontiguousarray(np.moveaxis(x, -1, 1))
        result = fastsep.conv(first, kernel, padding="same", data_format="channels_first")
        assert_same_bits(np.moveaxis(result, 1, -1), last)


@given(depthwise_cases(), st.sampled_from([layout for layout in LAYOUTS if layout != "zero strides"]))
def test_layouts_with_every_geometry(case: Case, layout: str) -> None:
    moved = Case({name: in_layout(array, layout) for name, array in case.operands.items()}, case.options)
    assert_same_bits(moved.call(fastsep.depthwise_conv), case.call(fastsep.depthwise_conv))


OUT_LAYOUTS = ("fortran", "transposed", "negative strides", "sliced channels", "sliced pixels", "unaligned")


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("layout", OUT_LAYOUTS)
@pytest.mark.parametrize("family", CASES)
def test_out_in_any_layout(family: str, layout: str, data_format: str) -> None:
    """The result is written where it belongs and the gaps between its elements are left alone."""
    case = CASES[family]()
    if data_format == "channels_first":
        case = channels_first(case)
    expected = compute(family, case)
    out = in_layout(np.full(expected.shape, -7.0, expected.dtype), layout)
    owner = memory_of(out)
    gaps = owner.copy()
    assert compute(family, case, out=out) is out
    assert_same_bits(out, expected)
    out[...] = -7.0
    np.testing.assert_array_equal(owner, gaps)


@pytest.mark.parametrize("family", FUNCTIONS)
def test_functions_return_out(family: str) -> None:
    case = CASES[family]()
    expected = case.call(FUNCTIONS[family])
    out = np.empty_like(expected)
    assert case.call(FUNCTIONS[family], out=out) is out
    assert_same_bits(out, expected)


def shifted_pair(shape: tuple[int, ...], dtype: Any, elements: int) -> tuple[Array, Array]:
    """Two arrays of one shape in one memory, the second so many elements after the first."""
    size = int(np.prod(shape))
    memory = np.zeros(size + abs(elements), dtype)
    first, second = memory[:size].reshape(shape), memory[abs(elements) :].reshape(shape)
    return (first, second) if elements >= 0 else (second, first)


# Elements between the starts of `out` and of the operand: the same place, one channel, a pixel or so, a row.
SHIFTS = (0, 1, -1, 8, -8, 20, -20, 200, -200)


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("family", CASES)
@pytest.mark.parametrize("name", ["inputs", "residual"])
def test_out_overlaps_an_image(family: str, name: str, shift: int) -> None:
    case = CASES[family](
        **({"filters": 12, "channels": 12} if family in ("conv", "pointwise", "separable") else {})
    )
    if name not in case.operands:
        # The block's residual is its input, so the first parameter covers it.
        name = "inputs"
    expected = compute(family, case)
    operand, out = shifted_pair(expected.shape, expected.dtype, shift)
    assert operand.shape == case.operands[name].shape
    operand[...] = case.operands[name]
    assert compute(family, Case(case.operands | {name: operand}, case.options), out=out) is out
    assert_same_bits(out, expected)


@pytest.mark.parametrize("width", range(1, 12))
@pytest.mark.parametrize("channels", [1, 4, 8, 11])
def test_out_is_the_residual(width: int, channels: int) -> None:
    """A residual that is added in place, where the last register tile of a row may overlap its neighbour."""
    inputs = numbers(1, (1, 5, width, channels), np.float32)
    residual = numbers(2, (1, 5, width, channels), np.float32)
    for plan in (
        fastsep.DepthwiseConv(numbers(3, (3, 3, channels, 1), np.float32), padding="same"),
        fastsep.PointwiseConv(numbers(4, (channels, channels), np.float32)),
        fastsep.Conv(numbers(5, (3, 3, channels, channels), np.float32), padding="same"),
    ):
        expected = plan(inputs, residual=residual)
        both = residual.copy()
        assert plan(inputs, both, residual=both) is both
        assert_same_bits(both, expected)


@pytest.mark.parametrize("family", CASES)
def test_out_is_the_input_read_backwards(family: str) -> None:
    case = CASES[family](
        **({"filters": 12, "channels": 12} if family in ("conv", "pointwise", "separable") else {})
    )
    expected = compute(family, case)
    memory = np.empty_like(expected)
    inputs = memory[:, ::-1, ::-1]
    inputs[...] = case.operands["inputs"]
    compute(family, Case(case.operands | {"inputs": inputs}, case.options), out=memory)
    assert_same_bits(memory, expected)


@pytest.mark.parametrize("family", FUNCTIONS)
def test_out_overlaps_the_weights_and_the_biases(family: str) -> None:
    case = CASES[family]()
    expected = case.call(FUNCTIONS[family])
    for name in case.operands:
        if name in ("inputs", "residual"):
            continue
        weights = case.operands[name]
        memory = np.zeros(max(expected.size, weights.size), expected.dtype)
        out = memory[: expected.size].reshape(expected.shape)
        shared = memory[: weights.size].reshape(weights.shape)
        shared[...] = weights
        Case(case.operands | {name: shared}, case.options).call(FUNCTIONS[family], out=out)
        assert_same_bits(out, expected)


@pytest.mark.parametrize("family", PLANS)
def test_a_plan_keeps_its_own_weights(family: str) -> None:
    """Writing to the arrays it was made from changes nothing."""
    case = CASES[family]()
    plan = case.plan(PLANS[family])
    expected = case.run(plan)
    for name, array in case.operands.items():
        if name not in ("inputs", "residual"):
            array[...] = np.nan
    assert_same_bits(case.run(plan), expected)


# ---- outputs that overlap themselves, windows far beyond the image ---------------------------------------


def test_out_that_overlaps_itself_is_refused() -> None:
    x, kernel = np.ones((1, 6, 6, 4), np.float32), np.ones((3, 3, 4, 1), np.float32)
    memory = np.zeros(4 * 4 * 4 + 64, np.float32)
    for strides in [(4, 64, 4, 4), (4, 64, 0, 4), (4, 64, 16, 2), (4, 8, 16, 4)]:
        out = np.lib.stride_tricks.as_strided(memory, (1, 4, 4, 4), strides)
        with pytest.raises(ValueError, match="out must not overlap itself"):
            fastsep.depthwise_conv(x, kernel, out=out)


def test_out_whose_axes_interleave_without_meeting_is_taken() -> None:
    x, kernel = numbers(1, (1, 4, 5, 3), np.float32), numbers(2, (1, 1, 3, 1), np.float32)
    memory = np.zeros(400, np.float32)
    # Columns 3 elements apart, channels 20: the channels reach across rows, and no two elements meet.
    out = np.lib.stride_tricks.as_strided(memory, (1, 4, 5, 3), (1600, 4 * 60, 4 * 3, 4 * 20))
    fastsep.depthwise_conv(x, kernel, out=out)
    assert_same_bits(out, fastsep.depthwise_conv(x, kernel))


def test_interleaved_out_and_inputs_share_no_element() -> None:
    both = numbers(3, (1, 6, 6, 8), np.float32)
    x, out = both[..., ::2], both[..., 1::2]
    kernel = numbers(4, (3, 3, 4, 1), np.float32)
    expected = fastsep.depthwise_conv(x.copy(), kernel, padding="same")
    assert_same_bits(fastsep.depthwise_conv(x, kernel, padding="same", out=out), expected)


@pytest.mark.parametrize("dilation", [10_000, 10**9])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_dilation_far_beyond_the_image(data_format: str, dilation: int) -> None:
    """Only the middle tap meets the image; scratch is sized by the image and not by the window."""
    shape = (1, 9, 8, 6) if data_format == "channels_last" else (1, 6, 9, 8)
    x = numbers(5, shape, np.float32)
    options = {"padding": "same", "data_format": data_format, "dilation_rate": dilation}
    kernel = numbers(6, (3, 3, 6, 1), np.float32)
    plan = fastsep.DepthwiseConv(kernel, **options)
    channels = kernel[1, 1, :, 0] if data_format == "channels_last" else kernel[1, 1, :, 0][:, None, None]
    np.testing.assert_array_equal(plan(x), x * channels)
    assert plan.describe(shape).scratch_bytes < 100_000
    standard = numbers(7, (3, 3, 6, 5), np.float32)
    mix = fastsep.conv(x, standard, **options)
    assert_same_bits(mix, fastsep.pointwise_conv(x, standard[1, 1].copy(), data_format=data_format))


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_empty_outputs_on_any_number_of_threads(threads: int) -> None:
    weights = np.ones((3, 3, 8, 1), np.float32), np.ones((8, 16), np.float32)
    for size in ((1, 5), (5, 1), (0, 5), (0, 0)):
        x = np.ones((1, *size, 8), np.float32)
        assert fastsep.separable_conv(x, *weights, threads=threads).size == 0
        assert fastsep.depthwise_conv(x, weights[0], threads=threads).size == 0
        assert fastsep.conv(x, np.ones((3, 3, 8, 4), np.float32), threads=threads).size == 0


@pytest.mark.parametrize("shape", [(), (3,), (1, 9, 7, 65), (2, 64, 64, 33), (0, 5)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_empty_begins_at_a_cache_line(shape: tuple[int, ...], dtype: Any) -> None:
    """Arrays of 16 KB and more do; all are what numpy.empty would give otherwise."""
    array = fastsep.empty(shape, dtype)
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.flags.writeable
    if array.nbytes >= 16384:
        assert array.ctypes.data % 64 == 0


def test_empty_of_no_axes() -> None:
    large = fastsep.empty((), "S20000")
    assert large.shape == () and large.dtype == np.dtype("S20000")


@pytest.mark.parametrize("shape", [(-100_000, -100_000), -1, (2, -3), (-1, 0)])
def test_empty_refuses_negative_sizes_as_numpy_does(shape: Any) -> None:
    with pytest.raises(ValueError, match="negative dimensions are not allowed"):
        np.empty(shape)
    with pytest.raises(ValueError, match="negative dimensions are not allowed"):
        fastsep.empty(shape)


@pytest.mark.parametrize("size", [3, 5000, 100_000])
def test_empty_of_objects_holds_none(size: int) -> None:
    """They are references: NumPy lets them begin as None."""
    objects = fastsep.empty(size, object)
    records = fastsep.empty((size,), [("number", np.float32), ("object", object)])
    assert objects.shape == records.shape == (size,)
    assert all(one is None for one in objects)
    assert all(one is None for one in records["object"])


def test_outputs_begin_at_a_cache_line() -> None:
    x = np.ones((1, 64, 64, 8), np.float32)
    for _ in range(8):
        assert fastsep.pointwise_conv(x, np.ones((8, 33), np.float32)).ctypes.data % 64 == 0


def test_a_tile_of_one_channel_of_many_is_staged_within_its_rows() -> None:
    # A multiple of the lanes and one more: the last tile holds one channel, whose rows are staged in a ring.
    lanes = fastsep._isa.register_tiles(fastsep.get_isa())["float32"]["lanes"]
    channels = 2 * lanes + 1
    random = np.random.default_rng(0)
    x = random.normal(size=(1, channels, 9, 57)).astype(np.float32)
    kernel = random.normal(size=(3, 3, channels, 1)).astype(np.float32)
    project = random.normal(size=(channels, 8)).astype(np.float32)
    gate = fastsep.SqueezeExcite(
        random.normal(size=(channels, 4)).astype(np.float32),
        random.normal(size=(4, channels)).astype(np.float32),
    )
    options: dict[str, Any] = {"padding": "same", "squeeze_excite": gate}
    plan = fastsep.InvertedResidual(None, kernel, project, data_format="channels_first", **options)
    last = fastsep.InvertedResidual(None, kernel, project, **options)
    expected = np.moveaxis(last(np.ascontiguousarray(np.moveaxis(x, 1, -1)), threads=1), -1, 1)
    for threads in (1, 2):
        assert_same_bits(np.ascontiguousarray(plan(x, threads=threads)), np.ascontiguousarray(expected))
