"""The failure table through a real API server: pods that no node ever takes are given the status that a node would write.

Each example of `pod_signs` becomes a run of its own. All of them are played first; each test waits for its own.
"""

from __future__ import annotations

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from kube import Kube, entered, eventually, flow_run, names
from mintaka_core.states import COMPLETED
from mintaka_operator.diagnosis import diagnose
from pod_signs import ASKED, CASES, GRACE_SECONDS, PRECEDENCE, Case, flow, pod, refused, report, running

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Pods that are deleted stay for a while, as their node has to stop them. This one exists, or the pod garbage collector would end them.
NOWHERE = "node-without-kubelet"
EXAMPLES = {f"x{number}": case for number, case in enumerate((*CASES, *PRECEDENCE)) if not case.never_ran}
ENDING = {name: case for name, case in EXAMPLES.items() if case.end}
WAITING = {name: case for name, case in EXAMPLES.items() if not case.end and diagnose(pod(case)).started_time is None}
GOING_ON = {name: case for name, case in EXAMPLES.items() if not case.end and name not in WAITING}
PENDING_SECONDS = 30


def template(case: Case) -> dict[str, Any]:
    """What such a run runs, on no node."""
    spec: dict[str, Any] = {"schedulerName": "nobody", "containers": [{"name": "flow", "image": "sales:3"}]}
    spec |= {"nodeName": NOWHERE} if case.deleted else {}
    for kind, containers in case.spec.items():
        spec[kind] = [{"image": "sales:3", **container} for container in containers]
    waits = case.end is None and diagnose(pod(case)).started_time is None
    sdk = {"entrypoint": "sales:main"} if case.sdk else {}
    return {**sdk, "pendingTimeoutSeconds": PENDING_SECONDS if waits else 600, "podTemplate": {"spec": spec}}


def moved(status: dict[str, Any], asked: datetime) -> dict[str, Any]:
    """The status with its times moved, so that somebody asked the pod to stop at `asked`."""
    shift = asked - datetime.fromisoformat(ASKED)

    def move(match: re.Match[str]) -> str:
        return (datetime.fromisoformat(match[0]) + shift).strftime("%Y-%m-%dT%H:%M:%SZ")

    return dict(json.loads(re.sub(ASKED[:11] + r"\d\d:\d\d:\d\dZ", move, json.dumps(status))))


def show(kube: Kube, pod_name: str, status: dict[str, Any]) -> None:
    """Write a pod's status as its node would; the QoS class is the API server's."""
    status = {key: value for key, value in status.items() if key != "qosClass"}
    kube("patch", "pod", pod_name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


def created(kube: Kube, pod_name: str) -> None:
    """Wait for a pod."""
    eventually(lambda: kube("get", "pod", pod_name, "--ignore-not-found", "-o", "name"), f"pod {pod_name}", seconds=60)


def play(kube: Kube, name: str, case: Case) -> None:
    """Let the pod of a run show what the example says."""
    kube.apply(flow_run(name, template=template(case)))
    pod_name = f"{name}-1"
    created(kube, pod_name)
    asked = datetime.now(UTC)
    if case.deleted:
        kube("delete", "pod", pod_name, "--wait=false")
        asked = datetime.fromisoformat(kube.get("pod", pod_name)["metadata"]["deletionTimestamp"]) - timedelta(seconds=GRACE_SECONDS)
    show(kube, pod_name, moved(case.status, asked))


@pytest.fixture(scope="module")
def node_without_kubelet() -> Iterator[None]:
    """A Node object that no kubelet stands behind; nothing is scheduled to it. As a fake node it is waited for by no one, and swept up."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NOWHERE, "labels": {"type": "kwok"}}, "spec": {"unschedulable": True}}
    subprocess.run(["kubectl", "apply", "-f", "-"], input=json.dumps(node), text=True, check=True, capture_output=True)
    yield
    subprocess.run(["kubectl", "delete", "node", NOWHERE, "--wait=false"], check=True, capture_output=True)


@pytest.fixture(scope="module")
def played(shared_kube: Kube, node_without_kubelet: None) -> Kube:  # noqa: ARG001 - pods are bound to it
    """A namespace in which every example has been played."""
    kube = shared_kube
    with ThreadPoolExecutor(4) as pool:
        # Those that wait have a deadline: they come first.
        list(pool.map(lambda name: play(kube, name, EXAMPLES[name]), [*WAITING, *GOING_ON, *ENDING]))
    return kube


class TestExamples:
    @pytest.mark.parametrize("name", ENDING, ids=lambda name: str(ENDING[name]))
    def test_a_run_ends_as_its_pod_shows(self, played: Kube, name: str) -> None:
        case = ENDING[name]
        run = played.ended(name)
        state = run["status"]["state"]
        assert case.end == (state["type"], state.get("reason", ""))
        assert case.says in state["message"]
        ran = ["Running"] if diagnose(pod(case)).started_time else []
        assert names(run) == ["Scheduled", "Pending", *ran, state["name"]]
        assert [transition["sequence"] for transition in run["status"]["transitions"]] == list(range(1, run["status"]["sequence"] + 1))

    @pytest.mark.parametrize("name", GOING_ON, ids=lambda name: str(GOING_ON[name]))
    def test_a_run_goes_on_as_long_as_its_flow(self, played: Kube, name: str) -> None:
        run = eventually(lambda: found if len(names(found := played.get("fr", name))) > 2 else None, f"{name} runs")
        assert names(run)[:3] == ["Scheduled", "Pending", "Running"]

    @pytest.mark.parametrize("name", WAITING, ids=lambda name: str(WAITING[name]))
    def test_a_run_that_does_not_start_says_why_and_ends_for_it(self, played: Kube, name: str) -> None:
        case = WAITING[name]
        run = played.ended(name, PENDING_SECONDS + 60)
        reason = case.start_issue[0] if case.start_issue else "PendingTimeout"
        assert (run["status"]["state"]["type"], run["status"]["state"]["reason"]) == ("CRASHED", reason)
        assert case.says in run["status"]["state"]["message"]
        transitions = entered(run)
        issue = ["Pending"] if case.start_issue else []
        assert names(run) == ["Scheduled", "Pending", *issue, "PendingTimeout", "Crashed"], "the reason is recorded before the stop"
        assert transitions[2]["reason"] == transitions[-2]["reason"] == reason
        assert transitions[-1]["rule"] == "time_out_pending"
        created = datetime.fromisoformat(transitions[1]["time"])
        lasted = datetime.fromisoformat(transitions[-1]["time"]) - created
        assert (lasted < timedelta(seconds=PENDING_SECONDS - 2)) == (case.start_issue is not None and case.start_issue[1] == 0)


class TestRetries:
    def test_a_pod_that_never_ran_is_tried_again_at_nobodys_expense(self, shared_kube: Kube) -> None:
        kube = shared_kube
        kube.apply(flow_run("refused", template=template(Case("", "", {}))))
        for attempt in (1, 2):
            created(kube, f"refused-{attempt}")
            show(kube, f"refused-{attempt}", refused("OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu"))
        created(kube, "refused-3")
        show(
            kube,
            "refused-3",
            moved(
                flow({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": ASKED, "finishedAt": ASKED}}, "Succeeded"),
                datetime.now(UTC),
            ),
        )
        run = kube.ended("refused")
        assert run["status"]["state"]["type"] == COMPLETED
        assert names(run) == ["Scheduled", *["Pending", "AwaitingRetry"] * 2, "Pending", "Running", "Completed"]
        assert [run["status"].get(counter, 0) for counter in ("rejections", "crashes", "failures")] == [2, 0, 0]
        assert {transition["rule"] for transition in entered(run) if transition["name"] == "AwaitingRetry"} == {"retry_what_never_ran"}

    def test_crashes_and_failures_draw_on_budgets_of_their_own(self, shared_kube: Kube) -> None:
        kube = shared_kube
        once = {"limit": 1, "backoff": {"delaySeconds": 0.1, "factor": 1}}
        sdk = template(Case("", "", {}, sdk=True))
        kube.apply(flow_run("budgets", template={**sdk, "retries": {"onFailure": once, "onCrash": once}}))
        ends = [(137, "OOMKilled", ""), (1, "Error", "ValueError"), (1, "Error", "ValueError")]
        for attempt, (code, reason, error) in enumerate(ends, start=1):
            created(kube, f"budgets-{attempt}")
            told = {"message": report("FAILED", error, attempt=attempt)} if error else {}  # type: ignore[arg-type]
            ended = {"terminated": {"exitCode": code, "reason": reason, "startedAt": ASKED, "finishedAt": ASKED, **told}}
            show(kube, f"budgets-{attempt}", moved(flow(ended), datetime.now(UTC)))
        run = kube.ended("budgets")
        assert (run["status"]["state"]["type"], run["status"]["state"]["reason"]) == ("FAILED", "ValueError")
        assert [run["status"].get(counter, 0) for counter in ("rejections", "crashes", "failures")] == [0, 1, 1]
        rules = [transition.get("rule", "") for transition in entered(run) if transition["name"] == "AwaitingRetry"]
        assert rules == ["retry_crashed", "retry_failed"]

    def test_a_verdict_of_the_template_turns_a_crash_into_a_failure(self, shared_kube: Kube) -> None:
        kube = shared_kube
        kube.apply(flow_run("overruled", template={**template(Case("", "", {})), "verdicts": {"OOMKilled": "FAILED"}}))
        created(kube, "overruled-1")
        ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "startedAt": ASKED, "finishedAt": ASKED}}
        show(kube, "overruled-1", moved(flow(ended), datetime.now(UTC)))
        state = kube.ended("overruled")["status"]["state"]
        assert (state["type"], state["reason"]) == ("FAILED", "OOMKilled")


class TestAbsence:
    def test_a_pod_that_is_deleted_by_force_is_a_crash_of_a_run_that_ran(self, played: Kube) -> None:
        kube = played
        shape = template(Case("", "", {}))
        shape["podTemplate"]["spec"]["nodeName"] = NOWHERE
        kube.apply(flow_run("gone", template=shape))
        created(kube, "gone-1")
        show(kube, "gone-1", moved(flow(running(ASKED), "Running"), datetime.now(UTC)))
        kube.reaches("gone", "RUNNING")
        kube("delete", "pod", "gone-1", "--force", "--grace-period=0")
        run = kube.ended("gone")
        assert (run["status"]["state"]["type"], run["status"]["state"]["reason"]) == ("CRASHED", "ForceDeleted")
        assert names(run) == ["Scheduled", "Pending", "Running", "Crashed"]
