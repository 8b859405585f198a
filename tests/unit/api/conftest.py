"""The API's unit tests: no sockets, no sleeps."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from mintaka_api.local.document_store import DocumentStore
from mintaka_history.database import Database
from mintaka_history.migrating import migrate
from mintaka_history.queries.names import Names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def anyio_backend() -> str:
    """Tests run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the schema."""
    path = tmp_path_factory.mktemp("empty") / "history.db"
    database = Database(f"sqlite:///{path}")
    migrate(database)
    database.dispose()
    return path


@pytest.fixture
async def store(empty_file: Path, tmp_path: Path) -> AsyncIterator[DocumentStore]:
    """An empty store on SQLite."""
    database = Database(f"sqlite:///{shutil.copy(empty_file, tmp_path)}")
    migrate(database)
    opened = DocumentStore(database, Names())
    yield opened
    await opened.close()
    database.dispose()
