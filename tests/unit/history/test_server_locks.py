"""The lock of a local server: one holder, whose record others read; gone with its process, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mintaka_history.server_locks import ServerLock, ServerLocked, describe_server, locking_server

if TYPE_CHECKING:
    from pathlib import Path

_HOLD = """
import sys
from pathlib import Path
from mintaka_history.server_locks import ServerLock
lock = ServerLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_server_learns_of_the_first(tmp_path: Path) -> None:
    """In the same process as in another one."""
    path = tmp_path / "server.lock"
    first = ServerLock(path)
    first.acquire()
    first.write({"url": "http://127.0.0.1:4200", "pid": 7})
    with pytest.raises(ServerLocked, match=r"a server that runs at http://127.0.0.1:4200 \(pid 7\)") as refused:
        ServerLock(path).acquire()
    assert refused.value.record == locking_server(path) == {"url": "http://127.0.0.1:4200", "pid": 7}
    first.release()
    first.release()
    assert locking_server(path) is None
    second = ServerLock(path)
    second.acquire()
    second.release()


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    """It names a pid and a file."""
    lock = ServerLock(tmp_path / "server.lock")
    lock.acquire()
    assert (tmp_path / "server.lock").stat().st_mode & 0o777 == 0o600
    lock.release()


def test_readers_do_not_keep_a_server_from_starting(tmp_path: Path) -> None:
    """A reader holds the lock for a moment."""
    path = tmp_path / "server.lock"
    for _ in range(20):
        lock = ServerLock(path)
        lock.acquire()
        assert locking_server(path) == {"pid": os.getpid()}
        lock.release()
        assert locking_server(path) is None


def test_the_lock_of_a_killed_server_is_free(tmp_path: Path) -> None:
    """Its record is of no concern."""
    path = tmp_path / "server.lock"
    holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == b"held\n"
    assert locking_server(path) == {"pid": holder.pid}
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    holder.stdin.close()
    assert locking_server(path) is None
    lock = ServerLock(path)
    lock.acquire()
    lock.release()


def test_a_forked_child_does_not_hold_it(tmp_path: Path) -> None:
    """A process that outlives the server would else keep the next one out; nor does its end release the server's lock."""
    path = tmp_path / "server.lock"
    holder = _HOLD.replace('print("held"', 'import os, time\nif os.fork() == 0: time.sleep(60)\nprint("held"')
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"held\n"
        assert locking_server(path) == {"pid": process.pid}
        process.kill()
        process.wait()
        assert locking_server(path) is None
        process.stdout.close()
        process.stdin.close()
    finally:
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"url": "http://x", "pid": 1}, "a server that runs at http://x (pid 1)"),
        ({"pid": 1}, "a server that is starting (pid 1)"),
        ({}, "a server that is starting"),
    ],
)
def test_a_server_is_described_as_far_as_it_is_known(record: dict[str, object], words: str) -> None:
    """While it starts there is no URL yet."""
    assert describe_server(record) == words


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff"], ids=["empty", "cut off", "not an object", "not UTF-8"])
def test_a_damaged_record_is_no_record(tmp_path: Path, content: bytes) -> None:
    """The lock counts, not what is written in the file."""
    path = tmp_path / "server.lock"
    lock = ServerLock(path)
    lock.acquire()
    path.write_bytes(content)
    assert locking_server(path) == {}
    lock.release()
