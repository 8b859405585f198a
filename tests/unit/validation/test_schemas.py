"""Keywords that our CRDs do not use at present, and those that are refused when a schema is compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mintaka_validation.intake import take
from mintaka_validation.ratcheting import Before
from mintaka_validation.rules import check_rules
from mintaka_validation.schema import compile_schema
from mintaka_validation.values import check_values, is_date_time

if TYPE_CHECKING:
    from mintaka_validation.errors import FieldError

TEXT = {"type": "string"}


def errors(schema: dict[str, Any], value: Any, *, old: Any = None) -> list[str]:
    """The errors of the field `x`."""
    node = compile_schema({"type": "object", "properties": {"x": schema}})
    before = Before.nothing() if old is None else Before({"x": old})
    found: list[FieldError] = check_values(node, {"x": value}, "", before)
    found += check_rules(node, {"x": value}, "", before)
    return [str(error) for error in found]


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"x-kubernetes-int-or-string": True}, 80, []),
        ({"x-kubernetes-int-or-string": True}, "http", []),
        (
            {"x-kubernetes-int-or-string": True},
            1.5,
            ['x: Invalid value: "number": x in body must be of type integer,string: "number"'],
        ),
        ({"type": "array", "items": TEXT, "minItems": 1}, [], ["x: Invalid value: 0: x in body should have at least 1 items"]),
        (
            {"type": "object", "additionalProperties": TEXT, "minProperties": 1},
            {},
            ["x: Invalid value: 0: x in body should have at least 1 properties"],
        ),
        ({"type": "string", "nullable": True}, None, []),
        ({"type": "array", "items": TEXT, "maxItems": 1}, ["a", "b"], ["x: Too many: 2: must have at most 1 item"]),
        ({"type": "string", "maxLength": 1}, "ab", ["x: Too long: may not be more than 1 byte"]),
    ],
    ids=[
        "an integer or text: integer", "an integer or text: text", "an integer or text: neither",
        "a minimum of items", "a minimum of properties", "null where it is allowed", "one item", "one byte",
    ],
)  # fmt: skip
def test_keywords_that_our_crds_could_use(schema: dict[str, Any], value: Any, expected: list[str]) -> None:
    assert errors(schema, value) == expected


@pytest.mark.parametrize(
    "schema",
    [
        TEXT | {"oneOf": []},
        TEXT | {"format": "email"},
        {"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"},
        {"type": "number", "multipleOf": 2},
        TEXT | {"x-kubernetes-validations": [{"rule": "true", "optionalOldSelf": True}]},
        TEXT | {"x-kubernetes-validations": [{"rule": "true", "fieldPath": "['x']"}]},
        {
            "type": "object",
            "properties": {"at": {"type": "string", "format": "date-time"}},
            "x-kubernetes-validations": [{"rule": "self.at > timestamp('2026-01-01T00:00:00Z')"}],
        },
    ],
    ids=["a keyword", "a format", "a list type", "a multiple", "a member of a rule", "a path of a rule", "an order of times"],
)
def test_what_is_not_implemented_is_refused_when_the_schema_is_compiled(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation"):
        compile_schema(schema)


def _rule(rule: str, **more: Any) -> dict[str, Any]:
    return {"x-kubernetes-validations": [{"rule": rule} | more]}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (_rule("self.n > 1"), 'x: Invalid value: "object": failed rule: self.n > 1'),
        (_rule("self.n > 1", message=" too few \n"), 'x: Invalid value: "object": too few'),
        (_rule("self.n > 1", message="m", messageExpression="'not ' + string(self.n)"), 'x: Invalid value: "object": not 1'),
        (_rule("self.n > 1", message="m", messageExpression="string(self.missing)"), 'x: Invalid value: "object": m'),
        (_rule("self.n > 1", message="m", messageExpression="'a\\nb'"), 'x: Invalid value: "object": m'),
        (_rule("self.n > 1", message="m", messageExpression="'  '"), 'x: Invalid value: "object": m'),
        (_rule("self.n > 1", reason="FieldValueDuplicate"), 'x: Duplicate value: "object"'),
        (_rule("self.n > 1", fieldPath=".n", message="m", reason="FieldValueRequired"), "x.n: Required value: m"),
        (_rule("self.missing == 1", message="m"), 'x: Invalid value: "object": no such key: missing evaluating rule: m'),
        (
            _rule("self.n.startsWith('a')"),
            ("x: Invalid value: \"object\": 'no such overload': call arguments did not match a supported operator, function or macro "
            "signature for rule: self.n.startsWith('a')"),
        ),
        (_rule("self.ratio == 2.0 && type(self.ratio) == double && self.n == 1 && type(self.n) == int && false", message="m"), "m"),
    ],
    ids=[
        "no message", "a message with space around it", "a message that is evaluated", "one that fails", "one of two lines", "an empty one",
        "a duplicate", "a field below", "a rule that fails", "types that do not fit", "numbers are doubles if the schema says so",
    ],
)  # fmt: skip
def test_a_rule_says_what_is_wrong(rule: dict[str, Any], expected: str) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "ratio": {"type": "number"}}} | rule
    assert [error.endswith(expected) for error in errors(schema, {"n": 1, "ratio": 2})] == [True]


RATCHETED = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 3},
        "items": {
            "type": "array",
            "items": {"type": "object", "properties": {"k": TEXT, "v": {"type": "integer", "maximum": 5}}},
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
        },
        "plain": {"type": "array", "items": {"type": "integer", "maximum": 5}},
        "other": TEXT,
    },
    **_rule("!has(self.name) || self.name != 'bad'", message="a bad name"),
}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"name": "long"}, {"name": "long", "other": "x"}, []),
        ({"name": "long"}, {"name": "longer"}, ["x.name: Too long: may not be more than 3 bytes"]),
        ({"name": "bad"}, {"name": "bad"}, []),
        ({"name": "bad"}, {"name": "bad", "other": "x"}, ['x: Invalid value: "object": a bad name']),
        ({"items": [{"k": "a", "v": 9}]}, {"items": [{"k": "b", "v": 1}, {"k": "a", "v": 9}]}, []),
        (
            {"items": [{"k": "a", "v": 9}]},
            {"items": [{"k": "a", "v": 8}]},
            ["x.items[0].v: Invalid value: 8: x.items[0].v in body should be less than or equal to 5"],
        ),
        ({"plain": [9]}, {"plain": [9], "other": "x"}, []),
        (
            {"plain": [9]},
            {"plain": [9, 1]},
            ["x.plain[0]: Invalid value: 9: x.plain[0] in body should be less than or equal to 5"],
        ),
    ],
    ids=[
        "an unchanged value", "a changed value", "an unchanged place of a rule", "a changed place of a rule", "an item found by its key",
        "a changed item", "an unchanged list", "a changed list without keys",
    ],
)  # fmt: skip
def test_what_did_not_change_is_not_reported(old: Any, new: Any, expected: list[str]) -> None:
    """A schema that becomes stricter does not lock objects that were valid before."""
    assert errors(RATCHETED, new, old=old) == expected


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("2026-01-01T00:00:00Z", True),
        ("2026-01-01t00:00:00z", True),
        ("2026-01-01T00:00:00.123456789012+99:99", True),
        ("2024-02-29T23:59:59-00:00", True),
        ("2026-01-01T24:00:00Z", False),
        ("2026-04-31T00:00:00Z", False),
        ("2026-01-01 00:00:00Z", False),
        ("2026-01-01", False),
        ("", False),
    ],
)
def test_a_time_is_what_the_api_server_takes_for_one(text: str, valid: bool) -> None:
    assert is_date_time(text) is valid


def test_defaults_are_filled_in_at_every_depth() -> None:
    """This includes defaults within defaults and the items of lists and maps."""
    inner = {"type": "object", "properties": {"n": {"type": "integer", "default": 1}}}
    node = compile_schema(
        {
            "type": "object",
            "properties": {
                "a": inner | {"default": {}},
                "list": {"type": "array", "items": inner},
                "map": {"type": "object", "additionalProperties": inner},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        }
    )
    taken, unknown = take(node, {"list": [{}, {"n": 2}], "map": {"k": {"z": 1}}, "free": {"n": None}, "q": {"r": 1}})
    assert taken == {"a": {"n": 1}, "list": [{"n": 1}, {"n": 2}], "map": {"k": {"n": 1}}, "free": {"n": None}}
    assert unknown == ["map.k.z", "q"]
    taken["a"]["n"] = 5
    assert take(node, {})[0] == {"a": {"n": 1}}
