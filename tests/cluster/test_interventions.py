"""What owners and accidents do to runs: cancel, suspend, delete, kill."""

from __future__ import annotations

from kube import Api, Kube, container, entered, eventually, flow_deployment, flow_run, names, python_flow

SLEEPS = ("sh", "-c", "trap 'exit 143' TERM; sleep 300 & wait")
DEAF = ("sh", "-c", "trap '' TERM; while :; do sleep 1; done")

MINDS_SIGTERM = """
import time
from mintaka import flow, task

@task
def quick():
    return 1

@flow
def main():
    quick()
    time.sleep(300)
"""


def test_a_pod_deleted_by_hand_crashes_and_is_retried(kube: Kube, api: Api) -> None:
    """On the crash budget; the failure budget is not touched."""
    kube.apply(flow_run("victim", template=container(*SLEEPS, retries={"onCrash": {"limit": 1, "backoff": {"delaySeconds": 0}}})))
    kube.reaches("victim", "RUNNING")
    kube("delete", "pod", "victim-1")
    kube.wait("fr/victim", "jsonpath={.status.attempt}=2")
    kube.reaches("victim", "RUNNING")
    kube("delete", "pod", "victim-2", "--force", "--grace-period=0")
    run = kube.ended("victim")
    assert names(run) == ["Scheduled", "Pending", "Running", "AwaitingRetry", "Pending", "Running", "Crashed"]
    retried = entered(run)[3]
    assert (retried["proposed"], retried["rule"], retried["reason"]) == ("CRASHED", "retry_crashed", "PodDeleted")
    assert (run["status"]["state"]["reason"], run["status"]["crashes"], run["status"]["failures"]) == ("ForceDeleted", 1, 0)
    api.agrees_with(run)


def test_a_run_is_cancelled_before_it_is_due(kube: Kube, api: Api) -> None:
    """Nothing ran: CANCELLED at once."""
    kube.apply(flow_run("later", template=container("true"), scheduledTime="2099-01-01T00:00:00Z"))
    kube.reaches("later", "SCHEDULED")
    kube.patch("fr", "later", {"spec": {"cancel": True}})
    run = kube.ended("later")
    assert names(run) == ["Scheduled", "Cancelled"]
    assert kube.items("pods") == []
    api.agrees_with(run)


def test_a_run_is_cancelled_while_pending(kube: Kube, api: Api) -> None:
    """Its pod never starts, and is gone."""
    template = {"podTemplate": {"spec": {"nodeSelector": {"no-such": "node"}, "containers": [{"name": "flow", "command": ["true"]}]}}}
    kube.apply(flow_run("stuck", template=template))
    kube.wait("fr/stuck", "jsonpath={.status.state.reason}=Unschedulable")
    kube.patch("fr", "stuck", {"spec": {"cancel": True}})
    run = kube.ended("stuck")
    assert names(run) == ["Scheduled", "Pending", "Pending", "Cancelling", "Cancelled"]
    assert kube.items("pods") == []
    api.agrees_with(run)


def test_a_running_flow_is_cancelled(kube: Kube, api: Api) -> None:
    """The flow is told by SIGTERM; its finished task run is kept."""
    kube.apply(flow_run("long", template=python_flow(MINDS_SIGTERM)))
    run = kube.reaches("long", "RUNNING")
    eventually(lambda: api.client.get(f"/flow-runs/{run['metadata']['uid']}/task-runs").json().get("items"), "the task run in the database")
    kube.patch("fr", "long", {"spec": {"cancel": True}})
    run = kube.ended("long")
    assert names(run) == ["Scheduled", "Pending", "Running", "Cancelling", "Cancelled"]
    api.agrees_with(run)
    [task] = api.items(f"/flow-runs/{run['metadata']['uid']}/task-runs")
    assert (task["state"], task["n"]) == ("COMPLETED", 0)


def test_a_run_that_ignores_sigterm_is_killed_when_its_grace_is_over(kube: Kube, api: Api) -> None:
    """Grace, then SIGKILL by the kubelet, then CANCELLED: never before nothing runs any more."""
    kube.apply(flow_run("deaf", template=container(*DEAF, grace=2)))
    kube.reaches("deaf", "RUNNING")
    kube.patch("fr", "deaf", {"spec": {"cancel": True}})
    run = kube.ended("deaf")
    assert names(run) == ["Scheduled", "Pending", "Running", "Cancelling", "Cancelled"]
    api.agrees_with(run)


def test_cancel_over_rest(kube: Kube, api: Api) -> None:
    """The API writes the wish, the operator fulfils it."""
    kube.apply(flow_run("by-rest", template=container(*SLEEPS)))
    run = kube.reaches("by-rest", "RUNNING")
    api.mirrored(run)
    assert api.client.post(f"/flow-runs/{run['metadata']['uid']}/cancel").status_code == 202
    run = kube.ended("by-rest")
    assert run["status"]["state"]["type"] == "CANCELLED"
    again = api.client.post(f"/flow-runs/{api.mirrored(run)['uid']}/cancel")
    assert (again.status_code, again.headers["content-type"]) == (409, "application/problem+json")


def test_a_run_is_suspended_and_resumed(kube: Kube, api: Api) -> None:
    """Suspending stops the pod and costs no retry; resuming starts another attempt."""
    kube.apply(flow_run("pausing", template=container("sh", "-c", 'if [ "$MINTAKA_ATTEMPT" = 1 ]; then sleep 300; fi', grace=1)))
    kube.reaches("pausing", "RUNNING")
    kube.patch("fr", "pausing", {"spec": {"suspend": True}})
    kube.wait("fr/pausing", "condition=Suspended")
    kube.patch("fr", "pausing", {"spec": {"suspend": False}})
    run = kube.ended("pausing")
    assert names(run) == ["Scheduled", "Pending", "Running", "Suspended", "Scheduled", "Pending", "Running", "Completed"]
    assert (run["status"]["attempt"], run["status"]["crashes"], run["status"]["failures"]) == (2, 0, 0)
    kube.wait("fr/pausing", "condition=Suspended=false")
    api.agrees_with(run)


def test_a_run_that_is_created_suspended_does_not_start(kube: Kube) -> None:
    """Until its owner lets it."""
    kube.apply(flow_run("held", template=container("true"), suspend=True))
    run = kube.reaches("held", "PAUSED")
    assert names(run) == ["Scheduled", "Suspended"]
    assert kube.items("pods") == []
    kube.patch("fr", "held", {"spec": {"suspend": False}})
    assert kube.ended("held")["status"]["state"]["type"] == "COMPLETED"


def test_a_deleted_run_is_stopped_and_its_history_kept(kube: Kube, api: Api) -> None:
    """Delete means cancel and record: pod gone, resource gone, the database knows all of it."""
    kube.apply(flow_run("doomed", template=container(*SLEEPS)))
    run = kube.reaches("doomed", "RUNNING")
    kube("delete", "fr", "doomed", "--timeout=60s")
    kube.wait("pod/doomed-1", "delete")
    kept = api.get(f"/flow-runs/{run['metadata']['uid']}")
    assert (kept["state"]["type"], kept["name"]) == ("CANCELLED", "doomed")
    kept = eventually(
        lambda: (found := api.get(f"/flow-runs/{run['metadata']['uid']}"))["deleted"] and found, "the deletion in the database"
    )
    rows = api.get(f"/flow-runs/{run['metadata']['uid']}/transitions")["items"]
    assert [row["name"] for row in rows] == ["Scheduled", "Pending", "Running", "Cancelling", "Cancelled"]


def test_runs_in_two_namespaces_do_not_meet(kube: Kube, shared_kube: Kube, api: Api) -> None:
    """The same names in both; each ends by itself."""
    for place, exit_code in ((kube, 0), (shared_kube, 1)):
        place.apply(flow_deployment("same", **container("sh", "-c", f"exit {exit_code}")), flow_run("same", deployment="same"))
    mine, other = kube.ended("same"), shared_kube.ended("same")
    assert (mine["status"]["state"]["type"], other["status"]["state"]["type"]) == ("COMPLETED", "FAILED")
    api.agrees_with(mine)
    api.agrees_with(other)
    [found] = api.items("/flow-runs", namespace=kube.namespace)
    assert found["uid"] == mine["metadata"]["uid"]


def test_events_tell_of_a_crash(kube: Kube) -> None:
    """`kubectl describe` shows what happened."""
    kube.apply(flow_run("bang", template=container("sh", "-c", "exit 139")))
    kube.ended("bang")
    found = eventually(lambda: [event for event in kube.items("events") if event["involvedObject"]["kind"] == "FlowRun"], "the event")
    assert [(event["reason"], event["type"]) for event in found] == [("Crashed", "Warning")]
    assert "SegmentationFault" in found[0]["message"]
    assert "SegmentationFault" in kube("describe", "fr", "bang")
