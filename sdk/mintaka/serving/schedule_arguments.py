"""The schedules passed to `serve`, `to_deployment` and `deploy`, converted to those of a FlowDeployment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from mintaka.exceptions import InvalidSettingError
from mintaka.schedules import Cron, Interval, RRule, Schedule
from mintaka.serving.calendar_rules import calendar_schedule, instant_text
from mintaka_core.time_zones import zone_of

type Intervals = Iterable[int | float | timedelta] | int | float | timedelta
type Texts = Iterable[str] | str

#: The first seven days of a month, the next seven and so on: a day that matches both fields is the nth such weekday.
_WEEKS = {"1-7": 1, "8-14": 2, "15-21": 3, "22-28": 4}
_DAY_FIELD, _WEEKDAY_FIELD = 2, 4


def schedules_of(
    *,
    interval: Intervals | None = None,
    cron: Texts | None = None,
    rrule: Texts | None = None,
    schedule: Schedule | None = None,
    schedules: Iterable[Any] | None = None,
) -> tuple[Schedule, ...]:
    """The schedules in the arguments, of which one may be given; intervals as numbers are seconds.

    Raises:
        InvalidSettingError: several are given, or one is not a schedule.
    """
    arguments = {"interval": interval, "cron": cron, "rrule": rrule, "schedule": schedule, "schedules": schedules}
    given = {name: value for name, value in arguments.items() if value is not None}
    if len(given) > 1:
        message = f"of interval, cron, rrule, schedule and schedules one is given, not {' and '.join(given)}: schedules=[…] takes several"
        raise InvalidSettingError(message)
    if interval is not None:
        return tuple(Interval(each) for each in ([interval] if isinstance(interval, (int, float, timedelta)) else interval))
    if cron is not None:
        return tuple(Cron(each) for each in ([cron] if isinstance(cron, str) else cron))
    if rrule is not None:
        return tuple(RRule(each) for each in ([rrule] if isinstance(rrule, str) else rrule))
    if schedule is not None:
        return (_read(schedule),)
    return tuple(_read(each) for each in schedules or ())


def _read(given: Any) -> Schedule:
    """A schedule, or what Prefect accepts as one: `{"schedule": …, "active": …}`, or an object with the attributes of one."""
    if isinstance(given, Schedule):
        return given
    fields = dict(given) if isinstance(given, Mapping) else dict(getattr(given, "__dict__", {}))
    if (inner := fields.pop("schedule", None)) is not None:
        around = {key: value for key, value in fields.items() if key in ("active", "parameters", "slug") and value is not None}
        schedule = _read(inner)
        return Schedule(**{**_fields(schedule), **around})
    known = {key: value for key, value in fields.items() if key in Schedule.__dataclass_fields__ and value is not None}
    if not known.keys() & {"interval", "cron", "rrule"}:
        message = f"{given!r:.200} is not a schedule: use Cron, Interval or RRule of mintaka.schedules"
        raise InvalidSettingError(message)
    return Schedule(**known)


def _fields(schedule: Schedule) -> dict[str, Any]:
    return {name: getattr(schedule, name) for name in Schedule.__dataclass_fields__}


def manifest_schedules(schedules: Iterable[Schedule], now: datetime) -> list[dict[str, Any]]:
    """`spec.schedules`. An interval without an anchor has none; see `with_anchors`.

    Raises:
        InvalidSettingError: a schedule cannot be expressed, or a rule has ended by `now`.
    """
    found: list[dict[str, Any]] = []
    for index, schedule in enumerate(schedules):
        entry: dict[str, Any] = {"name": _name(schedule.slug, index, {one["name"] for one in found}), **_times(schedule, now)}
        if schedule.parameters:
            entry["parameters"] = schedule.parameters
        if not schedule.active:
            entry["suspend"] = True
        found.append(entry)
    return found


def with_anchors(schedules: Iterable[Mapping[str, Any]], existing: Iterable[Mapping[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """The same, each interval with an anchor: that of the schedule in `existing` with the same name and interval, else `now`.

    In Prefect an interval counts from the time of each call, so that a daily one whose program is started every
    morning never fires. Here it continues from the first call.
    """
    anchors = {(one.get("name"), one.get("interval")): one.get("anchor") for one in existing}
    return [
        {**one, "anchor": anchors.get((one["name"], one["interval"])) or instant_text(now.replace(microsecond=0))}
        if "interval" in one and "anchor" not in one
        else dict(one)
        for one in schedules
    ]


def _name(slug: str | None, index: int, taken: set[str]) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", (slug or "").lower()).strip("-")[:50].rstrip("-") or (
        "main" if index == 0 else f"schedule-{index + 1}"
    )
    return name if name not in taken else f"{name}-{index + 1}"


def _times(schedule: Schedule, now: datetime) -> dict[str, Any]:
    zone = schedule.timezone or "UTC"
    if schedule.rrule is not None:
        return calendar_schedule(schedule.rrule, zone, now)
    if schedule.cron is not None:
        return {"cron": schedule.cron if schedule.day_or else both_days(schedule.cron), "timeZone": zone}
    found: dict[str, Any] = {"interval": duration_text(schedule.interval or timedelta())}
    if (anchor := schedule.anchor_date) is not None:
        in_zone = anchor if anchor.tzinfo is not None else anchor.replace(tzinfo=zone_of(zone))
        found["anchor"] = instant_text(in_zone)
    return {**found, "timeZone": zone}


def both_days(cron: str) -> str:
    """An expression that fires on days that match both day fields of `cron`, as `day_or=False` requires.

    Raises:
        InvalidSettingError: there is no such expression: only weeks of a month (1-7, 8-14, …) together with weekdays have one.
    """
    fields = cron.split()
    if len(fields) <= _WEEKDAY_FIELD or fields[_DAY_FIELD].startswith("*") or fields[_WEEKDAY_FIELD].startswith("*"):
        return cron  # a macro, or one of the fields is every day
    week = _WEEKS.get(fields[_DAY_FIELD])
    weekdays = fields[_WEEKDAY_FIELD].split(",")
    if week is None or not all(re.fullmatch(r"[0-7]|[A-Za-z]{3}", weekday) for weekday in weekdays):
        message = (
            f"day_or=False of {cron!r} has no counterpart: days of the month can be 1-7, 8-14, 15-21 or 22-28, together with single weekdays; "
            "for anything else, have the flow check the date"
        )
        raise InvalidSettingError(message)
    fields[_DAY_FIELD], fields[_WEEKDAY_FIELD] = "*", ",".join(f"{weekday.upper()}#{week}" for weekday in weekdays)
    return " ".join(fields)


def duration_text(duration: timedelta) -> str:
    """A duration as in manifests, such as `1h30m` or `0.5s`."""
    hours, rest = divmod(duration, timedelta(hours=1))
    minutes, rest = divmod(rest, timedelta(minutes=1))
    seconds = f"{rest.total_seconds():.6f}".rstrip("0").rstrip(".")
    return "".join(text for text, amount in ((f"{hours}h", hours), (f"{minutes}m", minutes), (f"{seconds}s", rest)) if amount) or "0s"
