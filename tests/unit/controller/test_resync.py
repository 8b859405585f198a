"""What the watches missed is found by listing; misses that repeat are reported."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from memory_controller import MemoryController
from mintaka_controller.context import ControllerSettings
from mintaka_controller.ports import Snapshot
from mintaka_core.names import API_VERSION, POD_FINALIZER
from mintaka_kubernetes.resources import FLOW_DEPLOYMENTS, FLOW_RUNS, PODS
from mintaka_operator.cluster import ApiError
from mintaka_operator.observers import PodHandler

if TYPE_CHECKING:
    from jumping import Clock
    from memory_cluster import MemoryCluster

PERIOD = 20
RUN = FLOW_RUNS.path("n", "a")
DEPLOYMENT = FLOW_DEPLOYMENTS.path("n", "d")
CREATED = "2026-03-04T05:00:00Z"
#: A pod whose labels another tool has replaced.
RELABELLED = {"app.kubernetes.io/managed-by": "argocd"}
POD = PODS.path("n", "a-1")


class Healer:
    """A resync whose observations go into the caches, and are noted."""

    def __init__(self, cluster: MemoryCluster, *namespaces: str) -> None:
        settings = ControllerSettings(relist=timedelta(seconds=PERIOD))
        self.world = MemoryController(cluster, *namespaces, settings=settings)
        self.told: list[tuple[str, str]] = []
        self.woken: list[tuple[str, str]] = []
        controller = self.world.controller
        self.resync = controller.resync
        for kind in ("run", "deployment", "workload"):
            for what in ("observe", "forget"):
                self._note(controller, f"{what}_{kind}")
        wake = controller.wake_run

        def noted(run: tuple[str, str], version: int = 0) -> None:
            self.woken.append(run)
            wake(run, version)

        controller.wake_run = noted  # type: ignore[method-assign]

    def _note(self, controller: Any, name: str) -> None:
        original = getattr(controller, name)

        def noted(*given: Any) -> bool:
            self.told.append(tuple(name.split("_")))  # type: ignore[arg-type]
            return bool(original(*given))

        setattr(controller, name, noted)

    async def rounds(self, number: int) -> None:
        """Let it run for some rounds."""
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.resync.run(), number * (PERIOD + 7))


@pytest.fixture
def healer(cluster: MemoryCluster) -> Healer:
    """A relister of all namespaces."""
    return Healer(cluster)


def there(cluster: MemoryCluster) -> None:
    """A run, its deployment and its pod are in the cluster."""
    owner = {"apiVersion": API_VERSION, "kind": "FlowRun", "name": "a", "uid": "u"}
    cluster.put(RUN, {"metadata": {"uid": "u"}, "spec": {"deployment": "d"}})
    cluster.put(DEPLOYMENT, {"metadata": {"uid": "v"}, "spec": {"entrypoint": "a:b"}})
    cluster.put(POD, pod({"mintaka.dev/flow-run": "a"}, ownerReferences=[owner]))


def pod(labels: dict[str, str], phase: str = "Pending", **metadata: Any) -> dict[str, Any]:
    """A pod of the run, with those labels."""
    terminated = {"exitCode": 0, "startedAt": CREATED, "finishedAt": CREATED}
    containers = [{"name": "flow", "state": {"terminated": terminated}}] if phase == "Succeeded" else []
    return {
        "metadata": {"uid": "w", "creationTimestamp": CREATED, "labels": labels, **metadata},
        "spec": {"nodeName": "node", "containers": [{"name": "flow"}]},
        "status": {"phase": phase, "containerStatuses": containers},
    }


class TestHealing:
    def test_what_no_watch_told_of_is_told(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        there(cluster)
        assert clock.run(healer.resync.heal()) == 3
        assert sorted(healer.told) == [("observe", "deployment"), ("observe", "run"), ("observe", "workload")]
        assert clock.run(healer.resync.heal()) == 0, "and then it is known"

    def test_a_change_is_told(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        there(cluster)
        clock.run(healer.resync.heal())
        healer.told.clear()
        cluster.put(RUN, cluster.objects[RUN])
        assert clock.run(healer.resync.heal()) == 1
        assert healer.told == [("observe", "run")]

    @pytest.mark.parametrize("path", [RUN, DEPLOYMENT, POD])
    def test_a_deletion_is_told(self, clock: Clock, cluster: MemoryCluster, healer: Healer, path: str) -> None:
        there(cluster)
        clock.run(healer.resync.heal())
        healer.told.clear()
        del cluster.objects[path]
        assert clock.run(healer.resync.heal()) == 1
        assert [what for what, _ in healer.told] == ["forget"]

    def test_an_event_on_its_way_was_not_missed(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        there(cluster)
        clock.run(healer.resync.heal())
        healer.told.clear()

        async def story() -> int:
            news = cluster.put(RUN, cluster.objects[RUN])
            clock.loop.call_later(1, healer.world.context.runs.put, Snapshot(news))
            return await healer.resync.heal()

        assert clock.run(story()) == 0
        assert healer.told == []

    def test_what_was_made_after_the_list_is_not_taken_for_deleted(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        async def story() -> int:
            def late(method: str, path: str) -> None:
                if method == "LIST" and path.endswith("flowruns"):
                    clock.loop.call_soon(
                        lambda: healer.world.context.runs.put(Snapshot(cluster.put(RUN, {"metadata": {"uid": "u"}, "spec": {}})))
                    )

            cluster.fault = late
            return await healer.resync.heal()

        healer.world.context.runs.put(Snapshot(cluster.put(FLOW_RUNS.path("n", "b"), {"metadata": {"uid": "x"}, "spec": {}})))
        assert clock.run(story()) == 0
        assert len(healer.world.context.runs) == 2

    def test_a_pod_that_belongs_to_no_flow_run_is_nobodys_business(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        cluster.put(POD, pod({"mintaka.dev/flow-run": "a"}))
        assert clock.run(healer.resync.heal()) == 0
        assert ("GET", POD) not in cluster.requests, "its metadata is sufficient"

    def test_only_the_namespaces_it_serves_are_listed(self, clock: Clock, cluster: MemoryCluster) -> None:
        there(cluster)
        assert clock.run(Healer(cluster, "m", "o").resync.heal()) == 0
        assert clock.run(Healer(cluster, "m", "n").resync.heal()) == 3


class TestFaultyObjects:
    """Nothing that a tenant writes ends a round, and with it the operator."""

    @pytest.fixture(autouse=True)
    def _objects(self, cluster: MemoryCluster) -> None:
        there(cluster)

    def break_port(self, healer: Healer, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let reading or observing one kind raise."""
        ports, context = healer.world.context.ports, healer.world.context

        def fail(*_: Any) -> Any:
            raise ValueError("year 0 is out of range")

        if path == POD:
            monkeypatch.setattr(ports.workloads, "read", fail)
        else:
            monkeypatch.setattr(context.runs if path == RUN else context.deployments, "put", fail)

    @pytest.mark.parametrize("path", [RUN, DEPLOYMENT, POD])
    def test_one_that_raises_does_not_hide_the_others(
        self, clock: Clock, healer: Healer, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.break_port(healer, path, monkeypatch)
        assert clock.run(healer.resync.heal()) == 2
        assert clock.run(healer.resync.heal()) == 0
        assert caplog.text.count("cannot be processed") == 1, "it is logged once"

    @pytest.mark.parametrize("path", [RUN, DEPLOYMENT])
    def test_one_that_raises_is_known_with_the_reason(self, clock: Clock, cluster: MemoryCluster, healer: Healer, path: str) -> None:
        context = healer.world.context
        cluster.objects[path]["spec"]["parameters"] = {"x": 1}
        cache: Any = context.runs if path == RUN else context.deployments
        put = cache.put

        def refuse(snapshot: Snapshot) -> Any:
            if "parameters" in snapshot.document["spec"]:
                raise ValueError("its parameters")
            return put(snapshot)

        cache.put = refuse
        assert clock.run(healer.resync.heal()) == 3
        problem = cache.get(("n", path.rsplit("/", 1)[1])).problem
        assert (problem.reason, problem.message) == ("Unreadable", "it cannot be processed: ValueError: its parameters")

    def test_a_time_of_the_year_0_ends_nothing(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        cluster.objects[RUN]["status"] = {"state": {"type": "COMPLETED"}, "endTime": "0000-01-01T00:00:00Z"}
        assert clock.run(healer.resync.heal()) == 3

    def test_what_has_no_name_hides_nothing(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        cluster.objects[RUN]["metadata"] = {}
        assert clock.run(healer.resync.heal()) == 2
        cluster.objects[POD]["metadata"] = {"finalizers": [POD_FINALIZER]}
        clock.run(healer.resync.find_strays())

    def test_a_list_that_raises_changes_nothing(self, clock: Clock, healer: Healer, monkeypatch: pytest.MonkeyPatch) -> None:
        inventory = healer.world.context.ports.inventory
        list_versions = inventory.list_versions

        def fail(kind: str = "run") -> Any:
            if kind == "run":
                raise ValueError("not a list")
            return list_versions(kind)

        monkeypatch.setattr(inventory, "list_versions", fail)
        monkeypatch.setattr(inventory, "list_strays", fail)
        assert clock.run(healer.resync.heal()) is None
        assert ("observe", "workload") in healer.told
        clock.run(healer.resync.find_strays())


class TestPodsWithoutOurLabel:
    OWNER: ClassVar = {"apiVersion": API_VERSION, "kind": "FlowRun", "name": "a", "uid": "u"}

    def relabelled(self, phase: str = "Pending", **metadata: Any) -> dict[str, Any]:
        """The pod of the run after another tool has taken its labels."""
        return pod(RELABELLED, phase, **{"finalizers": [POD_FINALIZER], "ownerReferences": [self.OWNER]} | metadata)

    def lose(self, cluster: MemoryCluster, healer: Healer, **metadata: Any) -> None:
        """The labels go; the watch reports that as a deletion."""
        PodHandler(healer.world.controller, None, lambda _node: False).gone(cluster.put(POD, self.relabelled(**metadata)))

    def test_what_it_becomes_is_seen_and_was_never_missed(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        async def story() -> list[int | None]:
            there(cluster)
            cluster.objects[POD]["metadata"]["finalizers"] = [POD_FINALIZER]
            await healer.resync.heal()
            self.lose(cluster, healer)
            missed = []
            for phase in ("Running", "Pending", "Running", "Succeeded"):
                await healer.world.reconcile("n", "a")
                cluster.put(POD, self.relabelled(phase))
                missed.append(await healer.resync.heal())
            return missed

        assert clock.run(story()) == [0, 0, 0, 0]
        owned = healer.world.context.workloads.get(("n", "a-1"))
        assert owned
        assert owned.workload.end

    def test_it_does_not_count_as_missed_before_its_run_is_reconciled(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        async def story() -> int | None:
            there(cluster)
            await healer.resync.heal()
            self.lose(cluster, healer)
            return await healer.resync.heal()

        assert clock.run(story()) == 0

    def test_labels_that_went_unseen_were_missed_once(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        async def story() -> list[int | None]:
            there(cluster)
            await healer.resync.heal()
            cluster.put(POD, self.relabelled("Succeeded"))
            return [await healer.resync.heal(), await healer.resync.heal()]

        assert clock.run(story()) == [1, 0]

    def test_its_deletion_is_seen_and_was_not_missed(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        async def story() -> int | None:
            there(cluster)
            await healer.resync.heal()
            self.lose(cluster, healer)
            await healer.resync.heal()
            del cluster.objects[POD]
            return await healer.resync.heal()

        assert clock.run(story()) == 0
        assert healer.world.context.workloads.get(("n", "a-1")) is None

    def test_one_that_lost_its_label_while_no_operator_ran_is_found(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        cluster.put(POD, self.relabelled("Succeeded"))
        clock.run(healer.resync.find_strays())
        owned = healer.world.context.workloads.get(("n", "a-1"))
        assert owned
        assert not owned.watched

    def test_one_that_nothing_holds_is_not_looked_at(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        cluster.put(POD, self.relabelled(finalizers=[]))
        clock.run(healer.resync.find_strays())
        assert ("GET", POD) not in cluster.requests

    def test_they_are_looked_for_rarely_but_again_after_a_failure(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        async def story() -> int:
            cluster.fault = lambda _method, _path: ApiError(503, "ServiceUnavailable", "down")
            await healer.resync.find_strays()
            cluster.fault = lambda _method, _path: None
            for _ in range(10):
                await healer.resync.find_strays()
            return sum(method == "LIST" for method, _ in cluster.requests)

        assert clock.run(story()) == 2

    @pytest.mark.parametrize("state", ["COMPLETED", None])
    def test_it_is_released_when_it_is_over_and_deleted(
        self, clock: Clock, cluster: MemoryCluster, healer: Healer, state: str | None
    ) -> None:
        """Its label is replaced after the end of the run; then the run and the pod are deleted."""
        status = {"state": {"type": state, "name": "Completed", "time": CREATED}, "attempt": 1, "endTime": CREATED}

        async def story() -> None:
            if state:
                run = {"metadata": {"uid": "u"}, "spec": {"template": {"entrypoint": "a:b"}}, "status": status}
                healer.world.observe_run(cluster.put(RUN, run))
            held = pod({"mintaka.dev/flow-run": "a"}, "Succeeded", ownerReferences=[self.OWNER], finalizers=[POD_FINALIZER])
            healer.world.observe_pod(cluster.put(POD, held))
            healer.world.context.settings = replace(healer.world.context.settings, retention=None)
            self.lose(cluster, healer, phase="Succeeded", deletionTimestamp=CREATED, deletionGracePeriodSeconds=0)
            await healer.world.reconcile("n", "a")

        clock.run(story())
        assert POD not in cluster.objects
        assert healer.world.context.workloads.get(("n", "a-1")) is None

    def test_it_stays_cached_while_it_cannot_be_read(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        async def story() -> None:
            there(cluster)
            await healer.resync.heal()
            self.lose(cluster, healer)
            cluster.fault = lambda method, _path: ApiError(503, "ServiceUnavailable", "down") if method == "GET" else None
            await healer.world.reconcile("n", "a")

        clock.run(story())
        assert healer.world.context.workloads.is_doubtful(("n", "a-1"))

    def test_a_deleted_pod_is_forgotten_once_a_read_confirms_it(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        async def story() -> None:
            there(cluster)
            await healer.resync.heal()
            self.lose(cluster, healer)
            del cluster.objects[POD], cluster.objects[RUN]
            healer.world.controller.forget_run(("n", "a"))
            await healer.world.reconcile("n", "a")

        clock.run(story())
        assert healer.world.context.workloads.get(("n", "a-1")) is None
        assert not healer.world.context.workloads.is_doubtful(("n", "a-1"))

    @pytest.mark.parametrize("state", ["COMPLETED", "RUNNING"])
    def test_no_doubt_about_a_pod_outlasts_a_read(self, clock: Clock, cluster: MemoryCluster, healer: Healer, state: str) -> None:
        """Also if its run is finished: its node was lost after its end."""

        async def story() -> None:
            there(cluster)
            cluster.objects[RUN]["status"] = {"state": {"type": state, "name": "Any", "time": CREATED}, "attempt": 1}
            await healer.resync.heal()
            cluster.requests.clear()
            healer.world.controller.reassess_workload(("n", "a-1"))
            await healer.world.reconcile("n", "a")

        clock.run(story())
        assert ("GET", POD) in cluster.requests
        assert not healer.world.context.workloads.is_doubtful(("n", "a-1"))

    def test_an_unknown_pod_is_not_doubtful(self, healer: Healer) -> None:
        healer.world.context.workloads.doubt(("n", "a-1"))
        assert not healer.world.context.workloads.is_doubtful(("n", "a-1"))

    def test_a_list_that_does_not_show_it_is_not_a_deletion(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        cluster.put(POD, self.relabelled())
        clock.run(healer.resync.find_strays())
        assert clock.run(PodHandler(healer.world.controller, None, lambda _node: False).known()) == {}


class TestDeafness:
    def test_two_rounds_in_a_row_that_found_something_are_reported(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        async def story() -> None:
            for round_number, reported in ((1, False), (2, True), (3, True)):
                there(cluster)
                await healer.rounds(1)
                assert healer.resync.watches_miss_events is reported, round_number

        clock.run(story())

    def test_a_quiet_round_gives_it_its_hearing_back(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        async def story() -> None:
            for _ in range(2):
                there(cluster)
                await healer.rounds(1)
            assert healer.resync.watches_miss_events
            await healer.rounds(1)
            assert not healer.resync.watches_miss_events

        clock.run(story())

    def test_a_round_that_fails_is_no_verdict_and_the_next_one_heals(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        async def story() -> None:
            there(cluster)
            cluster.fault = lambda _method, _path: ApiError(503, "ServiceUnavailable", "down")
            await healer.rounds(3)
            assert (healer.resync.watches_miss_events, healer.told) == (False, [])
            cluster.fault = lambda _method, _path: None
            await healer.rounds(1)
            assert len(healer.told) == 3

        clock.run(story())

    def test_each_round_looks_at_every_run_that_has_a_pod(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        there(cluster)

        async def story() -> None:
            await healer.resync.heal()
            healer.woken.clear()
            await healer.rounds(1)

        clock.run(story())
        assert ("n", "a") in healer.woken
