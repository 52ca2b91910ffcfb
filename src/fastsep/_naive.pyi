"""Types of the compiled module; its documentation is in src/_kernels."""

from typing import Literal

from fastsep._validate import Array

Pair = int | tuple[int, int]

def conv(
    x: Array,
    kernel: Array,
    strides: Pair = 1,
    padding: Literal["valid", "same"] = "valid",
    dilation_rate: Pair = 1,
    *,
    out: Array | None = None,
    threads: int = 1,
) -> Array: ...
def depthwise_conv(
    x: Array,
    kernel: Array,
    strides: Pair = 1,
    padding: Literal["valid", "same"] = "valid",
    dilation_rate: Pair = 1,
    *,
    out: Array | None = None,
    threads: int = 1,
) -> Array: ...
def pointwise_conv(x: Array, kernel: Array, *, out: Array | None = None, threads: int = 1) -> Array: ...
