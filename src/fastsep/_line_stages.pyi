"""Types of the compiled module; its documentation is in src/_kernels."""

from typing import Any

from numpy.typing import NDArray

def folding_of(weights: NDArray[Any], /) -> int: ...
