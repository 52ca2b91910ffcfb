"""Complex weights by their real and imaginary parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def with_complex_weights(
    filter_part: Callable[[Array, Array, Array, Any], None],
    array: Array,
    weights: Array,
    output: Array,
    cval: Any,
    precision: str | None,
) -> Array:
    """Filter the parts of the input with the parts of the weights.

    Parameters
    ----------
    filter_part : callable (array, weights, output, cval)
        A real filter.
    array : ndarray
    weights : ndarray of complex128
    output : complex ndarray
    cval : number
    precision : str or None
        "double": half of the parts are stored in the input's type before they are added, as by SciPy; else in
        the output's.
    """
    real, imaginary = weights.real.copy(), weights.imag.copy()
    if np.may_share_memory(array, output):
        array = array.copy()
    if array.dtype.kind == "c":
        kept = array if precision == "double" else output
        scratch = np.empty(output.shape, kept.real.dtype.newbyteorder("="))
        filter_part(array.real, real, output.real, float(np.real(cval)))
        filter_part(array.imag, imaginary, scratch, float(np.imag(cval)))
        np.subtract(output.real, scratch, out=output.real)
        filter_part(array.real, imaginary, output.imag, float(np.real(cval)))
        filter_part(array.imag, real, scratch, float(np.imag(cval)))
        np.add(output.imag, scratch, out=output.imag)
        return output
    check_constant(cval, array)
    filter_part(array, real, output.real, float(cval))
    filter_part(array, imaginary, output.imag, float(cval))
    return output


def check_constant(cval: Any, array: Array) -> None:
    """SciPy's own refusal."""
    if np.iscomplexobj(cval) and array.dtype.kind != "c":
        raise ValueError(f"Cannot provide a complex-valued cval when the input is real; got cval={cval!r}")
