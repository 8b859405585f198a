"""The structural schemas of our CRDs, compiled for validation: one `Node` for each place of a document.

A keyword that validation does not implement raises while the schema is compiled, so that no limit of a CRD is forgotten.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from mintaka_validation.cel import Environment, Program
from mintaka_validation.intake import with_whole_numbers
from mintaka_validation.rules import RuleSet, compile_rule

_WITHOUT_EFFECT: Final = frozenset({"description", "x-kubernetes-map-type"})
_CHECKED: Final = frozenset(
    {
        *("type", "enum", "pattern", "format", "default", "required", "items", "properties", "additionalProperties", "nullable"),
        *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
        *("x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations"),
        *("x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
    }
)
_FORMATS: Final = frozenset({None, "date-time"})
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression in RE2's syntax, which is Go's and CEL's: Python's `$` means more."""

    source: str
    program: Program

    def matches(self, text: str) -> bool:
        """Whether it is found in `text`."""
        return self.program.evaluate_prepared(self.program.prepare({"text": text})) is True


@dataclass(slots=True)
class Node:
    """The schema of one place. Limits that it does not set are None."""

    types: tuple[str, ...]
    nullable: bool = False
    format: str | None = None
    enum: tuple[Any, ...] = ()
    pattern: Pattern | None = None
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    min_properties: int | None = None
    max_properties: int | None = None
    required: tuple[str, ...] = ()
    properties: dict[str, Node] = field(default_factory=dict)
    additional: Node | None = None
    items: Node | None = None
    preserves_unknown: bool = False
    map_keys: tuple[str, ...] = ()
    default: Any = _ABSENT
    rules_for_new: RuleSet | None = None
    rules_for_update: RuleSet | None = None
    #: Whether CEL has other types than JSON for something in it.
    is_retyped: bool = False
    #: Properties that have a default, and those below which there are rules or keyed lists: only they are visited for them.
    with_default: tuple[str, ...] = ()
    has_rules: bool = False
    has_keyed_lists: bool = False

    @property
    def has_default(self) -> bool:
        """Whether a missing value is filled in."""
        return self.default is not _ABSENT

    def child(self, name: str) -> Node | None:
        """The schema of a member of an object; None if it has none."""
        return self.properties.get(name, self.additional)


@cache
def schema_of(kind: str) -> Node:
    """The schema of one of our kinds. The first call takes a tenth of a second.

    Raises:
        ValueError: it is not one of our kinds.
    """
    from mintaka_core.resources.crds import crds  # noqa: PLC0415 - start-up time: the models are not needed to import the errors

    for definition in crds().values():
        if definition["spec"]["names"]["kind"] == kind:
            return compile_schema(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    message = f"{kind!r} is not one of our kinds"
    raise ValueError(message)


@cache
def status_schema_of(kind: str) -> Node:
    """The schema of a document that has only a status."""
    status = schema_of(kind).properties["status"]
    return Node(("object",), properties={"status": status}, has_rules=status.has_rules, has_keyed_lists=status.has_keyed_lists)


def compile_schema(schema: dict[str, Any]) -> Node:
    """The node of a structural schema.

    Raises:
        ValueError: it uses a keyword or format that validation does not implement.
    """
    texts = Environment({"text": "string"})
    return _compile(schema, texts)


def _compile(schema: dict[str, Any], texts: Environment) -> Node:
    unknown = schema.keys() - _CHECKED - _WITHOUT_EFFECT
    list_type = schema.get("x-kubernetes-list-type", "atomic")
    if unknown or schema.get("format") not in _FORMATS or list_type not in {"atomic", "map"}:
        message = f"validation does not implement this schema: {schema}"
        raise ValueError(message)
    additional, items, pattern = schema.get("additionalProperties"), schema.get("items"), schema.get("pattern")
    node = Node(
        types=("integer", "string") if schema.get("x-kubernetes-int-or-string") else (schema["type"],),
        nullable=schema.get("nullable", False),
        format=schema.get("format"),
        enum=tuple(schema.get("enum", ())),
        pattern=Pattern(pattern, texts.compile(f"text.matches({json.dumps(pattern)})")) if pattern else None,
        minimum=schema.get("minimum"),
        maximum=schema.get("maximum"),
        min_length=schema.get("minLength"),
        max_length=schema.get("maxLength"),
        min_items=schema.get("minItems"),
        max_items=schema.get("maxItems"),
        min_properties=schema.get("minProperties"),
        max_properties=schema.get("maxProperties"),
        required=tuple(schema.get("required", ())),
        properties={name: _compile(part, texts) for name, part in schema.get("properties", {}).items()},
        additional=_compile(additional, texts) if additional else None,
        items=_compile(items, texts) if items else None,
        preserves_unknown=schema.get("x-kubernetes-preserve-unknown-fields", False),
        map_keys=tuple(schema.get("x-kubernetes-list-map-keys", ())) if list_type == "map" else (),
        default=with_whole_numbers(schema["default"]) if "default" in schema else _ABSENT,
    )
    rules = list(map(compile_rule, schema.get("x-kubernetes-validations", ())))
    if rules:
        node.rules_for_new = RuleSet.of([rule for rule in rules if not rule.is_transition], node)
        node.rules_for_update = RuleSet.of(rules, node)
    below = [*node.properties.values(), *(part for part in (node.additional, node.items) if part is not None)]
    node.with_default = tuple(name for name, part in node.properties.items() if part.has_default)
    node.is_retyped = "number" in node.types or node.format is not None or any(part.is_retyped for part in below)
    node.has_rules = bool(rules) or any(part.has_rules for part in below)
    node.has_keyed_lists = bool(node.map_keys) or any(part.has_keyed_lists for part in below)
    return node
