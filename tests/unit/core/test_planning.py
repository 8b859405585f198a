"""What applying a manifest would mean, from the live object, the one that a dry run returns, and the unfinished runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from mintaka_core.plan_texts import plan_lines
from mintaka_core.planning import Candidate, PlannedRun, plan_object

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPEC: dict[str, Any] = {"entrypoint": "flow:main", "image": "etl:1"}
NIGHTLY = {"name": "nightly", "cron": "0 6 * * *", "timeZone": "Europe/Berlin"}
SIX = (
    "2026-03-02T06:00:00+01:00, 2026-03-03T06:00:00+01:00, 2026-03-04T06:00:00+01:00, 2026-03-05T06:00:00+01:00, 2026-03-06T06:00:00+01:00"
)
SEVEN = SIX.replace("T06", "T07")
RUNNING = PlannedRun("etl-a", "RUNNING", attempt=1, revision="etl-1")


def deployment(*schedules: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A FlowDeployment as an API server returns it."""
    metadata = {"name": "etl", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 3, "managedFields": [{}]}
    spec = {**SPEC, "schedules": list(schedules), **fields}
    return {"apiVersion": "mintaka.dev/v1alpha1", "kind": "FlowDeployment", "metadata": metadata, "spec": spec, "status": {"activeRuns": 2}}


def run(**spec: Any) -> dict[str, Any]:
    """A FlowRun."""
    return {"kind": "FlowRun", "metadata": {"name": "etl-a", "namespace": "n"}, "spec": {"deployment": "etl", **spec}}


def candidate(live: dict[str, Any] | None, planned: dict[str, Any] | None, **more: Any) -> Candidate:
    """A manifest of these, by the kind and name of one of them."""
    known: dict[str, Any] = planned or live or deployment()
    return Candidate(known["kind"], known["metadata"]["namespace"], known["metadata"]["name"], live, planned, **more)


#: The kind, what was gathered, and what a user reads.
PLANS: list[tuple[str, Candidate, list[str]]] = [
    ("nothing changes", candidate(deployment(), deployment()), ["unchanged  FlowDeployment n/etl"]),
    (
        "only the server's fields differ",
        candidate(deployment(), {**deployment(), "status": {}, "metadata": {"name": "etl", "namespace": "n", "generation": 4}}),
        ["unchanged  FlowDeployment n/etl"],
    ),
    (
        "a new deployment with a schedule",
        candidate(None, deployment(NIGHTLY)),
        ["created    FlowDeployment n/etl", "    schedule nightly is added", f"        after   {SIX}"],
    ),
    (
        "another image: an unfinished run stays at the old version",
        candidate(deployment(), deployment(image="etl:2"), runs=(RUNNING, PlannedRun("etl-b", "SCHEDULED", attempt=1, revision="etl-1"))),
        [
            "changed    FlowDeployment n/etl",
            '    spec.image: "etl:1" → "etl:2"',
            "    2 unfinished runs keep the old version: etl-a (RUNNING, etl-1), etl-b (SCHEDULED, etl-1)",
        ],
    ),
    (
        "another image: a run that no operator has seen takes the new version",
        candidate(deployment(), deployment(image="etl:2"), runs=(PlannedRun("etl-c", "SCHEDULED", attempt=0),)),
        [
            "changed    FlowDeployment n/etl",
            '    spec.image: "etl:1" → "etl:2"',
            "    1 run that has not started takes the new version: etl-c",
        ],
    ),
    (
        "another image: a run that the deployment itself held back takes the new version",
        candidate(
            deployment(),
            deployment(image="etl:2"),
            runs=(PlannedRun("etl-c", "SCHEDULED", attempt=0, revision="etl-1", reason="PodRejected"),),
        ),
        [
            "changed    FlowDeployment n/etl",
            '    spec.image: "etl:1" → "etl:2"',
            "    1 run that has not started takes the new version: etl-c",
        ],
    ),
    (
        "only the history limit: no run is concerned",
        candidate(deployment(), deployment(history={"limit": 5}), runs=(RUNNING,)),
        ["changed    FlowDeployment n/etl", '    spec.history: → {"limit": 5}'],
    ),
    (
        "a schedule moves",
        candidate(deployment(NIGHTLY), deployment({**NIGHTLY, "cron": "0 7 * * *"}), runs=(RUNNING,)),
        [
            "changed    FlowDeployment n/etl",
            '    spec.schedules[nightly].cron: "0 6 * * *" → "0 7 * * *"',
            "    schedule nightly moves",
            f"        before  {SIX}",
            f"        after   {SEVEN}",
        ],
    ),
    (
        "a schedule is written otherwise and has the same times",
        candidate(deployment(NIGHTLY), deployment({**NIGHTLY, "cron": "00 6 * * *"})),
        [
            "changed    FlowDeployment n/etl",
            '    spec.schedules[nightly].cron: "0 6 * * *" → "00 6 * * *"',
            "    schedule nightly begins a new series with the same times",
        ],
    ),
    (
        "a schedule gets other parameters",
        candidate(deployment(NIGHTLY), deployment({**NIGHTLY, "parameters": {"n": 1}})),
        [
            "changed    FlowDeployment n/etl",
            '    spec.schedules[nightly].parameters: → {"n": 1}',
            "    schedule nightly keeps its times, with other parameters",
        ],
    ),
    (
        "a schedule is removed",
        candidate(deployment(NIGHTLY), deployment()),
        [
            "changed    FlowDeployment n/etl",
            '    spec.schedules[nightly]: {"name": "nightly", "cron": "0 6 * * *", "timeZone": "Europe/Berlin"} →',
            "    schedule nightly is removed",
            f"        before  {SIX}",
        ],
    ),
    (
        "a schedule is suspended",
        candidate(deployment(NIGHTLY), deployment({**NIGHTLY, "suspend": True})),
        [
            "changed    FlowDeployment n/etl",
            "    spec.schedules[nightly].suspend: → true",
            "    schedule nightly is suspended",
            f"        before  {SIX}",
        ],
    ),
    (
        "the deployment is suspended",
        candidate(deployment(NIGHTLY), deployment(NIGHTLY, suspend=True), runs=(RUNNING,)),
        [
            "changed    FlowDeployment n/etl",
            "    spec.suspend: → true",
            "    the deployment is suspended: its schedules create no runs, and existing runs continue",
            "    schedule nightly is suspended",
            f"        before  {SIX}",
        ],
    ),
    (
        "the deployment is resumed",
        candidate(deployment(NIGHTLY, suspend=True), deployment(NIGHTLY)),
        [
            "changed    FlowDeployment n/etl",
            "    spec.suspend: true →",
            "    the deployment is resumed: times that passed meanwhile are not made up for",
            "    schedule nightly is resumed",
            f"        after   {SIX}",
        ],
    ),
    (
        "a schedule that never fires",
        candidate(deployment(), deployment({**NIGHTLY, "cron": "0 0 30 2 *"})),
        [
            "changed    FlowDeployment n/etl",
            '    spec.schedules[nightly]: → {"name": "nightly", "cron": "0 0 30 2 *", "timeZone": "Europe/Berlin"}',
            (
                "    schedule nightly is added, and has no times: cron expression '0 0 30 2 *' is not valid: use five fields, such as "
                "'0 6 * * MON-FRI', that name days which exist"
            ),
        ],
    ),
    (
        "only a secret value changes, which is not shown",
        candidate(deployment(parameters={"p": "********"}), deployment(parameters={"p": "********"}), changed=True, runs=(RUNNING,)),
        [
            "changed    FlowDeployment n/etl",
            "    a secret value changes",
            "    1 unfinished run keeps the old version: etl-a (RUNNING, etl-1)",
        ],
    ),
    ("a run is created", candidate(None, run()), ["created    FlowRun n/etl-a", "    the run starts as soon as possible"]),
    (
        "a run is created for later",
        candidate(None, run(scheduledTime="2026-03-02T00:00:00Z")),
        ["created    FlowRun n/etl-a", "    the run starts at 2026-03-02T00:00:00Z"],
    ),
    (
        "a run is cancelled",
        candidate(run(), run(cancel=True)),
        ["changed    FlowRun n/etl-a", "    spec.cancel: → true", "    the run is cancelled, which cannot be taken back"],
    ),
    (
        "a run is suspended",
        candidate(run(), run(suspend=True)),
        ["changed    FlowRun n/etl-a", "    spec.suspend: → true", "    the run is suspended: its pod is stopped"],
    ),
    (
        "a run is resumed",
        candidate(run(suspend=True), run()),
        ["changed    FlowRun n/etl-a", "    spec.suspend: true →", "    the run is resumed"],
    ),
    (
        "a run runs again",
        candidate(run(), run(reruns=1)),
        ["changed    FlowRun n/etl-a", "    spec.reruns: → 1", "    the run runs again if it has ended"],
    ),
    (
        "a ConfigMap changes",
        candidate(
            {"kind": "ConfigMap", "metadata": {"name": "code", "namespace": "n"}, "data": {"flow.py": "a"}},
            {"kind": "ConfigMap", "metadata": {"name": "code", "namespace": "n"}, "data": {"flow.py": "b"}},
            users=("etl",),
        ),
        [
            "changed    ConfigMap n/code",
            '    data["flow.py"]: "a" → "b"',
            "    it is the source of etl: unfinished runs keep the old version",
        ],
    ),
    (
        "the server refuses it",
        candidate(None, None, refusal="spec.image: Too long"),
        ["refused    FlowDeployment n/etl: spec.image: Too long"],
    ),
    (
        "a kind that is not ours",
        candidate(
            {"kind": "Service", "metadata": {"name": "s", "namespace": "n"}, "spec": {"ports": [{"port": 1}]}},
            {"kind": "Service", "metadata": {"name": "s", "namespace": "n"}, "spec": {"ports": [{"port": 2}]}},
        ),
        ["changed    Service n/s", "    spec.ports[0].port: 1 → 2"],
    ),
    (
        "a label and a text of many lines",
        candidate(
            {"kind": "Namespace", "metadata": {"name": "team", "namespace": "", "labels": {"a": "1"}}},
            {"kind": "Namespace", "metadata": {"name": "team", "namespace": "", "labels": {"a/b": "x\n" * 99}}},
        ),
        ["changed    Namespace team", '    metadata.labels.a: "1" →', f'    metadata.labels["a/b"]: → {json.dumps("x\n" * 99)[:120]}…'],
    ),
]


@pytest.mark.parametrize(("given", "lines"), [pytest.param(*each, id=kind) for kind, *each in PLANS])
def test_what_a_user_reads(given: Candidate, lines: list[str]) -> None:
    """Every line; of a long value the beginning."""
    assert list(plan_lines(plan_object(given, NOW))) == lines


def test_a_plan_for_programs_has_the_same_as_data() -> None:
    """Times in ISO 8601 with their offset; members without content are present and empty."""
    given = candidate(deployment(NIGHTLY), deployment({**NIGHTLY, "cron": "0 7 * * *"}, image="etl:2"), runs=(RUNNING,))
    document = plan_object(given, NOW).to_document()
    assert document == {
        "kind": "FlowDeployment",
        "namespace": "n",
        "name": "etl",
        "action": "changed",
        "message": "",
        "changes": [
            {"path": "spec.image", "before": "etl:1", "after": "etl:2"},
            {"path": "spec.schedules[nightly].cron", "before": "0 6 * * *", "after": "0 7 * * *"},
        ],
        "notes": [],
        "schedules": [{"name": "nightly", "change": "moves", "problem": "", "before": SIX.split(", "), "after": SEVEN.split(", ")}],
        "keep_version": [{"name": "etl-a", "state": "RUNNING", "revision": "etl-1"}],
        "take_version": [],
    }


def test_other_kinds_can_say_what_a_change_of_theirs_means() -> None:
    """A function by kind, called with what was gathered."""
    rule = {"kind": "OrchestrationRule", "metadata": {"name": "freeze", "namespace": "n"}, "spec": {"when": "true"}}
    planned = plan_object(candidate(None, rule), NOW, {"OrchestrationRule": lambda given: [f"{given.name}: 3 decisions would differ"]})
    assert list(plan_lines(planned)) == ["created    OrchestrationRule n/freeze", "    freeze: 3 decisions would differ"]
