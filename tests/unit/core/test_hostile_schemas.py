"""The work on hostile schemas, in calls rather than seconds: each is at most as large as etcd stores."""

from __future__ import annotations

import json
import sys
from functools import reduce
from typing import TYPE_CHECKING, Any

import pytest

from mintaka_core import schema_places, schema_resources
from mintaka_core.schema_places import STEPS_LIMIT
from mintaka_core.secret_parameters import MASK, SecretParameters

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = {"writeOnly": True}
CANARY = "c4nary"
#: The maximum number of calls, of Python and C functions, for each unit of the limit.
_CALLS_A_STEP = 20


def _nested(depth: int, innermost: Any) -> Any:
    return reduce(lambda inner, _: {"allOf": [inner]}, range(depth), innermost)


def _nested_resources(depth: int, references: int) -> Any:
    innermost: Any = {"allOf": [{"$ref": f"#/z/{number}/y"} for number in range(references)]}
    return reduce(lambda inner, number: {"$id": f"i{number}", "allOf": [inner, {"$ref": "#/q/r/s"}]}, range(depth), innermost)


NUMBERED = {f"p{number}": CANARY for number in range(1500)}
#: schema, parameters.
HOSTILE: dict[str, tuple[Any, Any]] = {
    "one reference to many resources": ({"allOf": [{"$id": "a", "x": {}}] * 4500 + [{"$ref": "a#/x"}] * 4500, "if": SECRET}, {"a": CANARY}),
    "many references to many resources": (
        {"allOf": [{"$id": "a", "x": {}}] * 4000 + [{"$ref": f"a#/x{number}"} for number in range(4000)]}, {"a": CANARY},
    ),
    "references through nested resources": (_nested_resources(95, 6000), {"a": CANARY}),
    "a recursive reference in each resource": (
        {"properties": {"a": SECRET}, "allOf": [{"$id": f"r{number}", "$recursiveRef": "#"} for number in range(5000)]}, {"a": CANARY},
    ),
    "references to an anchor that many have": (
        {"allOf": [{"$anchor": "s"}] * 5000 + [{"$ref": "#s"}] * 5000, "properties": {"a": SECRET}}, {"a": CANARY},
    ),
    "a chain of references": ({"$defs": {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(6000)}, "$ref": "#/$defs/d0"}, {"a": CANARY}),
    "a long literal pattern": ({"patternProperties": {"a" * 100_000: {}}, "additionalProperties": SECRET}, NUMBERED),
    "a long pattern": ({"patternProperties": {"(a|b)" * 20_000: SECRET}}, NUMBERED),
    "many patterns": ({"patternProperties": {f"{number}.": SECRET for number in range(9500)}}, NUMBERED),
    "many properties": ({"properties": {f"p{number}": SECRET for number in range(7000)}}, NUMBERED),
    "many first items": ({"properties": {"a": {"prefixItems": [SECRET] * 13_000}}}, {"a": [CANARY] * 1500}),
    "many empty parts": ({"x": [[]] * 80_000, "properties": {"a": SECRET}}, {"a": CANARY}),
    "many parts that no reference leads to": ({"properties": {"a": SECRET}, "x": _nested(90, {"x": [{"y": 1}] * 20_000})}, {"a": CANARY}),
    "names that refer to all": ({"allOf": [{"propertyNames": {"$ref": "#"}}] * 6000, "properties": {"a": SECRET}}, {"a": CANARY}),
    "texts that refer to all": ({"allOf": [{"contentSchema": {"$ref": "#"}}] * 5000, "properties": {"a": SECRET}}, {"a": CANARY}),
}  # fmt: skip


def calls_of(work: Callable[[], Any]) -> tuple[int, Any]:
    """How many functions `work` calls, and its result."""
    calls = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        result = work()
    finally:
        sys.setprofile(before)
    return calls, result


@pytest.mark.parametrize("name", HOSTILE)
def test_no_walk_over_a_schema_takes_long(name: str) -> None:
    """Neither reading it, nor masking values or the schema itself; and nothing is shown."""
    text = json.dumps(HOSTILE[name][0], separators=(",", ":"))
    assert len(text) < 262_144
    schema, parameters = json.loads(text), HOSTILE[name][1]
    parts = text.count("{") + text.count("[")
    limit = _CALLS_A_STEP * (STEPS_LIMIT + parts)
    calls, secrets = calls_of(lambda: SecretParameters(schema))
    assert calls < limit
    calls, shown = calls_of(lambda: secrets.masked(parameters))
    assert calls < limit
    assert CANARY not in json.dumps(shown)
    assert calls_of(secrets.masked_schema)[0] < 2 * limit
    assert calls_of(lambda: secrets.may_conceal("p1"))[0] < limit


def test_pointers_are_followed_within_the_limit_and_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each base that one is followed from costs its parts."""
    followed = []
    follow = schema_resources._pointed_at
    monkeypatch.setattr(schema_resources, "_pointed_at", lambda node, parts: followed.append(parts) or follow(node, parts))
    for name in ("one reference to many resources", "many references to many resources", "references through nested resources"):
        followed.clear()
        SecretParameters(HOSTILE[name][0]).masked({"a": CANARY})
        assert sum(map(len, followed)) < 2 * STEPS_LIMIT
    followed.clear()
    SecretParameters({"allOf": [{"$id": "a", "x": {}}] * 100 + [{"$ref": "a#/x"}] * 100})
    assert len(followed) == 100


def test_a_pattern_is_read_once_and_a_long_one_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many members it is compared with; what is not compiled may match anything."""
    read, compiled = [], []
    plain, compile_ = schema_places._plain_matcher_of, schema_places.matcher_of
    monkeypatch.setattr(schema_places, "_plain_matcher_of", lambda pattern: read.append(pattern) or plain(pattern))
    monkeypatch.setattr(schema_places, "matcher_of", lambda pattern: compiled.append(pattern) or compile_(pattern))
    parameters = {f"p{number}": CANARY for number in range(10)}
    SecretParameters({"patternProperties": {"^q": SECRET, "(p|q)1": SECRET}}).masked(parameters)
    assert (len(read), compiled) == (2, ["(p|q)1"])
    assert set(SecretParameters({"patternProperties": {"(a|b)" * 2000: SECRET}}).masked(parameters).values()) == {MASK}
    assert len(compiled) == 1


def test_a_schema_that_cannot_be_walked_hides_names_that_may_be_secret() -> None:
    """One that says nothing of names shows them."""
    many = {"allOf": [{"properties": {"a": SECRET}}] * 25_000}
    assert SecretParameters(many).masked({"a": CANARY}) == {"a": MASK}
    assert SecretParameters({**many, "propertyNames": {"enum": [1]}}).masked({"a": CANARY}) == {MASK: MASK}
