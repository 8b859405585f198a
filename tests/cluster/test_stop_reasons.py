"""Why a pod is stopped: the flow's hooks and its task runs know it, though all that the process gets is SIGTERM."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kube import Api, Kube, eventually, flow_run, python_flow

if TYPE_CHECKING:
    from collections.abc import Callable

HOOKED = """
import logging, time
from mintaka import flow, task

def hook(flow, run, state):
    logging.getLogger("hook").warning("hook %s %s", state.type, state.reason)

@task
def naps():
    time.sleep(300)

@flow(on_failure=[hook], on_crashed=[hook], on_cancellation=[hook])
def main():
    naps()
"""


def suspend(kube: Kube) -> None:
    kube.patch("fr", "run", {"spec": {"suspend": True}})


def cancel(kube: Kube) -> None:
    kube.patch("fr", "run", {"spec": {"cancel": True}})


def delete_pod(kube: Kube) -> None:
    kube("delete", "pod", "run-1", "--wait=false")


def evict(kube: Kube) -> None:
    """As `kubectl drain` does."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "run-1"}}
    kube("create", "--raw", f"/api/v1/namespaces/{kube.namespace}/pods/run-1/eviction", "-f", "-", stdin=json.dumps(eviction))


def wait(_kube: Kube) -> None:
    """Its time passes."""


STOPS: dict[str, tuple[Callable[[Kube], None], str, str, tuple[str, str], list[str]]] = {
    "suspended": (suspend, "PAUSED", "Suspended", ("CANCELLED", "Suspended"), []),
    "its time is over": (wait, "FAILED", "TimedOut", ("CANCELLED", "TimedOut"), ["hook FAILED TimedOut"]),
    "cancelled": (cancel, "CANCELLED", "Cancelled", ("CANCELLED", "Cancelled"), ["hook CANCELLED Cancelled"]),
    "its pod is deleted": (delete_pod, "CRASHED", "PodDeleted", ("CRASHED", "Terminated"), ["hook CRASHED Terminated"]),
    "its pod is evicted": (evict, "CRASHED", "Drained", ("CRASHED", "Terminated"), ["hook CRASHED Terminated"]),
}


@pytest.mark.parametrize(("stop", "state", "reason", "task_state", "hooks"), STOPS.values(), ids=STOPS)
def test_the_hook_of_that_reason_is_called_and_task_runs_say_why(
    kube: Kube, api: Api, *, stop: Callable[[Kube], None], state: str, reason: str, task_state: tuple[str, str], hooks: list[str]
) -> None:
    """And of no other."""
    fields: dict[str, Any] = {"timeoutSeconds": 8} if stop is wait else {}
    kube.apply(flow_run("run", template=python_flow(HOOKED, **fields)))
    uid = api.mirrored(kube.reaches("run", "RUNNING"))["uid"]
    eventually(lambda: api.items(f"/flow-runs/{uid}/task-runs"), "the task run in the database")
    stop(kube)
    run = kube.reaches("run", state)
    assert run["status"]["state"]["reason"] == reason
    [task] = api.items(f"/flow-runs/{uid}/task-runs")
    assert (task["state"], task["reason"], task["message"].partition(":")[0]) == (*task_state, "stopped")
    lines = [line["message"] for line in api.items(f"/flow-runs/{uid}/logs") if line["logger"] == "hook"]
    assert lines == hooks
