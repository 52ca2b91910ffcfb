"""The specification of the filters against SciPy, whose bits it has."""

from __future__ import annotations

from typing import Any

import filters
import numpy as np
import scipy.ndimage
from bounds import assert_same_bits
from hypothesis import given
from hypothesis import strategies as st

from fastsep import _reference_filters

EVERY = filters.INTEGERS + filters.FLOATS


@given(
    call=filters.one_traversal_calls(EVERY).filter(lambda call: call.input.size > 0),
    output=st.sampled_from("bBhHiIlfd"),
)
def test_passes_have_the_bits_of_scipy(call: filters.Call, output: str) -> None:
    kind = np.dtype(output)
    values = call.input
    for step in call.steps:
        values = _reference_filters.scipy_pass(
            values, step.axis, "box" if step.box else "correlate", step.weights, len(step.weights),
            step.before, step.mode, step.cval, kind,
        )  # fmt: skip
    if not call.steps:
        values = _reference_filters.store(_reference_filters.load(values), kind)
    assert_same_bits(values, call.scipy(output=kind))


@given(array=filters.arrays(EVERY), data=st.data())
def test_nd_correlation_has_the_bits_of_scipy(array: Any, data: Any) -> None:
    shape = tuple(data.draw(st.integers(1, 4)) for _ in range(array.ndim))
    weights = np.random.default_rng(data.draw(filters.seeds)).standard_normal(shape)
    weights[np.abs(weights) < 0.5] = 0
    mode, cval = data.draw(filters.modes), data.draw(filters.cvals)
    expected = scipy.ndimage.correlate(array, weights, mode=mode, cval=cval)
    before = tuple(size // 2 for size in shape)
    plain = filters.PLAIN.get(mode, mode)
    actual = _reference_filters.correlate(array, weights, before, plain, cval, expected.dtype)
    assert_same_bits(actual, expected)


def test_exact_passes_are_sums_in_extended_precision() -> None:
    values, taps = filters.values(0, (7, 9), np.float64), np.array([0.1, 0.2, -0.4, 0.8])
    actual = _reference_filters.exact_pass(values, 1, taps, 2, "mirror")
    expected = scipy.ndimage.correlate1d(values, taps, 1, mode="mirror")
    np.testing.assert_allclose(actual.astype(float), expected, rtol=0, atol=1e-14)
    whole = _reference_filters.exact_pass(
        np.full((1, 4), 2.0**60), 1, np.array([1.0, 2.0**-60]), 0, "constant", 1
    )
    assert whole[0, 0] == np.longdouble(2) ** 60 + 1
