"""Page cursors: a cursor is the sort key of the last item, bound to the query it came from.

A page is read by scanning an index from the cursor, so the thousandth page costs as much as the first, and objects that
appear meanwhile neither repeat nor hide others.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any, NamedTuple

import msgspec

from mintaka_api.problems import Problem

_LARGEST = 2**63 - 1
_CURSOR_LIMIT = 2000
_DIGEST_LENGTH = 8
_BACKWARDS = "-"


def encode_cursor(question: Any, key: tuple[Any, ...] | None, *, backwards: bool = False) -> str | None:
    """The cursor after `key` in the list that answers `question` (any JSON value: filters and sort); `backwards`: before it."""
    if key is None:
        return None
    text = msgspec.json.encode([_BACKWARDS * backwards + _digest(question), *key])
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


class Position(NamedTuple):
    """A place in a list: after `key` (None: at the beginning), or before it."""

    key: tuple[Any, ...] | None = None
    backwards: bool = False


def decode_cursor(question: Any, cursor: str | None, types: tuple[type, ...]) -> Position:
    """The position that `cursor` names; the parts of its key must be of `types`. Raises a Problem for a cursor of another query."""
    if cursor is None:
        return Position()
    try:
        if len(cursor) > _CURSOR_LIMIT:
            raise ValueError(cursor)
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        digest, *key = msgspec.json.decode(text, type=list[str | int])
        backwards = isinstance(digest, str) and digest.startswith(_BACKWARDS)
        well_formed = digest == _BACKWARDS * backwards + _digest(question) and len(key) == len(types)
        if not well_formed or not all(_fits(part, kind) for part, kind in zip(key, types, strict=True)):
            raise ValueError(cursor)
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise Problem("invalid-cursor", "cursor: it is not one that this question with these filters and this sort gave out") from error
    return Position(tuple(key), backwards)


def _fits(part: str | int, kind: type) -> bool:
    if isinstance(part, int):
        return kind is int and -_LARGEST <= part <= _LARGEST
    return kind is str and "\0" not in part


def _digest(question: Any) -> str:
    return hashlib.blake2b(msgspec.json.encode(question, order="sorted"), digest_size=_DIGEST_LENGTH // 2).hexdigest()
