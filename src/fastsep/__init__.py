"""Separable convolutions on CPUs, for people who work in NumPy."""

from typing import TYPE_CHECKING

from fastsep._isa import available_isas, get_isa, set_isa
from fastsep._load import load
from fastsep._memory import empty
from fastsep._squeeze_excite import SqueezeExcite
from fastsep.cost import cost, networks
from fastsep.layers import Conv, DepthwiseConv, InvertedResidual, PointwiseConv, SeparableConv
from fastsep.ops import conv, depthwise_conv, pointwise_conv, separable_conv

if TYPE_CHECKING:
    from fastsep._costs import Cost, Costs
    from fastsep._version import __version__
    from fastsep.factor import (
        ConvFactors,
        Factors,
        NotSeparableError,
        factorize,
        factorize_conv,
        is_separable,
    )
else:
    _OF_FACTOR = (
        "ConvFactors", "Factors", "NotSeparableError", "factorize", "factorize_conv", "is_separable",
    )  # fmt: skip

    def __getattr__(name):
        # To look the version up takes as long as to import all the rest, what counts costs half of that, and
        # what takes kernels apart a fifth.
        if name == "__version__":
            from fastsep._version import __version__

            return __version__
        if name in ("Cost", "Costs"):
            from fastsep import _costs

            return getattr(_costs, name)
        if name in _OF_FACTOR:
            from fastsep import factor

            return getattr(factor, name)
        raise AttributeError(f"module 'fastsep' has no attribute {name!r}")


__all__ = [
    "Conv",
    "ConvFactors",
    "Cost",
    "Costs",
    "DepthwiseConv",
    "Factors",
    "InvertedResidual",
    "NotSeparableError",
    "PointwiseConv",
    "SeparableConv",
    "SqueezeExcite",
    "__version__",
    "available_isas",
    "conv",
    "cost",
    "depthwise_conv",
    "empty",
    "factorize",
    "factorize_conv",
    "get_isa",
    "is_separable",
    "load",
    "networks",
    "pointwise_conv",
    "separable_conv",
    "set_isa",
]
