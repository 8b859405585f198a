"""Names of time zones: what was meant is suggested, what is easily mistaken is said."""

from __future__ import annotations

import pytest

from mintaka_core.errors import InvalidSchedule
from mintaka_core.time_zones import advice, zone_of


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("Germany/Berlin", "Europe/Berlin"),
        ("America/NewYork", "America/New_York"),
        ("New York", "America/New_York"),
        ("Asia/Kolkatta", "Asia/Kolkata"),
        ("US/Pacific-New", "US/Pacific"),
        ("PST", "America/Los_Angeles"),
        ("cest", "Europe/Berlin"),
        ("utc", "UTC"),
        ("Z", "UTC"),
        ("UTC+2", "Etc/GMT-2"),
        ("GMT+5", "Etc/GMT-5"),
        ("gmt-05", "Etc/GMT+5"),
        ("+0200", "Etc/GMT-2"),
    ],
)
def test_an_unknown_name_suggests_the_one_that_was_meant(name: str, meant: str) -> None:
    """Misspelt, an abbreviation, an offset, or no longer in the database."""
    with pytest.raises(InvalidSchedule, match=r"is not in the tz database: did you mean") as error:
        zone_of(name)
    assert f"did you mean {meant}?" in str(error.value)
    assert zone_of(meant)


@pytest.mark.parametrize(
    "name", ["", "x", "Mars/Olympus", "UTC+99", "UTC+0530", "Europe", "../etc/passwd", "/etc/localtime", "localtime", "Factory", "x" * 64]
)
def test_a_name_that_comes_near_nothing_names_the_database(name: str) -> None:
    """Also one that would be the zone of whichever machine computes."""
    with pytest.raises(InvalidSchedule, match="is not in the tz database: use one of its names, such as Europe/Berlin"):
        zone_of(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("EST", "EST has no summer time: America/New_York is the zone whose clocks change."),
        ("MST", "MST has no summer time: America/Denver is the zone whose clocks change."),
        ("Etc/GMT+5", "Etc/GMT+5 is 5 h behind UTC (the sign of these names is reversed)"),
        ("Etc/GMT-14", "Etc/GMT-14 is 14 h ahead of UTC"),
    ],
)
def test_a_zone_that_is_easily_mistaken_comes_with_a_word(name: str, words: str) -> None:
    """What it is, and what is meant more often."""
    assert zone_of(name)
    assert words in advice(name)


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "EST5EDT", "HST", "Etc/GMT+0", "Etc/UTC", "Asia/Tokyo"])
def test_an_ordinary_zone_comes_without_one(name: str) -> None:
    """There is nothing to mistake."""
    assert zone_of(name)
    assert advice(name) == ""


def test_the_suggestion_of_an_offset_says_what_it_is() -> None:
    """Its sign looks wrong."""
    with pytest.raises(
        InvalidSchedule, match=r"did you mean Etc/GMT-2\? Etc/GMT-2 is 2 h ahead of UTC \(the sign of these names is reversed\)"
    ):
        zone_of("UTC+2")
