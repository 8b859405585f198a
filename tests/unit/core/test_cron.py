"""Cron: checked against the semantics we promise, case by case and against a plain walk through every minute."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mintaka_core.cron import MACROS, parse_cron
from mintaka_core.errors import InvalidSchedule
from mintaka_core.resources.schedules import CRON_PATTERN
from mintaka_core.schedules import next_cron

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE = timedelta(minutes=1)
#: Gaps and folds of an hour, of half an hour, at midnight, across it, of a whole day, in Ramadan; and none.
ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana", "Asia/Beirut", "Australia/Lord_Howe", "Pacific/Apia",
    "Africa/Casablanca", "America/St_Johns", "Asia/Kathmandu", "Pacific/Chatham", "Antarctica/Troll", "America/Asuncion", "Asia/Tehran",
]  # fmt: skip


def at(text: str) -> datetime:
    """An instant from ISO text, in UTC where nothing else is said."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def series(expression: str, zone: str, start: str, count: int) -> list[str]:
    """The next `count` times, as local ISO text."""
    found, moment = [], at(start)
    for _ in range(count):
        moment = next_cron(expression, zone, moment)
        found.append(moment.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes"))
    return found


@pytest.mark.parametrize(
    ("expression", "zone", "start", "expected"),
    [
        pytest.param(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00",
            ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"],
            id="a fixed time in a spring gap fires right after it",
        ),
        pytest.param(
            "0,20,40 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00",
            ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"],
            id="several fixed times in one gap collapse into one",
        ),
        pytest.param(
            "0 2,3 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00",
            ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"],
            id="a time right after the gap and one inside it are one",
        ),
        pytest.param(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00",
            ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"],
            id="a fixed time in an autumn fold fires on the first pass only",
        ),
        pytest.param(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-25T02:15+01:00",
            ["2026-10-26T02:30+01:00"],
            id="asked from inside the second pass, the first is over",
        ),
        pytest.param(
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-03-29T00:15",
            ["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"],
            id="steps leave out what a gap swallowed",
        ),
        pytest.param(
            "*/30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T22:00",
            ["2026-10-25T02:00+02:00", "2026-10-25T02:30+02:00", "2026-10-25T02:00+01:00", "2026-10-25T02:30+01:00", "2026-10-26T02:00+01:00"],
            id="steps fire in both passes of a fold",
        ),
        pytest.param(
            "@hourly",
            "Europe/Berlin",
            "2026-10-24T23:30",
            ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"],
            id="hourly is every hour of real time",
        ),
        pytest.param(
            "0 12 * * *",
            "Pacific/Apia",
            "2011-12-29T00:00-10:00",
            ["2011-12-29T12:00-10:00", "2011-12-31T12:00+14:00"],
            id="a day that is skipped whole fires nothing at a fixed time",
        ),
        pytest.param(
            "0 */12 30 12 *",
            "Pacific/Apia",
            "2011-12-29T00:00-10:00",
            ["2012-12-30T00:00+14:00", "2012-12-30T12:00+14:00"],
            id="a day that is skipped whole fires nothing by steps",
        ),
        pytest.param(
            "0 */2 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T12:30",
            ["2026-04-05T00:00+11:00", "2026-04-05T02:00+10:30", "2026-04-05T04:00+10:30"],
            id="a fold of half an hour hides no time",
        ),
        pytest.param(
            "0 0 * * *",
            "America/Sao_Paulo",
            "2018-11-03T12:00",
            ["2018-11-04T01:00-02:00", "2018-11-05T00:00-02:00"],
            id="a midnight that does not exist is one o'clock",
        ),
        pytest.param(
            "*/30 0 4 11 *",
            "America/Sao_Paulo",
            "2018-11-03T12:00",
            ["2019-11-04T00:00-03:00"],
            id="steps invent no midnight",
        ),
        pytest.param("0 0 * * 7", "UTC", "2026-01-01", ["2026-01-04T00:00+00:00", "2026-01-11T00:00+00:00"], id="seven is Sunday"),
        pytest.param("0 0 * * 0", "UTC", "2026-01-01", ["2026-01-04T00:00+00:00"], id="zero is Sunday"),
        pytest.param("0 0 * * fri-7", "UTC", "2026-01-02", ["2026-01-03T00:00+00:00", "2026-01-04T00:00+00:00", "2026-01-09T00:00+00:00"], id="names and numbers mix, in any case"),
        pytest.param("0 9 * * MON-FRI", "UTC", "2026-01-02T12:00", ["2026-01-05T09:00+00:00"], id="working days"),
        pytest.param("0 0 1 JAN,JUL *", "UTC", "2026-01-02", ["2026-07-01T00:00+00:00", "2027-01-01T00:00+00:00"], id="names of months"),
        pytest.param("0 0 13 * FRI", "UTC", "2026-02-01", ["2026-02-06T00:00+00:00", "2026-02-13T00:00+00:00", "2026-02-20T00:00+00:00", "2026-02-27T00:00+00:00", "2026-03-06T00:00+00:00", "2026-03-13T00:00+00:00"], id="two day fields are either or"),
        pytest.param("0 0 */2 * MON", "UTC", "2026-01-01", ["2026-01-05T00:00+00:00", "2026-01-19T00:00+00:00"], id="day fields of which one begins with a star are both"),
        pytest.param("0 0 29 2 *", "UTC", "2096-03-01", ["2104-02-29T00:00+00:00"], id="29 February skips 2100"),
        pytest.param("5-5 6 * * *", "UTC", "2026-01-01", ["2026-01-01T06:05+00:00", "2026-01-02T06:05+00:00"], id="a range of one is one"),
        pytest.param("@daily", "Asia/Kathmandu", "2026-01-01", ["2026-01-02T00:00+05:45"], id="daily is local midnight"),
        pytest.param("0 0 L * *", "UTC", "2026-02-01", ["2026-02-28T00:00+00:00", "2026-03-31T00:00+00:00"], id="the last day of the month"),
    ],
)  # fmt: skip
def test_it_fires_when_it_should(expression: str, zone: str, start: str, expected: list[str]) -> None:
    """The promises of the schedule page, one by one."""
    assert series(expression, zone, start, len(expected)) == expected


@pytest.mark.parametrize("macro", sorted(MACROS))
def test_macros_are_their_fields(macro: str) -> None:
    """Every macro that admission lets through is known, and means what cron(8) says."""
    assert re.match(CRON_PATTERN, macro)
    for zone in ZONES:
        assert series(macro, zone, "2026-03-01", 5) == series(MACROS[macro], zone, "2026-03-01", 5)


@pytest.mark.parametrize(
    "expression",
    [
        "", "* * * *", "* * * * * *", "@reboot", "@every 5m", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *",
        "* * * * 8", "*/0 * * * *", "5-1 * * * *", "a * * * *", "1, * * * *", "-1 * * * *", "* * * * MON-", "1.5 * * * *", "٣ * * * *",
        "0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 30-31 FEB *", "0 0 31 4 */2", "9" * 4000 + " * * * *", "* * * * 1#6", "* * * * LL",
    ],
    ids=lambda expression: expression[:30] or "nothing",
)  # fmt: skip
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    """Refused with what to do instead, when it is created, not when it does not fire."""
    with pytest.raises(InvalidSchedule, match="five fields"):
        next_cron(expression, "Europe/Berlin", at("2026-01-01"))


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "Europe/", "../etc/passwd", "/etc/passwd", "Europe/Berlin\0", "europe", "x" * 5000])
def test_a_zone_nobody_knows_is_refused(zone: str) -> None:
    """Also where it is no name at all but a path."""
    with pytest.raises(InvalidSchedule, match="tz database"):
        next_cron("@daily", zone, at("2026-01-01"))


def test_a_time_that_every_spring_swallows_is_refused_in_bounded_time() -> None:
    """The second Sunday of March at two never exists in New York, for stars; half a century is searched in no time."""
    started = time.process_time()
    with pytest.raises(InvalidSchedule, match="never fires"):
        next_cron("* 2 8-14 3 */7", "America/New_York", at("2026-01-01"))
    assert time.process_time() - started < 5


@settings(deadline=2000)
@given(st.text(st.sampled_from("0123456789*/-,#LWMONJAFEBSUT @ ?"), max_size=40))
def test_any_expression_is_answered_or_refused(expression: str) -> None:
    """Nothing but an answer or InvalidSchedule comes out, and soon."""
    with suppress(InvalidSchedule):
        assert next_cron(expression, "Europe/Berlin", at("2026-01-01")) > at("2026-01-01")


def test_seconds_of_the_instant_asked_from_do_not_matter() -> None:
    """A fraction before the minute is before it, the minute itself is not."""
    assert next_cron("0 6 * * *", "UTC", at("2026-01-01T05:59:59.999999")) == at("2026-01-01T06:00")
    assert next_cron("0 6 * * *", "UTC", at("2026-01-01T06:00")) == at("2026-01-02T06:00")
    assert next_cron("* * * * *", "UTC", at("2026-01-01T05:59:59.999999")) == at("2026-01-01T06:00")
    assert next_cron("* * * * *", "UTC", at("2026-01-01T06:00")) == at("2026-01-01T06:01")


# A second implementation, slow and plain, from the words of the promise.

FIELDS = st.tuples(
    st.sampled_from(["*", "*/15", "*/7", "0", "30", "0,30", "10-50/20", "59"]),
    st.sampled_from(["*", "*/2", "*/5", "0", "1", "2", "3", "1-3", "23", "0,12"]),
    st.sampled_from(["*", "*", "*/2", "1-15", "31", "28-31"]),
    st.sampled_from(["*", "*", "3,4,10,11,12", "1-6"]),
    st.sampled_from(["*", "*", "SUN", "1-5", "*/3", "7"]),
)
LOW_HIGH = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
SUNDAYS = 7


def _values(field: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in field.replace("SUN", "0").split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        found.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


def _matcher(expression: str) -> Callable[[datetime], bool]:
    """Whether a wall-clock time matches: five sets and the either-or of the day fields."""
    fields = expression.split()
    minutes, hours, days, months, weekdays = (_values(field, *bounds) for field, bounds in zip(fields, LOW_HIGH, strict=True))
    both = fields[2].startswith("*") or fields[4].startswith("*")

    def matches(wall: datetime) -> bool:
        weekday = bool({wall.isoweekday(), wall.isoweekday() % SUNDAYS} & weekdays)
        day = (wall.day in days and weekday) if both else (wall.day in days or weekday)
        return wall.minute in minutes and wall.hour in hours and wall.month in months and day

    return matches


def _plain_series(expression: str, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """All times in (start, end], by looking at every minute from a day before on, to know what has passed."""
    matches = _matcher(expression)
    walls = {}
    begin_of_walk = moment = (start - timedelta(days=1)).replace(second=0, microsecond=0)
    while moment <= end + timedelta(days=2):
        moment += MINUTE
        walls[moment] = moment.astimezone(zone).replace(tzinfo=None)
    if "*" in (expression[0], expression.split()[1][0]):
        return [moment for moment, wall in walls.items() if matches(wall) and start < moment <= end]
    fired = set()
    passed: set[datetime] = set()
    previous = begin_of_walk.astimezone(zone).replace(tzinfo=None)
    for moment, wall in walls.items():
        begin = min(previous + MINUTE, wall)
        skipped = [begin + MINUTE * step for step in range((wall - begin) // MINUTE + 1)]
        whole_days = {
            day for day in {gone.date() for gone in skipped} if len([gone for gone in skipped[:-1] if gone.date() == day]) == 24 * 60
        }
        hit = [gone for gone in skipped if matches(gone) and gone not in passed and gone.date() not in whole_days]
        passed.update(hit)
        if hit:
            fired.add(moment)
        previous = wall
    return sorted(moment for moment in fired if start < moment <= end)


@settings(max_examples=40)
@given(
    FIELDS.map(" ".join),
    st.sampled_from(ZONES),
    st.datetimes(datetime(2008, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds the zone
    st.data(),
)
def test_it_agrees_with_a_walk_through_every_minute(expression: str, zone_name: str, moment: datetime, data: st.DataObject) -> None:
    """Around the changes of clocks of all kinds, and elsewhere, the times are those a plain walk finds."""
    zone = ZoneInfo(zone_name)
    change = _change_of_clocks_after(moment, zone)
    shift = data.draw(st.integers(1, 30 * 60), label="minutes before the change")
    start = (change or moment) - MINUTE * shift
    assume(_starts_cleanly(start - timedelta(days=1), zone))
    end = start + timedelta(days=2)
    found = []
    try:
        upcoming = next_cron(expression, zone_name, start)
        while upcoming <= end:
            found.append(upcoming)
            upcoming = next_cron(expression, zone_name, upcoming)
    except InvalidSchedule:
        assert not _plain_series(expression, zone, start, end)
        return
    assert found == _plain_series(expression, zone, start, end)


def _change_of_clocks_after(moment: datetime, zone: ZoneInfo) -> datetime | None:
    offset = moment.astimezone(zone).utcoffset()
    for day in range(400):
        if (moment + timedelta(days=day)).astimezone(zone).utcoffset() != offset:
            return moment + timedelta(days=day)
    return None


def _starts_cleanly(start: datetime, zone: ZoneInfo) -> bool:
    """The plain walk remembers only what it saw, so that it must not begin inside a second pass."""
    return all((start + MINUTE * step).astimezone(zone).fold == 0 for step in (0, 1))


@settings(max_examples=60)
@given(
    FIELDS.map(" ".join),
    st.sampled_from(ZONES),
    st.datetimes(datetime(2008, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds the zone
    st.lists(st.integers(0, 99).map(lambda percent: percent / 100), min_size=1, max_size=5),
)
def test_asking_from_any_instant_in_between_gives_the_same_series(
    expression: str, zone: str, moment: datetime, shares: list[float]
) -> None:
    """The next time depends on the schedule and the instant alone, so that a restart changes nothing; times only grow."""
    try:
        parse_cron(expression)
    except InvalidSchedule:
        return
    moment = _change_of_clocks_after(moment, ZoneInfo(zone)) or moment
    previous = moment - timedelta(days=1)
    for share in shares:
        upcoming = next_cron(expression, zone, previous)
        assert upcoming > previous
        between = previous + (upcoming - previous) * share
        assert next_cron(expression, zone, between) == upcoming
        assert next_cron(expression, zone, upcoming - timedelta(microseconds=1)) == upcoming
        previous = upcoming
