"""nan_policy="omit": normalised convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsep._passes import Pass
from fastsep.ndimage import _run

Array = NDArray[Any]


def run_omitting(array: Array, output: Array, passes: Sequence[Pass], chosen: _run.Options) -> Array:
    """Σ w·x / Σ w over the values that are not NaN, times the sum of all weights.

    Where a support holds no NaN, the result has the bits of the plain filter; where it holds nothing else,
    it is NaN. Values beyond the ends count as present, a `cval` too unless it is NaN.
    """
    plain = chosen._replace(nan_policy="propagate")
    if output.dtype.kind not in "fc":
        raise ValueError(f'nan_policy="omit" needs float or complex output; got {output.dtype}')
    for one in passes:
        if one.weights is not None and not ((one.weights >= 0).all() and one.weights.sum() > 0):
            raise ValueError(
                'nan_policy="omit" averages: it needs weights of which none is negative and whose sum is '
                f"positive; got {one.weights!r}"
            )
    missing = np.isnan(array)
    if not missing.any() and not any(one.mode == "constant" and np.isnan(one.cval) for one in passes):
        return _run.run(array, output, passes, plain)
    values = np.where(missing, array.dtype.type(0), array)
    kind = output.real.dtype
    present = (~missing).astype(kind)
    wholes = _whole_weights(passes, kind, plain)
    beyond = [0.0 if np.isnan(one.cval) else whole for one, whole in zip(passes, wholes, strict=False)]
    as_present = [one._replace(cval=cval) for one, cval in zip(passes, beyond, strict=True)]
    weight = np.empty(output.shape, kind)
    _run.run(present, weight, as_present, plain)
    passes = [one._replace(cval=0.0) if np.isnan(one.cval) else one for one in passes]
    _run.run(values, output, passes, plain)
    whole = kind.type(wholes[-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(weight == 0, kind.type(np.nan), whole / weight)
    np.multiply(output, scale, out=output, where=weight != whole)
    return output


def _whole_weights(passes: Sequence[Pass], kind: np.dtype[Any], plain: _run.Options) -> list[float]:
    """What the first 0, 1, 2 … passes make of ones: the bits that they give wherever no value is missing."""
    shape = [1] * (1 + max(one.axis for one in passes))
    ones, wholes = np.ones(shape, kind), [1.0]
    for one in passes:
        _run.run(ones, ones, [one._replace(mode="nearest", before=one.size // 2)], plain)
        wholes.append(float(ones.flat[0]))
    return wholes
