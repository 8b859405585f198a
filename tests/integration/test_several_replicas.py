"""Three replicas of the API, as processes, with one PostgreSQL and one kube-apiserver: one mirrors, all serve.

The leader is killed and frozen while runs go through their states: another takes over within 15 seconds, nothing is lost or doubled, and
the one that wakes up writes nothing.
"""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from sqlalchemy import func, select

from api_testing import API, ORDINARY, eventually, status
from mintaka_history.database import Database
from mintaka_history.tables import flow_run_transitions, flow_runs
from processes import Process, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from api_testing import Namespace
    from postgres_server import PostgresServer

pytestmark = pytest.mark.anyio

_TAKE_OVER_SECONDS = 15


class Replica(Process):
    """One replica of the API."""

    def __init__(self, name: str, folder: Path, **environment: str) -> None:
        port = free_port()
        super().__init__("mintaka_api", folder / name, "--port", str(port), MINTAKA_POD_NAME=name, **environment)
        self.name = name
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5)

    async def part(self) -> str:
        """What it reports of its mirror; "" if it does not answer."""
        try:
            return str((await self.client.get("/readyz")).json()["parts"]["mirror"])
        except httpx.HTTPError:
            return ""

    async def metric(self, name: str) -> float:
        """One of its metrics."""
        text = (await self.client.get("/metrics")).text
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


@pytest.fixture
def database_url(postgres: PostgresServer) -> Iterator[str]:
    """An empty PostgreSQL database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
async def replicas(database_url: str, kubeconfig: str, namespace: Namespace, tmp_path: Path) -> AsyncIterator[list[Replica]]:
    """Three replicas that answer, of which one leads."""
    environment = {
        "MINTAKA_DATABASE_URL": database_url,
        "MINTAKA_KUBECONFIG": kubeconfig,
        "MINTAKA_NAMESPACES": namespace.name,
        "MINTAKA_RELEASE_NAMESPACE": namespace.name,
        "MINTAKA_LEASE_NAME": "mintaka-api",
    }
    started = [Replica(f"replica-{number}", tmp_path, **environment) for number in range(3)]
    for each in started:
        each.start()
    try:
        for each in started:
            await eventually(each.part, lambda part: part == "ok" or part.startswith("standing by: replica-"), 60)
        yield started
    finally:
        for each in started:
            each.signal(signal.SIGCONT)
            each.kill()
            await each.client.aclose()


async def leader_of(replicas: list[Replica], seconds: float = 30) -> Replica:
    """The replica that mirrors."""

    async def look() -> list[Replica]:
        return [each for each in replicas if await each.part() == "ok"]

    (leader,) = await eventually(look, lambda found: len(found) == 1, seconds)
    return leader


@asynccontextmanager
async def work(namespace: Namespace, names: list[str]) -> AsyncIterator[None]:
    """Runs that go through their states, one after the other, until the end of the block; then the rest of them."""
    over = asyncio.Event()

    async def create() -> None:
        for name in names:
            await namespace.create(name)
            for last in range(1, 5):
                await namespace.set_status(name, status(ORDINARY[:last]))
            if not over.is_set():
                await asyncio.sleep(0.2)

    creating = asyncio.create_task(create())
    try:
        yield
    finally:
        over.set()
        await creating


async def stored(database_url: str) -> dict[str, tuple[int, int, bool, bool]]:
    """Each run's sequence, number of transitions, whether some are missing, and whether it is gone."""
    database = Database(database_url)
    database.migrated = True
    r, t = flow_runs.c, flow_run_transitions.c
    query = select(r.name, r.sequence, func.count(), r.gap, r.deleted.is_not(None)).join_from(
        flow_runs, flow_run_transitions, t.flow_run == r.no
    )
    try:
        with database.reading() as connection:
            rows = connection.execute(query.group_by(r.no))
            return {row[0]: (row[1], row[2], row[3], row[4]) for row in rows}
    finally:
        database.dispose()


async def all_stored(database_url: str, names: list[str]) -> None:
    """Wait until each run is stored with every transition."""
    expected = dict.fromkeys(names, (4, 4, False, False))
    assert await eventually(lambda: stored(database_url), lambda found: found == expected, 30) == expected


async def written(replicas: list[Replica]) -> list[float]:
    """How many transitions each replica wrote."""
    return [await each.metric("mintaka_mirror_transitions_total") for each in replicas]


async def test_one_mirrors_and_all_serve(replicas: list[Replica], database_url: str, namespace: Namespace) -> None:
    """The others report that they are standby, which is not a problem, and answer with what the leader wrote."""
    names = [f"run-{number}" for number in range(10)]
    async with work(namespace, names):
        pass
    await all_stored(database_url, names)
    leader = await leader_of(replicas)
    assert sorted(await written(replicas)) == [0, 0, 40]
    assert await leader.metric("mintaka_api_leading") == 1
    for each in replicas:
        ready = (await each.client.get("/readyz")).json()
        assert (ready["status"], ready["ill"]) == ("ok", [])
        assert ready["parts"]["mirror"] == ("ok" if each is leader else f"standing by: {leader.name} leads")
        assert len((await each.client.get(f"{API}/flow-runs")).json()["items"]) == 10


async def test_a_leader_that_is_killed_is_replaced_without_a_gap(replicas: list[Replica], database_url: str, namespace: Namespace) -> None:
    """Within 15 seconds, while runs go through their states; each transition is there once."""
    names = [f"run-{number}" for number in range(70)]
    leader = await leader_of(replicas)
    others = [each for each in replicas if each is not leader]
    async with work(namespace, names):
        await eventually(lambda: written([leader]), lambda found: found[0] > 20)
        leader.kill()
        killed = time.monotonic()
        before = len(await stored(database_url))
        successor = await leader_of(others, _TAKE_OVER_SECONDS)
        await eventually(lambda: stored(database_url), lambda found: len(found) > before, 5)
        took = time.monotonic() - killed
    assert took < _TAKE_OVER_SECONDS
    await all_stored(database_url, names)
    assert min(await written(others)) == 0
    assert (await written([successor]))[0] > 0


async def test_a_leader_that_stops_hands_over(replicas: list[Replica], database_url: str, namespace: Namespace) -> None:
    """As in a rolling update: at once."""
    leader = await leader_of(replicas)
    others = [each for each in replicas if each is not leader]
    assert leader.stop() in {0, -signal.SIGTERM}
    stopped = time.monotonic()
    await leader_of(others, 5)
    assert time.monotonic() - stopped < 5
    await namespace.create("later")
    await namespace.set_status("later", status(ORDINARY))
    await all_stored(database_url, ["later"])


async def test_a_frozen_leader_that_wakes_up_writes_nothing(replicas: list[Replica], database_url: str, namespace: Namespace) -> None:
    """What it had received meanwhile is out of date: its successor has seen more."""
    names = [f"run-{number}" for number in range(20)]
    leader = await leader_of(replicas)
    others = [each for each in replicas if each is not leader]
    async with work(namespace, names[:10]):
        pass
    await all_stored(database_url, names[:10])
    (before,) = await written([leader])
    leader.signal(signal.SIGSTOP)
    async with work(namespace, names[10:]):
        await leader_of(others, _TAKE_OVER_SECONDS)
    await namespace.drop_finalizers(names[0])
    await namespace.delete(names[0])
    expected = dict.fromkeys(names, (4, 4, False, False)) | {names[0]: (4, 4, False, True)}
    assert await eventually(lambda: stored(database_url), lambda found: found == expected) == expected
    leader.signal(signal.SIGCONT)
    await eventually(leader.part, lambda part: part.startswith("standing by: "))
    await asyncio.sleep(2)
    assert await written([leader]) == [before]
    assert await stored(database_url) == expected
    assert sum([await each.metric("mintaka_api_leading") for each in replicas]) == 1
