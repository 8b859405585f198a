"""Letting committed runs leave the cluster: at their own pace each, whatever one of them meets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import pytest

from jumping import Clock, JumpingLoop
from mintaka_api.finalizers import Release, ReleaseQueue
from mintaka_api.metrics import Metrics
from mintaka_kubernetes import ClusterAway, ClusterRefusal, NoCluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from mintaka_api.cluster import Cluster

FORBIDDEN = ClusterRefusal(403, "Forbidden", "an admission policy says no")


@pytest.fixture
def clock() -> Iterator[Clock]:
    """A clock that jumps."""
    loop = JumpingLoop()
    yield Clock(loop)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


class Server:
    """Notes what is patched and deleted, and when; for some names it raises, or hangs so many seconds, the first `times` times."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.attempts: dict[str, list[float]] = {}
        self.done: dict[str, float] = {}
        self.faults: dict[str, Exception | float] = {}
        self.times = 10**9
        self._begin = clock.now()

    async def patch(self, _resource: Any, _namespace: str, name: str, _operations: Any) -> dict[str, Any]:
        return await self._answer(name)

    async def delete(self, _resource: Any, _namespace: str, name: str, _uid: str) -> dict[str, Any]:
        return await self._answer(name)

    async def _answer(self, name: str) -> dict[str, Any]:
        attempts = self.attempts.setdefault(name, [])
        attempts.append(self.clock.now() - self._begin)
        fault = self.faults.get(name, self.faults.get("*"))
        if len(attempts) <= self.times:
            if isinstance(fault, Exception):
                raise fault
            if fault is not None:
                await asyncio.sleep(fault)
        self.done[name] = self.clock.now() - self._begin
        return {}


def release(name: str, sequence: int = 4, **members: Any) -> Release:
    """A committed run."""
    return Release(f"uid-{name}", "ns", name, sequence, **members)


@asynccontextmanager
async def working(queue: ReleaseQueue) -> AsyncIterator[None]:
    """Let the queue work until the end of the block; it does not end by itself."""
    running = asyncio.create_task(queue.run())
    yield
    assert not running.done()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def play(clock: Clock, server: Server, *names: str, seconds: float = 600) -> ReleaseQueue:
    """Let the queue work for a while."""
    metrics = Metrics()

    async def story() -> ReleaseQueue:
        queue = ReleaseQueue(cast("Cluster", server), metrics)
        for name in names:
            queue.add(release(name))
        async with working(queue):
            await asyncio.sleep(seconds)
        return queue

    return clock.run(story())


@pytest.mark.parametrize("fault", [FORBIDDEN, RuntimeError("a bug"), 10**6], ids=["refused", "unforeseen", "hangs"])
def test_one_that_cannot_be_released_delays_no_other(clock: Clock, fault: Exception | float) -> None:
    """Its finalizer may be refused for ever, or its request hang."""
    server = Server(clock)
    server.faults["bad"] = fault
    queue = play(clock, server, "bad", *map(str, range(100)))
    assert set(server.done) == {str(number) for number in range(100)}
    assert max(server.done.values()) == 0
    assert len(queue) == 1


def test_one_that_is_refused_is_tried_again_with_growing_waits(clock: Clock) -> None:
    """Half a minute at most, for ever; once it is accepted, it goes."""
    server = Server(clock)
    server.faults["bad"], server.times = FORBIDDEN, 40
    queue = play(clock, server, "bad", seconds=2000)
    waits = [round(later - earlier, 1) for earlier, later in zip(server.attempts["bad"], server.attempts["bad"][1:], strict=False)]
    assert waits[:8] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6]
    assert set(waits[8:]) == {30.0}
    assert (len(waits), len(queue)) == (40, 0)


def test_the_wait_that_the_server_asks_for_is_obeyed(clock: Clock) -> None:
    """Retry-After."""
    server = Server(clock)
    server.faults["busy"], server.times = ClusterRefusal(429, "TooManyRequests", "slow down", 77.0), 1
    play(clock, server, "busy")
    assert server.attempts["busy"] == [0, 77]


@pytest.mark.parametrize("asked_for", [121.0, 86_400.0, float("inf")])
def test_a_wait_of_more_than_two_minutes_is_not_obeyed(clock: Clock, asked_for: float) -> None:
    """A proxy that requests a day during an outage would hold the run for a day."""
    server = Server(clock)
    server.faults["busy"], server.times = ClusterRefusal(503, "", "maintenance", asked_for), 1
    play(clock, server, "busy")
    assert server.attempts["busy"] == [0, 120]


@pytest.mark.parametrize("fault", [ClusterAway("no route"), NoCluster("no kubeconfig")])
def test_while_the_cluster_is_away_it_is_not_stormed(clock: Clock, fault: Exception) -> None:
    """Thousands that wait make no more requests than a few; all go when it is back."""
    server = Server(clock)
    server.faults["*"], server.times = fault, 3
    queue = play(clock, server, *map(str, range(2000)), seconds=60)
    assert sum(len(attempts) for attempts in server.attempts.values()) < 16 * 60 / 2
    server.faults.clear()
    assert len(queue) > 1900


def test_one_that_is_gone_is_not_tried_again(clock: Clock) -> None:
    """Another released it."""
    server = Server(clock)
    server.faults["gone"] = ClusterRefusal(404, "NotFound", "gone")
    assert len(play(clock, server, "gone")) == 0
    assert len(server.attempts["gone"]) == 1


@pytest.mark.parametrize("refusal", [ClusterRefusal(422, "Invalid", "a policy says no"), ClusterRefusal(409, "Conflict", "changed")])
def test_one_that_has_changed_is_tried_until_its_next_commit_says_otherwise(clock: Clock, refusal: ClusterRefusal) -> None:
    """An admission policy refuses with the code of a test that failed."""
    server = Server(clock)
    server.faults["changed"] = refusal

    async def story() -> None:
        queue = ReleaseQueue(cast("Cluster", server), Metrics())
        async with working(queue):
            queue.add(release("changed"))
            await asyncio.sleep(10)
            tried = len(server.attempts["changed"])
            assert tried > 4
            queue.discard("uid-changed")
            assert len(queue) == 0
            await asyncio.sleep(100)
            assert len(server.attempts["changed"]) == tried
            server.faults.clear()
            queue.add(release("changed", sequence=6))
            await asyncio.sleep(100)
            assert "changed" in server.done

    clock.run(story())


def test_a_newer_commit_of_a_run_that_is_being_released_is_released_after_it(clock: Clock) -> None:
    """The first patch may have pinned what is no longer so."""
    server = Server(clock)
    server.faults["slow"] = 5

    async def story() -> None:
        queue = ReleaseQueue(cast("Cluster", server), Metrics())
        async with working(queue):
            queue.add(release("slow"))
            await asyncio.sleep(1)
            queue.add(release("slow", sequence=5))
            await asyncio.sleep(60)
        assert len(server.attempts["slow"]) == 2
        assert len(queue) == 0

    clock.run(story())


def test_a_tombstone_is_deleted(clock: Clock) -> None:
    """Where it is, under its own name."""
    server = Server(clock)

    async def story() -> None:
        queue = ReleaseQueue(cast("Cluster", server), Metrics())
        async with working(queue):
            queue.add(release("gone", tombstone=("system", "mintaka-tombstone-1", "uid")))
            await asyncio.sleep(1)

    clock.run(story())
    assert list(server.done) == ["mintaka-tombstone-1"]


def test_what_waits_is_released_after_the_mirror_began_anew(clock: Clock) -> None:
    """Nothing that was committed is forgotten."""
    server = Server(clock)

    async def story() -> None:
        queue = ReleaseQueue(cast("Cluster", server), Metrics())
        server.faults["late"], server.times = 100.0, 1
        queue.add(release("late"))
        async with working(queue):
            await asyncio.sleep(1)
        async with working(queue):
            await asyncio.sleep(1)
        assert len(queue) == 0

    clock.run(story())
