"""Deciding a transition: an ordered list of pure rules is the whole specification.

A *rule* judges one proposed transition: it returns a verdict, or None for no objection. A *policy* is an ordered tuple of
rules. `decide` evaluates them in order; a Redirect changes the proposed state for the following rules; a Wait or an Abort ends
the evaluation. All verdicts are stored in the trail, so that each decision can be explained, and what the rules read is
noted, so that it can be decided again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from mintaka_core.backoff import Retries
from mintaka_core.clocks import CLOCK_TOLERANCE
from mintaka_core.concurrency import Standing
from mintaka_core.facts import defaults_of, facts_of
from mintaka_core.states import DEFAULT_NAMES, PENDING, SCHEDULED, State, StateType
from mintaka_core.task_facts import KeptResult, TagLimits, Unpersisted
from mintaka_core.tracing import is_traced, trace, traceable

type Edge = tuple[StateType | None, StateType]
"""A pair (from, to) of state types; from is None for a run that has no state yet."""


traceable(State)
traceable(Retries)


@traceable
@dataclass(frozen=True, slots=True)
class Transition:
    """A proposed change of state, with every fact a rule may need.

    `attempt` is the attempt that proposes, `current_attempt` the one the run is in. `failures` and `crashes` count the
    retries already granted from each budget; `rejections` those granted because the workload never ran. `deadline` is when
    the current state times out, `ended_time` when the workload ended (None: now). `stopped` means that the workload was
    requested to stop before it ended. `slot` is the position of a flow run among those that share its deployment's slots (None: nothing
    limits it, or it has one). `jitter` in [0, 1) is drawn by the caller. `begun` means that the workload of the attempt exists
    already, so that nothing can prevent it from starting. `redirects` counts the redirects by rules of users; `live` are the other
    unfinished runs of the namespace, by deployment and state type (None: no rule needs them).

    The others are facts of task runs. `kept` is a cached result that could replace the run (None: no such result), `refresh`
    requests a new one nevertheless, `kept_issue` is why a cached result cannot be used or made ("": no issue). `recorded` is the result
    of this run in the run that is replayed, `unrecorded` why there is none. `tag_limits` are the limits of its tags, `unpersisted` is
    why its result could not be persisted.
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
    kept_issue: str = ""
    recorded: KeptResult | None = None
    unrecorded: str = ""
    tag_limits: TagLimits | None = None
    unpersisted: Unpersisted | None = None
    slot: Standing | None = None
    jitter: float = 0.0
    begun: bool = False
    redirects: int = 0
    live: dict[str, dict[str, int]] | None = None

    @property
    def overdue(self) -> bool:
        """True if the current state had passed its deadline when the workload ended, by its node's clock."""
        if self.deadline is None:
            return False
        return (self.ended_time or self.now) + CLOCK_TOLERANCE >= self.deadline

    @property
    def edge(self) -> Edge:
        """From which state type to which."""
        return (self.current.type if self.current else None, self.proposed.type)


@dataclass(frozen=True, slots=True)
class Redirect:
    """The run enters another state than the proposed one. `final`: no retry follows."""

    state: State
    reason: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """The proposal is valid but early: propose it again at `until`, or already at `again` if what it waits for may end earlier.

    `state_reason` is the reason of the state meanwhile ("": unchanged).
    """

    until: datetime
    reason: str
    state_reason: str = ""
    again: datetime | None = None


@dataclass(frozen=True, slots=True)
class Abort:
    """The proposal is refused; the run stays in its current state. `again` is when to propose it again (None: not by itself)."""

    reason: str
    again: datetime | None = None


@dataclass(frozen=True, slots=True)
class Accept:
    """The rule has no objection, and gives a reason: the following rules are called as if it had no opinion."""

    reason: str


type Verdict = Redirect | Wait | Abort | Accept


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its name, what it says in a sentence, and how it judges a transition.

    `edges` are those on which it may speak (None: on any); on others it is not called.
    """

    name: str
    sentence: str
    edges: frozenset[Edge] | None
    judge: Callable[[Transition], Verdict | None]

    def may_speak(self, edge: Edge) -> bool:
        """True if the rule is called for a transition along `edge`."""
        return self.edges is None or edge in self.edges


type Policy = tuple[Rule, ...]


def is_users_rule(name: str) -> bool:
    """True for the name of a rule of users, such as orchestrationrule/freeze; built-in rules are named as functions."""
    return "/" in name


@dataclass(frozen=True, slots=True)
class Opinion:
    """The verdict of one rule on one proposal."""

    rule: str
    verdict: Verdict

    @property
    def is_of_user(self) -> bool:
        """True for a rule of users: the name of its kind comes first."""
        return is_users_rule(self.rule)


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of a policy: the state to enter (None: stay), when to propose again, and the trail that led there.

    `time` is when the state begins, or when it was decided that the run stays in its state. `reads` are the paths of the fields that the rules read of the transition: of every rule that was asked, whether or not
    it objected.
    """

    transition: Transition
    state: State | None
    until: datetime | None
    trail: tuple[Opinion, ...]
    time: datetime
    reads: frozenset[str] = frozenset()

    def after(self, time: datetime) -> Decision:
        """The same decision, at `time` at the earliest."""
        if self.time >= time:
            return self
        return replace(self, time=time, state=self.state and self.state.at(time))

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
        """The rule that decided, or "" if every rule let the proposal pass without an opinion."""
        return self._deciding.rule if self._deciding else ""

    @property
    def verdict(self) -> str:
        """One of Accept, Redirect, Wait, Abort."""
        return type(self._deciding.verdict).__name__ if self._deciding else "Accept"

    @property
    def reason(self) -> str:
        """Why, in a sentence; "" for a plain Accept."""
        return self._deciding.verdict.reason if self._deciding else ""

    @property
    def waiting_reason(self) -> str:
        """The reason of the state while the run waits; "": that of the state itself."""
        return next((known.verdict.state_reason for known in self.trail[-1:] if isinstance(known.verdict, Wait)), "")

    @property
    def _deciding(self) -> Opinion | None:
        """The last opinion that changed the outcome, or else the last one."""
        return next(
            (known for known in reversed(self.trail) if not isinstance(known.verdict, Accept)), self.trail[-1] if self.trail else None
        )

    @property
    def again(self) -> datetime | None:
        """When to propose again what was not accepted; None: not by itself."""
        last = self.trail[-1].verdict if self.trail else None
        return (last.again if isinstance(last, Wait | Abort) else None) or self.until

    @property
    def redirects_by_users(self) -> int:
        """How many rules of users redirected the proposal."""
        return sum(opinion.is_of_user and isinstance(opinion.verdict, Redirect) for opinion in self.trail)

    def heard(self, rule: str) -> bool:
        """True if the rule of that name had a say, even if a later one decided."""
        return any(opinion.rule == rule for opinion in self.trail)

    @property
    def facts(self) -> dict[str, Any]:
        """What the rules read, as JSON, without what a record of the decision says anyway; at most 1 KiB.

        A record has the types of the current and the proposed state, the attempt that proposes, and the decision's time.
        """
        seen, usual = self.transition, _DEFAULTS
        read = {path: _GETTERS[path](seen) for path in self.reads}
        return facts_of({path: value for path, value in read.items() if value != (usual[path] if path in usual else self._recorded(path))})

    def _recorded(self, path: str) -> Any:
        """The field at `path`, as far as a record contains it."""
        before, after = self.transition.edge
        match path:
            case "now":
                return self.time
            case "current_attempt":  # a run enters its next attempt when it becomes PENDING
                return self.transition.attempt - ((before, after) == (SCHEDULED, PENDING))
            case "current.name":
                return DEFAULT_NAMES[before] if before else None
            case "proposed.name":
                return DEFAULT_NAMES[after]
        return _GETTERS[path](self.transition)


_GETTERS = {
    name: attrgetter(name)
    for name in (
        *(field.name for field in fields(Transition)),
        *(f"{state}.{field.name}" for state in ("current", "proposed") for field in fields(State)),
        *(f"retries.{field.name}" for field in fields(Retries)),
    )
}
#: What a field is if nothing is known about it, by its path; a record contains the others.
_DEFAULTS = {
    path: default
    for path, default in {
        **defaults_of(Transition),
        **defaults_of(Retries, "retries."),
        **defaults_of(State, "current."),
        **defaults_of(State, "proposed."),
    }.items()
    if path not in {"attempt", "current_attempt", "current.name", "proposed.name"}
}


def decide(policy: Policy, transition: Transition, *, noted: frozenset[str] = frozenset()) -> Decision:
    """Call each rule of `policy` in order for `transition`; the time of the entered state is `transition.now`.

    `noted` are facts that are recorded whether or not a rule read them.
    """
    trail: list[Opinion] = []
    reads = set(noted)
    asked, seen, edge = transition, trace(transition, reads), transition.edge
    for rule in policy:
        if not rule.may_speak(edge):
            continue
        verdict = rule.judge(seen)
        if verdict is None:
            continue
        if isinstance(verdict, Redirect):
            if is_traced(verdict.state):
                verdict = replace(verdict, state=replace(verdict.state))
            asked = replace(asked, proposed=verdict.state, retriable=asked.retriable and not verdict.final)
            # What a rule made of the proposal is not a fact.
            seen, edge = trace(asked, reads, own=frozenset({"proposed"})), asked.edge
        trail.append(Opinion(rule.name, verdict))
        if isinstance(verdict, Wait | Abort):
            until = verdict.until if isinstance(verdict, Wait) else None
            return Decision(transition, None, until, tuple(trail), transition.now, frozenset(reads))
    time = asked.proposed.time or transition.now
    entered = asked.proposed if asked.proposed.time else asked.proposed.at(time)
    return Decision(transition, entered, None, tuple(trail), time, frozenset(reads))
