"""Writes which flow run called another one, as the resource of the called run says.

The caller's row may be written later; then this is done with the next version of the called run. The row of a flow run that was called
in the process of its root comes with the reports of that; once the called run is over, its root counts if there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, select, update

from mintaka_history.tables import flow_runs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

_r = flow_runs.c
_LINK = (
    update(flow_runs)
    .where(_r.no == bindparam("number"), _r.parent.is_(None))
    .values(parent=bindparam("caller"), root=bindparam("first"), parent_n=bindparam("task_run"))
)


class Call(NamedTuple):
    """The uid of the run that called, and the number of its task run that did (None: the flow itself). `root` is that of the process
    which the caller is of; `final`: it is taken for the caller if that is not known.
    """

    caller: str
    task_run: int | None
    root: str
    final: bool


def link_called(connection: Connection, calls: Mapping[int, Call]) -> None:
    """Write the callers of runs, by the numbers of these; one that is written stays."""
    if not calls:
        return
    unlinked = connection.scalars(select(_r.no).where(_r.no.in_(list(calls)), _r.parent.is_(None))).all()
    callers = {uid for number in unlinked for uid in (calls[number].caller, calls[number].root)}
    found = {str(row.uid): row for row in connection.execute(select(_r.uid, _r.no, _r.root).where(_r.uid.in_(callers)))} if callers else {}
    rows = [
        {"number": number, "caller": caller.no, "first": caller.root or caller.no, "task_run": calls[number].task_run}
        for number in sorted(unlinked)
        if (caller := _caller(calls[number], found)) is not None and caller.no != number
    ]
    if rows:
        connection.execute(_LINK, rows)


def _caller(call: Call, found: Mapping[str, Any]) -> Any:
    """The row of the caller; None if it is not known yet."""
    return found.get(call.caller) or (found.get(call.root) if call.final else None)
