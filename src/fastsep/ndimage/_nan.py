"""nan_policy="omit": normalised convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsep._lines import FilterPlan
from fastsep._missing import has_missing, scale_by_weights, split_missing
from fastsep._passes import Pass
from fastsep.ndimage import _direct, _run

Array = NDArray[Any]


def run_omitting(
    array: Array, output: Array, passes: Sequence[Pass], chosen: _run.Options
) -> FilterPlan | None:
    """Σ w·x / Σ w over the values that are not NaN, times the sum of all weights.

    Where a support holds no NaN, the result has the bits of the plain filter; where it holds nothing else,
    it is NaN. Values beyond the ends count as present, a `cval` too unless it is NaN. Returns as `_run.run`.
    """
    plain = chosen._replace(nan_policy="propagate")
    _check_output(output)
    for one in passes:
        if one.weights is not None:
            _check_weights(one.weights)
    nothing_beyond = any(one.mode == "constant" and np.isnan(one.cval) for one in passes)
    if array.dtype.kind in "iub" and not nothing_beyond:
        return _run.run(array, output, passes, plain)
    real = array.dtype.kind != "c"
    wholes = _whole_weights(passes, array.dtype if real else output.real.dtype, output.real.dtype, plain)
    beyond = [0.0 if np.isnan(one.cval) else whole for one, whole in zip(passes, wholes, strict=False)]
    as_present = [one._replace(cval=cval) for one, cval in zip(passes, beyond, strict=True)]
    filled = [one._replace(cval=0.0) if np.isnan(one.cval) else one for one in passes]
    if real and output.dtype.kind == "f":
        plan = _run.run_pair(
            array, output, (filled, as_present), plain, "quotient", wholes[-1], nothing_beyond
        )
        if plan is not None:
            return plan
    if not nothing_beyond and not _has_missing(array):
        # A plan that would be wrong for an array with holes.
        _run.run(array, output, passes, plain)
        return None
    weight = np.empty(output.shape, output.real.dtype)
    if real:
        _run.run(array, weight, as_present, plain, "weighed")
        _run.run(array, output, filled, plain, "zeroed")
    else:
        values, present = _split(array, output.real.dtype)
        _run.run(present, weight, as_present, plain)
        _run.run(values, output, filled, plain)
    _normalise(output, weight, output.real.dtype.type(wholes[-1]))
    return None


def correlate_omitting(
    array: Array,
    kernel: Array,
    before: tuple[int, ...],
    mode: str,
    cval: float,
    output: Array,
    chosen: _run.Options,
) -> None:
    """The same for an n-d kernel, tap by tap; `check` has been asked."""
    plain = chosen._replace(nan_policy="propagate")
    nothing_beyond = mode == "constant" and np.isnan(cval)
    if not nothing_beyond and not _has_missing(array):
        _direct.correlate(array, kernel, before, mode, cval, output, plain)
        return
    kind = output.dtype
    weight, whole = np.empty(output.shape, kind), np.empty((1,) * array.ndim, kind)
    values, present = _split(array, kind)
    beyond = 0.0 if nothing_beyond else 1.0
    _direct.correlate(present, kernel, before, mode, beyond, weight, plain)
    _direct.correlate(np.ones_like(whole), kernel, before, "constant", 1.0, whole, plain)
    _direct.correlate(values, kernel, before, mode, 0.0 if nothing_beyond else cval, output, plain)
    _normalise(output, weight, whole.flat[0])


def check(output: Array, kernel: Array) -> None:
    """Refuse what does not average, or has no room for NaN."""
    _check_output(output)
    _check_weights(kernel)


def _is_plain(array: Array) -> bool:
    """Whether the compiled loops take it."""
    return (
        array.dtype.char in "fd" and array.dtype.isnative and array.flags.c_contiguous and array.flags.aligned
    )


def _has_missing(array: Array) -> bool:
    if array.dtype.kind in "iub":
        return False
    return has_missing(array) if _is_plain(array) else bool(np.isnan(array).any())


def _split(array: Array, kind: np.dtype[Any]) -> tuple[Array, Array]:
    """The values, 0 where they are missing, and 1 where they are not, else 0."""
    if array.dtype.kind == "f" and array.dtype.newbyteorder("=") == kind.newbyteorder("="):
        values = np.array(array, kind.newbyteorder("="), order="C")
        present = np.empty_like(values)
        split_missing(values, present)
        return values, present
    missing = np.isnan(array)
    return np.where(missing, array.dtype.type(0), array), (~missing).astype(kind)


def _check_output(output: Array) -> None:
    if output.dtype.kind not in "fc":
        raise ValueError(f'nan_policy="omit" needs float or complex output; got {output.dtype}')


def _check_weights(weights: Array) -> None:
    if not ((weights >= 0).all() and weights.sum() > 0):
        raise ValueError(
            'nan_policy="omit" averages: it needs weights of which none is negative and whose sum is '
            f"positive; got {weights!r}"
        )


def _normalise(output: Array, weight: Array, whole: Any) -> None:
    """Scale by the whole weight over the one that was there; not where all of it was."""
    if _is_plain(output) and _is_plain(weight):
        scale_by_weights(output, weight, float(whole))
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(weight == 0, whole * np.nan, whole / weight).astype(weight.dtype)
    np.multiply(output, scale, out=output, where=weight != whole)


def _whole_weights(
    passes: Sequence[Pass], given: np.dtype[Any], stored: np.dtype[Any], plain: _run.Options
) -> list[float]:
    """What the first 0, 1, 2 … passes make of ones: the bits that they give wherever no value is missing."""
    ones, wholes = np.ones([1] * (1 + max(one.axis for one in passes)), given), [1.0]
    kept: list[Pass] = []
    for one in passes:
        # With a constant beyond the ends passes keep their order.
        mode = "constant" if one.mode in ("constant", "valid") else "nearest"
        kept.append(one._replace(mode=mode, before=one.size // 2, cval=wholes[-1]))
        whole = np.empty(ones.shape, stored)
        _run.run(ones, whole, kept, plain)
        wholes.append(float(whole.flat[0]))
    return wholes
