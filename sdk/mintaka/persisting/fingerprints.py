"""The same value, the same fingerprint: in every process, whatever the order of a set or a dict.

JSON alone cannot tell (1, 2) from [1, 2] or {1: x} from {"1": x}, and a pickle depends on which equal objects are the same
object and, for a script's classes, on all that they mention. So values are written down in a notation of their own: kind
by kind, sets and dicts in the order of what is written, objects by their class's name and what they would tell `pickle` of
themselves. Functions that cannot be imported, and objects in a circle, are left to cloudpickle.
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from enum import Enum
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any

from mintaka.exceptions import message_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class NoFingerprint(Exception):
    """The value has none; the message says why."""


def fingerprint(*values: Any) -> str:
    """64 hexadecimal digits that stand for `values`.

    Raises:
        NoFingerprint: one of them, or something in it, can be neither written down nor pickled.
    """
    from hashlib import sha256  # noqa: PLC0415 - start-up time

    try:
        written = _written(values)
    except RecursionError:
        written = _pickled(values)
    return sha256(written).hexdigest()


def _written(value: Any) -> bytes:
    kind = type(value)
    write = _WRITERS.get(kind)
    if write is not None:
        return write(value)
    if isinstance(value, Enum):
        return b"enum:%s.%s;" % (_class(kind), value.name.encode())
    if is_dataclass(value) and not isinstance(value, type):
        return b"data:%s%s" % (_class(kind), _joined(part for f in fields(value) for part in (f.name, getattr(value, f.name))))
    if hasattr(kind, "__pydantic_fields__"):
        return b"model:%s%s" % (_class(kind), _mapping(value.__dict__))
    if kind.__module__ == "numpy" and hasattr(value, "tobytes") and value.dtype.kind != "O":
        return b"array:%s %s %s;" % (str(value.dtype).encode(), str(value.shape).encode(), value.tobytes())
    if isinstance(value, (type, FunctionType, BuiltinFunctionType)):
        return _named(value)
    return b"object:%s" % _reduced(value)


def _named(value: Any) -> bytes:
    """A class or function: its name where it can be imported by it, else, for a function, its pickle."""
    name = f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, FunctionType) and ("<" in name or value.__module__ == "__main__"):
        return b"function:%s;" % _pickled(value)
    return b"name:%s;" % name.encode()


def _reduced(value: Any) -> bytes:
    """What an object tells `pickle` of itself."""
    try:
        told = value.__reduce_ex__(4)
    except Exception as error:
        message = f"a {type(value).__name__} can be neither written as JSON nor pickled: {type(error).__name__}: {message_of(error)}"
        raise NoFingerprint(message) from error
    if isinstance(told, str):
        return f"{_class(type(value)).decode()}.{told}".encode()
    parts: list[Any] = [*told, None, None, None]
    make, args, state, items, pairs = parts[:5]
    return _joined((make, args, state, list(items or ()), list(map(list, pairs or ()))))


def _joined(values: Iterable[Any]) -> bytes:
    parts = [_written(value) for value in values]
    return b"(%s)" % b"".join(b"%d:%s" % (len(part), part) for part in parts)


def _mapping(value: dict[Any, Any]) -> bytes:
    return b"{%s}" % b"".join(sorted(_joined(item) for item in value.items()))


def _unordered(value: Iterable[Any]) -> bytes:
    return b"<%s>" % b"".join(sorted(_joined((item,)) for item in value))


def _class(kind: type) -> bytes:
    return f"{kind.__module__}.{kind.__qualname__}".encode()


def _pickled(value: Any) -> bytes:
    import cloudpickle  # noqa: PLC0415 - start-up time

    try:
        blob: bytes = cloudpickle.dumps(value, protocol=5)
    except Exception as error:
        message = f"a {type(value).__name__} can be neither written as JSON nor pickled: {type(error).__name__}: {message_of(error)}"
        raise NoFingerprint(message) from error
    return blob


_WRITERS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"null",
    bool: lambda value: b"true" if value else b"false",
    int: lambda value: b"%d" % value,
    float: lambda value: b"float:%s" % value.hex().encode(),
    str: lambda value: json.dumps(value).encode(),
    bytes: lambda value: b"bytes:%s" % value,
    list: lambda value: b"list%s" % _joined(value),
    tuple: lambda value: b"tuple%s" % _joined(value),
    set: lambda value: b"set%s" % _unordered(value),
    frozenset: lambda value: b"frozenset%s" % _unordered(value),
    dict: lambda value: b"dict%s" % _mapping(value),
}
