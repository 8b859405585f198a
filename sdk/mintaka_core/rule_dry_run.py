"""Dry runs of users' rules: which recorded decisions would have been different with them.

A decision is evaluated again only if one of the rules would have had a verdict, or if the record has one of a rule that is replaced. The
recorded opinions of other rules of users do not change. A decision whose record lacks a fact that a rule reads is only counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from mintaka_core.facts import TRUNCATED
from mintaka_core.instants import parse_time
from mintaka_core.policies import with_rules_of_users
from mintaka_core.reconciling.records import Decided, transition_from
from mintaka_core.rule_actions import START
from mintaka_core.states import State, StateType
from mintaka_core.transitions import Abort, Edge, Policy, Redirect, Rule, Wait, decide, is_users_rule
from mintaka_core.user_rules import EvaluationFailed, Expressions, Journal, RunFacts, Tally, UserRule, bind, needs, select

if TYPE_CHECKING:
    from mintaka_core.transitions import Decision, Verdict

#: Combinations of namespace, deployment and tags.
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A run of the history: its uid, and the facts that rules read of it."""

    uid: str
    facts: RunFacts


class RecordedDecision(NamedTuple):
    """A decision of the history. `facts` is JSON ("": none); `trail` are rule, verdict and reason of each opinion."""

    sequence: int
    time: datetime
    before: StateType | None
    proposed: StateType
    to: StateType
    name: str
    rule: str
    verdict: str
    reason: str
    message: str
    attempt: int
    until: datetime | None = None
    trail: Sequence[tuple[str, str, str]] = ()
    facts: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided: the verdict, the state type after it, the rule and its reason."""

    verdict: str
    state: str
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision that would have been another one."""

    run: RecordedRun
    sequence: int
    time: datetime
    recorded: Outcome
    instead: Outcome


class _About(NamedTuple):
    """What is the same for all runs of one namespace, deployment and tags: the rules about them in their order, the variables that these
    read, the names of rules that are replaced, and the rules that may apply, by transition.
    """

    rules: Sequence[UserRule]
    variables: Sequence[str]
    replaced: frozenset[str]
    speaking: dict[Edge, Sequence[UserRule]]


@dataclass(slots=True)
class DryRun:
    """Evaluates recorded decisions of one run after another. `decisions` are counted by the caller, `unknown` those whose records lack a fact."""

    rules: Sequence[UserRule]
    expressions: Expressions
    decisions: int = 0
    unknown: int = 0
    journal: Journal = field(default_factory=dict)
    _run: RecordedRun | None = None
    _about: _About = field(default_factory=lambda: _About((), (), frozenset(), {}))
    _known: dict[tuple[str, str, tuple[str, ...]], _About] = field(default_factory=dict)
    _bound: Policy | None = None
    _parameters: Mapping[str, Any] | None = None

    def judge(self, run: RecordedRun, record: RecordedDecision) -> Difference | None:
        """The difference, if there is one."""
        if run is not self._run:
            self._run, self._bound, self._parameters = run, None, None
            self._about = self._about_of(run.facts)
        speaking = self._speaking((record.before, record.proposed))
        replaced = self._about.replaced
        recorded = any(opinion[0] in replaced for opinion in record.trail)
        if not (speaking or recorded):
            return None
        facts = json.loads(record.facts) if record.facts else {}
        if self._lacks_a_fact(speaking, facts):
            self.unknown += 1
            return None
        if not recorded and not self._is_met(speaking, record, facts):
            return None
        return self._difference(run, record, facts)

    def _about_of(self, run: RunFacts) -> _About:
        key = run.namespace, run.deployment, run.tags
        about = self._known.get(key)
        if about is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            rules = select(self.rules, run)
            variables = frozenset().union(*(rule.condition.variables for rule in rules))
            replaced = frozenset(rule.name for rule in self.rules if rule.namespace in {"", run.namespace})
            about = self._known[key] = _About(rules, tuple(sorted(variables)), replaced, {})
        return about

    def _speaking(self, edge: Edge) -> Sequence[UserRule]:
        speaking = self._about.speaking.get(edge)
        if speaking is None:
            speaking = self._about.speaking[edge] = [rule for rule in self._about.rules if edge in rule.edges]
        return speaking

    def _lacks_a_fact(self, speaking: Sequence[UserRule], facts: dict[str, Any]) -> bool:
        if TRUNCATED in facts or any(rule.selector.match_labels for rule in self.rules):
            return True
        return "live" not in facts and needs(speaking, "live")

    def _is_met(self, speaking: Sequence[UserRule], record: RecordedDecision, facts: dict[str, Any]) -> bool:
        """True if the condition of one of the rules is true. Most records end here: only the values of variables are computed for them."""
        if facts.get("cancelRequested") or (facts.get("begun") and (record.before, record.proposed) == START):
            return False
        try:
            prepared = self.expressions.prepare({name: self._value(name, record, facts) for name in self._about.variables})
        except EvaluationFailed as error:
            for rule in speaking:
                self._note(rule, error)
            return False
        for rule in speaking:
            try:
                if rule.condition.evaluate(prepared):
                    return True
            except EvaluationFailed as error:
                self._note(rule, error)
        return False

    def _note(self, rule: UserRule, error: EvaluationFailed) -> None:
        tally = self.journal.setdefault(rule.name, Tally())
        tally.errors += 1
        tally.error = str(error)

    def _value(self, name: str, record: RecordedDecision, facts: dict[str, Any]) -> Any:
        """The value of a variable of conditions."""
        match name:
            case "now":
                return (parse_time(facts["now"]) if "now" in facts else None) or record.time
            case "reason" | "message":
                accepted = record.verdict == "Accept"
                return (facts.get("proposed") or {}).get(name, getattr(record, name) if accepted else "")
            case "failures" | "crashes":
                return facts.get(name, 0)
            case "attempt":
                return record.attempt
            case "live":
                return facts.get("live") or {}
        return self._value_of_run(name)

    def _value_of_run(self, name: str) -> Any:
        run = cast("RecordedRun", self._run).facts
        if name == "parameters":
            if self._parameters is None:
                self._parameters = run.parameters()
            return self._parameters
        return list(run.tags) if name == "tags" else getattr(run, name)

    def _difference(self, run: RecordedRun, record: RecordedDecision, facts: dict[str, Any]) -> Difference | None:
        """The decision evaluated again, if it is a different one because of these rules."""
        stays = [opinion for opinion in record.trail if is_users_rule(opinion[0]) and opinion[0] not in self._about.replaced]
        if self._bound is None:
            self._bound = bind(self._about.rules, run.facts, self.expressions, self.journal)
        policy = with_rules_of_users((*(_as_recorded(opinion, record) for opinion in stays), *self._bound))
        live = facts.pop("live", None)
        state = record.name, record.verdict, record.reason, record.message
        decided = Decided(record.before, record.proposed, *state, record.attempt, record.time, facts)
        decision = decide(policy, replace(transition_from(decided), live=live))
        was = Outcome(record.verdict, record.to, record.rule, record.message)
        now = _outcome(decision, record)
        if (was.verdict, was.state, was.rule) == (now.verdict, now.state, now.rule):
            return None
        spoke = {opinion.rule for opinion in decision.trail} | {opinion[0] for opinion in record.trail}
        return Difference(run, record.sequence, record.time, was, now) if spoke & self._about.replaced else None


def _outcome(decision: Decision, record: RecordedDecision) -> Outcome:
    state = decision.state.type if decision.state else record.before or record.to
    return Outcome(decision.verdict, state, decision.rule, decision.reason)


def _as_recorded(opinion: tuple[str, str, str], record: RecordedDecision) -> Rule:
    """A rule that repeats the recorded opinion of another rule of users."""
    name, kind, reason = opinion
    verdict: Verdict
    match kind:
        case "Wait":
            verdict = Wait(record.until or record.time, reason)
        case "Abort":
            verdict = Abort(reason)
        case _:
            verdict = Redirect(State(record.to, record.name, record.reason, record.message), reason, final=True)
    return Rule(name, "as recorded", frozenset({(record.before, record.proposed)}), lambda _: verdict)
