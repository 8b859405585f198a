"""Read-only access to an embedded database: creates, migrates and locks nothing, and needs no SQLAlchemy.

For callers that must be fast (shell completion of run names) or must not modify the file (`mintaka doctor`).
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote
from uuid import UUID

from mintaka_core.errors import MintakaError
from mintaka_history.schema_revisions import SchemaNotUsable, Use, sqlite_revision, use_of
from mintaka_history.sqlite_replacement import new_name

if TYPE_CHECKING:
    from pathlib import Path

_BUSY_SECONDS = 1.0


class Unreadable(MintakaError):
    """The file cannot be read as a Mintaka database; the message says why."""


class Superseded(Unreadable):
    """The file has a schema older than the baseline: the next run or command renames it and begins a new one."""


class FileSummary(NamedTuple):
    """The schema's revision and the number of flow runs."""

    revision: str
    flow_runs: int


def summary_of(path: Path) -> FileSummary:
    """A summary of the file `path`.

    Raises:
        Unreadable: it does not exist, is damaged or not a Mintaka database, or needs a newer release.
        Superseded: its schema is older than the baseline.
    """
    with closing(_opened(path)) as connection:
        try:
            revision = _revision(path, connection)
            (count,) = connection.execute("SELECT count(*) FROM flow_runs").fetchone()
        except (sqlite3.Error, TypeError) as error:
            message = f"{path} is not a history database of Mintaka: {error}"
            raise Unreadable(message) from error
    return FileSummary(str(revision), int(count))


def newest_names(path: Path, prefix: str, limit: int) -> list[tuple[str, str]]:
    """Name and uid of the newest flow runs whose name or uid begins with `prefix`, newest first.

    Raises:
        Unreadable: see `summary_of`.
    """
    query = "SELECT name, uid FROM flow_runs WHERE name LIKE ?1 ESCAPE '|' OR uid LIKE ?2 ESCAPE '|' ORDER BY created DESC LIMIT ?3"
    name_like = "".join(f"|{letter}" if letter in "%_|" else letter for letter in prefix) + "%"
    with closing(_opened(path)) as connection:
        try:
            _revision(path, connection)
            found = connection.execute(query, (name_like, name_like.replace("-", ""), limit)).fetchall()
        except sqlite3.Error as error:
            message = f"{path}: {error}"
            raise Unreadable(message) from error
    return [(str(name), str(UUID(uid))) for name, uid in found]


def _revision(path: Path, connection: sqlite3.Connection) -> str:
    revision, oldest = sqlite_revision(connection)
    try:
        use = use_of(revision, oldest)
    except SchemaNotUsable as error:
        message = f"{path}: {error}"
        raise Unreadable(message) from error
    if use is Use.REPLACE:
        message = (
            f"{path} has the schema of an older release (revision {revision}): the next run or command of this release renames it to "
            f"{new_name(path).name} and begins a new one; the older release can still read it there"
        )
        raise Superseded(message)
    if revision is None:
        message = f"{path} is not a history database of Mintaka: it is empty"
        raise Unreadable(message)
    return revision


def _opened(path: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
    except sqlite3.Error as error:
        message = f"{path} cannot be opened: {error}"
        raise Unreadable(message) from error
