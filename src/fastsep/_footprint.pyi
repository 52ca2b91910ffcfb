"""Types of the compiled module; its documentation is in src/_kernels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

def correlate_taps(
    input: NDArray[Any],
    output: NDArray[Any],
    positions: Sequence[NDArray[np.int64]],
    taps: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    constant: float,
    arithmetic: str,
    threads: int | None = None,
) -> None: ...
