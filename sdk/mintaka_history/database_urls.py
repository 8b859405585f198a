"""Parses URLs of databases, as users write them: `sqlite:///FILE`, `postgresql://USER:PASSWORD@HOST:PORT/NAME?OPTION=VALUE`.

A password with `%@:/#?&+` and blanks should be percent-encoded, or given apart (`password`), which needs no encoding. One that is not encoded
is understood as far as it is unambiguous: it ends at the last `@` before the query, and a `%` without two digits behind it is a literal `%`.
No message contains the URL or a part of it that may belong to a password.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from sqlalchemy import exc, make_url

from mintaka_core.errors import MintakaError

if TYPE_CHECKING:
    from sqlalchemy import URL

_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "sqlite": "sqlite+pysqlite"}
_HINT = "use sqlite:///FILE or postgresql://USER@HOST:PORT/NAME; percent-encode special characters, or give the password apart (MINTAKA_DATABASE_PASSWORD)"
_STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


class InvalidDatabaseUrl(MintakaError):
    """The URL cannot be used; the message does not repeat it."""


def parse(text: str, password: str | None = None) -> URL:
    """`text` as a URL with the drivers that we use: psycopg 3 and the standard library's sqlite3; `password` replaces the one in it.

    Raises:
        InvalidDatabaseUrl: it cannot be parsed, or is not of a database that is supported.
    """
    scheme, separator, rest = text.strip().partition("://")
    backend = scheme.partition("+")[0].lower()
    if not separator or backend not in _DRIVERS:
        named = f"database {backend!r} is not supported" if separator and backend.isalnum() else "the database's URL cannot be parsed"
        message = f"{named}: {_HINT}"
        raise InvalidDatabaseUrl(message)
    try:
        url = make_url(f"{_DRIVERS[backend]}://{_encoded(rest) if backend != 'sqlite' else rest}")
    except (exc.ArgumentError, ValueError):
        message = f"the database's URL cannot be parsed: {_HINT}"
        raise InvalidDatabaseUrl(message) from None  # its text may contain the password
    return url if password is None or backend == "sqlite" else url.set(password=password)


def _encoded(rest: str) -> str:
    """What follows `://`, with user and password percent-encoded."""
    end = rest.rfind("@", 0, rest.find("?") if "?" in rest else len(rest))
    if end < 0:
        end = rest.rfind("@") if "?" in rest and "/" not in rest[: rest.find("?")] else -1
    if end < 0:
        return rest
    user, colon, password = rest[:end].partition(":")
    return f"{_quoted(user)}{colon}{_quoted(password)}{rest[end:]}"


def _quoted(word: str) -> str:
    return quote(unquote(_STRAY_PERCENT.sub("%25", word)), safe="")
