"""Slots of concurrency keys, as the controller derives them from its caches: which runs start, which are woken, and when a slot is free again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from memory_cluster import MemoryCluster
from memory_controller import MemoryController
from mintaka_controller.context import ControllerSettings
from mintaka_controller.ports import Snapshot
from mintaka_controller.reconciler import Key
from mintaka_kubernetes.resources import FLOW_DEPLOYMENTS, FLOW_RUNS, PODS
from mintaka_operator.cluster import ApiError, ClusterAway

if TYPE_CHECKING:
    from mintaka_core.concurrency import Standing

_LATER = (datetime.now(UTC) + timedelta(days=1)).isoformat()


class World(MemoryController):
    """A controller that sees what is put into its cluster; `woken` are the runs that may have a slot."""

    def __init__(self, cluster: MemoryCluster | None = None, **settings: Any) -> None:
        self.store = cluster or MemoryCluster()
        super().__init__(self.store, settings=ControllerSettings(**settings))
        self.woken: list[str] = []
        self.context.slots.wake = lambda run: self.woken.append(run[1])

    def deploy(self, name: str = "d", namespace: str = "n", *, seen: bool = True, **spec: Any) -> None:
        """Apply a deployment; with `seen`, the watch reports it."""
        path = FLOW_DEPLOYMENTS.path(namespace, name)
        generation = self.store.objects.get(path, {}).get("metadata", {}).get("generation", 0) + 1
        metadata = {"uid": f"uid-{namespace}-{name}", "name": name, "namespace": namespace, "generation": generation}
        document = self.store.put(path, {"kind": "FlowDeployment", "metadata": metadata, "spec": {"entrypoint": "a:b", **spec}})
        if seen:
            self.context.deployments.put(Snapshot(document))

    def add(
        self, name: str, second: int, state: str = "", *, namespace: str = "n", status: dict[str, Any] | None = None, **spec: Any
    ) -> None:
        """Create a run, or write another version of it."""
        known = {"state": {"type": state, "name": state.capitalize(), "time": f"2026-03-04T05:00:{second:02}Z"}} if state else {}
        metadata = {
            "uid": f"uid-{namespace}-{name}",
            "name": name,
            "namespace": namespace,
            "creationTimestamp": f"2026-03-04T05:00:{second:02}Z",
            "finalizers": ["mintaka.dev/mirror"],
        }
        document = {"kind": "FlowRun", "metadata": metadata, "spec": {"deployment": "d", **spec}, "status": {**known, **(status or {})}}
        self.observe_run(self.store.put(FLOW_RUNS.path(namespace, name), document))

    def end(self, name: str, second: int, **spec: Any) -> None:
        """A run completed, and its pod is gone."""
        self.add(name, second, "COMPLETED", status={"attempt": 1, "endTime": "2026-03-04T05:01:00Z"}, **spec)
        for key in self.context.workloads.names():
            if key[1] == f"{name}-1":
                self.context.workloads.remove(key)

    def reconcile_all(self, names: str, namespace: str = "n") -> None:
        """Reconcile runs at the same time."""

        async def together() -> None:
            await asyncio.gather(*(self.reconciler.reconcile(Key("run", namespace, name)) for name in names))

        asyncio.run(together())

    def state(self, name: str, namespace: str = "n") -> dict[str, Any]:
        """The state of a run."""
        found: dict[str, Any] = self.store.objects[FLOW_RUNS.path(namespace, name)].get("status", {}).get("state", {})
        return found

    def states(self, names: str, namespace: str = "n") -> list[str]:
        """The names of the states of runs."""
        return [self.state(name, namespace).get("name", "") for name in names]

    def standing(self, name: str, namespace: str = "n") -> Standing:
        """How a run stands."""
        found = self.context.slots.standing_of((namespace, name))
        assert found is not None
        return found


PENDING, WAITS, CANCELLED = "Pending", "AwaitingConcurrencySlot", "Cancelled"

POLICIES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "Queue": ({"limit": 1}, [PENDING, WAITS, WAITS]),
    "Queue of two": ({"limit": 2}, [PENDING, PENDING, WAITS]),
    "Allow": ({"limit": 1, "policy": "Allow"}, [PENDING, PENDING, PENDING]),
    "CancelNew": ({"limit": 1, "policy": "CancelNew"}, [PENDING, CANCELLED, CANCELLED]),
    "Replace": ({"limit": 1, "policy": "Replace"}, [CANCELLED, CANCELLED, PENDING]),
}


@pytest.mark.parametrize(("concurrency", "expected"), POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("order", ["abc", "cba", "bca"])
def test_of_three_new_runs(concurrency: dict[str, Any], expected: list[str], order: str) -> None:
    """In whatever order, and at the same time, workers take them."""
    world = World()
    world.deploy(concurrency=concurrency)
    for second, name in enumerate("abc"):
        world.add(name, second)
    for _ in range(3):
        world.reconcile_all(order)
    assert world.states("abc") == expected


def test_of_many_workers_only_as_many_find_a_slot_as_there_are() -> None:
    world = World()
    world.deploy(concurrency={"limit": 3})
    names = "abcdefghijklmnop"
    for name in names:
        world.add(name, 0)
    world.reconcile_all(names)
    assert world.states(names) == [PENDING] * 3 + [WAITS] * 13
    pods = [path for method, path in world.store.requests if method == "POST" and path == PODS.path("n")]
    assert len(pods) == 3


def test_a_waiting_run_names_the_holder_and_then_the_next() -> None:
    world = World()
    world.deploy(concurrency={"limit": 1})
    world.add("a", 0)
    world.reconcile_all("a")
    world.add("b", 1)
    world.reconcile_all("b")
    assert world.state("b")["reason"] == "AwaitingConcurrencySlot"
    assert world.state("b")["message"] == "key 'd' admits 1 run at a time: flow run 'a' holds the slot"


def test_an_end_wakes_the_next_and_no_other() -> None:
    world = World()
    world.deploy(concurrency={"limit": 1})
    for second, name in enumerate("abc"):
        world.add(name, second)
    world.reconcile_all("abc")
    world.woken.clear()
    world.end("a", 0)
    assert world.woken == ["b"]
    world.reconcile_all("b")
    assert world.states("bc") == [PENDING, WAITS]


LEAVES: dict[str, dict[str, Any]] = {
    "suspended": {"suspend": True},
    "cancelled": {"cancel": True},
}


@pytest.mark.parametrize("spec", LEAVES.values(), ids=LEAVES)
def test_one_that_leaves_the_queue_lets_the_next_go_ahead(spec: dict[str, Any]) -> None:
    world = World()
    world.deploy(concurrency={"limit": 1})
    for second, name in enumerate("bc", 1):
        world.add(name, second)
    assert world.standing("c").position == 1
    world.add("b", 1, **spec)
    assert world.woken == ["c"]
    assert (world.standing("c").outcome, world.standing("c").position) == ("FREE", 0)


WAITING: dict[str, tuple[dict[str, Any], bool]] = {
    "older": ({}, True),
    "of a lower priority": ({"priority": -1}, False),
    "not due": ({"scheduledTime": _LATER}, False),
    "suspended": ({"suspend": True}, False),
    "of another deployment": ({"deployment": "other"}, False),
    "of another deployment with the same key": ({"deployment": "same"}, True),
}


@pytest.mark.parametrize(("spec", "ahead"), WAITING.values(), ids=WAITING)
def test_a_run_is_behind_one_that_is(spec: dict[str, Any], ahead: bool) -> None:
    world = World()
    world.deploy(concurrency={"limit": 1})
    world.deploy("same", concurrency={"limit": 1, "key": "d"})
    world.deploy("other", concurrency={"limit": 1})
    world.add("b", 1)
    world.add("a", 0, **spec)
    assert world.standing("b").position == ahead


HOLDERS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "is new": ("", {}, False),
    "is pending": ("PENDING", {"attempt": 1}, True),
    "runs": ("RUNNING", {"attempt": 1}, True),
    "is being cancelled": ("CANCELLING", {"attempt": 1}, True),
    "waits to be tried again": ("SCHEDULED", {"attempt": 1, "nextTime": _LATER}, False),
    "is suspended": ("PAUSED", {"attempt": 1}, False),
    "completed": ("COMPLETED", {"attempt": 1, "endTime": "2026-03-04T05:01:00Z"}, False),
}


@pytest.mark.parametrize(("state", "status", "holds"), HOLDERS.values(), ids=HOLDERS)
def test_a_slot_is_held_by_a_run_that(state: str, status: dict[str, Any], holds: bool) -> None:
    world = World()
    world.deploy(concurrency={"limit": 1})
    world.add("z", 9, state, status=status)
    world.add("a", 1)
    assert world.standing("a").holders == holds


def test_a_pod_whose_creation_is_not_recorded_holds_the_slot() -> None:
    """As after a crash of the operator."""
    world = World()
    world.deploy(concurrency={"limit": 1})
    world.add("a", 0)
    world.reconcile_all("a")
    again = World(world.store)
    again.observe_pod(world.store.objects[PODS.path("n", "a-1")])
    again.deploy(concurrency={"limit": 1})
    again.add("a", 0)
    again.add("b", 1)
    again.reconcile_all("b")
    assert again.states("b") == [WAITS]


def test_another_operator_continues_in_the_same_order() -> None:
    """It has only the runs, and receives them in any order."""
    world = World()
    world.deploy(concurrency={"limit": 1})
    for name, second, priority in (("c", 3, 0), ("b", 2, 0), ("a", 1, 0), ("urgent", 4, 7)):
        world.add(name, second, priority=priority)
    order = [place for place in ("urgent", "a", "b", "c") if world.standing(place).position == ["urgent", "a", "b", "c"].index(place)]
    assert order == ["urgent", "a", "b", "c"]


def test_a_slot_whose_pod_may_have_been_created_stays_taken() -> None:
    """The API server did not answer: once it does, the pod is found, or created."""
    world = World()
    world.deploy(concurrency={"limit": 1})
    world.add("a", 0)
    world.add("b", 1)
    world.store.fault = lambda method, path: ClusterAway("no answer") if (method, path) == ("POST", PODS.path("n")) else None
    world.reconcile_all("a")
    world.store.fault = lambda _method, _path: None
    world.reconcile_all("b")
    assert world.states("b") == [WAITS]
    world.reconcile_all("a")
    assert world.states("ab") == [PENDING, WAITS]


def test_a_run_that_cannot_be_created_lets_others_start() -> None:
    """A refused pod takes no slot."""
    world = World()
    world.deploy(concurrency={"limit": 1})
    world.deploy("same", concurrency={"limit": 1, "key": "d"})
    world.add("a", 0)
    world.add("b", 1, deployment="same")
    refusal = ApiError(403, "Forbidden", "exceeded quota: q, requested: pods=1, used: pods=9, limited: pods=9")
    world.store.fault = lambda method, path: refusal if (method, path) == ("POST", PODS.path("n")) else None
    world.reconcile_all("a")
    assert world.woken == ["b"]
    assert world.state("a")["reason"] == "QuotaExceeded"
    world.store.fault = lambda _method, _path: None
    world.reconcile_all("b")
    assert world.states("b") == [PENDING]


EDITS: dict[str, tuple[dict[str, Any], list[str], int]] = {
    "higher": ({"concurrency": {"limit": 3}}, ["b", "c"], 3),
    "lower than what runs": ({"concurrency": {"limit": 1, "policy": "Replace"}}, [], 1),
    "of another policy": ({"concurrency": {"limit": 1, "policy": "CancelNew"}}, [], 1),
}


@pytest.mark.parametrize(("spec", "woken", "limit"), EDITS.values(), ids=EDITS)
def test_a_limit_is_edited(spec: dict[str, Any], woken: list[str], limit: int) -> None:
    world = World()
    world.deploy(concurrency={"limit": 1})
    world.add("a", 0, "RUNNING", status={"attempt": 1})
    for second, name in enumerate("bcd", 1):
        world.add(name, second)
    world.deploy(**spec)
    assert (world.woken, world.standing("d").limit) == (woken, limit)


def test_without_a_limit_all_are_woken() -> None:
    world = World()
    world.deploy(concurrency={"limit": 1})
    world.add("a", 0, "RUNNING", status={"attempt": 1})
    world.add("b", 1)
    world.deploy()
    assert set(world.woken) == {"a", "b"}
    assert world.context.slots.standing_of(("n", "b")) is None


def test_of_two_limits_of_a_key_the_lower_counts() -> None:
    """One that allows everything does not count."""
    world = World()
    world.deploy("one", concurrency={"limit": 3, "key": "k"})
    world.deploy("two", concurrency={"limit": 2, "key": "k"})
    world.deploy("three", concurrency={"limit": 1, "key": "k", "policy": "Allow"})
    world.add("a", 0, deployment="one")
    assert world.standing("a").limit == 2


def test_the_runs_of_a_deleted_deployment_use_the_key_that_they_recorded() -> None:
    world = World()
    world.deploy(concurrency={"limit": 1, "key": "k"})
    world.add("a", 0)
    world.add("b", 1)
    world.reconcile_all("ab")
    recorded = world.store.objects[FLOW_RUNS.path("n", "b")]["status"]["concurrency"]
    assert recorded == {"key": "k", "limit": 1}
    world.context.deployments.remove(("n", "d"))
    assert (world.standing("b").outcome, world.standing("b").limit, world.standing("b").holders) == ("WAIT", 1, 1)


def test_deployments_that_are_not_known_yet_are_read_before_a_slot_is_given() -> None:
    """After a start, watches report flow deployments later than flow runs."""
    world = World()
    world.deploy(concurrency={"limit": 1})
    world.deploy("same", seen=False, concurrency={"limit": 1, "key": "d"})
    world.add("z", 0, "RUNNING", deployment="same", status={"attempt": 1})
    world.add("a", 1)
    world.reconcile_all("a")
    assert world.state("a")["message"] == "key 'd' admits 1 run at a time: flow run 'z' holds the slot"


CLUSTER_KEYS: dict[str, tuple[Any, list[str]]] = {
    "which the settings allow": ({"gpu": ("n", "other")}, [PENDING, WAITS]),
    "which all may use": ({"gpu": ("*",)}, [PENDING, WAITS]),
    "of a local server": (None, [PENDING, WAITS]),
    "which only one may use": ({"gpu": ("n",)}, [PENDING, "Scheduled"]),
    "which no namespace may use": ({}, ["Scheduled", "Scheduled"]),
}


@pytest.mark.parametrize(("allowed", "expected"), CLUSTER_KEYS.values(), ids=CLUSTER_KEYS)
def test_a_key_of_the_cluster(allowed: Any, expected: list[str]) -> None:
    world = World(cluster_keys=allowed)
    for namespace in ("n", "other"):
        world.deploy(namespace=namespace, concurrency={"limit": 1, "key": "cluster/gpu"})
        world.add("a", 0 if namespace == "n" else 1, namespace=namespace)
        world.reconcile_all("a", namespace)
    assert [world.state("a", "n")["name"], world.state("a", "other")["name"]] == expected
    if expected[1] == WAITS:
        assert world.state("a", "other")["message"] == "key 'cluster/gpu' admits 1 run at a time: a run of another namespace holds the slot"
    else:
        assert world.state("a", "other")["reason"] == "ConcurrencyKeyNotAllowed"


def test_a_deployment_reports_that_its_key_is_not_allowed() -> None:
    world = World(cluster_keys={})
    world.deploy(concurrency={"limit": 1, "key": "cluster/gpu"})
    asyncio.run(world.reconciler.reconcile(Key("deployment", "n", "d")))
    ready = world.store.objects[FLOW_DEPLOYMENTS.path("n", "d")]["status"]["conditions"][0]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "False", "ConcurrencyKeyNotAllowed")
    assert ready["message"].startswith("namespace 'n' may not use key 'cluster/gpu' (spec.concurrency.key)")


def test_a_run_that_was_replaced_states_that_in_its_message() -> None:
    world = World()
    world.deploy(concurrency={"limit": 1, "policy": "Replace"})
    world.add("a", 0)
    world.reconcile_all("a")
    world.add("b", 1)
    world.reconcile_all("b")
    assert world.state("b")["message"].endswith("it replaces flow run 'a'")
    world.reconcile_all("a")
    assert world.state("a")["message"] == "flow run b replaced it: the policy of its concurrency is Replace"


def test_a_run_that_is_deleted_holds_its_slot_until_its_pod_is_gone() -> None:
    world = World()
    world.deploy(concurrency={"limit": 1})
    world.add("a", 0)
    world.reconcile_all("a")
    world.add("b", 1)
    world.context.runs.remove(("n", "a"))
    assert world.standing("b").outcome == "WAIT"
    world.context.workloads.remove(("n", "a-1"))
    assert world.woken[-1] == "b"
    assert world.standing("b").outcome == "FREE"
