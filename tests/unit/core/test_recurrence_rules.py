"""Recurrence rules: compared with dateutil by the wall clock, and with what is promised when clocks change."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from mintaka_core.errors import InvalidSchedule, ScheduleEnded
from mintaka_core.recurrence_sets import parse_recurrence
from mintaka_core.schedules import next_recurrence

NOW = datetime(2026, 3, 3, 12, 30, tzinfo=UTC)

RULES = [
    "FREQ=DAILY", "FREQ=DAILY;INTERVAL=3;BYHOUR=6", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9,17;BYMINUTE=0,30", "FREQ=WEEKLY;INTERVAL=2;BYDAY=FR",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=SU", "FREQ=MONTHLY;BYDAY=2FR", "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18", "FREQ=MONTHLY;BYMONTHDAY=1,15,-1",
    "FREQ=MONTHLY;INTERVAL=5", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "FREQ=MONTHLY;BYMONTHDAY=13;BYDAY=FR", "FREQ=YEARLY;BYDAY=20MO",
    "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "FREQ=YEARLY;BYWEEKNO=1,53", "FREQ=YEARLY;BYYEARDAY=100,-1", "FREQ=YEARLY;INTERVAL=2;BYMONTH=1,7;BYDAY=1MO",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "FREQ=HOURLY;INTERVAL=7", "FREQ=HOURLY;BYHOUR=9,10;BYDAY=MO,TU", "FREQ=MINUTELY;INTERVAL=90",
    "FREQ=MINUTELY;INTERVAL=10;BYHOUR=8", "FREQ=SECONDLY;INTERVAL=30;BYMINUTE=0", "FREQ=DAILY;COUNT=2300", "FREQ=DAILY;UNTIL=20260310T000000Z",
    "FREQ=HOURLY;BYMINUTE=0,15,30;BYSETPOS=-1", "FREQ=DAILY;BYSECOND=30;BYMONTH=4",
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("start", ["20200101T000000", "20240229T093000", "20251231T235930"])
def test_a_rule_fires_at_the_times_of_dateutil(rule: str, start: str) -> None:
    """By the wall clock, in UTC."""
    expected = [
        found.replace(tzinfo=UTC)
        for found in rrulestr(f"DTSTART:{start}\nRRULE:{rule.replace('00Z', '00')}").xafter(NOW.replace(tzinfo=None), count=8)
        if found.year < 2076
    ]
    found, moment = [], NOW
    times = parse_recurrence(f"DTSTART:{start}\nRRULE:{rule}", "UTC")
    while len(found) < 8 and (moment := times.next_time(moment)) is not None:
        found.append(moment)
    assert found == expected


#: kind, rule, zone, start, times.
CLOCKS = [
    ("a day in a gap uses the offset before it", "FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "Europe/Berlin", "2026-03-28T12:00",
     ["2026-03-29T03:30+02:00", "2026-03-30T02:30+02:00"]),
    ("a day in a fold is the first pass", "FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "Europe/Berlin", "2026-10-24T12:00",
     ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
    ("two times that are one instant are one", "FREQ=DAILY;BYHOUR=2,3;BYMINUTE=30", "Europe/Berlin", "2026-03-29T00:00",
     ["2026-03-29T03:30+02:00", "2026-03-30T02:30+02:00"]),
    ("times of a gap are in order", "FREQ=DAILY;BYHOUR=2,3;BYMINUTE=15,45", "Europe/Berlin", "2026-03-29T00:00",
     ["2026-03-29T03:15+02:00", "2026-03-29T03:45+02:00", "2026-03-30T02:15+02:00"]),
    ("hours follow real time in a gap", "FREQ=HOURLY", "Europe/Berlin", "2026-03-29T00:30", ["2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"]),
    ("hours follow real time in a fold", "FREQ=HOURLY", "Europe/Berlin", "2026-10-24T23:30",
     ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"]),
    ("a day that is skipped whole fires nothing", "DTSTART:20110101T000000\nRRULE:FREQ=WEEKLY;BYDAY=FR;BYHOUR=12", "Pacific/Apia", "2011-12-24T00:00",
     ["2012-01-06T12:00+14:00"]),
    ("an exception", "DTSTART:20260301T060000\nRRULE:FREQ=DAILY\nEXDATE:20260305T060000", "Europe/Berlin", "2026-03-04T00:00",
     ["2026-03-04T06:00+01:00", "2026-03-06T06:00+01:00"]),
    ("an exception in UTC", "DTSTART:20260301T060000\nRRULE:FREQ=DAILY\nEXDATE:20260305T050000Z", "Europe/Berlin", "2026-03-05T00:00",
     ["2026-03-06T06:00+01:00"]),
    ("an additional time", "RRULE:FREQ=DAILY;BYHOUR=6\nRDATE:20260305T123000", "Europe/Berlin", "2026-03-05T00:00",
     ["2026-03-05T06:00+01:00", "2026-03-05T12:30+01:00", "2026-03-06T06:00+01:00"]),
    ("two rules", "RRULE:FREQ=DAILY;BYHOUR=6\nRRULE:FREQ=WEEKLY;BYDAY=TH;BYHOUR=12", "UTC", "2026-03-05T00:00",
     ["2026-03-05T06:00+00:00", "2026-03-05T12:00+00:00", "2026-03-06T06:00+00:00"]),
    ("a start in UTC by the clock of the zone", "DTSTART:20260101T050000Z\nRRULE:FREQ=DAILY", "Europe/Berlin", "2026-06-01T00:00",
     ["2026-06-01T06:00+02:00"]),
    ("until a day, which counts whole", "FREQ=DAILY;BYHOUR=6;UNTIL=20260306", "UTC", "2026-03-05T12:00", ["2026-03-06T06:00+00:00"]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "zone", "start", "expected"), [case[1:] for case in CLOCKS], ids=[case[0] for case in CLOCKS])
def test_clocks_that_change_neither_lose_nor_repeat_a_time(rule: str, zone: str, start: str, expected: list[str]) -> None:
    """Each instant once, in order."""
    found, moment = [], datetime.fromisoformat(start).replace(tzinfo=UTC)
    for _ in expected:
        moment = next_recurrence(rule, zone, moment)
        found.append(moment.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes"))
    assert found == expected


@given(
    st.sampled_from(
        ["FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=0,30", "FREQ=HOURLY;INTERVAL=5", "FREQ=MINUTELY;INTERVAL=25", "FREQ=WEEKLY;BYDAY=SU;BYHOUR=2"]
    ),
    st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo", "UTC"]),
    st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds the zone
    st.floats(0, 0.99),
)
def test_asking_from_any_instant_in_between_gives_the_same_series(rule: str, zone: str, after: datetime, share: float) -> None:
    """Strictly growing."""
    first = next_recurrence(rule, zone, after)
    second = next_recurrence(rule, zone, first)
    assert after < first < second
    assert next_recurrence(rule, zone, first + (second - first) * share) == second
    assert next_recurrence(rule, zone, first - timedelta(microseconds=1)) == first


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31", "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=YEARLY;BYWEEKNO=20;BYMONTH=1", "FREQ=SECONDLY;INTERVAL=7200;BYSECOND=1", "FREQ=MINUTELY;INTERVAL=60;BYMINUTE=1",
        "FREQ=DAILY;BYSETPOS=5", "FREQ=WEEKLY;BYMONTHDAY=31;BYMONTH=4", "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
    ],
)  # fmt: skip
def test_a_rule_that_never_matches_ends_in_bounded_time(rule: str) -> None:
    """In a second at most, on a machine that does other things too."""
    started = time.process_time()
    with pytest.raises(InvalidSchedule, match="never fires"):
        next_recurrence(rule, "Europe/Berlin", NOW)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("rule", ["FREQ=DAILY;COUNT=2", "FREQ=DAILY;UNTIL=20200601", "RDATE:20200101T000000"])
def test_a_rule_that_has_ended_is_not_an_error_of_its_author(rule: str) -> None:
    """The error reports that it has ended."""
    with pytest.raises(ScheduleEnded, match="has ended"):
        next_recurrence(rule, "UTC", NOW)


REFUSED = {
    "FREQ=NEVER": "FREQ is one of",
    "FREQ=DAILY;INTERVAL=0": "INTERVAL is between 1",
    "FREQ=DAILY;INTERVAL=-1": "INTERVAL is between 1",
    "FREQ=DAILY;BYHOUR=24": "BYHOUR is between 0 and 23",
    "FREQ=DAILY;BYMONTHDAY=0": "BYMONTHDAY is between -31 and 31 and not 0",
    "FREQ=DAILY;BYMONTH=13": "BYMONTH is between 1 and 12",
    "FREQ=DAILY;BYSECOND=60": "BYSECOND is between 0 and 59",
    "FREQ=WEEKLY;BYDAY=2FR": "requires FREQ=MONTHLY or YEARLY",
    "FREQ=MONTHLY;BYDAY=99FR": "is not a weekday",
    "FREQ=MONTHLY;BYDAY=FRI": "is not a weekday",
    "FREQ=DAILY;COUNT=0": "COUNT is between 1",
    "FREQ=DAILY;COUNT=3;UNTIL=20300101": "both COUNT and UNTIL",
    "FREQ=DAILY;FREQ=DAILY": "FREQ twice",
    "FREQ=DAILY;EVERY=2": "is not a part of a rule",
    "FREQ=DAILY;UNTIL=tomorrow": "is not a time",
    "FREQ=DAILY;WKST=XX": "WKST is a weekday",
    "DTSTART:20260101T000000": "neither RRULE nor RDATE",
    "DTSTART;TZID=Asia/Tokyo:20260101T000000 RRULE:FREQ=DAILY": "write timeZone: Asia/Tokyo",
    "EXRULE:FREQ=DAILY": "none of DTSTART, RRULE",
    "daily": "none of DTSTART, RRULE",
    "FREQ=HOURLY;BYSETPOS=1": "BYSETPOS selects from several",
}


@pytest.mark.parametrize(("rule", "why"), REFUSED.items(), ids=REFUSED)
def test_what_is_not_a_rule_is_refused_with_its_reason(rule: str, why: str) -> None:
    """Instead of hanging or being read as something else."""
    with pytest.raises(InvalidSchedule, match=why):
        parse_recurrence(rule, "UTC")


def test_the_age_of_a_rule_costs_nothing() -> None:
    """A rule of every second since the year 1970."""
    started = time.process_time()
    times = parse_recurrence("DTSTART:19700101T000000\nRRULE:FREQ=SECONDLY;INTERVAL=7", "UTC")
    assert len(list(islice(iter(lambda: times.next_time(NOW), None), 100))) == 100
    assert time.process_time() - started < 1
