"""The work queue: each key once, never twice at a time, none lost."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumping import Clock, JumpingLoop
from mintaka_controller.work_queue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def working(queue: WorkQueue[str], work: Callable[[str], Awaitable[None]], seconds: float, workers: int = 2) -> None:
    """Let workers work for some time of the clock."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await queue.run(workers, work)


class Log:
    """Notes who worked on what and when; a key takes `seconds` of work."""

    def __init__(self, now: Callable[[], float], seconds: float = 0.0) -> None:
        self._now, self._start, self._seconds = now, now(), seconds
        self.done: list[tuple[str, float]] = []
        self.active: set[str] = set()

    async def work(self, key: str) -> None:
        """Work on a key."""
        assert key not in self.active, "worked on twice at the same time"
        self.active.add(key)
        await asyncio.sleep(self._seconds)
        self.active.discard(key)
        self.done.append((key, round(self._now() - self._start, 3)))

    @property
    def keys(self) -> list[str]:
        """The keys, in order."""
        return [key for key, _ in self.done]


class TestWorkQueue:
    def test_a_key_whose_time_has_come_precedes_the_others_of_its_lane(self, clock: Clock) -> None:
        """A schedule fires in time although hundreds of runs wait."""

        async def story() -> None:
            queue, log = WorkQueue[str](), Log(clock.now, seconds=0.1)
            for number in range(100):
                queue.add(f"run {number}")
            queue.add("waits already")
            queue.add_after("due", 1, urgent=True)
            queue.add_after("waits already", 1, urgent=True)
            queue.add_after("not urgent", 1)
            await working(queue, log.work, 30, workers=1)
            moments = dict(log.done)
            assert max(moments["due"], moments["waits already"]) <= 1.4
            assert moments["not urgent"] > 10
            assert sorted(log.keys) == sorted([*(f"run {number}" for number in range(100)), "due", "waits already", "not urgent"])

        clock.run(story())

    def test_urgent_keys_do_not_starve_the_others_of_their_lane(self, clock: Clock) -> None:
        """Every eighth key is another one, however many schedules are due."""

        async def story() -> None:
            queue, log = WorkQueue[str](), Log(clock.now, seconds=0.1)
            queue.add("run 1")
            queue.add("run 2")
            for number in range(100):
                queue.add(f"due {number}", urgent=True)
            await working(queue, log.work, 3, workers=1)
            assert [log.keys.index("run 1"), log.keys.index("run 2")] == [7, 15]
            assert [key for key in log.keys if key.startswith("due")] == [f"due {number}" for number in range(len(log.keys) - 2)]

        clock.run(story())

    def test_a_key_added_many_times_is_worked_on_once(self, clock: Clock) -> None:
        async def story() -> None:
            queue, log = WorkQueue[str](), Log(clock.now)
            for key in ("a", "b", "a", "a"):
                queue.add(key)
            assert len(queue) == 2
            await working(queue, log.work, 1)
            assert log.keys == ["a", "b"]

        clock.run(story())

    def test_a_key_added_while_it_is_worked_on_is_worked_on_again_afterwards(self, clock: Clock) -> None:
        async def story() -> None:
            queue, log = WorkQueue[str](), Log(clock.now, 5)
            queue.add("a")
            for second in (1, 2, 3):
                clock.loop.call_later(second, queue.add, "a")
            await working(queue, log.work, 60)
            assert log.done == [("a", 5), ("a", 10)]

        clock.run(story())

    def test_a_key_that_adds_itself_is_worked_on_again(self, clock: Clock) -> None:
        async def story() -> None:
            queue, seen = WorkQueue[str](), []

            async def work(key: str) -> None:
                seen.append(key)
                if len(seen) < 3:
                    queue.add(key)

            queue.add("a")
            await working(queue, work, 1, workers=1)
            assert seen == ["a", "a", "a"]

        clock.run(story())

    def test_other_keys_do_not_wait_for_a_slow_one(self, clock: Clock) -> None:
        async def story() -> None:
            queue, log = WorkQueue[str](), Log(clock.now)

            async def work(key: str) -> None:
                await asyncio.sleep(100 if key == "slow" else 0)
                await log.work(key)

            for key in ("slow", "b", "c"):
                queue.add(key)
            await working(queue, work, 10)
            assert log.keys == ["b", "c"]

        clock.run(story())

    def test_of_several_times_the_earliest_counts(self, clock: Clock) -> None:
        async def story() -> None:
            queue, log = WorkQueue[str](), Log(clock.now)
            for seconds in (30, 10, 20):
                queue.add_after("a", seconds)
            await working(queue, log.work, 60)
            assert log.done == [("a", 10)]

        clock.run(story())

    def test_an_earlier_time_named_while_another_is_awaited(self, clock: Clock) -> None:
        async def story() -> None:
            queue, log = WorkQueue[str](), Log(clock.now)
            queue.add_after("a", 30)
            queue.add_after("b", 40)
            clock.loop.call_later(5, queue.add_after, "b", 1)
            await working(queue, log.work, 60)
            assert log.done == [("b", 6), ("a", 30)]

        clock.run(story())

    @pytest.mark.parametrize("seconds", [0, -5])
    def test_a_time_that_is_past_means_at_once(self, clock: Clock, seconds: float) -> None:
        async def story() -> None:
            queue, log = WorkQueue[str](), Log(clock.now)
            queue.add_after("a", seconds)
            await working(queue, log.work, 1)
            assert log.done == [("a", 0)]

        clock.run(story())

    def test_waits_double_up_to_a_minute_and_start_anew_after_success(self, clock: Clock) -> None:
        async def story() -> None:
            queue = WorkQueue[str]()
            waits = [queue.retry("a") for _ in range(12)]
            assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
            assert waits[-2:] == [60, 60]
            assert queue.retry("b") == 0.1, "each key has its own"
            queue.forget("a")
            assert queue.retry("a") == 0.1

        clock.run(story())

    @pytest.mark.parametrize(("asked_for", "wait"), [(0.0, 0.1), (77.0, 77), (121.0, 120), (86_400.0, 120), (float("inf"), 120)])
    def test_a_wait_that_is_asked_for_is_obeyed_up_to_two_minutes(self, clock: Clock, asked_for: float, wait: float) -> None:
        async def story() -> None:
            queue, log = WorkQueue[str](), Log(clock.now)
            assert queue.retry("a", asked_for) == wait
            await working(queue, log.work, 1000)
            assert log.done == [("a", wait)]

        clock.run(story())

    def test_a_key_that_fails_is_worked_on_until_it_goes_well(self, clock: Clock) -> None:
        async def story() -> None:
            queue, log = WorkQueue[str](), Log(clock.now)

            async def work(key: str) -> None:
                await log.work(key)
                if len(log.done) < 4:
                    queue.retry(key)

            queue.add("a")
            await working(queue, work, 60)
            assert [moment for _, moment in log.done] == [0, 0.1, 0.3, 0.7]

        clock.run(story())


steps = st.lists(
    st.tuples(st.sampled_from(["add", "add_after", "retry"]), st.sampled_from("abc"), st.floats(0, 20), st.floats(0, 30)),
    min_size=1,
    max_size=25,
)


class TestAnyInterleaving:
    @given(steps, st.integers(1, 3), st.floats(0, 5))
    def test_no_wish_is_lost_and_none_is_early_or_doubled(
        self, wishes: list[tuple[str, str, float, float]], workers: int, effort: float
    ) -> None:
        clock = Clock(JumpingLoop())  # one for each example
        try:
            clock.run(self._story(clock, wishes, workers, effort))
        finally:
            clock.loop.close()

    async def _story(self, clock: Clock, wishes: list[tuple[str, str, float, float]], workers: int, effort: float) -> None:
        queue = WorkQueue[str]()
        begun: list[tuple[str, float]] = []
        active: set[str] = set()

        async def work(key: str) -> None:
            assert key not in active, "worked on twice at the same time"
            active.add(key)
            begun.append((key, clock.now()))
            await asyncio.sleep(effort)
            active.discard(key)

        def wish(kind: str, key: str, seconds: float) -> None:
            urgent = seconds > 15
            if kind == "add":
                queue.add(key, urgent=urgent)
            elif kind == "add_after":
                queue.add_after(key, seconds, urgent=urgent)
            else:
                queue.retry(key)

        start = clock.now()
        for kind, key, at, seconds in wishes:
            clock.loop.call_later(at, wish, kind, key, seconds)
        await working(queue, work, 10_000, workers)
        assert len(begun) <= len(wishes), "worked on more often than anybody wished"
        for _, key, at, _ in wishes:
            # Of several times the earliest counts: whichever it was, the work began after the wish.
            assert any(name == key and moment >= start + at - 1e-6 for name, moment in begun), f"{key}, wished for at {at}, was lost"
        for key in {key for _, key, _, _ in wishes}:
            soonest = min(at + (seconds if kind == "add_after" else 0) for kind, name, at, seconds in wishes if name == key)
            assert all(moment >= start + soonest - 1e-6 for name, moment in begun if name == key), f"{key} was early"
