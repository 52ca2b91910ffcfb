"""The one home of argument errors. Each says which argument, what it got, and what would be right."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastsep._memory import empty

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    # numpy.typing is for readers and checkers of types: 0.7 ms.
    Array = np.ndarray
Window = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], Any]

_FLOAT32, _FLOAT64 = _DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
# Strides, dilation and padding beyond this are mistakes, and would overflow 64-bit byte offsets.
_MOST = 2**31 - 1


def _shape_of(array: Array) -> str:
    return "(" + ", ".join(str(size) for size in array.shape) + ("," if array.ndim == 1 else "") + ")"


def dtype_of_array(
    value: object, name: str, dtype: np.dtype[Any] | None = None, dtype_of: str = "kernel"
) -> np.dtype[Any]:
    """The native dtype of an array, checked to be float32 or float64, and `dtype` if given."""
    # The usual array first, by identity: this is half of what a small call spends on its operands.
    if type(value) is np.ndarray:
        given = value.dtype
        if (given is _FLOAT32 or given is _FLOAT64) and (dtype is None or dtype is given):
            return given
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be a np.ndarray of float32 or float64; got {type(value).__name__}")
    # To ask for np.ma imports it: 1 MB, 10 ms.
    if type(value) is not np.ndarray and isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain np.ndarray; got a MaskedArray, whose mask would be ignored")
    native: np.dtype[Any] = value.dtype.newbyteorder("=")
    if dtype is not None and native != dtype:
        raise TypeError(
            f"{name} has dtype {value.dtype}, {dtype_of} has dtype {dtype}: they must be the same"
        )
    if native not in _DTYPES:
        raise TypeError(f"{name} must have dtype float32 or float64; got {value.dtype}")
    return native


def array(value: Any, name: str, dtype: np.dtype[Any] | None = None, dtype_of: str = "kernel") -> Array:
    """`value` as a native-endian float32 or float64 array; only byte-swapped arrays are copied."""
    native = dtype_of_array(value, name, dtype, dtype_of)
    if value.dtype is native:
        return value  # type: ignore[no-any-return]
    result: Array = value if value.dtype.isnative else value.astype(native)
    return result


def axes(value: object, name: str, rank: int) -> tuple[int, ...]:
    """An int, or one int per spatial axis, each at least 1."""
    if type(value) is int and 1 <= value <= _MOST:
        return (value,) * rank
    if (
        type(value) is tuple
        and len(value) == rank
        and all(type(item) is int and 1 <= item <= _MOST for item in value)
    ):
        return value
    if isinstance(value, tuple | list):
        if len(value) != rank:
            raise ValueError(f"{name} must be an int or {rank} ints, one per spatial axis; got {value!r}")
        items = list(value)
    else:
        items = [value] * rank
    result = []
    for item in items:
        if isinstance(item, bool | np.bool_):
            raise TypeError(f"{name} must be an int or one int per spatial axis; got {value!r}")
        try:
            number = operator.index(item)
        except TypeError:
            raise TypeError(f"{name} must be an int or one int per spatial axis; got {value!r}") from None
        if not 1 <= number <= _MOST:
            raise ValueError(f"{name} must be at least 1 and at most {_MOST}; got {value!r}")
        result.append(number)
    return tuple(result)


def _padding_number(item: object, value: object) -> int:
    if isinstance(item, bool | np.bool_):
        raise TypeError(f"padding must hold ints; got {value!r}")
    try:
        number = operator.index(item)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"padding must hold ints; got {value!r}") from None
    if not 0 <= number <= _MOST:
        raise ValueError(
            f"padding must not be negative (crop the input instead) nor over {_MOST}; got {value!r}"
        )
    return number


def _is_plain_pair(pair: object) -> bool:
    """Whether nothing about a (before, after) pair needs a closer look, which takes 3 µs for two."""
    if type(pair) is not tuple or len(pair) != 2:
        return False
    before, after = pair
    return type(before) is int and type(after) is int and 0 <= before <= _MOST and 0 <= after <= _MOST


def padding(value: object, rank: int) -> str | tuple[tuple[int, int], ...]:
    """One (before, after) pair per spatial axis for "valid" and ints; "same" and "same_lower" stay."""
    if isinstance(value, str):
        if value == "valid":
            return ((0, 0),) * rank
        if value in ("same", "same_lower"):
            return value
        raise ValueError(
            'padding must be "valid", "same", "same_lower", an int or one (before, after) pair per spatial '
            f"axis; got {value!r}"
        )
    if isinstance(value, tuple | list):
        if type(value) is tuple and len(value) == rank and all(map(_is_plain_pair, value)):
            return value
        if all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in value) and len(value) == rank:
            before_after = [tuple(_padding_number(item, value) for item in pair) for pair in value]
            return tuple((before, after) for before, after in before_after)
        if value and all(isinstance(item, int | np.integer) for item in value):
            sizes = value if len(value) == rank else value[:1] * rank
            pairs = [tuple(value)] if rank == 1 and len(value) == 2 else [(size, size) for size in sizes]
            raise ValueError(
                f"padding={value!r} is ambiguous; write one (before, after) pair per spatial axis, "
                f"such as {tuple(pairs)!r}, or a single int"
            )
        raise ValueError(
            f"padding must hold {rank} (before, after) pairs, one per spatial axis; got {value!r}"
        )
    number = _padding_number(value, value)
    return ((number, number),) * rank


def channels_first(data_format: object) -> bool:
    if data_format is None or (isinstance(data_format, str) and data_format == "channels_last"):
        return False
    if isinstance(data_format, str) and data_format == "channels_first":
        return True
    raise ValueError(f'data_format must be None, "channels_last" or "channels_first"; got {data_format!r}')


def kernel(
    value: object,
    name: str,
    form: str,
    ranks: tuple[int, ...],
    dtype: np.dtype[Any] | None = None,
    dtype_of: str = "kernel",
) -> Array:
    """A kernel whose spatial rank (axes before the last two) is one of `ranks`, with no axis of length 0."""
    result = array(value, name, dtype, dtype_of)
    if result.ndim - 2 not in ranks:
        raise ValueError(
            f"{name} must have the form {form}; got {result.ndim} axes, shape {_shape_of(result)}"
        )
    if 0 in result.shape:
        raise ValueError(f"{name} must not have an axis of length 0; got shape {_shape_of(result)}")
    return result


def pointwise_kernel(
    value: object, name: str, dtype: np.dtype[Any] | None = None, dtype_of: str = "kernel"
) -> Array:
    """A kernel (Cin, Cout) or (1, …, 1, Cin, Cout), at its own shape."""
    result = kernel(value, name, "(Cin, Cout) or (1, …, 1, Cin, Cout)", (0, 1, 2, 3), dtype, dtype_of)
    if result.ndim > 2 and any(size != 1 for size in result.shape[:-2]):
        raise ValueError(
            f"{name} must have the form (Cin, Cout) or (1, …, 1, Cin, Cout): "
            f"a pointwise convolution has one tap; got shape {_shape_of(result)}"
        )
    return result


def bias(
    value: object, name: str, channels: int, dtype: np.dtype[Any], dtype_of: str = "kernel"
) -> Array | None:
    if value is None:
        return None
    result = array(value, name, dtype, dtype_of)
    if result.shape != (channels,):
        raise ValueError(
            f"{name} must have shape ({channels},), one per output channel; got {_shape_of(result)}"
        )
    return result


def instance(value: object, name: str, kind: type) -> None:
    """`value` is None or of a class of the package's own."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be None or a fastsep.{kind.__name__}; got {value!r}")


def window(kernel_shape: tuple[int, ...], strides: object, pads: object, dilation_rate: object) -> Window:
    """(taps, strides, dilation_rate, padding), one entry per spatial axis."""
    rank = len(kernel_shape)
    dilation = axes(dilation_rate, "dilation_rate", rank)
    if max(kernel_shape) * max(dilation) > _MOST:
        for taps, step in zip(kernel_shape, dilation, strict=True):
            if (taps - 1) * step > _MOST:
                raise ValueError(
                    f"dilation_rate={dilation_rate!r} makes a kernel of {taps} taps wider than {_MOST}"
                )
    return kernel_shape, axes(strides, "strides", rank), dilation, padding(pads, rank)


def keeps_size(window: Window) -> bool:
    """Whether outputs are as large as their inputs, whatever the size of these."""
    taps, strides, dilation, pads = window
    if any(step != 1 for step in strides):
        return False
    if isinstance(pads, str):
        return True
    reaches = ((count - 1) * step for count, step in zip(taps, dilation, strict=True))
    return all(before + after == reach for (before, after), reach in zip(pads, reaches, strict=True))


def residual_window(window: Window, strides: object, pads: object) -> None:
    """The window of a block that adds its inputs, which needs outputs of their size."""
    if keeps_size(window):
        return
    if any(step != 1 for step in window[1]):
        raise ValueError(
            "residual=True needs strides=1, so that outputs are as large as the inputs; "
            f"got strides={strides!r}"
        )
    reaches = tuple((count - 1) * step for count, step in zip(window[0], window[2], strict=True))
    raise ValueError(
        'residual=True needs padding="same", or pairs that sum to (taps - 1)·dilation, '
        f"{reaches}, so that outputs are as large as the inputs; got padding={pads!r}"
    )


def inputs(
    value: object, ranks: tuple[int, ...], first: bool, dtype: np.dtype[Any], dtype_of: str = "kernel"
) -> Array:
    """The array a plan is called with, of one of the ranks it can take."""
    result = array(value, "inputs", dtype, dtype_of)
    if result.ndim - 2 not in ranks:
        form = "(batch, channels, *spatial)" if first else "(batch, *spatial, channels)"
        wanted = " or ".join(str(rank + 2) for rank in ranks)
        raise ValueError(
            f"inputs must have {wanted} axes, {form}; got {result.ndim} axes, shape {_shape_of(result)}"
        )
    return result


def shape(value: object) -> tuple[int, ...]:
    """The shape of an array that `describe` is asked about."""
    if not isinstance(value, tuple | list):
        raise TypeError(f"input_shape must be a tuple of ints; got {value!r}")
    for size in value:
        if isinstance(size, bool) or not isinstance(size, int | np.integer):
            raise TypeError(f"input_shape must be a tuple of ints; got {value!r}")
        if size < 0:
            raise ValueError(f"input_shape must not hold a negative size; got {value!r}")
    return tuple(int(size) for size in value)


def unallocated(value: object, dtype: np.dtype[Any]) -> Array:
    """A contiguous array of that shape in name only, for whoever asks its shape and strides."""
    sizes = shape(value)
    strides, step = [], dtype.itemsize
    for size in reversed(sizes):
        strides.append(step)
        step *= max(size, 1)
    if step > 2**63 - 1:
        raise ValueError(f"input_shape {sizes} needs an array too big for this machine, of {step} bytes")
    return np.lib.stride_tricks.as_strided(np.empty(1, dtype), sizes, strides[::-1], writeable=False)


def split_shape(shape: tuple[int, ...], first: bool) -> tuple[int, tuple[int, ...], int]:
    """(batch, spatial, channels) of a shape in either data format."""
    return (shape[0], shape[2:], shape[1]) if first else (shape[0], shape[1:-1], shape[-1])


def join_shape(batch: int, spatial: tuple[int, ...], channels: int, first: bool) -> tuple[int, ...]:
    return (batch, channels, *spatial) if first else (batch, *spatial, channels)


def input_channels(got: int, wanted: int, name: str) -> None:
    if got != wanted:
        raise ValueError(f"inputs have {got} channels, {name} takes {wanted}")


def groups(channels: int, kernel_shape: tuple[int, ...]) -> int:
    """How many groups a kernel (*K, Cin/groups, Cout) makes of `channels` input channels."""
    inputs_a_group, outputs = kernel_shape[-2:]
    if channels == 0 or channels % inputs_a_group:
        raise ValueError(
            f"inputs have {channels} channels, not a positive multiple of the {inputs_a_group} that kernel "
            "takes a group (kernel has the form (*K, Cin/groups, Cout))"
        )
    count = channels // inputs_a_group
    if outputs % count:
        raise ValueError(f"kernel has {outputs} output channels, which {count} groups do not divide")
    return count


def residual(value: object, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array | None:
    if value is None:
        return None
    result = array(value, "residual", dtype, "inputs")
    if result.shape != shape:
        raise ValueError(f"residual must have the output's shape {shape}; got {result.shape}")
    return result


def overlaps_itself(value: Array) -> bool:
    """Whether two elements of an array share a byte."""
    steps = sorted(
        (abs(step), size) for step, size in zip(value.strides, value.shape, strict=True) if size > 1
    )
    reach = value.itemsize
    if value.size == 0:
        return False
    for step, size in steps:
        if step < reach:
            break
        reach += step * (size - 1)
    else:
        return False
    # Axes interleave, which is legal as long as no two elements meet: rare, so the plain check will do.
    offsets = np.zeros(1, np.int64)
    for step, size in steps:
        offsets = (offsets[:, np.newaxis] + step * np.arange(size)).ravel()
    offsets.sort()
    return bool((np.diff(offsets) < value.itemsize).any())


def out(value: object, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """The array to write to, or a new one."""
    if value is None:
        try:
            return empty(shape, dtype)
        except (MemoryError, ValueError) as error:
            # NumPy's own class of MemoryError takes no message.
            kind = MemoryError if isinstance(error, MemoryError) else ValueError
            raise kind(f"there is no room for an output of shape {shape}, {dtype}") from None
    if not isinstance(value, np.ndarray):
        raise TypeError(f"out must be a np.ndarray of {dtype}; got {type(value).__name__}")
    if type(value) is not np.ndarray and isinstance(value, np.ma.MaskedArray):
        raise TypeError("out must be a plain np.ndarray; got a MaskedArray, whose mask would be ignored")
    if not value.dtype.isnative:
        raise TypeError(f"out must have the machine's byte order, {dtype}; got {value.dtype.str}")
    if value.dtype != dtype:
        raise TypeError(f"out has dtype {value.dtype}, inputs have dtype {dtype}: they must be the same")
    if value.shape != shape:
        raise ValueError(f"out must have the output's shape {shape}; got {value.shape}")
    if not value.flags.writeable:
        raise ValueError("out must be writeable; got a read-only array")
    if not value.flags.c_contiguous and overlaps_itself(value):
        raise ValueError(f"out must not overlap itself; got shape {value.shape}, strides {value.strides}")
    return value
