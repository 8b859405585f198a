"""The type of a row of a failure table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mintaka_core.states import State
from mintaka_core.workloads import StartIssue


@dataclass(frozen=True, slots=True)
class Row[View, Conclusion: (State, StartIssue)]:
    """One row of a failure table. `judge` returns a State for a workload that has ended, a StartIssue for one that has not
    started; None: no match.

    `reasons` are the possible reasons of its conclusions, except those that pods and flows define. `overrides` are the
    entries of `spec.verdicts` that reverse its conclusions; `never_ran` says that none of the user's code can have run.
    """

    number: str
    situation: str
    signs: str = field(kw_only=True)
    conclusion: str = field(kw_only=True)
    judge: Callable[[View], Conclusion | None] = field(kw_only=True)
    reasons: tuple[str, ...] = field(default=(), kw_only=True)
    overrides: tuple[str, ...] = field(default=(), kw_only=True)
    never_ran: bool = field(default=False, kw_only=True)


def first_match[View, Conclusion: (State, StartIssue)](
    rows: tuple[Row[View, Conclusion], ...], view: View
) -> tuple[Conclusion | None, Row[View, Conclusion] | None]:
    """The verdict of the first row that matches, and that row."""
    for row in rows:
        verdict = row.judge(view)
        if verdict is not None:
            return verdict, row
    return None, None
