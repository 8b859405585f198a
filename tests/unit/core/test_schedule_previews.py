"""What a schedule means: a sentence, and notes when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mintaka_core.resources.schedules import Schedule
from mintaka_core.schedule_previews import preview, sentence_of

#: kind, schedule, sentence.
SENTENCES: list[tuple[str, dict[str, Any], str]] = [
    ("cron", {"cron": "0 6 * * MON-FRI"}, "At 06:00 on Monday through Friday, by the clock of Europe/Berlin"),
    ("a macro", {"cron": "@daily"}, "Daily (0 0 * * *), by the clock of Europe/Berlin"),
    ("elapsed time", {"interval": "15m"}, "Every 15 minutes of elapsed time, counted from 2020-01-01 01:00:00+01:00"),
    ("a day", {"interval": "P1D"}, "Every day with its time of day by the clock of Europe/Berlin, counted from 2020-01-01 01:00:00+01:00"),
    ("years and months", {"interval": "P1Y2M", "anchor": "2026-01-31T05:00:00Z"},
     "Every 1 year and 2 months with its time of day by the clock of Europe/Berlin, counted from 2026-01-31 06:00:00+01:00"),
    ("a rule", {"rrule": "FREQ=MONTHLY;BYDAY=2FR;BYHOUR=9;BYMINUTE=30"},
     "Every month on the second Friday at 09:30, by the clock of Europe/Berlin"),
    ("the last day of some months", {"rrule": "FREQ=MONTHLY;BYMONTH=3,6;BYMONTHDAY=-1;BYHOUR=18"},
     "Every month in March and June on day the last of the month at 18:00, by the clock of Europe/Berlin"),
    ("a rule with an end", {"rrule": "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR;UNTIL=20300101T000000"},
     "Every 2 weeks on Monday and Friday at 00:00 from 2020-01-01 00:00 until 2030-01-01 00:00, by the clock of Europe/Berlin"),
    ("exceptions", {"rrule": "RRULE:FREQ=DAILY;BYHOUR=6\nEXDATE:20260101T060000,20260102T060000\nRDATE:20260101T070000"},
     "Every day at 06:00; also 1 time of its own (RDATE); without 2 exceptions (EXDATE), by the clock of Europe/Berlin"),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "sentence"), [case[1:] for case in SENTENCES], ids=[case[0] for case in SENTENCES])
def test_a_schedule_in_words(schedule: dict[str, Any], sentence: str) -> None:
    """As `mintaka schedule preview` prints it."""
    assert sentence_of(Schedule.model_validate({"name": "s", "timeZone": "Europe/Berlin", **schedule})) == sentence


#: kind, schedule, start, the times with their notes.
NOTES: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("moved", {"cron": "30 2 * * *"}, "2026-03-28T12:00",
     ["03-29T03:00 clocks go forward on 2026-03-29: 02:30 does not exist, moved to 03:00", "03-30T02:30 "]),
    ("moved by a rule", {"rrule": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30"}, "2026-03-28T12:00",
     ["03-29T03:30 clocks go forward on 2026-03-29: 02:30 does not exist, moved to 03:30", "03-30T02:30 "]),
    ("moved by an interval", {"interval": "P1D", "anchor": "2026-01-01T01:30:00Z"}, "2026-03-28T12:00",
     ["03-29T03:30 clocks go forward on 2026-03-29: 02:30 does not exist, moved to 03:30", "03-30T02:30 "]),
    ("skipped", {"cron": "*/30 * * * *"}, "2026-03-29T00:45",
     ["03-29T03:00 clocks go forward on 2026-03-29: 02:00, 02:30 do not exist, skipped", "03-29T03:30 "]),
    ("repeated", {"cron": "*/30 2 * * *"}, "2026-10-24T23:00",
     ["10-25T02:00 clocks go back: 02:00 comes twice; this is the first pass",
      "10-25T02:30 clocks go back: 02:30 comes twice; this is the first pass",
      "10-25T02:00 clocks go back: 02:00 comes twice; this is the second pass",
      "10-25T02:30 clocks go back: 02:30 comes twice; this is the second pass", "10-26T02:00 "]),
    ("once of two passes", {"cron": "30 2 * * *"}, "2026-10-24T12:00",
     ["10-25T02:30 clocks go back: 02:30 comes twice; this is the first pass, and the only one that fires", "10-26T02:30 "]),
    ("elapsed time", {"interval": "PT24H"}, "2026-03-28T12:00", ["03-29T01:00 ", "03-30T02:00 "]),
    ("an end", {"rrule": "FREQ=DAILY;UNTIL=20260330"}, "2026-03-29T12:00", ["03-30T00:00 "]),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "start", "times"), [case[1:] for case in NOTES], ids=[case[0] for case in NOTES])
def test_times_for_which_clocks_change_have_a_note(schedule: dict[str, Any], start: str, times: list[str]) -> None:
    """The others have none."""
    model = Schedule.model_validate({"name": "s", "timeZone": "Europe/Berlin", **schedule})
    found = preview(model, datetime.fromisoformat(start).replace(tzinfo=UTC), len(times) if len(times) > 1 else 3)
    assert [f"{each.time:%m-%dT%H:%M} {each.note}" for each in found] == times
