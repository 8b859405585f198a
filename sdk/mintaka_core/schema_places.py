"""Finds the parts of a JSON Schema (2020-12, and older equivalents) that apply to one place of a value, and whether it is secret.

A place is secret if any subschema that may apply to it has `format: password` or `writeOnly: true`. "May apply" is wider
than validation: every branch of anyOf, oneOf, if and dependentSchemas counts, and so do patterns that cannot be matched in
linear time. Schemas come from users and may be hostile: circular references end, dangling references make a place secret,
nothing is fetched, and the work is bounded (`Exhausted`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from mintaka_core.errors import MintakaError
from mintaka_core.patterns import matcher_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: The maximum number of subschemas and members visited in one walk: some 50 ms.
STEPS_LIMIT = 30_000
#: The maximum number of parts of a schema; the largest resource has fewer.
_PARTS_LIMIT = 200_000
#: The maximum number of places cached from one walk to the next.
_REMEMBERED = 4096

_LISTS = ("allOf", "anyOf", "oneOf")
_ALTERNATIVES = ("if", "then", "else")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_OTHERWISE = ("additionalProperties", "unevaluatedProperties")
#: For the items of a list after those that are described one by one.
_REST = ("items", "additionalItems", "unevaluatedItems")
_DIGITS = 9
_CHARACTERS_A_STEP = 16
#: The cost of compiling a pattern.
_COMPILING_STEPS = 500
#: A literal text, with a backslash before each character other than letters and digits, and anchors.
_PLAIN_PATTERN = re.compile(r"(\^?)((?:[^\\^$.|?*+()\[\]{}]|\\[^a-zA-Z0-9])*)(\$?|\.\*\$?)")


class Exhausted(MintakaError):
    """A schema or a value is too large to be walked; everything in it has to be treated as secret."""


@dataclass(slots=True)
class Place:
    """One place of a value: `schemas` are the subschemas that apply to it, with references resolved and branches included."""

    secret: bool
    schemas: list[dict[str, Any]] = field(default_factory=list)


class SchemaPlaces:
    """The places of the values that `schema` describes."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._named = _named_schemas(schema)
        self._known: dict[frozenset[int], Place] = {}
        self._matchers: dict[str, Callable[[str], bool | None] | None] = {}
        self._steps = 0

    def may_be_secret(self) -> bool:
        """Whether any part of the schema is marked or has an unknown reference; False makes walks unnecessary. May raise Exhausted."""
        return any(_is_marked(node) or self._leads_astray(node) for node in _nodes(self._schema))

    def begin(self) -> Place:
        """Begin a walk with the place of the whole value."""
        self._steps = 0
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        return self._place([self._schema])

    def count(self, steps: int = 1) -> None:
        """Count `steps` against the limit; raises Exhausted."""
        self._steps += steps
        if self._steps > STEPS_LIMIT:
            raise Exhausted

    def member(self, place: Place, name: str) -> Place:
        """The place of the member `name` of an object at `place`."""
        found: list[Any] = []
        for schema in place.schemas:
            self.count()
            declared = _table(schema, "properties")
            patterns = _table(schema, "patternProperties")
            self.count(len(patterns))
            matching = [declared[name]] if name in declared else []
            matching += [subschema for pattern, subschema in patterns.items() if self._may_match(pattern, name)]
            found += matching or [schema[keyword] for keyword in _OTHERWISE if keyword in schema]
        return self._place(found)

    def item(self, place: Place, index: int) -> Place:
        """The place of the item `index` of a list at `place`."""
        found: list[Any] = []
        for schema in place.schemas:
            self.count()
            first = _first_items(schema)
            rest = _REST if index >= len(first) else ()
            found += first[index : index + 1]
            found += [schema[keyword] for keyword in ("contains", *rest) if keyword in schema and not isinstance(schema[keyword], list)]
        return self._place(found)

    def of(self, schema: Any) -> Place:
        """The place of the values that `schema`, a part of the whole, describes."""
        return self._place([schema])

    def within(self, place: Place) -> Iterator[Place]:
        """`place` and every distinct place below it in the schema, each once."""
        waiting, met = [place], set[int]()
        while waiting:
            current = waiting.pop()
            if id(current) not in met:
                met.add(id(current))
                yield current
                waiting += self._below(current)

    def _below(self, place: Place) -> list[Place]:
        names = dict.fromkeys(name for schema in place.schemas for name in _table(schema, "properties"))
        widest = max((len(_first_items(schema)) for schema in place.schemas), default=0)
        others = [
            subschema
            for schema in place.schemas
            for subschema in (*_table(schema, "patternProperties").values(), *(schema[each] for each in _OTHERWISE if each in schema))
        ]
        return [
            *(self.member(place, name) for name in names),
            *(self._place([other]) for other in others),
            *(self.item(place, index) for index in range(widest + 1)),
        ]

    def _may_match(self, pattern: str, name: str) -> bool:
        """Whether `pattern` matches `name`; a pattern that takes more than linear time may match anything."""
        if (plainly := _matches_plainly(pattern, name)) is not None:
            return plainly
        if pattern not in self._matchers:
            self.count(_COMPILING_STEPS)
            self._matchers[pattern] = matcher_of(pattern)
        self.count(len(name) // _CHARACTERS_A_STEP)
        matches = self._matchers[pattern]
        return matches is None or matches(name) is not False

    def _place(self, schemas: list[Any]) -> Place:
        key = frozenset(map(id, schemas))
        if key not in self._known:
            self._known[key] = self._expanded(schemas)
        return self._known[key]

    def _expanded(self, schemas: list[Any]) -> Place:
        """The schemas with all their references and branches, each once."""
        place, waiting, met = Place(secret=False), list(schemas), set[int]()
        while waiting:
            self.count()
            schema = waiting.pop()
            if not isinstance(schema, dict) or id(schema) in met:
                continue
            met.add(id(schema))
            place.schemas.append(schema)
            place.secret = place.secret or _is_marked(schema) or _is_marked(schema.get("propertyNames"))
            for keyword in _LISTS:
                waiting += schema[keyword] if isinstance(schema.get(keyword), list) else ()
            waiting += [schema[keyword] for keyword in _ALTERNATIVES if keyword in schema]
            waiting += _table(schema, "dependentSchemas").values()
            waiting += _table(schema, "dependencies").values()
            place.secret = place.secret or self._leads_astray(schema)
            for keyword in _REFERENCES:
                waiting += self._targets(schema[keyword]) if keyword in schema else ()
        return place

    def _leads_astray(self, schema: dict[str, Any]) -> bool:
        """Whether a reference of this subschema has no known target."""
        return any(keyword in schema and not self._targets(schema[keyword]) for keyword in _REFERENCES)

    def _targets(self, reference: Any) -> list[Any]:
        """The possible targets of a reference; empty if there are none in this schema."""
        if not isinstance(reference, str):
            return []
        self.count(1 + len(reference) // _CHARACTERS_A_STEP)
        address, _, fragment = reference.partition("#")
        bases = self._named.get(address, []) if address else [self._schema]
        if not fragment:
            return bases
        if fragment.startswith("/"):
            found = [_pointed_at(base, fragment) for base in bases]
            return [each for each in found if each is not None]
        return self._named.get(f"#{fragment}", [])


def _is_marked(schema: Any) -> bool:
    """Whether the schema itself marks its value as secret."""
    return isinstance(schema, dict) and (schema.get("writeOnly") is True or schema.get("format") == "password")


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object in `schema`, whatever it stands for; raises Exhausted if there are too many."""
    waiting, count = [schema], 0
    while waiting:
        count += 1
        if count > _PARTS_LIMIT:
            raise Exhausted
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            yield node
            waiting += node.values()


def _named_schemas(schema: Any) -> dict[str, list[Any]]:
    """Subschemas by `$id` and, prefixed with #, by anchor."""
    named: dict[str, list[Any]] = {}
    for node in _nodes(schema):
        for keyword, prefix in (("$id", ""), ("$anchor", "#"), ("$dynamicAnchor", "#")):
            if isinstance(name := node.get(keyword), str):
                named.setdefault(prefix + name.removesuffix("#"), []).append(node)
    return named


def _pointed_at(node: Any, pointer: str) -> Any:
    """The target of a JSON pointer (RFC 6901); None if there is none."""
    for part in unquote(pointer).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict):
            node = node.get(key)
        elif isinstance(node, list) and key.isascii() and key.isdigit() and len(key) <= _DIGITS and int(key) < len(node):
            node = node[int(key)]
        else:
            return None
    return node


def _first_items(schema: dict[str, Any]) -> list[Any]:
    """The subschemas of the first items, one for each: `prefixItems` or, before 2020, a list of `items`."""
    for keyword in ("prefixItems", "items"):
        if isinstance(schema.get(keyword), list):
            return list(schema[keyword])
    return []


def _table(schema: dict[str, Any], keyword: str) -> dict[str, Any]:
    table = schema.get(keyword)
    return table if isinstance(table, dict) else {}


def _matches_plainly(pattern: str, name: str) -> bool | None:
    """Whether `pattern`, if it is a literal text with anchors, matches `name`; None if it is more than that."""
    plain = _PLAIN_PATTERN.fullmatch(pattern)
    if plain is None:
        return None
    begin, text, end = plain[1], re.sub(r"\\(.)", r"\1", plain[2]), plain[3]
    if begin and end == "$":
        return name == text
    if begin:
        return name.startswith(text)
    return name.endswith(text) if end == "$" else text in name
