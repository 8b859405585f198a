"""Copies the log of a container into the log of its run, and gives lines that are delivered later the numbers of their copies.

Lines of containers are those whose logger is a name of kind `NameKind.CONTAINER`. A line that is stored keeps its number, since
links lead to it: copying a log again adds what is new in it and deletes nothing, even if the container runtime has dropped the
beginning meanwhile.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

from mintaka_history.batches import LINE_STEP
from mintaka_history.container_logs import Delivered, Line, additions, match
from mintaka_history.enum_codes import NameKind
from mintaka_history.line_numbers import NewLine, StoredLine, number
from mintaka_history.writing.batches import write_lines
from mintaka_history.writing.runs import called_by, place_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mintaka_history.writing.report_rows import LogRow
    from mintaka_history.writing.sessions import Session

#: The prefix of the logger name of a container's lines, before the container's name.
PREFIX = "container/"
_COPIED = f"IN (SELECT id FROM names WHERE kind = {int(NameKind.CONTAINER)})"  # noqa: S608 - our own number
_CHUNK = 500
#: The maximum number of delivered lines to compare, and their maximum size as a multiple of the container's log: others print too.
_ROWS_LIMIT = 50_000
_LONGER = 2
_UPDATE = "UPDATE logs SET at = ?, level = ?, logger = ?, n = ?, message = ? WHERE flow_run = ? AND attempt = ? AND seq = ?"
#: Lines that are not numbered by the SDK: copies, and delivered lines that took the number of one.
_BETWEEN = (
    f"SELECT seq, at, level, logger, message, CASE WHEN logger {_COPIED} THEN 1 ELSE 0 END FROM logs "  # noqa: S608 - our own words
    f"WHERE flow_run = ? AND attempt = ? AND (seq & {LINE_STEP - 1}) <> 0 ORDER BY seq"
)


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


def copy(session: Session, key: tuple[int, int], container: int, lines: Sequence[Line]) -> int:
    """Copy the lines that a container's log, `lines`, adds to the log of an attempt; return their number.

    `key` is the flow run's number and the attempt, `container` the id of the container's name.
    """
    _lock(session, key[0])
    delivered, before = _delivered(session, key, sum(len(line.message) for line in lines))
    copied = _copied(session, key)
    own = [row for row in copied if row.logger == container]
    new = additions(lines, delivered)
    known = _known([line for _, line in new], own)
    if own and new and new[0][1].notice and (len(new) < 2 or new[1][1] is not lines[1] or known[1] is not None):  # noqa: PLR2004
        del new[0], known[0]  # what precedes is here
    beginning, rest = _bounded(new, known, delivered, before)
    stored = sorted([StoredLine(line.seq, line.time, copied=False) for line in delivered] + [_stored(row) for row in copied])
    numbered = number(rest, stored)
    if beginning and before is not None:
        first = [*(_stored(row) for row in copied if row.seq < before.seq), StoredLine(before.seq, before.time, copied=False)]
        numbered += number(beginning, first, open_ended=False)
    write_lines(session, key, [(seq, line.time, line.level, container, None, line.message) for seq, line in sorted(numbered)])
    return len(numbered)


def adopt(session: Session, uid: str, attempt: int, lines: Sequence[LogRow]) -> list[LogRow]:
    """Write those of `lines`, which the SDK delivered late, that were copied meanwhile in place of their copies; return the others.

    If a line was copied as several lines of text, it takes the number of the first one, and the others are deleted.
    """
    place = place_of(session, uid) if lines else None
    if place is None:
        return list(lines)
    key = (place.number, attempt)
    _lock(session, place.number)
    rows = session.run(_BETWEEN, key)
    adopted = Counter((at, message) for _, at, _, _, message, copied in rows if not copied)
    waiting = [line for line in lines if not _take(adopted, (line[1], line[5]))]
    copies = [_Copied(*row[:5]) for row in rows if row[5]]
    found = match(
        (Line(row.time, row.level, row.message) for row in copies), [Delivered(seq, at, message) for seq, at, _, _, _, message in waiting]
    )
    numbers: dict[int, list[int]] = {}
    for row, seq in zip(copies, found, strict=True):
        if seq is not None:
            numbers.setdefault(seq, []).append(row.seq)
    for seq, at, level, logger, n, message in waiting:
        if seq in numbers:
            session.run(_UPDATE, (at, level, logger, n, message, *key, numbers[seq][0]))
    _delete(session, key, [other for of_line in numbers.values() for other in of_line[1:]])
    return [line for line in waiting if line[0] not in numbers]


def _lock(session: Session, run: int) -> None:
    """One at a time for each run on PostgreSQL; SQLite has one writer anyway."""
    if session.postgresql:
        session.run("SELECT no FROM flow_runs WHERE no = ? FOR UPDATE", (run,))


def _stored(row: _Copied) -> StoredLine:
    return StoredLine(row.seq, row.time, copied=True)


def _take[K](found: Counter[K], key: K) -> bool:
    """Remove one of `key`; False if there is none."""
    if not found[key]:
        return False
    found[key] -= 1
    return True


def _known(lines: Sequence[Line], own: Iterable[_Copied]) -> list[int | None]:
    """The number under which each of the lines was copied before; None: it is new. The time that the kubelet wrote distinguishes equal lines."""
    dated = not lines or lines[-1].dated
    waiting: dict[tuple[int, str], deque[int]] = {}
    for row in own:
        waiting.setdefault((row.time if dated else 0, row.message), deque()).append(row.seq)
    places = (waiting.get((line.time if dated else 0, line.message)) for line in lines)
    return [place.popleft() if place else None for place in places]


def _bounded(
    new: Sequence[tuple[int, Line]], known: Sequence[int | None], delivered: Sequence[Delivered], before: _Before | None
) -> tuple[list[NewLine[Line]], list[NewLine[Line]]]:
    """The lines that are not known, each with the numbers it belongs between: those that precede the line `before`, and the rest.

    The lines of one container keep their order, even if their clock jumps.
    """
    following: list[int | None] = []
    next_known: int | None = None
    for seq in reversed(known):
        following.append(next_known)
        next_known = next_known if seq is None else seq
    beginning: list[NewLine[Line]] = []
    rest: list[NewLine[Line]] = []
    last_known: int | None = None
    latest = 0
    for (index, line), seq, limit in zip(new, known, reversed(following), strict=True):
        latest = max(latest, line.time)
        if seq is not None:
            last_known = seq
            continue
        if index < 0 and before is not None and line.time < before.time:
            beginning.append(NewLine(last_known, before.seq, latest, line))
            continue
        after = 0 if index < 0 and before is not None else index
        lower = [bound for bound in (last_known, delivered[after].seq if after >= 0 else None) if bound is not None]
        upper = [bound for bound in (limit, delivered[after + 1].seq if after + 1 < len(delivered) else None) if bound is not None]
        rest.append(NewLine(max(lower, default=None), min(upper, default=None), latest, line))
    return beginning, rest


def _delivered(session: Session, key: tuple[int, int], characters: int) -> tuple[list[Delivered], _Before | None]:
    """The last delivered lines of an attempt that a container's log of this many characters may contain; and the line before them.

    Those of runs that were called in its process are among them: they are printed to the same log.
    """
    found: list[Delivered] = []
    left = _LONGER * characters
    runs = [key[0], *(called for called, _ in called_by(session, key[0]))]
    these = f"flow_run IN ({', '.join('?' * len(runs))}) AND attempt = ?"
    while len(found) < _ROWS_LIMIT and left >= 0:
        rows = session.run(
            f"SELECT seq, at, message FROM logs WHERE {these} AND seq < ? "  # noqa: S608 - our own words
            f"AND (logger IS NULL OR logger NOT {_COPIED}) ORDER BY seq DESC LIMIT {_CHUNK}",
            (*runs, key[1], found[-1].seq if found else 2**53),
        )
        found += [Delivered(*row) for row in rows]
        left -= sum(len(line.message) + 1 for line in found[len(found) - len(rows) :])
        if len(rows) < _CHUNK:
            return found[::-1], None
    first = session.run(f"SELECT seq, at FROM logs WHERE {these} ORDER BY seq LIMIT 1", (*runs, key[1]))  # noqa: S608 - our own words
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
