"""Nested calls under one limit share the slots of their caller, or are refused; none waits for its own caller."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, sharing, tags, task
from mintaka.concurrency.asyncio import concurrency as aconcurrency
from mintaka.concurrency.leases import renewer
from mintaka.concurrency.sync import concurrency
from mintaka.concurrency.tagged import KNOWN
from mintaka.exceptions import AcquireConcurrencySlotTimeoutError, ConcurrencySlotAcquisitionError, SharingError
from mintaka.sharing import shared
from mintaka.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Makes limits in a database of this test; every slot is free in the end."""
    monkeypatch.delenv("MINTAKA_HISTORY", raising=False)
    monkeypatch.delenv("MINTAKA_API_URL", raising=False)
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path))

    def make(name: str, slots: int = 1) -> None:
        assert shared().put_limit(name, slots, 0, overwrite=True)
        KNOWN.clear()

    yield make
    until = monotonic() + 10
    while any(limit.held or limit.waiting for limit in shared().limits()) or renewer()._leaving:
        assert monotonic() < until, shared().limits()
        sleep(0.01)
    sharing.close()
    KNOWN.clear()


class AtOnce:
    """Counts how many are inside at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self.most = 0
        self.all = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            self.all += 1
            self.most = max(self.most, self._inside)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1


@task(tags=["db"])
def inner(value: int = 1) -> int:
    return value


@task(tags=["db"])
async def inner_async(value: int = 1) -> int:
    await asyncio.sleep(0)
    return value


@flow
def subflow() -> int:
    return inner() + inner.submit(2).result()


@task(tags=["db"])
def calls() -> int:
    return inner(3)


@task(tags=["db"])
def submits() -> int:
    return inner.submit(3).result()


@task(tags=["db"])
def maps() -> int:
    return sum(inner.map([1, 1, 1]).result())


@task(tags=["db"])
def calls_a_subflow() -> int:
    return subflow()


@task(tags=["db"])
def calls_one_that_calls() -> int:
    return calls()


@task(tags=["db"])
def takes_the_limit_by_name() -> int:
    with concurrency("tag:db"):
        return inner(3)


@task(tags=["db"])
def calls_with_retries() -> int:
    tries: list[int] = []

    @task(tags=["db"], retries=2)
    def flaky() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise ValueError("again")
        return len(tries)

    return flaky()


@task(tags=["db"])
def calls_an_async_one() -> int:
    return asyncio.run(inner_async(3))


@task
def calls_under_a_tag_of_the_block() -> int:
    with tags("db"):
        return inner(3)


NESTED = [
    calls,
    submits,
    maps,
    calls_a_subflow,
    calls_one_that_calls,
    takes_the_limit_by_name,
    calls_with_retries,
    calls_an_async_one,
    calls_under_a_tag_of_the_block,
]


STARTS = ["called", "submitted", "outside of a flow", "around by name"]


@pytest.mark.parametrize(
    ("start", "outer"),
    [(start, outer) for outer in NESTED for start in STARTS if outer not in {submits, maps} or start != "outside of a flow"],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_task_inside_shares_the_slot_of_the_tag_that_its_caller_holds(outer: Any, start: str, limits: Callable[..., None]) -> None:
    limits("tag:db")

    @flow
    def main() -> Any:
        if start == "around by name":
            with concurrency("tag:db"):
                return outer.submit().result() + outer() - 3
        return outer.submit().result() if start == "submitted" else outer()

    assert (outer() if start == "outside of a flow" else main()) == 3


@pytest.mark.parametrize("runner", ["threads", "processes"])
def test_bodies_in_any_runner_share_the_slot_that_their_run_holds(runner: str, limits: Callable[..., None]) -> None:
    limits("tag:db")

    @task(tags=["db"])
    def outer() -> int:
        with concurrency("tag:db"):
            return inner(3)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2) if runner == "threads" else ProcessPoolTaskRunner(max_workers=2))
    def main() -> list[int]:
        return [outer.submit().result(), *(future.result() for future in [outer.submit() for _ in range(3)])]

    assert main() == [3, 3, 3, 3]


def test_async_code_shares_slots_too(limits: Callable[..., None]) -> None:
    limits("tag:db")
    limits("warehouse")

    @task(tags=["db"])
    async def outer() -> int:
        async with aconcurrency("warehouse"), aconcurrency(["warehouse", "tag:db"]):
            some = [inner_async.submit(1).result_async(), inner_async(1), asyncio.to_thread(inner, 1)]
            return sum(await asyncio.gather(*some)) + await in_thread()

    async def in_thread() -> int:
        def blocks() -> int:
            with concurrency("warehouse"):
                return inner(1)

        return await asyncio.to_thread(blocks)

    @flow
    async def main() -> list[int]:
        return [await outer(), await outer.submit()]

    assert asyncio.run(main()) == [4, 4]


def test_a_thread_of_the_users_own_shares_the_slots_of_the_run_that_started_it(limits: Callable[..., None]) -> None:
    limits("tag:db")
    values: list[int] = []

    @task(tags=["db"])
    def outer() -> list[int]:
        threads = [threading.Thread(target=lambda: values.append(inner(3))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with ThreadPoolExecutor(2) as pool:
            return [*values, *pool.map(inner, [1, 2])]

    @flow
    def main() -> list[int]:
        return outer()

    assert main() == [3, 3, 1, 2]


def test_of_those_inside_as_many_at_a_time_run_as_there_are_slots(limits: Callable[..., None]) -> None:
    """Submitting many under a limit does not make it void."""
    limits("db", 2)
    entered = AtOnce()

    @task
    def enter() -> None:
        with concurrency("db"), entered:
            sleep(0.01)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=8))
    def main() -> None:
        with concurrency("db", occupy=2):
            enter.map(range(0)).wait()
            futures = [enter.submit() for _ in range(8)]
            futures[0].wait()
        for future in futures:  # the others go on with what their caller borrowed, or with slots of their own
            future.result()

    main()
    assert (entered.most, entered.all) == (2, 8)


def test_a_slot_that_is_lent_is_released_when_it_comes_back(limits: Callable[..., None]) -> None:
    """Its holder may end before those it lent it to."""
    limits("db")
    begun, go_on = threading.Event(), threading.Event()

    @task
    def slow() -> float:
        with concurrency("db"):
            begun.set()
            go_on.wait(10)
        return 1

    @flow
    def main() -> list[float]:
        with concurrency("db"):
            future = slow.submit()
            begun.wait(10)
        found = shared().limit("db")
        assert found is not None
        with pytest.raises(AcquireConcurrencySlotTimeoutError), concurrency("db", timeout_seconds=0.05):
            pytest.fail("two were inside")
        go_on.set()
        return [found.held, future.result()]

    assert main() == [1, 1]
    with concurrency("db", timeout_seconds=5):
        pass


def test_code_that_is_not_inside_waits_as_ever(limits: Callable[..., None]) -> None:
    limits("db")
    entered = AtOnce()

    def enter() -> None:
        with concurrency("db"), entered:
            sleep(0.02)

    threads = [threading.Thread(target=Context().run, args=(enter,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (entered.most, entered.all) == (1, 4)


def test_siblings_in_a_loop_do_not_share(limits: Callable[..., None]) -> None:
    limits("db")
    entered = AtOnce()

    async def enter() -> None:
        async with aconcurrency("db"):
            with entered:
                await asyncio.sleep(0.01)

    @flow
    async def main() -> None:
        await asyncio.gather(*(enter() for _ in range(4)))

    asyncio.run(main())
    assert (entered.most, entered.all) == (1, 4)


def test_more_than_the_caller_holds_is_taken_if_it_is_free(limits: Callable[..., None]) -> None:
    limits("db", 3)

    @flow
    def main() -> float:
        with concurrency("db"), concurrency("db", occupy=2):
            found = shared().limit("db")
            assert found is not None
            return found.held

    assert main() == 3


@pytest.mark.parametrize("code", ["sync", "async"])
def test_more_than_the_caller_holds_is_not_waited_for(code: str, limits: Callable[..., None]) -> None:
    limits("db", 2)
    told = "^2 slots of db cannot be waited for, because the code around holds 1 slot of it meanwhile: occupy 2 there already, or give timeout_seconds$"

    @flow
    def main() -> None:
        with concurrency("db"), concurrency("db", occupy=2):
            pytest.fail("there are no three slots")

    @flow
    async def main_async() -> None:
        async with aconcurrency("db"), aconcurrency("db", occupy=2):
            pytest.fail("there are no three slots")

    with pytest.raises(ConcurrencySlotAcquisitionError, match=told):
        asyncio.run(main_async()) if code == "async" else main()


def test_more_than_the_caller_holds_is_waited_for_where_that_has_an_end(limits: Callable[..., None]) -> None:
    limits("db", 2)
    with concurrency("db"), pytest.raises(AcquireConcurrencySlotTimeoutError), concurrency("db", occupy=2, timeout_seconds=0.05):
        pytest.fail("there are no three slots")


def test_a_body_in_another_process_does_not_wait_for_what_its_flow_holds(limits: Callable[..., None]) -> None:
    limits("db")

    @task
    def enter() -> int:
        with concurrency("db"):
            return 1

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def main() -> list[Any]:
        with concurrency("db"):
            state = enter.submit(return_state=True)
        return [state.reason, state.message, enter.submit().result()]

    reason, message, value = main()
    assert (reason, value) == ("ConcurrencySlotAcquisitionError", 1)
    assert message == (
        "1 slot of db cannot be waited for, because the code around holds 1 slot of it meanwhile: it runs in another process, which cannot "
        "share them: take the slots in the tasks alone, or give timeout_seconds"
    )


def test_several_limits_are_shared_and_taken_together(limits: Callable[..., None]) -> None:
    limits("one")
    limits("two")

    @task
    def both() -> int:
        with concurrency(["one", "two", "none"]):
            found = [shared().limit(name) for name in ("one", "two")]
            return sum(int(limit.held) for limit in found if limit)

    @flow
    def main() -> list[int]:
        with concurrency("one"):
            return [both(), both.submit().result(), both()]

    assert main() == [2, 2, 2]


def test_those_inside_hear_that_the_slots_were_lost(limits: Callable[..., None]) -> None:
    limits("db")

    @flow
    def main() -> None:
        with concurrency("db"):
            found = shared().limit("db")
            assert found is not None
            with concurrency("db", strict=True):
                (lease,) = [lease for lease in renewer()._leases if not lease.lost]
                lease.lose("a test took them")
                sleep(0)

    with pytest.raises(ConcurrencySlotAcquisitionError, match="a test took them"):
        main()


def test_slots_that_are_released_after_their_place_was_closed_end_with_the_process(limits: Callable[..., None]) -> None:
    """The thread that releases and renews goes on."""
    limits("db")
    block = concurrency("db")
    with block:
        place = shared()
        sharing.close()
    place.release("no lease")
    with pytest.raises(SharingError, match="is closed"):
        place.limits()
    for lease in [lease for limit in shared().limits() for lease in limit.leases]:
        shared().release(lease.id)
    shared().remove_limit("db")
