"""Limits of resources: what passes them is refused with the limit and a remedy, in bounded time."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from mintaka_core.limits import (
    DEPTH_LIMIT,
    PARAMETERS_LIMIT_BYTES,
    RESOURCE_LIMIT_BYTES,
    SOURCE_LIMIT_BYTES,
    check_parameters,
    check_resource,
    check_source,
    check_value,
    size_of,
)


def nested(depth: int, *, objects: bool = False) -> Any:
    """A value of so many levels."""
    value: Any = {} if objects else []
    for _ in range(depth - 1):
        value = {"a": value} if objects else [value]
    return value


def contains_itself() -> list[Any]:
    """A list that is its own member."""
    value: list[Any] = []
    value.append(value)
    return value


def shared(doublings: int) -> list[Any]:
    """A short list in Python of 2 ** doublings values in JSON, as YAML aliases make it."""
    value: list[Any] = [1]
    for _ in range(doublings):
        value = [value, value]
    return value


@pytest.mark.parametrize("objects", [False, True])
def test_the_depth_limit_is_the_last_depth_that_is_allowed(objects: bool) -> None:
    """An empty list is one level deep."""
    assert check_value("spec.parameters", nested(DEPTH_LIMIT, objects=objects)) is None
    excess = check_value("spec.parameters", nested(DEPTH_LIMIT + 1, objects=objects))
    assert excess is not None
    assert excess.reason == "TooDeep"
    assert excess.message.startswith("spec.parameters is nested more than 100 levels deep")


@pytest.mark.parametrize(
    ("value", "reason", "words"),
    [
        (nested(9000), "TooDeep", "flatten it"),
        (contains_itself(), "TooDeep", "flatten it"),
        (shared(60), "ResourceTooLarge", "more than 262144 values"),
        ([0] * (RESOURCE_LIMIT_BYTES + 1), "ResourceTooLarge", "more than 262144 values"),
        ({"a": [0, {"b": float("nan")}]}, "NotJson", "p.a[1].b is nan, which JSON cannot express"),
        ([float("-inf")], "NotJson", "p[0] is -inf"),
        ({"n": 2**63}, "NotJson", "p.n is an integer of more than 64 bits, which Kubernetes would round: pass it as text"),
        ({"n": -(2**63) - 1}, "NotJson", "more than 64 bits"),
        ("\ud800", "NotJson", "p contains half of a surrogate pair"),
        ({"a\udfff": 1}, "NotJson", "p has a key that contains half of a surrogate pair"),
        ({"a": {7: 1}}, "NotJson", "p.a has a key that is not text but a int"),
        ({"a": b"x"}, "NotJson", "p.a is a bytes, which JSON cannot express"),
    ],
)
def test_what_cannot_be_stored_unchanged_is_refused_with_its_place(value: Any, reason: str, words: str) -> None:
    """Whatever the value, within bounded time."""
    began = time.process_time()
    excess = check_value("p", value)
    assert time.process_time() - began < 5
    assert excess is not None
    assert excess.reason == reason
    assert words in excess.message
    excess.message.encode()


@pytest.mark.parametrize("value", [None, True, 2**63 - 1, -(2**63), 1e308, "a\0b", "漢😀", [], {}, [[], {}, [1]], {"a": (1, 2)}])
def test_what_json_and_kubernetes_can_hold_is_allowed(value: Any) -> None:
    """NUL included: it is text as any other."""
    assert check_value("p", value) is None


def test_the_size_of_parameters_counts_in_bytes_of_utf_8() -> None:
    """And the limit itself is allowed."""
    fits = {"a": "x" * (PARAMETERS_LIMIT_BYTES - len('{"a":""}'))}
    assert size_of(fits) == PARAMETERS_LIMIT_BYTES
    assert check_parameters(fits) is None
    excess = check_parameters({"a": "漢" * 6000})
    assert excess is not None
    assert excess.reason == "ParametersTooLarge"
    assert "parameters take 18008 bytes of JSON, at most 16384 are allowed: put large inputs into a file" in excess.message


def test_the_size_of_inline_source_counts_in_bytes_of_utf_8() -> None:
    """The field's maxLength counts characters."""
    assert check_source("x" * SOURCE_LIMIT_BYTES) is None
    excess = check_source("漢" * 60000)
    assert excess is not None
    assert excess.reason == "SourceTooLarge"
    assert "takes 180000 bytes of UTF-8, at most 65536 are allowed: put the code into a ConfigMap" in excess.message


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"podTemplate": {"spec": {"a": "x" * RESOURCE_LIMIT_BYTES}}}, "ResourceTooLarge", "(spec.podTemplate alone 262"),
        ({"description": "x", "parameterSchema": nested(101)}, "TooDeep", "spec.parameterSchema is nested"),
        ({"template": {"podTemplate": nested(101)}}, "TooDeep", "spec.template is nested"),
        ({"template": {"parameters": {"a": "x" * 20000}}}, "ParametersTooLarge", "spec.template.parameters take 20008 bytes"),
        ({"parameters": {"a": "x" * 20000}}, "ParametersTooLarge", "spec.parameters take 20008 bytes"),
        ({"source": {"inline": "漢" * 60000}}, "SourceTooLarge", "spec.source.inline takes 180000 bytes"),
        ({"template": {"source": {"inline": "漢" * 60000}}}, "SourceTooLarge", "spec.template.source.inline takes"),
        (nested(200), "TooDeep", "spec is nested"),
    ],
)
def test_a_resource_names_the_field_that_passes_a_limit(spec: Any, reason: str, words: str) -> None:
    """So that its author knows what to change."""
    excess = check_resource({"kind": "FlowRun", "metadata": {"name": "r"}, "spec": spec})
    assert excess is not None
    assert excess.reason == reason
    assert words in excess.message


def test_what_the_api_server_and_kubectl_add_does_not_count() -> None:
    """Neither kubectl's copy of the manifest, nor managed fields, nor the status."""
    spec = {"podTemplate": {"a": "x" * 200000}}
    document = {
        "metadata": {
            "name": "d",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"spec": spec})},
            "managedFields": [{"a": "x" * 200000}],
        },
        "spec": spec,
        "status": {"state": {"message": "x" * 200000}},
    }
    assert check_resource(document, received_bytes=len(json.dumps(document))) is None
    document["metadata"] = {"name": "d", "labels": {f"a{n}": "x" * 60 for n in range(2000)}}
    excess = check_resource(document, received_bytes=len(json.dumps(document)))
    assert excess is not None
    assert excess.reason == "ResourceTooLarge"


@pytest.mark.parametrize(
    "document", [{}, {"spec": None}, {"spec": 7}, {"spec": {}, "metadata": None}, {"spec": {"source": 3, "template": []}}]
)
def test_a_document_of_another_shape_passes_no_limit(document: Any) -> None:
    """What is wrong with it, others say."""
    assert check_resource(document) is None
