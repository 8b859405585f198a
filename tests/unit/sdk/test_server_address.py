"""The address of the local server: it is read from its file if a server holds the lock."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from mintaka.server_address import ServerAddress, running_server
from mintaka_history.server_locks import ServerLock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[ServerLock]:
    """The lock of a server, which listens."""
    (tmp_path / "server.token").write_text("secret\n")
    record = {
        "url": "http://127.0.0.1:4200",
        "pid": os.getpid(),
        "token_file": str(tmp_path / "server.token"),
        "started": "2026-01-01T00:00:00Z",
    }
    (tmp_path / "server.json").write_text(json.dumps(record))
    lock = ServerLock(tmp_path / "server.lock")
    lock.acquire()
    lock.write(record)
    yield lock
    lock.release()


def test_a_running_server_is_found(tmp_path: Path, lock: ServerLock) -> None:
    """The result has its token, without a newline."""
    assert lock.path.exists()
    assert running_server(tmp_path) == ServerAddress("http://127.0.0.1:4200", "secret", os.getpid())


def test_the_file_of_a_killed_server_does_not_count(tmp_path: Path, lock: ServerLock) -> None:
    """No process holds the lock."""
    lock.release()
    assert running_server(tmp_path) is None


def test_there_is_none_in_an_empty_folder(tmp_path: Path) -> None:
    """The same holds for a folder that does not exist; no file or folder is created."""
    assert running_server(tmp_path) is None
    assert running_server(tmp_path / "none") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda home: (home / "server.json").unlink(),
        lambda home: (home / "server.json").write_text("{"),
        lambda home: (home / "server.json").write_text("[]"),
        lambda home: (home / "server.json").write_text('{"url": "http://127.0.0.1:1"}'),
        lambda home: (home / "server.token").unlink(),
        lambda home: (home / "server.json").write_text((home / "server.json").read_text().replace(f'"pid": {os.getpid()}', '"pid": 8')),
    ],
    ids=[
        "it does not listen yet",
        "cut off",
        "not an object",
        "members are missing",
        "without its token",
        "the file is of a former server",
    ],
)
def test_a_server_that_cannot_be_used_yet_is_not_returned(tmp_path: Path, lock: ServerLock, damage: object) -> None:
    """Such a server is starting or stopping."""
    assert lock.path.exists()
    assert callable(damage)
    damage(tmp_path)
    assert running_server(tmp_path) is None
