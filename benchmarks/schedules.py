"""Milliseconds for the next time of a schedule, and for what was missed in a year's absence, by kind of schedule: processor time.

.venv/bin/python benchmarks/schedules.py
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from mintaka_core.reconciling.schedule_times import advance
from mintaka_core.resources.schedules import Schedule

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
ASKED = 2000
ABSENCES = 9
#: Not a multiple of anything, so that the starting points fall into every part of a day and of the year.
STEP = timedelta(hours=4, minutes=23, seconds=11)
KINDS = [
    {"cron": "* * * * *"},
    {"cron": "0 6 * * MON-FRI"},
    {"cron": "30 2 29 2 *"},
    {"cron": "*/7 3 * * 5L"},
    {"interval": "1s"},
    {"interval": "24h"},
    {"interval": "P1M"},
    {"interval": "PT90M"},
    {"rrule": "FREQ=SECONDLY;INTERVAL=30"},
    {"rrule": "FREQ=MINUTELY;INTERVAL=7"},
    {"rrule": "FREQ=HOURLY;BYHOUR=9,10;BYDAY=MO"},
    {"rrule": "FREQ=DAILY;BYHOUR=6"},
    {"rrule": "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR"},
    {"rrule": "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"},
    {"rrule": "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO"},
    {"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29"},
]


def main() -> None:
    """Print a line for each kind."""
    print(f"{'schedule (Europe/Berlin)':62} {'next p50':>9} {'p99':>7} {'year: Latest':>13} {'All':>7}  ms")
    everything: list[float] = []
    worst = 0.0
    for kind in KINDS:
        schedule = Schedule.model_validate({"name": "s", "timeZone": "Europe/Berlin", **kind})
        seconds = sorted(_seconds_of(schedule, START + number * STEP) for number in range(ASKED))
        everything += seconds
        absences = [_absence(Schedule.model_validate({**schedule.to_wire(), "catchUp": which})) for which in ("Latest", "All")]
        worst = max(worst, *absences)
        p50, p99 = seconds[ASKED // 2], seconds[ASKED * 99 // 100]
        print(f"{next(iter(kind.values())):62} {p50 * 1e3:9.3f} {p99 * 1e3:7.3f} {absences[0] * 1e3:13.1f} {absences[1] * 1e3:7.1f}")
    everything.sort()
    print(f"next time of any schedule: p99 {everything[len(everything) * 99 // 100] * 1e3:.3f} ms (at most 1)")
    print(f"a year's absence: at most {worst * 1e3:.1f} ms (at most 20)")


def _seconds_of(schedule: Schedule, after: datetime) -> float:
    started = time.thread_time()
    schedule.next_time(after)
    return time.thread_time() - started


def _absence(schedule: Schedule) -> float:
    """The median time for what was missed in a year."""
    known = advance(schedule, None, START).entry
    found = []
    for _ in range(ABSENCES):
        started = time.thread_time()
        advance(schedule, known, START + timedelta(days=365))
        found.append(time.thread_time() - started)
    return sorted(found)[ABSENCES // 2]


if __name__ == "__main__":
    main()
