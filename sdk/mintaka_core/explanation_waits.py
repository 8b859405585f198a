"""Explanations of runs that have not started: their time, retries, what prevents the creation of a workload, slots, rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_core.explanation_reasons import REFUSALS, REMEDIES
from mintaka_core.explanation_texts import (
    AWAITING_SLOT,
    AWAY,
    HELD_BY_RULE,
    Parts,
    actor_of,
    at,
    cancels,
    is_late,
    is_stale,
    operator_check,
    said,
)
from mintaka_core.instants import later

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka_core.explanation_facts import DecisionFacts, DeploymentFacts, RunFacts

#: The rule that gives slots to runs, and the prefix of the names of users' rules.
SLOT_RULE, USER_RULE = "wait_for_a_slot", "user/"
_TIME_RULE = "wait_for_scheduled_time"
_ENDED = {"FAILED": "failed with", "CRASHED": "crashed with"}
_AGAIN = {"Rerun": "It runs again", "Resumed": "It continues"}


def explain_scheduled(run: RunFacts, deployment: DeploymentFacts | None, now: datetime | None) -> Parts:
    """SCHEDULED: what it waits for."""
    if run.sequence == 0:
        return Parts("No operator has acted on it yet", "It starts when one does", operator_check(run))
    held = holding_rule(run)
    if held is not None:
        return _held(run, held, now)
    entered = run.entered
    if AWAITING_SLOT in (run.reason, run.state_name):
        return _awaiting_slot(run.message or (entered.said if entered else ""), None)
    if entered is not None and entered.verdict == "Redirect" and entered.rule.startswith(USER_RULE):
        return Parts(said(f"Rule {entered.rule} put it off", entered.said or run.message), *_start(run, now, _rule_remedy(entered.rule)))
    if run.state_name == "AwaitingRetry":
        return _retry(run, entered, now)
    if run.reason in _AGAIN or run.state_name == "Resuming":
        return Parts(said(_AGAIN.get(run.reason, "It continues"), run.message), *_start(run, now, cancels(run)))
    if run.reason:
        return _refused(run, now)
    if run.own_name:
        return Parts(said(f"It is {run.own_name}", run.message), *_start(run, now, cancels(run)))
    return _due(run, deployment, now)


def holding_rule(run: RunFacts) -> DecisionFacts | None:
    """The decision that holds a SCHEDULED run, apart from its time: the latest one, if a rule had it wait or a user's rule refused."""
    latest = run.latest
    if run.type != "SCHEDULED" or latest is None or latest.rule == _TIME_RULE:
        return None
    return latest if latest.verdict == "Wait" or latest.rule.startswith(USER_RULE) else None


def held_reason(run: RunFacts) -> str:
    """The word for the rule that holds it, "" if none does."""
    held = holding_rule(run)
    if held is None:
        return ""
    return AWAITING_SLOT if held.rule == SLOT_RULE else HELD_BY_RULE


def _held(run: RunFacts, held: DecisionFacts, now: datetime | None) -> Parts:
    if held.rule == SLOT_RULE:
        return _awaiting_slot(held.said, held.until)
    if held.verdict == "Abort":
        why = said(f"Rule {held.rule} does not let it start", held.said)
        return Parts(why, "It is asked again when something changes", _rule_remedy(held.rule))
    why = said(f"Rule {held.rule} holds it", held.said)
    if held.until is None:
        return Parts(why, "It is asked again when something changes", _rule_remedy(held.rule) or cancels(run))
    if is_stale(held.until, now):
        return Parts(why, f"It was to be asked again at {at(held.until)}: {AWAY}", operator_check(run))
    return Parts(why, f"It is asked again at {at(held.until)}", _rule_remedy(held.rule) or cancels(run))


def _rule_remedy(rule: str) -> str:
    name = rule.removeprefix(USER_RULE)
    return f"Change or delete the rule {name}, or cancel the run" if name != rule else ""


def _awaiting_slot(message: str, until: datetime | None) -> Parts:
    why = said("It waits for a concurrency slot", message)
    last = f", asked again at {at(until)} at the latest" if until else ""
    return Parts(why, f"It starts when a slot is free and its turn comes{last}", "Raise spec.concurrency.limit, or cancel the holder")


def _retry(run: RunFacts, entered: DecisionFacts | None, now: datetime | None) -> Parts:
    rule, allowed = (entered.rule, entered.said.partition(", again in")[0]) if entered else ("", "")
    ended = _ENDED.get(entered.proposed, "ended with") if entered else "ended with"
    if rule == "retry_what_never_ran":
        ended = "was rejected before its code ran,"
    why = said(f"Attempt {run.attempt} {ended} {run.reason or 'no reason'}", run.message)
    due = run.next_time
    following, remedy = f"Attempt {run.attempt + 1}", REMEDIES.get(run.reason) or cancels(run)
    if is_stale(due, now):
        return Parts(why, f"{following} was due at {at(due)}: {AWAY}" if due else "", operator_check(run))
    when = "now" if due is None or is_late(due, now) else f"at {at(due)}"
    return Parts(why, f"{following} starts {when}" + (f" ({allowed})" if allowed else ""), remedy)


def _refused(run: RunFacts, now: datetime | None) -> Parts:
    """No workload can be created for it."""
    actor, refusal = actor_of(run), REFUSALS.get(run.reason)
    if refusal is None:
        return Parts(said(f"It cannot start, {run.reason}", run.message), f"{actor} tries again", cancels(run))
    follows = refusal.follows.format(actor=actor)
    if refusal.patience is not None:
        until = f"until {at(later(run.time, refusal.patience))}" if run.time else "for a while"
        follows = f"{actor} {refusal.asks} again {until}, then it ends {refusal.end}"
        if run.time and is_stale(later(run.time, refusal.patience), now):
            follows = f"It should have ended {refusal.end} at {at(later(run.time, refusal.patience))}: {AWAY}"
    return Parts(said(refusal.clause, run.message), follows, refusal.remedy or cancels(run))


def _due(run: RunFacts, deployment: DeploymentFacts | None, now: datetime | None) -> Parts:
    due = run.next_time
    if due is not None and not is_late(due, now):
        starts = "It starts then"
        if deployment is not None and deployment.suspended:
            starts += ": that its deployment is suspended stops schedules, not runs"
        return Parts(f"It waits for its scheduled time, {at(due)}", starts, "To run now, create another run without scheduledTime")
    since = due or run.time
    if since is not None and is_stale(since, now):
        return Parts(f"It was due at {at(since)} and has not started: {AWAY}", "It starts when one does", operator_check(run))
    return Parts("It is due", *_start(run, now, cancels(run)))


def _start(run: RunFacts, now: datetime | None, remedy: str) -> tuple[str, str]:
    """When the next attempt starts, and the remedy, unless nothing acts on it."""
    due = run.next_time
    if due is not None and is_stale(due, now):
        return f"It was due at {at(due)}: {AWAY}", operator_check(run)
    if due is not None and not is_late(due, now):
        return f"It starts at {at(due)}", remedy
    return f"Attempt {run.attempt + 1} starts now", remedy
