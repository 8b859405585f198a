"""Renames a SQLite file whose schema is older than the baseline, so that a new one can be begun under its name.

Several processes may start at once, and a process of an older release may still have the file open. One lock file next to the
database, locked with flock (which excludes threads as well), makes exactly one of them rename; it names the target before anything is
renamed, so that the next process can complete a rename during which its process was killed. If no other process has the file open, the
WAL is merged into it and one file is renamed. Otherwise -wal and -shm are renamed as well: the other process continues with them, since
POSIX keeps open files through a rename, and SQLite deletes no WAL whose database was moved (https://sqlite.org/c3ref/c_fcntl_begin_atomic_write.html,
SQLITE_FCNTL_HAS_MOVED). Only the standard library is needed.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from mintaka_core.errors import MintakaError
from mintaka_history.schema_revisions import Use, sqlite_revision, use_of
from mintaka_history.sqlite_schema import BASELINE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, which does not rename files that are open
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("mintaka.history")

_BUSY_SECONDS = 10.0
_SUFFIXES = ("", "-wal", "-shm")


class FileInUse(MintakaError):
    """Another process has the file open."""


def interrupted(path: Path) -> bool:
    """Whether a process may have been killed while it renamed `path`, or is renaming it."""
    return _lock_file(path).exists()


def replace_superseded(path: Path) -> Path | None:
    """Rename the file `path` if its schema is older than the baseline; return its new name, or None if it is not (or no longer) there.

    Raises:
        sqlite3.Error: it cannot be read, or stays locked.
        OSError: it cannot be renamed.
    """
    path = path.resolve()  # SQLite puts the WAL next to the file that a link points to
    if not interrupted(path) and superseded_revision(path) is None:
        return None
    with _locked(_lock_file(path)) as lock:
        _complete(path, lock)
        revision = superseded_revision(path)
        if revision is None:
            return None
        target = _free_name(new_name(path))
        os.pwrite(lock, target.name.encode(), 0)
        _rename(path, target)
        os.ftruncate(lock, 0)
    logger.warning(
        "history database %s has the schema of an older release (revision %s): it was renamed to %s, and a new one is begun",
        path,
        revision,
        target,
    )
    return target


def rename_unused(path: Path, name: str) -> Path | None:
    """Rename the file `path` to `name`, or that with a number if it exists; return its new name, or None if there is no file.

    Raises:
        FileInUse: another process has it open.
        sqlite3.Error: it cannot be opened.
        OSError: it cannot be renamed.
    """
    path = path.resolve()
    with _locked(_lock_file(path)):
        if not path.exists():
            return None
        target = _free_name(path.with_name(name))
        connection = _connected(path)
        try:
            if not _excludes_others(connection):
                message = f"{path} is in use: stop the processes that have it open (in a cluster: scale the API to 0)"
                raise FileInUse(message)
            if fcntl is None:
                connection.close()
            path.rename(target)
        finally:
            connection.close()
    return target


def superseded_revision(path: Path) -> str | None:
    """The revision of the file `path` if it is older than the baseline, else None; see `replace_superseded` for errors."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    with closing(_connected(path)) as connection:
        revision, oldest = sqlite_revision(connection)
    return revision if revision is not None and use_of(revision, oldest) is Use.REPLACE else None


def new_name(path: Path) -> Path:
    """The name that `path` gets if no such file exists."""
    return path.with_name(f"{path.name}.before-{BASELINE}")


def _free_name(first: Path) -> Path:
    name, number = first, 1
    while any(_with(name, suffix).exists() for suffix in _SUFFIXES):
        number += 1
        name = first.with_name(f"{first.name}-{number}")
    return name


def _rename(path: Path, target: Path) -> None:
    connection = _connected(path)
    try:
        if _excludes_others(connection):
            if fcntl is None:
                connection.close()
            path.rename(target)
            return
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    for suffix in _SUFFIXES:
        with suppress(FileNotFoundError):
            _with(path, suffix).rename(_with(target, suffix))


def _excludes_others(connection: sqlite3.Connection) -> bool:
    """Whether no other process has the file open: then it is locked until `connection` is closed, and has no WAL."""
    try:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        return False
    if connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete":
        return True
    connection.execute("ROLLBACK")  # a process that came in between has switched it back to WAL
    return False


def _complete(path: Path, lock: int) -> None:
    """Complete what a process that was killed has begun: its database is renamed, the other two files perhaps are not."""
    target = path.with_name(os.pread(lock, 4096, 0).decode() or path.name)
    if target != path and target.exists() and not path.exists():
        for suffix in _SUFFIXES[1:]:
            with suppress(FileNotFoundError):
                _with(path, suffix).rename(_with(target, suffix))
    os.ftruncate(lock, 0)


def _with(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _lock_file(path: Path) -> Path:
    return _with(path, "-replacement")


@contextmanager
def _locked(file: Path) -> Iterator[int]:
    """The lock file's descriptor, locked; the file is deleted at the end unless an error left work to do."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not _is_same(descriptor, file):  # its holder has deleted it meanwhile
                continue
            yield descriptor
            if fcntl is not None:
                file.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
        if fcntl is None:
            file.unlink(missing_ok=True)
        return


def _is_same(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
