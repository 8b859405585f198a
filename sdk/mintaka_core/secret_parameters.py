"""Secrets in parameters: values that a schema marks `format: password` or `writeOnly: true` are shown and stored as stars.

The FlowRun and FlowDeployment themselves, and the pods made of them, contain the values; nothing that shows or copies them
may. If it cannot be determined what is secret, because there is no schema or it cannot be walked in bounded time,
everything is.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from mintaka_core.limits import KUBECTL_COPY
from mintaka_core.schema_places import Exhausted, Place, SchemaPlaces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MASK = "********"

#: Nothing in a valid resource is deeper; deeper values are masked without further inspection.
_DEPTH = 200
#: Texts of this length are not parts of other words by chance.
_LONG = 4
#: Keywords of a schema that hold a value, lists of values, and subschemas by name.
_VALUES, _LISTS_OF_VALUES = ("default", "const"), ("examples", "enum")
#: Keywords that contain the value, and those for which validators only quote names of members.
_SAYING = frozenset({"const", "enum"})
_QUOTING_NAMES = frozenset({"additionalProperties", "unevaluatedProperties", "dependentRequired"})
_TABLES = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"})
#: The keywords that are shown of a secret place. Others may contain the value: `pattern`, `$comment`, whatever a user invents.
_SHOWN_OF_SECRETS = _TABLES | frozenset({
    "$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$recursiveAnchor", "$recursiveRef", "$ref", "$schema", "additionalItems",
    "additionalProperties", "allOf", "anyOf", "contains", "contentEncoding", "contentMediaType", "contentSchema", "dependentRequired",
    "deprecated", "description", "else", "exclusiveMaximum", "exclusiveMinimum", "format", "id", "if", "items", "maxContains", "maxItems",
    "maxLength", "maxProperties", "maximum", "minContains", "minItems", "minLength", "minProperties", "minimum", "multipleOf", "not",
    "oneOf", "prefixItems", "propertyNames", "readOnly", "required", "then", "title", "type", "unevaluatedItems", "unevaluatedProperties",
    "uniqueItems", "writeOnly",
})  # fmt: skip


class SecretParameters:
    """Which of the parameters described by a JSON Schema are secret; false if none are."""

    def __init__(self, schema: Any) -> None:
        """`schema` may be anything a user writes, invalid or hostile; None marks nothing as secret."""
        self._schema = schema
        self._places: SchemaPlaces | None = None
        #: Whether names may be secret, for the case that the schema cannot be walked.
        self._hides_names = True
        try:
            self._places = SchemaPlaces(schema)
            self._hides_names = self._places.describes_names
            self._any = self._places.may_be_secret()
        except Exhausted:
            self._any = True

    def __bool__(self) -> bool:
        """Whether anything in the schema may be secret."""
        return self._any

    def masked(self, parameters: Any) -> Any:
        """A copy of `parameters` with secrets replaced by `MASK`; null stays null. If their names are secret, one `MASK` stands for all."""
        if not self._any:
            return parameters
        places = self._places
        try:
            root = places.begin() if places else None
            if places and root and not root.secret:
                return _masked(places, root, parameters, 0)
            return _fully_masked(parameters, names=root.secret_names if root else self._hides_names)
        except Exhausted:
            self._places = None  # it need not be tried again
            return _fully_masked(parameters, names=self._hides_names)

    def masked_schema(self) -> Any:
        """The schema with only those keywords of secrets that contain no value; values that contain secrets are masked."""
        if not self._any:
            return self._schema
        try:
            return _cleaned(self._schema, _Cleaning(self._places) if self._places else None, 0)
        except Exhausted:
            return _cleaned(self._schema, None, 0)

    def conceals(self, parameters: Any, path: Sequence[str | int]) -> bool:
        """Whether the value at `path` is secret, part of a secret or contains one, so that no message may quote it."""
        return self._any and _differs(*_at(path, parameters, self.masked(parameters)))

    def may_conceal(self, name: str) -> bool:
        """Whether the parameter `name` is secret or may contain a secret, whatever its value."""
        if not self._any or self._places is None:
            return self._any
        try:
            root = self._places.begin()
            return root.secret or any(place.secret for place in self._places.within(self._places.member(root, name)))
        except Exhausted:
            return True

    def violation(self, parameters: Any, path: Sequence[str | int], keyword: str, expected: Any, message: str) -> str:
        """The message about the value at `path`, which is not as `expected` by the schema's `keyword`.

        It is the validator's `message`, which quotes the value, if that is allowed.
        """
        if not self._any:
            return message
        value, shown = _at(path, parameters, self.masked(parameters))
        quotes_names = keyword in _QUOTING_NAMES and isinstance(value, dict) and isinstance(shown, dict) and value.keys() == shown.keys()
        if not _differs(value, shown) or keyword == "required" or quotes_names:
            return message
        return f"a value that is secret does not obey {keyword} {_told(keyword, expected)}".rstrip()

    def fault_of_schema(self, path: Sequence[str | int], keyword: str, message: str) -> str:
        """The message about the part of the schema at `path` that is wrong: `message`, which quotes it, if that is allowed."""
        if self._any and _differs(*_at(path, self._schema, self.masked_schema())):
            return f"what holds a secret does not obey {keyword} of the meta-schema"
        return message

    def redacted(self, text: str, parameters: Any) -> str:
        """`text` with each secret of `parameters` replaced by `MASK`: in plain, JSON and Python notation."""
        if not self._any:
            return text
        secrets = {form for value in _hidden(parameters, self.masked(parameters), 0) for form in _forms(value)}
        for secret in sorted(secrets, key=len, reverse=True):
            # A short one is only replaced if it stands alone: `1` is in many numbers.
            text = text.replace(secret, MASK) if len(secret) >= _LONG else re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
        return text


#: Replaces an unknown schema: every parameter is secret.
UNKNOWN_SCHEMA = {"additionalProperties": {"writeOnly": True}}
UNKNOWN = SecretParameters(UNKNOWN_SCHEMA)
#: For parameters without a schema, or with one that marks nothing.
NO_SECRETS = SecretParameters(None)


def masked_template(template: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a FlowDeployment's `spec`, or of a run's inline `template`, with masked parameters, schedules and schema."""
    secrets = SecretParameters(template.get("parameterSchema"))
    if not secrets:
        return dict(template)
    result = dict(template) | {"parameterSchema": secrets.masked_schema()}
    if "parameters" in template:
        result["parameters"] = secrets.masked(template["parameters"])
    if isinstance(schedules := template.get("schedules"), list | tuple):
        result["schedules"] = [_masked_member(schedule, secrets) for schedule in schedules]
    return result


def masked_deployment(document: Mapping[str, Any]) -> dict[str, Any]:
    """The FlowDeployment `document` without its secrets, including those in kubectl's copy of it."""
    spec = document.get("spec")
    if not isinstance(spec, dict) or not SecretParameters(spec.get("parameterSchema")):
        return dict(document)
    return {**_without_copy(document), "spec": masked_template(spec)}


def masked_run(document: Mapping[str, Any], secrets: SecretParameters) -> dict[str, Any]:
    """The FlowRun `document` without its secrets; `secrets` are its deployment's (an inline template has its own)."""
    spec = document.get("spec")
    if not isinstance(spec, dict):
        return dict(document)
    template = spec.get("template")
    if isinstance(template, dict):
        secrets = SecretParameters(template.get("parameterSchema"))
        spec = {**spec, "template": masked_template(template)}
    return {**_without_copy(document), "spec": _masked_member(spec, secrets)} if secrets else dict(document)


def _without_copy(document: Mapping[str, Any]) -> dict[str, Any]:
    """`document` without the manifest that `kubectl apply` stores in an annotation."""
    metadata = document.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(annotations, dict):
        return dict(document)
    kept = {name: value for name, value in annotations.items() if name != KUBECTL_COPY}
    return {**document, "metadata": {**metadata, "annotations": kept}}


def _masked_member(holder: Any, secrets: SecretParameters) -> Any:
    """`holder` with masked `parameters`, if it has any."""
    if not isinstance(holder, dict) or "parameters" not in holder:
        return holder
    return {**holder, "parameters": secrets.masked(holder["parameters"])}


def _fully_masked(parameters: Any, *, names: bool = False) -> Any:
    """`parameters` without any value, or without `names` either."""
    if names and parameters:
        return {MASK: MASK}
    if isinstance(parameters, dict):
        return {name: None if value is None else MASK for name, value in parameters.items()}
    return None if parameters is None else MASK


#: Stands for a missing value.
_NOTHING = object()


def _at(path: Sequence[str | int], value: Any, shown: Any) -> tuple[Any, Any]:
    """The values at `path` in both; `_NOTHING` if it is missing in one of them."""
    for key in path:
        try:
            value, shown = value[key], shown[key]
        except (KeyError, IndexError, TypeError):
            return value, _NOTHING
    return value, shown


def _differs(value: Any, shown: Any) -> bool:
    return shown is _NOTHING or bool(value != shown)


def _told(keyword: str, expected: Any) -> str:
    words = isinstance(expected, list) and all(isinstance(each, str) for each in expected)
    told = keyword not in _SAYING and (words or isinstance(expected, str | int | float))
    return json.dumps(expected) if told else ""


def _masked(places: SchemaPlaces, place: Place, value: Any, depth: int) -> Any:
    places.count()
    if value is None:
        return None
    if place.secret or depth > _DEPTH:
        return MASK
    if isinstance(value, dict):
        return {name: _masked(places, places.member(place, name), member, depth + 1) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(places, places.item(place, index), item, depth + 1) for index, item in enumerate(value)]
    return value


class _Cleaning:
    """The places that each part of a schema applies to, for removing their values from it."""

    def __init__(self, places: SchemaPlaces) -> None:
        self._places = places
        self._by_node: dict[int, list[Place]] = {}
        for place in places.within(places.begin()):
            for schema in place.schemas:
                self._by_node.setdefault(id(schema), []).append(place)

    def within(self, schema: dict[str, Any]) -> _Cleaning | None:
        """The same for the content of `schema`; None if all of it is secret."""
        return None if any(place.secret for place in self._of(schema)) else self

    def masked(self, schema: dict[str, Any], value: Any) -> Any:
        """Mask a value inside `schema`."""
        for place in self._of(schema):
            value = _masked(self._places, place, value, 0)
        return value

    def _of(self, schema: dict[str, Any]) -> list[Place]:
        # A part without references to it is a place of its own.
        return self._by_node.get(id(schema)) or [self._places.of(schema)]


def _cleaned(schema: Any, cleaning: _Cleaning | None, depth: int) -> Any:
    """A copy of `schema`; `cleaning` None: all of it is secret."""
    if isinstance(schema, list):
        return [_cleaned(part, cleaning, depth + 1) for part in schema]
    if not isinstance(schema, dict) or depth > _DEPTH:
        return schema if not isinstance(schema, dict) else {}
    cleaning = cleaning.within(schema) if cleaning else None
    result: dict[str, Any] = {}
    for keyword, value in schema.items():
        if cleaning is None and keyword not in _SHOWN_OF_SECRETS:
            continue
        if keyword in _VALUES:
            result |= {keyword: cleaning.masked(schema, value)} if cleaning else {}
        elif keyword in _LISTS_OF_VALUES:
            listed = value if isinstance(value, list) else []
            result |= {keyword: [cleaning.masked(schema, each) for each in listed]} if cleaning else {}
        elif keyword in _TABLES and isinstance(value, dict):
            parts = {name: part for name, part in value.items() if cleaning or isinstance(part, dict | list | bool)}
            result[keyword] = {name: _cleaned(part, cleaning, depth + 1) for name, part in parts.items()}
        else:
            result[keyword] = _cleaned(value, cleaning, depth + 1)
    return result


def _hidden(value: Any, shown: Any, depth: int) -> Iterator[Any]:
    """The scalar values that are hidden in `shown`, the masked form of `value`, and the names of members that are."""
    if depth > _DEPTH or value is shown:
        return
    if isinstance(value, dict):
        for name, member in value.items():
            known = isinstance(shown, dict) and name in shown
            yield from () if known or not name else (name,)
            yield from _hidden(member, shown[name] if known else MASK, depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _hidden(item, shown[index] if isinstance(shown, list) else MASK, depth + 1)
    elif value != shown and not isinstance(value, bool) and value not in {None, ""}:
        yield value


def _forms(value: Any) -> tuple[str, ...]:
    text = str(value)
    return text, repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]
