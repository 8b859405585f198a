"""No end of a pod is lost: whoever deletes it, and however long the operator is away, its end is recorded before it goes."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from kube import Kube, container, entered, eventually, flow_deployment, flow_run, kubectl

if TYPE_CHECKING:
    from collections.abc import Iterator

CRASHES_ONCE = {"onCrash": {"limit": 1, "backoff": {"delaySeconds": 0, "jitter": 0}}}
UNPLAYED = "node-without-kubelet-ends"


@contextlib.contextmanager
def away(system: str) -> Iterator[None]:
    """The installed operator is away for as long as the block lasts."""
    kubectl("--namespace", system, "scale", "deployment/mintaka-operator", "--replicas=0")
    kubectl("--namespace", system, "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=operator", "--timeout=60s")
    try:
        yield
    finally:
        kubectl("--namespace", system, "scale", "deployment/mintaka-operator", "--replicas=1")
        kubectl("--namespace", system, "rollout", "status", "deployment/mintaka-operator", "--timeout=120s")


def gone(kube: Kube, pod: str, seconds: float = 60) -> None:
    """Wait until a pod is gone: nothing holds it any more."""
    eventually(lambda: not kube("get", "pod", pod, "--ignore-not-found", "-o", "name"), f"the end of pod {pod}", seconds=seconds)


def phase(kube: Kube, pod: str, wanted: str, seconds: float = 60) -> None:
    """Wait for a pod's phase."""
    eventually(lambda: kube.get("pod", pod)["status"].get("phase") == wanted, f"pod {pod} {wanted}", seconds=seconds)


def reason(run: dict[str, Any]) -> tuple[str, str, int]:
    """State, reason and attempt of a run."""
    return run["status"]["state"]["type"], run["status"]["state"].get("reason", ""), run["status"]["attempt"]


def test_a_pod_deleted_before_it_was_bound_is_a_crash(kube: Kube) -> None:
    """Nothing ever ran; the next attempt starts, and the first pod is let go."""
    nowhere = {"nodeSelector": {"nobody": "has-this"}}
    template = container("true")
    template["podTemplate"]["spec"] |= nowhere
    kube.apply(flow_run("unbound", template={**template, "retries": CRASHES_ONCE}))
    eventually(lambda: kube("get", "pod", "unbound-1", "--ignore-not-found", "-o", "name"), "pod unbound-1")
    kube("delete", "pod", "unbound-1", "--wait=false")
    gone(kube, "unbound-1")
    eventually(lambda: kube("get", "pod", "unbound-2", "--ignore-not-found", "-o", "name"), "pod unbound-2")
    kube("delete", "pod", "unbound-2", "--wait=false")
    assert reason(kube.ended("unbound")) == ("CRASHED", "PodDeleted", 2)
    gone(kube, "unbound-2")


def test_a_pod_deleted_while_it_runs_is_a_crash_and_runs_again(kube: Kube) -> None:
    """It has its grace period, and is gone before long."""
    kube.apply(flow_run("deleted", template={**container("sh", "-c", "sleep 8"), "retries": CRASHES_ONCE}))
    kube.reaches("deleted", "RUNNING")
    kube("delete", "pod", "deleted-1", "--wait=false")
    run = kube.ended("deleted")
    assert reason(run) == ("COMPLETED", "", 2)
    assert [transition["reason"] for transition in entered(run) if transition["name"] == "AwaitingRetry"] == ["PodDeleted"]
    gone(kube, "deleted-1")


def test_a_pod_that_completes_within_its_grace_period_has_completed(kube: Kube) -> None:
    """A flow that finishes its work when it is asked to stop has finished it; a report says so."""
    code = "import signal, sys, time\nfrom mintaka import flow\n\n@flow\ndef main():\n    time.sleep(3)\n    return 1\n"
    template = {"entrypoint": "flow.py:main", "source": {"inline": code}, "retries": CRASHES_ONCE}
    kube.apply(flow_run("finishes", template=template))
    kube.reaches("finishes", "RUNNING")
    phase(kube, "finishes-1", "Succeeded")
    kube("delete", "pod", "finishes-1", "--wait=false")
    assert reason(kube.ended("finishes")) == ("COMPLETED", "", 1)
    gone(kube, "finishes-1")


@pytest.mark.timeout(400)
def test_what_ended_and_was_deleted_while_the_operator_was_away_is_not_done_again(kube: Kube, installed: str) -> None:
    """A completed pod deleted by hand, one that failed and was evicted from view, one deleted by force: each end is read when it is back."""
    retries = {"onCrash": CRASHES_ONCE["onCrash"], "onFailure": CRASHES_ONCE["onCrash"]}
    kube.apply(
        flow_run("done", template={**container("sh", "-c", "sleep 4"), "retries": retries}),
        flow_run("bad", template={**container("sh", "-c", "sleep 4; exit 3"), "retries": {"onCrash": CRASHES_ONCE["onCrash"]}}),
    )
    for name in ("done", "bad"):
        kube.reaches(name, "RUNNING")
    with away(installed):
        phase(kube, "done-1", "Succeeded")
        phase(kube, "bad-1", "Failed")
        kube("delete", "pod", "done-1", "bad-1", "--wait=false")
        time.sleep(5)
        assert kube.get("pod", "done-1")["metadata"]["finalizers"] == ["mintaka.dev/attempt"]
    assert reason(kube.ended("done")) == ("COMPLETED", "", 1)
    assert reason(kube.ended("bad")) == ("FAILED", "NonZeroExit", 1)
    for pod in ("done-1", "bad-1"):
        gone(kube, pod)
    assert not kube("get", "pods", "-o", "name", "--field-selector=metadata.name=done-2")


def test_a_pod_deleted_by_force_is_a_crash_that_does_not_claim_to_know(kube: Kube) -> None:
    """The reason says so; the next attempt runs all the same."""
    kube.apply(flow_run("forced", template={**container("sh", "-c", "sleep 6"), "retries": CRASHES_ONCE}))
    kube.reaches("forced", "RUNNING")
    kube("delete", "pod", "forced-1", "--force", "--grace-period=0")
    run = kube.ended("forced")
    assert reason(run) == ("COMPLETED", "", 2)
    crash = next(transition for transition in entered(run) if transition["name"] == "AwaitingRetry")
    assert crash["reason"] == "ForceDeleted"
    assert "not known" in crash["message"]
    gone(kube, "forced-1")


@pytest.fixture
def unplayed() -> Iterator[str]:
    """A Node object that no kubelet stands behind. As a fake node it is waited for by no one, and swept up."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": UNPLAYED, "labels": {"type": "kwok"}}, "spec": {"unschedulable": True}}
    kubectl("apply", "-f", "-", stdin=json.dumps(node))
    yield UNPLAYED
    kubectl("delete", "node", UNPLAYED, "--ignore-not-found", "--wait=false")


def _running_on(kube: Kube, name: str, node: str) -> None:
    """A run whose pod says that it runs, on a node that does not exist as a machine."""
    template = container("sleep", "600")
    template["podTemplate"]["spec"]["nodeName"] = node
    kube.apply(flow_run(name, template=template))
    eventually(lambda: kube("get", "pod", f"{name}-1", "--ignore-not-found", "-o", "name"), f"pod {name}-1")
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    running = {"name": "flow", "image": "x", "imageID": "", "ready": True, "restartCount": 0, "state": {"running": {"startedAt": started}}}
    kube(
        "patch",
        "pod",
        f"{name}-1",
        "--subresource=status",
        "--type=merge",
        "-p",
        json.dumps({"status": {"phase": "Running", "containerStatuses": [running]}}),
    )
    kube.reaches(name, "RUNNING")


@pytest.mark.parametrize("how", ["the Node object is deleted", "the Node is tainted out-of-service"])
def test_a_node_that_is_gone_ends_what_ran_on_it(kube: Kube, unplayed: str, how: str) -> None:
    """At once, not after the minutes that a lost node is waited for."""
    _running_on(kube, "lost", unplayed)
    if "deleted" in how:
        kubectl("delete", "node", unplayed)
    else:
        kubectl("taint", "node", unplayed, "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute")
    run = kube.ended("lost", seconds=60)
    assert reason(run)[:2] == ("CRASHED", "NodeLost")
    gone(kube, "lost-1", seconds=120)


@pytest.mark.timeout(400)
def test_a_drain_of_the_node_that_runs_the_operator_repeats_no_finished_work(kube: Kube, installed: str) -> None:
    """Operator and pods are evicted at the same moment; what had finished stays finished, what ran starts again."""
    kube.apply(flow_run("finished", template={**container("true"), "retries": CRASHES_ONCE}))
    kube.ended("finished")
    kube.apply(flow_run("drained", template={**container("sh", "-c", "sleep 10"), "retries": CRASHES_ONCE}))
    kube.reaches("drained", "RUNNING")
    operator = kubectl("--namespace", installed, "get", "pods", "-l", "app.kubernetes.io/component=operator", "-o", "name").split()[0]
    for namespace, pod in ((installed, operator.removeprefix("pod/")), (kube.namespace, "drained-1"), (kube.namespace, "finished-1")):
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
        kubectl("create", "--raw", f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction", "-f", "-", stdin=json.dumps(eviction))
    kubectl("--namespace", installed, "rollout", "status", "deployment/mintaka-operator", "--timeout=120s")
    run = kube.ended("drained", seconds=120)
    assert reason(run) == ("COMPLETED", "", 2)
    assert [transition["reason"] for transition in entered(run) if transition["name"] == "AwaitingRetry"] == ["Drained"]
    assert reason(kube.get("fr", "finished")) == ("COMPLETED", "", 1)
    gone(kube, "finished-1")


@pytest.mark.timeout(400)
def test_a_namespace_deleted_while_the_operator_is_away_goes_when_it_is_back(installed: str) -> None:
    """Its pods and runs are held meanwhile; then everything is recorded and let go."""
    name = f"t-terminating-{int(time.time())}"
    kubectl("create", "namespace", name)
    kubectl("label", "namespace", name, "mintaka.dev/leftover=test")
    kube = Kube(name)
    kube.apply(flow_run("ended", template=container("true")), flow_run("going-on", template=container("sleep", "600")))
    kube.ended("ended")
    kube.reaches("going-on", "RUNNING")
    with away(installed):
        kubectl("delete", "namespace", name, "--wait=false")
        time.sleep(20)
        assert "Terminating" in kubectl("get", "namespace", name)
    kubectl("wait", "--for=delete", f"namespace/{name}", "--timeout=120s", seconds=130)


def test_a_deployment_is_deleted_with_its_runs_and_their_pods(kube: Kube) -> None:
    """Foreground deletion waits for all of them; each is let go in its turn."""
    kube.apply(flow_deployment("short", **container("sh", "-c", "sleep 30")))
    owner = kube.get("fd", "short")["metadata"]
    run = flow_run("owned", deployment="short")
    run["metadata"]["ownerReferences"] = [
        {"apiVersion": "mintaka.dev/v1alpha1", "kind": "FlowDeployment", "name": "short", "uid": owner["uid"], "blockOwnerDeletion": True}
    ]
    kube.apply(run)
    kube.reaches("owned", "RUNNING")
    kube("delete", "fd", "short", "--cascade=foreground", "--timeout=90s", seconds=100)
    gone(kube, "owned-1")
