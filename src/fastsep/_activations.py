"""The activations: their names, what the epilogue is given for them, and how exact they are."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from numbers import Real
from types import MappingProxyType
from typing import Any

import numpy as np

Activation = str | tuple[float, float] | None

#: Greatest error in units in the last place of the exact result, by activation and dtype; derived in
#: src/_kernels/activation.md and searched for by the tests.
ULP: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "relu": {"float32": 0, "float64": 0},
        "relu6": {"float32": 0, "float64": 0},
        "sigmoid": {"float32": 3, "float64": 3},
        "hard_sigmoid": {"float32": 2, "float64": 2},
        "silu": {"float32": 4, "float64": 4},
        "hard_swish": {"float32": 2, "float64": 2},
        "gelu": {"float32": 6, "float64": 6},
        "gelu_tanh": {"float32": 4, "float64": 4},
    }
)

_CLAMPS = {None: (-math.inf, math.inf), "relu": (0.0, math.inf), "relu6": (0.0, 6.0)}


_PLAIN = (float, int)
_SINGLE = struct.Struct("f")


def _held(bound: float, dtype: np.dtype[Any]) -> float:
    """Round as the kernel's element type holds a bound, so that it means the same everywhere.

    By `struct`: that NumPy shall not warn of a bound beyond float32 costs 2 µs a call.
    """
    if dtype.itemsize == 8:
        return bound
    try:
        return float(_SINGLE.unpack(_SINGLE.pack(bound))[0])
    except OverflowError:
        return math.copysign(math.inf, bound)


def epilogue(activation: object, name: str, dtype: np.dtype[Any]) -> tuple[str, float, float]:
    """What the kernels take for an activation: (curve, low, high).

    Raises
    ------
    ValueError
        `activation` is not one of the contract's; a clamp is reversed or NaN.
    TypeError
        `activation` is of a wrong type.
    """
    if activation is None or (isinstance(activation, str) and activation in _CLAMPS):
        low, high = _CLAMPS[activation]
        return "clamp", low, high
    if isinstance(activation, str):
        if activation in ULP:
            return activation, -math.inf, math.inf
        raise ValueError(
            f"{name} must be None, one of {', '.join(map(repr, ULP))} or a (low, high) pair; "
            f"got {activation!r}"
        )
    if isinstance(activation, tuple):
        if len(activation) != 2:
            raise ValueError(f"{name} as a clamp must be a (low, high) pair; got {activation!r}")
        for bound in activation:
            if type(bound) not in _PLAIN and (not isinstance(bound, Real) or isinstance(bound, bool)):
                raise TypeError(f"{name}=(low, high) must hold two numbers; got {activation!r}")
        try:
            low, high = _held(float(activation[0]), dtype), _held(float(activation[1]), dtype)
        except OverflowError:
            raise ValueError(
                f"{name}=(low, high) must hold numbers that a float can hold; got {activation!r}"
            ) from None
        if not low <= high:
            raise ValueError(f"{name}=(low, high) needs low <= high and no NaN; got {activation!r}")
        return "clamp", low, high
    raise TypeError(f"{name} must be None, a str or a (low, high) tuple; got {type(activation).__name__}")
