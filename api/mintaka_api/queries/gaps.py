"""Gaps in the transitions of flow runs: numbers that no mirror saw before the run's status dropped them.

A gap is a row of `flow_run_transitions` with the verdict "Gap". It stands at the last missing number and covers all from
`facts.first`; its states are those before and after, its time that of the next transition. It is replaced when the missing
transitions arrive after all, from another replica that had seen them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select, update

from mintaka_history.json_text import encode_storable
from mintaka_history.queries.dialects import insert
from mintaka_history.tables import flow_run_transitions, flow_runs

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, Row

GAP = "Gap"
GAP_REASON = "TransitionsLost"
_t = flow_run_transitions.c


def record_gaps(connection: Connection, numbers: Collection[int]) -> int:
    """Bring the gaps of the flow runs with these numbers up to date; return how many of the runs have any."""
    runs: dict[int, list[Row[Any]]] = {number: [] for number in numbers}
    columns = (_t.flow_run, _t.seq, _t.at, _t.attempt, _t.from_state, _t.to_state)
    transitions = select(*columns).where(_t.flow_run.in_(list(runs)), _t.verdict.is_distinct_from(GAP)).order_by(_t.flow_run, _t.seq)
    row: Any
    for row in connection.execute(transitions):
        runs[row.flow_run].append(row)
    rows = [row for number, found in runs.items() for row in _gaps(number, found)]
    connection.execute(flow_run_transitions.delete().where(_t.flow_run.in_(list(runs)), _t.verdict == GAP))
    if rows:
        connection.execute(insert(connection, flow_run_transitions).on_conflict_do_nothing(), rows)
    incomplete = {row["flow_run"] for row in rows}
    flags = [{"number": number, "flag": number in incomplete} for number in sorted(runs)]
    statement = update(flow_runs).where(flow_runs.c.no == bindparam("number"), flow_runs.c.gap != bindparam("flag"))
    connection.execute(statement.values(gap=bindparam("flag")), flags)
    return len(incomplete)


def _gaps(number: int, transitions: list[Row[Any]]) -> list[dict[str, Any]]:
    """The rows of the gaps between `transitions`, which are in order."""
    rows, last, state = [], 0, None
    for transition in transitions:
        if transition.seq > last + 1:
            rows.append(_gap(number, last + 1, state, transition))
        last, state = transition.seq, transition.to_state
    return rows


def _gap(number: int, first: int, state: int | None, following: Row[Any]) -> dict[str, Any]:
    last = following.seq - 1
    missing = f"transition {first} is" if first == last else f"transitions {first} to {last} are"
    after = following.to_state if following.from_state is None else following.from_state
    return {
        "flow_run": number,
        "seq": last,
        "at": following.at,
        "attempt": following.attempt,
        "from_state": state,
        "to_state": after,
        "proposed": after,
        "verdict": GAP,
        "reason": GAP_REASON,
        "message": f"{missing} missing: more happened than a FlowRun's status stores while nothing recorded it",
        "facts": encode_storable({"first": first, "last": last}),
    }
