"""What can be wrong on this machine: versions, the history database, the API, result storage, spools that were left behind."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING
from uuid import uuid4

from mintaka import __version__
from mintaka.cli.findings import Finding
from mintaka.persisting.result_storage import storage_of
from mintaka.recording.homes import command_home, home
from mintaka.recording.leftover_places import SET_ASIDE, spools
from mintaka_history.readonly_sqlite import Superseded, Unreadable, summary_of
from mintaka_history.sqlite_schema import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mintaka.cli.findings import Check

_OLDEST = (3, 12)
_TIMEOUT_SECONDS = 5.0
_UPGRADE = "pip install --upgrade mintaka"


def _python() -> Iterator[Finding]:
    text = f"{platform.python_version()} at {sys.executable}"
    well = sys.version_info >= _OLDEST
    yield Finding("python", well, text, "" if well else "use Python 3.12 or newer")


def _package() -> Iterator[Finding]:
    try:
        installed = version("mintaka")
    except PackageNotFoundError:
        installed = __version__
    well = installed == __version__
    text = __version__ if well else f"{__version__} is imported, but {installed} is installed"
    yield Finding("mintaka", well, text, "" if well else "install it again: two copies are on the path")


def _history() -> Iterator[Finding]:
    where = command_home()
    if where.api_url and where.cluster is None:
        yield from _api(where.api_url)
    elif where.database is None:
        yield Finding("history", None, "switched off (MINTAKA_HISTORY=off)")
    else:
        yield _database(where.database)


def _database(path: Path) -> Finding:
    folder = next(parent for parent in path.parents if parent.exists())
    if not path.exists():
        if not os.access(folder, os.W_OK):
            return Finding("history", well=False, told=f"{folder} cannot be written", todo="set MINTAKA_HOME to a folder of yours")
        return Finding("history", well=True, told=f"{path} is not there yet; the first run makes it")
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return Finding(
            "history", well=False, told=f"{path} or its folder cannot be written", todo=f"chown it, or set MINTAKA_HOME (you are {_user()})"
        )
    try:
        found = summary_of(path)
    except Superseded as error:
        return Finding("history", well=True, told=str(error))
    except Unreadable as error:
        return Finding("history", well=False, told=str(error), todo="move the file away, or set MINTAKA_DATABASE_URL")
    text = f"{path}: {found.flow_runs} flow runs, schema {found.revision}"
    if found.revision > HEAD:
        return Finding("history", well=False, told=f"{text} of a newer version (this one: {HEAD})", todo=_UPGRADE)
    later = "" if found.revision == HEAD else f"; the next run or command makes it {HEAD}"
    return Finding("history", well=True, told=text + later)


def _user() -> str:
    return os.environ.get("USER") or str(os.getuid())


def _api(url: str) -> Iterator[Finding]:
    import httpx  # noqa: PLC0415 - start-up time

    from mintaka.recording.remote_history import RemoteHistory  # noqa: PLC0415 - start-up time

    with RemoteHistory(url, httpx.Client(timeout=_TIMEOUT_SECONDS)) as api:
        newest = api.flow_runs(limit=1)
        text = f"{url}: the newest run is {newest[0]['name']}" if newest else f"{url}: no run yet"
        yield Finding("history", well=True, told=text)
        there = api.health()
    theirs = there.get("version", "")
    if theirs and theirs != __version__:
        yield Finding("api", well=False, told=f"it is {theirs}, this is {__version__}", todo="bring both to one version")
    else:
        yield Finding("api", well=True, told=f"version {theirs}" if theirs else "it does not tell its version")


def _results() -> Iterator[Finding]:
    given = os.environ.get("MINTAKA_RESULT_STORAGE")
    folder = home().folder / "results"
    if not given and not folder.exists():
        yield Finding("results", None, "none are persisted yet, and MINTAKA_RESULT_STORAGE is not set")
        return
    storage = storage_of(given or folder)
    key = f"doctor-{uuid4().hex}"
    storage.write(key, b"looked")
    try:
        storage.read(key)
    finally:
        storage.delete(key)
    yield Finding("results", well=True, told=f"{storage.url}: written and read")


def _spools() -> Iterator[Finding]:
    aside = home().spool / SET_ASIDE
    if aside.is_dir():
        text = f"{aside} has history of {len(list(aside.iterdir()))} runs that was refused"
        yield Finding("spool", well=False, told=text, todo="see in the log why, then deliver or delete it: mintaka deliver FOLDER")
    folders = spools(home().spool)
    if not folders:
        yield Finding("spool", well=True, told="nothing waits to be delivered")
        return
    size = sum(file.stat().st_size for folder in folders for file in folder.iterdir())
    text = f"{home().spool} has history of {len(folders)} runs that was not delivered ({size} bytes), such as {folders[0].name}"
    yield Finding("spool", well=False, told=text, todo="mintaka deliver")


CHECKS: tuple[Check, ...] = (
    ("python", _python),
    ("mintaka", _package),
    ("history", _history),
    ("results", _results),
    ("spool", _spools),
)
