"""Values that JSON cannot say, as JSON objects that name their class: `{"__class__": "datetime:date", "data": "2024-05-06"}`.

Python's own values have forms of their own (`_FORMS`), those of the user's classes are in `mintaka.persisting.json_classes`.
Tuples come back as lists, keys as text, members of `IntEnum` and `StrEnum` as numbers and texts, as in any JSON.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import pathlib
import re
from collections import deque
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from math import isfinite
from typing import TYPE_CHECKING, Any
from uuid import UUID

from mintaka.persisting.json_classes import class_at, fields_of, has_state, made, name_of, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

_CLASS, _DATA, _OF = "__class__", "data", "of"
#: What every JSON library can write as a number.
_LOWEST, _HIGHEST, _SMALL = -(2**63), 2**63 - 1, 2**53
_PLAIN_KEYS = frozenset({str, int, float, bool, type(None)})


def _datetime_text(moment: datetime) -> str:
    """ISO 8601, with the name of its time zone as in RFC 9557 if it has one."""
    zone = getattr(moment.tzinfo, "key", None)
    return moment.isoformat() + (f"[{zone}]" if zone else "")


def _datetime(text: str) -> datetime:
    moment, _, zone = text.removesuffix("]").partition("[")
    if not zone:
        return datetime.fromisoformat(moment)
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - start-up time

    return datetime.fromisoformat(moment).astimezone(ZoneInfo(zone))


def _hashable(value: Any) -> Any:
    """An element of a set or a key: a list in its place was a tuple."""
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _base64(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode("ascii")


#: By class: what is written, and what that is read with.
_FORMS: dict[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    date: (date.isoformat, date.fromisoformat),
    datetime: (_datetime_text, _datetime),
    time: (time.isoformat, time.fromisoformat),
    timedelta: (lambda span: [span.days, span.seconds, span.microseconds], lambda parts: timedelta(*parts)),
    UUID: (str, UUID),
    bytes: (_base64, base64.b64decode),
    bytearray: (_base64, lambda text: bytearray(base64.b64decode(text))),
    set: (list, lambda items: set(map(_hashable, items))),
    frozenset: (list, lambda items: frozenset(map(_hashable, items))),
    deque: (list, deque),
    Decimal: (str, Decimal),
    Fraction: (str, Fraction),
    complex: (str, complex),
    re.Pattern: (lambda pattern: [pattern.pattern, pattern.flags], lambda parts: re.compile(*parts)),
    pathlib.Path: (str, pathlib.Path),
    pathlib.PurePosixPath: (str, pathlib.PurePosixPath),
    pathlib.PureWindowsPath: (str, pathlib.PureWindowsPath),
    ipaddress.IPv4Address: (str, ipaddress.IPv4Address),
    ipaddress.IPv6Address: (str, ipaddress.IPv6Address),
    ipaddress.IPv4Network: (str, ipaddress.IPv4Network),
    ipaddress.IPv6Network: (str, ipaddress.IPv6Network),
    ipaddress.IPv4Interface: (str, ipaddress.IPv4Interface),
    ipaddress.IPv6Interface: (str, ipaddress.IPv6Interface),
    # What only some libraries cannot say (NaN, large numbers, half characters), and a dict with our own key or keys such as dates.
    float: (str, float),
    int: (str, int),
    str: (json.dumps, json.loads),
    dict: (lambda mapping: [*map(list, mapping.items())], lambda items: {_hashable(key): part for key, part in items}),
}
_LOCAL_PATH = type(pathlib.Path())


def _form_name(kind: type) -> str:
    return f"{kind.__module__.partition('.')[0]}:{kind.__qualname__}"


#: By its name: a class that may be the parameter of a generic model.
_KINDS = {_form_name(kind): kind for kind in (*_FORMS, bool, list, tuple)}


def encode_object(value: Any) -> dict[str, Any]:
    """The JSON object for a value that JSON cannot say; what is in it may be such a value again.

    Raises:
        TypeError: there is none.
    """
    kind = pathlib.Path if type(value) is _LOCAL_PATH else type(value)
    form = _FORMS.get(kind)
    if form is not None:
        return {_CLASS: _form_name(kind), _DATA: form[0](value)}
    fields = fields_of(value)
    if fields is None:
        message = f"a {kind.__name__} has no form in JSON: return plain values, dates, dataclasses or pydantic models, or use pickle"
        raise TypeError(message)
    generic = getattr(kind, "__pydantic_generic_metadata__", None) or {}
    if not generic.get("origin"):
        return {_CLASS: name_of(kind), _DATA: fields}
    try:
        arguments = [_form_name(each) if each in _KINDS.values() else name_of(each) for each in generic["args"]]
    except TypeError:  # such as list[int]; the values are checked without it
        return {_CLASS: name_of(generic["origin"]), _DATA: fields}
    return {_CLASS: name_of(generic["origin"]), _OF: arguments, _DATA: fields}


def decode_object(found: dict[str, Any]) -> Any:
    """The value of an object of `encode_object`; any other object is itself.

    Raises:
        ValueError: it names a class that is not here, or that no result is made of.
    """
    name = found.get(_CLASS)
    if not isinstance(name, str) or _DATA not in found or not found.keys() <= {_CLASS, _DATA, _OF}:
        return found
    kind = _KINDS.get(name)
    if kind in _FORMS:
        return _FORMS[kind][1](found[_DATA])
    kind = class_at(name)
    if _OF in found:
        kind = kind[tuple(_KINDS.get(each) or class_at(each) for each in found[_OF])]  # type: ignore[index]
    return made(kind, found[_DATA])


class Encoder:
    """Encodes one value's parts by `encode` (None: there is none), and knows what it met."""

    def __init__(self, encode: Callable[[Any], Any] | None) -> None:
        self._encode = encode
        self._objects = 0
        #: That a value of a class of the user's is among them.
        self.is_to_be_checked = False

    def __call__(self, value: Any) -> Any:
        """One value that JSON cannot say.

        Raises:
            TypeError: there is no form of it.
        """
        if self._encode is None:
            message = f"a {type(value).__name__} cannot be written as JSON without an object_encoder"
            raise TypeError(message)
        found = self._encode(value)
        if self._encode is encode_object:
            self._objects += 1
            self.is_to_be_checked |= type(value) not in _FORMS and type(value) is not _LOCAL_PATH
        return found

    def text(self, value: Any, settings: dict[str, Any]) -> str:
        """`value` as the standard library writes it with `settings`: at once, or through `plain` if a dict has keys of other kinds."""
        try:
            text = json.dumps(value, default=self, **settings)
        except TypeError:
            return json.dumps(self.plain(value), **settings)
        # Quotes in texts are escaped, so our own key can be counted: more than our own objects have means a dict of the user's.
        if self._encode is encode_object and text.count(f'"{_CLASS}":') != self._objects:
            return json.dumps(self.plain(value), **settings)
        return text

    def plain(self, value: Any, *, strictly: bool = False) -> Any:
        """`value` of dicts, lists, texts and numbers alone; `strictly` of those that every JSON library writes and reads."""
        kind = type(value)
        if (
            value is None
            or kind is bool
            or (kind is str and (value.isascii() or not strictly))
            or (kind is int and -_SMALL < value < _SMALL)
        ):
            return value  # most values
        if isinstance(value, (str, int, float)):
            return self._scalar(value, strictly=strictly)
        if isinstance(value, (list, tuple)):
            return [self.plain(part, strictly=strictly) for part in value]
        if isinstance(value, dict) and (self._encode is not encode_object or _has_plain_keys(value)):
            return {_key(key): self.plain(part, strictly=strictly) for key, part in value.items()}
        found = self(dict(value) if isinstance(value, dict) else value)
        if self._encode is not encode_object:
            return self.plain(found, strictly=strictly)
        return {key: self.plain(part, strictly=strictly) for key, part in found.items()}

    def _scalar(self, value: str | float, *, strictly: bool) -> Any:
        """The text or number without the class of its own that an enum has."""
        bare: Any = str.__str__(value) if isinstance(value, str) else int(value) if isinstance(value, int) else float(value)
        return self(bare) if strictly and self._encode is encode_object and not _is_common(bare) else bare

    def check(self, value: Any, restored: Any) -> None:
        """Look whether `restored`, which was read from the JSON of `value`, is the same but for what JSON never says.

        Raises:
            TypeError: a part of it is not.
        """
        left = [(value, restored)]
        while left:
            one, other = left.pop()
            if isinstance(one, dict) and isinstance(other, dict) and len(one) == len(other):
                left.extend((part, other[_key(key)] if key not in other else other[key]) for key, part in one.items())
            elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)) and len(one) == len(other):
                left.extend(zip(one, other, strict=True))
            elif type(one) is type(other) and has_state(one):
                left.append((state_of(one), state_of(other)))
            elif not (one == other or (one != one and other != other)):  # noqa: PLR0124 - NaN is the one that differs from itself
                message = f"a {type(one).__name__} comes back from JSON as another {type(other).__name__}: use pickle, or return its parts"
                raise TypeError(message)


def _has_plain_keys(value: dict[Any, Any]) -> bool:
    """Whether the standard library writes its keys, and none is that of our own objects."""
    return _CLASS not in value and _PLAIN_KEYS.issuperset(map(type, value))


def _is_common(value: str | float) -> bool:
    """Whether every JSON library writes and reads a text or number."""
    if isinstance(value, str):
        return value.isascii() or value.encode(errors="ignore").decode() == value
    return _LOWEST <= value <= _HIGHEST if isinstance(value, int) else isfinite(value)


def _key(key: Any) -> str:
    """A dict's key as the standard library writes it.

    Raises:
        TypeError: it writes none of that kind.
    """
    return key if type(key) is str else next(iter(json.loads(json.dumps({key: None}))))


def decoded(value: Any, decode: Callable[[dict[str, Any]], Any] | None) -> Any:
    """What a library without `object_hook` read, with `decode` applied to each object, the inner ones first."""
    if isinstance(value, list):
        return [decoded(part, decode) for part in value]
    if isinstance(value, dict):
        found = {key: decoded(part, decode) for key, part in value.items()}
        return found if decode is None else decode(found)
    return value
