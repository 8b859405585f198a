"""Rules of users: from an OrchestrationRule and a compiled condition to a rule of the policy.

What a rule may do is bounded before it is called. It applies only to transitions that start or end an attempt, never to those of a
run that is being cancelled or suspended; it can hold back only a run of which nothing runs, and no run's end; it redirects a run at most
`REDIRECT_LIMIT` times. A condition that fails or costs too much has no verdict, and that is reported. Rules of the cluster come first,
then those of the namespace, each by name; the first that aborts or waits decides; after a redirect, the following ones are called with the new state.

Conditions are compiled and evaluated through the port `Expressions` (`mintaka_validation.rule_expressions`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from mintaka_core.errors import MintakaError
from mintaka_core.names import CLUSTER_RULE
from mintaka_core.resources.orchestration_rules import RuleSelector
from mintaka_core.rule_actions import START, InvalidRule, action_of, edges_of, no_transition, verdict_of
from mintaka_core.transitions import Edge, Redirect, Rule, Transition, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka_core.resources.orchestration_rules import OrchestrationRuleSpec
    from mintaka_core.transitions import Policy

#: How often rules of users may redirect or delay one run, all of them together.
REDIRECT_LIMIT = 50
#: The variables of conditions and their types in CEL, in which the word `namespace` is reserved.
VARIABLES: Mapping[str, str] = {
    "deployment": "string",
    "run_namespace": "string",
    "name": "string",
    "parameters": "map<string, dyn>",
    "tags": "list<string>",
    "attempt": "int",
    "failures": "int",
    "crashes": "int",
    "reason": "string",
    "message": "string",
    "now": "timestamp",
    "live": "map<string, map<string, int>>",
}

_SHOWN = 200


class InvalidExpression(MintakaError):
    """A condition that cannot be compiled; `line` and `column` count from 1, and are 0 if there is no place."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"line {line}, column {column}: {message}" if line else message)
        self.line, self.column = line, column


class EvaluationFailed(MintakaError):
    """A condition has no value for the facts of a run."""


class EvaluationTooCostly(EvaluationFailed):
    """A condition, or all conditions about one transition together, may cost too much."""


class Condition(Protocol):
    """A compiled condition; `variables` are those that it reads."""

    variables: frozenset[str]

    def evaluate(self, prepared: Any) -> bool:
        """Its value. Raises EvaluationFailed, EvaluationTooCostly."""


class Expressions(Protocol):
    """Compiles conditions, and prepares the values that several of them share."""

    def compile(self, expression: str) -> Condition:
        """Raises InvalidExpression."""

    def prepare(self, values: Mapping[str, Any]) -> Any:
        """The values of variables in the form that conditions take. Raises EvaluationFailed."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The facts of a run that do not change with its transitions.

    `deployment` is "" for a run with a template of its own; `labels` are those of its deployment. `parameters` returns the merged ones
    with secrets masked: it is called only if a rule reads them.
    """

    namespace: str
    name: str
    deployment: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    parameters: Callable[[], Mapping[str, Any]] = dict


@dataclass(slots=True)
class Tally:
    """What one rule did in a pass, and its last error ("": none)."""

    evaluations: int = 0
    verdicts: int = 0
    errors: int = 0
    error: str = ""


#: By the name of a rule.
type Journal = dict[str, Tally]


@dataclass(frozen=True, slots=True)
class UserRule:
    """One rule of users, ready to be applied. `name` begins with its kind; `namespace` is "" for one of the cluster."""

    name: str
    namespace: str
    sentence: str
    selector: RuleSelector
    edges: frozenset[Edge]
    condition: Condition
    verdict: Callable[[Transition], Verdict | None]

    @property
    def order(self) -> tuple[bool, str]:
        """Rules of the cluster come first."""
        return bool(self.namespace), self.name

    def selects(self, run: RunFacts) -> bool:
        """True if the rule is about the run."""
        wanted = self.selector
        if self.namespace not in {"", run.namespace} or (wanted.deployments and run.deployment not in wanted.deployments):
            return False
        if wanted.tags and not set(wanted.tags) <= set(run.tags):
            return False
        return all(run.labels.get(label) == value for label, value in wanted.match_labels.items())


def rule_name(kind: str, name: str) -> str:
    """The name of a rule in decisions, such as orchestrationrule/freeze."""
    return f"{kind.lower()}/{name}"


def compile_rule(kind: str, namespace: str, name: str, spec: OrchestrationRuleSpec, expressions: Expressions) -> UserRule:
    """The rule of a resource.

    Raises:
        InvalidRule: it cannot be applied.
    """
    if spec.target != "FlowRun":
        message = f"spec.target: rules about {spec.target} are not supported yet: use FlowRun"
        raise InvalidRule(message, reason="TargetNotSupported")
    speaks = edges_of(spec)
    if not speaks:
        message = f"spec.from, spec.to and spec.then: {no_transition(spec)}"
        raise InvalidRule(message, reason="NoTransition")
    try:
        condition = expressions.compile(spec.when)
    except InvalidExpression as error:
        message = f"spec.when: {error}"
        raise InvalidRule(message, reason="InvalidExpression") from error
    return UserRule(
        rule_name(kind, name),
        "" if kind == CLUSTER_RULE else namespace,
        spec.message or f"{action_of(spec)} when {spec.when}"[:_SHOWN],
        spec.selector,
        speaks,
        condition,
        verdict_of(spec),
    )


def select(rules: Iterable[UserRule], run: RunFacts) -> list[UserRule]:
    """The rules that are about the run, in the order in which they are called."""
    return sorted((rule for rule in rules if rule.selects(run)), key=lambda rule: rule.order)


def bind(about: Sequence[UserRule], run: RunFacts, expressions: Expressions, journal: Journal) -> Policy:
    """The rules that are about the run (see `select`), as rules of a policy; what they do is recorded in `journal`."""
    if not about:
        return ()
    facts = _Facts(run, expressions, frozenset().union(*(rule.condition.variables for rule in about)))
    return tuple(_bound(rule, facts, journal) for rule in about)


def needs(rules: Iterable[UserRule], variable: str) -> bool:
    """True if one of the rules reads that variable."""
    return any(variable in rule.condition.variables for rule in rules)


def _bound(rule: UserRule, facts: _Facts, journal: Journal) -> Rule:
    def judge(transition: Transition) -> Verdict | None:
        return _judge(rule, facts.of(transition), journal)

    return Rule(rule.name, rule.sentence, rule.edges, judge)


def _judge(rule: UserRule, facts: _Transition, journal: Journal) -> Verdict | None:
    """The verdict of a rule whose condition is true, within the bounds of all rules of users."""
    if facts.is_settled:
        return None
    tally = journal.get(rule.name)
    if tally is None:
        tally = journal[rule.name] = Tally()
    tally.evaluations += 1
    try:
        if not rule.condition.evaluate(facts.prepared):
            return None
    except EvaluationFailed as error:
        tally.errors += 1
        tally.error = str(error)
        return None
    verdict = rule.verdict(facts.transition)
    if isinstance(verdict, Redirect) and facts.transition.redirects >= REDIRECT_LIMIT:
        tally.errors += 1
        tally.error = f"flow run {facts.run.namespace}/{facts.run.name} was redirected by rules {REDIRECT_LIMIT} times, it is not once more"
        return None
    tally.verdicts += verdict is not None
    return verdict


class _Facts:
    """The facts of a run, for one transition after another."""

    def __init__(self, run: RunFacts, expressions: Expressions, variables: frozenset[str]) -> None:
        self.run = run
        self.expressions = expressions
        self.variables = variables
        self._parameters: Mapping[str, Any] | None = None
        self._last: _Transition | None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The parameters, computed once."""
        if self._parameters is None:
            self._parameters = self.run.parameters()
        return self._parameters

    def of(self, transition: Transition) -> _Transition:
        """The facts of `transition`, which is another object after each redirect."""
        if self._last is None or self._last.transition is not transition:
            self._last = _Transition(self, transition)
        return self._last


class _Transition:
    """A transition, and the values of the variables for it, prepared once for all rules."""

    def __init__(self, facts: _Facts, transition: Transition) -> None:
        self.transition, self.run = transition, facts.run
        self._facts = facts
        self._prepared: Any = None
        self._failure: EvaluationFailed | None = None
        #: No rule of users applies: the run is to be cancelled, or what is proposed has begun already.
        self.is_settled = transition.cancel_requested or (transition.edge == START and transition.begun)

    @property
    def prepared(self) -> Any:
        """The values in the form that conditions take. Raises EvaluationFailed."""
        if self._failure is not None:
            raise self._failure
        if self._prepared is None:
            try:
                self._prepared = self._facts.expressions.prepare({name: self._value(name) for name in self._facts.variables})
            except EvaluationFailed as failure:
                self._failure = failure
                raise
        return self._prepared

    def _value(self, name: str) -> Any:
        match name:
            case "deployment" | "name":
                return getattr(self.run, name)
            case "run_namespace":
                return self.run.namespace
            case "tags":
                return list(self.run.tags)
            case "parameters":
                return self._facts.parameters
            case "reason" | "message":
                return getattr(self.transition.proposed, name)
            case "live":
                return self.transition.live or {}
        return getattr(self.transition, name)
