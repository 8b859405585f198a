"""Numbers in JSON values of any shape: databases, and readers in other languages, have at most 64 bits for one."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from math import isinf
from typing import Any

import msgspec

#: The integers that every JSON library and database represents.
INTEGERS = range(-(2**63), 2**63)
#: What JSON without a number that is too large does not contain; most JSON does not, and is not checked further.
_SUSPICIOUS = re.compile(rb"\d{19}|\d[eE]\+?\d")
#: Python refuses to write integers of more digits.
_DIGITS_LIMIT, _DIGITS_LIMIT_BITS = 4000, 13_000


def overflow_in_json(text: bytes) -> str | None:
    """The place of the first number in encoded JSON that is out of range, as `.rows[0].n` ("" for the value itself); None: there is none."""
    if _SUSPICIOUS.search(text) is None:
        return None
    try:
        return overflow_in(msgspec.json.decode(text))
    except msgspec.DecodeError:  # a number that msgspec does not read at all
        with suppress(RecursionError):
            return overflow_in(json.loads(text, parse_int=_read_integer)) or ""
    except RecursionError:
        pass
    return ""  # nested too deeply to be checked


def _read_integer(digits: str) -> int:
    return int(digits) if len(digits) < _DIGITS_LIMIT else INTEGERS.stop


def overflow_in(value: Any) -> str | None:
    """The same for a decoded value."""
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        place, part = waiting.pop()
        if isinstance(part, dict):
            waiting += [(f"{place}.{key}", member) for key, member in part.items()]
        elif isinstance(part, list | tuple):
            waiting += [(f"{place}[{index}]", member) for index, member in enumerate(part)]
        elif part not in INTEGERS if isinstance(part, int) else isinstance(part, float) and isinf(part):
            return place
    return None


def storable_integer(value: int) -> int | str:
    """`value`, as text if it has more than 64 bits."""
    if value in INTEGERS:
        return value
    return str(value) if value.bit_length() < _DIGITS_LIMIT_BITS else f"<integer of {value.bit_length()} bits>"


def with_storable_numbers(value: Any) -> Any:
    """A decoded JSON value with integers of more than 64 bits as text."""
    if isinstance(value, dict):
        return {key: with_storable_numbers(member) for key, member in value.items()}
    if isinstance(value, list):
        return [with_storable_numbers(member) for member in value]
    return storable_integer(value) if isinstance(value, int) else value
