"""Slots that the code around a call holds, and lends to the calls inside, so that those do not wait for their own caller.

A block or task run that holds slots of a limit lends them to whatever it calls or submits that needs the same limit, to as many
at a time as it has slots. Slots that are lent when their holder ends are released when they come back. A holder in another
process lends nothing, because it cannot be known there how many share its slots at a time.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from contextvars import ContextVar
from typing import TYPE_CHECKING

from mintaka.exceptions import ConcurrencySlotAcquisitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class Holding:
    """`slots` of each limit in `names`, held around a call. `here` is False if another process holds them."""

    def __init__(
        self,
        names: Iterable[str],
        slots: int,
        loss: Callable[[], ConcurrencySlotAcquisitionError | None] = lambda: None,
        *,
        here: bool = True,
    ) -> None:
        self.names = frozenset(names)
        self.slots = slots
        #: What to raise if the slots were lost; None while they are held.
        self.loss = loss
        self._process = os.getpid() if here else 0
        self._lock = threading.Lock()
        self._lent: Counter[str] = Counter()
        self._borrowers: list[Callable[[], None]] = []
        self._is_open = True
        self._release: Callable[[], None] | None = None

    def has(self, name: str) -> bool:
        """True while its holder runs, if it holds slots of that limit."""
        return self._is_open and name in self.names

    def can_lend(self, slots: int) -> bool:
        """True if it could lend so many slots, now or later."""
        return self._process == os.getpid() and slots <= self.slots

    def lend(self, name: str, slots: int, on_lost: Callable[[], None]) -> bool:
        """Lend `slots` of `name` unless too many are lent already; `on_lost` is called if they are lost meanwhile."""
        with self._lock:
            if not self.has(name) or not self.can_lend(slots) or self._lent[name] + slots > self.slots:
                return False
            self._lent[name] += slots
            self._borrowers.append(on_lost)
            return True

    def take_back(self, name: str, slots: int, on_lost: Callable[[], None]) -> None:
        """What `lend` lent is not used any more."""
        with self._lock:
            self._lent[name] -= slots
            self._borrowers.remove(on_lost)
            release = None if self._lent.total() else self._release
        if release is not None:
            release()

    def lost(self) -> None:
        """The slots are not held any more: notify those that borrowed them."""
        for on_lost in tuple(self._borrowers):
            on_lost()

    def close(self, release: Callable[[], None]) -> None:
        """Its holder is over: lend nothing more, and call `release` once everything has come back."""
        with self._lock:
            self._is_open = False
            self._release = release
            lent = self._lent.total()
        if not lent:
            release()


#: What the code around holds, innermost first.
HELD: ContextVar[tuple[Holding, ...]] = ContextVar("mintaka_held_slots", default=())


def enter(holding: Holding | None) -> None:
    """From now on the code in this context runs inside `holding`."""
    if holding is not None:
        HELD.set((holding, *HELD.get()))


def leave(holding: Holding | None) -> None:
    """The code that ran inside `holding` is over."""
    if holding is not None:
        HELD.set(tuple(other for other in HELD.get() if other is not holding))


def refuse_deadlock(around: Sequence[Holding], blocked: Iterable[str], slots: int) -> None:
    """Do not wait for `slots` of each limit in `blocked` if the code `around` holds some that it cannot lend.

    Raises:
        ConcurrencySlotAcquisitionError: the wait would not end, if others do the same.
    """
    for name in blocked:
        held = [holding for holding in around if holding.has(name)]
        if not held or any(holding.can_lend(slots) for holding in held):
            continue
        most = max(holding.slots for holding in held)
        why = (
            f"occupy {slots} there already"
            if most < slots
            else "it runs in another process, which cannot share them: take the slots in the tasks alone"
        )
        message = (
            f"{number_of_slots(slots)} of {name} cannot be waited for, because the code around holds {number_of_slots(most)} of it meanwhile: "
            f"{why}, or give timeout_seconds"
        )
        raise ConcurrencySlotAcquisitionError(message)


def number_of_slots(slots: int) -> str:
    """`1 slot`, `2 slots`."""
    return f"{slots} slot{'s' if slots > 1 else ''}"
