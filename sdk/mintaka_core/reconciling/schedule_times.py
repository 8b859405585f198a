"""What a schedule does at a given time: the runs that are due, and how missed times are handled."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile

from mintaka_core.resources.deployments import NEXT_TIMES, ScheduleStatus
from mintaka_core.resources.schedules import CatchUp, Schedule

#: How many missed times are counted one by one; a schedule of every second, away for a month, has millions.
_COUNTED = 500
_CLOSE = timedelta(milliseconds=1)
#: How many missed times one pass makes up for; the next pass follows at once.
CREATED_PER_PASS = 10
#: What `catchUpLimit` and, with catchUp None, `startingDeadlineSeconds` are if they are absent.
_LIMIT, _LATE_SECONDS = 100, 60


@dataclass(frozen=True, slots=True)
class Advance:
    """A schedule's new `entry`, the nominal times of the runs that are `due`, and a sentence about `missed` times ("").

    `more`: further times are due, for the next pass.
    """

    entry: ScheduleStatus
    due: tuple[datetime, ...] = ()
    missed: str = ""
    more: bool = False


def advance(schedule: Schedule, known: ScheduleStatus | None, now: datetime) -> Advance:
    """Advance `schedule`, whose last entry is `known`, to `now`; raises InvalidSchedule."""
    if known is None or known.definition != schedule.definition:
        entry = ScheduleStatus(name=schedule.name, definition=schedule.definition, last_time=now)
        return Advance(_with_next(schedule, entry, schedule.time_after(now)))
    if schedule.catch_up is CatchUp.ALL:
        return _advance_by_all(schedule, known, now)
    latest, passed, upcoming = _missed(schedule, known.last_time, now)
    if latest is None:
        return Advance(_with_next(schedule, known, upcoming))
    entry = _with_next(schedule, known.model_copy(update={"last_time": latest}), upcoming)
    deadline = _deadline(schedule)
    if deadline is not None and now > latest + deadline:
        return Advance(entry, (), _skipped(schedule, latest, passed))
    return Advance(entry, (latest,), _made_up(schedule, passed) if passed > 1 else "")


def _advance_by_all(schedule: Schedule, known: ScheduleStatus, now: datetime) -> Advance:
    """Make up for the latest missed times in order, a few in each pass; `last_time` is how far they are."""
    upcoming = schedule.time_after(now)
    begin, deadline = known.last_time, _deadline(schedule)
    if deadline is not None:
        # A time that is exactly as late as allowed is made up for.
        begin = max(begin, now - deadline - timedelta(microseconds=1))
    limit = schedule.catch_up_limit or _LIMIT
    times = tuple(islice(takewhile(lambda time: time <= now, schedule.times_after(known.last_time)), _COUNTED))
    counted = len(times) < _COUNTED
    found = tuple(time for time in times if time > begin)[-limit:] if counted else _latest_times(schedule, begin, now, limit)
    due = found[:CREATED_PER_PASS]
    skipped = sum(1 for time in times if not found or time < found[0])
    last = due[-1] if due else begin if skipped else known.last_time
    entry = _with_next(schedule, known.model_copy(update={"last_time": last}), upcoming)
    return Advance(entry, due, _told(schedule, known, found, skipped, now), more=len(found) > len(due))


def _latest_times(schedule: Schedule, begin: datetime, now: datetime, limit: int) -> tuple[datetime, ...]:
    """The latest times in (begin, now], at most `limit`, in order."""
    times = tuple(islice(takewhile(lambda time: time <= now, schedule.times_after(begin)), limit + 1))
    if len(times) <= limit:
        return times
    # As many as these take from the end on, and twice as long until there are enough; a window never has many more.
    length = times[-1] - times[0]
    while now - length > begin:
        found: deque[datetime] = deque(maxlen=limit)
        count = 0
        for time in takewhile(lambda time: time <= now, schedule.times_after(now - length)):
            found.append(time)
            count += 1
        if count >= limit:
            return tuple(found)
        length *= 2
    return tuple(deque(takewhile(lambda time: time <= now, schedule.times_after(begin)), maxlen=limit))


def _deadline(schedule: Schedule) -> timedelta | None:
    """How late a run may be created; None: there is no limit."""
    seconds = schedule.starting_deadline_seconds or (_LATE_SECONDS if schedule.catch_up is CatchUp.NONE else None)
    return None if seconds is None else timedelta(seconds=seconds)


def _with_next(schedule: Schedule, entry: ScheduleStatus, upcoming: datetime | None) -> ScheduleStatus:
    """`entry` with its next times, which are computed only when the first of them changes."""
    if entry.next_time == upcoming and (entry.next_times or upcoming is None):
        return entry
    times = () if upcoming is None else (upcoming, *islice(schedule.times_after(upcoming), NEXT_TIMES - 1))
    zone = schedule.zone
    return entry.model_copy(update={"next_time": upcoming, "next_times": tuple(time.astimezone(zone) for time in times)})


def _made_up(schedule: Schedule, passed: int) -> str:
    if schedule.catch_up is CatchUp.NONE:
        return f"schedule {schedule.name!r} skipped {_count(passed - 1)} missed times; the latest is in time"
    return f"schedule {schedule.name!r} made up for the latest of {_count(passed)} missed times; the others are skipped"


def _skipped(schedule: Schedule, latest: datetime, passed: int) -> str:
    at = f"{latest:%Y-%m-%dT%H:%M:%SZ}"
    late = f"missed by more than {_lateness(schedule)}"
    if passed == 1:
        return f"schedule {schedule.name!r} skipped {at}: it was {late}"
    return f"schedule {schedule.name!r} skipped {_count(passed)} missed times, the latest of them {at}: all were {late}"


def _lateness(schedule: Schedule) -> str:
    if schedule.starting_deadline_seconds is None:
        return f"{_LATE_SECONDS} seconds, and its catchUp is None"
    return f"its startingDeadlineSeconds of {schedule.starting_deadline_seconds}"


def _told(schedule: Schedule, known: ScheduleStatus, found: tuple[datetime, ...], skipped: int, now: datetime) -> str:
    """The sentence about missed times with catchUp All, in the first of its passes."""
    first_pass = known.next_time is not None and known.next_time <= now
    if not first_pass or len(found) + skipped < 1 + bool(found):
        return ""
    words = f"makes up for {len(found)} missed times, the oldest first" if len(found) > 1 else "creates the run of the latest time"
    if not skipped:
        return f"schedule {schedule.name!r} {words}"
    why = f"catchUpLimit is {schedule.catch_up_limit or _LIMIT}"
    if len(found) < (schedule.catch_up_limit or _LIMIT):
        why = f"they were missed by more than {_lateness(schedule)}"
    if not found:
        return f"schedule {schedule.name!r} skipped {_count(skipped)} missed times: all were missed by more than {_lateness(schedule)}"
    return f"schedule {schedule.name!r} {words}; {_count(skipped)} older ones are skipped: {why}"


def _count(passed: int) -> str:
    return f"{passed}" if passed < _COUNTED else f"more than {_COUNTED}"


def _missed(schedule: Schedule, since: datetime, now: datetime) -> tuple[datetime | None, int, datetime | None]:
    """The latest time in (since, now], the number of such times (counted up to a bound), and the next one after `now`."""
    latest, passed = None, 0
    upcoming = schedule.time_after(since)
    while upcoming is not None and upcoming <= now:
        latest, passed = upcoming, passed + 1
        upcoming = schedule.time_after(latest)
        if passed == _COUNTED and upcoming is not None and upcoming <= now:
            return _latest(schedule, latest, now), passed, schedule.time_after(now)
    return latest, passed, upcoming


def _latest(schedule: Schedule, low: datetime, now: datetime) -> datetime:
    """The latest time in (low, now], which must exist, by bisection: the series is the same from whatever time it is computed."""
    latest, high = schedule.next_time(low), now
    while high - latest > _CLOSE:
        middle = latest + (high - latest) / 2
        found = schedule.time_after(middle)
        if found is not None and found <= now:
            latest = found
        else:
            high = middle
    return latest
