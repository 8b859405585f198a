"""What pods may look like and what befalls them on a real node: many containers, sidecars, gates, children killed for memory.

All runs are created at once; each test waits for its own.
"""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from kube import container, eventually, flow_run, names, python_flow
from mintaka_operator.diagnosis import diagnose

if TYPE_CHECKING:
    from kube import Kube

GATE_SECONDS, PENDING_SECONDS = 40, 25
IMAGE = {"image": "localhost/mintaka-flow:dev", "imagePullPolicy": "IfNotPresent"}

RAISES = """
from mintaka import flow

@flow
def main():
    raise ValueError("why " * 2000)
"""
READS_ITS_SOURCE = """
from mintaka import flow

@flow
def main():
    text = open(__file__, encoding="utf-8").read()
    assert text.endswith("# the end\\n"), text[-100:]
    assert text.count("漢") >= 20_000
"""
LOSES_A_CHILD = """
import subprocess
import sys
from mintaka import flow

@flow
def main(copes: bool = False):
    child = subprocess.run([sys.executable, "-c", "bytearray(600 * 2**20)"], check=False)
    if not copes:
        raise ValueError(f"the child ended with {child.returncode}")
"""
COMPLETES = """
from mintaka import flow

@flow
def main():
    pass
"""

#: Starts twice in vain and the third time for good; what it needs to remember is in a volume of its own.
STUBBORN = "for n in 1 2; do if [ ! -e /state/$n ]; then touch /state/$n; exit 1; fi; done; touch /state/up; sleep 300"


def sidecar(name: str, *command: str, **more: Any) -> dict[str, Any]:
    """A container beside the flow."""
    return {"name": name, **IMAGE, "command": list(command), **more}


def many() -> dict[str, Any]:
    """A pod of a dozen containers, two of them initial."""
    first = [sidecar(f"i{number}", "true") for number in range(2)]
    beside = [sidecar(f"s{number}", "sleep", "300") for number in range(9)]
    return {"spec": {"terminationGracePeriodSeconds": 1, "initContainers": first, "containers": [{"name": "flow"}, *beside]}}


def restarting() -> dict[str, Any]:
    """A pod with a native sidecar that comes up at its third start."""
    proxy = sidecar(
        "proxy",
        *("sh", "-c", STUBBORN),
        restartPolicy="Always",
        volumeMounts=[{"name": "state", "mountPath": "/state"}],
        startupProbe={"exec": {"command": ["test", "-e", "/state/up"]}, "periodSeconds": 1, "failureThreshold": 120},
    )
    return {"spec": {"volumes": [{"name": "state", "emptyDir": {}}], "initContainers": [proxy]}}


def limited(mebibytes: int) -> dict[str, Any]:
    """A pod whose flow may use so much memory."""
    return {"spec": {"containers": [{"name": "flow", "resources": {"limits": {"memory": f"{mebibytes}Mi"}}}]}}


def loses_a_child(script: str) -> dict[str, Any]:
    """A plain container in which a child is killed for memory."""
    plain = container("sh", "-c", f"python -c 'bytearray(600 * 2**20)'; {script}")
    plain["podTemplate"]["spec"]["containers"][0]["resources"] = {"limits": {"memory": "64Mi"}}
    return plain


def plain(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A template without an entrypoint."""
    return {"podTemplate": {"spec": {"terminationGracePeriodSeconds": 2, "containers": list(containers), **spec}}}


RUNS: dict[str, dict[str, Any]] = {
    "many": python_flow(RAISES, podTemplate=many()),
    "wide": python_flow(READS_ITS_SOURCE + "\n# " + "漢" * 20_500 + "\n# the end\n"),
    "deep": {**python_flow(COMPLETES), "entrypoint": "jobs/nightly/flow.py:main"},
    "restarting": python_flow(COMPLETES, podTemplate=restarting()),
    "gated": python_flow(COMPLETES, pendingTimeoutSeconds=PENDING_SECONDS, podTemplate={"spec": {"schedulingGates": [{"name": "example.com/queue"}]}}),
    "gated-for-ever": python_flow(COMPLETES, podTemplate={"spec": {"schedulingGates": [{"name": "example.com/queue"}]}}),
    "memory-raises": python_flow(LOSES_A_CHILD, podTemplate=limited(300)),
    "memory-copes": python_flow(LOSES_A_CHILD, podTemplate=limited(300), parameters={"copes": True}),
    "memory-fails": loses_a_child("exit 1"),
    "memory-survives": loses_a_child("exit 0"),
    "memory-ends": loses_a_child("exit $?"),
    "named": plain(sidecar("crunch", "sh", "-c", "echo crunched; exit 3")),
    "nameless": plain(sidecar("crunch", "true"), sidecar("other", "true")),
    "strange-grace": plain({"name": "flow", **IMAGE, "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 300 & wait"]}, sidecar("deaf", "sleep", "300"), terminationGracePeriodSeconds=2**63 - 1),
    "anybody": python_flow(COMPLETES, podTemplate={"spec": {"securityContext": {"runAsUser": 1000670000, "runAsGroup": 0, "fsGroup": 1000670000}}}),
}  # fmt: skip


@pytest.fixture(scope="module")
def started(shared_kube: Kube) -> Kube:
    """A namespace in which all of them run."""
    shared_kube.apply(*(flow_run(name, template=template) for name, template in RUNS.items()))
    return shared_kube


def end_of(kube: Kube, name: str) -> tuple[str, str, str]:
    """Type, reason and message of a run's last state."""
    state = kube.ended(name, 180)["status"]["state"]
    return state["type"], state.get("reason", ""), state.get("message", "")


class TestContainers:
    def test_a_report_survives_a_dozen_containers(self, started: Kube) -> None:
        kind, reason, message = end_of(started, "many")
        assert (kind, reason) == ("FAILED", "ValueError")
        assert message.startswith("why why ")
        assert message.endswith(" […]")

    def test_a_native_sidecar_may_take_several_starts_to_come_up(self, started: Kube) -> None:
        assert end_of(started, "restarting")[:2] == ("COMPLETED", "")

    def test_the_only_container_is_the_flow_whatever_it_is_called(self, started: Kube) -> None:
        assert end_of(started, "named") == ("FAILED", "NonZeroExit", "exit code 3: crunched")
        containers = started.get("pod", "named-1")["spec"]["containers"]
        assert [one["name"] for one in containers] == ["crunch"]

    def test_of_several_containers_one_must_be_called_flow(self, started: Kube) -> None:
        kind, reason, message = end_of(started, "nameless")
        assert (kind, reason) == ("FAILED", "InvalidTemplate")
        assert "'crunch', 'other'" in message

    def test_any_user_of_group_0_can_run_a_flow(self, started: Kube) -> None:
        assert end_of(started, "anybody")[:2] == ("COMPLETED", "")


class TestSources:
    @pytest.mark.parametrize("name", ["wide", "deep"])
    def test_source_travels_as_a_file(self, started: Kube, name: str) -> None:
        assert end_of(started, name)[:2] == ("COMPLETED", "")


class TestMemory:
    @pytest.mark.parametrize(
        ("name", "kind", "reason"),
        [
            ("memory-raises", "FAILED", "ValueError"),
            ("memory-copes", "COMPLETED", ""),
            ("memory-fails", "FAILED", "NonZeroExit"),
            ("memory-survives", "COMPLETED", ""),
        ],
    )
    def test_a_child_killed_for_memory_leaves_the_verdict_to_the_flow(self, started: Kube, name: str, kind: str, reason: str) -> None:
        assert end_of(started, name)[:2] == (kind, reason)
        assert "a process in this pod was killed for memory (container flow)" in end_of(started, name)[2]

    def test_a_shell_that_ends_with_its_childs_code_was_killed_for_memory(self, started: Kube) -> None:
        kind, reason, message = end_of(started, "memory-ends")
        assert (kind, reason) == ("CRASHED", "OOMKilled")
        assert "raise the memory limit of container flow" in message


class TestGates:
    def test_the_pending_clock_starts_when_the_last_gate_goes(self, started: Kube) -> None:
        started.wait("fr/gated", "jsonpath={.status.state.reason}=SchedulingGated", 30)
        created = datetime.fromisoformat(started.get("fr", "gated")["metadata"]["creationTimestamp"])
        while datetime.now(created.tzinfo) < created + timedelta(seconds=GATE_SECONDS):
            assert started.get("fr", "gated")["status"]["state"]["reason"] == "SchedulingGated"
            time.sleep(1)
        started("patch", "pod", "gated-1", "--type=json", "-p", '[{"op": "remove", "path": "/spec/schedulingGates"}]')
        assert end_of(started, "gated")[:2] == ("COMPLETED", "")

    def test_a_gated_run_is_cancelled_at_once(self, started: Kube) -> None:
        started.wait("fr/gated-for-ever", "jsonpath={.status.state.reason}=SchedulingGated", 30)
        started.patch("fr", "gated-for-ever", {"spec": {"cancel": True}})
        assert end_of(started, "gated-for-ever")[0] == "CANCELLED"


class TestDeletions:
    def test_no_grace_period_is_too_long_to_be_judged(self, started: Kube) -> None:
        started.reaches("strange-grace", "RUNNING", 90)
        started.patch("fr", "strange-grace", {"spec": {"cancel": True}})
        assert end_of(started, "strange-grace")[0] == "CANCELLED"


class TestSecondStarts:
    def test_a_container_that_is_started_again_does_no_work_twice(self, shared_kube: Kube) -> None:
        """No node is reset here: a pod of ours is created once more by hand, with a policy that restarts it."""
        kube = shared_kube
        source = "import os\nfrom mintaka import flow\n\n@flow\ndef main():\n    print('work is done', flush=True)\n    os._exit(137)\n"
        kube.apply(flow_run("first", template=python_flow(source)))
        kube.ended("first", 120)
        pod = kube.get("pod", "first-1")
        spec = {key: value for key, value in pod["spec"].items() if key not in {"nodeName", "restartPolicy"}}
        labels = {"mintaka.dev/reports": "true", "mintaka.dev/attempt": "1"}
        again = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "again", "labels": labels, "annotations": pod["metadata"]["annotations"]},
        }
        kube.apply({**again, "spec": {**spec, "restartPolicy": "OnFailure"}})

        def second_end() -> dict[str, Any] | None:
            (status,) = kube.get("pod", "again")["status"].get("containerStatuses") or [{}]
            end = status.get("state", {}).get("terminated") or status.get("lastState", {}).get("terminated")
            return end if end and status["restartCount"] >= 1 and end["exitCode"] != 137 else None

        end = eventually(second_end, "the second start to end", 90)
        assert end["exitCode"] == 4
        report = json.loads(end["message"])
        assert (report["type"], report["reason"], report["historyComplete"]) == ("CRASHED", "ContainerRestarted", False)
        assert "work is done" not in kube("logs", "again")


HELD = {
    "done": ("exit 0", "delete", ("COMPLETED", ""), True),
    "failed": ("exit 3", "evict", ("FAILED", "NonZeroExit"), True),
    "segfault": ("exit 139", "evict", ("CRASHED", "SegmentationFault"), True),
    "obeys": ("trap 'exit 0' TERM; sleep 300 & wait", "delete", ("CRASHED", "PodDeleted"), False),
    "deaf": ("sleep 300", "delete", ("CRASHED", "PodDeleted"), False),
    "drained": ("trap 'exit 1' TERM; sleep 300 & wait", "evict", ("CRASHED", "Drained"), False),
}


def create_held(kube: Kube, name: str, script: str, **spec: Any) -> None:
    """Create a pod that is held as those of runs are, and that no operator looks at."""
    flow = {"name": "flow", **IMAGE, "command": ["sh", "-c", script]}
    metadata = {"name": f"held-{name}", "finalizers": ["mintaka.dev/attempt"]}
    pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 3, "containers": [flow], **spec}
    kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})


def remove_held(kube: Kube, name: str, how: str) -> None:
    """Delete such a pod, or evict it."""
    if how == "delete":
        kube("delete", "pod", f"held-{name}", "--wait=false")
        return
    metadata = {"name": f"held-{name}", "namespace": kube.namespace}
    eviction = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata})
    kube("create", "--raw", f"/api/v1/namespaces/{kube.namespace}/pods/held-{name}/eviction", "-f", "-", stdin=eviction)


@pytest.fixture(scope="module")
def held(shared_kube: Kube) -> dict[str, dict[str, Any]]:
    """The pods as they are in the end, and two whose end no kubelet writes."""
    kube = shared_kube
    for name, (script, *_) in HELD.items():
        create_held(kube, name, script)
    create_held(kube, "force", "sleep 300")
    create_held(kube, "unbound", "true", nodeSelector={"no-such": "node"})
    for name, (_, _, _, over) in HELD.items():
        kube.wait(
            f"pod/held-{name}", "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}" if over else "condition=Ready", 60
        )
    kube.wait("pod/held-force", "condition=Ready", 60)
    for name, (_, how, *_) in HELD.items():
        remove_held(kube, name, how)
    kube("delete", "pod", "held-unbound", "--wait=false")
    kube("delete", "pod", "held-force", "--force", "--grace-period=0", "--wait=false")
    seen = {name: kube.get("pod", f"held-{name}") for name in ("force", "unbound")}
    for name in HELD:
        kube.wait(f"pod/held-{name}", "jsonpath={.metadata.deletionGracePeriodSeconds}=0", 60)
        seen[name] = kube.get("pod", f"held-{name}")
    for name in seen:
        kube.patch("pod", f"held-{name}", {"metadata": {"finalizers": None}})
    return seen


class TestHeldPods:
    """What the API server and the kubelet make of a held pod that is deleted, by which its verdict stands."""

    @pytest.mark.parametrize("name", HELD)
    def test_its_verdict_is_that_of_its_own_end_or_of_the_deletion(self, held: dict[str, dict[str, Any]], name: str) -> None:
        _, _, verdict, over = HELD[name]
        seen = diagnose(held[name])
        assert seen.end
        assert (seen.end.type, seen.end.reason) == verdict
        assert (seen.alive, seen.held, seen.deleted, seen.ended_unasked) == (False, True, True, over)

    @pytest.mark.parametrize(("name", "reason"), [("force", "ForceDeleted"), ("unbound", "PodDeleted")])
    def test_a_pod_whose_end_no_kubelet_writes_has_ended(self, held: dict[str, dict[str, Any]], name: str, reason: str) -> None:
        seen = diagnose(held[name])
        assert seen.end
        assert (seen.alive, seen.held, seen.end.type, seen.end.reason) == (False, True, "CRASHED", reason)


def test_every_run_passed_through_the_usual_states(started: Kube) -> None:
    """None of them was tried again, or skipped a state."""
    for name in ("many", "wide", "memory-raises", "memory-copes", "named", "anybody"):
        assert names(started.ended(name, 180))[:3] == ["Scheduled", "Pending", "Running"]
