"""What a user says in SciPy's words, checked: the exceptions are those of scipy.ndimage.

Each message names the argument, what it got and what would be right.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.exceptions import AxisError
from numpy.typing import NDArray

from fastsep import _validate
from fastsep._memory import empty
from fastsep._passes import MODES

Array = NDArray[Any]

# bool, the integers, float32 and float64. SciPy takes no others either.
_REAL = frozenset("?bBhHiIlLqQfd")
_COMPLEX = frozenset("FD")


def mode(value: Any) -> str:
    """One mode by its plain name."""
    try:
        return MODES[value]
    except (KeyError, TypeError):
        raise RuntimeError(
            f"boundary mode not supported: mode must be one of {', '.join(map(repr, MODES))}; got {value!r}"
        ) from None


def integer(value: Any, name: str) -> int:
    """An integer of Python's or NumPy's."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer; got {value!r}") from None


def number(value: Any, name: str) -> Any:
    """The value, which can be compared with a number."""
    if value is None or isinstance(value, str | bytes) or np.ndim(value) or np.iscomplexobj(value):
        raise TypeError(f"{name} must be a real number; got {value!r}")
    return value


def per_axis(value: Any, count: int, name: str) -> list[Any]:
    """One value per filtered axis, from such a sequence or a single value."""
    if isinstance(value, str) or not np.iterable(value):
        return [value] * count
    values = list(value)
    if len(values) != count:
        raise RuntimeError(
            f"sequence argument must have length equal to input rank: {name} must hold {count} values, "
            f"one per filtered axis; got {value!r}"
        )
    return values


def axis(value: Any, ndim: int) -> int:
    """One axis, counted from 0."""
    index = integer(value, "axis")
    if not -ndim <= index < ndim:
        raise AxisError(index, ndim)
    return index % ndim


def axes(value: Any, ndim: int) -> tuple[int, ...]:
    """The filtered axes, counted from 0, in the order given; None is all."""
    if value is None:
        return tuple(range(ndim))
    if np.isscalar(value):
        return (axis(value, ndim),)
    if not isinstance(value, Iterable):
        raise ValueError(f"axes must be an integer, iterable of integers, or None; got {value!r}")
    indices = tuple(integer(item, "axes") for item in value)
    for index in indices:
        if not -ndim <= index < ndim:
            raise ValueError(f"axes: specified axis: {index} is out of range for an input of {ndim} axes")
    positive = tuple(index % ndim for index in indices)
    if len(set(positive)) != len(positive):
        raise ValueError(f"axes must be unique; got {value!r}")
    return positive


def before(origin: Any, size: int, extension: str, length: str = "len(weights)") -> int:
    """How many taps precede the output's own position; `length` says in words what `size` is."""
    shift = integer(origin, "origin")
    if not -(size // 2) <= shift <= (size - 1) // 2:
        raise ValueError(
            f"Invalid origin; origin must satisfy -({length} // 2) <= origin <= ({length} - 1) // 2, "
            f"here {-(size // 2)} … {(size - 1) // 2}; got {origin!r}"
        )
    return 0 if extension == "valid" else size // 2 + shift


def no_origin_in_valid(origin: Any, extension: str) -> None:
    """Where nothing is extended, there is nothing to shift."""
    if extension == "valid" and integer(origin, "origin") != 0:
        raise ValueError(
            f'origin must be 0 with mode="valid", which has every whole position; got {origin!r}'
        )


def cval(value: Any, complex_input: bool) -> Any:
    """The constant beyond the ends: a float, or complex for complex input."""
    if type(value) is float:
        return value
    if value is None or isinstance(value, str | bytes) or np.ndim(value):
        raise TypeError(f"cval must be real number, not {type(value).__name__}: got {value!r}")
    if np.iscomplexobj(value):
        if not complex_input:
            raise TypeError(
                f"cval must be real number, not {type(value).__name__}, for a real input; got {value!r}"
            )
        return complex(value)
    return float(value)


def weights_1d(value: Any, name: str = "weights") -> Array:
    """Taps as float64, or complex128: a copy, for passes that are kept."""
    taps = numbers_of(np.array(value), name)
    if taps.ndim != 1 or taps.shape[0] < 1:
        raise RuntimeError(
            f"no filter weights given: {name} must be a 1-d sequence of at least one number; "
            f"got shape {taps.shape}"
        )
    return taps


def numbers_of(weights: Array, name: str = "weights") -> Array:
    """Weights as float64, or complex128, in C order; the same array where it is that already."""
    try:
        return weights.astype(np.complex128 if weights.dtype.kind == "c" else np.float64, "C", copy=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} must hold numbers; got {weights.tolist()!r}") from None


def real_array(array: Array, name: str, error: type[Exception] = RuntimeError) -> None:
    """SciPy's own refusal of other types."""
    if array.dtype.char not in _REAL:
        raise error(
            f"array type dtype({str(array.dtype)!r}) not supported: {name} must be bool, an integer, float32 "
            "or float64 (or complex64, complex128 with complex input or weights); convert it with astype"
        )


def filterable(array: Array, name: str) -> None:
    """Real or complex, of a type that SciPy filters."""
    if array.dtype.char not in _COMPLEX:
        real_array(array, name)


def _new(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array to fill; of a type that will be refused, what NumPy makes."""
    filtered = dtype.char in _REAL or dtype.char in _COMPLEX
    return empty(shape, dtype) if filtered else np.zeros(shape, dtype)


def output(
    value: Any, given: Array, shape: tuple[int, ...] | None = None, complex_output: bool = False
) -> Array:
    """The array to write to: SciPy's rules for None, a dtype or its class, a string, an array."""
    if shape is None:
        shape = given.shape
    if value is None:
        # Of text and records SciPy makes no output: there its error is another.
        if given.dtype.kind in "SUV":
            real_array(given, "input", TypeError)
        if complex_output:
            return _new(shape, np.promote_types(given.dtype, np.complex64))
        # By its name, so that the byte order is the machine's.
        return _new(shape, given.dtype if given.dtype.isnative else np.dtype(given.dtype.name))
    if isinstance(value, type | np.dtype):
        if complex_output and np.dtype(value).kind != "c":
            warnings.warn("promoting specified output dtype to complex", stacklevel=4)
            value = np.promote_types(value, np.complex64)
        return _new(shape, np.dtype(value))
    if isinstance(value, str):
        kind = np.dtype(value)
        if complex_output and kind.kind != "c":
            raise RuntimeError(f"output must have complex dtype; got {value!r}")
        if not issubclass(kind.type, np.number):
            raise RuntimeError(f"output must have numeric dtype; got {value!r}")
        return _new(shape, kind)
    result = np.asarray(value)
    if result.shape != shape:
        raise RuntimeError(f"output shape not correct: output must have shape {shape}; got {result.shape}")
    if complex_output and result.dtype.kind != "c":
        raise RuntimeError(f"output must have complex dtype; got {result.dtype}")
    if not result.flags.writeable:
        raise ValueError("output array is read-only.")
    if not result.flags.c_contiguous and _validate.overlaps_itself(result):
        raise ValueError(f"output must not overlap itself; got strides {result.strides}, shape {shape}")
    return result
