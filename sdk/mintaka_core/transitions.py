"""Deciding a transition: an ordered list of pure rules is the whole specification.

A *rule* takes one proposed transition and returns a verdict, or None for no objection. A *policy* is an ordered tuple of
rules. `decide` evaluates them in order; a Redirect changes the proposed state for the following rules; a Wait or an Abort
ends the evaluation. All verdicts are stored in the trail, so that each decision can be explained.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from mintaka_core.backoff import Retries
from mintaka_core.clocks import CLOCK_TOLERANCE
from mintaka_core.states import State, StateType

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class KeptResult:
    """A cached result of an earlier run: its `key`, when it was `created` and when it expires (None: never)."""

    key: str
    created: datetime
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """A proposed change of state, with every fact a rule may need.

    `attempt` is the attempt that proposes, `current_attempt` the one the run is in. `failures` and `crashes` count the
    retries already granted from each budget; `rejections` those granted because the workload never ran. `deadline` is when
    the current state times out, `ended_time` when the workload ended (None: now). `stopped` means that the workload was
    requested to stop before it ended. `kept` is a cached result that could replace the run (None: no such result), `refresh`
    requests a new one nevertheless. `jitter` in [0, 1) is drawn by the caller.
    """

    current: State | None
    proposed: State
    now: datetime
    attempt: int = 1
    current_attempt: int = 1
    failures: int = 0
    crashes: int = 0
    rejections: int = 0
    retries: Retries = Retries()
    retriable: bool = True
    never_ran: bool = False
    deadline: datetime | None = None
    ended_time: datetime | None = None
    stopped: bool = False
    explicit: bool = False
    cancel_requested: bool = False
    suspend_requested: bool = False
    kept: KeptResult | None = None
    refresh: bool = False
    jitter: float = 0.0

    @property
    def overdue(self) -> bool:
        """True if the current state had passed its deadline when the workload ended, by its node's clock."""
        if self.deadline is None:
            return False
        return (self.ended_time or self.now) + CLOCK_TOLERANCE >= self.deadline

    @property
    def edge(self) -> tuple[StateType | None, StateType]:
        """The pair (from, to) of state types; from is None for a run that has no state yet."""
        return (self.current.type if self.current else None, self.proposed.type)


@dataclass(frozen=True, slots=True)
class Redirect:
    """The run enters another state than the proposed one."""

    state: State
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """The proposal is valid but early: propose it again at `until`."""

    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Abort:
    """The proposal is refused; the run stays in its current state."""

    reason: str


type Verdict = Redirect | Wait | Abort
type Rule = Callable[[Transition], Verdict | None]
type Policy = tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Opinion:
    """The verdict of one rule on one proposal."""

    rule: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of a policy: the state to enter (None: stay), when to propose again, and the trail that led there."""

    transition: Transition
    state: State | None
    until: datetime | None
    trail: tuple[Opinion, ...]

    @property
    def accepted(self) -> bool:
        """True if the run enters a state, even if it is not the proposed one."""
        return self.state is not None

    @property
    def expires_kept_result(self) -> bool:
        """True if a run leaves a terminal state: its outcome is no longer valid, nor is its cached result."""
        current = self.transition.current
        return self.accepted and current is not None and current.is_terminal

    @property
    def rule(self) -> str:
        """The rule that decided, or "" if every rule let the proposal pass."""
        return self.trail[-1].rule if self.trail else ""

    @property
    def verdict(self) -> str:
        """One of Accept, Redirect, Wait, Abort."""
        return type(self.trail[-1].verdict).__name__ if self.trail else "Accept"

    @property
    def reason(self) -> str:
        """Why, in a sentence; "" for a plain Accept."""
        return self.trail[-1].verdict.reason if self.trail else ""


def decide(policy: Policy, transition: Transition) -> Decision:
    """Evaluate each rule of `policy` in order for `transition`; the time of the entered state is `transition.now`."""
    trail: list[Opinion] = []
    asked = transition
    for rule in policy:
        verdict = rule(asked)
        if verdict is None:
            continue
        trail.append(Opinion(rule.__name__, verdict))
        match verdict:
            case Redirect(state):
                asked = replace(asked, proposed=state)
            case Wait(until):
                return Decision(transition, None, until, tuple(trail))
            case Abort():
                return Decision(transition, None, None, tuple(trail))
    entered = asked.proposed if asked.proposed.time else asked.proposed.at(transition.now)
    return Decision(transition, entered, None, tuple(trail))
