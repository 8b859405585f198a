"""Which flow runs are in the cluster, and those that vanished: they left it without an event.

An unfinished run that vanished becomes CANCELLED, by a transition that the API itself records. The operator's own transition
replaces it, and it is removed when the run is seen again. Only runs of the mirror's own cluster vanish.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, delete, or_, select, tuple_, update

from mintaka_core.states import CANCELLED
from mintaka_history.enum_codes import STATE_CODES, TERMINAL_CODES, RunKind
from mintaka_history.queries.dialects import insert
from mintaka_history.tables import flow_run_transitions, flow_runs
from mintaka_history.timestamps import now_microseconds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import Connection

    from mintaka_api.queries.mirrored import MirroredRun
    from mintaka_history.queries.numbers import Stored

#: The rule under which the API records that a run left the cluster unfinished.
VANISHED_RULE = "end_what_was_deleted"
VANISHED_REASON = "Deleted"
VANISHED_MESSAGE = "the flow run was deleted from the cluster before it ended"
_CHUNK = 500
#: After this time (µs) a run that reported and that no mirror has seen counts as having left the cluster unseen.
_ORPHANED = 3_600_000_000


def live_runs(connection: Connection, cluster: int, namespace: int | None) -> dict[str, str]:
    """Resource version by uid of the runs that are in the cluster as far as the database knows.

    With them are runs that reported and that no cluster's mirror has seen within an hour: otherwise nothing would end them.
    """
    r = flow_runs.c
    orphan = and_(r.cluster.is_(None), r.kind == int(RunKind.DEPLOYED), r.resource_version == 0, r.created < now_microseconds() - _ORPHANED)
    query = select(r.uid, r.resource_version).where(r.deleted.is_(None), or_(r.cluster == cluster, orphan))
    if namespace is not None:
        query = query.where(r.ns == namespace)
    return {row.uid: str(row.resource_version) for row in connection.execute(query)}


def vanish_runs(connection: Connection, uids: Collection[str], now: int, cluster: int) -> int:
    """Record that runs left the cluster without an event; unfinished ones become CANCELLED. Returns the number of runs."""
    r, count = flow_runs.c, 0
    for chunk in _chunks(sorted(uids)):
        columns = (r.no, r.sequence, r.state, r.attempt, r.created, r.state_time)
        ours = or_(r.cluster == cluster, r.cluster.is_(None))
        rows = connection.execute(
            select(*columns).where(r.uid.in_(chunk), r.deleted.is_(None), ours).order_by(r.uid).with_for_update()
        ).all()
        count += len(rows)
        # Not before the state that it ends: the clocks of API and cluster differ.
        gone = {row.no: max(now, row.state_time or row.created) for row in rows}
        if gone:
            statement = update(flow_runs).where(r.no == bindparam("number")).values(deleted=bindparam("time"), cluster=cluster)
            connection.execute(statement, [{"number": number, "time": time} for number, time in gone.items()])
        unfinished = [row for row in rows if row.state not in TERMINAL_CODES]
        if unfinished:
            state = vanished_state(0) | {"state_time": bindparam("time"), "ended": bindparam("time")}
            statement = update(flow_runs).where(r.no == bindparam("number")).values(sequence=r.sequence + 1, **state)
            connection.execute(statement, [{"number": row.no, "time": gone[row.no]} for row in unfinished])
            transitions = [
                {"flow_run": row.no, **vanished_transition(row.sequence, row.state, row.attempt, gone[row.no])} for row in unfinished
            ]
            connection.execute(insert(connection, flow_run_transitions).on_conflict_do_nothing(), transitions)
    return count


def return_vanished(connection: Connection, runs: Sequence[MirroredRun], known: dict[str, Stored]) -> None:
    """Take back that runs vanished which are seen again: the mirror had a wrong kubeconfig, or saw only a part of the cluster.

    Their rows are set back to just before what is seen, which is then written like any newer version.
    """
    back = {
        stored.no: (run, stored)
        for run in runs
        if run.row["deleted"] is None
        and (stored := known.get(run.row["uid"])) is not None
        and stored.deleted is not None
        and run.row["sequence"] <= stored.sequence
    }
    if not back:
        return
    t = flow_run_transitions.c
    last = tuple_(t.flow_run, t.seq).in_([(number, stored.sequence) for number, (_, stored) in back.items()])
    invented = set(connection.scalars(select(t.flow_run).where(last, t.rule == VANISHED_RULE)))
    returned = []
    for number, (run, stored) in sorted(back.items()):
        before = stored.sequence - (number in invented)
        seen = run.version if run.row["cluster"] == stored.cluster else (run.row["sequence"], stored.resource_version)
        if seen >= (before, stored.resource_version):
            returned.append({"number": number, "before": before, "version": stored.resource_version - 1})
            known[run.row["uid"]] = stored._replace(sequence=before, resource_version=stored.resource_version - 1)
    if returned:
        gone = [{"number": each["number"]} for each in returned if each["number"] in invented]
        if gone:
            connection.execute(delete(flow_run_transitions).where(t.flow_run == bindparam("number"), t.rule == VANISHED_RULE), gone)
        statement = update(flow_runs).where(flow_runs.c.no == bindparam("number"))
        connection.execute(statement.values(sequence=bindparam("before"), resource_version=bindparam("version")), returned)


def vanished_state(now: int) -> dict[str, Any]:
    """The columns of a flow run that left the cluster before it ended."""
    return {
        "state": STATE_CODES[CANCELLED],
        "state_name": None,
        "reason": VANISHED_REASON,
        "message": VANISHED_MESSAGE,
        "state_time": now,
        "ended": now,
    }


def vanished_transition(sequence: int, state: int, attempt: int, now: int) -> dict[str, Any]:
    """The transition that ends a flow run that left the cluster before it ended."""
    return {
        "seq": sequence + 1,
        "at": now,
        "attempt": attempt,
        "from_state": state,
        "to_state": STATE_CODES[CANCELLED],
        "proposed": STATE_CODES[CANCELLED],
        "name": None,
        "rule": VANISHED_RULE,
        "verdict": "Accept",
        "reason": VANISHED_REASON,
        "message": VANISHED_MESSAGE,
    }


def _chunks(uids: list[str]) -> Iterable[list[str]]:
    return (uids[start : start + _CHUNK] for start in range(0, len(uids), _CHUNK))
