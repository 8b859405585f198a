"""Rows of flow runs: their numbers, the row inserted on the first report, and the transitions reported by the run's own process.

A number is `milliseconds since the epoch << 20 | 20 bits of the uid's digest`, assigned when the run is first reported. Any
writer can assign one: the unique uid decides which was first, and if a number is taken another is tried.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka_core.errors import MintakaError
from mintaka_core.history_reasons import HistoryReason
from mintaka_history.enum_codes import RunKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mintaka_history.writing.sessions import Session

_DIGEST_BITS = 20
_CHUNK = 500
#: Later times have the numbers of this one (in the year 2248), so that numbers fit into 64 bits.
_LATEST_MILLISECONDS = 2**43 - 2
_NEXT_TRIES = 8
_RANDOM_TRIES = 8


@dataclass(frozen=True, slots=True)
class Heading:
    """Identifies the run, attempt and report; `counts` is JSON or None, `heard` the time of the heartbeat (None: it is not one).

    `mirroring`: a mirror of the cluster writes to the same database, so that attempts of a cluster's run will be known from
    it. `lost` says that the database lacks what it had acknowledged of the attempt (`HistoryReason`).
    """

    uid: str
    attempt: int
    report: int
    final: bool
    counts: str | None
    heard: int | None = None
    mirroring: bool = False
    lost: str | None = None


class TransitionRow(NamedTuple):
    """One transition of a flow run, with the table's columns; `at` in microseconds, states as codes.

    `rule`, `verdict` and `reason` are those of the deciding rule; `trail` is JSON of all verdicts if there were several, `facts` is
    JSON of what the rules read.
    """

    @property
    def refused(self) -> bool:
        """True if the run stayed in its state."""
        return self.verdict == "Abort"

    seq: int
    at: int
    attempt: int
    from_state: int | None
    to_state: int
    proposed: int
    name: str | None
    rule: str | None
    verdict: str | None
    reason: str | None
    message: str | None
    trail: str | None
    facts: str | None = None


@dataclass(frozen=True, slots=True)
class Movement:
    """The transitions that a process reports of a run outside of clusters, oldest first, and the resulting state.

    `tags` are ids of names, `created` is the run's. `waits` means that it is suspended: no process holds it.
    """

    transitions: Sequence[TransitionRow]
    state_reason: str | None
    state_message: str | None
    started: int | None
    ended: int | None
    name: str
    created: int
    tags: Sequence[int] = ()
    waits: bool = False


#: The newest attempt of a run is the cluster's, once the run is mirrored, and otherwise the one its process reports.
#: Reports cannot be authenticated: of a mirrored run they are accepted for the mirrored attempt and the next one, which
#: may have begun before the mirror knows, and they replace no other attempt. A run that is not mirrored yet is assumed to
#: be in its first attempt.
_ACCEPTS = """
attempt <= ? AND CASE WHEN resource_version > 0 THEN ? <= attempt + 1
  ELSE reported_attempt <= ? AND (? = 0 OR deleted IS NOT NULL OR ? <= attempt + 1) END
"""
#: Nothing valid was reported of this attempt or a later one; values beyond the bound were stored by a release without one.
_NEWER = "(reported_attempt < ? OR resource_version > 0 AND reported_attempt > attempt + 1)"
_ADVANCE = f"""
UPDATE flow_runs SET
  counts = CASE WHEN {_NEWER} THEN ? WHEN reported_attempt = ? AND reported < ? THEN COALESCE(?, counts) ELSE counts END,
  reported = CASE WHEN {_NEWER} OR reported_attempt = ? AND reported < ? THEN ? ELSE reported END,
  final_attempt = CASE WHEN ? = 1 THEN ? ELSE final_attempt END,
  heard = COALESCE(?, heard),
  history_reason = COALESCE(?, CASE WHEN {_NEWER} THEN CASE WHEN ? > 1 THEN '{HistoryReason.SCHEMA_REPLACED}' END
    WHEN reported_attempt = ? AND ? = 1 AND history_reason = '{HistoryReason.SCHEMA_REPLACED}' THEN NULL ELSE history_reason END),
  reported_attempt = CASE WHEN {_NEWER} THEN ? ELSE reported_attempt END
WHERE uid = ? AND {_ACCEPTS}
RETURNING no, cluster, ns, state, reason, sequence
"""  # noqa: S608 - our own conditions
#: What was reported of an attempt before. In PostgreSQL a subquery of RETURNING sees the row before the update; SQLite leaves that open.
_PREVIOUS = (
    "SELECT CASE WHEN before.reported_attempt = ? THEN before.reported WHEN before.reported_attempt < ? THEN 0 END "
    "FROM flow_runs AS before WHERE before.uid = ?"
)
_ADVANCE_AND_PREVIOUS = f"{_ADVANCE.rstrip()}, ({_PREVIOUS})"
_ATTEMPTS = "SELECT attempt, CASE WHEN resource_version > 0 THEN 0 ELSE reported_attempt END FROM flow_runs WHERE uid = ?"
_TRANSITIONS = f"flow_run_transitions (flow_run, {', '.join(TransitionRow._fields)})"
_MOVE = """
UPDATE flow_runs SET
  state = ?, state_name = ?, reason = ?, message = ?, state_time = ?, started = COALESCE(started, ?), ended = ?, sequence = ?,
  attempt = ?, name = ?, holder = CASE WHEN ? = 1 THEN NULL ELSE holder END
WHERE no = ? AND resource_version = 0 AND sequence < ?
"""


def first_number(uid: str, created_microseconds: int) -> int:
    """The first number to try for a run."""
    digest = int.from_bytes(hashlib.blake2b(uid.encode(), digest_size=4).digest()) & ((1 << _DIGEST_BITS) - 1)
    return min(max(created_microseconds // 1000, 0), _LATEST_MILLISECONDS) << _DIGEST_BITS | digest


class Place(NamedTuple):
    """Where a run's rows belong: its number, and the ids of its cluster (None: none, or not known yet) and namespace."""

    number: int
    cluster: int | None
    namespace: int


class Advanced(NamedTuple):
    """The row that a report updated: where it is, its state, the number of transitions so far, and the highest report of the attempt that
    was stored before (0: none; None: a newer attempt has reported).
    """

    place: Place
    state: int
    reason: str | None
    sequence: int
    previous: int | None


def advance(session: Session, heading: Heading) -> Advanced | None:
    """Update the flow run's row for this report; None if the run is unknown, or if the attempt cannot be its current one."""
    attempt, report, counts = heading.attempt, heading.report, heading.counts
    values = (
        *(attempt, counts, attempt, report, counts),
        *(attempt, attempt, report, report),
        *(int(heading.final), attempt, heading.heard),
        *(heading.lost, attempt, report, attempt, report, attempt, attempt),
        *(session.uid(heading.uid), attempt, attempt, attempt, int(heading.mirroring), attempt),
    )
    before = (attempt, attempt, session.uid(heading.uid))
    if session.postgresql:
        rows = session.run(_ADVANCE_AND_PREVIOUS, (*values, *before))
        previous = rows[0][-1] if rows else None
    else:
        found = session.run(_PREVIOUS, before)
        rows = session.run(_ADVANCE, values) if found else []
        previous = found[0][0] if found else None
    if not rows:
        return None
    number, cluster, namespace, state, reason, sequence = rows[0][:6]
    return Advanced(Place(number, cluster, namespace), state, reason, sequence, previous)


def place_of(session: Session, uid: str) -> Place | None:
    """Where the rows of a flow run belong; None if it is unknown."""
    rows = session.run("SELECT no, cluster, ns FROM flow_runs WHERE uid = ?", (session.uid(uid),))
    return Place(*rows[0]) if rows else None


def created_of(session: Session, number: int) -> int:
    """When a known run was created."""
    created: int = session.run("SELECT created FROM flow_runs WHERE no = ?", (number,))[0][0]
    return created


def called_by(session: Session, number: int) -> list[tuple[int, int]]:
    """The runs that were called in the process of a run, at any depth: number and state."""
    found: list[tuple[int, int]] = []
    callers = [number]
    while callers:
        rows = []
        for start in range(0, len(callers), _CHUNK):
            chunk = callers[start : start + _CHUNK]
            places = ", ".join("?" * len(chunk))
            rows += session.run(
                f"SELECT no, state FROM flow_runs WHERE parent IN ({places}) AND kind = {int(RunKind.CALLED)} ORDER BY no",  # noqa: S608
                chunk,
            )
        callers = [called for called, _ in rows]
        found += [(called, state) for called, state in rows]
    return found


class NoFreeNumber(MintakaError):
    """No number could be assigned to a flow run: those that were tried are in use. A retry tries others."""


def numbers_for(uid: str, created_microseconds: int) -> Iterator[int]:
    """The numbers to try for a run, in order: its first one and the next ones, then random ones of its millisecond.

    Clients choose the uids and times of runs that are unknown, and could take all that come next.
    """
    first = first_number(uid, created_microseconds)
    yield from range(first, first + _NEXT_TRIES)
    for _ in range(_RANDOM_TRIES):
        yield first >> _DIGEST_BITS << _DIGEST_BITS | secrets.randbits(_DIGEST_BITS)


def no_free_number(uids: Iterable[str]) -> NoFreeNumber:
    """The error for runs that got no number."""
    return NoFreeNumber(f"no number is free for flow run {', '.join(sorted(uids)[:3])}: nothing was written, try again")


def insert_new(session: Session, row: Mapping[str, Any]) -> None:
    """Insert a flow run (with uid, created, …, without no), unless its uid is known.

    Raises:
        NoFreeNumber: it could not be inserted.
    """
    uid = session.uid(row["uid"])
    columns = (*row, "no")
    statement = (
        f"INSERT INTO flow_runs ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "  # noqa: S608 - our own column names
        "ON CONFLICT DO NOTHING RETURNING no"
    )
    for number in numbers_for(row["uid"], row["created"]):
        if session.run(statement, (*(uid if name == "uid" else value for name, value in row.items()), number)):
            return
        if session.run("SELECT no FROM flow_runs WHERE uid = ?", (uid,)):
            return
    raise no_free_number([row["uid"]])


def current_attempt(session: Session, uid: str) -> int | None:
    """The known attempt of a flow run: the mirrored one, or the newest that was reported; None if the run is unknown."""
    rows = session.run(_ATTEMPTS, (session.uid(uid),))
    return max(rows[0]) if rows else None


def state_columns(movement: Movement) -> dict[str, Any]:
    """The columns of a run that say in which state it is after `movement`."""
    last = next((transition for transition in reversed(movement.transitions) if not transition.refused), movement.transitions[0])
    return {
        "state": last.to_state,
        "state_name": last.name,
        "reason": movement.state_reason,
        "message": movement.state_message,
        "state_time": last.at,
        "started": movement.started,
        "ended": movement.ended,
        "sequence": movement.transitions[-1].seq,
        "attempt": last.attempt,
        "name": movement.name,
    }


def move(session: Session, number: int, movement: Movement) -> None:
    """Write the new transitions and the resulting state; no effect if the run belongs to the operator."""
    columns = state_columns(movement)
    session.run(_MOVE, (*columns.values(), int(movement.waits), number, columns["sequence"]))
    insert_transitions(session, [(number, movement)])


def insert_transitions(session: Session, moved: Sequence[tuple[int, Movement]]) -> None:
    """Write the transitions of runs, by their numbers, and the tags of those that are new."""
    _insert_many(session, _TRANSITIONS, [(number, *transition) for number, movement in moved for transition in movement.transitions])
    tags = [
        (tag, movement.created, number)
        for number, movement in moved
        if movement.transitions[0].seq == 1
        for tag in sorted(set(movement.tags))
    ]
    _insert_many(session, "flow_run_tags (tag, created, flow_run)", tags)


def _insert_many(session: Session, into: str, rows: Sequence[tuple[Any, ...]]) -> None:
    for chunk in batched(rows, _CHUNK):
        placeholders = ", ".join([f"({', '.join('?' * len(chunk[0]))})"] * len(chunk))
        statement = f"INSERT INTO {into} VALUES {placeholders} ON CONFLICT DO NOTHING"  # noqa: S608 - our own columns
        session.run(statement, [value for row in chunk for value in row])
