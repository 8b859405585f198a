"""Databases as releases before the baseline made them, from dumps of their own (`old_schemas`), and what a database consists of."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from postgres_server import find_program

_FOLDER = Path(__file__).parent / "old_schemas"
#: The revisions before the baseline.
OLD_REVISIONS = tuple(f"000{number}" for number in range(1, 10))
#: The message of the only log line in the dump of revision 8, which a script has written.
OLD_LINE = "old line"


def old_file(path: Path, revision: str = "0008") -> sqlite3.Connection:
    """Create a SQLite file of an old release in WAL mode, and return an open connection to it, as a process of that release has one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    dump = "0001.sqlite.sql" if revision == "0001" else "0008.sqlite.sql"
    connection.executescript((_FOLDER / dump).read_text(encoding="utf-8"))
    connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    return connection


def close_old_file(path: Path, revision: str = "0008") -> None:
    """Create a SQLite file of an old release that no process has open."""
    with closing(old_file(path, revision)):
        pass


def old_postgresql(url: str, revision: str = "0008") -> None:
    """Create the schema of an old release in an empty PostgreSQL database."""
    script = (_FOLDER / "0008.postgresql.sql").read_text(encoding="utf-8")
    psql(url, script)
    psql(url, f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608 - a number of ours


def psql(url: str, script: str) -> str:
    """Run SQL with psql; return what it prints."""
    arguments = [find_program("psql"), "-qAtX", "-v", "ON_ERROR_STOP=1", url]
    return subprocess.run(arguments, check=True, capture_output=True, text=True, input=script).stdout


def dump_of(url: str) -> str:
    """Everything in a PostgreSQL database, as pg_dump writes it without what differs between two dumps."""
    done = subprocess.run([find_program("pg_dump"), "--inserts", url], check=True, capture_output=True, text=True)
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith(("--", "\\restrict", "\\unrestrict")))
