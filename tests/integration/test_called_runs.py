"""Reports with runs that were called in the process of their flow run: rows of their own, in any order of the reports."""

from __future__ import annotations

import itertools
import json
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from api_testing import API, report, running, task
from mintaka_api.settings import Settings
from mintaka_core.wire_versions import WIRE_VERSION
from mintaka_history.batches import decode
from mintaka_history.embedded_sqlite import EmbeddedDatabase
from mintaka_history.enum_codes import RunKind
from mintaka_history.ingest import store_batch
from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.queries.names import Names
from mintaka_history.writing import crashes
from mintaka_history.writing.runs import first_number

if TYPE_CHECKING:
    from pathlib import Path

    from mintaka_history.database import Database

ROOT, A, B, C = (str(uuid.UUID(int=n)) for n in (1, 2, 3, 4))
AT = 1_790_000_000_000_000
BEGUN = [[1, "PENDING", "", AT, "", [], "", ""], [2, "RUNNING", "", AT + 1, "", [], "", ""]]
ENDED = [*BEGUN, [3, "COMPLETED", "", AT + 9, "", [], "", ""]]


def called(uid: str, *, ended: bool = True, **members: Any) -> dict[str, Any]:
    """A called run as its process reports it."""
    described = {"uid": uid, "name": f"run {uid[-1]}", "flow": "etl.part", "created": AT, "parameters": {"day": uid[-1]}, "tags": ["part"]}
    return described | {"parent_n": 5, "transitions": ENDED if ended else BEGUN} | members


def of_script(number: int = 1, *, ended: bool = False, **members: Any) -> dict[str, Any]:
    """A report of a script's run."""
    local = {"flow": "etl.main", "created": AT, "transitions": ENDED if ended else BEGUN}
    return report(number, flow_run={"name": "root", "namespace": "ns", "local": local}, **members)


def store(database: Database, body: dict[str, Any], uid: str = ROOT, *, late: bool = False) -> None:
    """Store a report."""
    store_batch(database, Names(), uid, decode(json.dumps(body).encode()), late=late)


def runs_in(database: Database) -> dict[str, dict[str, Any]]:
    """The rows of flow runs by uid; the numbers of parents and roots as uids."""
    with database.reading() as connection:
        rows = [dict(row) for row in connection.execute(text("SELECT * FROM flow_runs ORDER BY no")).mappings()]
    uids = {row["no"]: str(uuid.UUID(str(row["uid"]))) for row in rows}
    return {uids[row["no"]]: row | {name: uids.get(row[name]) for name in ("parent", "root")} for row in rows}


def of_tables(database: Database, table: str) -> list[tuple[str, int]]:
    """Which run each row of a table belongs to, and its `n` or None."""
    uids = {row["no"]: uid for uid, row in runs_in(database).items()}
    with database.reading() as connection:
        rows = connection.execute(text(f"SELECT * FROM {table}")).mappings().all()  # noqa: S608 - our own name
    return sorted((uids[row["flow_run"]], row["n"]) for row in rows)


def whole() -> dict[str, Any]:
    """A report with three called runs, two below the root and one below one of those."""
    tasks = [task(5), task(0, of=1), task(1, of=1, tags=["x"]), task(0, of=3)]
    line = {"seq": 65536, "time": AT, "message": "of B", "of": 2}
    return report(1, tasks, logs=[line], called=[called(A), called(B, parent=A, parent_n=1, counts={"COMPLETED": 1}), called(C)])


def test_called_runs_are_runs_of_their_own(database: Database) -> None:
    store(database, whole())
    rows = runs_in(database)
    assert [(rows[uid]["parent"], rows[uid]["root"], rows[uid]["parent_n"]) for uid in (ROOT, A, B, C)] == [
        (None, None, None),
        (ROOT, ROOT, 5),
        (A, ROOT, 1),
        (ROOT, ROOT, 5),
    ]
    assert [rows[uid]["kind"] for uid in (ROOT, A, B, C)] == [RunKind.DEPLOYED, *[RunKind.CALLED] * 3]
    assert {rows[uid]["ns"] for uid in rows} == {rows[ROOT]["ns"]}
    assert [(rows[uid]["state"], rows[uid]["sequence"], rows[uid]["attempt"], rows[uid]["name"]) for uid in (A, B)] == [
        (4, 3, 1, "run 2"),
        (4, 3, 1, "run 3"),
    ]
    assert (rows[A]["parameters"], rows[A]["tags"], rows[B]["counts"]) == ('{"day":"2"}', '["part"]', '{"COMPLETED":1}')
    assert of_tables(database, "task_runs") == [(ROOT, 5), (A, 0), (A, 1), (C, 0)]
    assert of_tables(database, "task_run_tags") == [(A, 1)]
    assert of_tables(database, "logs") == [(B, None)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_reports_may_come_in_any_order_and_twice(database: Database, order: tuple[int, ...]) -> None:
    """B is named before its parent A, A begins and ends in two reports; the end is the same."""
    bodies = [
        report(1, [task(0, of=1)], called=[called(B, parent=A)]),
        report(2, called=[called(A, ended=False)]),
        report(3, [task(1, of=1)], called=[called(A)]),
        report(4, called=[called(C, parent=B, transitions=[]), called(B, parent=A)]),
    ]
    for index in (*order, *order):
        store(database, bodies[index])
    rows = runs_in(database)
    assert [(uid, rows[uid]["parent"], rows[uid]["state"], rows[uid]["name"]) for uid in (A, B, C)] == [
        (A, ROOT, 4, "run 2"),
        (B, A, 4, "run 3"),
        (C, B, 3, "run 4"),
    ]
    assert {rows[uid]["root"] for uid in (A, B, C)} == {ROOT}
    assert of_tables(database, "task_runs") == [(A, 1), (B, 0)]


def test_children_may_stand_before_their_parents_in_one_report(database: Database) -> None:
    store(database, report(1, called=[called(C, parent=B), called(B, parent=A), called(A)]))
    assert [runs_in(database)[uid]["parent"] for uid in (A, B, C)] == [ROOT, A, B]


def test_an_attempt_that_was_replaced_writes_no_called_runs(database: Database) -> None:
    """They are fenced with their root; late reports of theirs are stored as those of the root are."""
    store(database, report(1, attempt=1, called=[called(A, ended=False)]))
    store(database, report(1, attempt=2, called=[called(B, ended=False)]))
    with pytest.raises(Exception, match="replaced by attempt 2"):
        store(database, report(2, attempt=1, called=[called(A)]))
    assert runs_in(database)[A]["state"] == 3
    store(database, report(2, [task(7, of=1)], attempt=1, called=[called(A)]), late=True)
    assert (runs_in(database)[A]["state"], of_tables(database, "task_runs")) == (4, [(A, 7)])


def test_a_later_attempt_continues_the_transitions(database: Database) -> None:
    """A process numbers transitions from 1. Its first creation time does not change, and its tags are found by that time."""
    store(database, report(1, [task(0, of=1)], called=[called(A)]))
    store(database, report(1, attempt=2, called=[called(A, ended=False, created=AT + 50)]))
    row = runs_in(database)[A]
    assert (row["state"], row["sequence"], row["attempt"], row["ended"], row["created"], row["crashes"]) == (3, 5, 2, None, AT, 0)
    for _ in range(2):
        store(database, report(2, [task(0, of=1)], attempt=2, called=[called(A, created=AT + 50)]))
    with database.reading() as connection:
        transitions = connection.execute(text("SELECT seq, attempt, from_state, to_state FROM flow_run_transitions ORDER BY seq")).all()
    assert [tuple(transition) for transition in transitions] == [
        *((1, 1, None, 2), (2, 1, 2, 3), (3, 1, 3, 4)),
        *((4, 2, 4, 2), (5, 2, 2, 3), (6, 2, 3, 4)),
    ]
    assert (runs_in(database)[A]["state"], runs_in(database)[A]["sequence"]) == (4, 6)
    assert of_tables(database, "task_runs") == [(A, 0), (A, 0)]


def test_one_that_crashed_with_its_attempt_continues_in_the_next(database: Database) -> None:
    """The crash stays in its history."""
    store(database, report(1, called=[called(A, ended=False)]))
    with database.writing() as connection:
        connection.execute(text("UPDATE flow_runs SET resource_version = 7, attempt = 2 WHERE root IS NULL"))
    assert sweep(database) == 1
    store(database, report(1, attempt=2, called=[called(A, created=AT + 50)]))
    row = runs_in(database)[A]
    assert (row["state"], row["sequence"], row["attempt"]) == (4, 6, 2)
    with database.reading() as connection:
        states = connection.execute(text("SELECT to_state FROM flow_run_transitions ORDER BY seq")).scalars().all()
    assert states == [2, 3, 6, 2, 3, 4]


def test_many_are_written_with_few_statements(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement for each would take longer than a process waits for its last report."""
    statements: list[str] = []
    run = SqlalchemySession.run

    def counted(self: SqlalchemySession, statement: str, values: Any = ()) -> list[Any]:
        statements.append(statement)
        return run(self, statement, values)

    monkeypatch.setattr(SqlalchemySession, "run", counted)
    many = [str(uuid.UUID(int=1000 + n)) for n in range(500)]
    store(database, report(1, called=[called(uid) for uid in many]))
    assert len(statements) < 60
    rows = runs_in(database)
    assert {(rows[uid]["state"], rows[uid]["sequence"], rows[uid]["parent"], rows[uid]["tags"]) for uid in many} == {
        (4, 3, ROOT, '["part"]')
    }


def test_a_number_that_is_in_use_costs_no_run(database: Database) -> None:
    store(database, report(1, called=[called(A)]))
    with database.writing() as connection:
        connection.execute(text("UPDATE flow_runs SET no = :no WHERE root IS NOT NULL"), {"no": first_number(B, AT)})
    store(database, report(2, called=[called(B), called(C)]))
    rows = runs_in(database)
    assert [(rows[uid]["name"], rows[uid]["state"]) for uid in (B, C)] == [("run 3", 4), ("run 4", 4)]


HOSTILE = {
    "a run of another root": ({"called": [called(B)]}, "called[0].uid"),
    "the root itself": ({"called": [called(ROOT)]}, "called[0].uid"),
    "another cluster's run": ({"called": [called(C)]}, "called[0].uid"),
    "a parent of another root": ({"called": [called(A, parent=B)]}, "called[0].parent"),
    "a parent that is not a called run": ({"called": [called(A, parent=C)]}, "called[0].parent"),
    "its own parent": ({"called": [called(A, parent=A)]}, "called[0].parent"),
    "parents in a circle": (
        {"called": [called(A, parent=str(uuid.UUID(int=9))), called(str(uuid.UUID(int=9)), parent=A)]},
        "called[0].parent",
    ),
    "the same run twice": ({"called": [called(A), called(A)]}, "called[1].uid"),
    "a task run of a run that is not in it": ({"tasks": [task(0), task(1, of=2)], "called": [called(A)]}, "tasks[1].of"),
    "a line of one without any": ({"logs": [{"seq": 1, "time": 1, "message": "", "of": 1}]}, "logs[0].of"),
    "too many": ({"called": [called(str(uuid.uuid4()), transitions=[]) for _ in range(501)]}, "called"),
    "a state that does not exist": (
        {"called": [called(A, transitions=[[1, "DONE", "", AT, "", [], "", ""]])]},
        "called[0].transitions[0][1]",
    ),
    "no uid": ({"called": [called("A")]}, "called[0].uid"),
}


@pytest.mark.anyio
async def test_runs_of_others_cannot_be_written(database_url: str) -> None:
    """422 with the place, and nothing of the report is stored."""
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        other = f"{API}/flow-runs/{uuid.UUID(int=7)}/reports"
        assert (await client.post(other, json=report(1, called=[called(B)]))).status_code == 200
        assert (await client.post(f"{API}/flow-runs/{C}/reports", json=report(1))).status_code == 200
        for kind, (members, place) in HOSTILE.items():
            answer = await client.post(f"{API}/flow-runs/{ROOT}/reports", json=report(1, [task(9)]) | members)
            assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, place), (kind, answer.text)
            assert (await client.get(f"{API}/flow-runs/{ROOT}")).status_code == 404, kind
        assert (await client.get(f"{API}/flow-runs/{B}")).json()["name"] == "run 3"


class TestAnEndThatNoOneReported:
    """The called run follows its root."""

    def test_the_root_ended_itself(self, database: Database) -> None:
        store(
            database,
            of_script(
                1, called=[called(A, ended=False), called(B, ended=False, parent=A), called(C)], tasks=[task(0, of=1, state="RUNNING")]
            ),
        )
        store(database, of_script(2, ended=True))
        rows = runs_in(database)
        assert [(rows[uid]["state"], rows[uid]["reason"]) for uid in (ROOT, A, B, C)] == [
            (4, None),
            (6, "ProcessDied"),
            (6, "ProcessDied"),
            (4, None),
        ]
        assert rows[A]["message"] == crashes.ROOT_ENDED
        with database.reading() as connection:
            assert connection.execute(text("SELECT state FROM task_runs")).scalar_one() == 6

    def test_its_own_report_reverts_it(self, database: Database) -> None:
        """It was on a disk."""
        store(database, of_script(2, ended=True))
        store(database, of_script(1, called=[called(A, ended=False)]))
        sweep(database)
        assert runs_in(database)[A]["state"] == 6
        store(database, of_script(3, ended=True, called=[called(A)]), late=True)
        row = runs_in(database)[A]
        assert (row["state"], row["sequence"], row["crashes"], row["gap"]) == (4, 3, 0, False)

    def test_the_mirror_says_that_the_root_ended(self, database: Database) -> None:
        store(database, report(1, called=[called(A, ended=False), called(B)]))
        assert sweep(database) == 0
        with database.writing() as connection:
            connection.execute(text("UPDATE flow_runs SET state = 6, resource_version = 7, attempt = 1 WHERE root IS NULL"))
        assert sweep(database) == 1
        assert runs_in(database)[A]["state"] == 6
        assert sweep(database) == 0

    def test_the_root_is_in_another_attempt(self, database: Database) -> None:
        store(database, report(1, called=[called(A, ended=False)]))
        with database.writing() as connection:
            connection.execute(text("UPDATE flow_runs SET resource_version = 7, attempt = 2 WHERE root IS NULL"))
        store(database, report(1, attempt=2, called=[called(B, ended=False)]))
        sweep(database)
        assert [runs_in(database)[uid]["state"] for uid in (ROOT, A, B)] == [3, 6, 3]

    def test_a_suspended_one_waits_for_the_next_attempt_and_is_cancelled_with_its_root(self, database: Database) -> None:
        """There was no process that could have crashed."""
        suspended = [*BEGUN, [3, "PAUSED", "Suspended", AT + 9, "", [], "", ""]]
        store(database, report(1, called=[called(A, transitions=suspended)]))
        store(database, report(1, attempt=2, called=[called(B, ended=False)]))
        with database.writing() as connection:
            connection.execute(text("UPDATE flow_runs SET resource_version = 7, attempt = 2 WHERE root IS NULL"))
        assert sweep(database) == 0
        with database.writing() as connection:
            connection.execute(text("UPDATE flow_runs SET state = 9 WHERE root IS NULL"))
        assert sweep(database) == 2
        rows = runs_in(database)
        assert [(rows[uid]["state"], rows[uid]["reason"], rows[uid]["sequence"]) for uid in (A, B)] == [
            (9, "Cancelled", 4),
            (6, "ProcessDied", 3),
        ]

    def test_the_process_of_a_script_is_gone(self, tmp_path: Path) -> None:
        """Its lock is free: the root crashes when the file is opened next, and what it called."""
        file = tmp_path / "history.db"
        with closing(EmbeddedDatabase(file)) as opened:
            opened.store_batch(ROOT, decode(json.dumps(of_script(1, called=[called(A, ended=False), called(C)])).encode()), late=True)
        with closing(EmbeddedDatabase(file)) as opened:
            states = opened.reading().run("SELECT kind, state FROM flow_runs ORDER BY kind, state")
        assert states == [(RunKind.CALLED, 4), (RunKind.CALLED, 6), (RunKind.SCRIPT, 6)]


def sweep(database: Database) -> int:
    """What the zombie detection does; how many runs it ended."""
    with database.writing() as connection:
        session = SqlalchemySession(connection)
        return sum(crashes.crash_left(session, number) for number in crashes.called_and_left(session))


class TestEvents:
    """Events of a report."""

    def test_they_are_stored_once(self, database: Database) -> None:
        """Twice in a report and in two reports; of the root and of a called run; any payload."""
        ids = [str(uuid.UUID(int=n)) for n in (30, 31, 32)]
        events = [
            {"id": ids[0], "name": "a", "resource": "r", "time": AT, "payload": {"x": [1, None, "é\0"]}},
            {"id": ids[1], "name": "b" * 200, "resource": "r" * 500, "time": AT + 1, "of": 1},
            {"id": ids[0], "name": "other", "resource": "r", "time": AT},
            {"id": ids[2], "name": "c", "resource": "r", "time": 0, "payload": "x" * 8190},
        ]
        for number in (1, 2):
            store(database, report(number, called=[called(A)], events=events))
        with database.reading() as connection:
            rows = connection.execute(
                text("SELECT e.name, e.payload, f.root FROM events e JOIN flow_runs f ON f.no = e.flow_run ORDER BY e.id")
            ).all()
        assert [(name[:1], root is not None) for name, _, root in rows] == [("a", False), ("b", True), ("c", False)]
        assert [json.loads(rows[0].payload), rows[1].payload, len(rows[2].payload)] == [{"x": [1, None, "é\ufffd"]}, "null", 8192]

    @pytest.mark.anyio
    @pytest.mark.parametrize(
        ("change", "place"),
        [
            ({"id": "one"}, "id"),
            ({"name": ""}, "name"),
            ({"name": "x" * 201}, "name"),
            ({"resource": ""}, "resource"),
            ({"resource": "x" * 501}, "resource"),
            ({"time": -1}, "time"),
            ({"time": 10**18}, "time"),
            ({"payload": "x" * 8191}, "payload"),
            ({"of": 1}, "of"),
        ],
        ids=str,
    )
    async def test_what_is_no_event_is_refused_with_the_place(self, database_url: str, change: dict[str, Any], place: str) -> None:
        event = {"id": A, "name": "a", "resource": "r", "time": AT} | change
        async with running(Settings(database_url=database_url, mirror=False)) as client:
            answer = await client.post(f"{API}/flow-runs/{ROOT}/reports", json=report(1, events=[event]))
        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, f"events[0].{place}")


def test_the_version_is_that_of_this_release() -> None:
    """The support module sends what the SDK sends."""
    assert report()["version"] == WIRE_VERSION
