"""The type of a row of the failure table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mintaka_core.states import State
from mintaka_core.workloads import StartIssue
from mintaka_operator.podview import PodView


@dataclass(frozen=True, slots=True)
class Row[Conclusion: (State, StartIssue)]:
    """One row of the failure table. `judge` returns a State for a pod that has ended, a StartIssue for one that has not
    started; None: no match.

    `reasons` are the possible reasons of its conclusions, except those that pods and flows define. `overrides` are the
    entries of `spec.verdicts` that reverse its conclusions; `never_ran` says that none of the user's code can have run.
    """

    number: str
    situation: str
    signs: str = field(kw_only=True)
    conclusion: str = field(kw_only=True)
    judge: Callable[[PodView], Conclusion | None] = field(kw_only=True)
    reasons: tuple[str, ...] = field(default=(), kw_only=True)
    overrides: tuple[str, ...] = field(default=(), kw_only=True)
    never_ran: bool = field(default=False, kw_only=True)


def first_match[Conclusion: (State, StartIssue)](
    rows: tuple[Row[Conclusion], ...], view: PodView
) -> tuple[Conclusion | None, Row[Conclusion] | None]:
    """The verdict of the first row that matches, and that row."""
    for row in rows:
        verdict = row.judge(view)
        if verdict is not None:
            return verdict, row
    return None, None
