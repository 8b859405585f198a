"""`mintaka database`: copies of the SQLite file of this machine or, in the API's pod, of the API."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from mintaka.cli.parsing import BadArgument, JsonOption
from mintaka.cli.showing import print_json
from mintaka.recording.homes import home
from mintaka_history.sqlite_backup import Copy, back_up
from mintaka_history.sqlite_backup import restore as put_back

group = typer.Typer()
_STANDARD = "-"


@group.command("backup")
def backup(
    file: Annotated[str, typer.Argument(help="The new file; - is standard output.", metavar="FILE")], json: JsonOption = False
) -> None:
    """Copy the database while it is in use."""
    database = _database()
    if file != _STANDARD:
        _report(back_up(database, Path(file)), {"database": str(database), "file": file}, f"{database} is backed up to {file}", json=json)
        return
    with tempfile.TemporaryDirectory(dir=database.parent, prefix=".mintaka-backup-") as folder:
        copy = Path(folder) / database.name
        back_up(database, copy)
        with copy.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)
        sys.stdout.buffer.flush()


@group.command("restore")
def restore(
    file: Annotated[str, typer.Argument(help="A copy that `mintaka database backup` made; - is standard input.", metavar="FILE")],
    json: JsonOption = False,
) -> None:
    """Put a copy in the place of the database, which no process may have open; the former one is renamed."""
    database = _database()
    if file != _STANDARD:
        copy, former = put_back(Path(file), database)
    else:
        database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=database.parent, prefix=".mintaka-restore-") as folder:
            received = Path(folder) / database.name
            with received.open("wb") as target:
                shutil.copyfileobj(sys.stdin.buffer, target)
            copy, former = put_back(received, database)
    document = {"database": str(database), "file": file, "former": None if former is None else str(former)}
    words = f"; the former one is {former}" if former else ""
    _report(copy, document, f"{database} is restored from {'standard input' if file == _STANDARD else file}{words}", json=json)


def _report(copy: Copy, document: dict[str, str | None], words: str, *, json: bool) -> None:
    if json:
        print_json({**document, "bytes": copy.size, "schema": copy.revision, "flow_runs": copy.flow_runs})
    else:
        sys.stdout.write(f"{words}: {copy.flow_runs} flow runs, {copy.size} bytes, schema {copy.revision}\n")


def _database() -> Path:
    if os.environ.get("MINTAKA_DATABASE_URL", "").startswith("postgres"):
        message = "PostgreSQL is backed up with pg_dump or a base backup: see docs/operations.md"
        raise BadArgument(message)
    where = home()
    if where.database is None:
        message = "no SQLite file is named here: call this where MINTAKA_DATABASE_URL names one, in the API's pod for instance"
        raise BadArgument(message)
    return where.database
