"""Schedules of deployments, in Prefect's notation: `flow.serve(schedules=[Cron("0 6 * * *", timezone="Europe/Berlin")])`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mintaka.exceptions import InvalidSettingError
from mintaka_core.cron import parse_cron
from mintaka_core.errors import InvalidSchedule

_KINDS = ("interval", "cron", "rrule")


@dataclass(frozen=True)
class Schedule:
    """When runs are created: one of `interval`, `cron` and `rrule`.

    Args:
        interval: the time between runs, at least a second. Whole days keep their wall-clock time when clocks change.
        cron: five fields (minute, hour, day of month, month, day of week) or a macro such as `@daily`.
        rrule: a recurrence set of RFC 5545: a rule, or lines DTSTART, RRULE, RDATE, EXDATE (docs/deployments.md).
        timezone: name in the tz database, such as Europe/Berlin; None: UTC.
        anchor_date: the time from which intervals are counted, in `timezone` if it is naive; None: when the schedule is
            first applied.
        day_or: what fires if both day fields of a cron expression are restricted: True, a day that matches one of them;
            False, a day that matches both.
        active: False: the schedule creates no runs until it is applied again as active.
        parameters: parameters of its runs, which override those of the deployment.
        slug: name of the schedule within the deployment; None: `main`, or its number.

    Raises:
        InvalidSettingError: more or less than one of the three is given, or it cannot be read.
    """

    interval: timedelta | None = None
    cron: str | None = None
    rrule: str | None = None
    timezone: str | None = None
    anchor_date: datetime | None = None
    day_or: bool = True
    active: bool = True
    parameters: dict[str, Any] = field(default_factory=dict)
    slug: str | None = None

    def __post_init__(self) -> None:
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            message = f"a schedule has exactly one of interval, cron and rrule, not {' and '.join(given) or 'none of them'}"
            raise InvalidSettingError(message)
        if self.cron is not None:
            try:
                parse_cron(self.cron)
            except InvalidSchedule as error:
                raise InvalidSettingError(str(error)) from error
        if self.interval is not None and self.interval < timedelta(seconds=1):
            message = f"the interval of a schedule is at least one second, not {self.interval.total_seconds():g} s"
            raise InvalidSettingError(message)


def Cron(  # noqa: N802 - Prefect's name for it
    cron: str,
    /,
    timezone: str | None = None,
    day_or: bool = True,
    active: bool = True,
    parameters: dict[str, Any] | None = None,
    slug: str | None = None,
) -> Schedule:
    """A schedule by a cron expression, such as `Cron("0 6 * * MON-FRI", timezone="Europe/Berlin")`; see `Schedule`."""
    return Schedule(cron=cron, timezone=timezone, day_or=day_or, active=active, parameters=parameters or {}, slug=slug)


def Interval(  # noqa: N802 - Prefect's name for it
    interval: timedelta | float,
    /,
    anchor_date: datetime | None = None,
    timezone: str | None = None,
    active: bool = True,
    parameters: dict[str, Any] | None = None,
    slug: str | None = None,
) -> Schedule:
    """A schedule by the time between runs, a number in seconds, such as `Interval(timedelta(hours=1))`; see `Schedule`."""
    between = interval if isinstance(interval, timedelta) else timedelta(seconds=interval)
    return Schedule(interval=between, anchor_date=anchor_date, timezone=timezone, active=active, parameters=parameters or {}, slug=slug)


def RRule(  # noqa: N802 - Prefect's name for it
    rrule: str,
    /,
    timezone: str | None = None,
    active: bool = True,
    parameters: dict[str, Any] | None = None,
    slug: str | None = None,
) -> Schedule:
    """A schedule by a recurrence rule, such as `RRule("FREQ=MONTHLY;BYDAY=2FR", timezone="America/Chicago")`; see `Schedule`."""
    return Schedule(rrule=rrule, timezone=timezone, active=active, parameters=parameters or {}, slug=slug)


__all__ = ["Cron", "Interval", "RRule", "Schedule"]
