"""Types and limits of a schema, checked as kube-openapi does it (`validation/validate`), in its words.

Its peculiarities are preserved: a list passes for a text with a format, and characters are counted where the message says bytes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from mintaka_validation.errors import FieldError, invalid, not_supported, required, too_long, too_many, type_invalid
from mintaka_validation.go_text import number, quote

if TYPE_CHECKING:
    from mintaka_validation.ratcheting import Before
    from mintaka_validation.schema import Node

_NAMES: Final = {bool: "boolean", str: "string", int: "integer", float: "number", dict: "object", list: "array"}
_FORMAT_OF: Final = {"integer": "int64", "number": "float64"}
_TIME: Final = re.compile(r"(\d{2}):(\d{2}):(\d{2})(?:.\d+)?(?:z|[+-]\d{2}:\d{2})", re.ASCII)
_DATE: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)
#: Above this, kube-openapi does not accept a floating-point number as an integer.
_EXACT: Final = 2.0**53
_MONTHS_OF_30: Final = frozenset({4, 6, 9, 11})


def check_values(node: Node, value: Any, path: str, before: Before) -> list[FieldError]:
    """Every place at `path` and below that does not follow its schema, in the order of the document."""
    errors = _check_type(node, value, path)
    if isinstance(value, str):
        errors += _check_text(node, value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        errors += _check_number(node, value, path)
    elif isinstance(value, list):
        errors += _check_list(node, value, path, before)
    if node.enum and value not in node.enum:
        errors.append(not_supported(path, value, node.enum))
    if isinstance(value, dict):
        errors += _check_object(node, value, path, before)
    if errors and before.is_matched and before.unchanged(value):
        return []
    return errors


def type_name(value: Any) -> str:
    """The JSON Schema type of a value, `null` included."""
    found = _NAMES.get(type(value))
    return found or next((name for kind, name in _NAMES.items() if isinstance(value, kind)), "null")


def _check_type(node: Node, value: Any, path: str) -> list[FieldError]:
    found, types = type_name(value), node.types
    if value is None:
        return [] if node.nullable else [_wrong_type(path, ",".join(types), found)]
    whole = found == "number" and value.is_integer() and abs(value) < _EXACT and "integer" in types
    fits = found in types or whole or (found == "integer" and "number" in types)
    if node.format and found in {"string", "array"}:
        return []
    if node.format and not fits:
        return [_wrong_type(path, node.format, _FORMAT_OF.get(found, ""))]
    return [] if fits else [_wrong_type(path, ",".join(types), found)]


def _wrong_type(path: str, wanted: str, found: str) -> FieldError:
    return type_invalid(path, found, f"{path} in body must be of type {wanted}: {quote(found)}")


def _check_text(node: Node, text: str, path: str) -> list[FieldError]:
    errors = []
    if node.max_length is not None and len(text) > node.max_length:
        errors.append(too_long(path, node.max_length))
    elif node.min_length is not None and len(text) < node.min_length:
        errors.append(invalid(path, text, f"{path} in body should be at least {node.min_length} chars long"))
    elif node.pattern is not None and not node.pattern.matches(text):
        errors.append(invalid(path, text, f"{path} in body should match '{node.pattern.source}'"))
    if node.format == "date-time" and not is_date_time(text):
        errors.append(type_invalid(path, text, f"{path} in body must be of type date-time: {quote(text)}"))
    return errors


def _check_number(node: Node, value: float, path: str) -> list[FieldError]:
    errors = []
    kind = type(value)  # a limit is written as a number of the value's type
    if node.minimum is not None and value < node.minimum:
        errors.append(invalid(path, value, f"{path} in body should be greater than or equal to {number(kind(node.minimum))}"))
    if node.maximum is not None and value > node.maximum:
        errors.append(invalid(path, value, f"{path} in body should be less than or equal to {number(kind(node.maximum))}"))
    return errors


def _check_list(node: Node, value: list[Any], path: str, before: Before) -> list[FieldError]:
    errors = []
    if node.items is not None:
        for index, member in enumerate(value):
            errors += check_values(node.items, member, f"{path}[{index}]", before.item(node, index, value))
    if node.min_items is not None and len(value) < node.min_items:
        errors.append(invalid(path, len(value), f"{path} in body should have at least {node.min_items} items"))
    if node.max_items is not None and len(value) > node.max_items:
        errors.append(too_many(path, len(value), node.max_items))
    return errors


def _check_object(node: Node, value: dict[str, Any], path: str, before: Before) -> list[FieldError]:
    errors = []
    if node.min_properties is not None and len(value) < node.min_properties:
        errors.append(invalid(path, len(value), f"{path} in body should have at least {node.min_properties} properties"))
    if node.max_properties is not None and len(value) > node.max_properties:
        errors.append(too_many(path, len(value), node.max_properties))
    prefix = f"{path}." if path else ""
    for name, member in value.items():
        child = node.child(name)
        if child is not None:
            errors += check_values(child, member, prefix + name, before.key(name, value))
    errors += [required(prefix + name) for name in node.required if name not in value]
    return errors


def is_date_time(text: str) -> bool:
    """Whether a text is a time of RFC 3339 for the API server, which accepts any offset but no leap second."""
    date, *rest = text.lower().split("t")
    time = _TIME.fullmatch(rest[0]) if rest else None
    return time is not None and _is_date(date) and time[1] <= "23" and time[2] <= "59" and time[3] <= "59"


def _is_date(text: str) -> bool:
    match = _DATE.fullmatch(text)
    if match is None:
        return False
    year, month, day = map(int, match.groups())
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = (29 if leap else 28) if month == 2 else 30 if month in _MONTHS_OF_30 else 31  # noqa: PLR2004 - February
    return 1 <= month <= 12 and 1 <= day <= days  # noqa: PLR2004
