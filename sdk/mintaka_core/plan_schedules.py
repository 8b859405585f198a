"""What a change of a deployment means for its schedules: the next times before and after. Pure."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from mintaka_core.errors import InvalidSchedule
from mintaka_core.resources.deployments import NEXT_TIMES
from mintaka_core.resources.schedules import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

ADDED, REMOVED, MOVES, SUSPENDED, RESUMED = "is added", "is removed", "moves", "is suspended", "is resumed"
NEW_SERIES, OTHER_PARAMETERS = "begins a new series with the same times", "keeps its times, with other parameters"


class ScheduleChange(NamedTuple):
    """What changes about a schedule; its next times `before` and `after`, at most five (none: it creates no runs).

    `problem` says why it never fires.
    """

    name: str
    change: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    problem: str = ""


def schedule_changes(live: Mapping[str, Any], planned: Mapping[str, Any], now: datetime) -> list[ScheduleChange]:
    """What changes about the schedules of a deployment, from its spec before ({}: it does not exist) and after."""
    before, after = _by_name(live), _by_name(planned)
    found = (_change(name, (before.get(name), live), (after.get(name), planned), now) for name in dict.fromkeys([*before, *after]))
    return [change for change in found if change is not None]


def _by_name(spec: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(each.get("name", "")): each for each in spec.get("schedules") or ()}


type _Side = tuple[Mapping[str, Any] | None, Mapping[str, Any]]


def _change(name: str, before: _Side, after: _Side, now: datetime) -> ScheduleChange | None:
    old, _ = _times(before, now)
    new, problem = _times(after, now)
    paused = _is_suspended(before), _is_suspended(after)
    if before[0] is None:
        return ScheduleChange(name, ADDED, (), new, problem)
    if after[0] is None:
        return ScheduleChange(name, REMOVED, old)
    if paused == (False, True):
        return ScheduleChange(name, SUSPENDED, old)
    if paused == (True, False):
        return ScheduleChange(name, RESUMED, (), new, problem)
    if old != new:
        return ScheduleChange(name, MOVES, old, new, problem)
    if _definition(before[0]) != _definition(after[0]):
        return ScheduleChange(name, NEW_SERIES)
    if (before[0].get("parameters") or {}) != (after[0].get("parameters") or {}):
        return ScheduleChange(name, OTHER_PARAMETERS)
    return None


def _is_suspended(side: _Side) -> bool:
    schedule, spec = side
    return bool(spec.get("suspend") or (schedule or {}).get("suspend"))


def _definition(schedule: Mapping[str, Any]) -> str:
    try:
        return Schedule.model_validate(schedule).definition
    except ValidationError:
        return ""


def _times(side: _Side, now: datetime) -> tuple[tuple[str, ...], str]:
    """The next times of a schedule by the clock of its zone, and why it has none ("": it is suspended or does not exist)."""
    schedule, _ = side
    if schedule is None or _is_suspended(side):
        return (), ""
    try:
        parsed = Schedule.model_validate(schedule)
        zone, first = parsed.zone, parsed.next_time(now)
    except (ValidationError, InvalidSchedule) as error:
        return (), str(error)
    return tuple(time.astimezone(zone).isoformat() for time in islice(_from(parsed, first), NEXT_TIMES)), ""


def _from(schedule: Schedule, first: datetime) -> Iterator[datetime]:
    time: datetime | None = first
    while time is not None:
        yield time
        time = schedule.time_after(time)
