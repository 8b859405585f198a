"""Documents are refused and completed as by a real API server, whose answers are recorded."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from mintaka_validation import FieldError, InvalidDocument, MalformedDocument, validate_new, validate_status, validate_update
from validated_documents import ACCEPTED, ACCEPTED_UPDATES, REFUSED, REFUSED_UPDATES, deployment, faults, recorded, run

RECORDED = recorded()
#: If a FlowDeployment is sent as a FlowRun, the message of the API server has its own kind.
KIND_OF_ROUTE = {"another kind": "FlowRun"}


def _stored(document: dict[str, Any]) -> dict[str, Any]:
    """A document as it is stored."""
    stored = validate_new(document["kind"], document)
    return stored | {"metadata": stored["metadata"] | {"uid": "1", "resourceVersion": "5", "generation": 1}}


def _next(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return validate_update(old["kind"], _stored(old), new | {"metadata": new["metadata"] | {"resourceVersion": "5"}})


@pytest.mark.parametrize("case", REFUSED)
def test_a_new_document_is_refused_as_by_the_api_server(case: str) -> None:
    """Status and errors are the same; the API server varies their order."""
    document = REFUSED[case]
    before = copy.deepcopy(document)
    with pytest.raises(InvalidDocument) as refused:
        validate_new(KIND_OF_ROUTE.get(case, document["kind"]), document)
    status, message = RECORDED["refused"][case]
    assert (refused.value.status, faults(str(refused.value))) == (status, faults(message))
    assert document == before


@pytest.mark.parametrize("case", REFUSED_UPDATES)
def test_an_update_is_refused_as_by_the_api_server(case: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        _next(*REFUSED_UPDATES[case])
    status, message = RECORDED["refused updates"][case]
    assert (refused.value.status, faults(str(refused.value))) == (status, faults(message))


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_new_document_is_completed_as_by_the_api_server(case: str) -> None:
    """It gets defaults and loses nulls and status; whole numbers become integers."""
    stored = validate_new(ACCEPTED[case]["kind"], ACCEPTED[case])
    assert json.dumps(stored, sort_keys=True) == json.dumps(RECORDED["accepted"][case], sort_keys=True)  # as JSON, 1.0 differs from 1


@pytest.mark.parametrize("case", ACCEPTED_UPDATES)
def test_an_update_is_completed_as_by_the_api_server(case: str) -> None:
    new = _next(*ACCEPTED_UPDATES[case])
    for added in ("uid", "resourceVersion", "generation"):
        new["metadata"].pop(added)
    assert new == RECORDED["accepted updates"][case]


def test_every_answer_is_recorded() -> None:
    cases = {"refused": REFUSED, "refused updates": REFUSED_UPDATES, "accepted": ACCEPTED, "accepted updates": ACCEPTED_UPDATES}
    assert {name: set(answers) for name, answers in RECORDED.items()} == {name: set(found) for name, found in cases.items()}


def test_an_error_tells_programs_what_is_wrong() -> None:
    with pytest.raises(InvalidDocument) as refused:
        validate_new("FlowRun", run(deployment="d", tags=[""], reruns=-1))
    assert [(error.path, error.reason) for error in refused.value.errors] == [
        ("spec.tags[0]", "FieldValueInvalid"),
        ("spec.reruns", "FieldValueInvalid"),
    ]
    assert (refused.value.kind, refused.value.name) == ("FlowRun", "bad")


def test_an_error_can_be_sent_to_another_process() -> None:
    error = MalformedDocument("FlowRun", "r", [FieldError("spec.x", 'unknown field "spec.x"', "UnknownField")])
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(again), str(again), again.errors) == (MalformedDocument, str(error), error.errors)


def test_a_renamed_parameter_is_a_change() -> None:
    """The API server accepts it: it compares maps without a schema only by the keys that both have."""
    old = run("kept", deployment="d", parameters={"x": 1})
    with pytest.raises(InvalidDocument, match="parameters cannot be changed"):
        _next(old, run("kept", deployment="d", parameters={"y": 2}))


def test_text_after_a_nul_is_checked() -> None:
    """The CEL runtime cuts off texts at U+0000."""
    with pytest.raises(InvalidDocument, match="should match"):
        validate_new("FlowDeployment", deployment(entrypoint="module:f\0;rm -rf /"))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (run(deployment="d", parameters={"x": "y" * 17000}), "spec.parameters take"),
        (run(deployment="d", parameters={"x": float("nan")}), "spec.parameters.x"),
        (run(deployment="d", parameters={"x": {1: 2}}), "spec.parameters.x"),
        (run(deployment="d", parameters={"x": "\ud800"}), "spec.parameters.x"),
        (deployment(entrypoint="m:f", podTemplate={"metadata": {"annotations": {"a": "x" * 300_000}}}), "at most 262144"),
    ],
    ids=["parameters over their limit", "a number that is not JSON", "a key that is not a text", "half a character", "a large resource"],
)
def test_the_published_limits_are_checked(document: dict[str, Any], message: str) -> None:
    """The API server does not check them; in a cluster the operator ends such a run."""
    with pytest.raises(InvalidDocument, match=message):
        validate_new(document["kind"], document)


def test_a_document_that_is_too_deep_or_contains_itself_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"x": deep}
    with pytest.raises(InvalidDocument, match="levels"):
        validate_new("FlowRun", run(deployment="d", parameters=deep))
    endless: dict[str, Any] = {}
    endless["x"] = endless
    with pytest.raises(InvalidDocument, match="levels"):
        validate_new("FlowRun", run(deployment="d", parameters=endless))


@pytest.mark.parametrize("field", ["metadata", "unknown", "kind"])
def test_no_other_field_may_be_too_deep_either(field: str) -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(InvalidDocument, match="levels"):
        validate_new("FlowRun", run(deployment="d") | {field: deep})


def test_metadata_that_is_not_json_is_refused() -> None:
    with pytest.raises(InvalidDocument, match=r"metadata\.annotations\.at"):
        validate_new("FlowRun", run(deployment="d", metadata={"annotations": {"at": datetime(2026, 1, 1, tzinfo=UTC)}}))


def test_of_very_many_errors_some_are_shown() -> None:
    with pytest.raises(InvalidDocument, match="and 59502 further errors") as refused:  # with those of the list itself and of the rules
        validate_new("FlowRun", run(deployment="d", tags=[""] * 60_000))
    assert len(str(refused.value)) < 100_000


def test_an_update_leaves_what_it_cannot_change() -> None:
    """It does not change the status or the metadata that the server writes."""
    old = _stored(run("kept", deployment="d"))
    old["status"] = {"attempt": 1}
    old["metadata"] |= {"creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z"}
    new = run("kept", deployment="d", metadata={"resourceVersion": "5", "creationTimestamp": "1999-01-01T00:00:00Z"})
    result = validate_update("FlowRun", old, new | {"status": {"attempt": 9}})
    assert result["status"] == {"attempt": 1}
    assert result["metadata"] == old["metadata"]


def test_a_document_that_is_being_deleted_gets_no_new_finalizers() -> None:
    old = _stored(run("kept", deployment="d", metadata={"finalizers": ["a/b"]}))
    old["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    assert validate_update("FlowRun", old, old)["metadata"]["finalizers"] == ["a/b"]
    new = old | {"metadata": old["metadata"] | {"finalizers": ["a/b", "c/d"]}}
    with pytest.raises(InvalidDocument, match=r'found new finalizers \[\]string{"c/d"}'):
        validate_update("FlowRun", old, new)


def test_an_update_needs_the_version_that_it_replaces() -> None:
    old = _stored(run("kept", deployment="d"))
    with pytest.raises(InvalidDocument, match=r"metadata\.resourceVersion: .* must be specified for an update"):
        validate_update("FlowRun", old, run("kept", deployment="d"))


def test_a_status_is_completed_and_checked() -> None:
    old = _stored(run("kept", deployment="d"))
    new = validate_status("FlowRun", old, {"state": {"type": "PENDING", "name": "Pending", "time": "2026-01-01T00:00:00Z"}})
    assert new["status"]["transitions"] == []
    assert new["spec"] == old["spec"]
    with pytest.raises(InvalidDocument, match=r'"kept" is invalid: .*Unsupported value: "ASLEEP": supported values: "SCHEDULED"'):
        validate_status("FlowRun", old, {"state": {"type": "ASLEEP", "name": "x", "time": "2026-01-01T00:00:00Z"}})
    with pytest.raises(MalformedDocument, match=r'unknown field "status.mood"'):
        validate_status("FlowRun", old, {"mood": "good"})
    assert validate_status("FlowRun", new | {"status": {"attempt": "1"}}, {"attempt": "1"})["status"]["attempt"] == "1"


def test_a_kind_that_is_not_ours_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="'Pod' is not one of our kinds"):
        validate_new("Pod", {})
