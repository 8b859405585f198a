"""Dry runs of users' rules over the history: pages of recorded decisions, each evaluated before the next is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from mintaka_core.rule_dry_run import DryRun
from mintaka_history.enum_codes import NameKind
from mintaka_history.history_responses import RuleDifferenceAnswer, RuleDryRunAnswer, RuleOutcomeAnswer
from mintaka_history.queries import decisions
from mintaka_history.timestamps import to_microseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka_core.rule_dry_run import Difference, Outcome
    from mintaka_core.user_rules import Expressions, UserRule
    from mintaka_history.database import Database
    from mintaka_history.queries.names import Names


@dataclass(frozen=True, slots=True)
class Selection:
    """The decisions to evaluate: about runs that were created at `since` or later, of one namespace, or about one run (uid); "": of all.

    The first `shown` differences are returned, all are counted.
    """

    since: datetime
    namespace: str = ""
    run: str = ""
    shown: int = 100


@dataclass(slots=True)
class _Found:
    count: int = 0
    items: list[RuleDifferenceAnswer] = field(default_factory=list)


def dry_run(
    database: Database, names: Names, rules: Sequence[UserRule], expressions: Expressions, selection: Selection
) -> RuleDryRunAnswer:
    """Which decisions would have been different. Must be called outside of the event loop; only reads, in short transactions."""
    going, found, after = DryRun(rules, expressions), _Found(), None
    since = to_microseconds(selection.since)
    spoken = frozenset().union(*(rule.edges for rule in rules))
    while True:
        with database.reading(pages=True) as connection:
            number = names.known(connection, NameKind.NAMESPACE, selection.namespace) if selection.namespace else None
            if selection.namespace and number is None:
                break
            page = decisions.page(connection, names, since, after, spoken, number, selection.run or None)
        going.decisions += page.total
        for run, records in page.decisions:
            for record in records:
                difference = going.judge(run, record)
                if difference is not None:
                    found.count += 1
                    if len(found.items) < selection.shown:
                        found.items.append(_answer(difference))
        if (after := page.after) is None:
            break
    errors = {name: tally.error for name, tally in going.journal.items() if tally.error}
    return RuleDryRunAnswer(selection.since, going.decisions, found.count, going.unknown, found.items, errors)


def _answer(difference: Difference) -> RuleDifferenceAnswer:
    run = difference.run
    return RuleDifferenceAnswer(
        uid=run.uid,
        namespace=run.facts.namespace,
        name=run.facts.name,
        sequence=difference.sequence,
        time=difference.time,
        recorded=_outcome(difference.recorded),
        instead=_outcome(difference.instead),
    )


def _outcome(outcome: Outcome) -> RuleOutcomeAnswer:
    return RuleOutcomeAnswer(outcome.verdict, outcome.state, outcome.rule, outcome.reason)
