"""Leases of slots in the database, each in a namespace: request, grant, renew, release. `slot_allocation` decides what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka_history.enum_codes import TERMINAL_CODES
from mintaka_history.sharing import limits
from mintaka_history.sharing.slot_allocation import Allocation, Lease, allocate
from mintaka_history.timestamps import now_microseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mintaka_history.sharing.limits import Limit
    from mintaka_history.writing.sessions import Session

#: How long a waiting request holds its place without being repeated.
PLACE_SECONDS = 15.0
#: How many requests that wait for a limit are read. With all of them, n requests in turn would read n² rows.
WAITERS = 200
_MICROSECONDS = 1_000_000
_TERMINAL = ", ".join(map(str, sorted(TERMINAL_CODES)))
# A run may have begun its next attempt before the database knows: only what it reports of this attempt or a later one
# counts. The mirror states the attempt of a mirrored run, since anyone may report.
_COLUMNS = f"""
SELECT l.id, l.name, l.slots, l.asked, l.granted, l.expires, l.holder,
  COALESCE(r.attempt > l.attempt OR (r.resource_version = 0 AND r.reported_attempt > l.attempt) OR (r.state IN ({_TERMINAL}) AND r.attempt >= l.attempt), false), l.who, l.ns
"""
_RUN = "LEFT JOIN flow_runs AS r ON r.uid = l.flow_run"
_HOLDERS = "FROM (VALUES %s) AS k JOIN concurrency_leases AS l ON l.ns = k.column1 AND l.name = k.column2 AND l.granted IS NOT NULL"
_FIRST = "FROM concurrency_leases AS o WHERE o.ns = k.column1 AND o.name = k.column2 AND o.granted IS NULL ORDER BY o.asked, o.id LIMIT ?"
#: The first requests that wait for each limit: SQLite has no LATERAL, and PostgreSQL would run the other for each lease.
_WAITERS = {
    True: f"FROM (VALUES %s) AS k CROSS JOIN LATERAL (SELECT * {_FIRST}) AS l",
    False: f"FROM (VALUES %s) AS k JOIN concurrency_leases AS l ON l.ns = k.column1 AND l.name = k.column2 AND l.id IN (SELECT o.id {_FIRST})",
}
_OWN = f"{_COLUMNS} FROM concurrency_leases AS l {_RUN} WHERE l.id = ? AND l.ns = ?"
_INSERT = (
    "INSERT INTO concurrency_leases (id, ns, name, slots, asked, granted, expires, holder, flow_run, attempt, who) "
    "VALUES (?, ?, ?, ?, ?, NULL, ?, ?, ?, ?, ?)"
)


class SlotRequest(NamedTuple):
    """A request: `slots` of each of `names` in `namespace` for `seconds` at a time, under an `id` (32 hexadecimal digits).

    `flow_run` and `attempt` identify the requester if it is a flow run, `holder` if it is a process of this machine; `who`
    names it for people.
    """

    id: str
    namespace: str
    names: tuple[str, ...]
    slots: int
    seconds: float
    flow_run: str | None = None
    attempt: int = 1
    holder: int | None = None
    who: str = ""


class SlotDecision(NamedTuple):
    """The result of a request: `granted`, or waiting while earlier requests use all slots for this many `turns` (0: it is next).

    `missing` are names without a limit, `rates` those that are to be reserved instead; neither blocks the request. `small`
    are limits that never have that many slots. `blocked` are those it waits for, with the number of their held slots.
    """

    granted: bool
    turns: int = 0
    missing: tuple[str, ...] = ()
    rates: tuple[str, ...] = ()
    small: tuple[str, ...] = ()
    blocked: Mapping[str, int] = {}


class Queue(NamedTuple):
    """The leases of limits, alive or not, in order of request: all holders, and the first `WAITERS` requests that wait for each limit.

    `cut` are the limits for which more wait: namespace, name, and the place (`asked`, id) of the last request that was read.
    """

    leases: list[Lease]
    cut: dict[tuple[str, str], tuple[int, str]]

    def is_beyond(self, name: tuple[str, str], asked: int, own: str) -> bool:
        """True if requests that were not read may be served before the one made at `asked`."""
        return name in self.cut and self.cut[name] < (asked, own)


def queue_of(session: Session, keys: Iterable[tuple[str, str]]) -> Queue:
    """The leases of the limits with these keys (namespace and name)."""
    wanted = sorted(keys)
    if not wanted:
        return Queue([], {})
    places, parts = ", ".join(["(?, ?)"] * len(wanted)), [part for key in wanted for part in key]
    waiters = _WAITERS[session.postgresql] % places
    statement = f"{_COLUMNS} {_HOLDERS % places} {_RUN} UNION ALL {_COLUMNS} {waiters} {_RUN} ORDER BY 4, 1"
    leases = [_lease(row) for row in session.run(statement, (*parts, *parts, WAITERS + 1))]
    waiting: dict[tuple[str, str], list[Lease]] = {}
    for lease in leases:
        if lease.granted is None:
            waiting.setdefault((lease.namespace, lease.name), []).append(lease)
    beyond = {found[WAITERS] for found in waiting.values() if len(found) > WAITERS}
    cut = {key: (found[WAITERS - 1].asked, found[WAITERS - 1].id) for key, found in waiting.items() if len(found) > WAITERS}
    return Queue([lease for lease in leases if lease not in beyond], cut)


def _queue_around(session: Session, request: SlotRequest, wanted: Iterable[str]) -> Queue:
    """The leases of the limits that a request names, with its own ones."""
    queue = queue_of(session, [(request.namespace, name) for name in wanted])
    if queue.cut:
        known = set(queue.leases)
        queue.leases.extend(lease for row in session.run(_OWN, (request.id, request.namespace)) if (lease := _lease(row)) not in known)
    return queue


def _lease(row: tuple[Any, ...]) -> Lease:
    return Lease(*row)._replace(ended=bool(row[7]))


def peek(session: Session, request: SlotRequest, is_gone: Callable[[int], bool]) -> SlotDecision | None:
    """What `request` would return if it would change nothing; None if it would change something. Only reads."""
    found = limits.get(session, request.namespace, request.names)
    decision, wanted = _classify_limits(request, found)
    if decision.small or not wanted:
        return decision
    now = now_microseconds()
    queue = _queue_around(session, request, wanted)
    leases = queue.leases
    own = [lease for lease in leases if lease.id == request.id]
    if len(own) != len(wanted) or any(lease.expires - now < PLACE_SECONDS * _MICROSECONDS / 2 for lease in own):
        return None
    alive = [lease for lease in leases if lease.is_alive(now, is_gone)]
    if queue.cut and len(alive) < len(leases):  # so that those that are read do not always hide the others
        return None
    allocation = _allocation([found[name] for name in wanted], queue, alive, request, own[0].asked)
    return None if allocation.free else decision._replace(granted=False, turns=allocation.turns, blocked=allocation.blocked)


def request(session: Session, request: SlotRequest, is_gone: Callable[[int], bool]) -> SlotDecision:
    """Grant the requested slots, or a place in the queue; safe to repeat."""
    found = limits.get(session, request.namespace, request.names, locked=True)
    decision, wanted = _classify_limits(request, found)
    if decision.small or not wanted:
        return decision
    now = now_microseconds()
    queue = _queue_around(session, request, wanted)
    leases = queue.leases
    own = [lease for lease in leases if lease.id == request.id]
    alive = [lease for lease in leases if lease.id == request.id or lease.is_alive(now, is_gone)]
    alive += [lease for lease in sorted(set(leases) - set(alive)) if not _deleted(session, lease)]
    asked = min((lease.asked for lease in own), default=now)
    held = all(lease.granted is not None for lease in own) and len(own) == len(wanted)
    allocation = _allocation([found[name] for name in wanted], queue, alive, request, asked)
    granted = held or allocation.free
    flow_run = session.uid(request.flow_run) if request.flow_run else None
    for name in sorted(set(wanted) - {lease.name for lease in own}):
        expires = now + int(PLACE_SECONDS * _MICROSECONDS)
        values = (request.slots, asked, expires, request.holder, flow_run, request.attempt, request.who)
        session.run(_INSERT, (request.id, request.namespace, name, *values))
    until = now + int((request.seconds if granted else PLACE_SECONDS) * _MICROSECONDS)
    session.run(
        f"UPDATE concurrency_leases SET granted = {'COALESCE(granted, ?)' if granted else 'granted'}, expires = ? WHERE id = ? AND ns = ?",  # noqa: S608
        (now, until, request.id, request.namespace) if granted else (until, request.id, request.namespace),
    )
    return decision if granted else decision._replace(granted=False, turns=allocation.turns, blocked=allocation.blocked)


def renew(session: Session, namespace: str, ids: Iterable[str], seconds: float) -> set[str]:
    """Extend leases of a namespace to `seconds` from now; return the ids of those that still exist.

    An expired lease still exists as long as no other request needed its slots.
    """
    wanted = sorted(ids)
    if not wanted:
        return set()
    places = ", ".join("?" * len(wanted))
    if session.postgresql:  # in the order of all transactions that lock several rows, to avoid deadlocks
        locked = f"SELECT id FROM concurrency_leases WHERE id IN ({places}) AND ns = ? ORDER BY id, name FOR UPDATE"  # noqa: S608
        session.run(locked, (*wanted, namespace))
    until = now_microseconds() + int(seconds * _MICROSECONDS)
    rows = session.run(
        f"UPDATE concurrency_leases SET expires = ? WHERE granted IS NOT NULL AND id IN ({places}) AND ns = ? RETURNING id",  # noqa: S608
        (until, *wanted, namespace),
    )
    return {row[0] for row in rows}


def release(session: Session, namespace: str, lease: str) -> bool:
    """Release a lease or leave the queue; False if there was neither."""
    return bool(session.run("DELETE FROM concurrency_leases WHERE id = ? AND ns = ? RETURNING name", (lease, namespace)))


def _allocation(found: list[Limit], queue: Queue, alive: list[Lease], request: SlotRequest, asked: int) -> Allocation:
    """The standing of a request; behind requests that were not read it waits, for at least as many turns as those that were."""
    allocation = allocate(found, alive, request.id, asked, request.slots)
    behind = [limit.name for limit in found if queue.is_beyond((limit.namespace, limit.name), asked, request.id)]
    if not behind:
        return allocation
    held = {name: sum(lease.slots for lease in alive if lease.name == name and lease.granted is not None) for name in behind}
    return Allocation(free=False, turns=max(allocation.turns, 1), blocked=held | dict(allocation.blocked))


def _classify_limits(request: SlotRequest, found: Mapping[str, Limit]) -> tuple[SlotDecision, list[str]]:
    """The decision about limits that never block or never grant; and the names whose slots are to be held."""
    missing = tuple(name for name in request.names if name not in found)
    rates = tuple(name for name in request.names if name in found and found[name].is_rate)
    small = tuple(name for name, limit in found.items() if 0 < limit.slots < request.slots)
    wanted = sorted(name for name, limit in found.items() if not limit.is_rate)
    return SlotDecision(not small, missing=missing, rates=rates, small=small), wanted


def _deleted(session: Session, lease: Lease) -> bool:
    """Delete a lease that is not alive; False if it was renewed concurrently."""
    statement = "DELETE FROM concurrency_leases WHERE id = ? AND ns = ? AND name = ? AND expires = ? RETURNING id"
    return bool(session.run(statement, (lease.id, lease.namespace, lease.name, lease.expires)))
