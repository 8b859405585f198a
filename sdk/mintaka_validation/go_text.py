"""Values in the notation of the Kubernetes API server's messages: those of Go's `%q`, `%v` and `encoding/json`."""

from __future__ import annotations

import json
import math
from typing import Any

_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}
_IN_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_SMALLEST_PLAIN, _LARGEST_PLAIN = 1e-4, 1e21
_LAST_OF_BYTE, _LAST_OF_PLANE = 0x7F, 0xFFFF


def quote(text: str) -> str:
    """`text` as strconv.Quote writes it."""
    return '"' + "".join(map(_escape, text)) + '"' if not text.isprintable() or '"' in text or "\\" in text else f'"{text}"'


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code <= _LAST_OF_BYTE:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _LAST_OF_PLANE else f"\\U{code:08x}"


def number(value: float) -> str:
    """A number as `%v` writes it."""
    if isinstance(value, int):
        return str(value)
    if value == 0 or _SMALLEST_PLAIN <= abs(value) < _LARGEST_PLAIN:
        return f"{value:.0f}" if value.is_integer() else repr(value)
    if not math.isfinite(value):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")
    digits, _, exponent = repr(value).partition("e")
    return f"{digits.removesuffix('.0')}e{int(exponent):+03d}"


def text_of(value: Any) -> str:
    """A value as a field error shows it: a string quoted, a number or truth value plain, anything else as JSON."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number(value)
    text = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))
    return "".join(_IN_HTML.get(character, character) for character in text)


def _plain(value: Any) -> Any:
    """`value` with whole numbers as integers, as JSON numbers are written by Go."""
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_PLAIN else value
