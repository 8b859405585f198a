"""What the watches missed is found by listing; a watch that misses things again and again is deaf."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from mintaka_core.names import API_VERSION
from mintaka_operator import paths
from mintaka_operator.cluster import ApiError, Cluster
from mintaka_operator.relisting import Relister
from mintaka_operator.settings import Settings
from mintaka_operator.stores import name_of
from mintaka_operator.world import World

if TYPE_CHECKING:
    from jumping import Clock
    from memory_cluster import MemoryCluster

PERIOD = 20
RUN = paths.flow_runs("n", "a")
DEPLOYMENT = paths.flow_deployments("n", "d")
POD = paths.pods("n", "a-1")


class Healer:
    """A relister whose observations go into the stores, as the operator's do."""

    def __init__(self, cluster: MemoryCluster, *namespaces: str) -> None:
        settings = Settings(namespaces=namespaces, relist=timedelta(seconds=PERIOD))
        self.world = World(cast("Cluster", cluster), settings)
        self.told: list[tuple[str, str | None, str]] = []
        self.woken: list[tuple[str, str]] = []
        self.relister = Relister(self.world, self.observe, self.woken.append)

    def observe(self, plural: str, kind: str | None, found: dict[str, Any]) -> None:
        """Take in what was missed."""
        self.told.append((plural, kind, name_of(found)[1]))
        store: Any = {"pods": self.world.pods, "flowruns": self.world.runs, "flowdeployments": self.world.deployments}[plural]
        store.remove(name_of(found)) if kind == "DELETED" else store.put(found)

    async def rounds(self, number: int) -> None:
        """Let it run for some rounds."""
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.relister.run(), number * (PERIOD + 7))


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
        assert clock.run(healer.relister.heal()) == 3
        assert sorted(healer.told) == [("flowdeployments", "MODIFIED", "d"), ("flowruns", "MODIFIED", "a"), ("pods", "MODIFIED", "a-1")]
        assert clock.run(healer.relister.heal()) == 0, "and then it is known"

    def test_a_change_is_told(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        there(cluster)
        clock.run(healer.relister.heal())
        healer.told.clear()
        cluster.put(RUN, cluster.objects[RUN])
        assert clock.run(healer.relister.heal()) == 1
        assert healer.told == [("flowruns", "MODIFIED", "a")]

    @pytest.mark.parametrize("path", [RUN, DEPLOYMENT, POD])
    def test_a_deletion_is_told(self, clock: Clock, cluster: MemoryCluster, healer: Healer, path: str) -> None:
        there(cluster)
        clock.run(healer.relister.heal())
        healer.told.clear()
        del cluster.objects[path]
        assert clock.run(healer.relister.heal()) == 1
        assert [kind for _, kind, _ in healer.told] == ["DELETED"]

    def test_an_event_on_its_way_was_not_missed(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        there(cluster)
        clock.run(healer.relister.heal())
        healer.told.clear()

        async def story() -> int:
            news = cluster.put(RUN, cluster.objects[RUN])
            clock.loop.call_later(1, healer.world.runs.put, news)
            return await healer.relister.heal()

        assert clock.run(story()) == 0
        assert healer.told == []

    def test_what_was_made_after_the_list_is_not_taken_for_deleted(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        async def story() -> int:
            def late(method: str, path: str) -> None:
                if method == "LIST" and path.endswith("flowruns"):
                    clock.loop.call_soon(lambda: healer.world.runs.put(cluster.put(RUN, {"metadata": {"uid": "u"}, "spec": {}})))

            cluster.fault = late
            return await healer.relister.heal()

        healer.world.runs.put(cluster.put(paths.flow_runs("n", "b"), {"metadata": {"uid": "x"}, "spec": {}}))
        assert clock.run(story()) == 0
        assert len(healer.world.runs) == 2

    def test_a_pod_that_belongs_to_no_flow_run_is_nobodys_business(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        cluster.put(POD, {"metadata": {"uid": "w", "creationTimestamp": "2026-03-04T05:00:00Z"}, "status": {}})
        assert clock.run(healer.relister.heal()) == 0

    def test_only_the_namespaces_it_serves_are_listed(self, clock: Clock, cluster: MemoryCluster) -> None:
        there(cluster)
        assert clock.run(Healer(cluster, "m", "o").relister.heal()) == 0
        assert clock.run(Healer(cluster, "m", "n").relister.heal()) == 3


class TestDeafness:
    def test_two_rounds_in_a_row_that_found_something_mean_a_deaf_watch(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        async def story() -> None:
            for round_number, deaf in ((1, False), (2, True), (3, True)):
                there(cluster)
                await healer.rounds(1)
                assert healer.relister.deaf is deaf, round_number

        clock.run(story())

    def test_a_quiet_round_gives_it_its_hearing_back(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        async def story() -> None:
            for _ in range(2):
                there(cluster)
                await healer.rounds(1)
            assert healer.relister.deaf
            await healer.rounds(1)
            assert not healer.relister.deaf

        clock.run(story())

    def test_a_round_that_fails_is_no_verdict_and_the_next_one_heals(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        async def story() -> None:
            there(cluster)
            cluster.fault = lambda _method, _path: ApiError(503, "ServiceUnavailable", "down")
            await healer.rounds(3)
            assert (healer.relister.deaf, healer.told) == (False, [])
            cluster.fault = lambda _method, _path: None
            await healer.rounds(1)
            assert len(healer.told) == 3

        clock.run(story())

    def test_each_round_looks_at_every_run_that_has_a_pod(self, clock: Clock, cluster: MemoryCluster, healer: Healer) -> None:
        there(cluster)
        clock.run(healer.rounds(1))
        assert healer.woken == [("n", "a")]
