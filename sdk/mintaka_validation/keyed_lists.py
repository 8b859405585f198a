"""Lists whose items have keys (`x-kubernetes-list-type: map`): no two items have the same (apiextensions, `schema/listtype`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mintaka_validation.errors import FieldError, duplicate, invalid

if TYPE_CHECKING:
    from mintaka_validation.schema import Node


def check_keyed_lists(node: Node, value: Any, path: str = "") -> list[FieldError]:
    """The items of all such lists at a place and below it whose keys another item before them has."""
    errors: list[FieldError] = []
    if isinstance(value, dict):
        for name, member in value.items():
            child = node.child(name)
            if child is not None and child.has_keyed_lists:
                inner = f"{path}.{name}" if name in node.properties else f"{path}[{name}]"
                errors += check_keyed_lists(child, member, inner.removeprefix("."))
    elif isinstance(value, list):
        errors += _check_list(value, node.map_keys, path) if node.map_keys else []
        if node.items is not None and node.items.has_keyed_lists:
            for index, member in enumerate(value):
                errors += check_keyed_lists(node.items, member, f"{path}[{index}]")
    return errors


def _check_list(items: list[Any], keys: tuple[str, ...], path: str) -> list[FieldError]:
    for index, item in enumerate(items):
        if item is not None and not isinstance(item, dict):
            return [invalid(f"{path}[{index}]", item, "must be an object for an array of list-type map")]
    errors, seen = [], dict[str, int]()
    for index, item in enumerate(items):
        chosen = {key: item[key] for key in sorted(keys) if key in item} if item else {}
        identity = json.dumps(chosen)
        seen[identity] = seen.get(identity, 0) + 1
        if seen[identity] == 2:  # noqa: PLR2004 - the third and further ones are not reported
            errors.append(duplicate(f"{path}[{index}]", chosen))
    return errors
