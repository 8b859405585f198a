"""Frequently repeated names as small integers: lookup and assignment.

A name that nothing uses any more is deleted (`maintenance.unused_names`). A writer of rows with an id must therefore have
it from `assign_ids` within the last `CACHE_SECONDS`: that sets when the name was used, at most once an hour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_history.timestamps import now_microseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka_history.enum_codes import NameKind
    from mintaka_history.writing.sessions import Session

#: How long a writer may use an id without asking for it again.
CACHE_SECONDS = 3600.0
_TOUCHED_MICROSECONDS = 3_600_000_000
_CHUNK = 250

type Name = tuple[NameKind, str]


def find_ids(session: Session, names: Sequence[Name]) -> dict[tuple[int, str], int]:
    """The ids of those of `names` that have one."""
    found: dict[tuple[int, str], int] = {}
    for start in range(0, len(names), _CHUNK):
        chunk = names[start : start + _CHUNK]
        pairs = ", ".join(["(?, ?)"] * len(chunk))
        values = [part for kind, value in chunk for part in (int(kind), value)]
        rows = session.run(f"SELECT kind, value, id FROM names WHERE (kind, value) IN (VALUES {pairs})", values)  # noqa: S608 - only placeholders
        found.update(((kind, value), number) for kind, value, number in rows)
    return found


def assign_ids(session: Session, names: Sequence[Name]) -> dict[tuple[int, str], int]:
    """The ids of all `names`, including newly assigned ones, to write rows with; they may be cached once committed."""
    found = find_ids(session, names)
    found = _touched(session, found)
    new = [name for name in names if name not in found]
    for start in range(0, len(new), _CHUNK):
        chunk = new[start : start + _CHUNK]
        rows = ", ".join(["(?, ?, ?)"] * len(chunk))
        now = now_microseconds()
        values = [part for kind, value in chunk for part in (int(kind), value, now)]
        session.run(f"INSERT INTO names (kind, value, used) VALUES {rows} ON CONFLICT DO NOTHING", values)  # noqa: S608 - only placeholders
    return found | find_ids(session, new) if new else found


def _touched(session: Session, found: dict[tuple[int, str], int]) -> dict[tuple[int, str], int]:
    """Those of `found` that still exist once it is recorded that they are used."""
    before = now_microseconds() - _TOUCHED_MICROSECONDS
    gone: set[int] = set()
    ids = sorted(found.values())
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        places = ", ".join("?" * len(chunk))
        old = session.run(f"SELECT id FROM names WHERE id IN ({places}) AND used < ?", (*chunk, before))  # noqa: S608 - only placeholders
        if old:
            gone |= {number for (number,) in old} - _touch(session, [number for (number,) in old])
    return {name: number for name, number in found.items() if number not in gone} if gone else found


def _touch(session: Session, ids: list[int]) -> set[int]:
    """Record that names are used; return the ids of those that exist. In the order of all transactions that lock several rows."""
    places = ", ".join("?" * len(ids))
    chosen = f"SELECT id FROM names WHERE id IN ({places})" + (" ORDER BY id FOR UPDATE" if session.postgresql else "")  # noqa: S608
    rows = session.run(f"UPDATE names SET used = ? WHERE id IN ({chosen}) RETURNING id", (now_microseconds(), *ids))  # noqa: S608
    return {number for (number,) in rows}
