"""The output of processes is in the logs of their runs."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from api_testing import API, eventually, report, running
from mintaka_api.settings import Settings
from mintaka_controller.ports import Missing, Unavailable
from mintaka_history.queries.names import Names
from process_world import ProcessWorld, flow_run, shell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx

    from mintaka_history.database import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        yield client


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[ProcessWorld]:
    async with ProcessWorld(tmp_path / "home", database=database, names=Names()) as world:
        yield world


async def lines(api: httpx.AsyncClient, uid: str, count: int) -> list[str]:
    """The log, when it has `count` lines."""

    async def look() -> list[str]:
        return [each["message"] for each in (await api.get(f"{API}/flow-runs/{uid}/logs")).json()["items"]]

    return await eventually(look, lambda found: len(found) >= count)


async def test_a_command_is_followed_while_it_runs(api: httpx.AsyncClient, world: ProcessWorld) -> None:
    uid = str(uuid.uuid4())
    await api.post(f"{API}/flow-runs/{uid}/reports", json=report())
    owned = await world.create(flow_run(uid=uid, **shell("echo one; while [ ! -e ../go ]; do sleep 0.05; done; echo two")))
    assert await lines(api, uid, 1) == ["one"]
    folder = world.workloads.folder_of("local", owned.workload.name)
    assert folder is not None
    folder.write("go", {}, durable=False)
    await world.end(owned)
    assert await lines(api, uid, 2) == ["one", "two"]


async def test_the_log_of_a_run_that_the_database_does_not_have_comes_later(api: httpx.AsyncClient, world: ProcessWorld) -> None:
    uid = str(uuid.uuid4())
    owned = await world.create(flow_run(uid=uid, **shell("echo one")))
    ended = await world.end(owned)
    with pytest.raises(Unavailable, match="does not have"):
        await world.workloads.copy_log("local", uid, ended)
    await api.post(f"{API}/flow-runs/{uid}/reports", json=report())
    await world.workloads.copy_log("local", uid, ended)
    assert await lines(api, uid, 1) == ["one"]
    await world.workloads.remove("local", ended.name, ended.uid)
    with pytest.raises(Missing):
        await world.workloads.copy_log("local", uid, ended)
