"""What the API asks of the cluster to let a flow run go on: by the run's state, and never twice for two who ask at once."""

from __future__ import annotations

from typing import Any, cast

import pytest

from mintaka_api.intent_changes import run_manifest
from mintaka_api.intents import RunRequest
from mintaka_api.kubernetes_intents import KubernetesRunControl
from mintaka_api.problems import Problem
from mintaka_controller.schema_validation import SchemaValidator
from mintaka_history.queries.flow_runs import RunKey
from mintaka_kubernetes import ClusterRefusal

pytestmark = pytest.mark.anyio
KEY = RunKey(1, "uid", "sales", "nightly", 1, 1, terminal=False, deleted=False, of_a_script=False)
TIME = "2026-03-04T05:00:00Z"


class OneRun:
    """A cluster with one flow run; what is patched into it is kept."""

    def __init__(self, state: str, reason: str = "", **spec: Any) -> None:
        status = {
            "state": {"type": state, "name": state.capitalize(), "reason": reason, "time": TIME},
            "sequence": 3,
            "reruns": 2,
            "attempt": 4,
        }
        metadata = {"name": "nightly", "namespace": "sales", "uid": "uid", "creationTimestamp": TIME, "resourceVersion": "7"}
        self.run: dict[str, Any] = {"metadata": metadata, "spec": {"deployment": "d", **spec}, "status": status}
        self.patches: list[list[tuple[str, str, Any]]] = []
        self.refusal: ClusterRefusal | None = None

    async def get(self, *_: Any) -> dict[str, Any]:
        return self.run

    async def patch(self, *arguments: Any) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.patches.append([(each["op"], each["path"], each["value"]) for each in arguments[-1][1:]])


def control(cluster: OneRun) -> KubernetesRunControl:
    return KubernetesRunControl(cast("Any", cluster), SchemaValidator())


RAISED = [("test", "/spec/reruns", 2), ("add", "/spec/reruns", 3)]
FREED = [("add", "/spec/suspend", False)]
RESUMED: dict[str, tuple[OneRun, list[list[tuple[str, str, Any]]]]] = {
    "failed": (OneRun("FAILED", reruns=2), [RAISED]),
    "suspended by its owner": (OneRun("PAUSED", "Suspended", suspend=True), [FREED]),
    "suspended by itself": (OneRun("PAUSED", "SuspendedItself", reruns=2), [RAISED]),
    "suspended by both": (OneRun("PAUSED", "SuspendedItself", suspend=True, reruns=2), [[*FREED, *RAISED]]),
    "about to start again": (OneRun("FAILED", reruns=3), []),
}


@pytest.mark.parametrize(("cluster", "patches"), RESUMED.values(), ids=RESUMED)
async def test_a_run_goes_on_by_what_holds_it_back(cluster: OneRun, patches: list[Any]) -> None:
    """All at once; counts are raised from what they were when it was looked at."""
    assert await control(cluster).resume(KEY) == bool(patches)
    assert cluster.patches == patches


async def test_a_run_whose_pod_is_about_to_end_is_resumed_all_the_same() -> None:
    """It announced its suspension before the operator could see it; once, and not where another attempt goes on already."""
    cluster = OneRun("RUNNING", reruns=2)
    assert await control(cluster).resume(KEY, suspended_in=4)
    assert not await control(cluster).resume(KEY, suspended_in=3)
    cluster.run["spec"]["reruns"] = 3
    assert not await control(cluster).resume(KEY, suspended_in=4)
    assert cluster.patches == [RAISED]


@pytest.mark.parametrize(
    ("cluster", "problem"),
    [(OneRun("RUNNING"), "not-paused"), (OneRun("CANCELLED", cancel=True), "already-ended")],
    ids=["running", "cancelled for good"],
)
async def test_what_cannot_go_on_is_told(cluster: OneRun, problem: str) -> None:
    """Nothing is written."""
    with pytest.raises(Problem) as raised:
        await control(cluster).resume(KEY)
    assert (raised.value.name, cluster.patches) == (problem, [])


async def test_of_two_who_resume_at_once_one_is_told_of_the_other() -> None:
    """The count is not what it was any more."""
    cluster = OneRun("FAILED", reruns=2)
    cluster.refusal = ClusterRefusal(422, "Invalid", "the test of /spec/reruns failed")
    with pytest.raises(Problem) as raised:
        await control(cluster).rerun(KEY)
    assert raised.value.name == "conflict"


def test_a_new_run_may_take_over_what_another_did() -> None:
    """By its name."""
    wanted = RunRequest({}, None, None, (), "nightly-1")
    assert run_manifest("sales", "nightly", "uid", wanted)["spec"]["resumeFrom"] == "nightly-1"
