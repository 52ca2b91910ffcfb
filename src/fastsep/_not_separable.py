"""The refusal, and the tolerance that decides about it."""

from __future__ import annotations

import numpy as np


class NotSeparableError(ValueError):
    """A kernel is not what was asked for within the tolerance.

    Attributes
    ----------
    relative_error : float
        What the best factors of the rank or multiplier asked for reach, in the Frobenius norm.
    tolerance : float
    """

    def __init__(self, message: str, relative_error: float, tolerance: float) -> None:
        super().__init__(message)
        self.relative_error = relative_error
        self.tolerance = tolerance

    def __reduce__(self) -> tuple[type[NotSeparableError], tuple[str, float, float]]:
        return type(self), (str(self), self.relative_error, self.tolerance)


def check_tolerance(tolerance: object) -> float:
    """A number of at least 0."""
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float | np.integer | np.floating):
        raise TypeError(f"tolerance must be None or a number; got {tolerance!r}")
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0; got {tolerance!r}")
    return float(tolerance)
