"""Which run gets a process next."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from time import process_time
from typing import TYPE_CHECKING

import pytest

from mintaka_api.local.processes.process_slots import RESERVED_SECONDS, ProcessSlots
from mintaka_core.workloads import CreateErrorKind

if TYPE_CHECKING:
    from mintaka_api.local.processes.waiting_runs import Limits

START = datetime(2026, 3, 4, 5, tzinfo=UTC)
NO_LIMITS: Limits = {}


class Slots(ProcessSlots):
    """Slots that are requested with the number of a run; lower numbers are older."""

    def __init__(self, limit: int) -> None:
        self.offered: list[str] = []
        super().__init__(limit, lambda run: self.offered.append(run[1]))

    def ask(self, number: int, now: float = 0.0, limits: Limits = NO_LIMITS) -> bool:
        """Whether the run gets a slot."""
        name = f"run-{number}"
        return self.take(f"w{number}", f"u{number}", ("local", name), START + timedelta(seconds=number), now, limits) is None


def test_there_are_as_many_as_the_limit_says() -> None:
    slots = Slots(2)
    assert [slots.ask(number) for number in (1, 2, 3)] == [True, True, False]


def test_a_refusal_says_how_many_run_and_wait() -> None:
    slots = Slots(1)
    slots.ask(1)
    slots.ask(2)
    error = slots.take("w3", "u3", ("local", "run-3"), START + timedelta(seconds=3), 0.0)
    assert error is not None
    assert (error.reason, error.kind, error.patience) == ("ProcessLimitReached", CreateErrorKind.CAPACITY, None)
    assert error.message.startswith("1 of at most 1 processes run on this machine, 1 older run waits: ")


def test_the_oldest_is_the_next_in_any_order_of_requests() -> None:
    slots = Slots(1)
    slots.ask(1)
    slots.ask(3)
    slots.ask(2)
    slots.free("w1", 1.0)
    assert slots.offered == ["run-2"]
    assert [slots.ask(4, 1.1), slots.ask(3, 1.1), slots.ask(2, 1.1)] == [False, False, True]


def test_one_that_does_not_come_loses_its_place() -> None:
    """The run was cancelled or deleted."""
    slots = Slots(1)
    for number in (1, 2, 3):
        slots.ask(number)
    slots.free("w1", 1.0)
    assert slots.offer_next(1.0 + RESERVED_SECONDS) is not None
    assert slots.offered == ["run-2", "run-3"]
    assert slots.ask(3, 3.5)
    assert slots.offer_next(10.0) is None


def test_freeing_twice_frees_one() -> None:
    slots = Slots(2)
    slots.ask(1)
    slots.ask(2)
    slots.free("w1", 0.0)
    slots.free("w1", 0.0)
    assert [slots.ask(3), slots.ask(4)] == [True, False]


def test_several_free_slots_are_offered_to_several() -> None:
    slots = Slots(2)
    for number in (1, 2, 3, 4, 5):
        slots.ask(number)
    slots.free("w1", 1.0)
    slots.free("w2", 1.0)
    assert slots.offered == ["run-3", "run-4"]
    assert [slots.ask(5, 1.1), slots.ask(4, 1.1), slots.ask(3, 1.1)] == [False, True, True]


def test_a_run_of_a_full_group_that_lost_its_place_does_not_prevent_a_younger_one_from_starting() -> None:
    slots = Slots(2)
    slots.ask(1)
    slots.ask(2)
    slots.ask(3, 0.0, {"a": 1})
    slots.ask(5)
    slots.free("w1", 1.0)
    assert slots.offered == ["run-3"]
    late = 1.0 + RESERVED_SECONDS
    assert not slots.ask(4, late, {"a": 1}), "run 3 has its place until the next offer"
    assert slots.offer_next(late) is not None
    assert slots.offered == ["run-3", "run-4"]


@pytest.mark.parametrize("groups", [0, 20, 10_000])
def test_thousands_of_waiting_runs_slow_no_request_down(groups: int) -> None:
    """All of it takes less than a second; it takes minutes if each request walks through all runs that wait."""
    slots = Slots(4)
    numbers = list(range(10_000))
    random.Random(7).shuffle(numbers)
    for number in range(10_000, 10_004):
        slots.ask(number)
    began = process_time()
    for number in numbers:
        assert not slots.ask(number, 0.0, {f"g{number % groups}": 1} if groups else {})
    for n in range(1000):
        held = next(iter(slots.taken))
        slots.free(held, 1.0)
        offered = slots.offered.pop()
        assert offered == f"run-{n}"
        assert slots.ask(n, 1.0, {f"g{n % groups}": 1} if groups else {})
    assert process_time() - began < 10
