"""The error function, which NumPy does not have.

The rational approximations of fdlibm's s_erf.c (Sun Microsystems, 1993; the same in FreeBSD's and musl's C
libraries): below 1 ulp of float64. float32 and float16 are computed in float64 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from fastsep.onnx._graph import Array

# erf(x) = x + x·P(x²)/Q(x²) below 0.84375; lowest order first.
_NEAR_P = (1.28379167095512558561e-01, -3.25042107247001499370e-01, -2.84817495755985104766e-02,
           -5.77027029648944159157e-03, -2.37630166566501626084e-05)  # fmt: skip
_NEAR_Q = (1.0, 3.97917223959155352819e-01, 6.50222499887672944485e-02, 5.08130628187576562776e-03,
           1.32494738004321644526e-04, -3.96022827877536812320e-06)  # fmt: skip
# erf(x) = 0.845… + P(x − 1)/Q(x − 1) from there to 1.25.
_AT_ONE = 8.45062911510467529297e-01
_ONE_P = (-2.36211856075265944077e-03, 4.14856118683748331666e-01, -3.72207876035701323847e-01,
          3.18346619901161753674e-01, -1.10894694282396677476e-01, 3.54783043256182359371e-02,
          -2.16637559486879084300e-03)  # fmt: skip
_ONE_Q = (1.0, 1.06420880400844228286e-01, 5.40397917702171048937e-01, 7.18286544141962662868e-02,
          1.26171219808761642112e-01, 1.36370839120290507362e-02, 1.19844998467991074170e-02)  # fmt: skip
# 1 − erf(x) = exp(−x² − 0.5625 + P(1/x²)/Q(1/x²))/x from there to 1/0.35, and with others from there to 6.
_FAR_P = (-9.86494403484714822705e-03, -6.93858572707181764372e-01, -1.05586262253232909814e+01,
          -6.23753324503260060396e+01, -1.62396669462573470355e+02, -1.84605092906711035994e+02,
          -8.12874355063065934246e+01, -9.81432934416914548592e+00)  # fmt: skip
_FAR_Q = (1.0, 1.96512716674392571292e+01, 1.37657754143519042600e+02, 4.34565877475229228821e+02,
          6.45387271733267880336e+02, 4.29008140027567833386e+02, 1.08635005541779435134e+02,
          6.57024977031928170135e+00, -6.04244152148580987438e-02)  # fmt: skip
_TAIL_P = (-9.86494292470009928597e-03, -7.99283237680523006574e-01, -1.77579549177547519889e+01,
           -1.60636384855821916062e+02, -6.37566443368389627722e+02, -1.02509513161107724954e+03,
           -4.83519191608651397019e+02)  # fmt: skip
_TAIL_Q = (1.0, 3.03380607434824582924e+01, 3.25792512996573918826e+02, 1.53672958608443695994e+03,
           3.19985821950859553908e+03, 2.55305040643316442583e+03, 4.74528541206955367215e+02,
           -2.24409524465858183362e+01)  # fmt: skip


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    total = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total *= x
        total += coefficient
    return total


def _near(x: Array) -> Array:
    square = x * x
    return x + x * (_polynomial(_NEAR_P, square) / _polynomial(_NEAR_Q, square))


def _around_one(x: Array) -> Array:
    from_one = np.abs(x) - 1
    ratio: Array = _polynomial(_ONE_P, from_one) / _polynomial(_ONE_Q, from_one)
    return np.copysign(_AT_ONE + ratio, x)


def _beyond(x: Array, numerator: tuple[float, ...], denominator: tuple[float, ...]) -> Array:
    size = np.abs(x)
    inverse = 1 / (size * size)
    # exp(−size²) without what rounding the square would lose: size = head + rest; the head's square is exact.
    head = (size.view(np.int64) & np.int64(-(2**32))).view(np.float64)
    ratio = _polynomial(numerator, inverse) / _polynomial(denominator, inverse)
    complement = np.exp(-head * head - 0.5625) * np.exp((head - size) * (head + size) + ratio) / size
    return np.copysign(1 - complement, x)


def erf(x: Array, out: Array) -> None:
    """Write erf(x) into `out`, an array of the shape of `x`.

    Parameters
    ----------
    x : ndarray
        float64, float32 or float16.
    out : ndarray
        Of the shape of `x`; shares no memory with it.
    """
    flat = x.astype(np.float64).reshape(-1)
    size = np.abs(flat)
    result = np.copysign(1.0, flat)
    result[np.isnan(flat)] = np.nan
    bands = np.searchsorted((0.84375, 1.25, 1 / 0.35, 6.0), size, side="right")
    functions: tuple[Callable[[Array], Array], ...] = (
        _near,
        _around_one,
        partial(_beyond, numerator=_FAR_P, denominator=_FAR_Q),
        partial(_beyond, numerator=_TAIL_P, denominator=_TAIL_Q),
    )
    for band, function in enumerate(functions):
        inside = np.flatnonzero(bands == band)
        if inside.size:
            result[inside] = function(flat[inside])
    out[...] = result.reshape(x.shape)
