"""One key, one run at a time: whoever needs the result of a key that is being worked on in this process waits for it.

Waiting must not go in circles: a task may call, further down, a task with its own key, or two may call each other's. So
each wait is noted, and one that would close a circle is not begun: that run goes ahead without waiting.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

from mintaka.engine.blocking_waits import may_suspend, suspend
from mintaka.engine.bookkeeping import uninterrupted
from mintaka.engine.loops import loop_is_running
from mintaka.executing.pool import slot_handed_over, wait_as_worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

#: A key and the storage it is a key in.
type Place = tuple[str, str]

_LOCK = threading.Lock()
_FLYING: dict[Place, Flight] = {}
#: For each place that is worked on: the places that somebody below it waits for.
_WAITS: dict[Place, list[Place]] = {}
#: The places that the runs around the code are working on.
_AROUND: ContextVar[tuple[Place, ...]] = ContextVar("mintaka_flights", default=())


class Flight:
    """The work on one place, from the look for a kept result to its being kept."""

    __slots__ = ("_callbacks", "_token", "done", "place")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.done = False
        self._callbacks: list[Callable[[], object]] = []
        self._token: Token[tuple[Place, ...]] | None = _AROUND.set((*_AROUND.get(), place))

    @uninterrupted
    def land(self) -> None:
        """The work is over: let those who wait go on."""
        with _LOCK:
            self.done = True
            _FLYING.pop(self.place, None)
            callbacks, self._callbacks = self._callbacks, []
        if self._token is not None:
            with suppress(ValueError):  # the run was given up in another context than it began in
                _AROUND.reset(self._token)
            self._token = None
        for callback in callbacks:
            callback()

    @uninterrupted
    def _when_done(self, callback: Callable[[], object]) -> None:
        with _LOCK:
            if not self.done:
                self._callbacks.append(callback)
                return
        callback()

    def wait(self) -> None:
        """Block until it has landed."""
        if loop_is_running() and may_suspend():
            suspend(self.wait_async)
            return
        latch = threading.Lock()
        latch.acquire()
        self._when_done(latch.release)
        wait_as_worker(latch.acquire, None)

    async def wait_async(self) -> None:
        """Wait without blocking the event loop."""
        import asyncio  # noqa: PLC0415 - start-up time

        loop, over = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop was closed by somebody who did not want to know
                loop.call_soon_threadsafe(over.set)

        self._when_done(wake)
        with slot_handed_over():
            await over.wait()


class Wait:
    """A wait for a flight, on record while it lasts; `allowed` is False where it would wait for itself."""

    __slots__ = ("_around", "_target", "allowed")

    @uninterrupted
    def __init__(self, flight: Flight) -> None:
        self._around = _AROUND.get()
        self._target = flight.place
        with _LOCK:
            self.allowed = not _leads_to(self._target, frozenset(self._around))
            if self.allowed:
                for place in self._around:
                    _WAITS.setdefault(place, []).append(self._target)

    def __enter__(self) -> Self:
        return self

    @uninterrupted
    def __exit__(self, *_: object) -> None:
        if self.allowed:
            with _LOCK:
                for place in self._around:
                    waits = _WAITS[place]
                    waits.remove(self._target)
                    if not waits:
                        del _WAITS[place]


def _leads_to(start: Place, goals: frozenset[Place]) -> bool:
    """True where waiting for `start` means waiting for one of `goals`; the lock is held."""
    seen: set[Place] = set()
    open_places = [start]
    while open_places:
        place = open_places.pop()
        if place in goals:
            return True
        if place not in seen:
            seen.add(place)
            open_places.extend(_WAITS.get(place, ()))
    return False


@uninterrupted
def board(place: Place) -> tuple[Flight, bool]:
    """The flight of `place`, and True where it begins with this call."""
    with _LOCK:
        flight = _FLYING.get(place)
        if flight is not None:
            return flight, False
        flight = _FLYING[place] = Flight(place)
        return flight, True


def in_flight() -> list[Any]:
    """The places that are being worked on now; for tests and for who wonders what is waited for."""
    with _LOCK:
        return list(_FLYING)
