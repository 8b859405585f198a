"""How a flow ends: what its return value, and the futures nobody looked at, add up to.

A state that the flow returns is its state. Futures and states in the return value are aggregated: all COMPLETED is
COMPLETED, with their results; else it is CANCELLED where one was, else FAILED. A failure that nobody looked at makes an
ordinary return value FAILED.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka.calling.dependencies import Dependencies, resolved
from mintaka.engine.outcomes import Outcome
from mintaka.engine.runs import Entry, now_micros
from mintaka.futures import Future, FutureList
from mintaka.states import State
from mintaka_core.states import CANCELLED, COMPLETED, FAILED

if TYPE_CHECKING:
    from mintaka.context import FlowContext


def settled_value(value: Any, failures: dict[int, Future[Any]]) -> Any:
    """An ordinary value where the flow completed with it, else a State."""
    if type(value) is State:
        return value
    parts = _states_in(value)
    if parts:
        bad = [state for state in parts if state.type != COMPLETED]
        if bad:
            kind = CANCELLED if any(state.type == CANCELLED for state in bad) else FAILED
            return _summed_up(kind, bad, f"{len(bad)} of {len(parts)} returned states did not complete")
        value = resolved(value)
    if failures:
        unseen = [failures[n].state for n in sorted(failures)]
        return _summed_up(FAILED, unseen, f"{len(unseen)} task run{'s' * (len(unseen) > 1)} failed and nobody looked at the result")
    return value


def _states_in(value: Any) -> list[State]:
    """The states of every future, and every state, in `value`."""
    if isinstance(value, (Future, FutureList, list, tuple, set, dict)):
        found = Dependencies(None)
        found.find(value)
        return [*(future.state for future in found.futures), *_bare_states(value)]
    return []


def _bare_states(value: Any) -> list[State]:
    """The states in `value`, each container looked into once: it may stand in itself."""
    found, seen, left = [], set(), [value]
    while left:
        part = left.pop()
        if type(part) is State:
            found.append(part)
        elif isinstance(part, (dict, list, tuple, set)) and id(part) not in seen:
            seen.add(id(part))
            left.extend(reversed(list(part.values() if isinstance(part, dict) else part)))
    return found


def _summed_up(kind: Any, bad: list[State], what: str) -> State:
    first = bad[0]
    told = ": ".join(part for part in (first.reason, first.message) if part)
    return State(kind, reason=first.reason, message=f"{what}: {told}".rstrip(": "), error=first.exception())


def give_up(child: FlowContext, why: str) -> None:
    """End every submitted run of the flow that has not begun."""
    for future in tuple(child.open.values()):
        job = future.job
        if job is not None and job.claim():
            entry = Entry(CANCELLED, "Cancelled", now_micros(), reason="FlowEnded", message=why)
            if child.ledger.end(future.run, entry):
                future.finish(Outcome(future.run))
