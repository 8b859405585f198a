"""Plans as lines of text."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from mintaka_core.plan_differences import ABSENT
from mintaka_core.planning import CHANGED, CREATED, REFUSED, UNCHANGED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mintaka_core.plan_differences import Change
    from mintaka_core.plan_schedules import ScheduleChange
    from mintaka_core.planning import ObjectPlan, PlannedRun

#: Characters of a value, and how many runs are named.
_VALUE, _NAMED = 120, 10


def plan_lines(plan: ObjectPlan) -> Iterator[str]:
    """What happens to an object, and what that means."""
    name = f"{plan.namespace}/{plan.name}" if plan.namespace else plan.name
    yield f"{plan.action:<10} {plan.kind} {name}" + (f": {plan.message}" if plan.message else "")
    yield from (f"    {_change(change)}" for change in plan.changes)
    yield from (f"    {note}" for note in plan.notes)
    if plan.keep_version:
        yield f"    {_keeping(plan.keep_version)}"
    if plan.take_version:
        yield f"    {_taking(plan.take_version)}"
    for schedule in plan.schedules:
        yield from _schedule(schedule)


def summary_line(plans: Iterable[ObjectPlan]) -> str:
    """How many objects are created, changed, unchanged and refused."""
    counts = Counter(plan.action for plan in plans)
    return ", ".join(f"{counts[action]} {action}" for action in (CREATED, CHANGED, UNCHANGED, REFUSED) if counts[action])


def _change(change: Change) -> str:
    sides = f"{_value(change.before)} → {_value(change.after)}".strip()
    return f"{change.path}: {sides}"


def _value(value: Any) -> str:
    if value is ABSENT:
        return ""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _VALUE else f"{text[:_VALUE]}…"


def _keeping(runs: Sequence[PlannedRun]) -> str:
    shown = [f"{run.name} ({', '.join(filter(None, (run.state, run.revision)))})" for run in runs[:_NAMED]]
    what = "1 unfinished run keeps" if len(runs) == 1 else f"{len(runs)} unfinished runs keep"
    return f"{what} the old version: {_listed(shown, len(runs))}"


def _taking(runs: Sequence[PlannedRun]) -> str:
    what = "1 run that has not started takes" if len(runs) == 1 else f"{len(runs)} runs that have not started take"
    return f"{what} the new version: {_listed([run.name for run in runs[:_NAMED]], len(runs))}"


def _listed(shown: Sequence[str], count: int) -> str:
    more = count - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _schedule(schedule: ScheduleChange) -> Iterator[str]:
    problem = f", and has no times: {schedule.problem}" if schedule.problem else ""
    yield f"    schedule {schedule.name} {schedule.change}{problem}"
    if schedule.before:
        yield f"        before  {', '.join(schedule.before)}"
    if schedule.after:
        yield f"        after   {', '.join(schedule.after)}"
