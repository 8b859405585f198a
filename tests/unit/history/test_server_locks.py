"""The lock of a local server: one holder, whose record others read; released when its process ends in any way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from mintaka_history.server_locks import ServerLock, ServerLocked, describe_server, locking_server

if TYPE_CHECKING:
    from pathlib import Path

_HOLD = """
import sys
import threading
from pathlib import Path
from mintaka_history.server_locks import ServerLock
lock = ServerLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_server_learns_of_the_first(tmp_path: Path) -> None:
    """This holds in the same process and in another one."""
    path = tmp_path / "server.lock"
    first = ServerLock(path)
    first.acquire()
    first.write({"url": "http://127.0.0.1:4200", "pid": os.getpid()})
    with pytest.raises(ServerLocked, match=rf"a server that runs at http://127.0.0.1:4200 \(pid {os.getpid()}\)") as refused:
        ServerLock(path).acquire()
    assert refused.value.record == locking_server(path) == {"url": "http://127.0.0.1:4200", "pid": os.getpid()}
    first.release()
    first.release()
    assert locking_server(path) is None
    second = ServerLock(path)
    second.acquire()
    second.release()


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    """The record contains a pid and the path of a file."""
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
    """Its record has no effect."""
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


def test_a_child_that_a_killed_server_was_about_to_start_is_not_a_server(tmp_path: Path) -> None:
    """Such a child has the descriptor until it has started its program."""
    path = tmp_path / "server.lock"
    lock = ServerLock(path)
    lock.acquire()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lock.write({"url": "http://127.0.0.1:4200", "pid": gone.pid})
    assert locking_server(path) is None
    next_server = ServerLock(path)
    threading.Timer(0.5, lock.release).start()
    next_server.acquire()
    next_server.release()


def test_a_forked_child_does_not_hold_it(tmp_path: Path) -> None:
    """A process that outlives the server would otherwise block the next one. Its end does not release the server's lock either."""
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
    """There is no URL yet while it starts."""
    assert describe_server(record) == words


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff"], ids=["empty", "cut off", "not an object", "not UTF-8"])
def test_a_damaged_record_is_ignored(tmp_path: Path, content: bytes) -> None:
    """The lock decides, not the content of the file."""
    path = tmp_path / "server.lock"
    lock = ServerLock(path)
    lock.acquire()
    path.write_bytes(content)
    assert locking_server(path) == {}
    lock.release()
