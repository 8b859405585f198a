"""Wall-clock times of a zone and the instants they denote, with all gaps and folds of its clocks.

Recurring times are first a series of naive wall-clock times. There are two ways from these to instants: *by real time*
(`next_by_real_time`), in which a time fires whenever the clock shows it, and one instant for each (`transition` and `is_skipped_day`
serve those that choose it).
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
#: 29 February on a given weekday comes every 40 years at the latest (around 2100); what does not match by then never does.
HORIZON_YEARS = 50


def wall_time(instant: datetime, zone: ZoneInfo) -> datetime:
    """What the clocks of `zone` show at an instant (naive)."""
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def offset_at(instant: datetime, zone: ZoneInfo) -> timedelta:
    """How far the clocks of `zone` are ahead of UTC at an instant."""
    return instant.astimezone(zone).utcoffset() or timedelta(0)


def first_pass(nominal: datetime, zone: ZoneInfo) -> datetime:
    """The instant (UTC) of a wall-clock time: its first pass in a fold; in a gap the offset before it is used (PEP 495, RFC 5545 3.3.5)."""
    return nominal.replace(tzinfo=zone, fold=0).astimezone(UTC)


def gap_of(nominal: datetime, zone: ZoneInfo) -> datetime | None:
    """The instant at which the clocks skip `nominal`; None if they show it."""
    instant = first_pass(nominal, zone)
    if wall_time(instant, zone) == nominal:
        return None
    # In a gap, fold 0 uses the offset before it and fold 1 the one after: the gap lies in between.
    return transition(zone, nominal.replace(tzinfo=zone, fold=1).astimezone(UTC), instant)


def is_skipped_day(nominal: datetime, gap: datetime, zone: ZoneInfo) -> bool:
    """Whether the gap leaves out the whole day of `nominal`, as in Pacific/Apia in 2011."""
    begin, end = wall_time(gap - SECOND, zone) + SECOND, wall_time(gap, zone)
    midnight = datetime.combine(nominal.date(), time())
    return begin <= midnight and midnight + DAY <= end


def next_by_real_time(wall_times: Callable[[datetime], Iterator[datetime]], zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first instant strictly after `after` (UTC) at which the clocks show a time of the series; None if they never do.

    `wall_times(start)` are its times from `start` on (naive, ascending). Both passes of a fold count; times in a gap are not shown.
    """
    start = after + timedelta(microseconds=1)
    local = start.astimezone(zone)
    offset = local.utcoffset() or timedelta(0)
    wall = next(wall_times(local.replace(tzinfo=None, fold=0)), None)
    if wall is not None:  # mostly it is near, and no change of clocks before it
        found = wall.replace(tzinfo=UTC) - offset
        if found - start <= DAY and offset_at(found, zone) == offset:
            return found
    horizon = after + HORIZON_YEARS * 366 * DAY
    while start < horizon:
        # The clock may go back, but by less than a day: nothing matches before `near`, and no zone is a day away from UTC.
        near = next(wall_times(wall_time(start, zone) - DAY), None)
        if near is None:
            return None
        start = max(start, near.replace(tzinfo=UTC) - DAY)
        offset = offset_at(start, zone)
        wall = next(wall_times(wall_time(start, zone)), None)
        # A series that ends may still be shown once more: continue until the clocks are a day past its last time.
        found = start + 2 * DAY if wall is None else wall.replace(tzinfo=UTC) - offset
        reached = min(found, start + DAY)
        if offset_at(reached, zone) != offset:
            start = transition(zone, start, reached)
        elif wall is not None and found == reached:
            return found
        else:
            start = reached
    return None


def transition(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The instant in (before, after], to the second, from which on the offset is that of `after`."""
    offset = offset_at(after, zone)
    before = before.replace(microsecond=0)
    while after - before > SECOND:
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if offset_at(middle, zone) == offset:
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0)
