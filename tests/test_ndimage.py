"""`fastsep.ndimage` against scipy.ndimage itself."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
from typing import Any

import filters
import numpy as np
import pytest
import scipy.ndimage
from bounds import Bounded, assert_same_bits, assert_within
from hypothesis import given
from hypothesis import strategies as st
from pixels import values

import fastsep.ndimage as ndi
from fastsep._isa import set_caches
from fastsep.ndimage import _direct, _factored

pytestmark = pytest.mark.usefixtures("isa")


@given(call=filters.one_traversal_calls(filters.INTEGERS))
def test_integers_have_the_bits_of_scipy(call: filters.Call) -> None:
    assert_same_bits(call(ndi), call.scipy())


@pytest.mark.parametrize("kind", "bBhH")
@given(data=st.data())
def test_volumes_of_narrow_integers_have_the_bits_of_scipy(kind: str, data: st.DataObject) -> None:
    call = data.draw(filters.volume_calls(kind))
    assert_same_bits(call(ndi), call.scipy())


@pytest.mark.parametrize("kind", filters.INTEGERS)
@pytest.mark.parametrize("shape", [(2, 16), (9, 5), (3, 2, 4)])
def test_every_width_of_short_rows_has_the_bits_of_scipy(shape: tuple[int, ...], kind: str) -> None:
    """Up to 16 pixels may be channels: the stages are others, and integers lie between them."""
    for last in range(1, 18):
        # A seed that 3 divides: of 64 bits, too, from a wide range.
        x = values(3, (*shape, last), kind)
        actual: list[Any] = []
        expected: list[Any] = []
        for module, results in ((ndi, actual), (scipy.ndimage, expected)):
            results += [module.uniform_filter(x, size) for size in range(2, 10)]
            results += [module.gaussian_filter(x, sigma) for sigma in (0.4, 1, 2)]
            results += [module.sobel(x), module.prewitt(x, 0)]
            one = x
            for axis in range(x.ndim):
                one = module.correlate1d(one, [0.25, 0.5, 0.25], axis)
            results.append(one)
        for mine, theirs in zip(actual, expected, strict=True):
            assert_same_bits(mine, theirs)


@given(
    call=filters.one_traversal_calls(filters.INTEGERS + filters.FLOATS), output=st.sampled_from("bBhHiIlLqQ?")
)
def test_any_input_to_integers_has_the_bits_of_scipy(call: filters.Call, output: str) -> None:
    kind = np.dtype(output)
    if call.input.dtype.kind == "f" and kind.kind == "u" and kind.itemsize == 8:
        return  # a negative double has no value as uint64
    assert_same_bits(call(ndi, output=kind.type), call.scipy(output=kind.type))


@pytest.mark.parametrize("weights", [[1.0], [1, 2, 1], [1, 3], [1, -2, 1], [-1, 0, 1], [0.5, 0.25]])
@pytest.mark.parametrize("given_type", filters.INTEGERS)
def test_any_integers_to_any_others_have_the_bits_of_scipy(weights: list[float], given_type: str) -> None:
    x = np.random.default_rng(5).integers(0, 60, (9, 70)).astype(given_type)
    for stored, axis in itertools.product(map(np.dtype, "bBhHiIlLqQ?"), (0, 1)):
        expected = scipy.ndimage.correlate1d(x, weights, axis, output=stored)
        assert_same_bits(ndi.correlate1d(x, weights, axis, output=stored), expected)
        separable = scipy.ndimage.correlate(x, np.outer(weights, weights), output=stored)
        assert_same_bits(ndi.correlate(x, np.outer(weights, weights), output=stored), separable)


@given(call=filters.one_traversal_calls(filters.FLOATS))
def test_floats_are_within_the_bound(call: filters.Call) -> None:
    assert_within(call(ndi), call.bounded(call.input.dtype.newbyteorder("=")))


@given(call=filters.one_traversal_calls(filters.INTEGERS + filters.FLOATS))
def test_double_precision_has_the_bits_of_scipy(call: filters.Call) -> None:
    assert_same_bits(call(ndi, precision="double"), call.scipy())


@given(call=filters.one_traversal_calls(filters.INTEGERS + filters.FLOATS), output=st.sampled_from("fd"))
def test_any_input_to_floats_is_within_the_bound(call: filters.Call, output: str) -> None:
    kind = np.dtype(output)
    actual = call(ndi, output=kind)
    assert actual.dtype == kind
    bounded = filters.Call(call.name, call.arguments, call.keywords | {"output": kind}, call.steps).bounded(
        kind
    )
    assert_within(actual, bounded)


@given(call=filters.one_traversal_calls(filters.INTEGERS + filters.FLOATS))
def test_output_may_be_the_input(call: filters.Call) -> None:
    alone = call(ndi)
    array = call.input.copy()
    inplace = filters.Call(call.name, (array, *call.arguments[1:]), call.keywords)
    assert inplace(ndi, output=array) is array
    assert_same_bits(array.astype(alone.dtype), alone)


@given(call=filters.one_traversal_calls("FD"))
def test_complex_input_is_filtered_by_its_parts(call: filters.Call) -> None:
    actual = call(ndi)
    parts = [
        filters.Call(call.name, (np.ascontiguousarray(part), *call.arguments[1:]), call.keywords, call.steps)
        for part in (call.input.real, call.input.imag)
    ]
    # A real cval is that of the real part alone.
    parts[1] = filters.Call(parts[1].name, parts[1].arguments, parts[1].keywords | {"cval": 0.0}, call.steps)
    assert_same_bits(actual.real, parts[0](ndi))
    assert_same_bits(actual.imag, parts[1](ndi))
    assert_same_bits(call(ndi, precision="double"), call.scipy())


@given(
    call=filters.one_traversal_calls(filters.FLOATS),
    seed=filters.seeds,
    output=st.sampled_from([None, *"bBhHiIl?"]),
)
def test_what_is_not_finite_goes_as_far_as_by_scipy(
    call: filters.Call, seed: int, output: str | None
) -> None:
    """In double, and as integers: the most negative number, or the low bits of that."""
    array = np.array(call.input)
    if array.size:
        generator = np.random.default_rng(seed)
        for value in (np.nan, np.inf, -np.inf):
            array.flat[generator.integers(0, array.size)] = value
    more = {} if output is None else {"output": np.dtype(output).type}
    spread = filters.Call(call.name, (array, *call.arguments[1:]), call.keywords)
    with np.errstate(invalid="ignore"):
        expected, actual = spread.scipy(**more), spread(ndi, precision="double", **more)
    # SciPy's NaN may have a sign.
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(actual), ~numbers)
    assert_same_bits(actual[numbers], expected[numbers])


@given(call=filters.one_traversal_calls("FD"), cval=st.sampled_from([2 - 1j, 0.5j, -3 + 0j]))
def test_a_complex_constant_has_a_part_for_each(call: filters.Call, cval: complex) -> None:
    beyond = dataclasses.replace(call, keywords=call.keywords | {"cval": cval})
    assert_same_bits(beyond(ndi, precision="double"), beyond.scipy())
    # In the input's own type part by part.
    actual = beyond(ndi)
    for part, constant, own in (
        (call.input.real, cval.real, actual.real),
        (call.input.imag, cval.imag, actual.imag),
    ):
        alone = (np.ascontiguousarray(part), *call.arguments[1:])
        assert_same_bits(own, filters.Call(call.name, alone, call.keywords | {"cval": constant})(ndi))


@pytest.mark.parametrize("function", [ndi.correlate1d, ndi.convolve])
def test_complex_weights_sum_in_the_type_of_the_output(function: Any) -> None:
    rng = np.random.default_rng(3)
    x = (rng.standard_normal(200) + 1j * rng.standard_normal(200)).astype(np.complex64)
    weights = rng.standard_normal(9) + 1j * rng.standard_normal(9)
    expected = function(x.astype(np.complex128), weights)
    np.testing.assert_allclose(function(x, weights, output=np.complex128), expected, rtol=0, atol=1e-13)


@given(
    call=filters.correlate1d_calls("fdiFD") | filters.convolve1d_calls("fdiFD"),
    imaginary=filters.kernels(),
    cval=st.sampled_from([0.0, 1.0, 2 - 1j]),
    output=st.sampled_from([None, np.complex64, np.complex128]),
)
def test_complex_weights(call: filters.Call, imaginary: Any, cval: complex, output: Any) -> None:
    array, taps, axis = call.arguments
    weights = taps + 1j * np.resize(imaginary, len(taps))
    keywords = call.keywords | {"cval": cval if array.dtype.kind == "c" else 1.0, "output": output}
    both = filters.Call(call.name, (array, weights, axis), keywords)
    assert_same_bits(both(ndi, precision="double"), both.scipy())


@pytest.mark.parametrize("name", ["correlate", "convolve"])
@pytest.mark.parametrize("kinds", list(itertools.product("FD", repeat=2)))
def test_complex_weights_of_as_many_axes_between_widths(kinds: tuple[str, str], name: str) -> None:
    rng = np.random.default_rng(9)
    x = (rng.standard_normal((30, 40)) + 1j * rng.standard_normal((30, 40))).astype(kinds[0])
    weights = rng.standard_normal((3, 4)) + 1j * rng.standard_normal((3, 4))
    call = filters.Call(name, (x, weights), {"output": np.dtype(kinds[1])})
    assert_same_bits(call(ndi, precision="double"), call.scipy())


@given(
    call=filters.one_traversal_calls(filters.INTEGERS + filters.FLOATS),
    threads=st.sampled_from([1, 2, 3, -1]),
)
def test_threads_do_not_change_a_bit(call: filters.Call, threads: int) -> None:
    assert_same_bits(call(ndi, threads=threads), call(ndi))


@given(call=filters.joined_calls(filters.INTEGERS + filters.FLOATS))
def test_sums_over_axes_have_the_bits_of_scipy(call: filters.JoinedCall) -> None:
    with np.errstate(invalid="ignore"):
        assert_same_bits(call(ndi, precision="double"), call.scipy())


@given(call=filters.joined_calls(filters.INTEGERS), threads=st.sampled_from([1, 2, 3]))
def test_sums_over_axes_of_integers_have_the_bits_of_scipy(call: filters.JoinedCall, threads: int) -> None:
    with np.errstate(invalid="ignore"):
        assert_same_bits(call(ndi, threads=threads), call.scipy())


@given(
    call=filters.joined_calls(filters.INTEGERS + filters.FLOATS),
    output=st.sampled_from("fd"),
    threads=st.sampled_from([1, 2, 3]),
)
def test_sums_over_axes_are_within_the_bound(call: filters.JoinedCall, output: str, threads: int) -> None:
    kind = np.dtype(output)
    stored = dataclasses.replace(call, keywords=call.keywords | {"output": kind})
    actual = stored(ndi, threads=threads)
    assert actual.dtype == kind
    assert_within(actual, stored.bounded(kind))
    assert_same_bits(stored(ndi), actual)


@given(call=filters.joined_calls("FD"))
def test_sums_over_axes_of_complex_input_have_the_bits_of_scipy(call: filters.JoinedCall) -> None:
    assert_same_bits(call(ndi, precision="double"), call.scipy())


@given(
    array=filters.arrays(filters.INTEGERS + filters.FLOATS),
    name=st.sampled_from(["generic_laplace", "generic_gradient_magnitude"]),
    data=st.data(),
)
def test_generic_functions_take_any_derivative(array: Any, name: str, data: Any) -> None:
    def derivative(*arguments: Any, weights: Any) -> Any:
        array, axis, output, mode, cval, scale = arguments
        return scipy.ndimage.correlate1d(array, np.multiply(weights, scale), axis, output, mode, cval, 0)

    axes, along = filters.some_axes(data.draw, array)
    mode, _ = filters.per_axis(data.draw, filters.modes, len(along))
    call = filters.Call(name, (array, derivative), {
        "mode": mode, "cval": 1.0, "axes": axes, "extra_arguments": (2,),
        "extra_keywords": {"weights": [1, 0, -1]},
    })  # fmt: skip
    with np.errstate(invalid="ignore"):
        assert_same_bits(call(ndi), call.scipy())


@st.composite
def nd_calls(draw: st.DrawFn, dtypes: str) -> filters.Call:
    array = draw(filters.arrays(dtypes))
    count = draw(st.integers(0, min(array.ndim, 3)))
    axes = draw(st.permutations(range(array.ndim)))[:count]
    if count == array.ndim and draw(st.booleans()):
        axes = None
    shape = tuple(draw(st.integers(1, 4)) for _ in range(count))
    generator = np.random.default_rng(draw(filters.seeds))
    weights = generator.integers(-3, 4, shape).astype(float)
    if draw(st.booleans()):
        weights = weights * generator.standard_normal(shape)
    name = draw(st.sampled_from(["correlate", "convolve"]))
    # Taps lie along the axes in ascending order; origins along those of some axes in the order given.
    placed = shape if axes is None or count == array.ndim else [shape[sorted(axes).index(a)] for a in axes]
    origins = [draw(st.integers(-(size // 2), (size - 1) // 2)) for size in placed]
    keywords = {"mode": draw(filters.modes), "cval": draw(filters.cvals), "origin": origins, "axes": axes}
    return filters.Call(name, (array, weights), keywords)


@given(call=nd_calls(filters.INTEGERS + filters.FLOATS))
def test_nd_kernels_directly_have_the_bits_of_scipy(call: filters.Call) -> None:
    assert_same_bits(call(ndi, method="direct", precision="double"), call.scipy())


@given(call=nd_calls(filters.FLOATS))
def test_nd_kernels_directly_are_within_the_bound(call: filters.Call) -> None:
    """k products and sums, each tap and cval rounded to the type of the sums; and SciPy's own error."""
    array, weights = call.arguments
    kind = call.input.dtype.newbyteorder("=")
    positive = filters.Call(
        call.name, (np.abs(array).astype(float), np.abs(weights)),
        call.keywords | {"cval": abs(call.keywords["cval"])},
    )  # fmt: skip
    unit, terms = np.longdouble(np.finfo(kind).eps) / 2, weights.size + 2
    error = 2 * (terms + 1) * unit / (1 - terms * unit) * positive.scipy().astype(np.longdouble)
    error = error + terms * np.longdouble(np.finfo(kind).smallest_subnormal)
    assert_within(call(ndi, method="direct"), Bounded(call.scipy().astype(np.longdouble), error))


@given(call=nd_calls(filters.INTEGERS + filters.FLOATS), threads=st.sampled_from([2, 3, -1]))
def test_threads_do_not_change_a_bit_of_nd_kernels(call: filters.Call, threads: int) -> None:
    assert_same_bits(call(ndi, threads=threads), call(ndi, threads=1))


@given(call=nd_calls("fdiFD"), seed=filters.seeds)
def test_complex_nd_kernels(call: filters.Call, seed: int) -> None:
    array, weights = call.arguments
    both = weights + 1j * np.random.default_rng(seed).standard_normal(weights.shape)
    complex_call = filters.Call(call.name, (array, both), call.keywords)
    assert_same_bits(complex_call(ndi, method="direct", precision="double"), complex_call.scipy())


@pytest.mark.parametrize("name", [name for name in ndi.__all__ if hasattr(scipy.ndimage, name)])
def test_signatures_are_those_of_scipy(name: str) -> None:
    """The same parameters in the same order with the same defaults; what is ours is keyword-only."""
    ours = inspect.signature(getattr(ndi, name)).parameters
    theirs = inspect.signature(getattr(scipy.ndimage, name)).parameters
    for parameter in theirs.values():
        assert ours[parameter.name].default == parameter.default, parameter.name
        assert ours[parameter.name].kind == parameter.kind, parameter.name
    positional = [p.name for p in ours.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == [p.name for p in theirs.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    more = [p for p in ours.values() if p.name not in theirs]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in more)


@st.composite
def outer_product_calls(draw: st.DrawFn, dtypes: str) -> filters.Call:
    """N-d kernels that are outer products: of whole numbers, of those over a power of two, of any."""
    array = draw(filters.arrays(dtypes).filter(lambda array: array.ndim <= 3))
    generator = np.random.default_rng(draw(filters.seeds))
    kind = draw(st.sampled_from(["whole", "whole", "sixteenths", "thirds", "any"]))
    vectors = []
    for _ in range(array.ndim):
        size = draw(st.integers(1, 6))
        vector = generator.integers(-3, 4, size).astype(float)
        vectors.append(generator.standard_normal(size) if kind == "any" else vector)
    weights = functools.reduce(np.multiply.outer, vectors) / {"sixteenths": 16, "thirds": 3}.get(kind, 1)
    mode, cval = draw(filters.modes), draw(filters.cvals)
    name = draw(st.sampled_from(["correlate", "convolve"]))
    steps, outside = [], cval
    scales = [1.0] * (array.ndim - 1) + [{"sixteenths": 16, "thirds": 3}.get(kind, 1)]
    for axis, (vector, scale) in enumerate(zip(vectors, scales, strict=True)):
        turned = vector[::-1] if name == "convolve" else vector
        shift = name == "convolve" and len(vector) % 2 == 0
        before = len(vector) // 2 - shift
        steps.append(filters.Step(axis, turned / scale, before, filters.PLAIN.get(mode, mode), outside))
        outside *= float(vector.sum())
    return filters.Call(name, (array, weights), {"mode": mode, "cval": cval}, steps)


@given(call=outer_product_calls(filters.INTEGERS))
def test_nd_kernels_on_integers_have_the_bits_of_scipy(call: filters.Call) -> None:
    assert_same_bits(call(ndi), call.scipy())


@given(call=outer_product_calls(filters.INTEGERS), output=st.sampled_from("bBhHiIlLqQ?"))
def test_nd_kernels_to_other_integers_have_the_bits_of_scipy(call: filters.Call, output: str) -> None:
    kind = np.dtype(output).type
    assert_same_bits(call(ndi, output=kind), call.scipy(output=kind))


@given(call=outer_product_calls(filters.FLOATS))
def test_nd_kernels_on_floats_are_within_the_bound(call: filters.Call) -> None:
    # The factors are found again, each within rounding, and SciPy leaves out taps of 2⁻⁵² or less.
    bounded = call.bounded(call.input.dtype.newbyteorder("="))
    lost = (
        np.finfo(float).eps
        * call.arguments[1].size
        * np.abs(np.append(call.input, call.keywords["cval"])).max()
    )
    assert_within(call(ndi), Bounded(bounded.exact, 2 * bounded.error + lost))


@given(call=outer_product_calls(filters.FLOATS), seed=filters.seeds)
def test_what_is_not_finite_spreads_as_by_scipy(call: filters.Call, seed: int) -> None:
    array = call.input.copy()
    if array.size == 0:
        return
    generator = np.random.default_rng(seed)
    for value in (np.nan, np.inf, -np.inf):
        array.flat[generator.integers(0, array.size)] = value
    spread = filters.Call(call.name, (array, call.arguments[1]), call.keywords)
    with np.errstate(invalid="ignore"):
        expected, actual = spread.scipy(), spread(ndi)
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    np.testing.assert_array_equal(
        np.where(np.isinf(actual), actual, 0), np.where(np.isinf(expected), expected, 0)
    )


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which way every part of a call went."""
    seen: list[str] = []
    for name, module in (("separable", _factored), ("direct", _direct)):
        original = module.correlate

        def counted(*arguments: Any, name: str = name, original: Any = original) -> None:
            seen.append(name)
            original(*arguments)

        monkeypatch.setattr(module, "correlate", counted)
    return seen


def test_the_choice_is_visible_and_can_be_forced(ways: list[str]) -> None:
    image = filters.values(0, (40, 50), np.uint8)
    sobel = np.outer([1, 2, 1], [-1, 0, 1])
    turning = sobel + 1j * sobel.T
    cases: list[tuple[Any, Any, str]] = [
        (sobel, np.int16, "separable"),
        (sobel / 3, np.int16, "direct"),
        (sobel / 3, np.float32, "separable"),
        (np.eye(3), np.float32, "direct"),
        (sobel, np.empty((40, 50), np.int16), "separable"),
        # Complex weights are summed in floats, even of integers.
        (turning, None, "separable"),
        (turning, np.empty((40, 50), np.complex128), "separable"),
        (sobel + 1j * np.eye(3), None, "direct"),
        (np.eye(3) + 1j * sobel, None, "direct"),
    ]
    for kernel, output, method in cases:
        assert ndi.choose_method(image, kernel, output).method == method
        ways.clear()
        ndi.correlate(image, kernel, output)
        assert set(ways) == {method}
    assert "imaginary" in ndi.choose_method(image, sobel + 1j * np.eye(3)).reason
    assert "precision" in ndi.choose_method(image, sobel, np.float32, precision="double").reason
    expected = scipy.ndimage.correlate(image, sobel, output=np.int16)
    for method in ("auto", "separable", "direct"):
        ways.clear()
        assert_same_bits(ndi.correlate(image, sobel, output=np.int16, method=method), expected)
        assert ways == [method if method != "auto" else "separable"]
    with pytest.raises(ValueError, match=r"separable kernel.*not separable"):
        ndi.correlate(image, np.eye(3), method="separable")
    with pytest.raises(ValueError, match="method must be"):
        ndi.correlate(image, sobel, method="fft")


@st.composite
def outer_product_outputs(draw: st.DrawFn) -> tuple[filters.Call, Any]:
    """Calls with outputs of any type that goes with the input's."""
    call = draw(outer_product_calls(filters.INTEGERS + filters.FLOATS + "FD"))
    array, weights = call.arguments
    if draw(st.booleans()):
        other = np.random.default_rng(draw(filters.seeds)).standard_normal(weights.shape)
        weights = weights + 1j * draw(st.sampled_from([weights, 2 * weights, other]))
    is_complex = "c" in (array.dtype.kind, weights.dtype.kind)
    output = draw(st.sampled_from([None, *("FD" if is_complex else "bHiLfd")]))
    if output is not None and draw(st.booleans()):
        output = np.empty(array.shape, output)
    return dataclasses.replace(call, arguments=(array, weights)), output


@given(case=outer_product_outputs())
def test_calls_go_the_way_that_is_said(case: Any, ways: list[str]) -> None:
    call, output = case
    (array, weights), mode = call.arguments, call.keywords["mode"]
    if isinstance(output, str):
        output = np.dtype(output).type
    method = ndi.choose_method(array, weights, output, mode, call.keywords["cval"]).method
    ways.clear()
    getattr(ndi, call.name)(array, weights, output, mode, call.keywords["cval"])
    parts = (np.real(weights), np.imag(weights)) if weights.dtype.kind == "c" else (weights,)
    # One part of complex weights may have no taps.
    taken = [method if len(parts) == 1 or part.any() else "direct" for part in parts]
    if array.dtype.kind == "c":
        taken += taken[::-1]
    assert ways == taken


@pytest.mark.parametrize("kernel", [np.outer([2**26, 1, 1], [2**26, 1, 1])])
def test_booleans_are_small_numbers_to_either(kernel: Any, ways: list[str]) -> None:
    """Sums of bytes would not be exact, and those of booleans are."""
    for kind, method in (("?", "separable"), ("u1", "direct")):
        image = filters.values(0, (40, 50), kind)
        assert ndi.choose_method(image, kernel, np.int64).method == method
        expected = scipy.ndimage.correlate(image, kernel, output=np.int64)
        assert_same_bits(ndi.correlate(image, kernel, output=np.int64), expected)
        assert ways.pop() == method


@pytest.mark.parametrize(
    ("shape", "kernel"),
    [((70, 1500), (5, 9)), ((3, 40, 700, 3), (2, 3, 3, 1)), ((400,), (31,)), ((40, 6, 50), (9, 1, 1))],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64"])
def test_large_arrays_in_many_tiles_have_the_bits_of_scipy(
    shape: tuple[int, ...], kernel: tuple[int, ...], dtype: str
) -> None:
    array = filters.values(0, shape, dtype)
    weights = np.random.default_rng(1).standard_normal(kernel)
    for layout in (array, np.asfortranarray(array), array[..., ::-1]):
        for mode in ("reflect", "constant"):
            expected = scipy.ndimage.correlate(layout, weights, mode=mode, cval=7.0)
            actual = ndi.correlate(layout, weights, mode=mode, cval=7.0, method="direct", precision="double")
            assert_same_bits(actual, expected)


@pytest.mark.parametrize("kernel", [[[np.nan, 1], [1, np.nan]], [[1e-17, 1], [1, 1]], [[np.inf, 1], [1, 1]]])
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_taps_that_scipy_leaves_out_or_cannot_sum(kernel: Any, dtype: str) -> None:
    array = filters.values(0, (5, 6), dtype)
    for cval in (2.0, np.nan):
        call = filters.Call("correlate", (array, kernel), {"mode": "constant", "cval": cval})
        if dtype == "float64":
            np.testing.assert_allclose(call(ndi), call.scipy())
        elif np.isfinite(kernel[0][0]) and not np.isnan(cval):
            assert_same_bits(call(ndi), call.scipy())
        else:
            assert call(ndi).shape == array.shape  # what an integer makes of NaN is C's to say


@pytest.mark.parametrize("shape", [(90, 700), (3, 40, 300), (30, 200, 3), (3000,)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_any_cut_of_a_footprint_has_the_same_bits(shape: tuple[int, ...], dtype: str) -> None:
    """Tiny caches: many strips and blocks, also of small images."""
    array = filters.values(0, shape, dtype)
    kernel = np.random.default_rng(1).standard_normal((3, 5, 3)[: len(shape)])
    for mode in ("mirror", "constant", "valid"):
        whole = ndi.correlate(array, kernel, mode=mode, cval=3.0, method="direct", threads=1)
        set_caches("L1=1K,L2=4K,L3=16K")
        try:
            cut = ndi.correlate(array, kernel, mode=mode, cval=3.0, method="direct", threads=2)
        finally:
            set_caches(None)
        assert_same_bits(cut, whole)


def test_roots_of_bytes_are_those_of_scipy() -> None:
    """Every byte once: the sum of four squares that it is."""
    roots = range(16)
    sums = {a * a + b * b + c * c + d * d: (a, b, c, d) for a, b, c, d in itertools.product(roots, repeat=4)}
    parts = np.array([sums[byte] for byte in range(256)], np.uint8).reshape(4, 4, 4, 4, 4)

    def derivative(input: Any, axis: int, output: Any, mode: str, cval: float) -> Any:
        if not isinstance(output, np.ndarray):
            return parts[..., axis].astype(output)
        output[...] = parts[..., axis]
        return output

    actual, expected = (
        module.generic_gradient_magnitude(parts[..., 0], derivative, np.uint8)
        for module in (ndi, scipy.ndimage)
    )
    assert np.unique(actual).size == 16
    assert_same_bits(actual, expected)


@pytest.mark.parametrize("cval", [2.0**50, 2.0**53, -(2.0**56), 1e300, np.inf, np.nan])
@pytest.mark.parametrize("kind", ["u1", "i2", "u4", "i4"])
def test_boxes_beside_a_large_constant_have_the_bits_of_scipy(kind: str, cval: float) -> None:
    """SciPy's running sum has lost the low bits of whatever follows such a number."""
    for shape, axis in (((7, 50), 1), ((50, 7), 0), ((40_000,), 0)):
        x = np.random.default_rng(2).integers(0, 100, shape).astype(kind)
        for size in (2, 5, 8):
            keywords: dict[str, Any] = {"mode": "constant", "cval": cval}
            expected = scipy.ndimage.uniform_filter1d(x, size, axis, **keywords)
            assert_same_bits(ndi.uniform_filter1d(x, size, axis, **keywords), expected)
