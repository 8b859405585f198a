"""The resources of a JSON Schema, which `$id` begins, and the targets that references may have in them.

A bundled schema has several. If drafts disagree about a reference, it has the targets of all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from mintaka_core.errors import MintakaError

if TYPE_CHECKING:
    from collections.abc import Callable

#: The maximum number of parts of a schema; the largest resource has fewer.
_PARTS_LIMIT = 200_000
_ANCHORS = ("$anchor", "$dynamicAnchor")
#: `id` is what `$id` was called before draft 6.
_IDS = ("$id", "id")
_DIGITS = 9


class Exhausted(MintakaError):
    """A schema or a value is too large to be walked; everything in it has to be treated as secret."""


class Resources:
    """The targets of references in `schema`. `nodes` are all objects in it that are not empty, `all` the resources; the whole schema is the last of them."""

    def __init__(self, schema: Any) -> None:
        """Raises Exhausted if the schema has too many parts."""
        self.nodes: list[dict[str, Any]] = []
        self._root: tuple[Any, ...] = (schema,)
        self._around: dict[int, tuple[Any, ...]] = {}
        self._named: dict[str, list[Any]] = {}
        self._ids: set[str] = set()
        self._by_segment: dict[str, list[Any]] = {}
        self._read(schema)
        self.all: tuple[Any, ...] = (*(node for found in self._by_segment.values() for node in found if node is not schema), schema)

    def around(self, schema: dict[str, Any]) -> tuple[Any, ...]:
        """The resources that contain the subschema, the innermost first."""
        return self._around.get(id(schema), self._root)

    def targets(self, reference: str, scope: tuple[Any, ...], count: Callable[[int], None]) -> list[Any]:
        """The possible targets of a reference within the resources `scope`, the innermost first; empty if it has no target.

        `count` is called with the cost before it arises.
        """
        address, _, fragment = reference.partition("#")
        if address and address not in self._ids:
            return []
        bases = self._addressed(address) if address else scope
        count(len(bases))
        if not fragment:
            return list(bases)
        if not fragment.startswith("/"):
            return self._named.get(fragment) or self._named.get(unquote(fragment)) or []
        parts = [part.replace("~1", "/").replace("~0", "~") for part in unquote(fragment).split("/")[1:]]
        count(len(bases) * len(parts))
        found = [_pointed_at(base, parts) for base in bases]
        if not address and found[next(place for place, base in enumerate(bases) if base is self._root[0] or "$id" in base)] is None:
            return []  # the innermost resource decides in newer drafts
        return [each for each in found if each is not None]

    def _addressed(self, address: str) -> tuple[Any, ...]:
        segment = _last_segment(address)
        return (*self._by_segment.get(segment, ()), *self._by_segment.get("", ())) if segment else self.all

    def _read(self, schema: Any) -> None:
        waiting, parts = [(schema, self._root)], 0
        while waiting:  # what is empty refers to nothing and has no name
            parts += 1
            if parts > _PARTS_LIMIT:
                raise Exhausted
            node, around = waiting.pop()
            if isinstance(node, dict):
                self.nodes.append(node)
                around = self._enter(node, around)
                waiting += [(value, around) for value in node.values() if value and isinstance(value, dict | list)]
            elif isinstance(node, list):
                waiting += [(value, around) for value in node if value and isinstance(value, dict | list)]

    def _enter(self, node: dict[str, Any], around: tuple[Any, ...]) -> tuple[Any, ...]:
        """Record the names of a node; return the resources that contain what is in it."""
        for keyword in _ANCHORS:
            if isinstance(name := node.get(keyword), str):
                self._named.setdefault(name, []).append(node)
        for keyword in _IDS:
            if not isinstance(name := node.get(keyword), str):
                continue
            address = name.removesuffix("#")
            if address.startswith("#"):  # an anchor before 2019
                self._named.setdefault(address[1:], []).append(node)
                continue
            if keyword == "$id":
                self._ids.add(address)
            self._by_segment.setdefault(_last_segment(address), []).append(node)
            around = around if around[0] is node else (node, *around)
        if around is not self._root:
            # A Python object may be part of a schema twice.
            known = self._around.get(id(node), around)
            self._around[id(node)] = around if known is around else tuple({id(each): each for each in (*known, *around)}.values())
        return around


def _last_segment(address: str) -> str:
    """The last segment of a URI's path, which resolving it against a base does not change; "" if it does."""
    segment = unquote(address.partition("?")[0].rpartition("/")[2]).casefold()
    return "" if segment in {".", ".."} else segment


def _pointed_at(node: Any, parts: list[str]) -> Any:
    """The target of a JSON pointer (RFC 6901); None if nothing is there."""
    for key in parts:
        if isinstance(node, dict):
            node = node.get(key)
        elif isinstance(node, list) and key.isascii() and key.isdigit() and len(key) <= _DIGITS and int(key) < len(node):
            node = node[int(key)]
        else:
            return None
    return node
