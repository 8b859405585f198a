"""An explanation, and the phrases that all of them share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from mintaka_core.states import CANCELLED

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka_core.explanation_facts import RunFacts

#: How late something is before it counts as not happening: an operator reads everything again after 20 s.
LATE = timedelta(minutes=1)
#: A message is cut to so many characters.
_MESSAGE = 300
AWAY = "no operator acts on it"
#: The reasons of runs that rules hold.
AWAITING_SLOT, HELD_BY_RULE = "AwaitingConcurrencySlot", "HeldByRule"


class Parts(NamedTuple):
    """Why, what follows, and what would change it, without full stops."""

    why: str
    next: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a run is where it is, what happens `next` and when, and what would change it (`remedy`): one sentence each.

    `reason` is one word for programs, "" for a run that waits for its time, runs or completed as expected.
    """

    reason: str
    why: str
    next: str
    remedy: str

    @property
    def text(self) -> str:
        """The three sentences."""
        return f"{self.why} {self.next} {self.remedy}"


def finish(reason: str, parts: Parts) -> Explanation:
    """The explanation that consists of these parts."""
    return Explanation(reason, *(_sentence(part) for part in parts))


def _sentence(text: str) -> str:
    return f"{' '.join(text.split()).rstrip('. ')}."


def at(time: datetime) -> str:
    """A time, in UTC."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def said(clause: str, message: str) -> str:
    """`clause`, and the message that belongs to it, if there is one: on one line, cut."""
    text = " ".join(message.split())
    if len(text) > _MESSAGE:
        text = f"{text[:_MESSAGE].rstrip()} …"
    return f"{clause}: {text}" if text else clause


def is_late(time: datetime | None, now: datetime | None) -> bool:
    """True if `time` has passed."""
    return time is not None and now is not None and time <= now


def is_stale(time: datetime | None, now: datetime | None, patience: timedelta = LATE) -> bool:
    """True if `time` passed so long ago that nothing acts on it."""
    return time is not None and now is not None and time + patience < now


def clock_note(run: RunFacts, now: datetime | None) -> str:
    """A note if its state begins in the future: the clock here and that of the operator differ."""
    if now is None or run.time is None or run.time <= now + LATE:
        return ""
    return f"The clock here is {(run.time - now) // timedelta(minutes=1)} min behind the one that recorded its state"


def cancels(run: RunFacts) -> str:
    """How to end it."""
    return f"mintaka cancel {run.name} ends it"


def resumes(run: RunFacts, what: str) -> str:
    """How to resume it or run it again."""
    return f"mintaka resume {run.name} {what}"


def operator_check(run: RunFacts) -> str:
    """What to check if nothing acts on it."""
    return f"If it lasts, check that the operator (or mintaka server) runs and watches namespace {run.namespace}"


def actor_of(run: RunFacts) -> str:
    """What acts on it (the operator or the server), at the beginning of a sentence."""
    return "The server" if run.local else "The operator"


def workload_of(run: RunFacts) -> str:
    """Its pod or process."""
    return "its process" if run.local else f"pod {run.pod}" if run.pod else "its pod"


def place_of(run: RunFacts) -> str:
    """Where it runs."""
    return "a process of its own" if run.local else workload_of(run)


def reason_of(run: RunFacts, held: str = "") -> str:
    """One word for programs: what `held` it, its reason, or the name of its state if that is not the ordinary one."""
    word = held or run.reason or run.own_name
    return "" if word == run.state_name and run.type == CANCELLED else word
