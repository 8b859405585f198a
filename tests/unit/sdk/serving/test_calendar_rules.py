"""Recurrence rules of the SDK as those of a schedule of a FlowDeployment."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mintaka.exceptions import InvalidSettingError
from mintaka.serving.calendar_rules import calendar_schedule

NOW = datetime(2026, 3, 3, 12, 30, tzinfo=UTC)

#: kind, rule, what the schedule has.
RULES = [
    ("a rule alone", "FREQ=DAILY;COUNT=9000", {"rrule": "FREQ=DAILY;COUNT=9000", "timeZone": "America/Chicago"}),
    ("lines", "DTSTART:20240101T093000\nRRULE:FREQ=DAILY\nEXDATE:20240102T093000",
     {"rrule": "DTSTART:20240101T093000\nRRULE:FREQ=DAILY\nEXDATE:20240102T093000", "timeZone": "America/Chicago"}),
    ("spaces instead of lines", "DTSTART:20240101T093000 RRULE:FREQ=DAILY",
     {"rrule": "DTSTART:20240101T093000\nRRULE:FREQ=DAILY", "timeZone": "America/Chicago"}),
    ("a zone of its own", "DTSTART;TZID=Europe/Berlin:20240101T070000 RRULE:FREQ=DAILY",
     {"rrule": "DTSTART;TZID=Europe/Berlin:20240101T070000\nRRULE:FREQ=DAILY", "timeZone": "Europe/Berlin"}),
    ("a start in UTC", "DTSTART:20240101T000000Z RRULE:FREQ=MINUTELY;INTERVAL=90",
     {"rrule": "DTSTART:20240101T000000Z\nRRULE:FREQ=MINUTELY;INTERVAL=90", "timeZone": "UTC"}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "schedule"), [case[1:] for case in RULES], ids=[case[0] for case in RULES])
def test_a_rule_is_a_schedule_as_it_is(rule: str, schedule: dict[str, str]) -> None:
    assert calendar_schedule(rule, "America/Chicago", NOW) == schedule


@pytest.mark.parametrize(
    "rule", ["daily", "FREQ=NEVER", "FREQ=DAILY;INTERVAL=0", "DTSTART:yesterday RRULE:FREQ=DAILY", "FREQ=DAILY;COUNT=2"]
)
def test_what_is_not_a_rule_is_refused(rule: str) -> None:
    with pytest.raises(InvalidSettingError, match=r"is not valid|has ended"):
        calendar_schedule(rule, "UTC", NOW)
