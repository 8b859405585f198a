"""At most so many rules of a namespace are applied: the next one reports that, and takes the place of one that is no longer applied."""

from __future__ import annotations

from typing import Any

import pytest

from mintaka_controller.ports import Snapshot
from mintaka_controller.rule_cache import RULES_LIMIT, RuleCache, RuleKey
from mintaka_validation.rule_expressions import RuleExpressions

LAST = RULES_LIMIT
CEL = RuleExpressions()


def put(cache: RuleCache, number: int, version: int = 1, namespace: str = "team", **spec: Any) -> RuleKey:
    """Store a rule."""
    metadata = {"namespace": namespace, "name": f"r{number}", "uid": f"{namespace}-{number}", "generation": version}
    spec = {"then": {"abort": {}}, "when": "'etl' in live", **spec}
    document = {"kind": "OrchestrationRule", "metadata": {**metadata, "resourceVersion": str(version)}, "spec": spec}
    cache.put(Snapshot(document))
    return RuleKey("OrchestrationRule", namespace, f"r{number}")


def full() -> tuple[RuleCache, RuleKey]:
    """One rule more than are applied, and its key."""
    cache = RuleCache(CEL)
    keys = [put(cache, number) for number in range(RULES_LIMIT + 1)]
    return cache, keys[LAST]


#: What happens then, the reason of the last rule after it.
EVENTS: list[tuple[str, Any, str]] = [
    ("nothing", lambda _: None, "TooManyRules"),
    ("another rule is deleted", lambda cache: cache.remove(RuleKey("OrchestrationRule", "team", "r0")), ""),
    ("another rule is suspended", lambda cache: put(cache, 0, 2, suspend=True), ""),
    ("another rule becomes invalid", lambda cache: put(cache, 0, 2, when="nonsense"), ""),
    ("another rule is changed", lambda cache: put(cache, 0, 2, when="true"), "TooManyRules"),
    ("a rule of another namespace is deleted", lambda cache: cache.remove(put(cache, 0, namespace="other")), "TooManyRules"),
]


@pytest.mark.parametrize(("event", "act", "reason"), EVENTS, ids=[row[0] for row in EVENTS])
def test_a_rule_too_many_is_not_applied_until_there_is_room(event: str, act: Any, reason: str) -> None:
    """Its condition Invalid has the reason TooManyRules; its status is written when that changes."""
    cache, last = full()
    cache.changed.clear()
    act(cache)
    entry = cache.get(last)
    assert entry is not None
    assert (entry.reason, entry.rule is None) == (reason, bool(reason)), event
    assert (last in cache.changed) == (not reason)
    assert len(cache.of_namespace("team")) == RULES_LIMIT
    if reason:
        assert f"at most {RULES_LIMIT} rules" in entry.problem
