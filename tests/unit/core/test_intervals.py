"""Intervals: elapsed time below a day, wall-clock time from a day on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintaka_core.errors import InvalidSchedule
from mintaka_core.intervals import parse_duration, parse_interval
from mintaka_core.resources.schedules import Schedule
from mintaka_core.schedules import EPOCH, next_interval

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo", "Asia/Kathmandu"]
INSTANTS = st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
INTERVALS = st.timedeltas(timedelta(seconds=1), timedelta(days=400)) | st.integers(1, 60).map(lambda days: days * DAY)


def local(text: str, zone: str = "Europe/Berlin") -> datetime:
    """An instant by its local time; the first pass of a fold."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def series(interval: timedelta, anchor: datetime, zone: str, start: datetime, count: int) -> list[str]:
    """The next `count` times as local ISO text."""
    found, moment = [], start
    for _ in range(count):
        moment = next_interval(interval, anchor, zone, moment)
        found.append(moment.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes"))
    return found


@pytest.mark.parametrize(
    ("interval", "anchor", "start", "expected"),
    [
        pytest.param(
            6 * HOUR,
            "2026-03-28T00:00",
            "2026-03-28T19:00",
            ["2026-03-29T00:00+01:00", "2026-03-29T07:00+02:00", "2026-03-29T13:00+02:00"],
            id="hours are elapsed time across a gap",
        ),
        pytest.param(
            6 * HOUR,
            "2026-10-24T00:00",
            "2026-10-24T19:00",
            ["2026-10-25T00:00+02:00", "2026-10-25T05:00+01:00"],
            id="hours are elapsed time across a fold",
        ),
        pytest.param(
            DAY,
            "2026-01-01T06:00",
            "2026-03-28T07:00",
            ["2026-03-29T06:00+02:00", "2026-03-30T06:00+02:00"],
            id="a day keeps its hour across a gap",
        ),
        pytest.param(
            24 * HOUR,
            "2026-01-01T06:00",
            "2026-10-24T07:00",
            ["2026-10-25T06:00+01:00", "2026-10-26T06:00+01:00"],
            id="24 hours are a day, and keep their hour across a fold",
        ),
        pytest.param(
            DAY,
            "2026-01-01T02:30",
            "2026-03-28T12:00",
            ["2026-03-29T03:30+02:00", "2026-03-30T02:30+02:00"],
            id="in a gap the offset before it is used, and the next day does not drift",
        ),
        pytest.param(
            DAY,
            "2026-01-01T02:30",
            "2026-10-24T12:00",
            ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"],
            id="in a fold it is the first pass",
        ),
        pytest.param(
            7 * DAY,
            "2026-01-05T09:00",
            "2026-03-24T00:00",
            ["2026-03-30T09:00+02:00", "2026-04-06T09:00+02:00"],
            id="weeks keep their weekday and hour",
        ),
        pytest.param(
            36 * HOUR,
            "2026-03-28T00:00",
            "2026-03-28T00:00",
            ["2026-03-29T13:00+02:00", "2026-03-31T01:00+02:00"],
            id="a day and a half is elapsed time",
        ),
        pytest.param(
            DAY,
            "2026-06-01T06:00",
            "2026-01-01T12:00",
            ["2026-01-02T06:00+01:00"],
            id="an anchor that is still to come reaches back",
        ),
    ],
)
def test_it_comes_round_when_it_should(interval: timedelta, anchor: str, start: str, expected: list[str]) -> None:
    """In Berlin, around the changes of clocks of 2026."""
    assert series(interval, local(anchor), "Europe/Berlin", local(start), len(expected)) == expected


def test_a_skipped_day_is_not_made_up_for_twice() -> None:
    """30 December 2011 was left out in Apia: the offset before the gap puts it on the 31st, where one time is one."""
    start = local("2011-12-29T13:00", "Pacific/Apia")
    found = series(DAY, local("2011-12-01T12:00", "Pacific/Apia"), "Pacific/Apia", start, 2)
    assert found == ["2011-12-31T12:00+14:00", "2012-01-01T12:00+14:00"]


def test_without_an_anchor_intervals_are_counted_from_2020() -> None:
    """A round instant, so that 15 minutes fall on quarters of an hour."""
    after = datetime(2026, 1, 1, 12, 7, tzinfo=UTC)
    assert next_interval(timedelta(minutes=15), None, "UTC", after) == datetime(2026, 1, 1, 12, 15, tzinfo=UTC)
    assert next_interval(timedelta(minutes=15), EPOCH, "UTC", after) == datetime(2026, 1, 1, 12, 15, tzinfo=UTC)


@given(
    INTERVALS,
    INSTANTS,
    st.sampled_from(ZONES),
    INSTANTS,
    st.lists(st.integers(0, 99).map(lambda percent: percent / 100), min_size=1, max_size=4),
)
def test_asking_from_any_instant_in_between_gives_the_same_series(
    interval: timedelta, anchor: datetime, zone: str, previous: datetime, shares: list[float]
) -> None:
    """Strictly growing, the same after a restart, and never further away than the interval and a change of clocks."""
    for share in shares:
        upcoming = next_interval(interval, anchor, zone, previous)
        assert previous < upcoming <= previous + interval + timedelta(days=1, hours=2)
        assert next_interval(interval, anchor, zone, previous + (upcoming - previous) * share) == upcoming
        assert next_interval(interval, anchor, zone, upcoming - timedelta(microseconds=1)) == upcoming
        previous = upcoming


@given(INTERVALS, INSTANTS, st.sampled_from(ZONES), INSTANTS)
def test_the_zone_in_which_instants_are_told_does_not_matter(interval: timedelta, anchor: datetime, zone: str, after: datetime) -> None:
    """Python subtracts two times of one zone by the wall clock; that must not show."""
    expected = next_interval(interval, anchor, zone, after)
    assert next_interval(interval, anchor.astimezone(BERLIN), zone, after.astimezone(BERLIN)) == expected


@given(st.integers(1, 60), INSTANTS, st.sampled_from(ZONES), INSTANTS)
def test_whole_days_keep_the_wall_clock_but_in_gaps(days: int, anchor: datetime, zone: str, after: datetime) -> None:
    """The local time of day is the anchor's, or later by less than a day where that did not exist."""
    info = ZoneInfo(zone)
    found = next_interval(days * DAY, anchor, zone, after).astimezone(info)
    wanted = anchor.astimezone(info).time()
    nominal = datetime.combine(found.date(), wanted)
    exists = nominal.replace(tzinfo=info).astimezone(UTC).astimezone(info).replace(tzinfo=None) == nominal
    assert found.time() == wanted or not exists


@given(st.timedeltas(timedelta(seconds=1), timedelta(hours=23)), INSTANTS, INSTANTS)
def test_elapsed_intervals_are_whole_numbers_from_the_anchor(interval: timedelta, anchor: datetime, after: datetime) -> None:
    """Nothing drifts, however far away the anchor is."""
    assert (next_interval(interval, anchor, "Europe/Berlin", after) - anchor) % interval == timedelta(0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("1h30m", timedelta(minutes=90)),
        ("24h", DAY),
        ("1.5h", timedelta(minutes=90)),
        ("500ms", timedelta(milliseconds=500)),
        ("1s500ms", timedelta(milliseconds=1500)),
        ("0.5s", timedelta(milliseconds=500)),
    ],
)
def test_durations_are_read_as_go_writes_them(text: str, expected: timedelta) -> None:
    """The same texts that CEL's duration() takes in admission."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text", ["", "1", "h", "1d", "-1h", "1h ", " 1h", "1h-30m", "1,5h", "1e3s", "٣h", "1h\n", "9" * 30 + "h", "1.h", ".5h"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """With what to write instead, also where it is a duration beyond all calendars."""
    with pytest.raises(InvalidSchedule):
        parse_duration(text)


@pytest.mark.parametrize("interval", [timedelta(0), timedelta(seconds=-1), timedelta(days=3_000_000), timedelta(days=800_000, seconds=1)])
def test_an_interval_that_never_comes_round_is_refused(interval: timedelta) -> None:
    """Nothing, less than nothing, and more than the calendar holds."""
    with pytest.raises(InvalidSchedule):
        next_interval(interval, None, "Europe/Berlin", datetime(9500, 1, 1, tzinfo=UTC))


def test_a_schedule_without_cron_and_interval_is_refused() -> None:
    """Admission forbids it; an older API server may not."""
    with pytest.raises(InvalidSchedule, match="neither cron nor interval nor rrule"):
        Schedule(name="s").next_time(EPOCH)


def test_a_schedule_asks_its_kind() -> None:
    """Cron by the zone, intervals by anchor and zone."""
    after = datetime(2026, 1, 1, tzinfo=UTC)
    assert Schedule(name="s", cron="0 6 * * *", time_zone="Europe/Berlin").next_time(after) == datetime(2026, 1, 1, 5, tzinfo=UTC)
    assert Schedule(name="s", interval="15m", anchor=after + HOUR / 12).next_time(after) == after + HOUR / 12


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"cron": "@daily"}, {"cron": "@daily", "suspend": True, "parameters": {"a": 1}}, True),
        ({"cron": "@daily"}, {"cron": "@hourly"}, False),
        ({"cron": "@daily"}, {"cron": "@daily", "time_zone": "Europe/Berlin"}, False),
        ({"interval": "1h"}, {"interval": "2h"}, False),
        ({"interval": "1h"}, {"interval": "1h", "anchor": EPOCH}, False),
    ],
)  # fmt: skip
def test_what_moves_the_times_is_a_new_definition(one: dict[str, object], other: dict[str, object], *, same: bool) -> None:
    """Parameters and suspension do not move them."""
    definitions = {Schedule.model_validate({"name": "s", **fields}).definition for fields in (one, other)}
    assert (len(definitions) == 1) is same


#: kind, interval, anchor, start, times, by the clock of Berlin.
ISO = [
    ("a day has the same hour across a gap", "P1D", "2026-01-01T06:00", "2026-03-28T07:00", ["2026-03-29T06:00+02:00", "2026-03-30T06:00+02:00"]),
    ("24 hours are elapsed time across a gap", "PT24H", "2026-01-01T06:00", "2026-03-28T07:00",
     ["2026-03-29T07:00+02:00", "2026-03-30T07:00+02:00"]),
    ("a month from the 31st ends with the month", "P1M", "2026-01-31T06:00", "2026-01-31T06:00",
     ["2026-02-28T06:00+01:00", "2026-03-31T06:00+02:00", "2026-04-30T06:00+02:00"]),
    ("a year from a leap day", "P1Y", "2024-02-29T06:00", "2026-01-01T00:00",
     ["2026-02-28T06:00+01:00", "2027-02-28T06:00+01:00", "2028-02-29T06:00+01:00"]),
    ("two weeks", "P2W", "2026-01-05T09:00", "2026-03-20T00:00", ["2026-03-30T09:00+02:00", "2026-04-13T09:00+02:00"]),
    ("a month in a gap uses the offset before it", "P1M", "2026-01-29T02:30", "2026-03-01T00:00",
     ["2026-03-29T03:30+02:00", "2026-04-29T02:30+02:00"]),
    ("a day and twelve hours", "P1DT12H", "2026-01-01T00:00", "2026-01-01T00:00", ["2026-01-02T12:00+01:00", "2026-01-04T00:00+01:00"]),
    ("an anchor that is still to come", "P1M", "2026-06-30T06:00", "2026-01-15T00:00", ["2026-01-30T06:00+01:00", "2026-02-28T06:00+01:00"]),
]  # fmt: skip


@pytest.mark.parametrize(("interval", "anchor", "start", "expected"), [case[1:] for case in ISO], ids=[case[0] for case in ISO])
def test_calendar_time_follows_the_wall_clock(interval: str, anchor: str, start: str, expected: list[str]) -> None:
    """Dates by the calendar, times of day by the clock, the rest elapsed."""
    schedule = Schedule(name="s", interval=interval, anchor=local(anchor), time_zone="Europe/Berlin")
    found, moment = [], local(start).astimezone(UTC)
    for _ in expected:
        moment = schedule.next_time(moment)
        found.append(moment.astimezone(BERLIN).isoformat(timespec="minutes"))
    assert found == expected


@given(
    st.sampled_from(["P1M", "P5M", "P1Y", "P1M1D", "P3W", "P1DT6H", "P1Y2M3DT4H5M6S"]),
    INSTANTS,
    st.sampled_from(ZONES),
    INSTANTS,
    st.floats(0, 0.99),
)
def test_calendar_time_is_the_same_series_from_any_instant(
    interval: str, anchor: datetime, zone: str, after: datetime, share: float
) -> None:
    """Strictly growing."""
    schedule = Schedule(name="s", interval=interval, anchor=anchor, time_zone=zone)
    first = schedule.next_time(after)
    second = schedule.next_time(first)
    assert after < first < second
    assert schedule.next_time(first + (second - first) * share) == second
    assert schedule.next_time(first - timedelta(microseconds=1)) == first


@pytest.mark.parametrize(
    "text", ["P", "PT", "P1DT", "P1S", "PT1D", "P-1D", "P1.5D", "p1d", "P1D ", "PT0S", "P0D", "P1H", "P" + "9" * 30 + "Y", "PT1.H"]
)
def test_what_is_not_an_iso_interval_is_refused(text: str) -> None:
    """Also one that is nothing, or beyond all calendars."""
    with pytest.raises(InvalidSchedule):
        parse_interval(text)
