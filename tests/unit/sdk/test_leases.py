"""Leases that a process holds, and those that it lets go."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

from mintaka.concurrency.leases import HeldLease, Renewer

if TYPE_CHECKING:
    from collections.abc import Sequence


class Place:
    """Where everything is renewed; `events` is what was done, in order."""

    def __init__(self, events: list[str], renewed: threading.Event) -> None:
        self.events = events
        self.renewed = renewed

    def renew(self, leases: Sequence[str], _seconds: float) -> set[str]:
        self.events.append("renewed")
        self.renewed.set()
        return set(leases)


class Leaving:
    """A claim whose release makes a lease due, as one does that takes long."""

    def __init__(self, lease: HeldLease, events: list[str], released: threading.Semaphore) -> None:
        self._lease = lease
        self._events = events
        self._released = released

    def release(self) -> None:
        self._events.append("released")
        self._lease.due = 0.0
        self._released.release()


def test_many_who_let_go_slowly_do_not_keep_leases_from_being_renewed() -> None:
    """What is due comes before the next of them."""
    events: list[str] = []
    renewed, released = threading.Event(), threading.Semaphore(0)
    renewer = Renewer()
    lease = HeldLease(cast("Any", Place(events, renewed)), "id", ("db",), 3600.0, lambda: None)
    renewer.add(lease)
    with renewer._changed:
        for _ in range(3):
            renewer._leaving.append(cast("Any", Leaving(lease, events, released)))
        renewer._changed.notify()
    for _ in range(3):
        assert released.acquire(timeout=10)
    assert renewed.wait(10)
    assert events[:5] == ["released", "renewed", "released", "renewed", "released"]
