"""`mintaka retention`: what it shows and deletes, here and at an API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mintaka_history.database import Database
from mintaka_history.migrating import migrate
from old_runs import names_left, store
from real_api import RealApi

if TYPE_CHECKING:
    from pathlib import Path


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    code = "from mintaka.cli import main; main()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MINTAKA_")}
    return subprocess.run(
        [sys.executable, "-c", code, "retention", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, **variables},
        timeout=60,
    )


@pytest.fixture
def history(tmp_path: Path) -> Database:
    """The history of this machine, with an old and a new run."""
    database = Database(f"sqlite:///{tmp_path / 'history.db'}")
    migrate(database)
    store(database, "old", 40)
    store(database, "new", 3)
    return database


def test_a_dry_run_shows_and_the_command_deletes(history: Database, tmp_path: Path) -> None:
    """The same runs; the new ones stay."""
    home = str(tmp_path)
    shown = run("--days", "30", "--dry-run", MINTAKA_HOME=home)
    assert shown.returncode == 0, shown.stderr
    assert "Would delete 1 flow runs" in shown.stdout
    assert "etl/old" in shown.stdout
    assert names_left(history) == ["new", "old"]
    deleted = run("--json", MINTAKA_HOME=home, MINTAKA_RETENTION_DAYS="30")
    assert deleted.returncode == 0, deleted.stderr
    assert json.loads(deleted.stdout)["flow_runs"] == 1
    assert names_left(history) == ["new"]
    assert "No flow run is old enough." in run("--days", "30", MINTAKA_HOME=home).stdout
    history.dispose()


@pytest.mark.parametrize(
    ("kind", "arguments", "variables", "message"),
    [
        ("no limit", [], {}, "say how long with --days"),
        ("a limit that is not valid", [], {"MINTAKA_RETENTION_DAYS": "long"}, "is not a number of days"),
        ("an API, which deletes by itself", ["--days", "3"], {"MINTAKA_API_URL": "http://localhost:1"}, "--dry-run shows which"),
        ("no history", ["--days", "3"], {"MINTAKA_HOME": "/nowhere"}, "there is no history at /nowhere/history.db"),
        ("history is off", ["--days", "3"], {"MINTAKA_HISTORY": "off"}, "there is no history"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_it_refuses(
    history: Database, tmp_path: Path, kind: str, arguments: list[str], variables: dict[str, str], message: str
) -> None:
    """In one line, with what to do."""
    del kind
    refused = run(*arguments, **{"MINTAKA_HOME": str(tmp_path), **variables})
    assert refused.returncode == 2
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert names_left(history) == ["new", "old"]
    history.dispose()


def test_an_api_answers_a_dry_run(tmp_path: Path) -> None:
    """Under its own settings, which delete nothing here, and under another limit."""
    url = f"sqlite:///{tmp_path / 'api.db'}"
    database = Database(url)
    migrate(database)
    store(database, "old", 40)
    api = RealApi(url)
    try:
        api.start()
        own = run("--dry-run", MINTAKA_API_URL=api.url)
        assert "Flow runs are kept for ever" in own.stdout, own.stderr
        other = run("--dry-run", "--days", "30", MINTAKA_API_URL=api.url)
        assert "Would delete 1 flow runs" in other.stdout, other.stderr
        assert names_left(database) == ["old"]
    finally:
        api.kill()
        database.dispose()
