"""Records of decisions in a run's status: how a decision is written, when it is worth a write, and what can be derived from it.

A decision that changes the run's state is always written. One that does not is written along with the next change; only the
beginning of a wait, or of another reason for it, is worth a write of its own.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import TypeAdapter

from mintaka_core.facts import TRUNCATED
from mintaka_core.resources.runs import OPINIONS_KEPT, STAYS, OpinionStatus, StateStatus, TransitionStatus
from mintaka_core.states import PENDING, SCHEDULED, StateType
from mintaka_core.transitions import Transition, is_users_rule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mintaka_core.transitions import Decision

#: A wait for one reason is worth a write at most once in this time.
WAIT_WRITES = timedelta(seconds=30)
_MESSAGE, _TRAIL, _NAME = 1024, 512, 100
_TRANSITIONS = TypeAdapter(Transition)


def record_of(decision: Decision, sequence: int, after: StateStatus) -> TransitionStatus:
    """The record number `sequence` of a run that is in the state `after` once this was decided."""
    transition, message = decision.transition, (decision.reason, after.message if decision.accepted else "")
    return TransitionStatus(
        sequence=sequence,
        from_type=transition.current.type if transition.current else None,
        to=after.type,
        name=after.name,
        proposed=transition.proposed.type,
        rule=decision.rule[:_NAME],
        verdict=decision.verdict,
        trail=_trail_of(decision),
        facts=decision.facts or None,
        until=decision.until,
        reason=after.reason,
        message=": ".join(part for part in message if part)[:_MESSAGE],
        attempt=transition.attempt,
        time=decision.time,
    )


def _trail_of(decision: Decision) -> tuple[OpinionStatus, ...]:
    """The opinions if there are several, the last ones of very many; their texts share a limit. Also a single one of a rule that had no
    objection: the record's message is then that of the state too.
    """
    trail = decision.trail[-OPINIONS_KEPT:]
    if len(trail) <= 1 and not (trail and decision.verdict == "Accept"):
        return ()
    limit = _TRAIL // len(trail)
    return tuple(
        OpinionStatus(rule=opinion.rule[:_NAME], verdict=type(opinion.verdict).__name__, reason=opinion.verdict.reason[:limit])
        for opinion in trail
    )


def is_known(record: TransitionStatus, records: Sequence[TransitionStatus]) -> bool:
    """True if `record`, of a decision that changed nothing, repeats what `records` say: the last one if it refuses, else the same wait."""
    if record.verdict == "Abort":
        return bool(records) and _said(records[-1]) == _said(record)
    return any(_said(known) == _said(record) for known in _since_entered(records))


def is_superseded(known: TransitionStatus, record: TransitionStatus) -> bool:
    """True if `record` says the same as an earlier one that was not written, perhaps with another end of the wait."""
    return (_why(known), known.proposed, known.attempt) == (_why(record), record.proposed, record.attempt)


def write_time(record: TransitionStatus, records: Sequence[TransitionStatus]) -> datetime | None:
    """When `record`, of a decision that changed nothing, is worth a write of its own, if it still holds by then; None: never.

    That is so if it begins a wait, or gives another reason for it than the last of the `records` that were written, or replaces one that is
    over.
    """
    if not _holds_back(record):
        return None
    last = next((known for known in reversed(_since_entered(records)) if _holds_back(known)), None)
    if last is not None and _why(last) == _why(record) and (last.until is None or last.until > record.time):
        return None
    of_late = [known.time for known in records if _why(known) == _why(record) and abs(record.time - known.time) < WAIT_WRITES]
    return max(of_late) + WAIT_WRITES if of_late else record.time


def _holds_back(record: TransitionStatus) -> bool:
    """True for a wait, and for a refusal by a rule of users, which without a record no one could see."""
    return record.verdict == "Wait" or (record.verdict == "Abort" and is_users_rule(record.rule))


def _why(record: TransitionStatus) -> tuple[str, str, str]:
    return record.verdict, record.rule, record.message


def _since_entered(records: Sequence[TransitionStatus]) -> list[TransitionStatus]:
    """The records since the run entered its state, oldest first."""
    return list(takewhile(lambda record: not record.accepted, reversed(records)))[::-1]


def _said(record: TransitionStatus) -> tuple[Any, ...]:
    return record.verdict, record.rule, record.message, record.until, record.proposed, record.to, record.attempt


class Decided(NamedTuple):
    """The part of a record that `transition_from` reads. `said` is the reason of the last rule."""

    before: StateType | None
    proposed: StateType
    name: str
    verdict: str
    reason: str
    message: str
    attempt: int
    time: datetime
    facts: Mapping[str, Any]
    said: str = ""


def transition_of(record: TransitionStatus) -> Transition:
    """The transition that was decided, as far as the rules read it. Not certain if the facts are truncated."""
    said = record.trail[-1].reason if record.trail else ""
    facts, names = record.facts or {}, (record.name, record.verdict, record.reason, record.message)
    return transition_from(Decided(record.from_type, record.proposed, *names, record.attempt, record.time, facts, said))


def transition_from(decided: Decided) -> Transition:
    """See `transition_of`."""
    facts = {_snake(name): _snake_keys(value) for name, value in decided.facts.items() if name != TRUNCATED}
    state = {"name": decided.name, "reason": decided.reason}
    stayed = decided.verdict in STAYS
    current = {"type": decided.before, **(state if stayed else {})} if decided.before else None
    proposed: dict[str, Any] = {"type": decided.proposed}
    if decided.verdict == "Accept":
        # A time of its own is another than the present; if nothing read the present, the two may as well be the same.
        said, message = decided.said, decided.message
        message = message.removeprefix(said).removeprefix(": ") if said else message
        proposed |= {**state, "message": message, "time": decided.time if "now" in facts else None}
    first = (decided.before, decided.proposed) == (SCHEDULED, PENDING)
    known = {
        "now": decided.time,
        "attempt": decided.attempt,
        "current_attempt": decided.attempt - first,
        **facts,
        "current": {**current, **facts.get("current", {})} if current else None,
        "proposed": {**proposed, **facts.get("proposed", {})},
    }
    return _TRANSITIONS.validate_python(known)


@lru_cache(256)
def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name)


def _snake_keys(value: Any) -> Any:
    return {_snake(name): _snake_keys(each) for name, each in value.items()} if isinstance(value, dict) else value
