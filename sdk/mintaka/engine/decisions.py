"""Decisions about runs of this process: the core's policy evaluated for a proposal, with the facts that the caller gathered.

Every state that a run enters is decided here, except the plain steps that the ledger takes without evaluating the policy (`PLAIN_EDGES`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka.engine.bookkeeping import uninterrupted
from mintaka.engine.entries import now_micros, to_datetime
from mintaka.exceptions import message_of
from mintaka_core.states import State

if TYPE_CHECKING:
    from mintaka.engine.runs import Run
    from mintaka_core.transitions import Decision


@uninterrupted
def decide_run(run: Run, proposed: State, **facts: Any) -> Decision:
    """Evaluate the policy for a transition of `run`, from the state that it is in to `proposed`; `facts` are fields of the transition."""
    from mintaka_core.policies import TASK_RUN_POLICY  # noqa: PLC0415 - start-up time: a plain run needs no decision
    from mintaka_core.transitions import Transition, decide  # noqa: PLC0415 - start-up time

    last = run.last
    due = facts.pop("due", None)
    current = State(last.type, last.name, last.reason, last.message, to_datetime(last.time), due)
    return decide(TASK_RUN_POLICY, Transition(current, _plain(proposed), to_datetime(now_micros()), **facts))


def _plain(state: State) -> State:
    """`state` without its result or exception, which are not facts, and with texts in place of other values from the user's code."""
    return State(state.type, _text(state.name), _text(state.reason), _text(state.message), scheduled_time=state.scheduled_time)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else message_of(value)
