"""Finds the parts of a JSON Schema (2020-12, and older equivalents) that apply to one place of a value, and whether it is secret.

A place is secret if any subschema that may apply to it has `format: password` or `writeOnly: true`. "May apply" is wider
than validation: every branch of anyOf, oneOf, if and dependentSchemas counts, and so do patterns that cannot be matched in
linear time. Schemas come from users and may be hostile: circular references end, dangling references make a place secret,
nothing is fetched, and the work is bounded (`Exhausted`).

A reference is resolved against the resource that contains it, which an `$id` begins (JSON Schema Core, 8.2). Drafts differ in
which `$id` counts, so every enclosing one does, and names in URIs are compared by their last segment: too many targets mask
more, too few would show a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mintaka_core.patterns import matcher_of
from mintaka_core.schema_resources import Exhausted, Resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: The maximum cost of one walk, in steps of one or two microseconds: some 30 ms.
STEPS_LIMIT = 20_000
#: The maximum number of places cached from one walk to the next.
_REMEMBERED = 4096

_LISTS = ("allOf", "anyOf", "oneOf")
_ALTERNATIVES = ("if", "then", "else")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_OTHERWISE = ("additionalProperties", "unevaluatedProperties")
#: For the items of a list after those that are described one by one.
_REST = ("items", "additionalItems", "unevaluatedItems")
_CHARACTERS_A_STEP = 16
#: The cost of creating a place.
_PLACE_STEPS = 5
#: The cost of compiling a pattern; a longer one takes too long and may match anything.
_COMPILING_STEPS = 500
_LONGEST_COMPILED = 4096
#: A literal text, with a backslash before each character other than letters and digits, and anchors.
_PLAIN_PATTERN = re.compile(r"(\^?)((?:[^\\^$.|?*+()\[\]{}]|\\[^a-zA-Z0-9])*+)(\$?|\.\*\$?)")


@dataclass(slots=True)
class Place:
    """One place of a value: `schemas` are the subschemas that apply to it, with references resolved and branches included.

    `secret_names` means that the names of its members are secret too.
    """

    secret: bool
    schemas: list[dict[str, Any]] = field(default_factory=list)
    secret_names: bool = False


class SchemaPlaces:
    """The places of the values that `schema` describes."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._resources = Resources(schema)
        self._known: dict[frozenset[int], Place] = {}
        self._targets_of: dict[tuple[str, int], list[Any]] = {}
        self._matchers: dict[str, Callable[[str], bool | None] | None] = {}
        self._steps = 0

    @property
    def steps(self) -> int:
        """The cost of the current walk."""
        return self._steps

    @property
    def describes_names(self) -> bool:
        """Whether any part of the schema describes the names of members."""
        return any("propertyNames" in node for node in self._resources.nodes)

    def may_be_secret(self) -> bool:
        """Whether any part of the schema is marked or has an unknown reference; False makes walks unnecessary. May raise Exhausted."""
        return any(_is_marked(node) for node in self._resources.nodes) or any(map(self._leads_astray, self._resources.nodes))

    def begin(self) -> Place:
        """Begin a walk with the place of the whole value."""
        self._steps = 0
        if len(self._known) > _REMEMBERED:
            self._known.clear()
            self._targets_of.clear()
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
                self.count(len(current.schemas))
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
        if pattern not in self._matchers:
            self.count(len(pattern) // _CHARACTERS_A_STEP)
            self._matchers[pattern] = _plain_matcher_of(pattern) or self._compiled(pattern)
        self.count((len(pattern) + len(name)) // _CHARACTERS_A_STEP)
        matches = self._matchers[pattern]
        return matches is None or matches(name) is not False

    def _compiled(self, pattern: str) -> Callable[[str], bool | None] | None:
        self.count(_COMPILING_STEPS)
        return matcher_of(pattern) if len(pattern) <= _LONGEST_COMPILED else None

    def _place(self, schemas: list[Any]) -> Place:
        key = frozenset(map(id, schemas))
        if key not in self._known:
            self._known[key] = self._expanded(schemas)
        return self._known[key]

    def _expanded(self, schemas: list[Any]) -> Place:
        """The schemas with all their references and branches, each once."""
        self.count(_PLACE_STEPS)
        place = Place(secret=False)
        for schema in self._applicable(schemas):
            place.schemas.append(schema)
            place.secret = place.secret or self._marks(schema)
        names = [schema["propertyNames"] for schema in place.schemas if "propertyNames" in schema]
        # If the names are secret, so is the object that has them as keys.
        place.secret_names = any(self._marks(schema) for schema in self._applicable(names))
        place.secret = place.secret or place.secret_names
        return place

    def _applicable(self, schemas: list[Any]) -> Iterator[dict[str, Any]]:
        """The schemas that apply wherever one of `schemas` does: what they refer to and their branches."""
        waiting, met = list(schemas), set[int]()
        while waiting:
            self.count()
            schema = waiting.pop()
            if not isinstance(schema, dict) or id(schema) in met:
                continue
            met.add(id(schema))
            yield schema
            for keyword in _LISTS:
                waiting += schema[keyword] if isinstance(schema.get(keyword), list) else ()
            waiting += [schema[keyword] for keyword in _ALTERNATIVES if keyword in schema]
            waiting += _table(schema, "dependentSchemas").values()
            waiting += _table(schema, "dependencies").values()
            for keyword in _REFERENCES:
                if keyword in schema:
                    targets = self._targets(schema, keyword)
                    self.count(len(targets))
                    waiting += targets

    def _marks(self, schema: dict[str, Any]) -> bool:
        """Whether a subschema makes its value secret by itself: by a mark, an unknown reference, or what its JSON text contains."""
        return (
            _is_marked(schema) or self._leads_astray(schema) or ("contentSchema" in schema and self._holds_secret(schema["contentSchema"]))
        )

    def _holds_secret(self, schema: Any) -> bool:
        """Whether anything in `schema`, or in what it refers to, is marked or unknown."""
        waiting, met = [schema], set[int]()
        while waiting:
            self.count()
            node = waiting.pop()
            if isinstance(node, list):
                waiting += node
            elif isinstance(node, dict) and id(node) not in met:
                met.add(id(node))
                if _is_marked(node) or self._leads_astray(node):
                    return True
                waiting += node.values()
                for keyword in _REFERENCES:
                    waiting += self._targets(node, keyword) if keyword in node else ()
        return False

    def _leads_astray(self, schema: dict[str, Any]) -> bool:
        """Whether a reference of this subschema has no known target."""
        return any(keyword in schema and not self._targets(schema, keyword) for keyword in _REFERENCES)

    def _targets(self, schema: dict[str, Any], keyword: str) -> list[Any]:
        """The possible targets of a reference; empty if there are none in this schema."""
        reference = schema[keyword]
        if not isinstance(reference, str):
            return []
        self.count(1 + len(reference) // _CHARACTERS_A_STEP)
        # The target of `$recursiveRef` depends on which resources were passed on the way to it.
        scope = self._resources.all if keyword == "$recursiveRef" else self._resources.around(schema)
        key = reference, id(scope)
        if key not in self._targets_of:
            self._targets_of[key] = self._resources.targets(reference, scope, self.count)
        return self._targets_of[key]


def _is_marked(schema: Any) -> bool:
    """Whether the schema itself marks its value as secret."""
    return isinstance(schema, dict) and (schema.get("writeOnly") is True or schema.get("format") == "password")


def _first_items(schema: dict[str, Any]) -> list[Any]:
    """The subschemas of the first items, one for each: `prefixItems` or, before 2020, a list of `items`."""
    for keyword in ("prefixItems", "items"):
        if isinstance(schema.get(keyword), list):
            return schema[keyword]  # type: ignore[no-any-return]  # not copied: it may be long
    return []


def _table(schema: dict[str, Any], keyword: str) -> dict[str, Any]:
    table = schema.get(keyword)
    return table if isinstance(table, dict) else {}


def _plain_matcher_of(pattern: str) -> Callable[[str], bool] | None:
    """A function that checks whether `pattern` matches a name, if it is a literal text with anchors; None for other patterns."""
    plain = _PLAIN_PATTERN.fullmatch(pattern)
    if plain is None:
        return None
    begin, text, end = plain[1], re.sub(r"\\(.)", r"\1", plain[2]), plain[3]
    if begin and end == "$":
        return lambda name: name == text
    if begin:
        return lambda name: name.startswith(text)
    return (lambda name: name.endswith(text)) if end == "$" else (lambda name: text in name)


__all__ = ["STEPS_LIMIT", "Exhausted", "Place", "SchemaPlaces"]
