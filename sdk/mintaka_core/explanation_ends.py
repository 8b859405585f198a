"""Explanations of runs that have ended: how, after how many retries, by which rule, and what would let them end otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_core.explanation_reasons import REMEDIES
from mintaka_core.explanation_texts import Parts, cancels, resumes, said
from mintaka_core.explanation_waits import SLOT_RULE, USER_RULE
from mintaka_core.history_reasons import SENTENCES

if TYPE_CHECKING:
    from mintaka_core.explanation_facts import RunFacts

_NOTHING = "Nothing follows"
_VERBS = {"COMPLETED": "completed", "FAILED": "failed", "CRASHED": "crashed", "CANCELLED": "was cancelled"}
_SENTENCES = {str(reason): sentence for reason, sentence in SENTENCES.items()}


def explain_end(run: RunFacts) -> Parts:
    """COMPLETED, FAILED, CRASHED or CANCELLED."""
    if run.rerun_wanted:
        return Parts(_why(run), f"Attempt {run.attempt + 1} starts now: spec.reruns was raised", cancels(run))
    if run.history_reason:
        history = f"Its history is incomplete: {_SENTENCES.get(run.history_reason, run.history_reason)}"
        remedy = history if run.type == "COMPLETED" else f"{_remedy(run)}. {history}"
        return Parts(_why(run), _NOTHING, remedy)
    return Parts(_why(run), _NOTHING, _remedy(run))


def _why(run: RunFacts) -> str:
    entered = run.entered
    decided = (
        f". Rule {entered.rule} decided so" if entered and entered.verdict == "Redirect" and entered.rule.startswith(USER_RULE) else ""
    )
    return said(said(_end(run), run.message) + _retries(run) + decided, entered.said) if entered and decided else _plain(run)


def _plain(run: RunFacts) -> str:
    if _no_slot(run):
        return said("It was cancelled because no concurrency slot was free", run.message)
    return said(_end(run), run.message) + _retries(run)


def _end(run: RunFacts) -> str:
    verb = _VERBS[run.type]
    if run.type == "CANCELLED":
        return f"It {verb}"
    if run.type == "COMPLETED":
        return f"It {verb} as {run.own_name}" if run.own_name else f"It {verb}"
    if run.reason and run.reason != run.own_name:
        return f"It {verb} with {run.reason}"
    return f"It {verb}, {run.own_name}" if run.own_name else f"It {verb}"


def _retries(run: RunFacts) -> str:
    count = run.failures + run.crashes
    if run.type not in ("FAILED", "CRASHED") or not count:
        return ""
    return f", after {count} {'retry' if count == 1 else 'retries'}"


def _no_slot(run: RunFacts) -> bool:
    entered = run.entered
    return run.type == "CANCELLED" and entered is not None and entered.rule == SLOT_RULE


def _remedy(run: RunFacts) -> str:
    if _no_slot(run):
        return "Create the run again when a slot is free, or use the policy Queue"
    if run.type == "CANCELLED" and run.kind == "deployed":
        if run.reason == "Deleted":
            return "A deleted run does not run again: create another one"
        if run.reason == "Cancelled":
            return "A cancelled run does not run again: create another one with spec.resumeFrom"
    if run.type in ("FAILED", "CRASHED") and run.reason in REMEDIES:
        return REMEDIES[run.reason].format(pod=run.pod or "NAME")
    return resumes(run, "runs it again")
