"""The rules of users known to this controller: compiled once per generation, with what they did since their status was written.

It also records which runs rules hold back, because these are reconciled when a rule changes or, if the rule counts live runs, when another
run of the namespace enters or leaves a state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import ValidationError

from mintaka_controller.deployment_cache import invalid_fields
from mintaka_controller.ports import Name
from mintaka_controller.run_cache import version_of
from mintaka_core.names import CLUSTER_RULE
from mintaka_core.resources.orchestration_rules import OrchestrationRule
from mintaka_core.rule_actions import InvalidRule
from mintaka_core.user_rules import Journal, Tally, UserRule, compile_rule, needs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mintaka_controller.ports import Snapshot
    from mintaka_core.user_rules import Expressions

#: The rules of a namespace, and those of the cluster, that are applied; more are refused.
RULES_LIMIT = 100
_TOO_MANY = "TooManyRules"
type RuleKind = Literal["OrchestrationRule", "ClusterOrchestrationRule"]


class RuleKey(NamedTuple):
    """A rule; `namespace` is "" for one of the cluster."""

    kind: RuleKind
    namespace: str
    name: str


@dataclass(slots=True)
class RuleEntry:
    """One version of a rule. `rule` is None if it is suspended or cannot be applied; `reason` and `problem` give the cause ("": it can)."""

    version: int
    uid: str
    resource: OrchestrationRule
    rule: UserRule | None
    reason: str = ""
    problem: str = ""
    tally: Tally = field(default_factory=Tally)
    last_verdict_time: datetime | None = None
    last_error_time: datetime | None = None
    held: set[Name] = field(default_factory=set)


class RuleCache:
    """Rules by kind, namespace and name."""

    def __init__(self, expressions: Expressions) -> None:
        self.expressions = expressions
        self._entries: dict[RuleKey, RuleEntry] = {}
        #: The names of rules that hold back a run, by run.
        self._holders: dict[Name, tuple[RuleKey, ...]] = {}
        #: Those that count live runs.
        self._counting: dict[RuleKey, None] = {}
        self._of_namespace: dict[str, tuple[UserRule, ...]] = {}
        #: Rules whose status may have to be written.
        self.changed: dict[RuleKey, None] = {}

    def put(self, snapshot: Snapshot) -> bool:
        """Store a version; False if it is not newer than the known one."""
        document = snapshot.document
        key, version = rule_key(document), version_of(document)
        known = self._entries.get(key)
        if known and version <= known.version:
            return False
        resource, problem = _parsed(key, snapshot)
        same = known is not None and known.uid == resource.metadata.uid
        if known and same and known.resource.metadata.generation == resource.metadata.generation > 0:
            known.version, known.resource = version, resource
            return False
        entry = self._compiled(key, version, resource, problem)
        if known:
            entry.held = known.held
        self._entries[key] = entry
        self._of_namespace.clear()
        self.changed[key] = None
        self._counting.pop(key, None)
        if entry.rule and needs([entry.rule], "live"):
            self._counting[key] = None
        if known and known.rule and not entry.rule:
            self._admit(key)
        return True

    def _compiled(self, key: RuleKey, version: int, resource: OrchestrationRule, problem: str) -> RuleEntry:
        entry = RuleEntry(version, resource.metadata.uid, resource, None)
        if problem:
            entry.reason, entry.problem = "InvalidResource", problem
            return entry
        try:
            rule = compile_rule(key.kind, key.namespace, key.name, resource.spec, self.expressions)
        except InvalidRule as invalid:
            entry.reason, entry.problem = invalid.reason, str(invalid)
            return entry
        count = sum(each.rule is not None for other, each in self._entries.items() if other[:2] == key[:2] and other != key)
        if count >= RULES_LIMIT:
            entry.reason, entry.problem = _TOO_MANY, f"at most {RULES_LIMIT} rules of a namespace, or of the cluster, are applied"
        elif not resource.spec.suspend:
            entry.rule = rule
        return entry

    def remove(self, key: RuleKey, uid: str | None = None) -> bool:
        """Forget a rule if it still has that uid (None: any); False if it was unknown."""
        known = self._entries.get(key)
        if known is None or (uid and known.uid != uid):
            return False
        del self._entries[key]
        self.changed.pop(key, None)
        self._counting.pop(key, None)
        self._of_namespace.clear()
        self._admit(key)
        return True

    def _admit(self, left: RuleKey) -> None:
        """Apply another rule of the same kind and namespace, if one was refused: `left` is not applied any more."""
        for key, entry in list(self._entries.items()):
            if entry.reason != _TOO_MANY or key[:2] != left[:2] or key == left:
                continue
            admitted = self._entries[key] = self._compiled(key, entry.version, entry.resource, "")
            self.changed[key] = None
            if admitted.rule and needs([admitted.rule], "live"):
                self._counting[key] = None

    def get(self, key: RuleKey) -> RuleEntry | None:
        """A known rule."""
        return self._entries.get(key)

    def keys(self) -> list[RuleKey]:
        """A copy of all keys."""
        return list(self._entries)

    def of_namespace(self, namespace: str) -> tuple[UserRule, ...]:
        """The rules that may be about runs of a namespace."""
        rules = self._of_namespace.get(namespace)
        if rules is None:
            known = (entry.rule for entry in self._entries.values())
            rules = tuple(rule for rule in known if rule and rule.namespace in {"", namespace})
            self._of_namespace[namespace] = rules
        return rules

    def record(self, run: Name, journal: Journal, holders: Iterable[str], now: datetime) -> None:
        """Record what rules did in a pass over a run, and which of them hold it back."""
        for name, tally in journal.items():
            key = self._key_of(name, run[0])
            entry = self._entries.get(key)
            if entry is None:
                continue
            entry.tally.evaluations += tally.evaluations
            entry.tally.verdicts += tally.verdicts
            entry.tally.errors += tally.errors
            entry.tally.error = tally.error
            if tally.verdicts:
                entry.last_verdict_time = now
            if tally.errors:
                entry.last_error_time = now
            self.changed[key] = None
        self._hold(run, tuple(self._key_of(name, run[0]) for name in holders))

    def release(self, run: Name) -> None:
        """No rule holds back the run any more: its state has changed, or it was deleted."""
        self._hold(run, ())

    def _hold(self, run: Name, holders: tuple[RuleKey, ...]) -> None:
        before = self._holders.pop(run, ())
        if holders:
            self._holders[run] = holders
        for key in {*before, *holders}:
            entry = self._entries.get(key)
            if entry is None or (key in before) == (key in holders):
                continue
            entry.held.add(run) if key in holders else entry.held.discard(run)
            self.changed[key] = None

    def held_by(self, key: RuleKey) -> list[Name]:
        """The runs that a rule holds back, also if it is gone."""
        return [run for run, holders in self._holders.items() if key in holders]

    def waits_for_live_runs(self, namespace: str) -> list[Name]:
        """The runs of a namespace that are held back by a rule that counts live runs."""
        rules = [self._entries[key] for key in self._counting if key.namespace in {"", namespace}]
        return [run for rule in rules for run in rule.held if run[0] == namespace]

    def _key_of(self, name: str, namespace: str) -> RuleKey:
        kind, _, plain = name.partition("/")
        if kind == CLUSTER_RULE.lower():
            return RuleKey("ClusterOrchestrationRule", "", plain)
        return RuleKey("OrchestrationRule", namespace, plain)

    def __len__(self) -> int:
        return len(self._entries)


def rule_key(document: dict[str, object]) -> RuleKey:
    """The key of a rule's document."""
    metadata = document["metadata"]
    assert isinstance(metadata, dict)  # noqa: S101 - every resource has one
    kind: RuleKind = "ClusterOrchestrationRule" if document.get("kind") == CLUSTER_RULE else "OrchestrationRule"
    return RuleKey(kind, "" if kind == CLUSTER_RULE else str(metadata.get("namespace") or ""), str(metadata["name"]))


def _parsed(key: RuleKey, snapshot: Snapshot) -> tuple[OrchestrationRule, str]:
    """The resource, and why it cannot be applied as it is ("": it can)."""
    document = snapshot.document
    if snapshot.problem is None:
        try:
            return OrchestrationRule.model_validate(document), ""
        except ValidationError as error:
            problem = invalid_fields(error)
    else:
        problem = snapshot.problem.message
    metadata = {name: value for name, value in document["metadata"].items() if name in {"uid", "generation", "resourceVersion"}}
    empty = {"spec": {"then": {"abort": {}}, "suspend": True}}
    return OrchestrationRule.model_validate({**empty, "metadata": {**metadata, "name": key.name, "namespace": key.namespace}}), problem
