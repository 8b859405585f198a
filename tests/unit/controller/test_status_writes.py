"""How often a run's status is written: what is recorded of waits and refusals costs an ordinary run no write."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from memory_controller import MemoryController
from mintaka_controller import reconciler
from mintaka_core.names import MIRROR_FINALIZER
from mintaka_core.policies import FLOW_RUN_POLICY
from mintaka_core.rules import edges
from mintaka_core.states import PENDING, SCHEDULED
from mintaka_core.transitions import Abort, Rule, Wait
from mintaka_kubernetes.resources import FLOW_RUNS, PODS

if TYPE_CHECKING:
    from memory_cluster import MemoryCluster
    from mintaka_core.reconciling.observation import RunObservation
    from mintaka_core.transitions import Verdict

RUN = FLOW_RUNS.path("n", "a")
START = datetime(2026, 3, 4, 5, tzinfo=UTC)
_PLAIN = {"spec": {"containers": [{"name": "flow", "image": "busybox", "command": ["true"]}]}}


def rfc3339(time: datetime) -> str:
    """A time as Kubernetes writes it."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


class World:
    """A run, its controller and a clock that stands still until time passes."""

    def __init__(self, cluster: MemoryCluster, template: dict[str, Any] | None = None, **spec: Any) -> None:
        self.cluster, self.time = cluster, START
        self.controller = MemoryController(cluster)
        ports = self.controller.context.ports
        self.controller.context.ports = replace(ports, clock=self)
        metadata = {"uid": "u", "generation": 1, "creationTimestamp": rfc3339(START), "finalizers": [MIRROR_FINALIZER]}
        spec = {"template": {"podTemplate": _PLAIN, **(template or {})}, **spec}
        cluster.put(RUN, {"kind": "FlowRun", "metadata": metadata, "spec": spec})
        self.reconcile()

    def now(self) -> datetime:
        """The present, for the controller."""
        return self.time

    def reconcile(self) -> World:
        """Let the watches report everything, and reconcile twice: the second time there must be nothing to write."""
        for _ in range(2):
            self.controller.observe_run(self.cluster.objects[RUN])
            for path, pod in list(self.cluster.objects.items()):
                if "/pods/" in path:
                    self.controller.observe_pod(pod)
            asyncio.run(self.controller.reconcile("n", "a"))
        return self

    def pass_time(self, seconds: float) -> World:
        """Time goes by."""
        self.time += timedelta(seconds=seconds)
        return self.reconcile()

    def ask(self, **spec: Any) -> World:
        """The owner changes the spec."""
        run = self.cluster.objects[RUN]
        self.cluster.put(RUN, {**run, "spec": {**run["spec"], **spec}})
        return self.reconcile()

    def starts(self, attempt: int = 1) -> World:
        """The pod of the attempt runs."""
        return self._see(attempt, "Running", {"running": {"startedAt": rfc3339(self.time)}})

    def ends(self, attempt: int = 1, code: int = 0) -> World:
        """The pod of the attempt ends."""
        times = {"startedAt": rfc3339(self.time), "finishedAt": rfc3339(self.time)}
        return self._see(attempt, "Failed" if code else "Succeeded", {"terminated": {"exitCode": code, **times}})

    def _see(self, attempt: int, phase: str, state: dict[str, Any]) -> World:
        path = PODS.path("n", f"a-{attempt}")
        container = {"name": "flow", "state": state, "ready": True, "restartCount": 0, "image": "", "imageID": ""}
        self.cluster.put(path, {**self.cluster.objects[path], "status": {"phase": phase, "containerStatuses": [container]}})
        return self.reconcile()

    @property
    def writes(self) -> int:
        """How often the status was written."""
        return sum(path.endswith("/status") for method, path in self.cluster.requests if method != "GET")

    @property
    def records(self) -> list[str]:
        """The decisions in the status: the states entered, and what did not happen."""
        return [
            each["name"] if each["verdict"] in {"Accept", "Redirect"} else f"{each['verdict']} {each['proposed']}"
            for each in self.cluster.objects[RUN]["status"]["transitions"]
        ]


def ordinary(cluster: MemoryCluster) -> World:
    """A run that starts at once and completes."""
    return World(cluster).pass_time(1).starts().pass_time(5).ends().pass_time(60)


def retried(cluster: MemoryCluster) -> World:
    """A run that fails once."""
    retries = {"onFailure": {"limit": 1, "backoff": {"delaySeconds": 40, "jitter": 0}}, "onCrash": {"limit": 0}}
    world = World(cluster, {"retries": retries}).starts().pass_time(5).ends(code=1)
    return world.pass_time(10).pass_time(29).pass_time(1).starts(2).pass_time(5).ends(2)


def suspended(cluster: MemoryCluster) -> World:
    """A run that is created suspended, and is resumed later."""
    return World(cluster, suspend=True).pass_time(100).ask(suspend=False).starts(2).ends(2)


def scheduled(cluster: MemoryCluster) -> World:
    """A run that is due in an hour, and is checked every minute until then."""
    world = World(cluster, scheduledTime=rfc3339(START + timedelta(hours=1)))
    for _ in range(60):
        world.pass_time(60)
    return world.starts().ends()


@pytest.mark.parametrize(
    ("live", "writes", "records"),
    [
        pytest.param(ordinary, 3, ["Scheduled", "Pending", "Running", "Completed"], id="an ordinary run"),
        pytest.param(
            retried,
            6,
            ["Scheduled", "Pending", "Running", "AwaitingRetry", "Wait PENDING", "Pending", "Running", "Completed"],
            id="a retried run: that it waits is written with the retry",
        ),
        pytest.param(suspended, 4, ["Scheduled", "Suspended", "Scheduled", "Pending", "Running", "Completed"], id="a suspended run"),
        pytest.param(
            scheduled,
            4,
            ["Scheduled", "Wait PENDING", "Pending", "Running", "Completed"],
            id="a scheduled run: that it waits is written once, with its first state",
        ),
    ],
)
def test_a_run_is_written_as_often_as_its_state_changes(cluster: MemoryCluster, live: Any, writes: int, records: list[str]) -> None:
    """The figures are those of the operator that recorded neither waits nor refusals."""
    world = live(cluster)
    assert world.records == records
    assert world.writes == writes
    assert cluster.objects[RUN]["status"]["sequence"] == len(records)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> list[Verdict | None]:
    """The verdict of a rule about every start, in addition to the usual rules."""
    verdicts: list[Verdict | None] = [None]
    rule = Rule("hold_the_door", "", edges([SCHEDULED], [PENDING]), lambda _: verdicts[0])
    gather = reconciler.gather_run

    async def gathered(*given: Any) -> RunObservation | None:
        seen = await gather(*given)
        return seen and replace(seen, policy=(*FLOW_RUN_POLICY, rule))

    monkeypatch.setattr(reconciler, "gather_run", gathered)
    return verdicts


def test_the_controller_remembers_a_refusal_until_the_next_write(cluster: MemoryCluster, door: list[Verdict | None]) -> None:
    """Minutes and many looks later it is written with the change, once."""
    door[0] = Abort("not on a Friday")
    world = World(cluster)
    assert (world.records, world.writes) == (["Scheduled", "Abort PENDING"], 1)
    door[0] = Abort("not at night")
    for _ in range(5):
        world.pass_time(60)
    assert world.writes == 1
    door[0] = None
    world.pass_time(60).starts().ends()
    assert world.records == ["Scheduled", "Abort PENDING", "Abort PENDING", "Pending", "Running", "Completed"]
    assert world.writes == 4
    messages = [each.get("message") for each in cluster.objects[RUN]["status"]["transitions"]]
    assert messages[1:3] == ["not on a Friday", "not at night"]


def test_a_wait_that_begins_later_is_one_write_more(cluster: MemoryCluster, door: list[Verdict | None]) -> None:
    """A scheduled run that a rule holds back when it is due, for an hour in which it is checked every minute."""
    world = World(cluster, scheduledTime=rfc3339(START + timedelta(minutes=1)))
    door[0] = Wait(START + timedelta(hours=1), "the door is shut")
    for _ in range(59):
        world.pass_time(60)
    assert (world.records, world.writes) == (["Scheduled", "Wait PENDING", "Wait PENDING"], 2)
    door[0] = None
    assert world.pass_time(60).records[-1] == "Pending"
