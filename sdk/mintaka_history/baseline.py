"""The frozen baseline: the statements that create its schema, as text for both databases; later migrations start from what it was.

`python -m mintaka_history.baseline` writes the text from the tables, as long as there is no later migration. A test fails if it is stale.
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mintaka_history.sqlite_schema import BASELINE, HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

DIALECTS = ("sqlite", "postgresql")
_FOLDER = Path(__file__).parent / "migrations" / "baseline"
#: Between two statements, none of which contains an empty line.
_SEPARATOR = "\n\n"


def path(dialect: str) -> Path:
    """The file with the statements for `dialect`."""
    return _FOLDER / f"{BASELINE}.{dialect}.sql"


def statements(dialect: str) -> Iterator[str]:
    """The frozen statements for `dialect`, without the one that records the revision."""
    yield from (statement.rstrip(";\n") for statement in path(dialect).read_text(encoding="utf-8").split(_SEPARATOR))


def generated(dialect: str) -> str:
    """The statements by which `migrating.create` would create the schema now."""
    from sqlalchemy import create_mock_engine  # noqa: PLC0415 - only for generating

    from mintaka_history.migrating import create  # noqa: PLC0415
    from mintaka_history.tables import prepare_for_postgresql  # noqa: PLC0415

    prepare_for_postgresql()
    texts: list[str] = []

    def record(statement: Any, *_: Any, **__: Any) -> None:
        compiled = (
            statement if isinstance(statement, str) else statement.compile(dialect=engine.dialect, compile_kwargs={"literal_binds": True})
        )
        texts.append("\n".join(line.rstrip() for line in str(compiled).strip().splitlines() if line.strip()))

    engine: Any = create_mock_engine("sqlite://" if dialect == "sqlite" else "postgresql+psycopg://", record)
    engine.exec_driver_sql = record
    create(engine)
    return _SEPARATOR.join(f"{text};" for _, run in groupby(texts, _is_index) for text in _in_order(list(run))) + "\n"


def _is_index(text: str) -> bool:
    return text.startswith(("CREATE INDEX", "CREATE UNIQUE INDEX"))


def _in_order(texts: list[str]) -> list[str]:
    """SQLAlchemy stores the indexes of a table in a set, whose order differs from process to process."""
    return sorted(texts) if _is_index(texts[0]) else texts


if __name__ == "__main__":
    if HEAD != BASELINE:
        sys.exit(f"the baseline {BASELINE} is frozen: there is a later migration, {HEAD}")
    for name in DIALECTS:
        path(name).write_text(generated(name), encoding="utf-8")
