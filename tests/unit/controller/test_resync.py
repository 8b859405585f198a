"""What the watches missed is found by listing; a watch that misses things again and again is deaf."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from memory_controller import MemoryController
from mintaka_controller.context import ControllerSettings
from mintaka_controller.ports import Snapshot
from mintaka_core.names import API_VERSION
from mintaka_kubernetes.resources import FLOW_DEPLOYMENTS, FLOW_RUNS, PODS
from mintaka_operator.cluster import ApiError

if TYPE_CHECKING:
    from jumping import Clock
    from memory_cluster import MemoryCluster

PERIOD = 20
RUN = FLOW_RUNS.path("n", "a")
DEPLOYMENT = FLOW_DEPLOYMENTS.path("n", "d")
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
    cluster.put(POD, {"metadata": {"uid": "w", "creationTimestamp": "2026-03-04T05:00:00Z", "ownerReferences": [owner]}, "status": {}})


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
        cluster.put(POD, {"metadata": {"uid": "w", "creationTimestamp": "2026-03-04T05:00:00Z"}, "status": {}})
        assert clock.run(healer.resync.heal()) == 0

    def test_only_the_namespaces_it_serves_are_listed(self, clock: Clock, cluster: MemoryCluster) -> None:
        there(cluster)
        assert clock.run(Healer(cluster, "m", "o").resync.heal()) == 0
        assert clock.run(Healer(cluster, "m", "n").resync.heal()) == 3


class TestDeafness:
    def test_two_rounds_in_a_row_that_found_something_mean_a_deaf_watch(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        async def story() -> None:
            for round_number, deaf in ((1, False), (2, True), (3, True)):
                there(cluster)
                await healer.rounds(1)
                assert healer.resync.deaf is deaf, round_number

        clock.run(story())

    def test_a_quiet_round_gives_it_its_hearing_back(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        async def story() -> None:
            for _ in range(2):
                there(cluster)
                await healer.rounds(1)
            assert healer.resync.deaf
            await healer.rounds(1)
            assert not healer.resync.deaf

        clock.run(story())

    def test_a_round_that_fails_is_no_verdict_and_the_next_one_heals(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        async def story() -> None:
            there(cluster)
            cluster.fault = lambda _method, _path: ApiError(503, "ServiceUnavailable", "down")
            await healer.rounds(3)
            assert (healer.resync.deaf, healer.told) == (False, [])
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
