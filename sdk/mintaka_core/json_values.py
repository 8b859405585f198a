"""Values of a JSON document of unreliable types: a value of another type reads as empty."""

from __future__ import annotations

from typing import Any

type Json = dict[str, Any]
_NONE: Json = {}


def mapping(value: Any) -> Json:
    """`value` if it is a JSON object, else an empty one, which must not be modified."""
    return value if isinstance(value, dict) else _NONE


def items(value: Any) -> list[Json]:
    """The JSON objects in `value`; none if it is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: Any) -> str:
    """`value` if it is text, else ""."""
    return value if isinstance(value, str) else ""


def integer(value: Any) -> int | None:
    """`value` if it is a 64-bit integer, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None
