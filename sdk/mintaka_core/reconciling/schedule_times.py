"""What a schedule does at a given time: the run that is due, if any, and how missed times are handled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from mintaka_core.resources.deployments import NEXT_TIMES, Schedule, ScheduleStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How many missed times are counted one by one; a schedule of every second, away for a month, has millions.
_COUNTED = 1000
_CLOSE = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Advance:
    """A schedule's new `entry`, the nominal time of the run that is `due` (None: none), and a sentence about `missed` times ("")."""

    entry: ScheduleStatus
    due: datetime | None = None
    missed: str = ""


def advance(schedule: Schedule, known: ScheduleStatus | None, now: datetime) -> Advance:
    """Advance `schedule`, whose last entry is `known`, to `now`; raises InvalidSchedule."""
    if known is None or known.definition != schedule.definition:
        entry = ScheduleStatus(name=schedule.name, definition=schedule.definition, last_time=now)
        return Advance(_with_next(schedule, entry, schedule.next_time(now)))
    latest, passed, upcoming = _missed(schedule, known.last_time, now)
    if latest is None:
        return Advance(_with_next(schedule, known, upcoming))
    entry = _with_next(schedule, known.model_copy(update={"last_time": latest}), upcoming)
    deadline = schedule.starting_deadline_seconds
    if deadline is not None and now > latest + timedelta(seconds=deadline):
        return Advance(entry, None, _skipped(schedule, latest, passed, deadline))
    return Advance(entry, latest, _made_up(schedule, passed) if passed > 1 else "")


def _with_next(schedule: Schedule, entry: ScheduleStatus, upcoming: datetime) -> ScheduleStatus:
    """`entry` with its next times, which are computed only when the first of them changes."""
    if entry.next_time == upcoming and entry.next_times:
        return entry
    zone = schedule.zone
    times = tuple(time.astimezone(zone) for time in islice(_times(schedule, upcoming), NEXT_TIMES))
    return entry.model_copy(update={"next_time": upcoming, "next_times": times})


def _times(schedule: Schedule, first: datetime) -> Iterator[datetime]:
    """The times of a schedule from `first` on; they end if it never fires again."""
    time: datetime | None = first
    while time is not None:
        yield time
        time = schedule.time_after(time)


def _made_up(schedule: Schedule, passed: int) -> str:
    return f"schedule {schedule.name!r} made up for the latest of {_count(passed)} missed times; the others are skipped"


def _skipped(schedule: Schedule, latest: datetime, passed: int, deadline: int) -> str:
    at = f"{latest:%Y-%m-%dT%H:%M:%SZ}"
    late = f"missed by more than its startingDeadlineSeconds of {deadline}"
    if passed == 1:
        return f"schedule {schedule.name!r} skipped {at}: it was {late}"
    return f"schedule {schedule.name!r} skipped {_count(passed)} missed times, the latest of them {at}: all were {late}"


def _count(passed: int) -> str:
    return f"{passed}" if passed < _COUNTED else f"more than {_COUNTED}"


def _missed(schedule: Schedule, since: datetime, now: datetime) -> tuple[datetime | None, int, datetime]:
    """The latest time in (since, now], the number of such times (counted up to a bound), and the next one after `now`."""
    latest, passed = None, 0
    upcoming = schedule.next_time(since)
    while upcoming <= now:
        latest, passed = upcoming, passed + 1
        upcoming = schedule.next_time(latest)
        if passed == _COUNTED and upcoming <= now:
            return _latest(schedule, latest, now), passed, schedule.next_time(now)
    return latest, passed, upcoming


def _latest(schedule: Schedule, low: datetime, now: datetime) -> datetime:
    """The latest time in (low, now], which must exist, by bisection: the series is the same from whatever time it is computed."""
    latest, high = schedule.next_time(low), now
    while high - latest > _CLOSE:
        middle = latest + (high - latest) / 2
        found = schedule.next_time(middle)
        if found <= now:
            latest = found
        else:
            high = middle
    return latest
