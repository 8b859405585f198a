"""Time zones by their names in the tz database, suggestions for misspelled names, and warnings about misleading ones."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from mintaka_core.errors import InvalidSchedule

#: Names in the database that stand for no place: the machine's zone, and the placeholder until one is chosen.
_NO_PLACES = frozenset({"localtime", "posixrules", "Factory"})
#: Common abbreviations, with the places that are meant most often.
_MEANT = {
    "EDT": "America/New_York", "CST": "America/Chicago", "CDT": "America/Chicago", "MDT": "America/Denver", "PST": "America/Los_Angeles",
    "PDT": "America/Los_Angeles", "AKST": "America/Anchorage", "AKDT": "America/Anchorage", "AST": "America/Halifax", "ADT": "America/Halifax",
    "BRT": "America/Sao_Paulo", "ART": "America/Argentina/Buenos_Aires", "BST": "Europe/London", "IST": "Asia/Kolkata", "WEST": "Europe/Lisbon",
    "CEST": "Europe/Berlin", "MEZ": "Europe/Berlin", "MESZ": "Europe/Berlin", "EEST": "Europe/Helsinki", "MSK": "Europe/Moscow",
    "SAST": "Africa/Johannesburg", "GST": "Asia/Dubai", "PKT": "Asia/Karachi", "SGT": "Asia/Singapore", "HKT": "Asia/Hong_Kong",
    "JST": "Asia/Tokyo", "KST": "Asia/Seoul", "AWST": "Australia/Perth", "ACST": "Australia/Adelaide", "AEST": "Australia/Sydney",
    "AEDT": "Australia/Sydney", "NZST": "Pacific/Auckland", "NZDT": "Pacific/Auckland", "Z": "UTC",
}  # fmt: skip
#: Names in the database with a fixed offset, although the clocks of the place they suggest change.
_FIXED = {"EST": "America/New_York", "MST": "America/Denver"}
_OFFSET = re.compile(r"(?:UTC|GMT|Z)?([+-])0?([0-9]{1,2})(?:00)?", re.IGNORECASE)
_ETC = re.compile(r"Etc/GMT([+-])([0-9]+)")
#: The similarity from which a name is suggested (difflib's measure).
_ALIKE = 0.8


def zone_of(name: str) -> ZoneInfo:
    """The zone named `name`; raises InvalidSchedule with a suggestion."""
    if name not in _NO_PLACES:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    meant = suggestion(name)
    if not meant:
        hint = "use one of its names, such as Europe/Berlin"
    else:
        hint = f"did you mean {meant}?" + (f" {said}" if (said := advice(meant)) else "")
    message = f"time zone {name!r} is not in the tz database: {hint}"
    raise InvalidSchedule(message)


def advice(name: str) -> str:
    """A sentence about the unexpected behaviour of the zone named `name`; "" if its behaviour is as expected."""
    if name in _FIXED:
        return f"{name} has no summer time: {_FIXED[name]} is the zone whose clocks change."
    if (etc := _ETC.fullmatch(name)) is not None and etc[2] != "0":
        side = "behind" if etc[1] == "+" else "ahead of"
        return f"{name} is {etc[2]} h {side} UTC (the sign of these names is reversed) and has no summer time: for local time name a place."
    return ""


@lru_cache(maxsize=256)
def suggestion(name: str) -> str:
    """The name in the tz database that was probably meant by `name`; "" if none is similar."""
    if name.upper() in _MEANT:
        return _MEANT[name.upper()]
    names = _by_spelling()
    if (offset := _OFFSET.fullmatch(name)) is not None:
        sign = "-" if offset[1] == "+" else "+"
        return names.get(_spelling(f"Etc/GMT{sign}{int(offset[2])}"), "")
    wanted = _spelling(name)
    near = [wanted] if wanted in names else get_close_matches(wanted, names, 1, _ALIKE)
    if near:
        return names[near[0]]
    places = {spelling.rpartition("/")[2]: found for spelling, found in sorted(names.items(), reverse=True)}
    last = wanted.rpartition("/")[2]
    near = [last] if last in places else get_close_matches(last, places, 1, _ALIKE)
    return places[near[0]] if near else ""


@lru_cache(maxsize=1)
def _by_spelling() -> dict[str, str]:
    return {_spelling(name): name for name in sorted(available_timezones() - _NO_PLACES)}


def _spelling(name: str) -> str:
    """What is the same in two spellings of a name."""
    return name.casefold().replace(" ", "_")
