"""URLs of databases, with passwords of every kind."""

from __future__ import annotations

import traceback
from urllib.parse import quote

import pytest

from mintaka_history.database_urls import InvalidDatabaseUrl, parse

#: Passwords with what separates the parts of a URL, and what else users' generators make.
PASSWORDS = {
    "a percent sign": "50%",
    "a percent sign before two digits": "a%41b",
    "an at sign": "p@ss",
    "a colon": "a:b",
    "a slash": "a/b",
    "a hash": "a#b",
    "a question mark": "a?b",
    "an ampersand": "a&b=c",
    "a plus": "a+b",
    "a blank": "a b",
    "quotes": """a"b'c""",
    "a backslash": "a\\b",
    "letters beyond ASCII": "pässwörd✓",
    "something like a URL": "postgresql://x:y@z:1/w?v#u",
    "all of them": """%@:/#?&+ "'=$\\%zz[]""",
}


@pytest.mark.parametrize("password", PASSWORDS.values(), ids=PASSWORDS)
def test_an_encoded_password_is_decoded(password: str) -> None:
    """As RFC 3986 has it."""
    url = parse(f"postgresql://u:{quote(password, safe='')}@host:5432/db?sslmode=require")
    assert (url.username, url.password, url.host, url.port, url.database) == ("u", password, "host", 5432, "db")
    assert dict(url.query) == {"sslmode": "require"}


@pytest.mark.parametrize("password", PASSWORDS.values(), ids=PASSWORDS)
def test_a_password_that_is_given_apart_is_taken_as_it_is(password: str) -> None:
    """It replaces the URL's."""
    for text in ("postgresql://u@host/db", "postgresql://u:other@host/db"):
        assert parse(text, password).password == password


@pytest.mark.parametrize("kind", [kind for kind, password in PASSWORDS.items() if "?" not in password and "%41" not in password])
def test_a_password_that_was_not_encoded_is_understood_as_far_as_it_is_unambiguous(kind: str) -> None:
    """All but a question mark before an at sign, and a percent sign before two hexadecimal digits."""
    url = parse(f"postgresql://u:{PASSWORDS[kind]}@host:5432/db?application_name=x")
    assert (url.username, url.password, url.host, url.port, url.database) == ("u", PASSWORDS[kind], "host", 5432, "db")


def test_an_at_sign_in_the_query_is_not_the_end_of_a_password() -> None:
    """Nor is one in the query of a URL without a user."""
    url = parse("postgresql://u:p@host/db?application_name=a@b")
    assert (url.password, url.host, url.query["application_name"]) == ("p", "host", "a@b")
    url = parse("postgresql://host/db?application_name=a@b")
    assert (url.username, url.host, url.query["application_name"]) == (None, "host", "a@b")


#: What cannot be used, and what a user reads.
REFUSED = {
    "no scheme": ("u:CANARY@host/db", "the database's URL cannot be parsed"),
    "an unknown database": ("mysql://u:CANARY@host/db", "database 'mysql' is not supported"),
    "a port that is not a number": ("postgresql://u:CANARY@host:port/db", "the database's URL cannot be parsed"),
    "a password as the scheme": ("CANARY:x://host/db", "the database's URL cannot be parsed"),
    "nothing": ("", "the database's URL cannot be parsed"),
    "a bracket that is not closed": ("postgresql://u:CANARY@[::1/db", "the database's URL cannot be parsed"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused_without_repeating_it(text: str, words: str) -> None:
    """Not in the message, not in the traceback."""
    with pytest.raises(InvalidDatabaseUrl) as refusal:
        parse(text)
    assert words in str(refusal.value)
    assert "CANARY" not in "".join(traceback.format_exception(refusal.value))
