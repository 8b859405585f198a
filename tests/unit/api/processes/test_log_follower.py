"""The output of all attempts is copied, whatever is wrong with one of them. No process is started."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from mintaka_api.local.processes import log_follower
from mintaka_api.local.processes.attempt_folder import COPIED, ENDED, STARTED, AttemptFolder
from mintaka_api.local.processes.attempt_store import AttemptStore
from mintaka_api.local.processes.attempts import Attempt, Attempts
from mintaka_api.local.processes.log_follower import LogFollower
from mintaka_api.local.processes.output import OUTPUT
from mintaka_controller.ports import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mintaka_api.local.processes.run_logs import RunLogs

pytestmark = pytest.mark.anyio

FAULTS = {
    "a lack of file descriptors": OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    "an error of the disk": OSError(errno.EIO, os.strerror(errno.EIO)),
    "a fault of ours": ValueError("a line without a time"),
    "a database that does not answer": Unavailable("the database does not answer"),
}


class StubLogs:
    """Logs that refuse the attempt of run `faulty` as long as there is an `error`."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.copied: list[str] = []
        self.wanted = asyncio.Event()

    async def copy(self, _folder: str, run_uid: str, *_: Any) -> int:
        """Copy nothing."""
        if run_uid == "faulty" and self.error is not None:
            raise self.error
        self.copied.append(run_uid)
        self.wanted.set()
        return 1


class World:
    """The attempts of two runs, of which `faulty` is the first, and what follows their output."""

    def __init__(self, home: Path) -> None:
        self.logs = StubLogs()
        self.store = AttemptStore(home)
        self.attempts = Attempts(self.store, lambda _: None)
        self.faulty, self.other = self._add("faulty"), self._add("other")
        self.follower = LogFollower(self.attempts, cast("RunLogs", self.logs))

    def _add(self, run: str) -> Attempt:
        folder = self.store.folder(run, 1)
        self.store.create(folder, {})
        folder.claim({"uid": run, "token": run, "name": f"{run}-1", "namespace": "local", "run": run, "run_uid": run, "attempt": 1})
        _print(folder)
        view = self.store.view(folder)
        assert view is not None
        return self.attempts.add(folder, view)

    async def copies(self, *runs: str) -> None:
        """Wait until the output of these runs was copied."""
        async with asyncio.timeout(20):
            while not set(runs) <= set(self.logs.copied):
                self.logs.wanted.clear()
                await self.logs.wanted.wait()


def _print(folder: AttemptFolder) -> None:
    """Add a line to the output."""
    with Path(folder.file(OUTPUT)).open("a") as output:
        output.write("a line\n")


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(log_follower, "_INTERVAL_SECONDS", 0.001)
    world = World(tmp_path)
    yield world
    await world.attempts.close()


@pytest.mark.parametrize("error", FAULTS.values(), ids=FAULTS)
async def test_a_log_that_cannot_be_copied_ends_no_other(world: World, caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    """It is copied when the fault is over; what is not expected is a warning, once."""
    world.logs.error = error
    world.attempts.spawn(world.follower.run())
    await world.copies("other")
    _print(world.other.folder)
    world.logs.copied.clear()
    await world.copies("other")
    world.logs.error = None
    await world.copies("faulty")
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == (0 if isinstance(error, Unavailable) else 1)


async def test_output_whose_size_cannot_be_read_ends_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    size_of = log_follower.output_size

    def output_size(path: str) -> tuple[int, int]:
        if path == world.faulty.folder.path:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return size_of(path)

    monkeypatch.setattr(log_follower, "output_size", output_size)
    world.attempts.spawn(world.follower.run())
    await world.copies("other")


async def test_the_log_of_an_ended_attempt_is_copied_although_it_is_not_known_whether_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.faulty.folder.write(STARTED, {"pid": 1, "time": 1.0})
    world.faulty.folder.write(ENDED, {"status": 0, "time": 2.0})
    await world.attempts.refresh(world.faulty)
    read = AttemptFolder.read

    def read_other(folder: AttemptFolder, name: str) -> Any:
        if name == COPIED:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return read(folder, name)

    monkeypatch.setattr(AttemptFolder, "read", read_other)
    await world.follower.finish(world.faulty)
    assert world.logs.copied == ["faulty"]
