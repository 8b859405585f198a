"""The code of the commit before the newest migration, and its API tests on the schema of the code that has the migration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_VERSIONS = "sdk/mintaka_history/migrations/versions"
_CODE = ("sdk", "operator", "api", "tests", "pyproject.toml")
_GENERATE = """
import json
from mintaka_history import baseline
from mintaka_history.sqlite_schema import HEAD
split = lambda text: [statement.rstrip(";\\n") for statement in text.split("\\n\\n")]
print(json.dumps({"revision": HEAD, **{dialect: split(baseline.generated(dialect)) for dialect in baseline.DIALECTS}}))
"""


class NoPreviousCode(Exception):
    """There is no code before the newest migration here; the message states why."""


def newest_migration(checkout: Path) -> str:
    """The newest migration after the baseline, as a path in the repository; raises NoPreviousCode."""
    files = sorted(file.name for file in (checkout / _VERSIONS).glob("[0-9]*.py"))
    if len(files) < 2:
        message = "there is only the baseline yet: no code before it used this schema"
        raise NoPreviousCode(message)
    return f"{_VERSIONS}/{files[-1]}"


def extract_code_before(checkout: Path, migration: str, folder: Path) -> str:
    """Extract the code of the commit before `migration` was added into `folder`; return the commit. Raises NoPreviousCode."""
    if not (checkout / ".git").exists():
        message = "this is not a git checkout"
        raise NoPreviousCode(message)
    added = _git(checkout, "log", "--diff-filter=A", "--format=%H", "-1", "--", migration).strip()
    wanted = f"{added}^" if added else "HEAD"  # not committed yet
    try:
        commit = _git(checkout, "rev-parse", "--verify", f"{wanted}^{{commit}}").strip()
    except subprocess.CalledProcessError:
        message = f"the commit before {added[:12]}, which added {migration}, is not in this clone: git fetch --deepen=100"
        raise NoPreviousCode(message) from None
    present = _git(checkout, "ls-tree", "--name-only", commit, *_CODE).split()
    archive = subprocess.run(["git", "archive", commit, *present], cwd=checkout, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return commit


def run_previous_tests(previous: Path, checkout: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run `tests` of the earlier code in `previous` on the schema that the code in `checkout` creates."""
    generated = subprocess.run(
        [sys.executable, "-c", _GENERATE], env=_environment(checkout), check=True, capture_output=True, text=True, cwd=checkout
    )
    schema = previous / "next_schema.json"
    schema.write_text(json.dumps(json.loads(generated.stdout)), encoding="utf-8")
    environment = _environment(previous, Path(__file__).parent) | {"MINTAKA_NEXT_SCHEMA": str(schema)}
    arguments = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "next_schema", *tests]
    return subprocess.run(arguments, cwd=previous, env=environment, check=False, capture_output=True, text=True)


def _environment(code: Path, *more: Path) -> dict[str, str]:
    folders = [code / "sdk", code / "operator", code / "api", code / "tests" / "support", *more]
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")} | {
        "PYTHONPATH": os.pathsep.join(map(str, folders))
    }


def _git(checkout: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=checkout, check=True, capture_output=True, text=True).stdout
