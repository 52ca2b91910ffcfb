"""Separable convolutions on CPUs, for people who work in NumPy."""

from fastsep._isa import available_isas, get_isa, set_isa
from fastsep._squeeze_excite import SqueezeExcite
from fastsep._version import __version__
from fastsep.layers import Conv, DepthwiseConv, InvertedResidual, PointwiseConv, SeparableConv
from fastsep.ops import conv, depthwise_conv, pointwise_conv, separable_conv

__all__ = [
    "Conv",
    "DepthwiseConv",
    "InvertedResidual",
    "PointwiseConv",
    "SeparableConv",
    "SqueezeExcite",
    "__version__",
    "available_isas",
    "conv",
    "depthwise_conv",
    "get_isa",
    "pointwise_conv",
    "separable_conv",
    "set_isa",
]
