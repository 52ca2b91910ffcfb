"""What one pass of a separable filter is, in plain data: where `fastsep.ndimage` and the kernels meet."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Pass(NamedTuple):
    """A filter along one axis, validated by the face.

    ``out[i] = Σ_j weights[j] · x[i + j - before]`` for ``kind="correlate"``, the mean of the same window for
    ``kind="box"``, with ``x`` extended beyond its ends as `mode` says.
    """

    axis: int
    """0 … ndim - 1."""
    kind: str
    """``"correlate"`` or ``"box"``."""
    weights: NDArray[np.float64] | None
    """The taps in order of correlation; None for a box."""
    size: int
    """Number of taps, or length of the window."""
    before: int
    """Taps before the output's own position: SciPy's ``size // 2 + origin``. 0 for ``mode="valid"``."""
    mode: str
    """``"reflect"``, ``"constant"``, ``"nearest"``, ``"mirror"``, ``"wrap"`` or ``"valid"``."""
    cval: float
    """The value beyond the ends for ``mode="constant"``."""
