"""Who leads among the API's replicas: work runs at one of them, and never at one that lost its Lease."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from jumping import Clock, JumpingLoop
from memory_cluster import MemoryCluster
from mintaka_api.background_tasks import Part
from mintaka_api.leader import Leader, NotLeading
from mintaka_api.metrics import Metrics
from mintaka_api.settings import Settings
from mintaka_kubernetes import ApiError, leader_election

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from mintaka_kubernetes import Client


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """A clock that jumps."""
    loop = JumpingLoop()
    monkeypatch.setattr(leader_election, "time", SimpleNamespace(monotonic=loop.time))
    yield Clock(loop)
    loop.close()


class Replica:
    """One replica and the work that only the leader does: `periods` are its beginnings and ends, in seconds."""

    def __init__(self, cluster: MemoryCluster, name: str, clock: Clock) -> None:
        settings = Settings(release_namespace="system", lease_name="api", identity=name)
        self.metrics = Metrics()
        self.leader = Leader(cast("Client", cluster), settings, self.metrics)
        self.clock = clock
        self.periods: list[tuple[float, float]] = []

    async def work(self) -> None:
        """Work until cancelled."""
        begin = self.clock.now()
        try:
            await asyncio.sleep(1_000_000)
        finally:
            self.periods.append((begin, self.clock.now()))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """The election and the work, until the end of the block; the task of the election."""
        election = asyncio.create_task(self.leader.run(Part("leader-election")))
        working = asyncio.create_task(self.leader.while_leading(self.work))
        try:
            yield election
        finally:
            for task in (election, working):
                task.cancel()
            await asyncio.gather(election, working, return_exceptions=True)

    @property
    def gauge(self) -> float | None:
        """What the metrics say."""
        return self.metrics.registry.get_sample_value("mintaka_api_leading")


def test_one_of_three_works_and_the_others_stand_by(clock: Clock) -> None:
    """And report it, which is not a problem."""

    async def story() -> None:
        cluster = MemoryCluster()
        replicas = [Replica(cluster, name, clock) for name in "abc"]
        async with replicas[0].running(), replicas[1].running(), replicas[2].running():
            await asyncio.sleep(60)
            (leader,) = (replica for replica in replicas if replica.leader.leading)
            assert sorted(replica.gauge or 0 for replica in replicas) == [0, 0, 1]
            notes = {replica.leader.note for replica in replicas if replica is not leader}
            assert notes == {f"standing by: {leader.leader._settings.identity} leads"}
            assert {replica.leader.problem for replica in replicas} == {""}
        assert len(leader.periods) == 1

    clock.run(story())


def test_a_leader_that_dies_is_replaced_within_fifteen_seconds(clock: Clock) -> None:
    """It cannot release its Lease any more."""

    async def story() -> None:
        cluster = MemoryCluster()
        first, second = Replica(cluster, "first", clock), Replica(cluster, "second", clock)
        async with first.running() as election:
            await asyncio.sleep(5)
            async with second.running():
                await asyncio.sleep(20)
                cluster.fault = lambda _method, _path: ApiError(0, "Unreachable", "it is dead")
                died = clock.now()
                election.cancel()
                await asyncio.gather(election, return_exceptions=True)
                cluster.fault = lambda _method, _path: None
                await asyncio.sleep(30)
            assert 0 < second.periods[0][0] - died <= 15

    clock.run(story())


def test_a_leader_that_stops_hands_over_at_once(clock: Clock) -> None:
    """Its work has ended before."""

    async def story() -> None:
        cluster = MemoryCluster()
        first, second = Replica(cluster, "first", clock), Replica(cluster, "second", clock)
        async with second.running():
            await asyncio.sleep(1)
            async with first.running():
                await asyncio.sleep(10)
                assert second.leader.leading
        async with first.running():
            await asyncio.sleep(2)
            assert first.leader.leading
        assert second.periods[0][1] <= first.periods[0][0]

    clock.run(story())


def test_a_leader_that_cannot_renew_stops_its_work_before_another_begins(clock: Clock) -> None:
    """And works again once it is elected again."""

    async def story() -> None:
        cluster = MemoryCluster()
        first, second = Replica(cluster, "first", clock), Replica(cluster, "second", clock)
        cut_off = False
        request = cluster.request

        async def through(*arguments: object, **options: object) -> object:
            if cut_off:
                raise ApiError(503, "ServiceUnavailable", "cut off")
            return await request(*arguments, **options)  # type: ignore[arg-type]

        first.leader._client = cast("Client", SimpleNamespace(request=through))
        async with first.running():
            await asyncio.sleep(5)
            async with second.running():
                await asyncio.sleep(5)
                cut_off = True
                await asyncio.sleep(30)
                assert second.leader.leading
                assert not first.leader.leading
                assert "cannot be used" in first.leader.problem
                cut_off = False
            await asyncio.sleep(5)
            assert first.leader.leading
            assert first.leader.problem == ""
        assert first.periods[0][1] <= second.periods[0][0] <= second.periods[0][1] <= first.periods[1][0]

    clock.run(story())


def test_a_replica_that_was_frozen_does_not_write(clock: Clock) -> None:
    """It learns so from the clock, before any of its tasks ran again."""

    async def story() -> None:
        replica = Replica(MemoryCluster(), "frozen", clock)
        async with replica.running():
            await asyncio.sleep(5)
            replica.leader.check()
            clock.loop.now += 30
            with pytest.raises(NotLeading, match="frozen does not hold the Lease system/api"):
                replica.leader.check()

    clock.run(story())


def test_without_a_lease_this_process_leads(clock: Clock) -> None:
    """As a single replica does, with SQLite for example; its work may end, and may fail."""

    async def story() -> None:
        leader = Leader(None, Settings(lease_name="api"))
        assert (leader.elected, leader.leading, leader.note, leader.problem) == (False, True, "", "")
        leader.check()
        await leader.while_leading(lambda: asyncio.sleep(1))

        async def fail() -> None:
            message = "of the work"
            raise ArithmeticError(message)

        with pytest.raises(ArithmeticError):
            await leader.while_leading(fail)

    clock.run(story())


def test_work_that_finds_out_that_it_lost_the_lease_begins_again_when_it_is_won(clock: Clock) -> None:
    """NotLeading is not a failure of the work."""

    async def story() -> None:
        begun = []

        async def work() -> None:
            begun.append(clock.now())
            if len(begun) < 3:
                message = "lost"
                raise NotLeading(message)

        await Leader(None, Settings()).while_leading(work)
        assert len(begun) == 3

    clock.run(story())
