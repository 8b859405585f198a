"""The feed of changes: nothing is lost in any order of commits, and a reader that was away too long gets a reset."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from api_testing import API, report, running
from filled_history import uid_of
from mintaka_api.change_feed import ChangeFeed
from mintaka_api.settings import Settings
from mintaka_history.queries import changes
from mintaka_history.queries.names import Names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx
    from sqlalchemy import Connection

    from mintaka_history.database import Database

pytestmark = pytest.mark.anyio

_INSERT = text("INSERT INTO flow_runs (no, uid, created, ns, state, kind, name) VALUES (:no, :uid, 1, 1, 3, 1, 'run')")


def insert(connection: Connection, number: int) -> None:
    """Write a flow run."""
    uid = uid_of(number)
    connection.execute(_INSERT, {"no": number, "uid": uid if connection.dialect.name == "postgresql" else uid.replace("-", "")})


def changed(database: Database, position: changes.Position) -> tuple[list[int], changes.Position]:
    """The flow runs that changed after a position, and the next position."""
    with database.reading() as connection:
        found = changes.after(connection, Names(), position)
    assert not found.reset
    return [int(item.uid[-12:], 16) for item in found.items], found.position


def test_a_change_that_is_committed_after_a_later_one_is_not_lost(database: Database) -> None:
    """A reader of "all numbers after the last" loses it; this one waits for the open transaction, and then sees both, in order."""
    if not database.is_postgresql:
        pytest.skip("SQLite has one writer at a time")
    with database.writing() as connection:
        insert(connection, 1)
    with database.reading() as connection:
        position = changes.newest(connection)
    naive = position.seq
    seen_naively: list[int] = []

    def read_naively() -> None:
        nonlocal naive
        with database.reading() as connection:
            rows = connection.execute(text("SELECT seq, object FROM changes WHERE seq > :last ORDER BY seq"), {"last": naive}).all()
        seen_naively.extend(int(str(row.object)[-12:], 16) for row in rows)
        naive = rows[-1].seq if rows else naive

    seen: list[int] = []
    with database.write_engine.connect() as early, early.begin():
        insert(early, 2)
        with database.writing() as late:
            insert(late, 3)
        read_naively()
        found, position = changed(database, position)
        seen += found
        assert seen == []
    read_naively()
    found, position = changed(database, position)
    seen += found
    assert seen_naively == [3]
    assert seen == [2, 3]
    assert changed(database, position) == ([], position)


def test_every_change_comes_once_and_an_object_once_in_a_batch(database: Database) -> None:
    """However many are read at once."""
    with database.writing() as connection:
        insert(connection, 1)
    with database.reading() as connection:
        position = changes.newest(connection)
    for number in (2, 3, 4):
        with database.writing() as connection:
            insert(connection, number)
            connection.execute(text("UPDATE flow_runs SET sequence = sequence + 1 WHERE no = 2"))
    assert changed(database, position)[0] == [3, 4, 2]
    seen: list[int] = []
    with database.reading() as connection:
        while True:
            found = changes.after(connection, Names(), position, limit=2)
            seen += [int(item.uid[-12:], 16) for item in found.items]
            position = found.position
            if not found.more:
                break
    assert seen == [2, 3, 2, 4, 2]


def test_a_heartbeat_is_no_change(database: Database) -> None:
    """Nor is an update that changes nothing a reader sees."""
    with database.writing() as connection:
        insert(connection, 1)
    with database.reading() as connection:
        position = changes.newest(connection)
    with database.writing() as connection:
        connection.execute(text("UPDATE flow_runs SET heard = 5"))
    assert changed(database, position) == ([], position)


#: kind, what happened meanwhile.
RESET: dict[str, str] = {
    "all that it had read was deleted": "DELETE FROM changes WHERE seq <= {seq}",
    "everything was deleted": "DELETE FROM changes",
    "the database was restored, and its numbers were given to others": "UPDATE changes SET at = at + 1",
}


@pytest.mark.parametrize("kind", RESET)
def test_a_reader_that_may_have_missed_something_is_told(database: Database, kind: str) -> None:
    """It reads everything again and continues from there."""
    with database.writing() as connection:
        insert(connection, 1)
    with database.reading() as connection:
        position = changes.newest(connection)
    with database.writing() as connection:
        insert(connection, 2)
        connection.execute(text(RESET[kind].format(seq=position.seq)))
    with database.reading() as connection:
        found = changes.after(connection, Names(), position)
    assert (found.reset, found.items) == (True, [])
    with database.writing() as connection:
        insert(connection, 3)
    assert changed(database, found.position)[0] == [3]


def test_a_number_is_not_used_again(database: Database) -> None:
    """Not even after everything was deleted: an old position would name a later change."""
    with database.writing() as connection:
        insert(connection, 1)
        last = connection.scalar(text("SELECT max(seq) FROM changes")) or 0
        connection.execute(text("DELETE FROM changes"))
        insert(connection, 2)
        assert (connection.scalar(text("SELECT min(seq) FROM changes")) or 0) > last


def test_a_position_in_an_empty_feed_is_good_for_a_while(database: Database) -> None:
    """Then changes may have come and gone."""
    with database.reading() as connection:
        position = changes.newest(connection)
    with database.writing() as connection:
        insert(connection, 1)
    assert changed(database, position)[0] == [1]
    with database.reading() as connection:
        assert changes.after(connection, Names(), position._replace(at=position.at - 3600 * 1_000_000)).reset


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The API over an empty database."""
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        yield client


async def poll(api: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    """The answer of the feed."""
    answer = await api.get(f"{API}/changes", params=query)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def test_a_long_poll_answers_as_soon_as_something_changes(api: httpx.AsyncClient) -> None:
    """Several at once; without a change, after the time they wait."""
    position = (await poll(api))["next"]
    assert (await poll(api, after=position, wait=0.1))["items"] == []
    waiting = [asyncio.create_task(poll(api, after=position, wait=20)) for _ in range(3)]
    await asyncio.sleep(0.5)
    uid = uid_of(77)
    assert (await api.post(f"{API}/flow-runs/{uid}/reports", json=report())).status_code == 200
    async with asyncio.timeout(10):
        for found in await asyncio.gather(*waiting):
            assert [(item["kind"], item["uid"], item["namespace"]) for item in found["items"]] == [("flow_run", uid, "ns")]
    assert (await poll(api, after=found["next"]))["items"] == []
    assert (await api.get(f"{API}/changes", params={"after": "x"})).status_code == 400


async def test_one_poll_serves_all_subscriptions_and_a_slow_reader_gets_a_reset(database: Database) -> None:
    """Nothing is polled without readers; one that does not read loses nothing silently."""
    feed = ChangeFeed(database, Names(), interval_seconds=0.01)
    async with feed.subscribe() as quick, feed.subscribe() as slow:
        for number in range(1, 80):
            with database.writing() as connection:
                insert(connection, number)
            async with asyncio.timeout(10):
                batch = await quick.next()
            assert batch is not None
            assert [int(item.uid[-12:], 16) for item in batch.items] == [number]
        first = await slow.next()
        assert first is not None
        assert first.reset
        assert await quick.next(0.05) is None
