"""Secrets in parameters: whatever a schema may make secret is shown nowhere, whatever it does not is shown as it is."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr

from mintaka_core.secret_parameters import MASK, UNKNOWN, SecretParameters, masked_run, masked_template

CANARY = "c4nary"
SECRET: dict[str, Any] = {"type": "string", "format": "password"}
WRITE_ONLY: dict[str, Any] = {"type": "string", "writeOnly": True}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


class Database(BaseModel):
    """A parameter as flows declare it."""

    host: str
    password: SecretStr
    others: list[SecretStr] = []
    named: dict[str, SecretStr] = {}
    parent: Database | None = None


class Parameters(BaseModel):
    """The parameters of such a flow."""

    database: Database
    token: SecretStr | None = None
    marked: str = Field(default=CANARY, json_schema_extra={"writeOnly": True})


#: kind of place, schema, parameters, what is shown of them.
PLACES: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("format", _object(a=SECRET, b={}), {"a": CANARY, "b": "seen"}, {"a": MASK, "b": "seen"}),
    ("writeOnly", _object(a=WRITE_ONLY), {"a": CANARY, "b": 1}, {"a": MASK, "b": 1}),
    ("a number", _object(a={"type": "integer", "writeOnly": True}), {"a": 815}, {"a": MASK}),
    ("null is no secret", _object(a=SECRET), {"a": None}, {"a": None}),
    ("an object as a whole", _object(a={"type": "object", "writeOnly": True}), {"a": {"b": CANARY}}, {"a": MASK}),
    ("a list as a whole", _object(a={"type": "array", "writeOnly": True}), {"a": [CANARY]}, {"a": MASK}),
    ("nested object", _object(a=_object(b=_object(c=SECRET))), {"a": {"b": {"c": CANARY, "d": 2}}}, {"a": {"b": {"c": MASK, "d": 2}}}),
    ("items", _object(a={"type": "array", "items": SECRET}), {"a": [CANARY, CANARY]}, {"a": [MASK, MASK]}),
    ("items of items", _object(a={"items": {"items": _object(b=SECRET)}}), {"a": [[{"b": CANARY}]]}, {"a": [[{"b": MASK}]]}),
    ("prefixItems", _object(a={"prefixItems": [{}, SECRET], "items": {}}), {"a": ["x", CANARY, "y"]}, {"a": ["x", MASK, "y"]}),
    ("items after prefixItems", _object(a={"prefixItems": [{}], "items": SECRET}), {"a": ["x", CANARY]}, {"a": ["x", MASK]}),
    ("items before 2020", _object(a={"items": [{}, SECRET], "additionalItems": {}}), {"a": ["x", CANARY, 1]}, {"a": ["x", MASK, 1]}),
    ("contains", _object(a={"contains": SECRET}), {"a": [CANARY]}, {"a": [MASK]}),
    ("unevaluatedItems", _object(a={"unevaluatedItems": SECRET}), {"a": [CANARY]}, {"a": [MASK]}),
    ("additionalProperties", {**_object(a={}), "additionalProperties": SECRET}, {"a": "x", "b": CANARY}, {"a": "x", "b": MASK}),
    ("unevaluatedProperties", {**_object(a={}), "unevaluatedProperties": SECRET}, {"a": "x", "b": CANARY}, {"a": "x", "b": MASK}),
    ("patternProperties, begin", {"patternProperties": {"^db_": SECRET}}, {"db_a": CANARY, "my_db_": "x"}, {"db_a": MASK, "my_db_": "x"}),
    ("patternProperties, end", {"patternProperties": {"_key$": SECRET}}, {"a_key": CANARY, "keys": "x"}, {"a_key": MASK, "keys": "x"}),
    ("patternProperties, both", {"patternProperties": {"^a\\.b$": SECRET}}, {"a.b": CANARY, "axb": "x"}, {"a.b": MASK, "axb": "x"}),
    ("patternProperties, within", {"patternProperties": {"pass": SECRET}}, {"my_pass_": CANARY, "a": "x"}, {"my_pass_": MASK, "a": "x"}),
    ("patternProperties, any", {"patternProperties": {".*": SECRET}}, {"a": CANARY}, {"a": MASK}),
    ("a pattern", {"patternProperties": {"^(a|b)+[0-9]?$": SECRET}}, {"ab1": CANARY, "c": "x"}, {"ab1": MASK, "c": "x"}),
    ("a pattern that takes more than linear time", {"patternProperties": {"^(?=a)": SECRET}}, {"ab": CANARY, "c": "x"}, {"ab": MASK, "c": MASK}),
    ("what is no pattern", {"patternProperties": {"[": SECRET}}, {"ab": CANARY}, {"ab": MASK}),
    ("propertyNames", _object(a={"propertyNames": SECRET}), {"a": {CANARY: 1}}, {"a": MASK}),
    ("allOf", _object(a={"allOf": [{"type": "string"}, SECRET]}), {"a": CANARY}, {"a": MASK}),
    ("anyOf", _object(a={"anyOf": [SECRET, {"type": "null"}]}), {"a": CANARY}, {"a": MASK}),
    ("oneOf", _object(a={"oneOf": [{"type": "integer"}, _object(b=SECRET)]}), {"a": {"b": CANARY, "c": 1}}, {"a": {"b": MASK, "c": 1}}),
    ("if, then, else", {"if": {}, "then": _object(a=SECRET), "else": _object(b=SECRET)}, {"a": CANARY, "b": CANARY}, {"a": MASK, "b": MASK}),
    ("dependentSchemas", {"dependentSchemas": {"user": _object(a=SECRET)}}, {"user": "u", "a": CANARY}, {"user": "u", "a": MASK}),
    ("allOf at the top", {"allOf": [_object(a={}), _object(a=SECRET)]}, {"a": CANARY}, {"a": MASK}),
    ("the whole", {"type": "object", "writeOnly": True}, {"a": CANARY, "b": 1}, {"a": MASK, "b": MASK}),
    ("$ref", {**_object(a={"$ref": "#/$defs/S"}), "$defs": {"S": SECRET}}, {"a": CANARY}, {"a": MASK}),
    ("$ref in $ref", {**_object(a={"$ref": "#/$defs/A"}), "$defs": {"A": {"$ref": "#/$defs/S"}, "S": SECRET}}, {"a": CANARY}, {"a": MASK}),
    ("$ref, escaped", {**_object(a={"$ref": "#/$defs/a~1b%20c"}), "$defs": {"a/b c": SECRET}}, {"a": CANARY}, {"a": MASK}),
    ("$ref into a list", {**_object(a={"$ref": "#/anyOf/1"}), "anyOf": [{}, SECRET]}, {"a": CANARY}, {"a": MASK}),
    ("$ref beside marks", {**_object(a={"$ref": "#/$defs/S", "writeOnly": True}), "$defs": {"S": {}}}, {"a": CANARY}, {"a": MASK}),
    ("$ref to itself", {**_object(a={"$ref": "#"}, b=SECRET)}, {"a": {"a": {"b": CANARY}}}, {"a": {"a": {"b": MASK}}}),
    ("$ref in a circle", {**_object(a={"$ref": "#/$defs/A"}), "$defs": {"A": {"$ref": "#/$defs/A"}}}, {"a": "seen"}, {"a": "seen"}),
    ("$anchor", {**_object(a={"$ref": "#s"}), "$defs": {"S": {"$anchor": "s", **SECRET}}}, {"a": CANARY}, {"a": MASK}),
    ("$dynamicRef", {**_object(a={"$dynamicRef": "#s"}), "$defs": {"S": {"$dynamicAnchor": "s", **SECRET}}}, {"a": CANARY}, {"a": MASK}),
    ("$id", {**_object(a={"$ref": "https://x/s"}), "$defs": {"S": {"$id": "https://x/s", **SECRET}}}, {"a": CANARY}, {"a": MASK}),
    ("a reference that leads elsewhere", _object(a={"$ref": "https://example.com/s.json"}), {"a": CANARY, "b": 1}, {"a": MASK, "b": 1}),
    ("a reference that leads nowhere", _object(a={"$ref": "#/$defs/none"}), {"a": CANARY}, {"a": MASK}),
    ("a reference that is none", _object(a={"$ref": 7}), {"a": CANARY}, {"a": MASK}),
    ("a pointer within a resource", {**_object(a={"$id": "https://x/b", "$ref": "#/$defs/s", "$defs": {"s": SECRET}}), "$defs": {"s": {}}}, {"a": CANARY}, {"a": MASK}),
    ("a pointer within a resource in a resource",
     _object(a={"$id": "o", "$defs": {"s": {}}, "allOf": [{"$id": "i", "$defs": {"s": SECRET}, "anyOf": [{"$ref": "#/$defs/s"}]}]}), {"a": CANARY}, {"a": MASK}),
    ("a pointer that only the root has", {**_object(a={"$id": "b", "$ref": "#/$defs/s"}, b={}), "$defs": {"s": {}}}, {"a": CANARY, "b": 1}, {"a": MASK, "b": 1}),
    ("a pointer within what other drafts call a resource", {**_object(a={"id": "b", "$ref": "#/$defs/s"}), "$defs": {"s": {}}}, {"a": 1}, {"a": 1}),
    ("$ref to the resource", _object(a={"$id": "b", **_object(b={"$ref": "#"}, c=SECRET)}), {"a": {"b": {"c": CANARY}}}, {"a": {"b": {"c": MASK}}}),
    ("$id relative to a base", {**_object(a={"$id": "https://y/d/", "$ref": "s"}), "$defs": {"S": {"$id": "https://y/d/s", **SECRET}, "D": {"$id": "s"}}},
     {"a": CANARY}, {"a": MASK}),
    ("a pointer into another resource", {**_object(a={"$ref": "b#/$defs/s"}), "$defs": {"B": {"$id": "b", "$defs": {"s": SECRET}}}}, {"a": CANARY}, {"a": MASK}),
    ("$anchor of several resources", {**_object(a={"$id": "b", "$ref": "#s", "$defs": {"S": {"$anchor": "s", **SECRET}}}), "$defs": {"S": {"$anchor": "s"}}},
     {"a": CANARY}, {"a": MASK}),
    ("$anchor of an unknown resource", {**_object(a={"$ref": "c#s"}), "$defs": {"S": {"$anchor": "s"}}}, {"a": CANARY}, {"a": MASK}),
    ("$anchor, escaped", {**_object(a={"$ref": "#%73"}), "$defs": {"S": {"$anchor": "s", **SECRET}}}, {"a": CANARY}, {"a": MASK}),
    ("$dynamicRef to the anchor of an outer resource",
     {**_object(a={"$ref": "t"}), "$defs": {"L": {"$dynamicAnchor": "n", **SECRET}, "T": {"$id": "t", "$defs": {"N": {"$dynamicAnchor": "n"}}, "items": {"$dynamicRef": "#n"}}}},
     {"a": [CANARY]}, {"a": [MASK]}),
    ("$recursiveRef to a resource beside",
     {"$defs": {"T": {"$id": "t", "items": {"$recursiveRef": "#"}}}, **_object(a={"$id": "u", "$recursiveAnchor": True, "$ref": "t", **_object(b=SECRET)})},
     {"a": [{"b": CANARY}]}, {"a": [{"b": MASK}]}),
    ("propertyNames through $ref", {**_object(a={"propertyNames": {"$ref": "#/$defs/s"}}, b={}), "$defs": {"s": SECRET}}, {"a": {CANARY: 1}, "b": 1}, {"a": MASK, "b": 1}),
    ("propertyNames through allOf", _object(a={"propertyNames": {"allOf": [{}, SECRET]}}), {"a": {CANARY: 1}}, {"a": MASK}),
    ("propertyNames of the whole", {"propertyNames": SECRET}, {CANARY: 1}, {MASK: MASK}),
    ("propertyNames of nothing", {"propertyNames": SECRET}, {}, {}),
    ("propertyNames that refer to themselves", {"propertyNames": {"$ref": "#"}, **_object(a=SECRET)}, {"a": CANARY, "b": 1}, {"a": MASK, "b": 1}),
    ("propertyNames without marks", {"propertyNames": {"pattern": "^[a-z]+$"}, **_object(a=SECRET)}, {"a": CANARY, "b": 1}, {"a": MASK, "b": 1}),
    ("contentSchema", _object(a={"contentMediaType": "application/json", "contentSchema": _object(b=SECRET)}), {"a": f'{{"b":"{CANARY}"}}'}, {"a": MASK}),
    ("contentSchema through $ref", {**_object(a={"contentSchema": {"items": {"$ref": "#/$defs/s"}}}), "$defs": {"s": _object(c=SECRET)}}, {"a": f'[{{"c":"{CANARY}"}}]'},
     {"a": MASK}),
    ("contentSchema that leads nowhere", _object(a={"contentSchema": {"$ref": "x"}}), {"a": CANARY}, {"a": MASK}),
    ("contentSchema without marks", _object(a={"contentSchema": _object(b={"$ref": "#/properties/b"})}, b={}, c=SECRET), {"a": "{}", "c": CANARY}, {"a": "{}", "c": MASK}),
    ("what pydantic makes", Parameters.model_json_schema(),
     {"database": {"host": "h", "password": CANARY, "others": [CANARY], "named": {"x": CANARY}, "parent": {"host": "p", "password": CANARY}},
      "token": CANARY, "marked": CANARY},
     {"database": {"host": "h", "password": MASK, "others": [MASK], "named": {"x": MASK}, "parent": {"host": "p", "password": MASK}},
      "token": MASK, "marked": MASK}),
    ("nothing marked", _object(a={"type": "string"}), {"a": "x", "b": [1]}, {"a": "x", "b": [1]}),
    ("false marks", _object(a={"writeOnly": False}, b={"format": "email"}, writeOnly={"type": "boolean"}), {"a": "x", "writeOnly": True},
     {"a": "x", "writeOnly": True}),
    ("a parameter called format", _object(format={"enum": ["password", "text"]}), {"format": "password"}, {"format": "password"}),
    ("no schema", None, {"a": "x"}, {"a": "x"}),
    ("not a schema", [1, "x"], {"a": "x"}, {"a": "x"}),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "parameters", "shown"), [case[1:] for case in PLACES], ids=[case[0] for case in PLACES])
def test_what_a_schema_marks_is_shown_as_stars_and_all_else_as_it_is(schema: Any, parameters: Any, shown: Any) -> None:
    """Whatever kind of place it is."""
    before = json.dumps(parameters)
    secrets = SecretParameters(schema)
    assert secrets.masked(parameters) == shown
    assert secrets.masked(shown) == shown
    assert json.dumps(parameters) == before
    assert bool(secrets) or shown == parameters


def test_with_an_unknown_schema_everything_is_secret() -> None:
    """Names are shown, and what is null."""
    assert UNKNOWN.masked({"a": CANARY, "b": [CANARY], "c": None}) == {"a": MASK, "b": MASK, "c": None}


#: kind of default, schema.
DEFAULTS: list[tuple[str, dict[str, Any]]] = [
    ("default", _object(a={**SECRET, "default": CANARY})),
    ("examples", _object(a={**SECRET, "examples": [CANARY]})),
    ("const", _object(a={**SECRET, "const": CANARY})),
    ("enum", _object(a={**SECRET, "enum": [CANARY]})),
    ("default of an object", _object(a={**_object(b=SECRET), "default": {"b": CANARY, "c": "seen"}})),
    ("default of a list", _object(a={"items": SECRET, "default": [CANARY]})),
    ("default of the whole", {**_object(a=SECRET), "default": {"a": CANARY, "c": "seen"}}),
    ("mark in anyOf", _object(a={"anyOf": [SECRET, {"type": "null"}], "default": CANARY})),
    ("mark beside in allOf", {"allOf": [_object(a=SECRET), _object(a={"default": CANARY})]}),
    ("default beside in allOf", {"allOf": [_object(a=SECRET), {"default": {"a": CANARY}}]}),
    ("mark through $ref", {**_object(a={"$ref": "#/$defs/S", "default": CANARY}), "$defs": {"S": SECRET}}),
    ("default through $ref", {**_object(a={"allOf": [{"$ref": "#/$defs/S"}], "writeOnly": True}), "$defs": {"S": {"default": CANARY}}}),
    ("within what is secret", _object(a={"writeOnly": True, **_object(b=_object(c={"default": CANARY}))})),
    ("not referred to", {**_object(a={}), "$defs": {"S": {**SECRET, "default": CANARY}}}),
    ("additionalProperties", {"additionalProperties": {**SECRET, "default": CANARY}}),
    ("a table called default", _object(default={**SECRET, "default": CANARY})),
    ("$comment", _object(a={**SECRET, "$comment": f"now {CANARY}"})),
    ("pattern", _object(a={**SECRET, "pattern": f"^{CANARY}$"})),
    ("an unknown keyword", _object(a={**SECRET, "x-old": CANARY, "x-older": [{"default": CANARY}], "x-oldest": {"title": CANARY}})),
    ("$comment within what is secret", _object(a={"writeOnly": True, "items": {"$comment": CANARY}})),
    ("pattern beside in allOf", {"allOf": [_object(a=SECRET), _object(a={"pattern": CANARY})]}),
    ("secret names", {"propertyNames": {**SECRET, "enum": [CANARY]}}),
    ("default of an object with secret names", _object(a={"propertyNames": {"allOf": [SECRET]}, "default": {CANARY: 1}})),
    ("default with contentSchema", _object(a={"contentSchema": _object(b=SECRET), "default": f'{{"b":"{CANARY}"}}'})),
    (
        "default through a pointer within a resource",
        {**_object(a={"$id": "b", "$ref": "#/$defs/s", "$defs": {"s": SECRET}, "default": CANARY}), "$defs": {"s": {}}},
    ),
    ("pydantic", Parameters.model_json_schema()),
]


@pytest.mark.parametrize("schema", [case[1] for case in DEFAULTS], ids=[case[0] for case in DEFAULTS])
def test_a_schema_is_shown_without_the_values_of_secrets(schema: Any) -> None:
    """And still marks the same places."""
    assert CANARY in json.dumps(schema)
    shown = SecretParameters(schema).masked_schema()
    assert CANARY not in json.dumps(shown)
    assert ("seen" in json.dumps(schema)) == ("seen" in json.dumps(shown))
    assert SecretParameters(shown)


def test_a_schema_without_secrets_keeps_its_values() -> None:
    """Those of places beside a secret too, and keywords that are not known."""
    plain = _object(a={"default": "x", "enum": ["x"], "pattern": "x", "$comment": "x", "x-y": {"z": 1}}, default={"const": 1})
    assert SecretParameters(plain).masked_schema() == plain
    both = _object(s=SECRET, **plain["properties"])
    assert SecretParameters(both).masked_schema() == both


def _wide(count: int) -> dict[str, Any]:
    references = [{"$ref": f"#/$defs/d{n}"} for n in range(count)]
    return {
        "$defs": {f"d{n}": {"anyOf": references, "additionalProperties": {"anyOf": references[n:]}} for n in range(count)},
        "anyOf": references,
    }


def _deep(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {**SECRET}
    for _ in range(depth):
        schema = _object(a=schema)
    return schema


def _deep_value(depth: int) -> Any:
    value: Any = CANARY
    for _ in range(depth):
        value = {"a": value}
    return value


HOSTILE: list[tuple[str, Any, Any]] = [
    ("branches that all refer to each other", {**_wide(90), "writeOnly": False, "not": SECRET}, {f"k{n}": {"x": CANARY} for n in range(2000)}),
    ("a circle of branches for each member", {"$defs": {"A": {"anyOf": [{"$ref": "#"}]}}, "anyOf": [{"$ref": "#/$defs/A"}, _object(a=SECRET)]}, {"a": CANARY}),
    ("a deep schema and a deep value", _deep(900), _deep_value(900)),
    ("a value deeper than its schema", _object(a=SECRET), {"a": _deep_value(800)}),
    ("a pattern that takes forever", {"patternProperties": {"^(a+)+b$": SECRET}}, {"a" * 5000 + "b": CANARY}),
    ("patterns that are large when compiled", {"patternProperties": {f"({n}?){{9999}}(a{{9999}}){{9999}}": SECRET for n in range(500)}}, {"a": CANARY}),
    ("a long pattern", {"patternProperties": {"a" * 100000: SECRET, "\\" * 99999: SECRET}}, {"a" * 100000: CANARY, "b": 1}),
    ("long references", {"$defs": {"S": SECRET}, **_object(**{f"p{n}": {"$ref": "#/" + "a/" * 500 + str(n)} for n in range(1000)})},
     {f"p{n}": CANARY for n in range(1000)}),
    ("many patterns and many names", {"patternProperties": {f"^{n}x": SECRET for n in range(5000)}}, {f"{n}x": CANARY for n in range(2000)}),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "parameters"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_a_hostile_schema_takes_bounded_time_and_shows_nothing(schema: Any, parameters: Any) -> None:
    """If it cannot be walked through, everything is secret."""
    began = time.process_time()
    secrets = SecretParameters(schema)
    shown = secrets.masked(parameters)
    secrets.masked_schema()
    assert time.process_time() - began < 5
    assert CANARY not in json.dumps(shown)


@pytest.mark.parametrize(
    ("path", "concealed"),
    [([], True), (["a"], True), (["a", "b"], True), (["a", "b", 0], True), (["a", "c"], False), (["n"], False), (["gone"], True)],
)
def test_a_message_may_quote_only_what_neither_is_nor_holds_a_secret(path: list[str | int], concealed: bool) -> None:
    """A message at a parent quotes the whole."""
    secrets = SecretParameters(_object(a=_object(b=SECRET, c={}), n={}))
    assert secrets.conceals({"a": {"b": CANARY, "c": 1}, "n": 2}, path) is concealed
    assert not SecretParameters(_object(a={})).conceals({"a": 1}, ["a"])


@pytest.mark.parametrize(
    ("path", "keyword", "expected", "message", "told"),
    [
        (["a"], "type", "integer", f"'{CANARY}' is not of type 'integer'", 'a value that is secret does not obey type "integer"'),
        (["a"], "minLength", 8, f"'{CANARY}' is too short", "a value that is secret does not obey minLength 8"),
        (["a"], "const", "other", f"'other' was expected, not '{CANARY}'", "a value that is secret does not obey const"),
        (["a"], "anyOf", [{}, {}], f"'{CANARY}' is not valid under any", "a value that is secret does not obey anyOf"),
        (
            [],
            "minProperties",
            5,
            f"{{'a': '{CANARY}'}} does not have enough properties",
            "a value that is secret does not obey minProperties 5",
        ),
        (["a"], "type", ["string", "null"], f"'{CANARY}'", 'a value that is secret does not obey type ["string", "null"]'),
        ([], "required", ["z"], "'z' is a required property", "'z' is a required property"),
        (["b"], "type", "integer", "'x' is not of type 'integer'", "'x' is not of type 'integer'"),
        (
            [],
            "additionalProperties",
            None,
            "Additional properties are not allowed ('z' was unexpected)",
            "Additional properties are not allowed ('z' was unexpected)",
        ),
        (["a"], "additionalProperties", None, f"('{CANARY}' was unexpected)", "a value that is secret does not obey additionalProperties"),
    ],
)
def test_what_is_wrong_with_a_secret_is_said_without_it(
    path: list[str | int], keyword: str, expected: Any, message: str, told: str
) -> None:
    """By the word of the schema that it does not obey."""
    secrets = SecretParameters(_object(a=SECRET, b={}))
    assert secrets.violation({"a": CANARY, "b": "x"}, path, keyword, expected, message) == told


def test_secret_names_are_in_no_message() -> None:
    """Neither in that of a keyword which quotes names, nor in another text."""
    secrets = SecretParameters({"propertyNames": SECRET})
    message = f"Additional properties are not allowed ('{CANARY}' was unexpected)"
    assert CANARY not in secrets.violation({CANARY: 1}, [], "additionalProperties", None, message)
    assert secrets.conceals({CANARY: 1}, [CANARY])
    assert CANARY not in secrets.redacted(f"{CANARY} is missing", {CANARY: True})


@pytest.mark.parametrize("secret", [CANARY, "a\"b'c\\d", "línea\nzwei", 815, 3.5])
def test_texts_are_redacted_in_whatever_form_the_secret_stands(secret: Any) -> None:
    """As Python and JSON write it, and as it is."""
    secrets = SecretParameters(_object(a={"writeOnly": True}, b=_object(c=SECRET)))
    parameters = {"a": secret, "b": {"c": [secret]}, "d": "seen"}
    for text in (str(secret), repr(parameters), json.dumps(parameters), json.dumps(parameters, ensure_ascii=False)):
        shown = secrets.redacted(f"it is {text}", parameters)
        assert str(secret) not in shown
        assert MASK in shown
    assert secrets.redacted("seen", parameters) == "seen"


def test_a_short_secret_is_redacted_where_it_stands_alone() -> None:
    """It is part of many words."""
    secrets = SecretParameters(_object(a=SECRET, b={"writeOnly": True}))
    told = secrets.redacted("'x' is not 12 or 7, nor 0x7f; extra", {"a": "x", "b": 7})
    assert told == f"'{MASK}' is not 12 or {MASK}, nor 0x7f; extra"


def test_the_spec_of_a_deployment_is_masked_in_every_field_that_holds_parameters() -> None:
    """Its own, those of its schedules, and the defaults in its schema."""
    spec = {
        "entrypoint": "a:b",
        "parameters": {"a": CANARY, "b": 1},
        "schedules": [{"name": "x", "cron": "@daily", "parameters": {"a": CANARY}}, {"name": "y", "interval": "1h"}],
        "parameterSchema": _object(a={**SECRET, "default": CANARY}),
    }
    shown = masked_template(spec)
    assert CANARY not in json.dumps(shown)
    assert shown["parameters"] == {"a": MASK, "b": 1}
    assert shown["schedules"] == [{"name": "x", "cron": "@daily", "parameters": {"a": MASK}}, {"name": "y", "interval": "1h"}]
    plain = {"parameters": {"a": "x"}, "schedules": [], "parameterSchema": _object(a={})}
    assert masked_template(plain) == plain
    assert masked_template({"entrypoint": "a:b"}) == {"entrypoint": "a:b"}


def test_a_run_is_masked_by_its_deployments_schema_or_that_of_its_template() -> None:
    """Nothing else of it changes."""
    schema = _object(a=SECRET)
    run = {"metadata": {"name": "r"}, "spec": {"deployment": "d", "parameters": {"a": CANARY, "b": 1}}, "status": {"attempt": 1}}
    assert masked_run(run, SecretParameters(schema)) == run | {"spec": {"deployment": "d", "parameters": {"a": MASK, "b": 1}}}
    template = {"entrypoint": "a:b", "parameters": {"a": CANARY}, "parameterSchema": schema}
    inline = {"metadata": {"name": "r"}, "spec": {"template": template, "parameters": {"a": CANARY, "b": 1}}}
    shown = masked_run(inline, UNKNOWN)
    assert CANARY not in json.dumps(shown)
    assert shown["spec"]["parameters"] == {"a": MASK, "b": 1}


@st.composite
def schemas_with_a_secret(draw: st.DrawFn) -> tuple[dict[str, Any], Any]:
    """A schema with one secret place somewhere in it, and a value that has a canary there."""
    schema, value, defs = draw(st.sampled_from([SECRET, WRITE_ONLY, {"writeOnly": True}])), CANARY, dict[str, Any]()
    schema = dict(schema)
    for step in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["properties", "items", "prefix", "additional", "allOf", "anyOf", "oneOf", "then", "ref", "pattern"]))
        name = draw(st.sampled_from(["a", "b", "format", "$ref", "default"]))
        match kind:
            case "properties":
                schema, value = {"properties": {name: schema, "other": {}}}, {name: value, "other": 1}
            case "items":
                schema, value = {"items": schema}, [value, value]
            case "prefix":
                schema, value = {"prefixItems": [{}, schema], "items": False}, ["x", value]
            case "additional":
                schema, value = {"properties": {"other": {}}, "additionalProperties": schema}, {name: value, "other": 1}
            case "allOf" | "anyOf" | "oneOf":
                schema = {kind: [{"type": "string"}, schema]}
            case "then":
                schema = {"if": True, "then": schema}
            case "ref":
                defs[f"d{step}"] = schema
                schema = {"$ref": f"#/$defs/d{step}"}
            case "pattern":
                schema, value = {"patternProperties": {f"^{name.replace('$', '[$]')}": schema}}, {name: value}
    return {"properties": {"p": schema}, "$defs": defs}, {"p": value, "q": "seen"}


@given(schemas_with_a_secret())
def test_no_composition_of_schemas_shows_a_secret(case: tuple[dict[str, Any], Any]) -> None:
    """Whatever leads to it."""
    schema, parameters = case
    secrets = SecretParameters(schema)
    shown = secrets.masked(parameters)
    assert CANARY not in json.dumps(shown)
    assert shown["q"] == "seen"
    assert secrets.conceals(parameters, ["p"])
    assert not secrets.conceals(parameters, ["q"])
    assert CANARY not in secrets.redacted(repr(parameters), parameters)
