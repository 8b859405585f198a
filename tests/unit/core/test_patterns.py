"""Regular expressions of users: matched in linear time, or not at all."""

from __future__ import annotations

import pytest

from mintaka_core.patterns import matcher_of

MATCHES: dict[str, tuple[str, str, bool | None]] = {
    "somewhere in the text": ("b+", "abbc", True),
    "nowhere": ("^b", "abbc", False),
    "in linear time": ("^(a+)+$", "a" * 50_000 + "!", False),
    "not a pattern": ("((", "a", None),
    "lookaround": ("(?=a)", "a", None),
    "too large when compiled": ("(a{1000}){1000}", "a", None),
    "a back reference": (r"(a)\1", "aa", None),
    "half of a surrogate pair": ("a", "\ud800", None),
}


@pytest.mark.parametrize(("pattern", "text", "found"), MATCHES.values(), ids=MATCHES)
def test_a_pattern_matches_as_in_a_schema(pattern: str, text: str, found: bool | None) -> None:
    """None if that cannot be told in linear time."""
    matcher = matcher_of(pattern)
    assert (matcher(text) if matcher else None) is found
