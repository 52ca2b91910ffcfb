"""Numbers to filter, for tests with SciPy and those where there is none (Arm, under emulation)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of 64 bits: beyond, what a few passes make of them no longer fits, and C says nothing of that.
_MOST = 2**50


def values(seed: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Numbers of a dtype: integers of up to 16 bits from all of its range, wider ones also up to 10⁶."""
    kind = np.dtype(dtype)
    generator = np.random.default_rng(seed)
    if kind.kind == "b":
        return generator.integers(0, 2, shape).astype(kind)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        most = _MOST if seed % 3 == 0 else 10**6
        low, high = max(limits.min, -most), min(limits.max, most)
        return generator.integers(low, high, shape, endpoint=True).astype(kind)
    if kind.kind == "c":
        return (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)).astype(kind)
    return (generator.standard_normal(shape) * 2.0 ** generator.integers(-4, 5, shape)).astype(kind)
