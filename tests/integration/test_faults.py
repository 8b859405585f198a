"""A database that dies under load and an API that is killed: whatever was acknowledged is there afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from api_testing import API, eventually, report, running, task
from mintaka_api.settings import Settings
from postgres_server import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio


@contextmanager
def serving(database_url: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """An API process and its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [
        sys.executable,
        "-m",
        "mintaka_api",
        "--no-mirror",
        "--port",
        str(port),
        "--database-url",
        database_url,
        "--log-level",
        "ERROR",
    ]
    process = subprocess.Popen(arguments, env=os.environ | {"KUBECONFIG": ""})
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


async def stored(client: httpx.AsyncClient, uid: str) -> set[int]:
    """The numbers of the task runs that are stored, by pages."""
    numbers: set[int] = set()
    cursor = None
    while True:
        query = {"limit": 200, "fields": "n"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(f"{API}/flow-runs/{uid}/task-runs", params=query)).json()
        found = [item["n"] for item in page["items"]]
        assert numbers.isdisjoint(found)
        numbers |= set(found)
        cursor = page["next"]
        if cursor is None:
            return numbers


async def ready(client: httpx.AsyncClient) -> bool:
    """Whether the API is ready."""
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


async def send_until(client: httpx.AsyncClient, uid: str, stop: asyncio.Event, acknowledged: set[int], answers: set[int]) -> None:
    """Send reports of ten task runs as a pod does: the same one again until it is acknowledged."""
    number = 0
    while not stop.is_set() or number == 0:
        body = report(number + 1, [task(n) for n in range(number * 10, number * 10 + 10)])
        try:
            answer = await client.post(f"{API}/flow-runs/{uid}/reports", json=body)
        except httpx.TransportError:
            return
        answers.add(answer.status_code)
        if answer.status_code == 200:
            acknowledged.update(range(number * 10, number * 10 + 10))
            number += 1
        else:
            assert answer.headers["Retry-After"]
            await asyncio.sleep(0.02)


async def test_postgresql_may_die_and_come_back_under_load() -> None:
    """Writers get 503 meanwhile, readers too, the process lives, and nothing acknowledged is lost."""
    server = PostgresServer()
    try:
        server.start()
        async with running(Settings(database_url=server.create_database("faults"), mirror=False)) as client:
            uids, stop, answers = [str(uuid.uuid4()) for _ in range(4)], asyncio.Event(), set[int]()
            acknowledged: dict[str, set[int]] = {uid: set() for uid in uids}
            senders = [asyncio.create_task(send_until(client, uid, stop, acknowledged[uid], answers)) for uid in uids]
            for fast in (False, True):
                await asyncio.sleep(0.7)
                await asyncio.to_thread(server.stop, fast=fast)
                away = await eventually(lambda: client.get(f"{API}/flow-runs"), lambda answer: answer.status_code != 200)
                assert (away.status_code, away.json()["title"]) == (503, "The database is away")
                assert (await client.get("/readyz")).json()["ill"] == ["database"]
                assert (await client.get("/healthz")).status_code == 200
                await asyncio.to_thread(server.start)
                await eventually(lambda: ready(client), bool)
            await asyncio.sleep(0.7)
            stop.set()
            await asyncio.gather(*senders)
            assert answers == {200, 503}
            for uid in uids:
                assert len(acknowledged[uid]) > 20
                assert acknowledged[uid] <= await stored(client, uid)
    finally:
        server.remove()


async def test_the_api_may_start_before_its_database() -> None:
    """It serves /healthz, says what is ill, and is ready once the database is there."""
    server = PostgresServer()
    try:
        server.start()
        url = server.create_database("late")
        server.stop()
        async with running(Settings(database_url=url, mirror=False)) as client:
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.json()["ill"]) == (503, ["migrations", "database"])
            assert (await client.get(f"{API}/flow-runs")).status_code == 503
            await asyncio.to_thread(server.start)
            await eventually(lambda: ready(client), bool)
            assert (await client.get(f"{API}/flow-runs")).json() == {"items": [], "next": None, "previous": None}
    finally:
        server.remove()


async def test_an_api_killed_while_it_takes_in_reports_has_kept_what_it_acknowledged(database_url: str) -> None:
    """Kill -9 in the middle, three times; all acknowledged task runs are there at the end."""
    uid, acknowledged = str(uuid.uuid4()), set[int]()
    for _ in range(3):
        with serving(database_url) as (process, url):
            async with httpx.AsyncClient(base_url=url, timeout=30) as client:
                await eventually(lambda: ready(client), bool, 60)
                sender = asyncio.create_task(send_until(client, uid, asyncio.Event(), acknowledged, set()))
                before = len(acknowledged)

                async def more(before: int = before) -> int:
                    return len(acknowledged) - before

                await eventually(more, lambda count: count >= 50)
                process.send_signal(signal.SIGKILL)
                await sender
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        assert acknowledged <= await stored(client, uid)
