"""Concurrency limits of a namespace: the number of slots under a name and, for rates, how fast they are freed."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from mintaka_core.errors import InvalidNameError, MintakaError
from mintaka_history.sharing.name_pages import page_condition
from mintaka_history.timestamps import now_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mintaka_history.writing.sessions import Session

_NAME = re.compile(r"[^/%&><\x00-\x1f\x7f\ud800-\udfff]{1,255}")
#: The maximum number of slots of a limit.
SLOTS_LIMIT = 1_000_000_000
_MICROSECONDS = 1e6
_COLUMNS = "ns, name, slots, decay_per_second, taken, taken_time, created, updated"
# Only our own column names are put into statements.
_INSERT = f"INSERT INTO concurrency_limits ({_COLUMNS}) VALUES (?, ?, ?, ?, 0, 0, ?, ?) ON CONFLICT (ns, name)"  # noqa: S608
_KEEP = f"{_INSERT} DO NOTHING RETURNING name"
_REPLACE = f"{_INSERT} DO UPDATE SET slots = excluded.slots, decay_per_second = excluded.decay_per_second, updated = excluded.updated RETURNING name"


class InvalidLimitError(MintakaError, ValueError):
    """A number of slots, or a decay rate, that a limit cannot have."""


class Limit(NamedTuple):
    """A limit. `decay_per_second` slots are freed each second (a rate); 0: they are freed when they are released.

    `taken` slots of a rate were taken at `taken_time`; times are µs since the epoch.
    """

    namespace: str
    name: str
    slots: int
    decay_per_second: float
    taken: float
    taken_time: int
    created: int
    updated: int

    @property
    def is_rate(self) -> bool:
        """True if slots are freed automatically."""
        return self.decay_per_second > 0

    def taken_at(self, now: int) -> float:
        """The number of slots of a rate taken at `now`."""
        return max(0.0, self.taken - self.decay_per_second * max(0, now - self.taken_time) / _MICROSECONDS)

    def seconds_until(self, slots: float, now: int) -> float:
        """The seconds from `now` until this many slots of a rate are free."""
        return max(0.0, (self.taken_at(now) + slots - self.slots) / self.decay_per_second)


def checked_name(name: str) -> str:
    """`name`, if it is valid for a limit.

    Raises:
        InvalidNameError: it is not.
    """
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    message = f"a limit's name has 1 to 255 characters, none of them / % & > < or invisible, not {name!r:.300}"
    raise InvalidNameError(message)


def check_numbers(slots: int, decay_per_second: float) -> None:
    """Check that a limit can have these numbers.

    Raises:
        InvalidLimitError: it cannot.
    """
    if not isinstance(slots, int) or not 0 <= slots <= SLOTS_LIMIT:
        message = f"a limit has 0 to {SLOTS_LIMIT} slots, not {slots!r}"
        raise InvalidLimitError(message)
    if not (math.isfinite(decay_per_second) and 0 <= decay_per_second <= SLOTS_LIMIT):
        message = f"decay_per_second is how many slots come back each second, 0 or more, not {decay_per_second!r}"
        raise InvalidLimitError(message)


def get(session: Session, namespace: str, names: Iterable[str], *, locked: bool = False) -> dict[str, Limit]:
    """The limits of `names` that exist; `locked`: no other transaction changes them or their holders until this one ends."""
    wanted = sorted(names)
    if not wanted:
        return {}
    lock = " FOR UPDATE" if locked and session.postgresql else ""  # a write transaction of SQLite is exclusive anyway
    places = ", ".join("?" * len(wanted))
    statement = f"SELECT {_COLUMNS} FROM concurrency_limits WHERE ns = ? AND name IN ({places}) ORDER BY name{lock}"  # noqa: S608
    rows = session.run(statement, (namespace, *wanted))
    return {limit.name: limit for limit in (Limit(*row) for row in rows)}


def list_page(
    session: Session, namespaces: Sequence[str], *, prefix: str = "", after: tuple[str, str] | None = None, limit: int
) -> list[Limit]:
    """At most `limit` limits of `namespaces` (none: of all) whose names begin with `prefix`, after the one with key `after`.

    They are ordered by namespace and name (by code point).
    """
    condition, values = page_condition(namespaces, prefix, after)
    rows = session.run(
        f"SELECT {_COLUMNS} FROM concurrency_limits WHERE {condition} ORDER BY ns, name LIMIT ?",  # noqa: S608
        (*values, limit),
    )
    return [Limit(*row) for row in rows]


def put(session: Session, namespace: str, name: str, slots: int, decay_per_second: float, *, overwrite: bool) -> bool:
    """Create a limit, or change its numbers; False if it exists and may not be overwritten."""
    now = now_microseconds()
    return bool(session.run(_REPLACE if overwrite else _KEEP, (namespace, name, slots, float(decay_per_second), now, now)))


def remove(session: Session, namespace: str, name: str) -> bool:
    """Delete a limit and the requests that wait for it; holders retain their slots. False if the limit did not exist."""
    session.run("DELETE FROM concurrency_leases WHERE ns = ? AND name = ? AND granted IS NULL", (namespace, name))
    return bool(session.run("DELETE FROM concurrency_limits WHERE ns = ? AND name = ? RETURNING name", (namespace, name)))


class Reservation(NamedTuple):
    """Slots of rates: reserved for use `seconds` from now, or not reserved (`granted` False) because that is too long."""

    granted: bool
    seconds: float


def reserve(session: Session, namespace: str, names: Iterable[str], slots: int, longest_seconds: float | None) -> Reservation:
    """Reserve slots of rates in the order of requests, even ones that are freed only later, by at most `longest_seconds` (None: any)."""
    found = [limit for limit in get(session, namespace, names, locked=True).values() if limit.is_rate]
    now = now_microseconds()
    seconds = max((limit.seconds_until(slots, now) for limit in found), default=0.0)
    if longest_seconds is not None and seconds > longest_seconds:
        return Reservation(granted=False, seconds=seconds)
    for limit in found:
        values = (limit.taken_at(now) + slots, max(now, limit.taken_time), namespace, limit.name)
        session.run("UPDATE concurrency_limits SET taken = ?, taken_time = ? WHERE ns = ? AND name = ?", values)
    return Reservation(granted=True, seconds=seconds)
