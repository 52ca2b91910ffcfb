"""Bad arguments of `fastsep.ndimage`: SciPy's exceptions, and messages that name the argument."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
from bounds import assert_same_bits

import fastsep.ndimage as ndi

Array = Any
LINE, SQUARE = np.arange(5.0), np.arange(9.0).reshape(3, 3)
CUBE = np.linspace(0, 1, 60).reshape(3, 4, 5) ** 2
READ_ONLY = np.zeros(5)
READ_ONLY.flags.writeable = False

# What is wrong, in both modules, and what ours says about it.
REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "float16": (lambda m: m.correlate1d(LINE.astype("f2"), [1]), "input.*float32|float16"),
    "longdouble": (lambda m: m.gaussian_filter(LINE.astype("g"), 1), "input"),
    "complex of longdouble": (lambda m: m.sobel(LINE.astype("G")), "input"),
    "many objects": (lambda m: m.correlate1d(np.zeros(9000, object), [1]), "input"),
    "output of many objects": (lambda m: m.correlate1d(np.zeros(9000), [1], output=object), "output"),
    "objects": (lambda m: m.correlate1d(LINE.astype(object), [1]), "input"),
    "text": (lambda m: m.correlate1d(np.array(["a"]), [1]), "input"),
    "text to floats": (lambda m: m.correlate1d(np.array(["a"]), [1], output=float), "input"),
    "output of text": (lambda m: m.gaussian_filter(LINE, 1, output=np.dtype("U3")), "output"),
    "output of records": (lambda m: m.correlate(LINE, [1.0], output=np.zeros(5, "V8")), "output"),
    "dates": (lambda m: m.uniform_filter(LINE.astype("M8[s]")), "input"),
    "empty float16": (lambda m: m.correlate1d(np.zeros(0, "f2"), [1]), "input"),
    "float16 to n-d": (lambda m: m.correlate(SQUARE.astype("f2"), SQUARE), "input"),
    "float16 to laplace": (lambda m: m.laplace(SQUARE.astype("f2")), "input"),
    "output of float16": (lambda m: m.correlate1d(LINE, [1], output=np.float16), "output"),
    "complex output": (lambda m: m.gaussian_filter(LINE, 1, output=complex), "output"),
    "n-d complex output": (lambda m: m.correlate(SQUARE, SQUARE, output="c8"), "output"),
    "output named bool": (lambda m: m.correlate1d(LINE, [1], output="bool"), "output.*bool"),
    "output of no type": (lambda m: m.correlate1d(LINE, [1], output="foo"), "foo"),
    "output of wrong shape": (
        lambda m: m.correlate1d(LINE, [1], output=np.zeros(4)),
        r"output.*\(5,\).*\(4,\)",
    ),
    "output read-only": (lambda m: m.correlate1d(LINE, [1], output=READ_ONLY), "output"),
    "output of objects": (lambda m: m.correlate1d(LINE, [1], output=np.zeros(5, object)), "output"),
    "real output of complex": (lambda m: m.correlate1d(LINE + 0j, [1], output="f8"), "output"),
    "real array of complex": (lambda m: m.sobel(SQUARE + 0j, output=SQUARE.copy()), "output"),
    "real type of complex": (lambda m: m.gaussian_filter(SQUARE + 0j, 1, output=float), "output"),
    "no axes": (lambda m: m.correlate1d(np.float64(3), [1]), "axis"),
    "no axes to sobel": (lambda m: m.sobel(np.float64(3)), "axis"),
    "axis": (lambda m: m.correlate1d(LINE, [1], axis=1), "axis 1"),
    "negative axis": (lambda m: m.uniform_filter1d(LINE, 3, axis=-2), "axis -2"),
    "axis of float": (lambda m: m.gaussian_filter1d(LINE, 1, axis=0.0), "axis must be an integer; got 0.0"),
    "no weights": (lambda m: m.correlate1d(LINE, []), r"weights.*\(0,\)"),
    "2-d weights": (lambda m: m.correlate1d(LINE, [[1, 2]]), r"weights.*\(1, 2\)"),
    "0-d weights": (lambda m: m.correlate1d(LINE, 1), "weights"),
    "0-d weights turned": (lambda m: m.convolve1d(LINE, 1), ""),
    "no weights turned": (lambda m: m.convolve1d(LINE, []), "weights"),
    "weights of text": (lambda m: m.correlate1d(LINE, "abc"), "abc"),
    "origin": (lambda m: m.correlate1d(LINE, [1, 2, 1], origin=2), "origin.*-1 … 1; got 2"),
    "origin turned": (lambda m: m.convolve1d(LINE, [1, 2], origin=1), "origin.*-1 … 0; got 1"),
    "origin of float": (
        lambda m: m.correlate1d(LINE, [1, 2, 1], origin=1.0),
        "origin must be an integer; got 1.0",
    ),
    "origin None": (lambda m: m.correlate1d(LINE, [1, 2, 1], origin=None), "None"),
    "box origin": (lambda m: m.uniform_filter(SQUARE, 3, origin=2), "origin.*size=3"),
    "n-d origin": (lambda m: m.correlate(SQUARE, SQUARE, origin=2), "origin.*got 2"),
    "n-d origins": (lambda m: m.correlate(SQUARE, SQUARE, origin=(0, 0, 0)), "origin"),
    "mode": (lambda m: m.correlate1d(LINE, [1], mode="same"), "mode.*reflect.*'same'"),
    "mode None": (lambda m: m.uniform_filter(LINE, mode=None), "mode.*None"),
    "modes for one axis": (lambda m: m.correlate1d(LINE, [1], mode=["reflect"]), "mode"),
    "too few modes": (lambda m: m.sobel(SQUARE, mode=["reflect"]), "mode must hold 2"),
    "n-d origin of one axis": (
        lambda m: m.correlate(SQUARE, [1, 2, 1], axes=1, origin=2),
        r"weights.shape\[0\].*got 2",
    ),
    "weights of objects": (lambda m: m.correlate1d(LINE, [object()]), "weights must hold numbers.*object"),
    "n-d modes": (lambda m: m.correlate(SQUARE, SQUARE, mode=["reflect"] * 2), "mode"),
    "n-d mode": (lambda m: m.correlate(SQUARE, SQUARE, mode="same"), "mode"),
    "complex cval": (lambda m: m.correlate1d(LINE, [1], mode="constant", cval=1j), "cval.*1j"),
    "complex cval to complex": (lambda m: m.correlate1d(LINE, [1j], mode="constant", cval=1j), "cval"),
    "cval of text": (lambda m: m.correlate1d(LINE, [1], cval="1"), "cval"),
    "cval None": (lambda m: m.gaussian_filter(LINE, 1, cval=None), "cval"),
    "sigmas": (lambda m: m.gaussian_filter(LINE, [1, 2]), "sigma must hold 1"),
    "sigma 0": (lambda m: m.gaussian_filter1d(LINE, 0), "sigma must not be 0"),
    "sigma below 0": (lambda m: m.gaussian_filter1d(LINE, -1), "Radius.*-1"),
    "sigma NaN": (lambda m: m.gaussian_filter1d(LINE, np.nan), "sigma.*finite.*nan"),
    "sigma infinite": (lambda m: m.gaussian_filter(LINE, np.inf, radius=1), "sigma.*finite.*inf"),
    "sigma of text": (lambda m: m.gaussian_filter(LINE, "1"), "sigma must be a real number; got '1'"),
    "sigma of a list": (lambda m: m.gaussian_filter1d(LINE, [1, 2]), "sigma must be a real number"),
    "sigma None": (lambda m: m.gaussian_filter(LINE, None), "sigma must be a real number; got None"),
    "truncate of text": (lambda m: m.gaussian_filter(LINE, 1, truncate="4"), "truncate.*'4'"),
    "order": (lambda m: m.gaussian_filter(LINE, 1, order=-1), "order.*-1"),
    "orders": (lambda m: m.gaussian_filter(LINE, 1, order=[0, 1]), "order must hold 1"),
    "order of float": (lambda m: m.gaussian_filter(LINE, 1, order=1.0), "order must be an integer; got 1.0"),
    "radius": (lambda m: m.gaussian_filter(LINE, 1, radius=-1), "Radius.*-1"),
    "radius of float": (lambda m: m.gaussian_filter(LINE, 1, radius=1.0), "Radius"),
    "axes twice": (
        lambda m: m.gaussian_filter(SQUARE, 1, axes=(0, -2)),
        r"axes must be unique; got \(0, -2\)",
    ),
    "axes out of range": (lambda m: m.gaussian_filter(SQUARE, 1, axes=(0, 2)), "axes.*2"),
    "one axis out of range": (lambda m: m.uniform_filter(SQUARE, 3, axes=2), "axis 2"),
    "axes of float": (lambda m: m.laplace(SQUARE, axes=1.0), "must be an integer; got 1.0"),
    "axes of nothing": (lambda m: m.gaussian_laplace(SQUARE, 1, axes=object()), "axes"),
    "size": (lambda m: m.uniform_filter1d(LINE, 0), "size.*0"),
    "size of float": (lambda m: m.uniform_filter1d(LINE, 2.5), "size must be an integer; got 2.5"),
    "size of text": (lambda m: m.uniform_filter(LINE, "3"), "size must be a real number; got '3'"),
    "n-d weights of text": (lambda m: m.correlate(LINE, ["a"]), "weights must hold numbers.*'a'"),
    "weights of one number, turned": (lambda m: m.convolve1d(LINE, 3), "weights.*1-d.*got 3"),
    "n-d origin turned": (
        lambda m: m.convolve(SQUARE, np.ones((2, 2)), origin=1),
        r"weights.shape\[0\].*got 1",
    ),
    "sizes": (lambda m: m.uniform_filter(SQUARE, (3, 3, 3)), "size must hold 2"),
    "n-d weights": (lambda m: m.correlate(SQUARE, [1, 2, 1]), r"weights.*\(3,\)"),
    "n-d weights of one axis": (lambda m: m.convolve(SQUARE, SQUARE, axes=0), "weights"),
    "n-d weights of length 0": (lambda m: m.correlate(SQUARE, np.zeros((0, 3))), "weights"),
    "two orders": (lambda m: m.gaussian_gradient_magnitude(SQUARE, 1, order=1), "order"),
    "unknown keyword": (lambda m: m.gaussian_laplace(SQUARE, 1, foo=1), "foo"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_errors_are_those_of_scipy(what: str) -> None:
    action, fragment = REFUSED[what]
    with pytest.raises(Exception) as theirs:
        action(scipy.ndimage)
    with pytest.raises(theirs.type) as ours:
        action(ndi)
    assert ours.type is theirs.type
    assert re.search(fragment, str(ours.value)), str(ours.value)


# What is unusual, and right.
ALLOWED: dict[str, Callable[[Any], Any]] = {
    "output of a list": lambda m: m.correlate1d(np.arange(3), [1, 2, 1], output=[0, 0, 0]),
    "output byte-swapped": lambda m: m.correlate1d(np.arange(3), [1, 2, 1], output=np.zeros(3, ">i4")),
    "output bool": lambda m: m.correlate1d(np.arange(3), [1, 2, 1], output=bool).view(np.uint8),
    "output by class": lambda m: m.gaussian_filter(LINE, 1, output=np.float64),
    "output by dtype": lambda m: m.laplace(SQUARE, output=np.dtype("i2")),
    "output by name": lambda m: m.sobel(SQUARE, output="int32"),
    "0-d": lambda m: m.gaussian_filter(np.float64(3), 1),
    "0-d float16": lambda m: m.gaussian_filter(np.float16(3), 1),
    "0-d box": lambda m: m.uniform_filter(np.float64(3)),
    "0-d laplace": lambda m: m.laplace(np.float64(3)),
    "0-d magnitude": lambda m: m.gaussian_gradient_magnitude(np.float64(3), 1),
    "0-d kernel": lambda m: m.correlate(np.float64(3), np.float64(2)),
    "scalar": lambda m: m.gaussian_filter(3, 1),
    "no axes": lambda m: m.gaussian_filter(SQUARE, 1, axes=()),
    "no axes to laplace": lambda m: m.laplace(SQUARE, axes=()),
    "no axes to a kernel": lambda m: m.correlate(SQUARE, np.float64(2), axes=()),
    "one axis": lambda m: m.gaussian_filter(SQUARE, 1, axes=-1),
    "lists": lambda m: m.uniform_filter([[1.0, 2], [3, 4]], [1, 3]),
    "sigma 0": lambda m: m.gaussian_filter(SQUARE, 0),
    "sigma below 0": lambda m: m.gaussian_filter(SQUARE, -1),
    "sigma NaN": lambda m: m.gaussian_filter(SQUARE, np.nan),
    "sigma below 0, and radius": lambda m: m.gaussian_filter1d(LINE, -1, radius=2),
    "sigma of float32": lambda m: m.gaussian_filter1d(LINE, np.float32(1.3), precision="double")
    if m is ndi else m.gaussian_filter1d(LINE, np.float32(1.3)),
    "sigma in an array": lambda m: m.gaussian_filter1d(LINE, np.array(1.0)),
    "mode that no axis uses": lambda m: m.uniform_filter(SQUARE, 1, mode="same"),
    "origin that no axis uses": lambda m: m.uniform_filter(SQUARE, 1, origin=2),
    "size below 1": lambda m: m.uniform_filter(SQUARE, 0),
    "size between": lambda m: m.uniform_filter(SQUARE.astype(int), 2.5),
    "weights of booleans": lambda m: m.correlate1d(LINE, [True, False, True]),
    "sigma in the order of the input": lambda m: m.gaussian_laplace(SQUARE**2, [0.5, 1.5], axes=(1, 0)),
    "sigma in the order of axes": lambda m: m.gaussian_laplace(CUBE, [0.5, 1.5], axes=(2, 0)),
    "0-d complex kernel": lambda m: m.convolve(np.float64(2), 2j),
    "nested modes": lambda m: m.gaussian_laplace(SQUARE, 1, mode=["reflect", "wrap"]),
    "sigma of each axis": lambda m: m.gaussian_gradient_magnitude(SQUARE.astype(int), (1, 2), axes=(1,)),
}  # fmt: skip


@pytest.mark.parametrize("what", ALLOWED)
def test_what_scipy_allows_is_allowed(what: str) -> None:
    theirs, ours = ALLOWED[what](scipy.ndimage), ALLOWED[what](ndi)
    assert type(ours) is type(theirs)
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-13)


def test_real_dtypes_are_promoted_for_complex_input() -> None:
    with pytest.warns(UserWarning, match="promoting"):
        result = ndi.correlate1d(LINE + 1j, [1, 2, 1], output=np.float32)
    assert result.dtype == np.complex64


# What `correlate` refuses of an n-d kernel, but shapes of outputs.
UNFIT: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "axes of the kernel": ((SQUARE, [1, 2, 1]), {}),
    "length 0": ((SQUARE, np.zeros((0, 3))), {}),
    "axes": ((CUBE, SQUARE), {"axes": (0, 3)}),
    "one axis": ((SQUARE, SQUARE), {"axes": 0}),
    "text": ((LINE, ["a"]), {}),
    "mode": ((SQUARE, SQUARE), {"mode": "same"}),
    "modes": ((SQUARE, SQUARE), {"mode": ["reflect"] * 2}),
    "cval": ((SQUARE, SQUARE), {"cval": 1j}),
    "cval of complex weights": ((SQUARE, SQUARE + 1j), {"cval": 1j}),
    "float16": ((SQUARE.astype("f2"), SQUARE), {}),
    "output of float16": ((SQUARE, SQUARE), {"output": np.float16}),
    "output of no type": ((SQUARE, SQUARE), {"output": "foo"}),
    "output named bool": ((SQUARE, SQUARE), {"output": "bool"}),
    "complex output": ((SQUARE, SQUARE), {"output": "c8"}),
    "real output": ((SQUARE, SQUARE + 1j), {"output": "f8"}),
    "real array": ((SQUARE + 1j, SQUARE), {"output": np.zeros((3, 3))}),
    "precision": ((SQUARE, SQUARE), {"precision": "single"}),
}


@pytest.mark.parametrize("what", UNFIT)
def test_a_choice_is_refused_as_its_call_is(what: str) -> None:
    arguments, keywords = UNFIT[what]
    with pytest.raises(Exception) as refused:
        ndi.correlate(*arguments, **keywords)
    with pytest.raises(refused.type) as ours:
        ndi.choose_method(*arguments, **keywords)
    assert ours.type is refused.type
    assert str(ours.value) == str(refused.value)


def test_a_choice_looks_at_dtypes_alone() -> None:
    assert ndi.choose_method(SQUARE, np.ones((3, 3)), np.zeros(7)).method == "separable"
    assert ndi.choose_method(CUBE, np.ones((3, 3)), axes=(0, 2)).method == "separable"
    with pytest.warns(UserWarning, match="promoting") as caught:
        ndi.choose_method(SQUARE, np.ones((3, 3)) * 1j, np.float32)
    assert caught[0].filename == __file__


OURS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "rounding": (lambda: ndi.gaussian_filter(LINE, 1, rounding="up"), ValueError, "rounding.*'up'"),
    "rounding of floats": (lambda: ndi.gaussian_filter(LINE, 1, rounding="nearest"), ValueError, "rounding"),
    "nan_policy": (lambda: ndi.uniform_filter(LINE, nan_policy="raise"), ValueError, "nan_policy.*'raise'"),
    "omitting derivatives": (
        lambda: ndi.gaussian_filter(LINE, 1, order=1, nan_policy="omit"), ValueError, "nan_policy.*weights",
    ),
    "omitting to integers": (
        lambda: ndi.gaussian_filter(LINE, 1, output=int, nan_policy="omit"), ValueError, "nan_policy.*int64",
    ),
    "precision": (lambda: ndi.sobel(LINE, precision="single"), ValueError, "precision.*'single'"),
    "threads": (lambda: ndi.sobel(LINE, threads=0), ValueError, "threads"),
    "threads of float": (lambda: ndi.sobel(LINE, threads=1.5), TypeError, "threads"),
    "threads of generic functions": (
        lambda: ndi.generic_laplace(LINE, ndi.sobel, threads=0), ValueError, "threads",
    ),
    "threads of no axes": (
        lambda: ndi.gaussian_laplace(SQUARE, 1, axes=(), threads=0), ValueError, "threads",
    ),
    "threads of no axes to laplace": (
        lambda: ndi.laplace(SQUARE, axes=(), threads=0), ValueError, "threads",
    ),
    "threads of no axes to a magnitude": (
        lambda: ndi.gaussian_gradient_magnitude(np.float64(3), 1, threads=1.5), TypeError, "threads",
    ),
    "precision of no axes": (
        lambda: ndi.gaussian_laplace(SQUARE, 1, axes=(), precision="single"), ValueError, "precision",
    ),
    "derivatives of several shapes": (
        lambda: ndi.gaussian_laplace(CUBE, 0.1, mode=["valid", "reflect", "valid"], radius=1),
        ValueError, r"mode must leave.*\(1, 2, 3\) from 'valid' along axis 0, and \(3, 4, 5\) from 'reflect'",
    ),
    "magnitudes of several shapes": (
        lambda: ndi.gaussian_gradient_magnitude(SQUARE, 0.3, mode=["reflect", "valid"]),
        ValueError, r"mode must leave.*\(3, 3\) from 'reflect' along axis 0",
    ),
    "generic derivatives of several shapes": (
        lambda: ndi.generic_laplace(
            CUBE, lambda x, axis, output, mode, cval: ndi.correlate1d(x, [1, 1], axis, output, mode),
            mode="valid",
        ),
        ValueError, r"mode must leave.*\(2, 4, 5\).*\(3, 3, 5\)",
    ),
    "origin of valid": (
        lambda: ndi.correlate1d(LINE, [1, 1], mode="valid", origin=-1), ValueError, "origin.*-1",
    ),
    "box origin of valid": (lambda: ndi.uniform_filter(LINE, mode="valid", origin=1), ValueError, "origin"),
    "n-d origin of valid": (
        lambda: ndi.convolve(SQUARE, SQUARE, mode="valid", origin=1), ValueError, "origin",
    ),
    "output of valid": (
        lambda: ndi.correlate1d(LINE, [1, 1], mode="valid", output=np.zeros(5)),
        RuntimeError, r"output.*\(4,\)",
    ),
    "output over itself": (
        lambda: ndi.sobel(LINE, output=np.lib.stride_tricks.as_strided(np.zeros(1), (5,), (0,))),
        ValueError, "output must not overlap itself",
    ),
    "kernels": (lambda: ndi.separable_filter(SQUARE, [[1, 2, 1]]), ValueError, "kernels.*2.*got 1"),
    "kernel": (lambda: ndi.separable_filter(SQUARE, [[1], []]), RuntimeError, r"kernels\[1\]"),
    "complex kernel": (lambda: ndi.separable_filter(LINE, [[1j]]), TypeError, r"kernels\[0\].*complex"),
    "complex cval of NumPy": (
        lambda: ndi.correlate1d(LINE, [1], mode="constant", cval=np.complex64(1j)), TypeError, "cval",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", OURS)
def test_what_scipy_has_not_is_refused_by_name(what: str) -> None:
    action, error, fragment = OURS[what]
    with pytest.raises(error, match=fragment) as caught:
        action()
    assert caught.type is error


def test_other_names_are_left_to_scipy() -> None:
    missing = [name for name in scipy.ndimage.__all__ if name not in ndi.__all__]
    assert "median_filter" in missing
    for name in missing:
        with pytest.raises(AttributeError, match=rf"scipy\.ndimage\.{name}\b"):
            getattr(ndi, name)
    with pytest.raises(ImportError):
        from fastsep.ndimage import median_filter  # noqa: F401


def test_nothing_is_written_to_an_input() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frozen = SQUARE.copy()
        frozen.flags.writeable = False
        ndi.gaussian_filter(frozen, 1)
        ndi.laplace(frozen)
        ndi.correlate(frozen, np.outer([1, 2, 1], [1, 0, -1]))
        ndi.gaussian_gradient_magnitude(frozen, 1)
    np.testing.assert_array_equal(frozen, SQUARE)


def test_an_output_of_a_failed_sum_is_left_alone() -> None:
    output = np.full((3, 3), 7.0)
    with pytest.raises(ValueError, match="mode must leave"):
        ndi.gaussian_gradient_magnitude(SQUARE, 0.3, output, mode=["valid", "reflect"])
    assert (output == 7).all()


def test_axes_and_widths_that_scipy_does_not_take() -> None:
    expected = ndi.gaussian_filter(SQUARE, 1.5, axes=(0,))
    assert_same_bits(ndi.gaussian_filter(SQUARE, Decimal("1.5"), axes=(i for i in (0,))), expected)
    assert_same_bits(ndi.correlate(SQUARE, [1, 2, 1], axes=-1), ndi.correlate1d(SQUARE, [1, 2, 1]))
