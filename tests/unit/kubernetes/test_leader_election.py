"""Leader election: never two at once, however the API server behaves."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast

import pytest

from mintaka_kubernetes import ApiError, NoCluster
from mintaka_kubernetes.leader_election import DURATION_SECONDS, RENEW_SECONDS, Leadership, LeaseLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from jumping import Clock
    from memory_cluster import MemoryCluster
    from mintaka_core.errors import MintakaError
    from mintaka_kubernetes import Client

PATH = "/apis/coordination.k8s.io/v1/namespaces/system/leases/operator"
DOWN = ApiError(503, "ServiceUnavailable", "down")

#: What the API server does, by the seconds since the last renewal: it fails, or it hangs for so many seconds.
OUTAGES: dict[str, Callable[[float], MintakaError | float]] = {
    "it is down": lambda _: DOWN,
    "it cannot be reached": lambda _: ApiError(0, "Unreachable", "connection refused"),
    "there are no credentials any more": lambda _: NoCluster("the credential plugin gave no token"),
    "it forbids": lambda _: ApiError(403, "Forbidden", "no"),
    "it hangs": lambda _: 100.0,
    "it fails, then hangs": lambda seconds: DOWN if seconds < 9 else 100.0,
    "it fails now and hangs then": lambda seconds: 100.0 if int(seconds) % 3 else DOWN,
}


def claim(cluster: MemoryCluster, identity: str = "me") -> Leadership:
    """One replica."""
    return Leadership(cast("Client", cluster), namespace="system", name="operator", identity=identity)


def held(cluster: MemoryCluster, holder: str = "other", time: str = "2026-03-04T05:00:00.000000Z") -> None:
    """Somebody holds the Lease."""
    cluster.put(
        PATH, {"spec": {"holderIdentity": holder, "leaseDurationSeconds": DURATION_SECONDS, "renewTime": time, "leaseTransitions": 4}}
    )


def spec(cluster: MemoryCluster) -> dict[str, Any]:
    """The Lease as it stands."""
    return dict(cluster.objects[PATH]["spec"])


async def lost_after(leadership: Leadership, now: Callable[[], float]) -> float:
    """How long after its last renewal a leader gives up."""
    with pytest.raises(LeaseLost):
        await leadership.keep()
    return now() - leadership.renewed_time


class TestTaking:
    def test_the_first_replica_makes_the_lease(self, clock: Clock, cluster: MemoryCluster) -> None:
        clock.run(claim(cluster).acquire())
        assert spec(cluster)["holderIdentity"] == "me"
        assert spec(cluster)["leaseDurationSeconds"] == DURATION_SECONDS
        assert spec(cluster)["acquireTime"] == spec(cluster)["renewTime"]

    def test_a_lease_that_is_not_renewed_is_taken_after_its_duration_on_ones_own_clock(self, clock: Clock, cluster: MemoryCluster) -> None:
        held(cluster, time="1999-01-01T00:00:00.000000Z")  # its holder's clock is nobody's business
        begin = clock.now()
        clock.run(claim(cluster).acquire())
        assert DURATION_SECONDS < clock.now() - begin <= DURATION_SECONDS + 4
        assert spec(cluster)["leaseTransitions"] == 5

    def test_each_renewal_that_is_seen_starts_the_wait_anew(self, clock: Clock, cluster: MemoryCluster) -> None:
        held(cluster)
        for second in (5, 10, 15, 20):
            clock.loop.call_later(second, held, cluster, "other", f"2026-03-04T05:00:{second}.000000Z")
        begin = clock.now()
        clock.run(claim(cluster).acquire())
        assert 20 + DURATION_SECONDS < clock.now() - begin <= 20 + DURATION_SECONDS + 4

    def test_a_released_lease_is_taken_at_once(self, clock: Clock, cluster: MemoryCluster) -> None:
        held(cluster, holder="")
        begin = clock.now()
        clock.run(claim(cluster).acquire())
        assert clock.now() == begin

    def test_of_two_that_take_it_at_once_one_leads(self, clock: Clock, cluster: MemoryCluster) -> None:
        async def story() -> None:
            cluster.fault = lambda method, _: 0.1 if method == "GET" else None
            replicas = [claim(cluster, "one"), claim(cluster, "two")]
            tasks = [asyncio.create_task(replica.acquire()) for replica in replicas]
            await asyncio.sleep(1)
            assert sum(task.done() for task in tasks) == 1
            for task in tasks:
                task.cancel()

        clock.run(story())

    def test_an_api_server_that_is_down_is_asked_again(self, clock: Clock, cluster: MemoryCluster) -> None:
        until = clock.now() + 30
        cluster.fault = lambda _method, _path: DOWN if clock.now() < until else None
        clock.run(claim(cluster).acquire())
        assert clock.now() >= until


class TestKeeping:
    def test_a_leader_renews_and_keeps_the_time_it_began(self, clock: Clock, cluster: MemoryCluster) -> None:
        async def story() -> None:
            leadership = claim(cluster)
            await leadership.acquire()
            before = spec(cluster)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(leadership.keep(), 120)
            assert spec(cluster)["renewTime"] > before["renewTime"]
            assert {**spec(cluster), "renewTime": ""} == {**before, "renewTime": ""}
            assert clock.now() - leadership.renewed_time <= 2

        clock.run(story())

    @pytest.mark.parametrize("outage", OUTAGES)
    def test_a_leader_that_cannot_renew_gives_up_before_anybody_may_take_over(
        self, clock: Clock, cluster: MemoryCluster, outage: str
    ) -> None:
        async def story() -> None:
            leadership = claim(cluster)
            await leadership.acquire()
            begin = clock.now()
            cluster.fault = lambda _method, _path: OUTAGES[outage](clock.now() - begin)
            assert await lost_after(leadership, clock.now) <= RENEW_SECONDS + 0.001 < DURATION_SECONDS

        clock.run(story())

    def test_an_outage_shorter_than_that_is_survived(self, clock: Clock, cluster: MemoryCluster) -> None:
        async def story() -> None:
            leadership = claim(cluster)
            await leadership.acquire()
            begin = clock.now()
            cluster.fault = lambda _method, _path: DOWN if clock.now() - begin < RENEW_SECONDS - 3 else None
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(leadership.keep(), 60)

        clock.run(story())

    def test_a_renewal_counts_from_when_it_was_begun(self, clock: Clock, cluster: MemoryCluster) -> None:
        async def story() -> None:
            leadership = claim(cluster)
            cluster.fault = lambda method, _path: 3.0 if method == "POST" else None
            begin = clock.now()
            await leadership.acquire()
            assert (clock.now(), leadership.renewed_time) == (begin + 3, begin)

        clock.run(story())

    def test_a_leader_that_was_replaced_gives_up_as_soon_as_it_sees_it(self, clock: Clock, cluster: MemoryCluster) -> None:
        async def story() -> None:
            leadership = claim(cluster)
            await leadership.acquire()
            held(cluster, "other")
            assert await lost_after(leadership, clock.now) < RENEW_SECONDS

        clock.run(story())

    def test_a_leader_survives_a_change_of_its_lease_by_others(self, clock: Clock, cluster: MemoryCluster) -> None:
        async def story() -> None:
            leadership = claim(cluster)
            await leadership.acquire()
            cluster.put(PATH, cluster.objects[PATH])  # as by `kubectl annotate`, or its own write whose answer got lost
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(leadership.keep(), 60)
            assert spec(cluster)["holderIdentity"] == "me"

        clock.run(story())

    def test_a_leader_makes_a_lease_anew_that_was_deleted(self, clock: Clock, cluster: MemoryCluster) -> None:
        async def story() -> None:
            leadership = claim(cluster)
            await leadership.acquire()
            del cluster.objects[PATH]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(leadership.keep(), 60)
            assert spec(cluster)["holderIdentity"] == "me"

        clock.run(story())

    def test_two_replicas_never_lead_at_once_when_one_is_cut_off(self, clock: Clock, cluster: MemoryCluster) -> None:
        async def story() -> None:
            first, second = claim(cluster, "first"), claim(cluster, "second")
            await first.acquire()
            standby = asyncio.create_task(second.acquire())
            cut = asyncio.create_task(lost_after(first, clock.now))
            await asyncio.sleep(30)
            assert not standby.done()
            cut_off = type(cluster)()
            cut_off.fault = lambda _method, _path: 100.0
            first._client = cast("Client", cut_off)
            await cut
            lost_time = clock.now()
            await standby
            assert clock.now() > lost_time + 2

        clock.run(story())


class TestReleasing:
    def test_another_may_take_over_at_once(self, clock: Clock, cluster: MemoryCluster) -> None:
        async def story() -> None:
            leadership = claim(cluster)
            await leadership.acquire()
            await leadership.release()
            assert spec(cluster)["holderIdentity"] == ""
            begin = clock.now()
            await claim(cluster, "other").acquire()
            assert clock.now() == begin

        clock.run(story())

    def test_who_does_not_lead_releases_nothing(self, clock: Clock, cluster: MemoryCluster) -> None:
        held(cluster, "other")
        clock.run(claim(cluster).release())
        assert spec(cluster)["holderIdentity"] == "other"

    def test_a_lease_that_was_taken_meanwhile_is_left_alone(self, clock: Clock, cluster: MemoryCluster) -> None:
        async def story() -> None:
            leadership = claim(cluster)
            await leadership.acquire()
            held(cluster, "other")
            await leadership.release()
            assert spec(cluster)["holderIdentity"] == "other"

        clock.run(story())

    def test_an_api_server_that_hangs_does_not_hold_up_the_end(self, clock: Clock, cluster: MemoryCluster) -> None:
        async def story() -> None:
            leadership = claim(cluster)
            await leadership.acquire()
            cluster.fault = lambda _method, _path: 100.0
            begin = clock.now()
            await leadership.release()
            assert clock.now() - begin <= RENEW_SECONDS

        clock.run(story())

    @pytest.mark.parametrize("end", [RuntimeError("a bug"), asyncio.CancelledError(), LeaseLost("late"), None], ids=repr)
    def test_whatever_ends_its_block_the_lease_is_released(self, clock: Clock, cluster: MemoryCluster, end: BaseException | None) -> None:
        async def story() -> None:
            with contextlib.suppress(RuntimeError, LeaseLost, asyncio.CancelledError):
                async with claim(cluster) as leadership:
                    await leadership.acquire()
                    if end is not None:
                        raise end
            assert spec(cluster)["holderIdentity"] == ""

        clock.run(story())

    def test_each_change_is_reported(self, clock: Clock, cluster: MemoryCluster) -> None:
        async def story() -> None:
            reports: list[bool] = []
            leadership = Leadership(cast("Client", cluster), namespace="system", name="operator", identity="me", changed=reports.append)
            async with leadership:
                await leadership.acquire()
                assert reports == [True]
            assert reports == [True, False]

        clock.run(story())
