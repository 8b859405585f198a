"""Schedules as admission judges them, in a cluster and in the local server alike."""

from __future__ import annotations

from typing import Any

import pytest

from mintaka_validation import InvalidDocument, validate_new

#: kind, schedule, words of the message ("": it is accepted).
SCHEDULES: list[tuple[str, dict[str, Any], str]] = [
    ("a rule", {"rrule": "FREQ=MONTHLY;BYDAY=2FR;BYHOUR=9"}, ""),
    ("lines", {"rrule": "DTSTART:20260101T060000\nRRULE:FREQ=DAILY\nEXDATE:20260105T060000"}, ""),
    ("a rule in lower case", {"rrule": "freq=daily"}, ""),
    ("dates alone", {"rrule": "RDATE:20300101T060000"}, ""),
    ("an interval of a rule", {"rrule": "FREQ=DAILY;INTERVAL=10"}, ""),
    ("no rule", {"rrule": "daily"}, "rrule takes rules of RFC 5545"),
    ("an unknown frequency", {"rrule": "FREQ=SOMETIMES"}, "rrule takes rules of RFC 5545"),
    ("INTERVAL=0", {"rrule": "FREQ=DAILY;INTERVAL=0"}, "INTERVAL of a rule is 1 or more"),
    ("INTERVAL=00 in between", {"rrule": "FREQ=DAILY;INTERVAL=00;BYHOUR=6"}, "INTERVAL of a rule is 1 or more"),
    ("a day", {"interval": "P1D"}, ""),
    ("all units", {"interval": "P1Y2M3W4DT5H6M7.5S"}, ""),
    ("minutes", {"interval": "PT15M"}, ""),
    ("Go's notation", {"interval": "1h30m"}, ""),
    ("less than a second", {"interval": "PT0.5S"}, "interval is a duration of at least one second"),
    ("nothing", {"interval": "P0D"}, "interval is a duration of at least one second"),
    ("no unit", {"interval": "PT"}, "interval is a duration of at least one second"),
    ("a time without units", {"interval": "P1DT"}, "interval is a duration of at least one second"),
    ("units in the wrong order", {"interval": "P1D1M"}, "interval is a duration of at least one second"),
    ("two kinds", {"interval": "P1D", "rrule": "FREQ=DAILY"}, "exactly one of cron, interval and rrule"),
    ("no kind", {}, "exactly one of cron, interval and rrule"),
    ("an anchor of a rule", {"rrule": "FREQ=DAILY", "anchor": "2026-01-01T00:00:00Z"}, "anchor belongs to an interval"),
    ("all, with a limit", {"cron": "@daily", "catchUp": "All", "catchUpLimit": 5}, ""),
    ("a limit without all", {"cron": "@daily", "catchUpLimit": 5}, "catchUpLimit belongs to catchUp: All"),
    ("an unknown catchUp", {"cron": "@daily", "catchUp": "Some"}, "supported values"),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "words"), [case[1:] for case in SCHEDULES], ids=[case[0] for case in SCHEDULES])
def test_a_schedule_is_accepted_or_refused_with_its_reason(schedule: dict[str, Any], words: str) -> None:
    """By the rules of the CRD."""
    document = {
        "apiVersion": "mintaka.dev/v1alpha1",
        "kind": "FlowDeployment",
        "metadata": {"name": "etl", "namespace": "default"},
        "spec": {"entrypoint": "m:f", "schedules": [{"name": "s", **schedule}]},
    }
    if not words:
        validate_new("FlowDeployment", document)
        return
    with pytest.raises(InvalidDocument, match=words):
        validate_new("FlowDeployment", document)
