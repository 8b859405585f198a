"""Frequently repeated names as small integers: lookup and assignment."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka_history.enum_codes import NameKind
    from mintaka_history.writing.sessions import Session

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
    """The ids of all `names`, including newly assigned ones."""
    found = find_ids(session, names)
    new = [name for name in names if name not in found]
    for start in range(0, len(new), _CHUNK):
        chunk = new[start : start + _CHUNK]
        pairs = ", ".join(["(?, ?)"] * len(chunk))
        values = [part for kind, value in chunk for part in (int(kind), value)]
        session.run(f"INSERT INTO names (kind, value) VALUES {pairs} ON CONFLICT DO NOTHING", values)  # noqa: S608 - only placeholders
    return found | find_ids(session, new)
