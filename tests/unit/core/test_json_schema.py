"""Values against JSON Schemas: where they disobey, and which schemas are none."""

from __future__ import annotations

import time
from typing import Any

import pytest

from mintaka_core.json_schema import InvalidSchema, compile_schema, summary, violations, with_default

CANARY = "c4nary"


def nested(levels: int, leaf: Any = 0) -> Any:
    value = leaf
    for _ in range(levels):
        value = [value]
    return value


def test_a_violation_names_the_place_and_what_is_wrong() -> None:
    """Members and positions, joined by slashes, after the name of the whole."""
    schema = {"properties": {"member": {"items": {"type": "integer"}}}, "required": ["other"]}
    found = violations(schema, {"member": [1, "x"]}, "parameters")
    assert found == [
        {"path": "parameters", "message": '"other" is a required property'},
        {"path": "parameters/member/1", "message": '"x" is not of type "integer"'},
    ]
    assert summary(found) == 'parameters: "other" is a required property; parameters/member/1: "x" is not of type "integer"'


def test_violations_come_in_order_and_at_most_twenty_with_short_messages() -> None:
    """So that an answer or a status stays small."""
    found = violations({"additionalProperties": {"type": "integer"}}, {f"m{n:02}": "x" * 10_000 for n in reversed(range(50))}, "p")
    assert [each["path"] for each in found] == [f"p/m{n:02}" for n in range(20)]
    assert {len(each["message"]) for each in found} == {500}


def test_a_compiled_schema_serves_many_values() -> None:
    """It is compiled once."""
    schema = compile_schema({"type": "integer"})
    assert schema.violations(1, "n") == []
    assert schema.violations("1", "n") == [{"path": "n", "message": '"1" is not of type "integer"'}]


OBEYED: dict[str, tuple[Any, Any]] = {
    "nothing is asked": ({}, {"anything": [1, None]}),
    "true": (True, 1),
    "a schema that refers to itself": ({"$ref": "#"}, 1),
    "two definitions that refer to each other": (
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        1,
    ),
    "a tree": ({"properties": {"left": {"$ref": "#"}}, "additionalProperties": False}, {"left": {"left": {}}}),
    "a format is an annotation": ({"$schema": "http://json-schema.org/draft-07/schema#", "format": "date-time"}, "yesterday"),
    "a pattern with a lookahead": ({"pattern": r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"}, "12.50"),
    "as deep as resources may be": ({"type": "array"}, nested(99)),
}


@pytest.mark.parametrize(("schema", "value"), OBEYED.values(), ids=OBEYED)
def test_what_obeys_has_no_violations(schema: Any, value: Any) -> None:
    """Recursive schemas included."""
    assert violations(schema, value, "input") == []


DISOBEYED: dict[str, tuple[Any, Any, str]] = {
    "false": (False, 1, "input: False schema does not allow 1"),
    "draft 7, by its own words": (
        {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "integer"}], "additionalItems": False},
        [1, 2],
        "input: Additional items are not allowed",
    ),
    "draft 4, by its own words": (
        {"$schema": "http://json-schema.org/draft-04/schema#", "maximum": 3, "exclusiveMaximum": True},
        3,
        "input: 3 is greater than or equal to the maximum of 3",
    ),
    "too deep": ({}, nested(260), "input: input is nested more than 100 levels deep"),
    "much too deep": ({"items": {"$ref": "#"}}, nested(100_000), "input: input is nested more than 100 levels deep"),
    "an integer beyond 64 bits": ({"type": "integer"}, {"n": 2**70}, "input: input.n is an integer of more than 64 bits"),
    "not a number": ({"type": "number"}, float("nan"), "input: input is nan, which JSON cannot express"),
    "infinity": ({"type": "number"}, [float("inf")], "input: input[0] is inf, which JSON cannot express"),
    "half of a surrogate pair": ({"type": "string"}, "\ud800", "input: input contains half of a surrogate pair"),
    "a set": ({}, {1}, "input: input is a set, which JSON cannot express"),
    "a key that is a number": ({}, {1: 2}, "input: input has a key that is not text but a int"),
    "a pattern that backtracks without end": (
        {"pattern": r"(x+x+)+y\1?"},
        "x" * 3000,
        "input: Error executing regex: Max limit for backtracking count exceeded",
    ),
}


@pytest.mark.parametrize(("schema", "value", "sentence"), DISOBEYED.values(), ids=DISOBEYED)
def test_what_disobeys_or_is_not_json_is_said(schema: Any, value: Any, sentence: str) -> None:
    """In a sentence, never as an exception."""
    assert summary(violations(schema, value, "input")).startswith(sentence)


INVALID: dict[str, tuple[Any, str]] = {
    "a list": ([1], "it is a JSON Schema only if it is an object or a boolean, not list"),
    "the text of a schema": ('{"type":"integer"}', "it is a JSON Schema only if it is an object or a boolean, not str"),
    "null": (None, "it is a JSON Schema only if it is an object or a boolean, not NoneType"),
    "an unknown type": ({"properties": {"n": {"type": "nothing"}}}, 'properties/n/type: "nothing" is not'),
    "a wrong keyword": ({"minimum": "x"}, 'minimum: "x" is not of type "number"'),
    "a broken pattern": ({"pattern": "((("}, 'pattern: "(((" is not a "regex"'),
    "a reference to nowhere": ({"$ref": "#/nowhere"}, "a reference in it leads nowhere, or out of the schema: Pointer '/nowhere'"),
    "a reference to an anchor that is missing": ({"$dynamicRef": "#no"}, "a reference in it leads nowhere"),
    "a reference to a URL": ({"items": {"$ref": "http://127.0.0.1:9/s"}}, "a reference in it leads nowhere, or out of the schema"),
    "a reference to a file": ({"$ref": "file:///etc/passwd"}, "a reference in it leads nowhere, or out of the schema"),
    "a reference to another document": ({"$id": "http://a.example/b", "$ref": "c.json"}, "a reference in it leads nowhere"),
    "an unknown draft": ({"$schema": "http://example.com/mine"}, "Unknown meta-schema: 'http://example.com/mine': the JSON Schema drafts"),
    "a draft that is a number": ({"$schema": 3}, '$schema: 3 is not of type "string"'),
    "too deep": ({"items": nested(260)}, "it is nested more than 100 levels deep"),
    "too large": ({"description": "x" * 300_000}, "it takes 300018 bytes of JSON, at most 262144 are allowed"),
    "not JSON": ({"maximum": float("inf")}, "it.maximum is inf, which JSON cannot express"),
    "an integer beyond 64 bits": ({"maximum": 2**70}, "it.maximum is an integer of more than 64 bits"),
}


@pytest.mark.parametrize(("schema", "sentence"), INVALID.values(), ids=INVALID)
def test_a_schema_that_cannot_be_used_is_refused_with_a_sentence(schema: Any, sentence: str) -> None:
    """Whatever it is, and without opening a URL or a file."""
    with pytest.raises(InvalidSchema) as refused:
        compile_schema(schema)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|aa)+$", "^(a|a?)+$", "(.*a){20}b", "^(?=(a+)+$)"])
def test_a_pattern_takes_time_in_proportion_to_the_text(pattern: str) -> None:
    """Those for which other engines need hours; 50,000 letters take less than 5 s of processor time."""
    schema = compile_schema({"pattern": pattern})
    began = time.process_time()
    assert [each["path"] for each in schema.violations("a" * 50_000 + "!", "text")] == ["text"]
    assert time.process_time() - began < 5


def test_a_missing_value_is_an_empty_object_if_the_schema_wants_an_object() -> None:
    """What a form without fields gives."""
    assert with_default({"type": "object"}, None) == {}
    assert with_default({"type": "integer"}, None) is None
    assert with_default({"type": "object"}, 3) == 3
    assert with_default({}, None) is None


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        ({"token": CANARY}, "parameters/token", 'a value that is secret does not obey type ["null", "integer"]'),
        ({"nested": {"secret": CANARY}}, "parameters/nested/secret", "does not obey minLength 99"),
        ({"nested": {"secret": "x" * 99, "plain": 1}}, "parameters/nested/plain", '"c" was expected'),
        ({"nested": {"secret": CANARY * 20, "other": 1}}, "parameters/nested", "('other' was unexpected)"),
        ({"listed": [CANARY, 1]}, "parameters/listed/0", "a value that is secret does not obey enum"),
        ({"nested": {"secret": CANARY * 20}}, "parameters", "does not obey anyOf"),
    ],
)
def test_what_is_wrong_with_a_secret_is_said_without_it(value: Any, path: str, words: str) -> None:
    """Also at the object around it, whose message would quote the whole."""
    secret = {"type": "string", "writeOnly": True}
    schema = {
        "properties": {
            "token": {"type": ["integer", "null"], "format": "password"},
            "listed": {"items": {"writeOnly": True, "enum": ["one"]}},
            "nested": {"properties": {"secret": {**secret, "minLength": 99}, "plain": {"const": "c"}}, "additionalProperties": False},
        },
        "anyOf": [{"required": ["token"]}, {"required": ["listed"]}, {"properties": {"nested": {"required": ["plain"]}}}],
    }
    found = {each["path"]: each["message"] for each in violations(schema, value, "parameters")}
    assert words in found[path]
    assert CANARY not in str(found)


@pytest.mark.parametrize(
    "place", [{"type": "strng", "default": CANARY}, [{"default": CANARY}], {"examples": CANARY}, {"properties": {"b": CANARY}}]
)
def test_what_is_wrong_with_a_schema_is_said_without_the_secrets_in_it(place: Any) -> None:
    """Such as the default of a secret."""
    marked = {**place, "format": "password"} if isinstance(place, dict) else [{**place[0], "format": "password"}]
    with pytest.raises(InvalidSchema, match="properties/a") as error:
        violations({"properties": {"a": marked}}, {}, "parameters")
    assert CANARY not in str(error.value)
