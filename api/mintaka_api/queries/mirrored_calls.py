"""Writes which flow run called another one, from the resource of the called run.

The caller's row may be written later; then this is done with the next version of the called run. The row of a caller that ran in the
process of its root is written from the root's reports; if it is missing once the called run is over, the root is recorded as the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, select, update

from mintaka_history.enum_codes import RunKind
from mintaka_history.tables import flow_runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

_r = flow_runs.c
_LINK = (
    update(flow_runs)
    .where(_r.no == bindparam("number"), _r.parent.is_(None))
    .values(parent=bindparam("caller"), root=bindparam("first"), parent_n=bindparam("task_run"))
)


class Call(NamedTuple):
    """The uid of the run that called, and the number of its task run that did (None: the flow itself). `root` is the flow run
    in whose process the caller runs; `final`: it is recorded as the caller if that is not known.
    """

    caller: str
    task_run: int | None
    root: str
    final: bool


def link_called(connection: Connection, calls: Mapping[int, Call]) -> None:
    """Write the callers of runs, by the numbers of the runs; a caller that is written stays."""
    if not calls:
        return
    unlinked = connection.scalars(select(_r.no).where(_r.no.in_(list(calls)), _r.parent.is_(None))).all()
    found = _callers(connection, [calls[number] for number in unlinked])
    callers = {
        number: caller for number in sorted(unlinked) if (caller := _caller(calls[number], found)) is not None and caller.no != number
    }
    firsts = _firsts(connection, callers.values())
    rows = [
        {"number": number, "caller": caller.no, "first": firsts[caller.no], "task_run": calls[number].task_run}
        for number, caller in callers.items()
    ]
    if rows:
        connection.execute(_LINK, rows)


def _callers(connection: Connection, calls: Iterable[Call]) -> dict[str, Any]:
    uids = {uid for call in calls for uid in (call.caller, call.root)}
    rows = connection.execute(select(_r.uid, _r.no, _r.root, _r.kind).where(_r.uid.in_(uids))) if uids else ()
    return {str(row.uid): row for row in rows}


def _caller(call: Call, found: Mapping[str, Any]) -> Any:
    """The row of the caller; None if it is not known yet."""
    return found.get(call.caller) or (found.get(call.root) if call.final else None)


def _firsts(connection: Connection, callers: Iterable[Any]) -> dict[int, int]:
    """By the number of a caller: that of the outermost run. The root of one that was called in a process is only the run of that process."""
    callers = list(callers)
    processes = {caller.root for caller in callers if caller.kind == RunKind.CALLED}
    rows = connection.execute(select(_r.no, _r.root).where(_r.no.in_(processes))) if processes else ()
    above = {row.no: row.root for row in rows}
    return {caller.no: above.get(caller.root) or caller.root or caller.no for caller in callers}
