"""What rules of users may do: the transitions to which they may apply, and the verdicts of their actions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mintaka_core.errors import MintakaError
from mintaka_core.rules import ORDER, edges
from mintaka_core.states import COMPLETED, CRASHED, FAILED, PENDING, RUNNING, SCHEDULED, State
from mintaka_core.transitions import Abort, Redirect, Transition, Wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_core.resources.orchestration_rules import OrchestrationRuleSpec
    from mintaka_core.transitions import Edge, Verdict

#: A run that a rule holds back is evaluated again after at most this time.
EVALUATE_AGAIN = timedelta(seconds=30)
#: The transition that starts an attempt.
START: Edge = (SCHEDULED, PENDING)
_EDGES = (edges([SCHEDULED], [PENDING, FAILED, CRASHED]) | edges([PENDING, RUNNING], [COMPLETED, FAILED, CRASHED])) & ORDER
_ONE_ACTION = "spec.then has exactly one of abort, wait, redirect and delay"


class InvalidRule(MintakaError):
    """A rule that cannot be applied; `reason` is one word."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def action_of(spec: OrchestrationRuleSpec) -> str:
    """The name of its action."""
    return next(name for name in ("abort", "wait", "redirect", "delay") if getattr(spec.then, name) is not None)


def edges_of(spec: OrchestrationRuleSpec) -> frozenset[Edge]:
    """The transitions to which the rule may apply."""
    action = spec.then
    if sum(part is not None for part in (action.abort, action.wait, action.redirect, action.delay)) != 1:
        raise InvalidRule(_ONE_ACTION, reason="InvalidAction")
    known = {START} if action.abort is not None or action.wait is not None else _EDGES
    after = SCHEDULED if action.delay else action.redirect.type if action.redirect else None
    return frozenset(
        edge
        for edge in known
        if (not spec.from_types or edge[0] in spec.from_types)
        and (not spec.to_types or edge[1] in spec.to_types)
        and (after is None or (edge[0], after) in ORDER)
    )


def no_transition(spec: OrchestrationRuleSpec) -> str:
    """Why the rule can never apply."""
    action = action_of(spec)
    if action in {"abort", "wait"}:
        return f"{action} can only hold back a start, which is from SCHEDULED to PENDING"
    return f"there is no transition from one to another of these states that a rule could {action} so"


def verdict_of(spec: OrchestrationRuleSpec) -> Callable[[Transition], Verdict | None]:
    """The verdict of the rule if its condition is true."""
    action = spec.then
    if action.abort is not None:
        reason = spec.message or "refused by a rule"
        return lambda transition: Abort(reason, again=transition.now + EVALUATE_AGAIN)
    if action.wait is not None:
        return _wait(spec.message or "held back by a rule", action.wait.until, action.wait.seconds)
    if action.delay is not None:
        return _delay(spec.message or "delayed by a rule", timedelta(seconds=action.delay.seconds))
    if action.redirect is None:
        raise InvalidRule(_ONE_ACTION, reason="InvalidAction")
    return _redirect(spec.message, State(action.redirect.type, reason=action.redirect.reason))


def _wait(reason: str, until: datetime | None, seconds: int | None) -> Callable[[Transition], Verdict | None]:
    def verdict(transition: Transition) -> Verdict | None:
        now = transition.now
        end = until if until is not None else _end_of_wait(transition, timedelta(seconds=seconds or 1))
        return Wait(end, reason, again=min(end, now + EVALUATE_AGAIN)) if end > now else None

    return verdict


def _end_of_wait(transition: Transition, wait: timedelta) -> datetime:
    """The end of the current wait, of those that follow each other since the state began: the same for every evaluation during it."""
    began = transition.current.time if transition.current else None
    if began is None or began > transition.now:
        return transition.now + wait
    return began + wait * ((transition.now - began) // wait + 1)


def _delay(reason: str, delay: timedelta) -> Callable[[Transition], Verdict]:
    def verdict(transition: Transition) -> Verdict:
        proposed, starts = transition.proposed, transition.edge == START
        state = State(
            SCHEDULED,
            "Scheduled" if starts else "AwaitingRetry",
            reason="DelayedByRule" if starts else proposed.reason,
            message=reason if starts else proposed.message,
            scheduled_time=transition.now + delay,
        )
        return Redirect(state, f"{reason}; again in {delay.total_seconds():.0f} s", final=True)

    return verdict


def _redirect(message: str, to: State) -> Callable[[Transition], Verdict]:
    def verdict(transition: Transition) -> Verdict:
        proposed = transition.proposed
        text = ": ".join(part for part in (message, proposed.message) if part)
        reason = to.reason or proposed.reason or "RedirectedByRule"
        return Redirect(State(to.type, reason=reason, message=text), message or f"redirected from {proposed.type}", final=True)

    return verdict
