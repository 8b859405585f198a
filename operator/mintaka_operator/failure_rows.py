"""What a row of the failure table is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mintaka_core.states import State
from mintaka_core.workloads import StartIssue
from mintaka_operator.podview import PodView


@dataclass(frozen=True, slots=True)
class Row[Conclusion: (State, StartIssue)]:
    """One row of the failure table. `judge` returns a State for a pod that has ended, a StartIssue for one that has not started; None for no match.

    `overrides` are the entries of `spec.verdicts` that turn its conclusions around; `never_ran` says that none of the
    user's code can have run.
    """

    number: str
    situation: str
    signs: str
    conclusion: str
    judge: Callable[[PodView], Conclusion | None]
    overrides: tuple[str, ...] = ()
    never_ran: bool = False


def first_match[Conclusion: (State, StartIssue)](
    rows: tuple[Row[Conclusion], ...], view: PodView
) -> tuple[Conclusion | None, Row[Conclusion] | None]:
    """The verdict of the first row that has one, and that row."""
    for row in rows:
        verdict = row.judge(view)
        if verdict is not None:
            return verdict, row
    return None, None
