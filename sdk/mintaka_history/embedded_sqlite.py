"""A SQLite file that many processes write concurrently, using only the standard library.

WAL, so that readers and the writer do not block each other; BEGIN IMMEDIATE, so that a transaction that has begun can be
finished; a long busy timeout, so that writers queue. `synchronous=NORMAL`: committed data survives any end of the process;
a power failure may lose the last transactions, but does not damage the file.

A new file gets the schema from a generated text (`schema.sql`); an older one is migrated by alembic, once, or renamed if it is older than
the baseline (`sqlite_replacement`).
"""

from __future__ import annotations

import errno
import logging
import sqlite3
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mintaka_core.errors import MintakaError
from mintaka_history import process_locks
from mintaka_history.batch_rows import names_of, rows_of_batch
from mintaka_history.maintenance import feed
from mintaka_history.schema_revisions import SchemaNotUsable, Use, sqlite_revision, use_of
from mintaka_history.sqlite_replacement import interrupted, replace_superseded
from mintaka_history.sqlite_schema import HEAD, statements
from mintaka_history.sqlite_wal import enable_wal
from mintaka_history.timestamps import now_microseconds
from mintaka_history.writing import names
from mintaka_history.writing.crashes import crash_abandoned
from mintaka_history.writing.restarts import claim, fail_overdue
from mintaka_history.writing.sessions import SqliteSession

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mintaka_history.batches import HistoryBatch
    from mintaka_history.writing.names import Name
    from mintaka_history.writing.restarts import Claim, NotClaimable

logger = logging.getLogger("mintaka.history")

_BUSY_SECONDS = 30.0
_PRAGMAS = ("synchronous=NORMAL", "foreign_keys=ON", "temp_store=MEMORY", "cache_size=-8192", "journal_size_limit=67108864")
#: The primary part of SQLite's result codes, and those codes that are transient.
_PRIMARY = 0xFF
_PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
#: The number of cached names at which the cache is cleared.
_REMEMBERED = 100_000
#: The most rows of the feed of changes that are deleted when a file is opened; a flow run adds about five.
_TRIMMED = 2_000


class HistoryUnreadable(MintakaError):
    """The file is damaged, not a Mintaka database, or of a release too new: its owner has to move it away or repair it, or to upgrade."""


class HistoryBusy(MintakaError):
    """The database cannot be written; nothing was. `passing` is True if a retry may succeed soon (locked, disk full)."""

    def __init__(self, message: str, *, passing: bool) -> None:
        super().__init__(message)
        self.passing = passing


class EmbeddedDatabase:
    """The history in the file `path`; for one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file, create, migrate or replace its schema, and record runs without a process as crashed.

        Raises:
            HistoryBusy: the file cannot be opened or written now.
            HistoryUnreadable: it is damaged, not a Mintaka database, or needs a newer release.
        """
        self.path = path
        self._ids: dict[tuple[int, str], int] = {}
        self._ids_since = time.monotonic()
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._connection, use = _opened(path)
            try:
                _prepare(self._connection)
                if use is Use.CREATE:
                    self._create()
                elif use is Use.MIGRATE:
                    _migrate(path)
                self._trim()
                self.holder = process_locks.own_number(f"{path}-holders")
                crash_abandoned(self, f"{path}-holders")
            except BaseException:
                self._connection.close()
                raise

    @contextmanager
    def writing(self) -> Iterator[SqliteSession]:
        """A transaction, committed at the end of the block.

        Raises:
            HistoryBusy: it could not be begun or committed.
            HistoryUnreadable: the file is damaged.
        """
        with _translated(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield SqliteSession(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def reading(self) -> SqliteSession:
        """A session for single SELECTs."""
        return SqliteSession(self._connection)

    def store_batch(self, uid: str, report: HistoryBatch, *, late: bool = False) -> int | None:
        """Store a report of the flow run `uid`; it is durable when this returns. Returns the highest report of its attempt that was
        stored before (0: none; None: not known).

        `late`: the report is of another process, which is gone.

        Raises:
            HistoryBusy: it could not be written now.
            HistoryUnreadable: the file is damaged.
            StaleAttempt: a newer attempt of the run has taken over.
            MalformedBatch: a called run is one of another flow run.
        """
        if time.monotonic() - self._ids_since >= names.CACHE_SECONDS:  # unused names are deleted (`maintenance.unused_names`)
            self._ids, self._ids_since = {}, time.monotonic()
        wanted = names_of(report)
        ids = self._ids
        missing = sorted(word for word in wanted if word not in ids)
        if missing:
            ids = self._ids_of(missing)
        rows = rows_of_batch(uid, report, ids_of(wanted, ids), holder=process_locks.NO_PROCESS if late else self.holder, late=late)
        with self.writing() as session:
            return rows.store(session)

    def crash_abandoned(self) -> int:
        """Record runs whose process is gone as CRASHED (returns their number), and runs suspended past their deadline as FAILED.

        Errors as for `writing`.
        """
        with _translated(self.path):
            fail_overdue(self)
            return crash_abandoned(self, f"{self.path}-holders")

    def restart(self, uid: str) -> Claim | NotClaimable | None:
        """Claim a run that is over or suspended for this process; see `restarts.claim`. Errors as for `writing`."""
        with self.writing() as session:
            return claim(session, uid, holder=self.holder)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _ids_of(self, missing: list[Name]) -> dict[tuple[int, str], int]:
        """All cached names and `missing`, which are committed first: the cache only ever contains committed names."""
        with self.writing() as session:
            new = names.assign_ids(session, missing)
        if len(self._ids) > _REMEMBERED:
            self._ids = {}
        self._ids |= new
        return self._ids

    def _trim(self) -> None:
        """Delete some old rows of the feed of changes, if there are any: no server does it for a file that only scripts use."""
        oldest = self._connection.execute("SELECT at FROM changes ORDER BY seq LIMIT 1").fetchone()
        if oldest is not None and oldest[0] < now_microseconds() - feed.AGE_MICROSECONDS:
            with suppress(HistoryBusy), self.writing() as session:
                feed.trim(session, now_microseconds(), at_once=_TRIMMED)

    def _create(self) -> None:
        """Create the schema, unless another process has done so meanwhile."""
        with self.writing() as session:
            if sqlite_revision(self._connection)[0] is None:
                for statement in statements():
                    session.run(statement)


def ids_of(wanted: set[Name], ids: dict[tuple[int, str], int]) -> dict[Name, int]:
    """The ids of `wanted` alone."""
    return {word: ids[word] for word in wanted}


def _opened(path: Path) -> tuple[sqlite3.Connection, Use]:
    """A connection to the file, and what has to be done before it can be used; a file older than the baseline is renamed first.

    Nothing may be written through a connection whose file was renamed meanwhile: SQLite finds the WAL by the file's name.
    """
    while True:
        if not path.exists() and interrupted(path.resolve()):
            replace_superseded(path)
        before = _identity(path)
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=64)
        try:
            revision, oldest = sqlite_revision(connection)
            use = use_of(revision, oldest)
            if use is not Use.REPLACE and before in (None, _identity(path)):
                if use is Use.NEWER:
                    logger.info("history database %s: its schema has revision %s, newer than this release's %s", path, revision, HEAD)
                return connection, use
        except BaseException:
            connection.close()
            raise
        connection.close()
        replace_superseded(path)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _prepare(connection: sqlite3.Connection) -> None:
    enable_wal(connection)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _migrate(path: Path) -> None:
    """Migrate an older file with SQLAlchemy and alembic; needed once per file and release."""
    from mintaka_history.database import Database, DatabaseAway  # noqa: PLC0415 - start-up time: rarely needed
    from mintaka_history.migrating import migrate  # noqa: PLC0415

    database = Database(f"sqlite:///{path}")
    try:
        migrate(database)
    except DatabaseAway as away:
        raise HistoryBusy(str(away), passing=True) from away
    finally:
        database.dispose()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Translate SQLite's errors to ours, with the file's name and what to do."""
    try:
        yield
    except SchemaNotUsable as error:
        message = f"history database {path}: {error}"
        raise HistoryUnreadable(message) from error
    except sqlite3.OperationalError as error:
        message = f"history database {path}: {error}"
        raise HistoryBusy(message, passing=getattr(error, "sqlite_errorcode", 0) & _PRIMARY in _PASSING) from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)):
            raise
        message = f"history database {path}: {error}; move the file away, or name another one in MINTAKA_DATABASE_URL (what cannot be written meanwhile is taken in by the next script)"
        raise HistoryUnreadable(message) from error
    except OSError as error:
        message = f"history database {path}: {error}"
        raise HistoryBusy(message, passing=error.errno == errno.ENOSPC) from error
