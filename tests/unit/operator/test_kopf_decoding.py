"""What kopf is shown of an object: who it is, and the rest as text; never a finalizer."""

from __future__ import annotations

import tracemalloc
from typing import Any

import orjson
import pytest

from mintaka_core.limits import RESOURCE_LIMIT_BYTES
from mintaka_kubernetes import Unreadable
from mintaka_operator.handlers import build_settings
from mintaka_operator.kopf_decoding import _decoded, _guarded, packed_of, unpack

IDENTITY = {"name": "d", "namespace": "a", "uid": "u", "resourceVersion": "7"}


def deployment(*finalizers: str, **parameters: Any) -> dict[str, Any]:
    """A deployment with those finalizers."""
    metadata = {**IDENTITY, "labels": {"team": "b"}, "finalizers": [*finalizers]}
    return {"apiVersion": "mintaka.dev/v1alpha1", "kind": "FlowDeployment", "metadata": metadata, "spec": {"parameters": parameters}}


def shown(kind: str, document: dict[str, Any]) -> dict[str, Any]:
    """The object that kopf decodes of an event."""
    event = orjson.loads(_guarded(orjson.dumps({"type": kind, "object": document})))
    assert event["type"] == kind
    return event["object"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED"])
def test_kopf_sees_the_identity_and_the_handler_everything(kind: str) -> None:
    """Also members that no one knows."""
    document = {**deployment("example.com/billing", x=[1, {"y": "<ü>"}]), "other": None}
    seen = shown(kind, document)
    assert seen["metadata"] == IDENTITY
    assert (seen["apiVersion"], seen["kind"]) == ("mintaka.dev/v1alpha1", "FlowDeployment")
    assert unpack(packed_of(seen)) == document


def test_the_same_in_a_list() -> None:
    """The list's own members are as they were."""
    found = _decoded(
        orjson.dumps({"kind": "FlowDeploymentList", "metadata": {"continue": "c"}, "items": [deployment(x=1), deployment(x=2)]})
    )
    assert (found["kind"], found["metadata"]) == ("FlowDeploymentList", {"continue": "c"})
    assert [unpack(packed_of(item)) for item in found["items"]] == [deployment(x=1), deployment(x=2)]


def test_kopf_never_sees_its_finalizer() -> None:
    """It would try to take it off, without the right to, and hold one of its workers for minutes."""
    held = deployment(build_settings().persistence.finalizer, "example.com/billing")
    assert "finalizers" not in shown("MODIFIED", held)["metadata"]
    listed = _decoded(orjson.dumps({"metadata": {}, "items": [held]}))["items"]
    assert "finalizers" not in listed[0]["metadata"]


def test_an_object_that_cannot_be_processed_says_why() -> None:
    """The readable parts of it are passed on."""
    deep: Any = []
    for _ in range(150):
        deep = [deep]
    found = unpack(packed_of(shown("ADDED", deployment(x=deep))))
    assert isinstance(found, Unreadable)
    assert (found.reason, found.document["metadata"]["name"], found.document["spec"]) == ("TooDeep", "d", {})


@pytest.mark.parametrize("kind", ["ADDED", "ERROR"])
@pytest.mark.parametrize("value", [None, [], 7], ids=str)
def test_an_event_without_an_object_does_not_end_a_watch(kind: str, value: Any) -> None:
    """The API server sends none."""
    assert shown(kind, value)["metadata"] == {}


@pytest.mark.parametrize("document", [{"metadata": {"resourceVersion": "9"}}, {"kind": "Status", "code": 410, "metadata": {}}], ids=str)
def test_bookmarks_and_errors_are_passed_on(document: dict[str, Any]) -> None:
    """The framework reads them itself."""
    assert shown("BOOKMARK", document) == shown("ERROR", document) == document


def test_a_resource_that_is_not_a_list_is_passed_on() -> None:
    """Kopf requests the list of resources."""
    document = {"kind": "APIResourceList", "resources": [{"name": "flowdeployments"}]}
    assert _decoded(orjson.dumps(document)) == document


def test_what_kopf_holds_takes_no_more_memory_than_it_has_bytes() -> None:
    """They are decoded one at a time: a page of twenty would take half of the operator's memory otherwise."""
    body = orjson.dumps(deployment(x=[[]] * (RESOURCE_LIMIT_BYTES // 3 - 200)))
    page = b'{"metadata":{},"items":[' + b",".join([body] * 10) + b"]}"
    tracemalloc.start()
    try:
        held = _decoded(page)
        taken, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(held["items"]) == 10
    assert taken < 1.1 * len(page)
    assert most < 32 * 1024 * 1024, "decoded, they take 6 MiB each"
