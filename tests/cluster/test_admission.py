"""What the API server refuses by itself, and that it says what is wrong and what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kube import Kube, container, flow_deployment, flow_run, kubectl, refusal

CRON = {"name": "s", "cron": "0 6 * * MON-FRI"}
OK = container("true")


def scheduled(**schedule: Any) -> dict[str, Any]:
    """A deployment with one schedule."""
    return flow_deployment("bad", **OK, schedules=[{"name": "s", **schedule}])


REFUSED = {
    "a run with neither deployment nor template": (flow_run("bad"), "exactly one of deployment (a name) and template"),
    "a run with both deployment and template": (
        flow_run("bad", deployment="d", template=OK),
        "exactly one of deployment (a name) and template",
    ),
    "a name that leaves no room for the pod's": (flow_run("x" * 201, deployment="d"), "at most 200 characters"),
    "a deployment with nothing to run": (
        flow_deployment("bad", image="i"),
        "name an entrypoint (module:flow or file.py:flow), or give a podTemplate",
    ),
    "an entrypoint without a function": (flow_deployment("bad", entrypoint="module"), "spec.entrypoint"),
    "a source without an entrypoint": (flow_deployment("bad", **OK, source={"inline": "x"}), "a source needs an entrypoint"),
    "a source with two places": (
        flow_deployment("bad", entrypoint="f.py:f", source={"inline": "x", "configMap": {"name": "c"}}),
        "a source is exactly one of inline and configMap",
    ),
    "a source with no place": (flow_deployment("bad", entrypoint="f.py:f", source={}), "a source is exactly one of inline and configMap"),
    "a source whose entrypoint is a module": (
        flow_deployment("bad", entrypoint="module:f", source={"inline": "x"}),
        "the entrypoint names a file of it",
    ),
    "a source whose entrypoint is an absolute path": (
        flow_deployment("bad", entrypoint="/f.py:f", source={"inline": "x"}),
        "a relative path",
    ),
    "inline source over its limit": (flow_deployment("bad", entrypoint="f.py:f", source={"inline": "x" * 65537}), "spec.source.inline"),
    "inline source over its limit in bytes, under it in characters": (
        flow_deployment("bad", entrypoint="f.py:f", source={"inline": "漢" * 21846}),
        "inline takes at most 65536 bytes of UTF-8: put the code into a ConfigMap",
    ),
    "a verdict for what is no reason": (flow_deployment("bad", **OK, verdicts={"out of memory": "FAILED"}), "reasons of the failure table"),
    "a verdict that is none": (flow_deployment("bad", **OK, verdicts={"OOMKilled": "FINE"}), 'supported values: "FAILED", "CRASHED"'),
    "a schedule with neither cron nor interval": (scheduled(), "exactly one of cron, interval and rrule"),
    "a schedule with both cron and interval": (scheduled(cron="@daily", interval="1h"), "exactly one of cron, interval and rrule"),
    "a cron expression of six fields": (scheduled(cron="0 0 6 * * *"), "cron takes five fields, such as '0 6 * * MON-FRI', or a macro"),
    "a macro that does not exist": (scheduled(cron="@sometimes"), "cron takes five fields"),
    "an interval that is not a duration": (
        scheduled(interval="1 day"),
        "interval is a duration of at least one second, such as 15m or 24h, or P1D",
    ),
    "an interval of nothing": (scheduled(interval="0s"), "interval is a duration of at least one second"),
    "an anchor without an interval": (scheduled(cron="@daily", anchor="2026-01-01T00:00:00Z"), "anchor belongs to an interval"),
    "a time zone that cannot be one": (scheduled(cron="@daily", timeZone="Europe Berlin"), "spec.schedules[0].timeZone"),
    "two schedules of one name": (flow_deployment("bad", **OK, schedules=[CRON, CRON]), "Duplicate value"),
    "a negative retry limit": (flow_deployment("bad", **OK, retries={"onFailure": {"limit": -1}}), "spec.retries.onFailure.limit"),
    "jitter of more than all": (
        flow_deployment("bad", **OK, retries={"onCrash": {"backoff": {"jitter": 2}}}),
        "spec.retries.onCrash.backoff.jitter",
    ),
    "a timeout of nothing": (flow_deployment("bad", **OK, timeoutSeconds=0), "spec.timeoutSeconds"),
    "a field that does not exist": (flow_deployment("bad", **OK, entrypiont="f:f"), 'unknown field "spec.entrypiont"'),
    "an inline template is held to the same rules": (flow_run("bad", template={"image": "i"}), "name an entrypoint"),
}


@pytest.mark.parametrize(("manifest", "message"), REFUSED.values(), ids=list(REFUSED))
def test_is_refused_with_a_remedy(installed: str, manifest: dict[str, Any], message: str) -> None:
    """The message names the field or the rule, and what to write instead."""
    assert installed
    assert message in refusal(manifest)


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "the deployment of a run": ({"deployment": "other"}, "deployment cannot be changed once the run exists"),
    "the parameters of a run": ({"parameters": {"x": 2}}, "parameters cannot be changed once the run exists"),
    "the time of a run": ({"scheduledTime": "2098-01-01T00:00:00Z"}, "scheduledTime cannot be changed once the run exists"),
    "the tags of a run": ({"tags": ["b"]}, "tags cannot be changed once the run exists"),
}


@pytest.fixture
def later(kube: Kube) -> Kube:
    """A namespace with a run that is not due for a long time."""
    kube.apply(flow_run("later", deployment="d", parameters={"x": 1}, scheduledTime="2099-01-01T00:00:00Z", tags=["a"]))
    return kube


def _refused(kube: Kube, name: str, spec: dict[str, Any]) -> str:
    with pytest.raises(AssertionError) as refused:
        kube.patch("fr", name, {"spec": spec})
    return str(refused.value)


@pytest.mark.parametrize(("spec", "message"), CHANGES.values(), ids=list(CHANGES))
def test_cannot_be_changed(later: Kube, spec: dict[str, Any], message: str) -> None:
    """A run is a fact: another wish is another run."""
    assert message in _refused(later, "later", spec)


def test_the_template_of_a_run_cannot_be_changed(kube: Kube) -> None:
    """Also not what the API server does not look into, such as the pod template."""
    kube.apply(flow_run("later", template=container("true"), scheduledTime="2099-01-01T00:00:00Z"))
    other = container("false")
    assert "template cannot be changed once the run exists" in _refused(kube, "later", {"template": other})


def test_a_cancellation_cannot_be_taken_back(later: Kube) -> None:
    """Suspending can."""
    later.patch("fr", "later", {"spec": {"suspend": True}})
    later.patch("fr", "later", {"spec": {"suspend": False}})
    later.patch("fr", "later", {"spec": {"cancel": True}})
    assert "cancel cannot be taken back" in _refused(later, "later", {"cancel": False})


def _undescribed(schema: dict[str, Any], path: str) -> list[str]:
    found = [path] if "description" not in schema and path not in {"metadata", ""} else []
    for name, part in schema.get("properties", {}).items():
        found += _undescribed(part, f"{path}.{name}".strip("."))
    return found


@pytest.mark.parametrize("plural", ["flowdeployments", "flowruns"])
def test_every_field_is_explained(installed: str, plural: str) -> None:
    """`kubectl explain` is the reference."""
    assert installed
    crd = json.loads(kubectl("get", "crd", f"{plural}.mintaka.dev", "-o", "json"))
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert [field for field in _undescribed(schema, "") if field not in {"spec", "status"}] == []


def test_kubectl_explains_a_field(installed: str) -> None:
    """With the sentence from the model."""
    assert installed
    assert "stopped and ends CANCELLED" in kubectl("explain", "flowrun.spec.cancel")


def test_kubectl_lists_what_matters(kube: Kube) -> None:
    """Deployment, state, attempt, what is not well, age."""
    kube.apply(flow_deployment("d", **container("sh", "-c", "exit 4")), flow_run("r", deployment="d"))
    kube.ended("r")
    header, row = kube("get", "fr").splitlines()
    assert header.split() == ["NAME", "DEPLOYMENT", "STATE", "ATTEMPT", "REASON", "AGE"]
    assert row.split()[:5] == ["r", "d", "FAILED", "1", "NonZeroExit"]
    assert [name.split()[0] for name in kube("get", "mintaka", "--no-headers").splitlines()] == [
        "flowdeployment.mintaka.dev/d",
        "flowrun.mintaka.dev/r",
    ]


def test_runs_are_selected_by_field(kube: Kube) -> None:
    """State type and deployment are selectable at the API server."""
    kube.apply(flow_deployment("good", **container("true")), flow_deployment("bad", **container("false")))
    kube.apply(flow_run("g", deployment="good"), flow_run("b", deployment="bad"))
    kube.ended("g")
    kube.ended("b")
    for selector, name in (("status.state.type=COMPLETED", "g"), ("status.state.type=FAILED", "b"), ("spec.deployment=bad", "b")):
        assert [run["metadata"]["name"] for run in kube.items("fr", f"--field-selector={selector}")] == [name]


@pytest.mark.parametrize(("command", "condition"), [("true", "Completed"), ("false", "Failed")])
def test_kubectl_waits_for_an_end(kube: Kube, command: str, condition: str) -> None:
    """Each end has a condition of its own, besides Finished."""
    kube.apply(flow_run("r", template=container(command)))
    kube.wait("fr/r", f"condition={condition}")
    kube.wait("fr/r", "condition=Finished")
