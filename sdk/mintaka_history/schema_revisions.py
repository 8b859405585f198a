"""Which schemas this release can use. A database says two things about its schema: the revision, and the oldest revision whose code can use it.

Each release's schema serves the code of the release before it (expand, migrate, contract), so that old replicas survive a rolling
update: a newer schema is usable until a migration raises `oldest` above this release's revision. Schemas older than the baseline
are of the time before the first release and are replaced, not migrated. Only the standard library is needed: scripts check this when
they start.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING

from mintaka_core.errors import MintakaError
from mintaka_history.sqlite_schema import BASELINE, HEAD

if TYPE_CHECKING:
    import sqlite3

_REVISION = re.compile(r"\d{4}")


class SchemaNotUsable(MintakaError):
    """The database has a schema that this release neither uses nor migrates; the message says what to do. Nothing was changed."""


class Use(Enum):
    """What has to be done before a schema can be used."""

    CREATE = auto()
    REPLACE = auto()
    MIGRATE = auto()
    CURRENT = auto()
    NEWER = auto()


def use_of(revision: str | None, oldest: str | None) -> Use:
    """What to do with a schema of `revision` (None: empty), usable by code of `oldest` or newer (None: it does not say).

    Raises:
        SchemaNotUsable: it is not a schema of Mintaka, or needs a newer release.
    """
    if revision is None:
        return Use.CREATE
    if not _REVISION.fullmatch(revision):
        message = (
            f"its revision {revision!r} is not one of Mintaka's: another program stores its tables here; give Mintaka a database of its own"
        )
        raise SchemaNotUsable(message)
    if revision < BASELINE:
        return Use.REPLACE
    if revision <= HEAD:
        return Use.CURRENT if revision == HEAD else Use.MIGRATE
    if oldest is None or oldest > HEAD:
        message = (
            f"its schema has revision {revision} and needs a release whose own revision is {oldest or revision} or newer, this one's is "
            f"{HEAD}: upgrade Mintaka"
        )
        raise SchemaNotUsable(message)
    return Use.NEWER


def sqlite_revision(connection: sqlite3.Connection) -> tuple[str | None, str | None]:
    """The schema's revision and the oldest one that can use it; (None, None) in an empty file.

    Raises:
        sqlite3.DatabaseError: it is a database, but not one of Mintaka.
    """
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    tables = {name for name in names if not name.startswith("sqlite_")}  # SQLite's own, which outlive the tables that they serve
    if not tables:
        return None, None
    if "alembic_version" not in tables:
        message = "it is a database, but not one of Mintaka"
        raise connection.DatabaseError(message)
    revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    oldest = connection.execute("SELECT oldest FROM schema_compatibility").fetchone() if "schema_compatibility" in tables else None
    return (str(revision[0]) if revision else None), (str(oldest[0]) if oldest else None)
