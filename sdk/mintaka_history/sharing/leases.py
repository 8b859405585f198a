"""Leases of slots in the database, each in a namespace: request, grant, renew, release. `slot_allocation` decides what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mintaka_history.enum_codes import TERMINAL_CODES
from mintaka_history.sharing import limits
from mintaka_history.sharing.slot_allocation import Lease, allocate
from mintaka_history.timestamps import now_microseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mintaka_history.sharing.limits import Limit
    from mintaka_history.writing.sessions import Session

#: How long a waiting request holds its place without being repeated.
PLACE_SECONDS = 15.0
_MICROSECONDS = 1_000_000
_TERMINAL = ", ".join(map(str, sorted(TERMINAL_CODES)))
# A run may have begun its next attempt before the database knows: only what it reports of this attempt or a later one
# counts. The mirror states the attempt of a mirrored run, since anyone may report.
_SELECT = f"""
SELECT l.id, l.name, l.slots, l.asked, l.granted, l.expires, l.holder,
  COALESCE(r.attempt > l.attempt OR (r.resource_version = 0 AND r.reported_attempt > l.attempt) OR (r.state IN ({_TERMINAL}) AND r.attempt >= l.attempt), false), l.who, l.ns
FROM concurrency_leases AS l LEFT JOIN flow_runs AS r ON r.uid = l.flow_run
WHERE """  # noqa: S608 - our own numbers
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


def leases_of(session: Session, keys: Iterable[tuple[str, str]]) -> list[Lease]:
    """All leases of the limits with these keys (namespace and name), alive or not, in order of request."""
    names_of: dict[str, list[str]] = {}
    for namespace, name in sorted(keys):
        names_of.setdefault(namespace, []).append(name)
    if not names_of:
        return []
    condition = " OR ".join(f"(l.ns = ? AND l.name IN ({', '.join('?' * len(names))}))" for names in names_of.values())
    values = [value for namespace, names in names_of.items() for value in (namespace, *names)]
    rows = session.run(f"{_SELECT}{condition} ORDER BY l.asked, l.id", values)
    return [Lease(*row)._replace(ended=bool(row[7])) for row in rows]


def peek(session: Session, request: SlotRequest, is_gone: Callable[[int], bool]) -> SlotDecision | None:
    """What `request` would return if it would change nothing; None if it would change something. Only reads."""
    found = limits.get(session, request.namespace, request.names)
    decision, wanted = _classify_limits(request, found)
    if decision.small or not wanted:
        return decision
    now = now_microseconds()
    leases = leases_of(session, [(request.namespace, name) for name in wanted])
    own = [lease for lease in leases if lease.id == request.id]
    if len(own) != len(wanted) or any(lease.expires - now < PLACE_SECONDS * _MICROSECONDS / 2 for lease in own):
        return None
    alive = [lease for lease in leases if lease.is_alive(now, is_gone)]
    allocation = allocate([found[name] for name in wanted], alive, request.id, own[0].asked, request.slots)
    return None if allocation.free else decision._replace(granted=False, turns=allocation.turns, blocked=allocation.blocked)


def request(session: Session, request: SlotRequest, is_gone: Callable[[int], bool]) -> SlotDecision:
    """Grant the requested slots, or a place in the queue; safe to repeat."""
    found = limits.get(session, request.namespace, request.names, locked=True)
    decision, wanted = _classify_limits(request, found)
    if decision.small or not wanted:
        return decision
    now = now_microseconds()
    leases = leases_of(session, [(request.namespace, name) for name in wanted])
    own = [lease for lease in leases if lease.id == request.id]
    alive = [lease for lease in leases if lease.id == request.id or lease.is_alive(now, is_gone)]
    alive += [lease for lease in sorted(set(leases) - set(alive)) if not _deleted(session, lease)]
    asked = min((lease.asked for lease in own), default=now)
    held = all(lease.granted is not None for lease in own) and len(own) == len(wanted)
    allocation = allocate([found[name] for name in wanted], alive, request.id, asked, request.slots)
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
