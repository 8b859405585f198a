"""From resources to rows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from api_testing import ORDINARY, seen_run
from mintaka_api.finalizers import release_of
from mintaka_api.queries.vanished import VANISHED_RULE
from mintaka_api.row_mapping import (
    Inherited,
    ObservedRun,
    deployment_row,
    names_of_run,
    read_deployment,
    read_run,
    resource_version,
    run_rows,
)
from mintaka_api.snapshots import snapshot_of
from mintaka_core.errors import InvalidResource
from mintaka_core.names import MIRROR_FINALIZER
from mintaka_core.states import CANCELLED, COMPLETED, SCHEDULED
from mintaka_history.enum_codes import STATE_CODES, NameKind

#: A time (µs) after every other one of these tests.
LATER = 1_900_000_000_000_000
IDS = {(NameKind.NAMESPACE, "ns"): 1, (NameKind.DEPLOYMENT, "d"): 2, (NameKind.TAG, "own"): 3, (NameKind.TAG, "inherited"): 4}


def observed(document: dict[str, Any], gone_time: int | None = None) -> ObservedRun:
    """A run as the mirror writes it."""
    return replace(snapshot_of(document, 0.0), gone_time=gone_time).parsed()


def test_a_run_without_status_is_scheduled() -> None:
    """The operator has not seen it yet."""
    rows = run_rows(observed(seen_run("one")), IDS, Inherited(), 7)
    assert (rows.row["state"], rows.row["sequence"], rows.transitions) == (STATE_CODES[SCHEDULED], 0, [])


def test_tags_are_its_own_then_those_of_its_deployment() -> None:
    """Each once."""
    run = observed(seen_run("one", spec={"deployment": "d", "tags": ["own"]}))
    assert names_of_run(run, Inherited(("own", "inherited"))) == set(IDS)
    rows = run_rows(run, IDS, Inherited(("own", "inherited")), 7)
    assert (rows.tags, rows.row["tags"]) == ([3, 4], '["own","inherited"]')


def test_a_run_gone_before_its_end_is_cancelled() -> None:
    """With a transition of its own; one that had ended only gets its time of leaving."""
    unfinished = observed(seen_run("one", ORDINARY[:3]), LATER)
    rows = run_rows(unfinished, IDS, Inherited(), 7)
    assert (rows.row["state"], rows.row["sequence"], rows.row["reason"], rows.row["deleted"]) == (
        STATE_CODES[CANCELLED],
        4,
        "Deleted",
        LATER,
    )
    assert (rows.transitions[-1]["seq"], rows.transitions[-1]["rule"]) == (4, VANISHED_RULE)
    finished = observed(seen_run("two", ORDINARY), LATER)
    rows = run_rows(finished, IDS, Inherited(), 7)
    assert (rows.row["state"], rows.row["sequence"], len(rows.transitions), rows.row["deleted"]) == (STATE_CODES[COMPLETED], 4, 4, LATER)


@pytest.mark.parametrize(
    ("states", "metadata", "expected"),
    [
        (ORDINARY, {"deletionTimestamp": "2026-01-01T00:00:00Z"}, True),
        (ORDINARY, {}, False),
        (ORDINARY[:3], {"deletionTimestamp": "2026-01-01T00:00:00Z"}, False),
        ((), {"deletionTimestamp": "2026-01-01T00:00:00Z"}, False),
        (ORDINARY, {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["other"]}, False),
    ],
    ids=["deleted and ended", "not deleted", "still running", "without status", "held by others only"],
)
def test_only_a_deleted_and_ended_run_is_released(states: tuple[str, ...], metadata: dict[str, object], expected: bool) -> None:
    """And only if our finalizer holds it; with a patch that fails once the run has changed."""
    run = observed(seen_run("one", states, **{"finalizers": ["other", MIRROR_FINALIZER], **metadata}))
    release = release_of(run, None)
    assert (release is not None) is expected
    if release is not None:
        assert release.patch()[1:] == [
            {"op": "test", "path": "/status/sequence", "value": 4},
            {"op": "test", "path": "/metadata/finalizers/1", "value": MIRROR_FINALIZER},
            {"op": "remove", "path": "/metadata/finalizers/1"},
        ]


def test_an_object_that_makes_no_sense_is_reported_by_name() -> None:
    """InvalidResource, not a crash."""
    document = seen_run("one") | {"status": {"sequence": "many"}}
    with pytest.raises(InvalidResource, match=r"ns/one cannot be read: status\.sequence"):
        read_run(document)
    with pytest.raises(InvalidResource, match="ns/one is not a flow run"):
        snapshot_of(document, 0.0)
    with pytest.raises(InvalidResource, match="without metadata"):
        snapshot_of({}, 0.0)


def test_a_run_whose_spec_is_not_valid_is_stored_without_it() -> None:
    """Its states and its end are history as any other's, and its finalizer goes."""
    spec = {"deployment": "d", "scheduledTime": "2026-01-01T00:00:00+99:99", "parameters": {"a": 1}}
    metadata = {"finalizers": [MIRROR_FINALIZER], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    run = observed(seen_run("one", ("SCHEDULED", "FAILED"), spec=spec, **metadata))
    row = run_rows(run, IDS, Inherited(), 7).row
    assert (row["deployment"], row["parameters"], row["scheduled"], row["sequence"]) == (2, None, None, 2)
    assert release_of(run, None) is not None


def test_a_deployment_whose_spec_is_not_valid_is_stored_without_it() -> None:
    """It is listed under its name."""
    document = {"metadata": {"name": "d", "namespace": "ns", "uid": "u"}, "spec": {"schedules": "daily"}}
    assert read_deployment(document).metadata.name == "d"


@pytest.mark.parametrize(("text", "number"), [("12", 12), ("", 0), ("abc", 0), ("9" * 30, 0), ("²", 0)])
def test_resource_versions_are_numbers_where_they_can_be(text: str, number: int) -> None:
    """Anything else counts as the oldest."""
    assert resource_version(text) == number


ODD_TEXTS = {
    "a path with what looks like an escape": (r"C:\u0000_backup", r"C:\u0000_backup"),
    "JSON in a text": (json.dumps({"nul": "\0", "half": "\ud800"}), json.dumps({"nul": "\0", "half": "\ud800"})),
    "NUL": ("a\0b", "a\ufffdb"),
}


@pytest.mark.parametrize(("text", "stored"), ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_only_what_the_database_cannot_keep_is_replaced(text: str, stored: str) -> None:
    """In parameters, tags and messages of a run, and in the spec of a deployment."""
    document = seen_run("one", ORDINARY[:1], spec={"template": {"entrypoint": "a:b"}, "parameters": {text: text}, "tags": [text]})
    document["status"]["state"]["message"] = text
    run = observed(document)
    assert names_of_run(run, Inherited((text,))) == {(NameKind.NAMESPACE, "ns"), (NameKind.TAG, stored)}
    row = run_rows(run, IDS | {(NameKind.TAG, stored): 5}, Inherited(), 7).row
    assert (row["message"], json.loads(row["tags"]), json.loads(row["parameters"])) == (stored, [stored], {stored: stored})
    deployment = {"metadata": {"name": "d", "namespace": "ns", "uid": "u"}, "spec": {"entrypoint": "a:b", "parameters": {"p": text}}}
    assert json.loads(deployment_row(read_deployment(deployment), 1, None, 7)["spec"])["parameters"] == {"p": stored}
