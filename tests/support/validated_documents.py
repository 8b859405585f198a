"""Documents that the Kubernetes API server refuses or fills with defaults: `mintaka_validation` must do the same.

Its answers are recorded in `validated_documents.json` by `api_server_answers`; a test compares them with those of a real one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mintaka_core.limits import KUBECTL_COPY

NAMESPACE = "default"
_RECORDED = Path(__file__).with_suffix(".json")
_CONTAINER = {"podTemplate": {"spec": {"containers": [{"name": "flow", "command": ["true"]}]}}}
_CRON = {"name": "s", "cron": "0 6 * * MON-FRI"}


def deployment(name: str = "bad", *, metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A FlowDeployment."""
    return _document("FlowDeployment", name, metadata, spec)


def run(name: str = "bad", *, metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A FlowRun."""
    return _document("FlowRun", name, metadata, spec)


def _document(kind: str, name: str, metadata: dict[str, Any] | None, spec: dict[str, Any]) -> dict[str, Any]:
    named = {"name": name, "namespace": NAMESPACE} | (metadata or {})
    return {"apiVersion": "mintaka.dev/v1alpha1", "kind": kind, "metadata": named, "spec": spec}


def _scheduled(**schedule: Any) -> dict[str, Any]:
    return deployment(**_CONTAINER, schedules=[{"name": "s", **schedule}])


def _labelled(**metadata: Any) -> dict[str, Any]:
    return run(deployment="d", metadata=metadata)


_OWNER = {"apiVersion": "mintaka.dev/v1alpha1", "kind": "FlowRun", "name": "parent", "uid": "1"}

#: New documents that are refused.
REFUSED: dict[str, dict[str, Any]] = {
    # rules
    "a run with neither deployment nor template": run(),
    "a run with both deployment and template": run(deployment="d", template=_CONTAINER),
    "a name that leaves no room for the pod's": run("x" * 201, deployment="d"),
    "a run that resumes from itself": run(deployment="d", resumeFrom="bad"),
    "a deployment with nothing to run": deployment(image="i"),
    "a source without an entrypoint": deployment(**_CONTAINER, source={"inline": "x"}),
    "a source with two places": deployment(entrypoint="f.py:f", source={"inline": "x", "configMap": {"name": "c"}}),
    "a source with no place": deployment(entrypoint="f.py:f", source={}),
    "a source whose entrypoint is a module": deployment(entrypoint="module:f", source={"inline": "x"}),
    "a source whose entrypoint is an absolute path": deployment(entrypoint="/f.py:f", source={"inline": "x"}),
    "an inline template is held to the same rules": run(template={"image": "i"}),
    "a rule below a rule": run(template={"image": "i", "source": {}}),
    "a verdict for an unknown reason": deployment(**_CONTAINER, verdicts={"out of memory": "FAILED"}),
    "a schedule with neither cron nor interval": _scheduled(),
    "a schedule with both cron and interval": _scheduled(cron="@daily", interval="1h"),
    "a cron expression of six fields": _scheduled(cron="0 0 6 * * *"),
    "a macro that does not exist": _scheduled(cron="@sometimes"),
    "an interval that is not a duration": _scheduled(interval="1 day"),
    "an interval of nothing": _scheduled(interval="0s"),
    "an interval that overflows": _scheduled(interval="99999999999999999999h"),
    "an anchor without an interval": _scheduled(cron="@daily", anchor="2026-01-01T00:00:00Z"),
    "three schedules of which two are bad": deployment(
        **_CONTAINER, schedules=[{"name": "a"}, {"name": "b", "interval": "1h"}, {"name": "c", "cron": "x"}]
    ),
    # limits of length, size and number
    "inline source over its limit": deployment(entrypoint="f.py:f", source={"inline": "x" * 65537}),
    "an entrypoint that is too short": deployment(entrypoint="f:"),
    "a description that is too long": deployment(**_CONTAINER, description="x" * 20001),
    "a tag of no characters": run(deployment="d", tags=[""]),
    "a tag that is too long": run(deployment="d", tags=["漢" * 101]),
    "more tags than there may be": run(deployment="d", tags=[str(number) for number in range(51)]),
    "more verdicts than there may be": deployment(**_CONTAINER, verdicts={f"R{number}": "FAILED" for number in range(51)}),
    "a negative retry limit": deployment(**_CONTAINER, retries={"onFailure": {"limit": -1}}),
    "a retry limit over its maximum": deployment(**_CONTAINER, retries={"onFailure": {"limit": 1001}}),
    "jitter of more than all": deployment(**_CONTAINER, retries={"onCrash": {"backoff": {"jitter": 1.5}}}),
    "a factor just below one": deployment(**_CONTAINER, retries={"onCrash": {"backoff": {"factor": 0.999}}}),
    "a delay in scientific notation": deployment(**_CONTAINER, retries={"onCrash": {"backoff": {"delaySeconds": 1e22}}}),
    "a timeout of nothing": deployment(**_CONTAINER, timeoutSeconds=0),
    # patterns, enumerations, formats
    "an entrypoint without a function": deployment(entrypoint="module"),
    "an entrypoint that ends with a line break": deployment(entrypoint="module:f\n"),
    "a pattern and a rule of one field": deployment(entrypoint="/no function", source={"inline": "x"}),
    "a name of a deployment that cannot be one": run(deployment="No Such"),
    "a time zone that cannot be one": _scheduled(cron="@daily", timeZone="Europe Berlin"),
    "a name of a schedule that cannot be one": deployment(**_CONTAINER, schedules=[_CRON | {"name": "Daily"}]),
    "an unknown verdict": deployment(**_CONTAINER, verdicts={"OOMKilled": "FINE"}),
    "a text that is not a time": run(deployment="d", scheduledTime="tomorrow"),
    "a time without an offset": run(deployment="d", scheduledTime="2026-01-01T00:00:00"),
    "the 29th of February of a year without one": run(deployment="d", scheduledTime="2026-02-29T00:00:00Z"),
    "a leap second": run(deployment="d", scheduledTime="2026-12-31T23:59:60Z"),
    # types
    "a number for a text": run(deployment=1),
    "a text for a number": deployment(**_CONTAINER, timeoutSeconds="60"),
    "a text for a truth value": run(deployment="d", cancel="yes"),
    "a fraction for a whole number": deployment(**_CONTAINER, timeoutSeconds=1.5),
    "a number for a time": run(deployment="d", scheduledTime=1),
    "a truth value for a time": run(deployment="d", scheduledTime=True),
    "an object for a list": run(deployment="d", tags={}),
    "a list for an object": run(deployment="d", parameters=[1]),
    "a text for an object": run(deployment="d", parameters="x=1"),
    "a truth value for one of an enumeration": deployment(**_CONTAINER, verdicts={"OOMKilled": True}),
    "null in a list": run(deployment="d", tags=["a", None]),
    "a spec that is a text": {**run(), "spec": "x"},
    "no spec": {name: value for name, value in run().items() if name != "spec"},
    "a spec of null": {**run(), "spec": None},
    "several errors at once": run(deployment="No", tags=["", "x" * 101], reruns=-1, cancel=1),
    "text with characters that are escaped": run(deployment='a"b\\c\n\t\x00\u200b\U0001f600<&>'),
    # lists with keys, fields that are required
    "two schedules of one name": deployment(**_CONTAINER, schedules=[_CRON, _CRON]),
    "three schedules of one name": deployment(**_CONTAINER, schedules=[_CRON, _CRON, _CRON]),
    "a schedule without a name": deployment(**_CONTAINER, schedules=[{"cron": "@daily"}]),
    "a schedule that is null": deployment(**_CONTAINER, schedules=[None]),
    "a schedule that is a text": deployment(**_CONTAINER, schedules=["@daily"]),
    "a secret parameter without a key": deployment(**_CONTAINER, secretParameters={"token": {"name": "s"}}),
    "a secret parameter with a key that cannot be one": deployment(**_CONTAINER, secretParameters={"a.b": {"name": "s", "key": "a b"}}),
    "a result storage without a URL": deployment(**_CONTAINER, resultStorage={"secretRef": {"name": "s"}}),
    # unknown fields
    "a field that does not exist": deployment(**_CONTAINER, entrypiont="f:f"),
    "fields that do not exist, at several places": deployment(
        **_CONTAINER, zzz=1, retries={"onFailure": {"tries": 3}}, schedules=[_CRON, _CRON | {"name": "t", "day": 1}]
    ),
    "a field that does not exist beside spec": {**run(deployment="d"), "specs": {}},
    "an unknown field and an invalid one": run(cancel="yes", deploy="d"),
    "an object for a text": run(deployment={"name": "d"}),
    "an unknown field of the metadata": _labelled(lables={"a": "b"}),
    "metadata within spec": run(deployment="d", metadata={}, kind="x") | {"spec": {"deployment": "d", "metadata": {}, "kind": "x"}},
    # metadata
    "a name with capitals": run("Bad", deployment="d"),
    "a name that ends with a dot": run("bad.", deployment="d"),
    "a name that is far too long": run("x" * 300, deployment="d"),
    "no name": run("", deployment="d"),
    "a prefix of names that cannot be one": _labelled(generateName="Bad_"),
    "a label whose name cannot be one": _labelled(labels={"a b": "c"}),
    "a label whose prefix cannot be one": _labelled(labels={"No/a": "c"}),
    "a label with two slashes": _labelled(labels={"a/b/c": "d"}),
    "a label with an empty prefix": _labelled(labels={"/a": "d"}),
    "a label with an empty name": _labelled(labels={"a.b/": "d"}),
    "a label whose value cannot be one": _labelled(labels={"a": "b c"}),
    "a label whose value is too long": _labelled(labels={"a": "x" * 64}),
    "a label whose name is too long": _labelled(labels={"x" * 64: "b"}),
    "a label that is a number": _labelled(labels={"a": 1}),
    "labels that are a list": _labelled(labels=["a"]),
    "an annotation whose name cannot be one": _labelled(annotations={"a b": "c"}),
    "an annotation that is a truth value": _labelled(annotations={"a": True}),
    "annotations that are too large": _labelled(annotations={KUBECTL_COPY: "x" * 262144}),
    "a finalizer that cannot be one": _labelled(finalizers=["a b"]),
    "finalizers that exclude each other": _labelled(finalizers=["orphan", "foregroundDeletion"]),
    "an owner without a uid": _labelled(ownerReferences=[{name: value for name, value in _OWNER.items() if name != "uid"}]),
    "an owner without anything": _labelled(ownerReferences=[{}]),
    "an owner that cannot be one": _labelled(ownerReferences=[{"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "1"}]),
    "two controllers": _labelled(ownerReferences=[_OWNER | {"controller": True}, _OWNER | {"name": "b", "controller": True}]),
    "a field of an owner that does not exist": _labelled(ownerReferences=[_OWNER | {"namespace": "a"}]),
    "an owner's field of a wrong type": _labelled(ownerReferences=[_OWNER | {"controller": "yes"}]),
    "metadata that is a list": {**run(deployment="d"), "metadata": []},
    "a name that is a number": _labelled(name=5),
    "another kind": {**run(deployment="d"), "kind": "FlowDeployment"},
}

_RUN = run("kept", deployment="d", parameters={"x": 1}, scheduledTime="2099-01-01T00:00:00Z", tags=["a"], reruns=1)
_TEMPLATED = run("kept", template={**_CONTAINER, "timeoutSeconds": 5}, scheduledTime="2099-01-01T00:00:00Z")
_CANCELLED = run("kept", deployment="d", cancel=True, scheduledTime="2099-01-01T00:00:00Z")
_SCHEDULED = deployment("kept", **_CONTAINER, schedules=[_CRON])


def _changed(old: dict[str, Any], *, metadata: dict[str, Any] | None = None, **spec: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A document and its update; None removes a field."""
    kept = {name: value for name, value in (old["spec"] | spec).items() if value is not None}
    return old, {**old, "metadata": old["metadata"] | (metadata or {}), "spec": kept}


#: Updates that are refused: the old document, which is valid, and the new one.
REFUSED_UPDATES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the deployment of a run": _changed(_RUN, deployment="other"),
    "the deployment of a run for a template": _changed(_RUN, deployment=None, template=_CONTAINER),
    "the template of a run": _changed(_TEMPLATED, template={**_CONTAINER, "timeoutSeconds": 6}),
    "a part of the template that has no schema": _changed(
        _TEMPLATED, template={"podTemplate": {"spec": {"containers": [{"name": "flow", "command": ["false"]}]}}, "timeoutSeconds": 5}
    ),
    "the parameters of a run": _changed(_RUN, parameters={"x": 2}),
    "a parameter more": _changed(_RUN, parameters={"x": 1, "y": 2}),
    "no parameters any more": _changed(_RUN, parameters=None),
    "the time of a run": _changed(_RUN, scheduledTime="2098-01-01T00:00:00Z"),
    "the tags of a run": _changed(_RUN, tags=["b"]),
    "resuming from another run": _changed(_RUN, resumeFrom="first"),
    "a cancellation that is taken back": _changed(_CANCELLED, cancel=False),
    "a rerun of a cancelled run": _changed(_CANCELLED, reruns=1),
    "fewer reruns": _changed(_RUN, reruns=0),
    "several transitions at once": _changed(_RUN, deployment="other", tags=[], reruns=0),
    "a type that is wrong, and a transition": _changed(_RUN, reruns="0", tags=["b"]),
    "an unknown field": _changed(_RUN, deploy="d"),
    "a schedule that becomes invalid": _changed(_SCHEDULED, schedules=[_CRON | {"cron": "never"}]),
    "a schedule twice": _changed(_SCHEDULED, schedules=[_CRON, _CRON]),
    "a label that cannot be one": _changed(_RUN, metadata={"labels": {"a": "b c"}}),
}


#: New documents that are accepted; the answers are the stored documents, without the metadata that the server adds.
ACCEPTED: dict[str, dict[str, Any]] = {
    "a run with nothing but its deployment": run("good", deployment="d"),
    "a run with everything": run(
        "good",
        deployment="d.e-1",
        parameters={"nothing": None, "whole": 2.0, "fraction": 0.5, "deep": [{"x": [None, True, {}]}], "ü": "\u2028<&>"},
        scheduledTime="2099-01-01T00:00:00.123456789+05:30",
        suspend=True,
        cancel=True,
        reruns=1000000,
        resumeFrom="first",
        tags=["a", "漢" * 100],
        metadata={"labels": {"a.b/C_d": "E.f", "empty": ""}, "annotations": {"A/b": "any text\n"}, "finalizers": ["mintaka.dev/mirror"]},
    ),
    "nulls": run(
        "good", deployment="d", parameters=None, tags=None, reruns=None, metadata={"labels": None, "annotations": {"a": None}, "uid": None}
    ),
    "nulls in a template": run(
        "good", template={**_CONTAINER, "retries": {"onCrash": {"limit": None, "backoff": None}}, "podRetention": None}
    ),
    "whole numbers that are written as fractions": run("good", deployment="d", reruns=2.0),
    "empty collections": run("good", deployment="d", parameters={}, tags=[], metadata={"labels": {}, "finalizers": []}),
    "a list for a time, which kube-openapi lets pass": run("good", deployment="d", scheduledTime=["soon"]),
    "a time in lower case with an offset of 99 hours": run("good", deployment="d", scheduledTime="2099-01-01t00:00:00+99:99"),
    "a status, which is dropped": {**run("good", deployment="d"), "status": {"attempt": 1}},
    "a name of 200 characters": run("x" * 200, deployment="d"),
    "a template with everything": run(
        "good",
        template={
            "entrypoint": "flows/etl.py:main.run",
            "source": {"configMap": {"name": "code"}},
            "image": "registry:5000/image@sha256:0",
            "parameters": {"x": [1, 2.5]},
            "secretParameters": {"token": {"name": "s", "key": "a.b_c-d"}},
            "parameterSchema": {"type": "object", "properties": {"x": {}}},
            "retries": {"onFailure": {"limit": 3}, "onCrash": {"backoff": {"factor": 1}, "reasons": ["OOMKilled"]}},
            "timeoutSeconds": 1,
            "verdicts": {"OOMKilled": "FAILED"},
            "resultStorage": {"url": "s3://b/c", "secretRef": {"name": "s"}},
            "podTemplate": {"metadata": {"labels": None}, "spec": {"containers": []}},
            "podRetention": {"completedSeconds": 0},
        },
    ),
    "a plain container": deployment("good", **_CONTAINER),
    "schedules": deployment(
        "good",
        entrypoint="m:f",
        schedules=[
            {"name": "macro", "cron": "@daily", "timeZone": "Europe/Berlin", "startingDeadlineSeconds": 1},
            {"name": "fields", "cron": "*/5 0-23/2 1,15 JAN-DEC MON#1", "suspend": True},
            {"name": "interval", "interval": "1h30m0.5s", "anchor": "2026-01-01T00:00:00Z", "parameters": {"x": None}},
        ],
        history={"limit": 0},
        suspend=True,
        version="",
        description="# Flow",
    ),
}

#: Updates that are accepted: the old document and the new one.
ACCEPTED_UPDATES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": _changed(_RUN),
    "cancelling": _changed(_RUN, cancel=True, suspend=True, reruns=5),
    "the same time in another notation": _changed(_RUN, scheduledTime="2099-01-01T02:00:00.000+02:00"),
    "the same parameters in another order": _changed(
        run("kept", deployment="d", parameters={"a": 1, "b": {"c": 1, "d": 2}}), parameters={"b": {"d": 2, "c": 1}, "a": 1}
    ),
    "defaults written out": _changed(_RUN, suspend=False, cancel=False),
    "other labels": _changed(_RUN, metadata={"labels": {"x": "y"}, "finalizers": ["mintaka.dev/mirror"]}),
    "another schedule of a deployment": _changed(_SCHEDULED, schedules=[{"name": "t", "interval": "1h"}, _CRON], image="other"),
}


def recorded() -> dict[str, dict[str, Any]]:
    """The answers of a real API server: [status, message] for refused documents, the stored document for accepted ones."""
    return dict(json.loads(_RECORDED.read_text(encoding="utf-8")))


def write(answers: dict[str, dict[str, Any]]) -> None:
    """Record answers."""
    _RECORDED.write_text(json.dumps(answers, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def faults(message: str) -> tuple[str, list[str]]:
    """A refusal without the order of its errors, which the API server varies: the object and its errors."""
    head, _, errors = message.partition(" is invalid: ")
    listed = errors.removeprefix("[").removesuffix("]") if errors.startswith("[") else errors
    return head, sorted(listed.split(", "))
