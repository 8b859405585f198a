"""Reading a document: unknown fields are found, nulls dropped, defaults filled in (apiextensions, `schema/pruning`, `schema/defaulting`).

Whole numbers become integers, as Kubernetes stores them: JSON does not tell 1.0 from 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mintaka_validation.schema import Node

_OF_EVERY_KIND: Final = frozenset({"apiVersion", "kind", "metadata"})
_EXACT: Final = 2.0**63


def take(node: Node, document: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A copy of a document with its defaults, and the paths of the fields that its schema does not have, sorted.

    apiVersion, kind and metadata are copied as they are.
    """
    unknown: list[str] = []
    rest = {name: value for name, value in document.items() if name not in _OF_EVERY_KIND}
    taken = _take(node, rest, "", unknown)
    return {name: copy(document[name]) for name in ("apiVersion", "kind", "metadata") if name in document} | taken, sorted(unknown)


def copy(value: Any) -> Any:
    """A deep copy of a JSON value."""
    if isinstance(value, dict):
        return {name: copy(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [copy(member) for member in value]
    return int(value) if isinstance(value, float) and value.is_integer() and -_EXACT <= value < _EXACT else value


def _take(node: Node | None, value: Any, path: str, unknown: list[str]) -> Any:
    if isinstance(value, dict):
        return _take_object(node, value, path, unknown)
    if isinstance(value, list | tuple):
        if node is not None and node.preserves_unknown:
            return copy(value)
        items = node.items if node is not None else None
        return [_take(items, member, f"{path}[{index}]", unknown) for index, member in enumerate(value)]
    return copy(value)


def _take_object(node: Node | None, value: dict[str, Any], path: str, unknown: list[str]) -> dict[str, Any]:
    if node is not None and node.preserves_unknown:
        return {name: copy(member) for name, member in value.items()}
    taken: dict[str, Any] = {}
    for name, member in value.items():
        child = node.child(name) if node is not None else None
        if child is None:
            unknown.append(_below(path, name))
        elif member is not None or child.nullable:
            taken[name] = _take(child, member, _below(path, name), unknown)
    for name in node.with_default if node is not None else ():
        if name not in taken:
            part = node.properties[name]  # type: ignore[union-attr]
            taken[name] = _take(part, part.default, path, unknown)
    return taken


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
