"""How runs end, seen on real pods: one expected end state, reason and series of transitions each, in resource and database.

All of them are started at once; each test waits for its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from kube import Api, Kube, container, flow_deployment, flow_run, names, python_flow

ORDINARY = ("Scheduled", "Pending", "Running")
QUICK = {"delaySeconds": 0.1, "factor": 1}

COMPLETES = """
from mintaka import flow, task

@task
def double(x):
    return 2 * x

@flow
def main(numbers: list[int]):
    print("sum", sum(f.result() for f in double.map(numbers)))
"""
RAISES = """
from mintaka import flow

@flow
def main():
    raise ValueError("no such luck")
"""
SECOND_TIME_LUCKY = """
import os
from mintaka import flow

@flow
def main():
    if os.environ["MINTAKA_ATTEMPT"] == "1":
        raise ConnectionError("not yet")
"""
EATS_MEMORY = """
from mintaka import flow

@flow
def main():
    eaten = []
    while True:
        eaten.append(bytearray(b"x" * 8_000_000))
"""
LEAVES = """
import os
from mintaka import flow

@flow
def main():
    os._exit(3)
"""
SEGFAULTS = """
import ctypes
from mintaka import flow

@flow
def main():
    ctypes.string_at(0)
"""
SLEEPS = """
import time
from mintaka import flow

@flow
def main():
    time.sleep(300)
"""
ASYNC = """
import asyncio
from mintaka import flow, task

@task
async def wait(x: int) -> int:
    await asyncio.sleep(0.01)
    return x

@flow
async def main():
    assert sum(await asyncio.gather(*(wait(x) for x in range(5)))) == 10
"""
SYNTAX_ERROR = "def main(:\n"


def limited(memory: str) -> dict[str, Any]:
    """A pod template that limits the flow's memory."""
    return {"spec": {"containers": [{"name": "flow", "resources": {"limits": {"memory": memory}, "requests": {"memory": memory}}}]}}


def pod(**spec: Any) -> dict[str, Any]:
    """A pod template with an ordinary flow container and something else."""
    return {"podTemplate": {"spec": {"containers": [{"name": "flow", "command": ["true"]}], **spec}}}


@dataclass(frozen=True)
class Scenario:
    """A template to run, and how that ends."""

    template: dict[str, Any]
    state: str
    reason: str = ""
    through: Sequence[str] = ()
    said: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    attempt: int = 1
    failures: int = 0
    crashes: int = 0


SCENARIOS = {
    "a flow with tasks completes": Scenario(python_flow(COMPLETES), "COMPLETED", "", (*ORDINARY, "Completed"), parameters={"numbers": [1, 2, 3]}),
    "an async flow completes": Scenario(python_flow(ASYNC), "COMPLETED", "", (*ORDINARY, "Completed")),
    "a flow that raises fails": Scenario(python_flow(RAISES), "FAILED", "ValueError", (*ORDINARY, "Failed"), "no such luck"),
    "a failure is retried on the failure budget, which ends": Scenario(
        python_flow(RAISES, retries={"onFailure": {"limit": 1, "backoff": QUICK}}),
        "FAILED", "ValueError", (*ORDINARY, "AwaitingRetry", "Pending", "Running", "Failed"), "no such luck", attempt=2, failures=1,
    ),
    "a failure that is retried completes": Scenario(
        python_flow(SECOND_TIME_LUCKY, retries={"onFailure": {"limit": 3, "backoff": QUICK}}),
        "COMPLETED", "", (*ORDINARY, "AwaitingRetry", "Pending", "Running", "Completed"), attempt=2, failures=1,
    ),
    "out of memory crashes and is retried on the crash budget": Scenario(
        python_flow(EATS_MEMORY, podTemplate=limited("96Mi"), retries={"onCrash": {"limit": 1, "backoff": QUICK, "reasons": ["OOMKilled"]}}),
        "CRASHED", "OOMKilled", (*ORDINARY, "AwaitingRetry", "Pending", "Running", "Crashed"), "memory", attempt=2, crashes=1,
    ),
    "a crash for another reason does not draw on the budget": Scenario(
        python_flow(LEAVES, retries={"onCrash": {"limit": 1, "backoff": QUICK, "reasons": ["OOMKilled"]}, "onFailure": {"limit": 5}}),
        "CRASHED", "ExitedWithoutReport", (*ORDINARY, "Crashed"), "exit code 3",
    ),
    "a deployment may call running out of memory a failure": Scenario(
        python_flow(EATS_MEMORY, podTemplate=limited("96Mi"), verdicts={"OOMKilled": "FAILED"}), "FAILED", "OOMKilled", (*ORDINARY, "Failed"),
    ),
    "a segmentation fault crashes": Scenario(python_flow(SEGFAULTS), "CRASHED", "SegmentationFault", (*ORDINARY, "Crashed"), "signal 11"),
    "an image that cannot be pulled crashes when the pending timeout is over": Scenario(
        python_flow(COMPLETES, image="localhost/absent:1", pendingTimeoutSeconds=15), "CRASHED", "ImagePullBackOff", ("Scheduled", "Pending", "Pending", "PendingTimeout", "Crashed"), "localhost/absent:1",
    ),
    "an image name that is none crashes at once": Scenario(
        python_flow(COMPLETES, image="NO/such image"), "CRASHED", "InvalidImageName", ("Scheduled", "Pending", "Pending", "PendingTimeout", "Crashed"), "NO/such image",
    ),
    "a command that does not exist crashes": Scenario(container("/no/such/command"), "CRASHED", "StartError", ("Scheduled", "Pending", "Crashed"), "no such file"),
    "a ConfigMap for the environment that does not exist crashes": Scenario(
        {"pendingTimeoutSeconds": 15, "podTemplate": {"spec": {"containers": [{"name": "flow", "command": ["true"], "envFrom": [{"configMapRef": {"name": "absent"}}]}]}}},
        "CRASHED", "CreateContainerConfigError", ("Scheduled", "Pending", "Pending", "PendingTimeout", "Crashed"), "absent",
    ),
    "a ConfigMap to mount that does not exist crashes with the event's reason": Scenario(
        {"pendingTimeoutSeconds": 15, "podTemplate": {"spec": {"volumes": [{"name": "v", "configMap": {"name": "absent"}}], "containers": [{"name": "flow", "command": ["true"], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}}},
        "CRASHED", "FailedMount", ("Scheduled", "Pending", "Pending", "PendingTimeout", "Crashed"), "absent",
    ),
    "a source ConfigMap that does not exist crashes": Scenario(
        {"entrypoint": "flow.py:main", "source": {"configMap": {"name": "absent"}}}, "CRASHED", "ConfigMapNotFound", ("Scheduled", "Scheduled", "Crashed"), "absent", attempt=0,
    ),
    "what no node takes crashes when the pending timeout is over": Scenario(
        pod(nodeSelector={"no-such": "node"}) | {"pendingTimeoutSeconds": 3}, "CRASHED", "Unschedulable", ("Scheduled", "Pending", "Pending", "PendingTimeout", "Crashed"), "nodes are available",
    ),
    "a run that takes too long fails as timed out": Scenario(
        python_flow(SLEEPS, timeoutSeconds=3, podTemplate={"spec": {"terminationGracePeriodSeconds": 5}}), "FAILED", "TimedOut", (*ORDINARY, "TimedOut"),
    ),
    "an entrypoint that is not in the source fails": Scenario(
        {"entrypoint": "flow.py:absent", "source": {"inline": COMPLETES}, "retries": {"onFailure": {"limit": 5}}}, "FAILED", "EntrypointNotFound", (*ORDINARY, "Failed"), "absent",
    ),
    "source that is no Python fails": Scenario(python_flow(SYNTAX_ERROR), "FAILED", "SyntaxError", (*ORDINARY, "Failed"), "flow.py"),
    "parameters that the signature refuses fail and are not retried": Scenario(
        python_flow(COMPLETES, retries={"onFailure": {"limit": 5}}), "FAILED", "InvalidParameters", (*ORDINARY, "Failed"), "numbers", parameters={"numbers": "many"},
    ),
    "parameters that the schema refuses fail before anything is started": Scenario(
        python_flow(COMPLETES, parameterSchema={"properties": {"numbers": {"type": "array"}}}),
        "FAILED", "InvalidParameters", ("Scheduled", "Failed"), "numbers", parameters={"numbers": 3}, attempt=0,
    ),
    "parameters that are too large fail before anything is started": Scenario(
        python_flow(COMPLETES), "FAILED", "ParametersTooLarge", ("Scheduled", "Failed"), "16384", parameters={"numbers": [1] * 20_000}, attempt=0,
    ),
    "a pod that the API server refuses crashes": Scenario(
        {"podTemplate": {"spec": {"containers": [{"name": "flow", "command": ["true"], "resources": {"limits": {"cpu": "-1"}}}]}}},
        "CRASHED", "PodRejected", ("Scheduled", "Crashed"), "must be greater than or equal to 0", attempt=0,
    ),
    "a plain container completes": Scenario(container("sh", "-c", "echo hello"), "COMPLETED", "", (*ORDINARY, "Completed")),
    "a plain container that exits non-zero fails with its last words": Scenario(container("sh", "-c", "echo last words; exit 3"), "FAILED", "NonZeroExit", (*ORDINARY, "Failed"), "last words"),
    "an init container that fails crashes": Scenario(
        pod(initContainers=[{"name": "prepare", "image": "localhost/mintaka-flow:dev", "command": ["sh", "-c", "exit 7"]}]),
        "CRASHED", "InitContainerFailed", ("Scheduled", "Pending", "Crashed"), "prepare exited 7",
    ),
    "a flow that ends beside a running sidecar completes": Scenario(
        {"podTemplate": {"spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "flow", "command": ["true"]}, {"name": "side", "image": "localhost/mintaka-flow:dev", "command": ["sleep", "300"]}]}}},
        "COMPLETED", "", (*ORDINARY, "Completed"),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def started(shared_kube: Kube) -> Kube:
    """All scenarios, applied together."""
    runs = [
        flow_run(_name(number), template=scenario.template, parameters=scenario.parameters)
        for number, scenario in enumerate(SCENARIOS.values())
    ]
    shared_kube.apply(*runs)
    return shared_kube


def _name(number: int) -> str:
    return f"scenario-{number}"


@pytest.mark.parametrize("number", range(len(SCENARIOS)), ids=list(SCENARIOS))
def test_a_run_ends_as_it_should(started: Kube, api: Api, number: int) -> None:
    """The state, its reason, what is said, every transition, in the resource and in the database."""
    scenario = list(SCENARIOS.values())[number]
    run = started.ended(_name(number), seconds=150)
    status = run["status"]
    seen = (status["state"]["type"], status["state"]["reason"], status["attempt"], status["failures"], status["crashes"])
    assert seen == (scenario.state, scenario.reason, scenario.attempt, scenario.failures, scenario.crashes), status["state"]
    assert names(run) == list(scenario.through)
    assert [transition["sequence"] for transition in status["transitions"]] == list(range(1, status["sequence"] + 1))
    assert scenario.said in status["state"]["message"]
    api.agrees_with(run)


def test_a_finished_run_has_no_live_container(started: Kube) -> None:
    """Also not the sidecar of a flow that has ended."""
    number = list(SCENARIOS).index("a flow that ends beside a running sidecar completes")
    started.ended(_name(number), seconds=150)
    started.wait(f"pod/{_name(number)}-1", "delete", seconds=60)


def test_a_run_of_a_deployment_that_does_not_exist_fails(kube: Kube, api: Api) -> None:
    """After a moment's patience, because both may be applied together."""
    kube.apply(flow_run("orphan", deployment="absent"))
    run = kube.ended("orphan")
    assert (run["status"]["state"]["type"], run["status"]["state"]["reason"]) == ("FAILED", "DeploymentNotFound")
    api.agrees_with(run)


def test_a_run_may_be_applied_just_before_its_deployment(kube: Kube) -> None:
    """Kubectl apply -f folder/ has no order."""
    kube.apply(flow_run("early", deployment="late"))
    kube.wait("fr/early", "jsonpath={.status.state.reason}=DeploymentNotFound")
    kube.apply(flow_deployment("late", **container("true")))
    assert kube.ended("early")["status"]["state"]["type"] == "COMPLETED"


def test_a_deployment_at_fault_is_not_ready_until_it_is_changed(kube: Kube) -> None:
    """Its last run says so; a change gives it another chance."""
    kube.apply(flow_deployment("wrong", **python_flow(COMPLETES) | {"entrypoint": "flow.py:absent"}))
    kube.wait("fd/wrong", "condition=Ready")
    kube.apply(flow_run("first", deployment="wrong"))
    kube.ended("first")
    kube.wait("fd/wrong", "condition=Ready=false")
    [condition] = kube.get("fd", "wrong")["status"]["conditions"]
    assert condition["reason"] == "EntrypointNotFound"
    assert "first" in condition["message"]
    kube.patch("fd", "wrong", {"spec": {"entrypoint": "flow.py:main", "parameters": {"numbers": [1]}}})
    kube.wait("fd/wrong", "condition=Ready")
    kube.apply(flow_run("second", deployment="wrong"))
    assert kube.ended("second")["status"]["state"]["type"] == "COMPLETED"
