"""Models that are almost valid: one field of one message of a model changed, left out or repeated."""

from __future__ import annotations

from random import Random
from typing import Any

import onnx

# What sizes, counts, enumerators and offsets may be confused with; 2**40 elements fit no memory.
_INTEGERS = (-(2**63), 2**63 - 1, 2**40, 2**31, 2**31 - 1, 2**20, 65536, 100, 5, 3, 2, 1, 0, -1, -7)
_REALS = (0.0, -1.0, 1e30, float("inf"), float("nan"))
_TEXTS = ("", "x", "w", "Conv", "Add", "Reshape", "SAME_UPPER", "no such name")

Place = tuple[Any, Any]


def mutate(proto: onnx.ModelProto, random: Random) -> None:
    """Change one field."""
    message, field = random.choice(_places(proto))
    if field.is_repeated:
        _change_list(message, field, random)
    elif field.message_type or random.random() < 0.2:
        message.ClearField(field.name)
    else:
        _set(message, field, _value(field, getattr(message, field.name), random))


def _places(message: Any) -> list[Place]:
    """Every field of every message."""
    found: list[Place] = []
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated:
            inner = list(getattr(message, field.name)) if field.message_type else []
        else:
            inner = (
                [getattr(message, field.name)] if field.message_type and message.HasField(field.name) else []
            )
        found.append((message, field))
        for each in inner:
            found += _places(each)
    return found


def _change_list(message: Any, field: Any, random: Random) -> None:
    values = getattr(message, field.name)
    place = random.randrange(len(values)) if len(values) else None
    kind = random.choice(("delete", "change", "repeat"))
    if place is not None and kind == "delete":
        del values[place]
    elif field.message_type:
        if place is not None:
            copy = type(values[place])()
            copy.CopyFrom(random.choice(values))
            if kind == "change":
                values[place].CopyFrom(copy)
            else:
                values.append(copy)
    elif place is not None and kind == "change":
        values[place] = _value(field, values[place], random)
    elif len(values) < 100:
        values.append(_value(field, values[place] if place is not None else field.default_value, random))


def _set(message: Any, field: Any, value: Any) -> None:
    try:
        setattr(message, field.name, value)
    except ValueError:
        # An enumerator that the message cannot hold.
        message.ClearField(field.name)


def _value(field: Any, old: Any, random: Random) -> Any:
    kinds = type(field)
    if field.cpp_type in (kinds.CPPTYPE_FLOAT, kinds.CPPTYPE_DOUBLE):
        return random.choice(_REALS)
    if field.type == kinds.TYPE_BYTES:
        return random.choice((b"", b"\xff", b"SAME_LOWER", bytes(old)[:-1], bytes(old)[:1000] * 2))
    if field.cpp_type == kinds.CPPTYPE_STRING:
        return random.choice((*_TEXTS, f"{old}x"))
    if field.cpp_type == kinds.CPPTYPE_ENUM:
        return random.randint(0, 30)
    number = random.choice((*_INTEGERS, int(old or 0) + 1, int(old or 0) - 1))
    if field.cpp_type == kinds.CPPTYPE_INT32:
        return max(-(2**31), min(number, 2**31 - 1))
    if field.cpp_type == kinds.CPPTYPE_UINT64:
        return max(0, number)
    return max(-(2**63), min(number, 2**63 - 1))
