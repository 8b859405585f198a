"""Migrations after the baseline stop no one and break no release before; the baseline is frozen as the tables were."""

from __future__ import annotations

from pathlib import Path

import pytest

from migration_lint import findings_in
from mintaka_history import baseline
from mintaka_history.migrating import _FOLDER
from mintaka_history.sqlite_schema import BASELINE, HEAD

_VERSIONS = sorted((_FOLDER / "versions").glob("*.py"))
_LATER = [file for file in _VERSIONS if file.name[:4] > BASELINE]


@pytest.mark.parametrize("dialect", baseline.DIALECTS)
def test_the_frozen_baseline_is_what_the_tables_are_while_there_is_no_later_migration(dialect: str) -> None:
    """If this fails, run `python -m mintaka_history.baseline`."""
    if HEAD == BASELINE:
        assert baseline.path(dialect).read_text(encoding="utf-8") == baseline.generated(dialect)
    else:
        assert list(baseline.statements(dialect))


def test_revisions_are_numbers_in_a_row() -> None:
    """So that they can be compared as text; the newest is HEAD."""
    numbers = [int(file.name[:4]) for file in _VERSIONS]
    assert numbers == list(range(int(BASELINE), int(HEAD) + 1))


@pytest.mark.parametrize("file", _LATER or [None], ids=lambda file: file.name if isinstance(file, Path) else "only the baseline yet")
def test_migrations_stop_no_one(file: Path | None) -> None:
    """What migrations/README.md forbids is not there."""
    assert (findings_in(file.read_text(encoding="utf-8")) if file else []) == []


#: What a migration does, in code, and the beginning of the message about it.
FORBIDDEN = [
    pytest.param('op.create_index("ix", "logs", ["at"])', "op.create_index: writers stop", id="alembic's index"),
    pytest.param('op.execute("CREATE INDEX ix ON logs (at)")', "CREATE INDEX ix ON logs (at): writers stop", id="an index in SQL"),
    pytest.param('op.execute("create  unique\\nindex ix ON logs (at)")', "create unique index", id="a unique index over two lines"),
    pytest.param('op.execute(text(f"CREATE INDEX {name} ON logs (at)"))', "CREATE INDEX", id="an index in a formatted string"),
    pytest.param('op.get_bind().exec_driver_sql("CREATE INDEX ix ON logs (at)")', "CREATE INDEX", id="an index past alembic"),
    pytest.param('op.alter_column("logs", "n", type_=BigInteger())', "op.alter_column(type_=…): it rewrites", id="alembic's type"),
    pytest.param('op.execute("ALTER TABLE logs ALTER COLUMN n TYPE bigint")', "ALTER TABLE logs ALTER COLUMN n TYPE", id="a type in SQL"),
    pytest.param('op.execute("ALTER TABLE logs ALTER n SET DATA TYPE bigint")', "ALTER TABLE logs ALTER n SET", id="a type, long form"),
    pytest.param("op.execute(\"ALTER TYPE state ADD VALUE 'x'\")", "ALTER TYPE state", id="an enumeration"),
    pytest.param(
        'op.add_column("logs", Column("x", Integer, nullable=False))', "op.add_column(nullable=False)", id="alembic's required column"
    ),
    pytest.param(
        'op.execute("ALTER TABLE logs ADD COLUMN x INTEGER NOT NULL")', "ALTER TABLE logs ADD COLUMN x", id="a required column in SQL"
    ),
    pytest.param('op.execute("ALTER TABLE logs ADD x INTEGER NOT NULL")', "ALTER TABLE logs ADD x INTEGER", id="the same without COLUMN"),
    pytest.param(
        'op.execute("ALTER TABLE logs ADD COLUMN x FLOAT DEFAULT random()")', "ALTER TABLE logs ADD COLUMN x FLOAT", id="a volatile default"
    ),
    pytest.param('op.alter_column("logs", "n", nullable=False)', "op.alter_column(nullable=False)", id="alembic's NOT NULL"),
    pytest.param(
        'op.execute("ALTER TABLE logs ALTER COLUMN n SET NOT NULL")', "ALTER TABLE logs ALTER COLUMN n SET NOT", id="NOT NULL in SQL"
    ),
    pytest.param('op.drop_column("logs", "n")', "op.drop_column: the release before still uses it", id="alembic's drop"),
    pytest.param('op.execute("ALTER TABLE logs DROP COLUMN n")', "ALTER TABLE logs DROP COLUMN n: the release before", id="a drop in SQL"),
    pytest.param(
        'op.alter_column("logs", "n", new_column_name="m")', "op.alter_column(new_column_name=…): the release", id="alembic's new name"
    ),
    pytest.param('op.execute("ALTER TABLE logs RENAME COLUMN n TO m")', "ALTER TABLE logs RENAME", id="a new name in SQL"),
    pytest.param('op.execute("UPDATE logs SET n = 0")', "UPDATE logs SET n = 0: rows are changed", id="all rows at once"),
    pytest.param('op.execute("SELECT 1; DELETE FROM logs")', "DELETE FROM logs: rows are changed", id="the second statement of a text"),
    pytest.param(
        'op.execute("ALTER TABLE logs ADD CONSTRAINT c CHECK (n > 0)")',
        "ALTER TABLE logs ADD CONSTRAINT c",
        id="a constraint that is checked",
    ),
    pytest.param('with op.batch_alter_table("logs") as t: pass', "op.batch_alter_table: it copies", id="a copy of the table"),
    pytest.param('op.execute("VACUUM FULL logs")', "VACUUM FULL logs: it locks", id="a rewrite"),
]


@pytest.mark.parametrize(("code", "beginning"), FORBIDDEN)
def test_what_stops_others_is_found(code: str, beginning: str) -> None:
    """One finding, with its line and what to do instead."""
    found = findings_in(f"from alembic import op\n\ndef upgrade():\n    {code}\n")
    assert [sentence.startswith(f"line 4: {beginning}") for sentence in found] == [True], found


#: What a migration may do, and its code.
ALLOWED = [
    pytest.param('op.add_column("logs", Column("x", Integer))', id="a column"),
    pytest.param('op.add_column("logs", Column("x", Integer, nullable=False, server_default="0"))', id="a required column with a default"),
    pytest.param('op.execute("ALTER TABLE logs ADD COLUMN x INTEGER NOT NULL DEFAULT 7")', id="the same in SQL"),
    pytest.param('op.execute("ALTER TABLE logs ADD COLUMN x INTEGER DEFAULT 7 NOT NULL")', id="the same the other way round"),
    pytest.param('op.execute("CREATE TABLE next (id INTEGER NOT NULL, n INTEGER)")', id="a table"),
    pytest.param('schema_changes.create_index("ix", "logs", "at")', id="an index by our own operation"),
    pytest.param('op.drop_column("logs", "n"); schema_changes.require("0011")', id="a contraction that shuts out older code"),
    pytest.param('op.execute("CREATE OR REPLACE FUNCTION f() RETURNS trigger AS $$ BEGIN RETURN NULL; END $$")', id="a trigger's function"),
    pytest.param('op.execute("ALTER TABLE logs ADD CONSTRAINT c CHECK (n > 0) NOT VALID")', id="a constraint that is not checked"),
]


@pytest.mark.parametrize("code", ALLOWED)
def test_what_stops_no_one_is_allowed(code: str) -> None:
    """No finding."""
    assert findings_in(f"from alembic import op\n\ndef upgrade():\n    {code}\n") == []
