"""What differs between a live object and the one that a dry run returns. Pure.

Fields that only the server writes do not count. Items of a list whose items all have a name are compared by name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka_core.limits import KUBECTL_COPY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OF_THE_SERVER = frozenset({
    "managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink", "deletionTimestamp", "finalizers", "ownerReferences",
})  # fmt: skip
_WORD = re.compile(r"[A-Za-z0-9_-]+")


class _Absent:
    """A missing value."""


ABSENT = _Absent()


class Change(NamedTuple):
    """A field that changes: its path, and its value on both sides (ABSENT: it is missing)."""

    path: str
    before: Any
    after: Any


def differences(live: Mapping[str, Any], planned: Mapping[str, Any]) -> list[Change]:
    """The fields in which two versions of an object differ, in order."""
    return list(_differences("", _compared(live), _compared(planned)))


def _compared(document: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {name: value for name, value in (document.get("metadata") or {}).items() if name not in _OF_THE_SERVER}
    annotations = {name: value for name, value in (metadata.pop("annotations", None) or {}).items() if name != KUBECTL_COPY}
    if annotations:
        metadata["annotations"] = annotations
    return {**{name: value for name, value in document.items() if name not in ("status", "apiVersion", "kind")}, "metadata": metadata}


def _differences(path: str, before: Any, after: Any) -> Iterator[Change]:
    if before == after and isinstance(before, bool) == isinstance(after, bool):
        return
    members = _members(before, after)
    if members is None:
        yield Change(path, before, after)
        return
    for step, one, other in members:
        yield from _differences(f"{path}{step}" if path else step.removeprefix("."), one, other)


def _members(before: Any, after: Any) -> list[tuple[str, Any, Any]] | None:
    """The pairs of members of two objects or lists, each with its step of the path; None if they are compared as a whole."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [(_step(name), before.get(name, ABSENT), after.get(name, ABSENT)) for name in dict.fromkeys([*before, *after])]
    if not (isinstance(before, list) and isinstance(after, list)):
        return None
    one, other = _named(before), _named(after)
    if one is not None and other is not None:
        return [(f"[{name}]", one.get(name, ABSENT), other.get(name, ABSENT)) for name in dict.fromkeys([*one, *other])]
    if len(before) != len(after):
        return None
    return [(f"[{index}]", *pair) for index, pair in enumerate(zip(before, after, strict=True))]


def _named(items: list[Any]) -> dict[str, Any] | None:
    """The items by name; None if one has none, or two have the same."""
    names = [item.get("name") if isinstance(item, dict) else None for item in items]
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        return None
    return dict(zip(map(str, names), items, strict=True))


def _step(name: str) -> str:
    return f".{name}" if _WORD.fullmatch(name) else f'["{name}"]'
