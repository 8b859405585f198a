"""Copies the log of a container into the log of its run, and deletes copied lines that are delivered later.

Lines of containers are those whose logger is a name of kind `NameKind.CONTAINER`. Copying replaces what was copied from the
container before, and renumbers the lines of all containers of the attempt, so that they are in order of time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mintaka_history.batches import LINE_STEP
from mintaka_history.container_logs import Delivered, Line, Placed, additions, index_before, match, number
from mintaka_history.enum_codes import NameKind
from mintaka_history.writing.batches import write_lines
from mintaka_history.writing.runs import number_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mintaka_history.batches import LineRecord
    from mintaka_history.writing.sessions import Session

#: The prefix of the logger name of a container's lines, before the container's name.
PREFIX = "container/"
_COPIED = f"IN (SELECT id FROM names WHERE kind = {int(NameKind.CONTAINER)})"  # noqa: S608 - our own number
_CHUNK = 500
#: The maximum number of delivered lines to compare, and their maximum size as a multiple of the container's log: others print too.
_ROWS_LIMIT = 50_000
_LONGER = 2


class _Copied(NamedTuple):
    """A line of a container as it is stored."""

    seq: int
    time: int
    level: int
    logger: int
    message: str


class _Before(NamedTuple):
    """The first line of a log of which only the end was read."""

    seq: int
    time: int


def replace(session: Session, key: tuple[int, int], container: int, lines: Sequence[Line]) -> int:
    """Copy the lines that a container's log, `lines`, adds to the log of an attempt; return their number.

    `key` is the flow run's number and the attempt, `container` the id of the container's name.
    """
    if session.postgresql:  # one at a time for each run; SQLite has one writer anyway
        session.run("SELECT no FROM flow_runs WHERE no = ? FOR UPDATE", (key[0],))
    session.run("DELETE FROM logs WHERE flow_run = ? AND attempt = ? AND logger = ?", (*key, container))
    delivered, before = _delivered(session, key, sum(len(line.message) for line in lines))
    seqs = [line.seq for line in delivered]
    new = [
        (0 if after < 0 and before is not None and line.time >= before.time else after, line) for after, line in additions(lines, delivered)
    ]
    others = [row for row in _copied(session, key) if before is None or row.seq > seqs[0]]
    _delete(session, key, [row.seq for row in others])
    rows = [(after, _Copied(0, line.time, line.level, container, line.message)) for after, line in new]
    rows += [(index_before(seqs, row.seq), row) for row in others]
    lowest = before.seq if before is not None else seqs[0] if seqs else LINE_STEP
    write_lines(
        session,
        key,
        [(seq, row.time, row.level, row.logger, None, row.message) for seq, row in number(_placed(rows), seqs, lowest)],
    )
    return len(new)


def drop_delivered(session: Session, uid: str, attempt: int, lines: Sequence[LineRecord]) -> None:
    """Delete lines copied from containers of an attempt that are among `lines`, which the SDK delivered later."""
    run = number_of(session, uid) if lines else None
    if run is not None:
        copied = _copied(session, (run, attempt))
        delivered = [Delivered(line.seq, line.time, line.message) for line in sorted(lines, key=lambda line: line.seq)]
        found = match((Line(row.time, row.level, row.message) for row in copied), delivered)
        _delete(session, (run, attempt), [row.seq for row, seq in zip(copied, found, strict=True) if seq is not None])


def _delivered(session: Session, key: tuple[int, int], characters: int) -> tuple[list[Delivered], _Before | None]:
    """The last delivered lines of an attempt that a container's log of this many characters may contain; and the line before them."""
    found: list[Delivered] = []
    left = _LONGER * characters
    while len(found) < _ROWS_LIMIT and left >= 0:
        rows = session.run(
            "SELECT seq, at, message FROM logs WHERE flow_run = ? AND attempt = ? AND seq < ? "  # noqa: S608 - our own words
            f"AND (logger IS NULL OR logger NOT {_COPIED}) ORDER BY seq DESC LIMIT {_CHUNK}",
            (*key, found[-1].seq if found else 2**53),
        )
        found += [Delivered(*row) for row in rows]
        left -= sum(len(line.message) + 1 for line in found[len(found) - len(rows) :])
        if len(rows) < _CHUNK:
            return found[::-1], None
    first = session.run("SELECT seq, at FROM logs WHERE flow_run = ? AND attempt = ? ORDER BY seq LIMIT 1", key)
    return found[::-1], _Before(*first[0])


def _copied(session: Session, key: tuple[int, int]) -> list[_Copied]:
    rows = session.run(
        f"SELECT seq, at, level, logger, message FROM logs WHERE flow_run = ? AND attempt = ? AND logger {_COPIED} ORDER BY seq",  # noqa: S608
        key,
    )
    return [_Copied(*row) for row in rows]


def _delete(session: Session, key: tuple[int, int], seqs: Sequence[int]) -> None:
    for start in range(0, len(seqs), _CHUNK):
        chunk = seqs[start : start + _CHUNK]
        places = ", ".join("?" * len(chunk))
        session.run(f"DELETE FROM logs WHERE flow_run = ? AND attempt = ? AND seq IN ({places})", (*key, *chunk))  # noqa: S608


def _placed(rows: Iterable[tuple[int, _Copied]]) -> list[Placed[_Copied]]:
    """Each row after its line; rows of one container keep their order, even if their clock jumps."""
    latest: dict[int, int] = {}
    placed = []
    for after, row in rows:
        latest[row.logger] = max(row.time, latest.get(row.logger, 0))
        placed.append(Placed(after, latest[row.logger], row))
    return placed
