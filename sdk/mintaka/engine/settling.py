"""How a flow ends: what its return value, and the futures nobody looked at, add up to.

A state that the flow returns is its state. What futures and states in the return value become, and whether a failure that
nobody looked at makes an ordinary return value FAILED, is a question of its semantics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka.engine.outcomes import Outcome
from mintaka.engine.runs import Entry, now_micros
from mintaka.engine.semantics import sum_up
from mintaka.states import State
from mintaka_core.states import CANCELLED, FAILED

if TYPE_CHECKING:
    from collections.abc import Collection

    from mintaka.context import FlowContext
    from mintaka.executing.pool import Job


def settled_value(child: FlowContext, value: Any) -> Any:
    """What `value`, which the flow's body returned, amounts to; see `Semantics`."""
    value = child.semantics.value_of_flow(value)
    if isinstance(value, State) or not child.failures or not child.semantics.unobserved_failures_count:
        return value
    unseen = [future.state for _, future in sorted(child.failures.items()) if not future.observed]
    if not unseen:
        return value
    return sum_up(FAILED, unseen, f"{len(unseen)} task run{'s' * (len(unseen) > 1)} failed and nobody looked at the result")


def give_up(child: FlowContext, why: str, among: Collection[Job] | None = None) -> None:
    """End every submitted run of the flow that has not begun; `among`: of these jobs alone."""
    for future in tuple(child.open.values()):
        job = future.job
        if job is not None and (among is None or job in among) and job.claim():
            entry = Entry(CANCELLED, "Cancelled", now_micros(), reason="FlowEnded", message=why)
            if child.ledger.end(future.run, entry):
                future.finish(Outcome(future.run))
