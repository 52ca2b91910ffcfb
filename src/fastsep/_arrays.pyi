"""Types of the compiled module; its documentation is in src/_kernels."""

from typing import Any

from numpy.typing import NDArray

def address_of(x: NDArray[Any], /) -> int: ...
def collect_packed(into: list[Any] | None, /) -> None: ...
