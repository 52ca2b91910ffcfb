"""Tensors of a model file as arrays; sizes are checked before anything is allocated."""

from __future__ import annotations

import math
import os
import stat
from typing import Any

import numpy as np

from fastsep.onnx._errors import ModelError, UnsupportedOperator
from fastsep.onnx._graph import Array
from fastsep.onnx._package import Package

# Numbers of onnx.TensorProto.DataType, without those for which NumPy has no type: bfloat16, 8-bit floats,
# 4 bits, strings.
_DTYPES = {
    number: np.dtype(name)
    for number, name in {
        1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
        9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64",
    }.items()
}  # fmt: skip
# In which repeated field values stand that aren't raw: field, dtype there.
_FIELDS = {
    1: ("float_data", np.float32), 11: ("double_data", np.float64), 7: ("int64_data", np.int64),
    12: ("uint64_data", np.uint64), 13: ("uint64_data", np.uint64),
    **dict.fromkeys((2, 3, 4, 5, 6, 9, 10), ("int32_data", np.int32)),
}  # fmt: skip
# onnx.TensorProto.EXTERNAL.
_EXTERNAL = 1
_MOST_AXES = 32
_LARGEST = 2**62


def element_type(onnx: Package, number: int, what: str) -> np.dtype[Any]:
    """The dtype of a number of `onnx.TensorProto.DataType`; `onnx` is its package.

    Raises
    ------
    ModelError
        There is no such type; UnsupportedOperator if NumPy has none for it.
    """
    if number in _DTYPES:
        return _DTYPES[number]
    names = {value: name for name, value in onnx.TensorProto.DataType.items()}
    if number not in names or number == 0:
        raise ModelError(f"{what} has element type {number}, which ONNX does not define")
    raise UnsupportedOperator(
        f"{what} has element type {names[number]}; supported are "
        f"{', '.join(sorted(map(str, _DTYPES.values())))}"
    )


def to_array(
    onnx: Package, tensor: Any, files: ExternalFiles, what: str, taken: memoryview | None = None
) -> Array:
    """A tensor of the file, as a read-only array of native byte order.

    Parameters
    ----------
    onnx : Package
    tensor : onnx.TensorProto
    files : ExternalFiles
        Where data outside of the file lie.
    what : str
        How messages name the tensor.
    taken : memoryview or None
        Its raw data, if they were left out when the model was parsed.

    Raises
    ------
    ModelError
        The data are missing, or don't fit type and dims.
    """
    dtype = element_type(onnx, tensor.data_type, what)
    shape = tuple(tensor.dims)
    if len(shape) > _MOST_AXES or any(size < 0 for size in shape):
        raise ModelError(
            f"{what} has dims {_short(shape)}: up to {_MOST_AXES} sizes of at least 0 make a shape"
        )
    if math.prod(size for size in shape if size) * dtype.itemsize > _LARGEST:
        raise ModelError(f"{what} has dims {shape}, more than any memory holds")
    if tensor.HasField("segment"):
        raise UnsupportedOperator(f"{what} is stored in segments, which is not supported")
    count = math.prod(shape)
    wanted = count * dtype.itemsize
    field, stored = _FIELDS[tensor.data_type]
    if tensor.data_location == _EXTERNAL:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        values = _from_bytes(files.read(entries, wanted, what), dtype)
    elif taken is not None or tensor.HasField("raw_data"):
        raw = tensor.raw_data if taken is None else taken
        if len(raw) != wanted:
            raise ModelError(f"{what} holds {len(raw)} bytes; {dtype} of dims {shape} takes {wanted}")
        values = _from_bytes(np.frombuffer(raw, np.uint8), dtype)
    else:
        numbers = getattr(tensor, field)
        if len(numbers) != count:
            raise ModelError(f"{what} holds {len(numbers)} numbers in {field}; dims {shape} take {count}")
        values = _from_numbers(np.fromiter(numbers, stored, count), dtype, what)
    result = values.reshape(shape)
    result.flags.writeable = False
    return result


def _short(shape: tuple[int, ...]) -> str:
    return str(shape) if len(shape) <= _MOST_AXES else f"{str(shape[:4])[:-1]}, … {len(shape)} in all)"


def _from_bytes(data: Array, dtype: np.dtype[Any]) -> Array:
    """Numbers as the file has them, little-endian and at any address; copied only where bytes are swapped."""
    values: Array = data.view(dtype.newbyteorder("<"))
    if dtype.kind == "b":
        # Any other byte than 0 and 1 would be a bool that is neither.
        return data != 0 if data.size and data.max() > 1 else values
    return values if values.dtype.isnative else values.astype(dtype)


def _from_numbers(numbers: Array, dtype: np.dtype[Any], what: str) -> Array:
    narrow = numbers.astype(np.uint16 if dtype == np.float16 else dtype)
    if numbers.dtype.kind in "iu" and not np.array_equal(narrow.astype(numbers.dtype), numbers):
        raise ModelError(f"{what} holds numbers that {dtype} cannot hold")
    return narrow.view(np.float16) if dtype == np.float16 else narrow


class ExternalFiles:
    """Data files beside the model, each mapped into memory once.

    Processes share the pages of what is not packed: the weights of plans are each process's own, and read
    here again for `save`, for pickles and for plans of other ranks alone.

    Parameters
    ----------
    folder : str or None
        The model's; None if it is known by its bytes alone.
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._maps: dict[str, Array] = {}

    def read(self, entries: dict[str, str], wanted: int, what: str) -> Array:
        """The bytes that the entries of `TensorProto.external_data` describe.

        Raises
        ------
        ModelError
            The file is missing, too short, not in the model's folder, or the range isn't `wanted` bytes long.
        """
        location = entries.get("location", "")
        data = self._maps.get(location)
        if data is None:
            data = self._maps[location] = self._map(location, what)
        offset = _number(entries.get("offset", "0"), "offset", what)
        length = _number(entries["length"], "length", what) if "length" in entries else data.size - offset
        if length != wanted:
            raise ModelError(f"{what} has {length} bytes in {location!r}; its type and dims take {wanted}")
        if offset + length > data.size:
            raise ModelError(
                f"{what} lies in bytes {offset} to {offset + length} of {location!r}, which has {data.size}"
            )
        return data[offset : offset + length]

    def _map(self, location: str, what: str) -> Array:
        if self._folder is None:
            raise ModelError(
                f"{what} lies in the file {location!r}: give the path of the model, not its bytes"
            )
        # Only here, where a model has data files: 5 ms.
        from pathlib import Path

        parts = Path(location).parts
        if not location or "\0" in location or Path(location).is_absolute() or ".." in parts:
            raise ModelError(f"{what} lies in {location!r}: the file must be in the model's folder")
        folder = Path(os.path.realpath(self._folder))
        path = Path(os.path.realpath(folder / location))
        if not path.is_relative_to(folder):
            raise ModelError(
                f"{what} lies in {location!r}, a link to {path}: the file must be in the model's folder"
            )
        try:
            status = path.stat()
        except OSError as error:
            raise ModelError(f"{what} lies in {location!r}, which cannot be read: {error.strerror}") from None
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{what} lies in {location!r}, which is no regular file")
        if status.st_size == 0:
            return np.empty(0, np.uint8)
        # The plain array keeps the map alive, and pickles and prints as arrays do.
        return np.asarray(np.memmap(path, np.uint8, mode="r"))


def _number(text: str, name: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ModelError(f"{what} has the {name} {text[:40]!r}: it must be a number of bytes")
    return int(text)
