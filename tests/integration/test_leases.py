"""Leases in the database: whose they are, and when they end."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from sqlalchemy import text

from api_testing import report
from mintaka_history.batches import decode
from mintaka_history.ingest import store_batch
from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.queries.names import Names
from mintaka_history.sharing import leases, limits
from mintaka_history.sharing.leases import SlotDecision, SlotRequest

if TYPE_CHECKING:
    from mintaka_history.database import Database

RUN = "0190f5fe-0000-7000-8000-000000000001"


def slot_request(**members: object) -> SlotRequest:
    """A request for one slot of `db`."""
    return SlotRequest(uuid.uuid4().hex, "ns", ("db",), 1, 60.0)._replace(**members)  # type: ignore[arg-type]


def ask(database: Database, wanted: SlotRequest) -> SlotDecision:
    """Look, then ask, as everybody does."""
    with database.reading() as connection:
        known = leases.peek(SqlalchemySession(connection), wanted, lambda _: False)
    with database.writing() as connection:
        return known or leases.request(SqlalchemySession(connection), wanted, lambda holder: holder == 13)


def limit(database: Database, slots: int) -> None:
    """Make the limit `db`."""
    with database.writing() as connection:
        limits.put(SqlalchemySession(connection), "ns", "db", slots, 0, overwrite=True)


def run(database: Database, statement: str) -> None:
    """Change something behind everybody's back."""
    with database.writing() as connection:
        connection.execute(text(statement))


def test_asking_again_changes_nothing(database: Database) -> None:
    """Neither for who holds slots nor for the order of those who wait."""
    limit(database, 1)
    holds, first, second = slot_request(), slot_request(), slot_request()
    assert [ask(database, holds).granted, ask(database, holds).granted] == [True, True]
    assert [ask(database, each).turns for each in (first, second, first, second)] == [0, 1, 0, 1]
    with database.writing() as connection:
        assert leases.release(SqlalchemySession(connection), "ns", holds.id)
        assert not leases.release(SqlalchemySession(connection), "ns", holds.id)
    assert [ask(database, each).granted for each in (second, first, second)] == [False, True, False]


def test_the_slots_of_a_run_that_is_over_come_free_before_their_lease_ends(database: Database) -> None:
    """Ended in the lease's attempt, or replaced by a later one; not while only an earlier attempt is known to have ended."""
    limit(database, 1)
    store_batch(database, Names(), RUN, decode(json.dumps(report()).encode()))
    holds = slot_request(flow_run=RUN, attempt=2)
    assert ask(database, holds).granted
    run(database, "UPDATE flow_runs SET state = 6, attempt = 1")
    assert not ask(database, slot_request()).granted
    run(database, "UPDATE flow_runs SET state = 6, attempt = 2")
    other = slot_request(flow_run=RUN, attempt=3)
    run(database, "DELETE FROM concurrency_leases WHERE granted IS NULL")
    assert ask(database, other).granted
    run(database, "UPDATE flow_runs SET state = 3, reported_attempt = 4")
    assert ask(database, slot_request()).granted


def test_a_process_that_is_gone_holds_nothing(database: Database) -> None:
    """And does not stand in the way of those who wait."""
    limit(database, 1)
    assert ask(database, slot_request(holder=13)).granted
    assert ask(database, slot_request(holder=13)).granted
    assert ask(database, slot_request(holder=14)).granted
    assert not ask(database, slot_request(holder=14)).granted


def test_a_lease_that_expired_can_be_renewed_until_somebody_asks_for_its_slots(database: Database) -> None:
    """Then it is lost, even where nobody could take them."""
    limit(database, 1)
    holds = slot_request()
    assert ask(database, holds).granted
    run(database, "UPDATE concurrency_leases SET expires = 1")
    with database.writing() as connection:
        assert leases.renew(SqlalchemySession(connection), "ns", [holds.id, slot_request().id], 60) == {holds.id}
    assert not ask(database, slot_request()).granted
    run(database, "DELETE FROM concurrency_leases WHERE granted IS NULL")
    run(database, "UPDATE concurrency_leases SET expires = 1")
    assert ask(database, slot_request()).granted
    with database.writing() as connection:
        assert leases.renew(SqlalchemySession(connection), "ns", [holds.id], 60) == set()


def test_a_lease_that_expired_is_lost_only_in_the_namespace_where_its_slots_are_needed(database: Database) -> None:
    """Another of the same id, with the same end, can still be renewed."""
    limit(database, 1)
    with database.writing() as connection:
        limits.put(SqlalchemySession(connection), "other", "db", 1, 0, overwrite=True)
    holds = slot_request()
    assert [ask(database, holds).granted, ask(database, holds._replace(namespace="other")).granted] == [True, True]
    run(database, "UPDATE concurrency_leases SET expires = 1")
    assert ask(database, slot_request()).granted
    with database.writing() as connection:
        assert leases.renew(SqlalchemySession(connection), "ns", [holds.id], 60) == set()
        assert leases.renew(SqlalchemySession(connection), "other", [holds.id], 60) == {holds.id}


def test_fewer_slots_than_are_held_take_nothing_away(database: Database) -> None:
    """Whoever holds them keeps them; the next ones wait until few enough are held. None is none."""
    limit(database, 2)
    assert ask(database, slot_request()).granted
    assert ask(database, slot_request()).granted
    limit(database, 1)
    waits = slot_request()
    assert ask(database, waits) == SlotDecision(granted=False, turns=0, blocked={"db": 2})
    limit(database, 0)
    assert not ask(database, slot_request(slots=5)).granted
    limit(database, 5)
    assert ask(database, waits).granted


def test_those_who_wait_behind_many_wait_their_turn_and_read_few_rows(database: Database) -> None:
    """In order, even if dead requests stand before them; what one request reads does not grow with those that wait."""
    limit(database, 1)
    holds = slot_request()
    assert ask(database, holds).granted
    waiting = [slot_request() for _ in range(leases.WAITERS + 60)]
    for each in waiting:
        assert not ask(database, each).granted
    with database.reading() as connection:
        queue = leases.queue_of(SqlalchemySession(connection), [("ns", "db")])
    assert len(queue.leases) == leases.WAITERS + 1
    last = ask(database, waiting[-1])
    assert (last.granted, last.blocked) == (False, {"db": 1})
    assert last.turns >= leases.WAITERS - 1
    assert ask(database, waiting[150]).turns == 150
    run(database, "UPDATE concurrency_leases SET expires = 1 WHERE granted IS NOT NULL")
    assert not ask(database, waiting[-1]).granted
    assert ask(database, waiting[0]).granted
    with database.writing() as connection:
        assert leases.release(SqlalchemySession(connection), "ns", waiting[0].id)
    ids = ", ".join(f"'{each.id}'" for each in waiting[:-1])
    run(database, f"UPDATE concurrency_leases SET expires = 1 WHERE id IN ({ids})")  # noqa: S608 - hexadecimal digits
    answers = [ask(database, waiting[-1]).granted for _ in range(3)]
    assert answers[-1]
