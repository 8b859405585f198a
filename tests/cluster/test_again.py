"""Runs that start again on real pods, with results on a volume that outlives them: reruns, suspensions, resumeFrom, crashes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from kube import Api, Kube, eventually, flow_run, names, python_flow

FLOWS = """
import os
from mintaka import flow, pause_flow_run, suspend_flow_run, task
from mintaka.input import RunInput

ATTEMPT = int(os.environ["MINTAKA_ATTEMPT"])

class Approval(RunInput):
    approved: bool

@task
def build():
    return f"built in attempt {ATTEMPT}"

@task
def deliver(what, broken_until=1):
    if ATTEMPT < broken_until:
        raise ConnectionError("not yet")
    return what

@flow
def suspends(timeout: float | None = None):
    what = build.submit()
    suspend_flow_run(timeout=timeout)
    return deliver(what)

@flow
def approves():
    what = build()
    if not suspend_flow_run(Approval, key="approval").approved:
        raise PermissionError("not approved")
    return deliver(what)

@flow
def asks():
    what = build()
    assert pause_flow_run(Approval, poll_interval=0.2).approved
    return deliver(what)

@flow
def fails(broken_until: int = 2):
    return deliver(build(), broken_until)

@flow
def crashes():
    what = build()
    if ATTEMPT == 1:
        os._exit(137)  # the first process of a container cannot kill itself
    return deliver(what)
"""


def template(flow: str, folder: str = "", **fields: Any) -> dict[str, Any]:
    """A template of one of the flows, its results on the volume."""
    spec = {
        "volumes": [{"name": "results", "persistentVolumeClaim": {"claimName": "results"}}],
        "containers": [{"name": "flow", "volumeMounts": [{"name": "results", "mountPath": "/results"}]}],
    }
    made = python_flow(FLOWS, podTemplate={"spec": spec}, resultStorage={"url": f"file:///results{folder}"}, **fields)
    return {**made, "entrypoint": f"flow.py:{flow}"}


@pytest.fixture(scope="module")
def place(shared_kube: Kube) -> Kube:
    """A namespace with a volume."""
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}}
    shared_kube.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "results"}, "spec": claim})
    return shared_kube


def mintaka(api: Api, *arguments: str, cluster: Kube | None = None) -> tuple[int, str]:
    """`mintaka`, with the API or with kubectl alone; its exit code and what it printed."""
    url = str(api.client.base_url).removesuffix("/api/v1/").removesuffix("/api/v1")
    there = ["--cluster", "--namespace", cluster.namespace] if cluster else []
    environment = os.environ | {"MINTAKA_HISTORY": "on"} | ({} if cluster else {"MINTAKA_API_URL": url})
    command = [sys.executable, "-c", "from mintaka.cli import main; main()", *arguments, *there]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def tasks(api: Api, run: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and states of the task runs of the run's last attempt."""
    rows = api.items(f"/flow-runs/{run['metadata']['uid']}/task-runs", attempt=run["status"]["attempt"])
    return [(row["name"], row["state_name"]) for row in sorted(rows, key=lambda row: row["n"])]


def nothing_lives(kube: Kube, run: str) -> None:
    """Wait until every pod of a run has ended; its phase follows its container by a moment."""

    def none() -> bool:
        pods = kube.items("pods", "--selector", f"mintaka.dev/flow-run={run}")
        return all(pod["status"]["phase"] in ("Succeeded", "Failed") for pod in pods)

    eventually(none, f"the end of every pod of {run}", 10)


ONLY_THE_REST = [("build-0", "Cached"), ("deliver-1", "Completed")]
AGAIN = ["Scheduled", "Pending", "Running"]


def test_a_flow_suspends_itself_and_goes_on_when_reruns_are_raised(place: Kube, api: Api) -> None:
    """PAUSED without a pod, also across a restart of the operator; then only what is missing runs."""
    place.apply(flow_run("by-kubectl", template=template("suspends")))
    run = place.reaches("by-kubectl", "PAUSED")
    assert (run["status"]["state"]["name"], run["status"]["state"]["reason"]) == ("Suspended", "SuspendedItself")
    assert run["status"]["suspension"]
    nothing_lives(place, "by-kubectl")
    system = Kube("mintaka-system")
    system("rollout", "restart", "deployment/mintaka-operator")
    for _ in range(2):  # whoever patches the same a second time changes nothing
        place.patch("fr", "by-kubectl", {"spec": {"reruns": 1}})
    run = place.ended("by-kubectl")
    assert names(run) == [*AGAIN, "Suspended", *AGAIN, "Completed"]
    assert (run["status"]["attempt"], run["status"]["failures"], run["status"]["crashes"]) == (2, 0, 0)
    api.agrees_with(run)
    assert tasks(api, run) == ONLY_THE_REST
    system("rollout", "status", "deployment/mintaka-operator", "--timeout=60s")


def test_a_suspended_flow_gets_its_input_through_the_api(place: Kube, api: Api) -> None:
    """A wrong one is refused with the place that is wrong; `mintaka get` tells what it waits for."""
    place.apply(flow_run("by-mintaka", template=template("approves")))
    run = place.reaches("by-mintaka", "PAUSED")
    api.mirrored(run)
    uid = run["metadata"]["uid"]
    assert "waits for input (approved: boolean)" in mintaka(api, "get", uid)[1]
    code, told = mintaka(api, "resume", uid, "--input", '{"approved": 17}')
    assert (code, "input/approved" in told) == (2, True)
    assert place.get("fr", "by-mintaka")["status"]["state"]["type"] == "PAUSED"
    assert mintaka(api, "resume", uid, "--input", '{"approved": true}')[0] == 0
    run = place.ended("by-mintaka")
    assert (run["status"]["state"]["type"], run["status"]["resumed"]) == ("COMPLETED", ["approval"])
    api.mirrored(run)
    assert tasks(api, run) == ONLY_THE_REST
    assert mintaka(api, "resume", uid, "--input", "1")[0] == 2


def test_a_flow_that_is_resumed_without_its_input_waits_on(place: Kube, api: Api) -> None:
    """Kubectl knows nothing of inputs."""
    place.apply(flow_run("no-input", template=template("approves")))
    place.reaches("no-input", "PAUSED")
    place.patch("fr", "no-input", {"spec": {"reruns": 1}})
    place.wait("fr/no-input", "jsonpath={.status.attempt}=2")
    run = place.reaches("no-input", "PAUSED")
    nothing_lives(place, "no-input")
    place.patch("fr", "no-input", {"spec": {"cancel": True}})
    run = place.ended("no-input")
    assert run["status"]["state"]["type"] == "CANCELLED"
    api.agrees_with(run)


def test_a_suspension_that_nobody_ends_in_time_fails_the_run(place: Kube, api: Api) -> None:
    """The operator acts by itself at the time that the flow named."""
    place.apply(flow_run("too-late", template=template("suspends"), parameters={"timeout": 1}))
    run = place.ended("too-late")
    assert (run["status"]["state"]["name"], run["status"]["state"]["reason"]) == ("TimedOut", "SuspensionTimedOut")
    api.agrees_with(run)


def test_a_flow_that_waits_in_its_pod_is_answered_through_the_api(place: Kube, api: Api) -> None:
    """RUNNING for the operator, since its pod runs; the API tells what it waits for."""
    place.apply(flow_run("asking", template=template("asks")))
    run = place.reaches("asking", "RUNNING")
    uid = run["metadata"]["uid"]
    (pause,) = eventually(lambda: api.client.get(f"/flow-runs/{uid}/pauses").json().get("items"), "the pause in the database")
    assert (pause["suspended"], pause["schema"]["required"]) == (False, ["approved"])
    assert "waits for input" in mintaka(api, "get", "asking", cluster=place)[1]
    assert mintaka(api, "resume", uid, "--input", '{"approved": true}')[0] == 0
    run = place.ended("asking")
    assert (run["status"]["state"]["type"], run["status"]["attempt"]) == ("COMPLETED", 1)


def test_a_failed_run_is_run_again_and_does_only_what_is_missing(place: Kube, api: Api) -> None:
    """`mintaka resume` through kubectl alone, and over REST; the mirror follows out of an end."""
    place.apply(flow_run("mended", template=template("fails"), parameters={"broken_until": 3}))
    first = place.ended("mended")
    assert first["status"]["state"]["type"] == "FAILED"
    assert mintaka(api, "resume", "mended", cluster=place)[0] == 0
    place.wait("fr/mended", "jsonpath={.status.attempt}=2")
    second = place.ended("mended")
    assert second["status"]["state"]["type"] == "FAILED"
    api.mirrored(second)
    assert tasks(api, second) == [("build-0", "Cached"), ("deliver-1", "Failed")]
    assert api.client.post(f"/flow-runs/{second['metadata']['uid']}/rerun").status_code == 202
    place.wait("fr/mended", "jsonpath={.status.attempt}=3")
    third = place.ended("mended")
    assert names(third) == [*AGAIN, "Failed", *AGAIN, "Failed", *AGAIN, "Completed"]
    api.agrees_with(third)
    assert tasks(api, third) == ONLY_THE_REST


def test_a_retry_after_a_crash_takes_what_is_finished(place: Kube, api: Api) -> None:
    """The process died as if killed; what it had finished is on the volume."""
    retries = {"onCrash": {"limit": 1, "backoff": {"delaySeconds": 0}}}
    place.apply(flow_run("killed", template=template("crashes", retries=retries)))
    run = place.ended("killed")
    assert names(run) == [*AGAIN, "AwaitingRetry", "Pending", "Running", "Completed"]
    assert run["status"]["crashes"] == 1
    api.mirrored(run)
    assert tasks(api, run) == ONLY_THE_REST


def test_another_run_takes_over_what_a_finished_one_did(place: Kube, api: Api) -> None:
    """And a third from that one; what is not there, has not ended or kept nothing is told."""
    place.apply(flow_run("source", template=template("fails"), parameters={"broken_until": 9}))
    source = place.ended("source")
    place.apply(flow_run("heir", template=template("fails"), parameters={"broken_until": 8}, resumeFrom="source"))
    heir = place.ended("heir")
    assert heir["status"]["resumedFrom"] == source["metadata"]["uid"]
    place.apply(
        flow_run("grandchild", template=template("fails"), parameters={"broken_until": 0}, resumeFrom="heir"),
        flow_run("orphan", template=template("fails"), resumeFrom="nobody"),
        flow_run("moved", template=template("fails", folder="/elsewhere"), resumeFrom="source"),
    )
    grandchild = place.ended("grandchild")
    assert grandchild["status"]["state"]["type"] == "COMPLETED"
    for run in (heir, grandchild):
        api.mirrored(run)
        assert tasks(api, run)[0] == ("build-0", "Cached")
    for name, message in (("orphan", "there is no FlowRun 'nobody'"), ("moved", "nothing is kept of flow run")):
        state = place.ended(name)["status"]["state"]
        assert (state["type"], state["reason"], message in state["message"]) == ("FAILED", "InvalidResume", True)


def test_what_makes_no_sense_is_refused_by_the_api_server(place: Kube) -> None:
    """Fewer reruns; a rerun of what is cancelled; a run that resumes from itself."""
    place.apply(flow_run("held", template=template("fails"), suspend=True, reruns=3))
    for patch, words in (({"reruns": 2}, "reruns can only grow"), ({"resumeFrom": "other"}, "resumeFrom cannot be changed")):
        with pytest.raises(AssertionError, match=words):
            place.patch("fr", "held", {"spec": patch})
    place.patch("fr", "held", {"spec": {"cancel": True, "reruns": 4}})
    assert place.ended("held")["status"]["state"]["type"] == "CANCELLED"
    with pytest.raises(AssertionError, match="does not run again"):
        place.patch("fr", "held", {"spec": {"reruns": 5}})
    with pytest.raises(AssertionError, match="cannot resume from itself"):
        place("create", "-f", "-", stdin=json.dumps(flow_run("selfish", template=template("fails"), resumeFrom="selfish")))
