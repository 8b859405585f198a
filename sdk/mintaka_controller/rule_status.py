"""Writes the status of rules of users: whether they are accepted, whether they can be evaluated, and what they did.

A condition that changes is written at once, counts at most every 30 seconds. A status that cannot be written now is written later.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mintaka_controller.ports import Conflict, Missing, PortError, Snapshot
from mintaka_core.names import CLUSTER_RULE
from mintaka_core.resources.model import Condition, set_condition
from mintaka_core.resources.orchestration_rules import OrchestrationRuleStatus
from mintaka_core.user_rules import Tally

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka_controller.ports import Clock, Rules
    from mintaka_controller.rule_cache import RuleCache, RuleEntry, RuleKey

_logger = logging.getLogger(__name__)

_ROUND_SECONDS = 1.0
_COUNTS_SECONDS = 30.0
_MESSAGE = 2000


def status_of(entry: RuleEntry, now: datetime) -> OrchestrationRuleStatus:
    """The status of a rule at `now`."""
    before, generation = entry.resource.status, entry.resource.metadata.generation
    conditions = before.conditions
    accepted = entry.rule is not None
    reason = entry.reason or ("Accepted" if accepted else "Suspended")
    for kind, holds, why in (("Accepted", accepted, reason), ("Invalid", bool(entry.problem), entry.reason or "Valid")):
        conditions = set_condition(conditions, _condition(kind, why, entry.problem, now, generation, holds=holds))
    tally = entry.tally
    if tally.error or (tally.evaluations and accepted):
        why = "ConditionFailed" if tally.error else "Evaluated"
        conditions = set_condition(conditions, _condition("Evaluating", why, tally.error, now, generation, holds=not tally.error))
    elif generation != before.observed_generation:
        conditions = tuple(condition for condition in conditions if condition.type != "Evaluating")
    return OrchestrationRuleStatus(
        observed_generation=generation,
        conditions=conditions,
        evaluations=before.evaluations + tally.evaluations,
        verdicts=before.verdicts + tally.verdicts,
        errors=before.errors + tally.errors,
        holding=len(entry.held),
        last_verdict_time=entry.last_verdict_time or before.last_verdict_time,
        last_error_time=entry.last_error_time or before.last_error_time,
    )


def _condition(kind: str, reason: str, message: str, now: datetime, generation: int, *, holds: bool) -> Condition:
    return Condition(
        type=kind,
        status="True" if holds else "False",
        reason=reason,
        message=message[:_MESSAGE],
        last_transition_time=now,
        observed_generation=generation,
    )


class RuleStatusWriter:
    """Writes the status of rules that changed, one after another."""

    def __init__(self, rules: RuleCache, port: Rules, clock: Clock) -> None:
        self._rules = rules
        self._port = port
        self._clock = clock
        self._written: dict[RuleKey, float] = {}

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(_ROUND_SECONDS)
            await self.write_changed()

    async def write_changed(self) -> None:
        """Write what is due."""
        for key in list(self._rules.changed):
            try:
                await self._write(key)
            except Exception:  # an error with one rule must not affect the others
                _logger.exception("the status of %s %s cannot be written", key.kind, key.name)

    async def _write(self, key: RuleKey) -> None:
        entry = self._rules.get(key)
        if entry is None:
            self._rules.changed.pop(key, None)
            self._written.pop(key, None)
            return
        loop_time = asyncio.get_running_loop().time()
        status = status_of(entry, self._clock.now())
        before = entry.resource.status
        if status == before:
            self._rules.changed.pop(key, None)
            return
        urgent = _words(status) != _words(before) or status.observed_generation != before.observed_generation
        if not urgent and loop_time - self._written.get(key, -_COUNTS_SECONDS) < _COUNTS_SECONDS:
            return
        counted, entry.tally = entry.tally, Tally(error=entry.tally.error)
        self._written[key] = loop_time
        self._rules.changed.pop(key, None)
        try:
            self._rules.put(Snapshot(await self._port.write_status(entry.resource, status)))
        except Missing:
            self._rules.remove(key, entry.uid)
        except PortError as error:
            _restore(entry, counted)
            self._rules.changed[key] = None
            if isinstance(error, Conflict):  # its event is on the way
                return
            name = key.name if key.kind == CLUSTER_RULE else f"{key.namespace}/{key.name}"
            _logger.warning("the status of %s %s cannot be written: %s", key.kind, name, error)


def _restore(entry: RuleEntry, counted: Tally) -> None:
    entry.tally.evaluations += counted.evaluations
    entry.tally.verdicts += counted.verdicts
    entry.tally.errors += counted.errors


def _words(status: OrchestrationRuleStatus) -> list[tuple[str, str, str]]:
    return [(each.type, each.status, each.reason) for each in status.conditions]
