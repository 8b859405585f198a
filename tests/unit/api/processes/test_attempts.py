"""Attempts whose supervisors report events while their folders are removed or cannot be read. No process is started or signalled."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from mintaka_api.local.processes import attempt_store, attempts
from mintaka_api.local.processes.attempt_folder import BEGUN, ENDED, STARTED, AttemptFolder
from mintaka_api.local.processes.attempt_store import AttemptStore
from mintaka_api.local.processes.attempts import Attempt, Attempts
from mintaka_api.local.processes.supervisor_events import SupervisorEvents
from process_world import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

REQUEST = {"uid": "t0", "token": "t0", "name": "run-1", "namespace": "local", "run": "run", "run_uid": "u", "attempt": 1}


class World:
    """An attempt that runs, as its folder describes it; `store` may be replaced before it is used."""

    def __init__(self, home: Path) -> None:
        self.store = AttemptStore(home)
        self.folder = self.store.folder("u", 1)
        self.store.create(self.folder, {})
        self.folder.claim(REQUEST)
        self.folder.write(STARTED, {"pid": 1, "time": 1.0})
        self.attempts = Attempts(self.store, self._note)
        self.changed = asyncio.Event()
        self.versions: list[Attempt] = []
        view = self.store.view(self.folder)
        assert view is not None
        self.attempt = self.attempts.add(self.folder, view)

    def _note(self, attempt: Attempt) -> None:
        self.versions.append(attempt)
        self.changed.set()

    async def end(self) -> tuple[str, str]:
        """Type and reason of its end, when that is published."""
        async with asyncio.timeout(20):
            while self.attempt.owned.workload.alive:
                self.changed.clear()
                await self.changed.wait()
        end = self.attempt.owned.workload.end
        assert end is not None
        return end.type, end.reason


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.attempts.close()


@pytest.fixture(autouse=True)
def ended_tokens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens whose processes would have been ended."""
    tokens: list[str] = []

    def end_holders(token: str) -> list[int]:
        tokens.append(token)
        return []

    monkeypatch.setattr(attempt_store, "end_holders", end_holders)
    return tokens


@pytest.mark.parametrize("removed", ["the home", "the folder", "its beginning"])
async def test_an_attempt_whose_folder_was_removed_is_lost(world: World, tmp_path: Path, ended_tokens: list[str], removed: str) -> None:
    """It ends in memory, and what is left of it is found by the token that was read when it began."""
    if removed == "the home":
        shutil.rmtree(tmp_path / "processes")
    elif removed == "the folder":
        shutil.rmtree(world.folder.path)
    else:
        (tmp_path / "processes" / "u-1" / BEGUN).unlink()
    world.attempts.observe(world.attempt, "gone")
    assert await world.end() == ("CRASHED", "ProcessLost")
    assert ended_tokens == ["t0"]
    assert world.attempt.owned.workload.started_time is not None


async def test_a_forced_stop_of_an_attempt_whose_folder_was_removed_ends_it(world: World) -> None:
    shutil.rmtree(world.folder.path)
    await world.attempts.refresh(world.attempt, world.store.give_up(world.folder))
    assert await world.end() == ("CRASHED", "ProcessLost")


async def test_an_ended_attempt_is_removed_while_its_supervisor_is_found_to_be_gone(
    world: World, monkeypatch: pytest.MonkeyPatch, ended_tokens: list[str]
) -> None:
    """Its end stays as it was recorded, and no other process is ended."""
    settled = asyncio.Event()
    loop, settle_lost = asyncio.get_running_loop(), world.store.settle_lost

    def settle_removed(folder: AttemptFolder, *arguments: Any) -> Any:
        try:
            world.store.remove(folder)
            return settle_lost(folder, *arguments)
        finally:
            loop.call_soon_threadsafe(settled.set)

    monkeypatch.setattr(world.store, "settle_lost", settle_removed)
    world.folder.write(ENDED, {"status": 0, "time": 2.0})
    world.attempts.observe(world.attempt, "ended")
    assert await world.end() == ("COMPLETED", "")
    world.attempts.observe(world.attempt, "gone")
    async with asyncio.timeout(20):
        await settled.wait()
    await world.attempts.refresh(world.attempt)
    assert await world.end() == ("COMPLETED", "")
    assert ended_tokens == ["t0"]
    assert len(world.versions) == 1


async def test_an_interrupted_removal_leaves_no_attempt(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at any moment of the deletion, the server finds no attempt afterwards, and deletes the rest."""

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(attempt_store.shutil, "rmtree", killed)
        patch.setattr(type(tmp_path), "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            world.store.remove(world.folder)
    assert not world.folder.exists()
    assert len(list((tmp_path / "processes").iterdir())) == 1
    assert AttemptStore(tmp_path).all() == []
    assert list((tmp_path / "processes").iterdir()) == []


def open_files() -> int:
    """How many files this process has open."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - names only


async def test_a_supervisor_that_cannot_be_watched_counts_as_gone(world: World, tmp_path: Path) -> None:
    """No file stays open."""
    (tmp_path / "processes" / "u-1" / "events").unlink()
    (tmp_path / "processes" / "u-1" / "events").touch()  # the event loop does not watch regular files
    before = open_files()
    world.attempts.watch(world.attempt)
    assert open_files() == before
    assert await world.end() == ("CRASHED", "ProcessLost")


async def test_a_supervisor_that_lives_is_watched_again(world: World, monkeypatch: pytest.MonkeyPatch, ended_tokens: list[str]) -> None:
    """It could not be watched for a moment, for lack of file descriptors."""
    held = [os.open(path, os.O_RDWR | os.O_NONBLOCK) for path in (world.folder.control, world.folder.events)]
    refused = [OSError(errno.EMFILE, "Too many open files")]

    class RefusedEvents(SupervisorEvents):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            if refused:
                raise refused.pop()
            super().__init__(*arguments, **options)

    monkeypatch.setattr(attempts, "SupervisorEvents", RefusedEvents)
    world.attempts.watch(world.attempt)
    await eventually(lambda: world.attempt.events, lambda events: events is not None)
    assert (world.attempt.owned.workload.alive, ended_tokens) == (True, [])
    world.folder.write(ENDED, {"status": 0, "time": 2.0})
    os.write(held[1], b"ended\n")
    assert await world.end() == ("COMPLETED", "")
    for descriptor in held:
        os.close(descriptor)


@pytest.mark.parametrize("event", ["ended", "gone"])
async def test_an_end_that_cannot_be_read_at_once_is_read_later(world: World, monkeypatch: pytest.MonkeyPatch, event: str) -> None:
    """For lack of file descriptors, or because of an error of the disk."""
    errors = [OSError(number, os.strerror(number)) for number in (errno.EMFILE, errno.EIO)]
    read = AttemptFolder.read

    def read_later(folder: AttemptFolder, name: str) -> Any:
        if name == STARTED and errors:
            raise errors.pop()
        return read(folder, name)

    monkeypatch.setattr(AttemptFolder, "read", read_later)
    monkeypatch.setattr(attempts, "_AGAIN_SECONDS", 0.0)
    world.folder.write(ENDED, {"status": 0, "time": 2.0})
    world.attempts.observe(world.attempt, event)
    assert await world.end() == ("COMPLETED", "")


async def test_a_supervisor_that_ends_while_it_is_checked_for_has_recorded_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch, ended_tokens: list[str]
) -> None:
    """The end that it records is not replaced by that of a lost process."""

    def end(folder: AttemptFolder) -> bool:
        folder.write(ENDED, {"status": 0, "time": 2.0})
        return False

    monkeypatch.setattr(AttemptFolder, "has_supervisor", end)
    world.attempts.observe(world.attempt, "gone")
    assert await world.end() == ("COMPLETED", "")
    assert (world.folder.read(ENDED), ended_tokens) == ({"status": 0, "time": 2.0}, [])


async def test_a_report_that_cannot_be_read_at_once_is_read_later(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the verdict would be another one."""
    report, opened = tmp_path / "processes" / "u-1" / "report", type(tmp_path).open
    errors = [OSError(errno.EMFILE, os.strerror(errno.EMFILE))]

    def open_later(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == report and errors:
            raise errors.pop()
        return opened(path, *arguments, **options)

    report.write_text("a report")
    monkeypatch.setattr(type(tmp_path), "open", open_later)
    monkeypatch.setattr(attempts, "_AGAIN_SECONDS", 0.0)
    world.folder.write(ENDED, {"status": 0, "time": 2.0})
    world.attempts.observe(world.attempt, "ended")
    await world.end()
    assert (errors, world.attempt.view.report_text) == ([], "a report")


async def test_a_report_that_is_not_a_file_is_ignored(world: World, tmp_path: Path) -> None:
    (tmp_path / "processes" / "u-1" / "report").mkdir()
    world.folder.write(ENDED, {"status": 0, "time": 2.0})
    world.attempts.observe(world.attempt, "ended")
    assert await world.end() == ("COMPLETED", "")
