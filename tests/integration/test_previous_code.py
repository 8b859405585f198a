"""The release before serves the new schema: its API tests are run on it, from the first migration after the baseline on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from previous_code import NoPreviousCode, extract_code_before, newest_migration, run_previous_tests

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
#: A test of the code before that writes to the table.
_TESTS = ("tests/integration/test_ingest.py", "-k", "stored_as_it_was_sent")
#: Tests that write and read each table; all of tests/integration, which takes half an hour, runs before a release (tests/soak).
_FILES = ("test_ingest.py", "test_leases.py", "test_changes.py")


@pytest.mark.timeout(1800)
def test_the_code_before_the_newest_migration_serves_the_new_schema(tmp_path: Path) -> None:
    """Tests of the API of the commit before the newest migration; the others in tests/soak/test_previous_code.py."""
    try:
        commit = extract_code_before(ROOT, newest_migration(ROOT), tmp_path)
    except NoPreviousCode as reason:
        pytest.skip(str(reason))
    done = run_previous_tests(tmp_path, ROOT, [f"tests/integration/{name}" for name in _FILES])
    assert done.returncode == 0, f"the tests of {commit} fail on the new schema:\n{done.stdout}"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of the present code."""
    made = tmp_path_factory.mktemp("repository")
    for name in ("sdk", "operator", "api", "tests/support", "tests/integration"):
        shutil.copytree(
            ROOT / name, made / name, ignore=shutil.ignore_patterns("__pycache__", "sdk" if name == "tests/integration" else "")
        )
    for name in ("tests/conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, made / name)
    git(made, "init", "-q", "-b", "main")
    commit(made, "The release before")
    return made


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@example.com", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path, subject: str) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", subject)
    return git(folder, "rev-parse", "HEAD").strip()


def release_with(repository: Path, folder: Path, column: str) -> Path:
    """A clone whose last commit but one adds a migration that adds `column` to `flow_runs`."""
    git(folder.parent, "clone", "-q", str(repository), str(folder))
    history = folder / "sdk/mintaka_history"
    schema = history / "sqlite_schema.py"
    text = schema.read_text(encoding="utf-8")
    head = re.search(r'^HEAD = "(\d+)"', text, re.MULTILINE)[1]  # type: ignore[index]
    following = f"{int(head) + 1:04}"
    schema.write_text(text.replace(f'HEAD = "{head}"', f'HEAD = "{following}"'), encoding="utf-8")
    tables = history / "tables/runs.py"
    text = tables.read_text(encoding="utf-8")
    tables.write_text(
        text.replace('    Column("history_reason", Text),\n', f'    Column("history_reason", Text),\n    {column},\n', 1), encoding="utf-8"
    )
    lines = f'revision = "{following}"\ndown_revision = "{head}"\n\n\ndef upgrade() -> None:\n    op.add_column("flow_runs", {column})\n'
    (history / "migrations/versions" / f"{following}_next.py").write_text(
        f"from alembic import op\nfrom sqlalchemy import Column, Integer, Text\n\n{lines}", encoding="utf-8"
    )
    environment = os.environ | {"PYTHONPATH": str(folder / "sdk")}
    subprocess.run([sys.executable, "-m", "mintaka_history.sqlite_schema"], cwd=folder, env=environment, check=True)
    commit(folder, "Add a migration")
    (folder / "README.md").write_text("A later commit.\n", encoding="utf-8")
    commit(folder, "A later commit")
    return folder


def test_there_is_no_code_before_the_baseline(tmp_path: Path) -> None:
    """The reason states it."""
    versions = tmp_path / "sdk/mintaka_history/migrations/versions"
    versions.mkdir(parents=True)
    (versions / "0010_baseline.py").touch()
    with pytest.raises(NoPreviousCode, match="only the baseline"):
        newest_migration(tmp_path)


@pytest.mark.timeout(600)
def test_a_column_more_does_not_disturb_the_code_before(repository: Path, tmp_path: Path) -> None:
    """Its own tests pass on the new schema."""
    release = release_with(repository, tmp_path / "release", 'Column("of_the_next", Text)')
    before = extract_code_before(release, newest_migration(release), tmp_path / "before")
    assert before == git(repository, "rev-parse", "HEAD").strip()
    assert "of_the_next" not in (tmp_path / "before/sdk/mintaka_history/tables/runs.py").read_text(encoding="utf-8")
    done = run_previous_tests(tmp_path / "before", release, _TESTS)
    assert done.returncode == 0, done.stdout
    assert re.search(r"[1-9]\d* passed", done.stdout)


@pytest.mark.timeout(600)
def test_a_required_column_without_a_default_is_found(repository: Path, tmp_path: Path) -> None:
    """The code before does not fill it, so its tests fail, on both databases."""
    release = release_with(repository, tmp_path / "release", 'Column("required_by_the_next", Integer, nullable=False)')
    extract_code_before(release, newest_migration(release), tmp_path / "before")
    done = run_previous_tests(tmp_path / "before", release, _TESTS)
    assert done.returncode == 1
    assert "required_by_the_next" in done.stdout
    assert "[sqlite" in done.stdout
    assert "[postgresql" in done.stdout


#: A checkout, made of a clone, and why it contains no earlier code.
WITHOUT: list[tuple[str, Callable[[Path], None], str]] = [
    (
        "a shallow clone",
        lambda folder: (folder / ".git/shallow").write_text(git(folder, "rev-parse", "HEAD")) and None,
        "git fetch --deepen",
    ),
    ("no clone", lambda folder: shutil.rmtree(folder / ".git"), "not a git checkout"),
]


@pytest.mark.parametrize(("change", "reason"), [case[1:] for case in WITHOUT], ids=[case[0] for case in WITHOUT])
def test_where_the_earlier_code_is_not_there_the_reason_says_what_to_do(
    repository: Path, tmp_path: Path, change: Callable[[Path], None], reason: str
) -> None:
    """The test is skipped with it."""
    release = release_with(repository, tmp_path / "release", 'Column("of_the_next", Text)')
    change(release)
    with pytest.raises(NoPreviousCode, match=reason):
        extract_code_before(release, newest_migration(release), tmp_path / "before")
