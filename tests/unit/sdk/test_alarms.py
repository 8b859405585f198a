"""Being called later: in time, earlier where nobody need wait any more, and by one thread that ends."""

from __future__ import annotations

import threading
from time import monotonic

import pytest

from mintaka.engine.stopping import STOP
from mintaka.executing.alarms import Alarms


def test_each_is_called_when_it_is_time_the_first_first() -> None:
    """In whatever order they were asked for."""
    alarms, called, done = Alarms(), list[str](), threading.Event()
    began = monotonic()

    def late() -> None:
        called.append("late")
        done.set()

    alarms.call(0.2, bool, late)
    alarms.call(0.05, bool, lambda: called.append("early"))
    assert done.wait(20)
    assert called == ["early", "late"]
    assert monotonic() - began >= 0.2


def test_nobody_waits_for_a_run_that_is_over_or_in_a_process_that_stops() -> None:
    """Both are noticed soon."""
    alarms, over, called = Alarms(), threading.Event(), [threading.Event(), threading.Event()]
    alarms.call(3600, over.is_set, called[0].set)
    alarms.call(3600, bool, called[1].set)
    over.set()
    assert called[0].wait(20)
    assert not called[1].is_set()
    STOP.request()
    assert called[1].wait(20)


def test_thousands_wait_on_one_thread() -> None:
    """Which is gone afterwards."""
    alarms, left, done = Alarms(), list(range(2000)), threading.Event()
    before = threading.active_count()

    def work() -> None:
        left.pop()
        if not left:
            done.set()

    for _ in range(2000):
        alarms.call(0.05, bool, work)
    assert threading.active_count() <= before + 1
    assert done.wait(20)


def _raises(*_: object) -> bool:
    message = "broken"
    raise RuntimeError(message)


@pytest.mark.parametrize("where", ["over", "work"])
def test_who_raises_takes_the_alarm_of_nobody_else(where: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is told; who cannot say whether it need wait is called rather than forgotten; the others are called as they wanted."""
    alarms, called, done = Alarms(), threading.Event(), threading.Event()
    if where == "over":
        alarms.call(3600, _raises, called.set)
    else:
        alarms.call(0.01, bool, _raises)  # type: ignore[arg-type]
    alarms.call(0.2, bool, done.set)
    assert done.wait(20)
    assert called.is_set() == (where == "over")
    assert [record.exc_info is not None for record in caplog.records] == [True]
