"""Flow runs that were called in the process of another one: rows of their own, below that of the report's flow run, their root.

Their reports are repeated and arrive in any order like all others. A report may name a parent that no report has described
yet: it gets a row that a later report completes. A called run belongs to its root for ever: a report of another flow run that
names it is refused, so that no process can write into the runs of others. It is fenced by the attempt of its root.

A process numbers the transitions of an attempt from 1, since it does not know the attempts before: they continue those here.

Most called runs are named in one report, which has their end: those that are new are inserted as they are then, many in a statement.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka_core.states import RUNNING
from mintaka_history.batch_errors import refuse
from mintaka_history.enum_codes import STATE_CODES, RunKind
from mintaka_history.writing import crashes, runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mintaka_history.writing.report_rows import CalledRows, Rows
    from mintaka_history.writing.runs import Heading, Movement, Place
    from mintaka_history.writing.sessions import Session

_CALLED = int(RunKind.CALLED)
#: Nothing was reported of this attempt, or only older reports.
_NEWER = "(reported_attempt < ? OR reported_attempt = ? AND reported < ?)"
# The placeholder row of a parent that was not described yet, which has no flow, has no creation time of its own.
_UPDATE = f"""
UPDATE flow_runs SET
  name = ?, flow = ?, parent_n = ?,
  created = CASE WHEN flow IS NULL THEN ? ELSE created END, deleted = CASE WHEN flow IS NULL THEN ? ELSE deleted END, tags = ?, parameters = ?, parent = ?, cluster = COALESCE(cluster, ?),
  counts = CASE WHEN {_NEWER} THEN COALESCE(?, counts) ELSE counts END,
  reported = CASE WHEN {_NEWER} THEN ? ELSE reported END,
  reported_attempt = CASE WHEN reported_attempt < ? THEN ? ELSE reported_attempt END,
  attempt = CASE WHEN attempt < ? THEN ? ELSE attempt END
WHERE uid = ? AND root = ? AND kind = {_CALLED}
RETURNING no, state, reason, sequence, attempt
"""  # noqa: S608 - our own conditions
_EARLIER = "SELECT seq, to_state FROM flow_run_transitions WHERE flow_run = ? AND attempt < ? ORDER BY seq DESC LIMIT 1"
_CHUNK = 100
#: The columns of a new row but its number.
_INSERTED = (
    *("uid", "parent", "root", "cluster", "ns", "kind", "attempt", "reported_attempt", "reported", "counts"),
    *("name", "flow", "parent_n", "created", "deleted", "tags", "parameters"),
    *("state", "state_name", "reason", "message", "state_time", "started", "ended", "sequence"),
)
_COLUMNS = ("name", "flow", "parent_n", "created", "deleted", "tags", "parameters")


class _Stored(NamedTuple):
    number: int
    state: int
    reason: str | None
    sequence: int
    attempt: int


def write(
    session: Session,
    root: Place,
    heading: Heading,
    called: Sequence[CalledRows],
    write_rows: Callable[[Session, tuple[int, int], Rows], None],
) -> list[int]:
    """Write the called runs of a report of the run at `root`; returns their numbers in the same order.

    Raises:
        MalformedBatch: one of them, or a parent, is not a run of this root.
    """
    writer = _Writer(session, root, heading, {run.uid: f"called[{index}]" for index, run in enumerate(called)})
    writer.find(called)
    for generation in _generations(_parents_first(called)):
        inserted = writer.insert(generation)
        for run in generation:
            if run.uid in inserted:
                write_rows(session, (writer.numbers[run.uid], heading.attempt), run.rows)
            else:
                _write_known(session, writer, heading, run, write_rows)
    return [writer.numbers[run.uid] for run in called]


def _write_known(
    session: Session, writer: _Writer, heading: Heading, run: CalledRows, write_rows: Callable[[Session, tuple[int, int], Rows], None]
) -> None:
    """Write a run that has a row, or could not be inserted with others."""
    stored = writer.row_of(run)
    if run.movement is not None and stored.attempt <= heading.attempt:
        movement = _continued(session, stored.number, heading.attempt, run.movement)
        first = movement.transitions[0].seq
        if crashes.is_inferred(stored.state, stored.reason) and stored.sequence >= first:
            crashes.recall(session, stored.number, heading.attempt, first)
        runs.move(session, stored.number, movement)
    write_rows(session, (stored.number, heading.attempt), run.rows)


def _continued(session: Session, number: int, attempt: int, movement: Movement) -> Movement:
    """A movement whose transitions are numbered after those of earlier attempts."""
    rows = session.run(_EARLIER, (number, attempt)) if attempt > 1 else ()
    if not rows:
        return movement
    last, state = rows[0]
    continued = [transition._replace(seq=last + transition.seq) for transition in movement.transitions]
    return replace(movement, transitions=[continued[0]._replace(from_state=state), *continued[1:]])


def _parents_first(called: Sequence[CalledRows]) -> Iterator[CalledRows]:
    """The runs, each after its parent if that is among them."""
    waiting = {run.uid: run for run in called}
    for index, run in enumerate(called):
        chain = [run] if run.uid in waiting else []
        while chain and (parent := waiting.get(chain[-1].parent or "")) is not None:
            chain.append(parent)
            if len(chain) > len(called):
                refuse(f"called[{index}].parent", "flow runs cannot be called by each other")
        for one in reversed(chain):
            del waiting[one.uid]
            yield one


def _generations(ordered: Iterator[CalledRows]) -> Iterator[list[CalledRows]]:
    """The runs in the same order, divided so that no parent of a run is in the same part."""
    part: list[CalledRows] = []
    uids: set[str] = set()
    for run in ordered:
        if run.parent in uids:
            yield part
            part, uids = [], set()
        part.append(run)
        uids.add(run.uid)
    if part:
        yield part


class _Writer:
    """Writes the rows of called runs; `places` says where in the report each uid is described."""

    def __init__(self, session: Session, root: Place, heading: Heading, places: Mapping[str, str]) -> None:
        self._session = session
        self._root = root
        self._heading = heading
        self._places = places
        self.numbers: dict[str, int] = {heading.uid: root.number}
        self._known: set[str] = set()

    def find(self, called: Sequence[CalledRows]) -> None:
        """Find out which runs, and which of their parents, have a row."""
        uids = sorted({run.uid for run in called} | {run.parent for run in called if run.parent is not None})
        for chunk in batched(uids, _CHUNK):
            by_text = {self._session.uid(uid): uid for uid in chunk}
            query = f"SELECT uid, no, root, kind FROM flow_runs WHERE uid IN ({', '.join('?' * len(chunk))})"  # noqa: S608 - placeholders
            for uid, number, root, kind in self._session.run(query, tuple(by_text)):
                text = by_text[str(uid)]
                self._known.add(text)
                if root == self._root.number and kind == _CALLED:
                    self.numbers.setdefault(text, number)

    def insert(self, called: Sequence[CalledRows]) -> set[str]:
        """Insert those that have no row, as they are now; returns their uids. A number that is in use leaves one out."""
        new = {}
        for run in called:
            if run.uid not in self._known:
                parent = self._root.number if run.parent is None else self._parent(run.parent, self._places[run.uid])
                new[runs.first_number(run.uid, run.columns["created"])] = run, self._whole_row(run, parent)
        inserted: set[str] = set()
        for chunk in batched(new.items(), _CHUNK):
            values = [value for number, (_, row) in chunk for value in (number, *row)]
            placeholders = ", ".join([f"({', '.join('?' * (len(_INSERTED) + 1))})"] * len(chunk))
            statement = f"INSERT INTO flow_runs (no, {', '.join(_INSERTED)}) VALUES {placeholders} ON CONFLICT DO NOTHING RETURNING no"  # noqa: S608 - our own columns
            for (number,) in self._session.run(statement, values):
                self.numbers[new[number][0].uid] = number
                inserted.add(new[number][0].uid)
        moved = [(self.numbers[run.uid], run.movement) for run, _ in new.values() if run.uid in inserted and run.movement is not None]
        runs.insert_transitions(self._session, moved)
        return inserted

    def _whole_row(self, run: CalledRows, parent: int) -> list[Any]:
        row = {**self._row(run.uid, parent), **run.columns, "counts": run.counts, "reported": self._heading.report}
        row["uid"] = self._session.uid(run.uid)
        if run.movement is not None:
            row |= runs.state_columns(run.movement)
        return [row.get(name, 0 if name == "sequence" else None) for name in _INSERTED]

    def row_of(self, run: CalledRows) -> _Stored:
        """Insert or update the row of a run."""
        place = self._places[run.uid]
        parent = self._root.number if run.parent is None else self._parent(run.parent, place)
        stored = self._updated(run, parent)
        if stored is None:
            row = {**self._row(run.uid, parent), **run.columns, "counts": run.counts, "reported": self._heading.report}
            runs.insert_new(self._session, row)
            stored = self._updated(run, parent)
        if stored is None:
            refuse(f"{place}.uid", f"flow run {run.uid} was not called in this flow run")
        self.numbers[run.uid] = stored.number
        return stored

    def _updated(self, run: CalledRows, parent: int) -> _Stored | None:
        attempt, report = self._heading.attempt, self._heading.report
        newer = (attempt, attempt, report)
        values = (
            *(run.columns[name] for name in _COLUMNS),
            *(parent, self._root.cluster, *newer, run.counts, *newer, report, attempt, attempt, attempt, attempt),
            *(self._session.uid(run.uid), self._root.number),
        )
        rows = self._session.run(_UPDATE, values)
        return _Stored(*rows[0]) if rows else None

    def _row(self, uid: str, parent: int) -> dict[str, Any]:
        """The columns of a new row but those that describe it."""
        return {
            "uid": uid,
            "parent": parent,
            "root": self._root.number,
            "cluster": self._root.cluster,
            "ns": self._root.namespace,
            "kind": _CALLED,
            "state": STATE_CODES[RUNNING],
            "attempt": self._heading.attempt,
            "reported_attempt": self._heading.attempt,
        }

    def _parent(self, uid: str, place: str) -> int:
        """The number of the run that called another one; a row for it if none has been written yet."""
        if uid in self.numbers:
            return self.numbers[uid]
        find = f"SELECT no FROM flow_runs WHERE uid = ? AND root = ? AND kind = {_CALLED}"  # noqa: S608 - our own number
        values = (self._session.uid(uid), self._root.number)
        rows = self._session.run(find, values)
        if not rows:
            created = runs.created_of(self._session, self._root.number)
            described = {"name": uid, "created": created, "deleted": created}
            runs.insert_new(self._session, self._row(uid, self._root.number) | described)
            rows = self._session.run(find, values)
        if not rows:
            refuse(f"{place}.parent", f"flow run {uid} is not of this flow run's process")
        number: int = rows[0][0]
        self.numbers[uid] = number
        return number
