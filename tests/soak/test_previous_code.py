"""All integration tests of the commit before the newest migration, on the schema that this migration creates.

The short version in `make test` is tests/integration/test_previous_code.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from previous_code import NoPreviousCode, extract_code_before, newest_migration, run_previous_tests

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(7200)
def test_the_code_before_the_newest_migration_serves_the_new_schema(tmp_path: Path) -> None:
    """All tests pass."""
    try:
        commit = extract_code_before(ROOT, newest_migration(ROOT), tmp_path)
    except NoPreviousCode as reason:
        pytest.skip(str(reason))
    done = run_previous_tests(tmp_path, ROOT, ["tests/integration"])
    assert done.returncode == 0, f"the tests of {commit} fail on the new schema:\n{done.stdout}"
