r"""JSON as text that every database can store: without NUL, which PostgreSQL refuses, and without unpaired surrogates.

Both are replaced by U+FFFD. In encoded JSON they are escapes, `\u0000` and `\ud800`, but not every such sequence is one: in
`"C:\\u0000_backup"` the backslash is escaped itself, and the text is a path. Escapes are therefore read from left to right.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from mintaka_core.reports import storable

if TYPE_CHECKING:
    from collections.abc import Callable

_BACKSLASHES = rb"(?:\\\\)+"
_PAIR = rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
#: The group matches what is left unchanged.
_UNSTORABLE = re.compile(rb"(" + _BACKSLASHES + rb"|" + _PAIR + rb")|\\u0000|" + _HALF)
_NUL = re.compile(rb"(" + _BACKSLASHES + rb")|\\u0000")
_REPLACEMENT = rb"\ufffd"


def storable_json(text: bytes) -> bytes:
    """Encoded JSON with each NUL and each unpaired surrogate in its texts replaced by U+FFFD; almost free without escapes."""
    return _UNSTORABLE.sub(_replacement, text) if rb"\u" in text else text


def without_nul(text: bytes) -> bytes:
    """Encoded JSON with each NUL in its texts replaced by U+FFFD; almost free without NULs."""
    return _NUL.sub(_replacement, text) if rb"\u0000" in text else text


def encode_storable(value: Any) -> str:
    """JSON text of `value` for a column; NaN and Infinity, which JSON does not have, are null."""
    try:
        return without_nul(msgspec.json.encode(value)).decode()
    except UnicodeEncodeError:
        return msgspec.json.encode(storable_value(value)).decode()


def storable_value(value: Any, enc_hook: Callable[[Any], Any] | None = None) -> Any:
    """`value` as dictionaries, lists, texts and numbers, with each NUL and each unpaired surrogate in its texts replaced by U+FFFD.

    `enc_hook` is called with what msgspec does not know.
    """
    return _storable_part(msgspec.to_builtins(value, enc_hook=enc_hook))


def _storable_part(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {_storable_part(key): _storable_part(part) for key, part in value.items()}
    return list(map(_storable_part, value)) if isinstance(value, list | tuple) else value


def _replacement(match: re.Match[bytes]) -> bytes:
    return match[1] or _REPLACEMENT
