"""What kopf is shown: never the finalizer that it is configured with."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from mintaka_operator.handlers import build_settings
from mintaka_operator.kopf_decoding import KOPF_FINALIZER, _decoded, _guarded, unmarked

OTHER = "example.com/billing"
FINALIZERS = [
    pytest.param([KOPF_FINALIZER], [], id="alone"),
    pytest.param([OTHER, KOPF_FINALIZER], [OTHER], id="after another"),
    pytest.param([KOPF_FINALIZER, OTHER, KOPF_FINALIZER], [OTHER], id="twice"),
    pytest.param([OTHER], [OTHER], id="without it"),
]


def deployment(finalizers: list[str], **parameters: Any) -> dict[str, Any]:
    """A deployment with those finalizers."""
    metadata = {"name": "d", "namespace": "a", "resourceVersion": "1", "finalizers": finalizers}
    return {"metadata": metadata, "spec": {"entrypoint": "a:b", "parameters": parameters}}


def test_it_is_the_one_that_kopf_would_take_off() -> None:
    """It is told to kopf in its settings."""
    assert build_settings().persistence.finalizer == KOPF_FINALIZER


@pytest.mark.parametrize(("finalizers", "shown"), FINALIZERS)
@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED"])
def test_an_event_does_not_show_it(kind: str, finalizers: list[str], shown: list[str]) -> None:
    """Everything else of the object is as it was."""
    line = orjson.dumps({"type": kind, "object": deployment(finalizers, x=1)})
    assert orjson.loads(_guarded(line)) == {"type": kind, "object": deployment(shown, x=1)}


@pytest.mark.parametrize(("finalizers", "shown"), FINALIZERS)
def test_neither_does_a_list(finalizers: list[str], shown: list[str]) -> None:
    """Nor a single object."""
    found = _decoded(orjson.dumps({"metadata": {}, "items": [deployment(finalizers)]}))
    assert found["items"] == [deployment(shown)]
    assert _decoded(orjson.dumps(deployment(finalizers))) == deployment(shown)


def test_an_object_that_cannot_be_processed_does_not_show_it_either() -> None:
    """The reason is passed on all the same."""
    deep: Any = []
    for _ in range(150):
        deep = [deep]
    event = orjson.loads(_guarded(orjson.dumps({"type": "ADDED", "object": deployment([KOPF_FINALIZER, OTHER], x=deep)})))
    found = unmarked(event["object"])
    assert not isinstance(found, dict)
    assert (found.reason, found.document["metadata"]["finalizers"]) == ("TooDeep", [OTHER])


@pytest.mark.parametrize("metadata", [None, [], {}, {"finalizers": None}, {"finalizers": KOPF_FINALIZER}])
def test_strange_metadata_are_passed_on(metadata: Any) -> None:
    """As those of a Status or a bookmark."""
    line = orjson.dumps({"type": "BOOKMARK", "object": {"metadata": metadata}})
    assert orjson.loads(_guarded(line))["object"]["metadata"] == metadata
