"""The taps of Gaussian filters and of their derivatives."""

from __future__ import annotations

import math
import numbers
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


def gaussian_radius(sigma: float, truncate: float, radius: Any) -> int:
    """Taps on either side of the middle: `radius`, or `truncate` standard deviations, rounded."""
    if not math.isfinite(truncate * sigma):
        # SciPy's types of error.
        error = ValueError if math.isnan(truncate * sigma) else OverflowError
        raise error(f"sigma and truncate must be finite; got sigma={sigma!r} and truncate={truncate!r}")
    reach = int(truncate * sigma + 0.5)
    if radius is not None:
        reach = radius
    if not isinstance(reach, numbers.Integral) or reach < 0:
        raise ValueError(f"Radius must be a nonnegative integer; got {reach!r} for sigma={sigma!r}")
    return int(reach)


# The taps of σ = 10 take as long as filtering 64 × 64 pixels with them; a program uses few filters. Typed: a
# float32 σ squares in float32, here as in SciPy.
@lru_cache(maxsize=256, typed=True)
def gaussian(sigma: Any, order: int, radius: int) -> NDArray[np.float64]:
    """Taps, in order of correlation, of the derivative of that order of a sampled Gaussian of sum 1.

    The derivative of q(x)·φ(x), with φ(x) ∝ exp(-x²/2σ²), is (q'(x) - q(x)·x/σ²)·φ(x): a linear operator on
    the coefficients of the polynomial q, which is 1 for order 0. Convolution turns the taps around.

    Returns
    -------
    ndarray (2·radius + 1,)
        Read-only: it is handed out again.
    """
    if order < 0:
        raise ValueError(f"order must be non-negative; got {order!r}")
    variance = sigma * sigma
    if variance == 0 and not isinstance(sigma, np.floating):
        raise ZeroDivisionError(f"sigma must not be 0: taps are divided by its square; got {sigma!r}")
    x = np.arange(-radius, radius + 1)
    bell = np.exp(-0.5 / variance * x**2)
    taps = bell / bell.sum()
    if order:
        # Row i, column i + 1: the derivative of xⁱ⁺¹; row i + 1, column i: times -x/σ².
        derive = np.diag(np.arange(1, order + 1), 1) + np.diag(np.full(order, -1 / variance), -1)
        polynomial = np.zeros(order + 1)
        polynomial[0] = 1
        for _ in range(order):
            polynomial = derive @ polynomial
        # Powers as integers are exact; beyond 64 bits they are rounded, not wrapped.
        exact = max(radius, 1) ** order < 2**63
        powers = np.vander(x if exact else x.astype(np.float64), order + 1, increasing=True)
        taps = (powers @ polynomial) * taps
    taps = np.ascontiguousarray(taps[::-1])
    taps.flags.writeable = False
    return taps
