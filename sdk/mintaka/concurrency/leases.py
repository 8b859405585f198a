"""Leases that this process holds: one thread renews them, so that they last as long as the process and hardly longer.

A lease is renewed when a third of its time has passed. While the API or database is away that is tried again; what has
not been renewed when its time is over counts as lost, because somebody else may be given its slots.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakSet

from mintaka.exceptions import SharingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka.concurrency.claims import Claim
    from mintaka.sharing.protocol import Shared

logger = logging.getLogger("mintaka.concurrency")

_RENEWED_AFTER = 1 / 3
_LONGEST_RETRY_SECONDS = 2.0


class HeldLease:
    """Slots that are held: `lost` says why they may not be any more, "" while they are. `on_lost` is called once, by any thread."""

    def __init__(self, place: Shared, lease: str, names: tuple[str, ...], seconds: float, on_lost: Callable[[], object]) -> None:
        self.place = place
        self.id = lease
        self.names = names
        self.seconds = seconds
        self.on_lost = on_lost
        self.lost = ""
        self.renewed(monotonic())

    def renewed(self, when: float) -> None:
        """It lasts for its time from `when` on (`time.monotonic()`)."""
        self.due = when + self.seconds * _RENEWED_AFTER
        self.until = when + self.seconds

    def lose(self, why: str) -> None:
        """It is not held any more."""
        if not self.lost:
            self.lost = why
            logger.warning("slots of %s were lost while they were held: %s; others may hold them as well", ", ".join(self.names), why)
            self.on_lost()


class Renewer:
    """Renews what is held. A lease that nobody refers to any more is not."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._leases: WeakSet[HeldLease] = WeakSet()
        self._leaving: deque[Claim] = deque()
        self._thread: threading.Thread | None = None

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="mintaka-leases", daemon=True)
            self._thread.start()

    def add(self, lease: HeldLease) -> None:
        """Renew `lease` from now on."""
        with self._changed:
            self._leases.add(lease)
            self._start()
            self._changed.notify()

    def remove(self, lease: HeldLease) -> None:
        """Not any more."""
        with self._changed:
            self._leases.discard(lease)

    def let_go(self, claim: Claim) -> None:
        """Release `claim`, in the background."""
        with self._changed:
            self._leaving.append(claim)
            self._start()
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._leaving:
                    next_due = min((lease.due for lease in self._leases), default=None)
                    if next_due is not None and next_due <= monotonic():
                        break
                    self._changed.wait(None if next_due is None else next_due - monotonic())
                due = [lease for lease in self._leases if lease.due <= monotonic()]
                leaving = self._leaving.popleft() if self._leaving else None
            for place in {lease.place for lease in due}:
                for seconds in {lease.seconds for lease in due if lease.place is place}:
                    renew(place, seconds, [lease for lease in due if lease.place is place and lease.seconds == seconds])
            if leaving is not None:  # one at a time: what is to be renewed does not wait for all who let go
                leaving.release()


def renew(place: Shared, seconds: float, leases: list[HeldLease]) -> None:
    """Renew leases of the same place and length."""
    began = monotonic()
    try:
        left = place.renew([lease.id for lease in leases], seconds)
    except SharingError as error:
        logger.warning("slots of %s could not be renewed yet: %s", ", ".join(sorted({n for lease in leases for n in lease.names})), error)
        for lease in leases:
            lease.due = monotonic() + min(_LONGEST_RETRY_SECONDS, seconds * _RENEWED_AFTER)
            if lease.until <= monotonic():
                lease.lose(f"they could not be renewed for {seconds:g} s")
        return
    for lease in leases:
        if lease.id in left:
            lease.renewed(began)
        else:
            _RENEWER.remove(lease)
            lease.lose("they were not renewed in time, and somebody else asked for them")


_RENEWER = Renewer()


def renewer() -> Renewer:
    """This process's renewer."""
    return _RENEWER


def _begin_anew() -> None:
    global _RENEWER  # noqa: PLW0603 - a thread does not survive a fork, and the leases are the parent's
    _RENEWER = Renewer()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
