"""Attempts whose supervisors report events while their folders are removed or cannot be read. No process is started or signalled."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from mintaka_api.local.processes import attempt_store
from mintaka_api.local.processes.attempt_folder import BEGUN, ENDED, STARTED, AttemptFolder
from mintaka_api.local.processes.attempt_store import AttemptStore
from mintaka_api.local.processes.attempts import Attempt, Attempts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

REQUEST = {"uid": "t0", "token": "t0", "name": "run-1", "namespace": "local", "run": "run", "run_uid": "u", "attempt": 1}


class World:
    """An attempt that runs, as its folder says; `store` may be replaced before it is used."""

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
    assert ended_tokens in ([], ["t0"])
    assert len(world.versions) == 1
