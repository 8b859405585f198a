r"""JSON as text that every database can store: without NUL, which PostgreSQL refuses, and without unpaired surrogates.

Both are replaced by U+FFFD. In encoded JSON they are escapes, `\u0000` and `\ud800`, but not every such sequence is one: in
`"C:\\u0000_backup"` the backslash is escaped itself, and the text is a path. Escapes are therefore read from left to right.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

_BACKSLASHES = rb"(?:\\\\)+"
_PAIR = rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
#: The group matches what is left unchanged.
_UNSTORABLE = re.compile(rb"(" + _BACKSLASHES + rb"|" + _PAIR + rb")|\\u0000|" + _HALF)
_NUL = re.compile(rb"(" + _BACKSLASHES + rb")|\\u0000")
_REPLACEMENT = rb"\ufffd"


def storable_json(text: bytes) -> bytes:
    """Encoded JSON with each NUL and each unpaired surrogate in its texts replaced by U+FFFD."""
    return _UNSTORABLE.sub(_replacement, text)


def without_nul(text: bytes) -> bytes:
    """Encoded JSON with each NUL in its texts replaced by U+FFFD; almost free without NULs."""
    return _NUL.sub(_replacement, text) if rb"\u0000" in text else text


def encode_storable(value: Any) -> str:
    """JSON text of `value` for a column."""
    try:
        return without_nul(msgspec.json.encode(value)).decode()
    except UnicodeEncodeError:  # an unpaired surrogate, which only Python's own encoder writes
        return storable_json(json.dumps(value, separators=(",", ":")).encode()).decode()


def _replacement(match: re.Match[bytes]) -> bytes:
    return match[1] or _REPLACEMENT
