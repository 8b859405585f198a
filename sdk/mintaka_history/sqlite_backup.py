"""Copies of a SQLite file: taken while others write to it, and put back while none does.

`VACUUM INTO` copies what one read transaction sees, so writers are not stopped, and the copy needs no WAL; a copy of the file alone would
miss what is still in the WAL. A copy has its name only when it is complete, checked and on the disk. Only the standard library is needed.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from mintaka_core.errors import MintakaError
from mintaka_history.schema_revisions import SchemaNotUsable, Use, sqlite_revision, use_of
from mintaka_history.sqlite_replacement import FileInUse, rename_unused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BUSY_SECONDS = 30.0
#: SQLite 3.40 reports this of sound tables WITHOUT ROWID whose primary key is not in the order of the columns.
_NO_DAMAGE = ("ok", "NULL value in ")


class BackupFailed(MintakaError):
    """The copy was not made or not put back; nothing was changed. The message says why."""


class Copy(NamedTuple):
    """A copy's size, its schema's revision and the number of flow runs in it."""

    size: int
    revision: str
    flow_runs: int


def back_up(path: Path, target: Path) -> Copy:
    """Copy the database `path`, which may be in use, to the new file `target`.

    Raises:
        BackupFailed: `path` is not a database of Mintaka, `target` exists, or the disk is full.
    """
    if target.exists():
        message = f"{target} exists already: name another file, or delete it"
        raise BackupFailed(message)
    if not path.is_file():
        message = f"there is no database {path}"
        raise BackupFailed(message)
    return _copied(path, target)


def restore(source: Path, path: Path) -> tuple[Copy, Path | None]:
    """Put the copy `source` in the place of the database `path`, which no process may have open. Returns where the former one is now.

    Raises:
        BackupFailed: `source` is not a sound database that this release can use, or `path` is in use.
    """
    with _translated(source):
        with closing(_connected(source)) as connection:
            use = use_of(*sqlite_revision(connection))
        if use in (Use.CREATE, Use.REPLACE):
            message = f"{source} is {'empty' if use is Use.CREATE else 'of a release before the first one, which is not migrated'}"
            raise BackupFailed(message)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        complete = path.with_name(f"{path.name}.restored")
        complete.unlink(missing_ok=True)
        copy = _copied(source, complete)
        try:
            former = rename_unused(path, f"{path.name}.before-restore")
        except BaseException:
            complete.unlink()
            raise
        complete.rename(path)
        _sync(path.parent)
    return copy, former


def _copied(path: Path, target: Path) -> Copy:
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    with _translated(path):
        try:
            with closing(_connected(path)) as connection:
                if sqlite_revision(connection)[0] is None:
                    message = f"{path} is not a history database of Mintaka: it is empty"
                    raise BackupFailed(message)
                connection.execute("VACUUM INTO ?", (str(part),))
            part.chmod(0o600)
            with closing(_connected(part)) as connection:
                problems = [words for (words,) in connection.execute("PRAGMA quick_check") if not words.startswith(_NO_DAMAGE)]
                if problems:
                    message = f"{path} is damaged: {problems[0]}"
                    raise BackupFailed(message)
                revision, _ = sqlite_revision(connection)
                (count,) = connection.execute("SELECT count(*) FROM flow_runs").fetchone()
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.rename(target)
        finally:
            part.unlink(missing_ok=True)
        _sync(target.parent)
        return Copy(target.stat().st_size, str(revision), int(count))


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_BUSY_SECONDS, isolation_level=None)


def _sync(folder: Path) -> None:
    """Make the names in `folder` durable."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except FileInUse as error:
        raise BackupFailed(str(error)) from error
    except (sqlite3.Error, OSError, SchemaNotUsable) as error:
        message = f"{path}: {error}"
        raise BackupFailed(message) from error
