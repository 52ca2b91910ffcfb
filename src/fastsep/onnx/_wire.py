"""A serialised model without the raw data of its initialisers, which are read where they lie.

Protocol buffers: a message is a list of fields, each a varint (number << 3 | wire type) and a value; strings
and messages are preceded by their length. Only the way to the weights is known here,

    ModelProto.graph = 7, GraphProto.initializer = 5, TensorProto.raw_data = 9,

all else is copied as it is, for the onnx package to parse.
"""

from __future__ import annotations

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
# To copy a batch norm's numbers takes less time than to look for them: 1 ms of MobileNetV2's 3.
_LEAST_BYTES = 8192
# A tag and a length have ten bytes at most.
_MOST_VARINT = 10


class _UnusualError(Exception):
    """What cannot be followed: malformed, or of a form that no exporter writes."""


def split(data: memoryview, least: int = _LEAST_BYTES) -> tuple[bytes, list[memoryview | None]]:
    """Take the raw data of initialisers out of a ModelProto.

    Parameters
    ----------
    data : memoryview of bytes
    least : int
        Of what an initialiser takes, for its raw data to be taken out.

    Returns
    -------
    rest : bytes
        The model without them, or all of it if it cannot be followed: whoever parses it finds out.
    raw : list of memoryview or None
        What was taken from each initialiser, in order; None for those that are small or have no raw data.
    """
    raw: list[memoryview | None] = []
    try:
        parts: list[bytes | memoryview] = []
        for number, start, value, end in _fields(data, 0, len(data)):
            if number == _GRAPH and value is not None:
                parts += _message(_GRAPH, _graph(data, value, end, raw, least))
            else:
                parts.append(data[start:end])
        return b"".join(parts), raw
    except _UnusualError:
        return bytes(data), []


def _graph(
    data: memoryview, start: int, end: int, raw: list[memoryview | None], least: int
) -> list[bytes | memoryview]:
    parts: list[bytes | memoryview] = []
    for number, begin, value, stop in _fields(data, start, end):
        if number != _INITIALIZER or value is None:
            parts.append(data[begin:stop])
            continue
        if stop - value < least:
            parts.append(data[begin:stop])
            raw.append(None)
            continue
        kept: list[bytes | memoryview] = []
        taken = None
        for inner, first, content, last in _fields(data, value, stop):
            if inner == _RAW_DATA and content is not None and last > content:
                taken = data[content:last]
            else:
                kept.append(data[first:last])
        raw.append(taken)
        parts += _message(_INITIALIZER, kept)
    return parts


def _fields(data: memoryview, at: int, end: int) -> list[tuple[int, int, int | None, int]]:
    """Return number, beginning, beginning of the content (None unless it is bytes) and end of each field."""
    found: list[tuple[int, int, int | None, int]] = []
    while at < end:
        start = at
        tag, at = _varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        content = None
        if kind == _BYTES:
            size, content = _varint(data, at, end)
            at = content + size
        elif kind == _VARINT:
            _, at = _varint(data, at, end)
        elif kind in (_FIXED32, _FIXED64):
            at += 4 if kind == _FIXED32 else 8
        else:
            raise _UnusualError
        if at > end or number == 0:
            raise _UnusualError
        found.append((number, start, content, at))
    return found


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, the lowest first, and where it ends."""
    if at < end and data[at] < 0x80:
        return data[at], at + 1
    value = shift = 0
    for place in range(at, min(at + _MOST_VARINT, end)):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise _UnusualError


def _message(number: int, parts: list[bytes | memoryview]) -> list[bytes | memoryview]:
    """Return a field that holds a message."""
    size = sum(map(len, parts))
    head = bytearray([number << 3 | _BYTES])
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return [bytes(head), *parts]
