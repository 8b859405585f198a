"""Finds where the members of a JSON text begin and end, at any depth: without recursion, without decoding them.

Much slower than a decoder; for texts that decoders refuse.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Collection

_SPACE = re.compile(rb"[ \t\r\n]*+")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_LITERAL = re.compile(rb'[^ \t\r\n,:"\[\]{}]++')
#: Matches up to the next bracket that is not part of a string.
_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+([\[\]{}])', re.DOTALL)
_OPENING = frozenset(b"[{")


#: JSON by name; for opened members, their members in turn.
type Members = dict[str, Any]


def scan_members(raw: bytes | memoryview, *, levels: int, opened: Collection[str] = ()) -> Members:
    """The members of an object by name, as JSON; those named in `opened` are split in turn, `levels` deep. Raises ValueError.

    Names that are not valid text are replaced in part.
    """
    members, _ = _scan_object(bytes(raw), 0, levels, frozenset(opened))
    return members


def scan_items(raw: bytes | memoryview) -> list[memoryview]:
    """The items of a list, as JSON; none for null. Raises ValueError."""
    raw = bytes(raw)
    if raw == b"null":
        return []
    items: list[memoryview] = []
    position = _expect(raw, 0, b"[")
    while _at(raw, position) != b"]":
        start = position if not items else _expect(raw, position, b",")
        position = _end_of(raw, start)
        items.append(memoryview(raw)[start:position])
        position = _space(raw, position)
    return items


def is_deeper(raw: bytes | memoryview, levels: int) -> bool:
    """Whether a value is nested more than `levels` deep, judging by its brackets."""
    raw = bytes(raw)
    position = depth = 0
    while depth <= levels and (found := _BRACKET.match(raw, position)):
        position = found.end()
        depth += 1 if raw[position - 1] in _OPENING else -1
    return depth > levels


def _scan_object(raw: bytes, start: int, levels: int, opened: frozenset[str]) -> tuple[Members, int]:
    """The members of the object that starts at `start`, and its end."""
    members: Members = {}
    position = _expect(raw, start, b"{")
    while _at(raw, position) != b"}":
        start = position if not members else _expect(raw, position, b",")
        name, end = _name(raw, start)
        start = _expect(raw, end, b":")
        if levels > 1 and name in opened and _at(raw, start) == b"{":
            members[name], end = _scan_object(raw, start, levels - 1, opened)
        else:
            end = _end_of(raw, start)
            members[name] = memoryview(raw)[start:end]
        position = _space(raw, end)
    return members, position + 1


def _name(raw: bytes, start: int) -> tuple[str, int]:
    """The name of a member and its end; a name that is not valid text is replaced in part."""
    found = _STRING.match(raw, start)
    if found is None:
        raise ValueError(_malformed(start))
    try:
        return orjson.loads(found.group()), found.end()
    except orjson.JSONDecodeError:
        return found.group()[1:-1].decode(errors="replace"), found.end()


def _end_of(raw: bytes, start: int) -> int:
    """The end of the value that starts at `start`."""
    first = _at(raw, start)
    if first in {b"[", b"{"}:
        return _end_of_container(raw, start)
    found = (_STRING if first == b'"' else _LITERAL).match(raw, start)
    if found is None:
        raise ValueError(_malformed(start))
    return found.end()


def _end_of_container(raw: bytes, start: int) -> int:
    position, depth = start, 0
    while found := _BRACKET.match(raw, position):
        position = found.end()
        depth += 1 if raw[position - 1] in _OPENING else -1
        if not depth:
            return position
    raise ValueError(_malformed(position))


def _expect(raw: bytes, position: int, mark: bytes) -> int:
    """The position after `mark`."""
    position = _space(raw, position)
    if _at(raw, position) != mark:
        raise ValueError(_malformed(position))
    return _space(raw, position + 1)


def _space(raw: bytes, position: int) -> int:
    found = _SPACE.match(raw, position)
    return found.end() if found else position


def _at(raw: bytes, position: int) -> bytes:
    return raw[position : position + 1]


def _malformed(position: int) -> str:
    return f"malformed JSON at byte {position}"
