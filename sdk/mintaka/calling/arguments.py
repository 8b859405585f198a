"""A flow's arguments as its history shows them: JSON values, of limited size, made when the run begins."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import msgspec

from mintaka_history.json_numbers import storable_integer, with_storable_numbers
from mintaka_history.json_text import storable_value

#: An argument that takes more bytes as JSON is shown by its type alone.
_LIMIT_BYTES = 4096
_ITEMS_LIMIT = 1000
_PLAIN = (bool, int, float, type(None))


def _named(value: Any) -> str:
    if isinstance(value, PurePath):
        return str(value)
    return f"<{type(value).__module__}.{type(value).__qualname__}>"


_encode = msgspec.json.Encoder(enc_hook=_named).encode
_decode = msgspec.json.Decoder().decode


def _encoded(value: Any) -> bytes:
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(storable_value(value, _named))


def shown(value: Any) -> Any:
    """`value` as JSON where it is that and not long; else a word about it. A secret's own representation hides it."""
    if isinstance(value, _PLAIN):
        return storable_integer(value) if isinstance(value, int) else value
    if hasattr(value, "model_dump"):
        try:
            value = value.model_dump(mode="json", by_alias=True)
        except Exception:  # noqa: BLE001 - serializers of fields are the user's
            return _named(value)
    if hasattr(value, "__len__") and not isinstance(value, str) and len(value) > _ITEMS_LIMIT:
        return f"<{type(value).__name__} of {len(value)}>"
    if isinstance(value, str) and len(value) > _LIMIT_BYTES:
        return f"{value[:_LIMIT_BYTES]} […]"
    try:
        text = _encoded(value)
        return with_storable_numbers(_decode(text)) if len(text) <= _LIMIT_BYTES else _named(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        return _named(value)
