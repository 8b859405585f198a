"""Entries of a run's history: a state, since when, and the decision that led to it.

An entry is made of a decision (`entry_of`), or by the ledger for the steps on which no rule has an opinion; there is no other source.
"""

from __future__ import annotations

from datetime import UTC, datetime
from time import time_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka.engine.bookkeeping import uninterrupted
from mintaka_core.states import RUNNING, StateType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka_core.transitions import Decision


def now_micros() -> int:
    """Now, in microseconds since the epoch (UTC)."""
    return time_ns() // 1000


def to_datetime(micros: int) -> datetime:
    """Microseconds since the epoch as an aware datetime."""
    return datetime.fromtimestamp(micros / 1_000_000, UTC)


class Opinion(NamedTuple):
    """The opinion of one rule on a proposal; `verdict` is Accept, Redirect, Wait or Abort."""

    rule: str
    verdict: str
    reason: str


class Entry(NamedTuple):
    """One decision about a run: the state it is in, since when (µs since the epoch), the opinions of the rules, and the state's own reason.

    `trail` is every opinion that a rule had, in order; () if all let it pass. `proposed` is the state that was proposed to them
    (None: this very state). If they refused it, or had it wait, the entry repeats the state that the run stayed in. `facts` are what
    the rules read, as JSON (None: nothing unusual).
    """

    type: StateType
    name: str
    time: int
    trail: tuple[Opinion, ...] = ()
    reason: str = ""
    message: str = ""
    proposed: StateType | None = None
    facts: dict[str, Any] | None = None

    @property
    def rule(self) -> str:
        """The rule that decided; "" if all let it pass."""
        return self._deciding.rule if self.trail else ""

    @property
    def decision(self) -> str:
        """Why it decided so."""
        return self._deciding.reason if self.trail else ""

    @property
    def _deciding(self) -> Opinion:
        return next((opinion for opinion in reversed(self.trail) if opinion.verdict != "Accept"), self.trail[-1])

    @property
    def refused(self) -> bool:
        """True if the run stayed in its state because the proposal was refused."""
        return bool(self.trail) and self.trail[-1].verdict == "Abort"

    @property
    def waits(self) -> bool:
        """True if the run stayed in its state, perhaps for another reason than before, until the proposal is made again."""
        return bool(self.trail) and self.trail[-1].verdict == "Wait"


@uninterrupted
def entry_of(decision: Decision, stays: Entry | None = None) -> Entry:
    """A decision as a line of history, since now; `stays` is the entry of the state that the run stays in (None: it enters one)."""
    trail = tuple(Opinion(opinion.rule, type(opinion.verdict).__name__, opinion.verdict.reason) for opinion in decision.trail)
    proposed, facts, state = decision.transition.proposed.type, decision.facts or None, decision.state
    if stays is not None or state is None:
        return _staying(decision, stays, trail, facts)
    other = None if proposed is state.type else proposed
    return Entry(state.type, state.name, time_ns() // 1000, trail, state.reason, state.message, other, facts)


def _staying(decision: Decision, stays: Entry | None, trail: tuple[Opinion, ...], facts: dict[str, Any] | None) -> Entry:
    current: Any = stays or decision.transition.current
    reason, message = current.reason, current.message
    if waiting := decision.waiting_reason:
        reason, message = waiting, decision.reason
    return Entry(current.type, current.name, time_ns() // 1000, trail, reason, message, decision.transition.proposed.type, facts)


def starts(history: Sequence[Entry]) -> list[int]:
    """When each try of the body started, in µs since the epoch; continuing after a pause is not another try."""
    began, resuming = [], False
    for entry in history:
        if entry.type == RUNNING and not (entry.refused or entry.waits):
            if not resuming:
                began.append(entry.time)
            resuming = False
        elif entry.name == "Resuming":
            resuming = True
    return began


def last_entered(history: Sequence[Entry]) -> Entry:
    """The newest entry that is not a refusal: the state that the run is in, with the reason of a wait in it."""
    entry = history[-1]
    if not entry.trail:
        return entry
    return next((entry for entry in reversed(history) if not entry.refused), entry)
