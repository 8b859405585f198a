"""Facts: the fields that rules read of a transition, as JSON, as far as the record of the decision does not have them anyway."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, cast

from mintaka_core.instants import format_time

if TYPE_CHECKING:
    from collections.abc import Hashable

#: The most that the facts of one decision take, in bytes of JSON.
FACTS_BYTES = 1024
#: The member that says that some facts are missing, because all together would have taken too much.
TRUNCATED = "truncated"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_MARK_BYTES = len(f',"{TRUNCATED}":true')


def facts_of(found: dict[str, Any]) -> dict[str, Any]:
    """The values of fields by their paths, as one object of JSON; too much of it loses the largest."""
    found = {path: as_json(found[path]) for path in sorted(found)}
    facts = nested(found)
    if not found or _size(facts) <= FACTS_BYTES:
        return facts
    sizes = {path: _size(value) for path, value in found.items()}
    while _size(facts) + _MARK_BYTES > FACTS_BYTES:
        del found[max(found, key=lambda path: sizes[path])]
        facts = nested(found)
    return {**facts, TRUNCATED: True}


def defaults_of(cls: type, prefix: str = "") -> dict[str, Any]:
    """The defaults of a dataclass's fields by their paths, below `prefix`."""
    return {prefix + field.name: default for field in fields(cls) if (default := _default(field)) is not MISSING}


def nested(found: dict[str, Any]) -> dict[str, Any]:
    """Values by path, `current.reason`, as an object in objects with names in camelCase."""
    facts: dict[str, Any] = {}
    for path, value in found.items():
        place, (*way, last) = facts, _steps(path)
        for step in way:
            place = place.setdefault(step, {})
        place[last] = value
    return facts


def as_json(value: Any) -> Any:
    """A field's value as JSON: times in RFC 3339, dataclasses without the fields that have their default."""
    if isinstance(value, str | int | float):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return list(value)
    if is_dataclass(value):
        return _object_of(cast("Hashable", value))
    return value


@lru_cache(256)  # the budgets of a deployment are the same for all its runs
def _object_of(value: Any) -> dict[str, Any]:
    return {_camel(field.name): as_json(known) for field in fields(value) if (known := getattr(value, field.name)) != _default(field)}


def _default(field: Any) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _size(value: Any) -> int:
    return len(_encode(value).encode(errors="replace"))


@cache
def _steps(path: str) -> tuple[str, ...]:
    return tuple(map(_camel, path.split(".")))


@cache
def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))
