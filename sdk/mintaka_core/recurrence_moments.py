"""Times of RFC 5545: `20260401T060000`, with Z in UTC, and dates."""

from __future__ import annotations

from datetime import UTC, date, datetime


def parse_moment(text: str) -> datetime | date:
    """The time: aware if it ends with Z, else naive; or a date. Raises ValueError."""
    upper = text.upper()
    try:
        if "T" not in upper:
            return datetime.strptime(upper, "%Y%m%d").date()  # noqa: DTZ007 - a date
        found = datetime.strptime(upper.removesuffix("Z"), "%Y%m%dT%H%M%S")  # noqa: DTZ007 - wall-clock time
    except ValueError:
        message = f"{text!r:.40} is not a time such as 20260401T060000 or 20260401"
        raise ValueError(message) from None
    return found.replace(tzinfo=UTC) if upper.endswith("Z") else found
