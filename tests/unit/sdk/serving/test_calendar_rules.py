"""Recurrence rules as cron expressions and intervals, compared with the times that dateutil computes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr  # type: ignore[import-untyped]

from mintaka.exceptions import InvalidSettingError
from mintaka.serving.calendar_rules import calendar_schedule
from mintaka_core.resources.deployments import Schedule

NOW = datetime(2026, 3, 3, 12, 30, tzinfo=UTC)
ZONE = "America/Chicago"
TIMES = 12

RULES = {
    "daily": "RRULE:FREQ=DAILY;INTERVAL=1",
    "daily from a time of day": "DTSTART:20240101T093000\nRRULE:FREQ=DAILY",
    "each third day": "FREQ=DAILY;INTERVAL=3;BYHOUR=6",
    "working days at two times": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9,17;BYMINUTE=0,30",
    "weekly on the weekday it started": "DTSTART:20240103T080000 RRULE:FREQ=WEEKLY",
    "each second Friday": "DTSTART:20240103T080000 RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=FR",
    "each second week on a day before it started": "DTSTART:20240103T080000 RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO",
    "each second week, beginning on Sunday": "DTSTART:20240103T080000 RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=SU;WKST=SU",
    "second Friday of the month": "RRULE:FREQ=MONTHLY;INTERVAL=1;BYDAY=2FR",
    "last Friday of the month": "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18",
    "first and fifteenth": "FREQ=MONTHLY;BYMONTHDAY=1,15;BYHOUR=4",
    "last day of the month": "FREQ=MONTHLY;BYMONTHDAY=-1",
    "each quarter": "DTSTART:20200201T000000 RRULE:FREQ=MONTHLY;INTERVAL=3",
    "a day of a quarter's months": "FREQ=MONTHLY;BYMONTHDAY=5;BYMONTH=1,4,7,10",
    "yearly": "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24;BYHOUR=8",
    "yearly on the day it started": "DTSTART:20200229T100000 RRULE:FREQ=YEARLY",
    "yearly, the days of all months": "FREQ=YEARLY;BYMONTHDAY=7",
    "hourly": "FREQ=HOURLY",
    "each six hours": "DTSTART:20240101T030500 RRULE:FREQ=HOURLY;INTERVAL=6",
    "each hour of a working day": "FREQ=HOURLY;BYHOUR=9,10,11,12;BYDAY=MO,TU",
    "each quarter of an hour": "FREQ=MINUTELY;INTERVAL=15",
    "minutes of an hour": "FREQ=MINUTELY;INTERVAL=10;BYHOUR=8",
}


@pytest.mark.parametrize("rule", [pytest.param(rule, id=name) for name, rule in RULES.items()])
def test_a_rule_fires_when_dateutil_says_it_does(rule: str) -> None:
    local = NOW.astimezone(ZoneInfo(ZONE)).replace(tzinfo=None)
    found = rrulestr(rule, dtstart=datetime(2020, 1, 1)).xafter(local, count=TIMES)  # noqa: DTZ001 - wall-clock times
    expected = [time.replace(tzinfo=ZoneInfo(ZONE)).astimezone(UTC) for time in found]
    assert times_of(calendar_schedule(rule, ZONE, NOW)) == expected


ELAPSED = {
    "seven hours": ("FREQ=HOURLY;INTERVAL=7", "7h", "2020-01-01T06:00:00Z"),
    "ninety minutes": ("DTSTART:20240101T000000Z RRULE:FREQ=MINUTELY;INTERVAL=90", "90m", "2024-01-01T00:00:00Z"),
    "thirty seconds": ("FREQ=SECONDLY;INTERVAL=30", "30s", "2020-01-01T06:00:00Z"),
}


@pytest.mark.parametrize(("rule", "interval", "anchor"), ELAPSED.values(), ids=ELAPSED)
def test_what_does_not_fit_into_a_day_is_an_interval_of_elapsed_time(rule: str, interval: str, anchor: str) -> None:
    zone = "UTC" if "Z " in rule else ZONE
    assert calendar_schedule(rule, ZONE, NOW) == {"interval": interval, "anchor": anchor, "timeZone": zone}


def test_a_rule_in_a_zone_of_its_own_has_that_zone() -> None:
    found = calendar_schedule("DTSTART;TZID=Europe/Berlin:20240101T070000 RRULE:FREQ=DAILY", "UTC", NOW)
    assert found == {"cron": "0 7 * * *", "timeZone": "Europe/Berlin"}


REFUSED = {
    "FREQ=DAILY;COUNT=3": "because of COUNT",
    "FREQ=DAILY;UNTIL=20300101T000000Z": "because of UNTIL",
    "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1": "because of BYSETPOS",
    "FREQ=MONTHLY;BYMONTHDAY=13;BYDAY=FR": "BYDAY together with BYMONTHDAY",
    "FREQ=MONTHLY;INTERVAL=5": "does not divide 12",
    "FREQ=YEARLY;INTERVAL=2": "INTERVAL=2 with FREQ=YEARLY",
    "FREQ=YEARLY;BYDAY=20MO": "weekdays of a year",
    "FREQ=DAILY\nEXDATE:20240101T000000": "because of EXDATE",
    "DTSTART:20300101T000000\nRRULE:FREQ=DAILY": "in the future",
    "FREQ=DAILY;BYSECOND=30": "its seconds",
    "FREQ=NEVER": "FREQ is one of",
    "FREQ=DAILY;INTERVAL=0": "INTERVAL is 1 or more",
    "FREQ=DAILY;BYHOUR=24": "between 0 and 23",
    "FREQ=WEEKLY;BYDAY=2FR": "requires FREQ=MONTHLY or YEARLY",
    "FREQ=HOURLY;INTERVAL=2;BYHOUR=1": "never meet",
    "daily": "is not valid",
}


@pytest.mark.parametrize(("rule", "why"), REFUSED.items(), ids=[rule.replace("\n", " ") for rule in REFUSED])
def test_what_a_schedule_cannot_say_is_refused_by_its_name(rule: str, why: str) -> None:
    with pytest.raises(InvalidSettingError, match=why):
        calendar_schedule(rule, "UTC", NOW)


def times_of(schedule: dict[str, Any]) -> list[datetime]:
    """The next times of a schedule of a FlowDeployment."""
    model, time, found = Schedule.model_validate({"name": "main", **schedule}), NOW, []
    for _ in range(TIMES):
        time = model.next_time(time)
        found.append(time)
    return found
