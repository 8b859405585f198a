"""Finds the process of this host that runs a flow run of an embedded database."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mintaka_history import process_locks
from mintaka_history.enum_codes import STATE_OF_CODE, TERMINAL_CODES

if TYPE_CHECKING:
    from mintaka_history.embedded_sqlite import EmbeddedDatabase

_LIVE = ", ".join(str(code) for code in STATE_OF_CODE if code not in TERMINAL_CODES)
_HOLDER = "SELECT holder FROM flow_runs WHERE uid = ? AND holder IS NOT NULL"
_HELD = f"SELECT count(*) FROM flow_runs WHERE holder = ? AND state IN ({_LIVE})"  # noqa: S608 - our own numbers


class Runner(NamedTuple):
    """A process and the number of flow runs it runs."""

    pid: int
    flow_runs: int


def runner_of(database: EmbeddedDatabase, uid: str) -> Runner | None:
    """The process that runs a flow run; None if no process runs it or it is not known."""
    session = database.reading()
    rows = session.run(_HOLDER, (session.uid(uid),))
    pid = process_locks.process_of(f"{database.path}-holders", rows[0][0]) if rows else None
    return None if pid is None else Runner(pid, session.run(_HELD, (rows[0][0],))[0][0])
