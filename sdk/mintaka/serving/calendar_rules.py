"""Recurrence rules (RFC 5545) of the SDK as those of a schedule of a FlowDeployment."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from mintaka.exceptions import InvalidSettingError
from mintaka_core.errors import InvalidSchedule
from mintaka_core.schedules import next_recurrence

_START_ZONE = re.compile(r"\bDTSTART[^:\s]*;TZID=([^;:\s]+)", re.IGNORECASE)
_START_IN_UTC = re.compile(r"\bDTSTART[^:\s]*:\S+Z(\s|$)", re.IGNORECASE)


def calendar_schedule(text: str, zone: str, now: datetime) -> dict[str, Any]:
    """The rule as `rrule` and `timeZone`, which is that of its DTSTART, else `zone`.

    Raises:
        InvalidSettingError: it cannot be read, or has no time after `now`.
    """
    named = _START_ZONE.search(text)
    zone = named[1] if named else "UTC" if _START_IN_UTC.search(text) else zone
    try:
        next_recurrence(text, zone, now)
    except InvalidSchedule as error:
        raise InvalidSettingError(str(error)) from error
    return {"rrule": "\n".join(text.split()), "timeZone": zone}


def instant_text(instant: datetime) -> str:
    """An aware time as in manifests: RFC 3339 in UTC."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
