"""Retention: which flow runs go, that they go as a whole, and what a dry run reports before. The expected values come first."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from api_testing import API, running
from mintaka_api.maintenance import Maintenance
from mintaka_api.settings import Settings
from mintaka_core.states import CANCELLED, CRASHED, FAILED, PAUSED, RUNNING
from mintaka_history.database import Database
from mintaka_history.enum_codes import STATE_CODES
from mintaka_history.maintenance import retention, run_deletion
from mintaka_history.maintenance.dry_run import dry_run
from mintaka_history.maintenance.policy import policy_of
from mintaka_history.migrating import migrate
from old_runs import NOW, TABLES, ago, change, counts, names_left, number_of, retire, store

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = """{"states": {"FAILED": {"days": 90}, "CRASHED": {"days": 0}}, "deployments": [
  {"match": "etl/hourly", "days": 2}, {"match": "audit/*", "days": 0}, {"match": "scripts/", "days": 5}]}"""
POLICY = policy_of("30", DOCUMENT)
NOTHING = dict.fromkeys(TABLES, 0)
#: The enum of kinds: a run of a cluster, and a called one.
DEPLOYED, CALLED = 1, 2


@pytest.mark.parametrize(
    ("kind", "run", "goes"),
    [
        ("finished long ago", {"ended": 40}, True),
        ("finished lately", {"ended": 29}, False),
        ("a state with a longer limit", {"ended": 40, "state": FAILED}, False),
        ("a state after its longer limit", {"ended": 101, "state": FAILED}, True),
        ("a state without limit", {"ended": 1000, "state": CRASHED}, False),
        ("cancelled, under the general limit", {"ended": 40, "state": CANCELLED}, True),
        ("a deployment with a shorter limit", {"ended": 3, "deployment": "hourly"}, True),
        ("that deployment's failures", {"ended": 3, "deployment": "hourly", "state": FAILED}, True),
        ("another namespace's deployment of that name", {"ended": 3, "namespace": "web", "deployment": "hourly"}, False),
        ("a deployment without limit", {"ended": 1000, "namespace": "audit"}, False),
        ("a script's run, without deployment", {"ended": 6, "namespace": "scripts", "deployment": None}, True),
        ("unfinished", {"ended": 40, "state": RUNNING}, False),
        ("suspended", {"ended": 400, "state": PAUSED}, False),
        ("created long ago, finished lately", {"ended": 1, "lasted": 100}, False),
        ("still in the cluster", {"ended": 40, "kind": DEPLOYED, "cluster": 1, "deleted": None}, False),
        ("reported, never mirrored", {"ended": 40, "kind": DEPLOYED, "deleted": None}, False),
        ("left the cluster", {"ended": 40, "kind": DEPLOYED, "cluster": 1, "deleted": ago(39)}, True),
        ("called, without a resource of its own", {"ended": 40, "kind": CALLED, "cluster": 1, "deleted": None}, True),
        ("of a state that a newer release added", {"ended": 40, "columns": {"state": 77}}, False),
        ("ended in the future", {"ended": -400, "lasted": 500}, False),
        ("without an end, which some operators did not report", {"ended": 101, "columns": {"ended": None}}, True),
        ("with more rows than go in one step", {"ended": 101, "tasks": 4000, "lines": 900}, True),
        ("without any task", {"ended": 101, "tasks": 0, "lines": 0}, True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_run_goes_with_all_its_rows_or_stays_with_all_of_them(database: Database, kind: str, run: dict[str, Any], goes: bool) -> None:
    """On both databases; on PostgreSQL all rows are in the default partition here."""
    del kind
    uid = store(database, "run", **{name: value for name, value in run.items() if name != "columns"})
    change(database, uid, **run.get("columns", {}))
    before = counts(database)
    plan = retention.plan(database, POLICY, NOW)
    deleted = retire(database, POLICY)
    assert counts(database) == (NOTHING if goes else before)
    assert plan.flow_runs == deleted["flow_runs"] == int(goes)
    assert {table: deleted[table] for table in TABLES} == (before if goes else NOTHING)


def test_without_a_policy_nothing_goes(database: Database) -> None:
    """The default."""
    store(database, "run", 4000)
    assert retire(database, policy_of("", "")) == {}
    assert names_left(database) == ["run"]


@pytest.mark.parametrize(
    ("kind", "root", "called", "goes"),
    [
        ("all over long ago", {}, {}, True),
        ("the called run is unfinished", {}, {"state": RUNNING}, False),
        ("the called run ended lately", {}, {"ended": 3}, False),
        ("the called run is in the cluster", {}, {"kind": DEPLOYED, "cluster": 1, "deleted": None}, False),
        ("the called run has no limit of its own", {}, {"namespace": "audit"}, True),
        ("the root is unfinished", {"state": RUNNING}, {}, False),
        ("the root has no limit", {"namespace": "audit"}, {}, False),
        ("the root is in the cluster", {"kind": DEPLOYED, "cluster": 1, "deleted": None}, {"kind": CALLED}, False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_called_runs_go_with_their_root(database: Database, kind: str, root: dict[str, Any], called: dict[str, Any], goes: bool) -> None:
    """However deep: here the called run called another one."""
    del kind
    top = store(database, "root", **{"ended": 40, **root})
    middle = store(database, "called", **{"ended": 40, "kind": CALLED, **called}, parent=top)
    store(database, "deep", 40, kind=CALLED, parent=middle)
    retire(database, POLICY)
    assert names_left(database) == ([] if goes else ["called", "deep", "root"])


def test_a_called_run_whose_root_is_gone_goes_by_its_own_limit(database: Database) -> None:
    """For instance if a backup had only one of them."""
    store(database, "old", 40, parent=17)
    store(database, "new", 4, parent=17)
    retire(database, POLICY)
    assert names_left(database) == ["new"]


def test_many_runs_go_and_the_others_stay(database: Database) -> None:
    """More than one page and one step; the dry run reports the same before."""
    for number in range(230):
        store(database, f"old-{number}", 40 + number / 100, tasks=1, lines=0, deployment="nightly" if number % 2 else "weekly")
    for number in range(20):
        store(database, f"new-{number}", 3)
    plan = retention.plan(database, POLICY, NOW)
    assert (plan.flow_runs, plan.complete, dict(plan.states)) == (230, True, {"COMPLETED": 230})
    assert dict(plan.deployments) == {"etl/nightly": 115, "etl/weekly": 115}
    assert plan.rows == {
        "flow_runs": 230,
        "task_runs": 230,
        "logs": 0,
        "artifacts": 230,
        "flow_run_transitions": 690,
        "attempts": 230,
        "events": 230,
    }
    assert plan.oldest is not None
    assert plan.newest is not None
    assert ago(43) < plan.oldest < plan.newest < ago(40)
    deleted = retire(database, POLICY)
    assert {table: deleted[table] for table in plan.rows} == plan.rows
    assert names_left(database) == sorted(f"new-{number}" for number in range(20))
    assert retire(database, POLICY).total() == 0


def test_a_clock_that_was_set_back_deletes_less(database: Database) -> None:
    """And what is due again later goes then."""
    store(database, "run", 40)
    assert retire(database, POLICY, ago(20)).total() == 0
    assert retire(database, POLICY, NOW)["flow_runs"] == 1


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_a_process_that_ends_in_the_middle_leaves_what_the_next_one_finishes(
    database: Database, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """A run of which a part is deleted is marked as incomplete, and is found again."""
    monkeypatch.setattr(run_deletion, "_CHUNK", 3)
    monkeypatch.setattr(run_deletion, "_ROWS_LIMIT", 3)
    top = store(database, "root", 40, tasks=5)
    store(database, "called", 40, tasks=5, kind=CALLED, parent=top)
    store(database, "other", 3)
    work = retention.steps(database, POLICY, NOW)
    for _ in range(steps):
        next(work)
    work.close()
    left = names_left(database)
    assert "root" in left
    with database.reading() as connection:
        gaps = connection.execute(text("SELECT name, gap FROM flow_runs WHERE gap")).all()
    assert {name for name, _ in gaps} <= set(left) - {"other"}
    retire(database, POLICY)
    assert names_left(database) == ["other"]
    assert set(counts(database).values()) != {0}


def test_a_slow_machine_makes_progress_in_every_step(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if a step's time is over before it has deleted anything."""
    monkeypatch.setattr(run_deletion, "_SECONDS", -1.0)
    store(database, "run", 40)
    steps = list(retention.steps(database, POLICY, NOW))
    assert len(steps) <= len(TABLES)
    assert all(step.rows.total() for step in steps)
    assert set(counts(database).values()) == {0}


def test_a_run_that_goes_on_after_it_was_found_stays(database: Database) -> None:
    """And so do the runs that it called."""
    top = store(database, "root", 40)
    store(database, "called", 40, kind=CALLED, parent=top)
    store(database, "other", 40)
    before = counts(database)
    work = retention.steps(database, POLICY, NOW)
    real = run_deletion.delete_some

    def restart_first(session: Any, runs: Any) -> run_deletion.Step:
        session.run("UPDATE flow_runs SET state = ?, sequence = sequence + 1 WHERE no = ?", (STATE_CODES[RUNNING], number))
        return real(session, runs)

    number = number_of(database, top)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_deletion, "delete_some", restart_first)
        list(work)
    assert names_left(database) == ["called", "root"]
    assert counts(database)["task_runs"] == before["task_runs"] * 2 // 3


def test_a_run_that_another_transaction_changes_is_left_for_the_next_pass(postgres: Any) -> None:
    """No waiting for it, hence no deadlock with the mirror, which locks runs in another order."""
    name = "retention_locked"
    database = Database(postgres.create_database(name))
    migrate(database)
    try:
        store(database, "held", 40)
        store(database, "free", 40)
        with database.writing() as connection:
            connection.execute(text("SELECT no FROM flow_runs WHERE name = 'held' FOR UPDATE"))
            retire(database, POLICY)
            assert names_left(database) == ["held"]
        retire(database, POLICY)
        assert names_left(database) == []
    finally:
        database.dispose()
        postgres.drop_database(name)


def test_reports_are_stored_and_pages_are_read_while_runs_go(database: Database) -> None:
    """Every report is stored and none fails, and what stays has all its rows."""
    for number in range(150):
        store(database, f"old-{number}", 40, tasks=50, lines=20)
    failures: list[BaseException] = []
    stored: list[str] = []
    done = threading.Event()

    def write() -> None:
        try:
            while not done.is_set() or len(stored) < 3:
                stored.append(store(database, f"new-{len(stored)}", 0, tasks=20, lines=5))
        except BaseException as error:  # noqa: BLE001 - to be seen by the test
            failures.append(error)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    retire(database, POLICY)
    done.set()
    writer.join()
    assert failures == []
    assert len(names_left(database)) == len(stored) >= 3
    assert counts(database)["task_runs"] == len(stored) * 20
    assert counts(database)["logs"] == len(stored) * 5


async def _rest(*_: object) -> None:
    """In place of the API's own maintenance."""


@pytest.mark.anyio
async def test_a_reader_gets_a_page_or_not_found_while_runs_go(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never a server error, at any step in between."""
    monkeypatch.setattr(Maintenance, "run", _rest)
    async with running(Settings(database_url=database_url, mirror=False)) as api:
        database: Database = api.app.state.services.database  # type: ignore[attr-defined]
        uids = [store(database, f"old-{number}", 40, tasks=30, lines=30) for number in range(40)]
        work = retention.steps(database, POLICY, NOW)
        paths = ["", "/task-runs", "/logs", "/transitions", "/artifacts", "/graph", "/pauses"]
        seen = set()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run_deletion, "_CHUNK", 200)
            patch.setattr(run_deletion, "_ROWS_LIMIT", 400)
            while await database.in_writer(next, work, None) is not None:
                for path in paths:
                    seen.add((await api.get(f"{API}/flow-runs/{uids[0]}{path}")).status_code)
                seen.add((await api.get(f"{API}/flow-runs")).status_code)
                seen.add((await api.get(f"{API}/task-runs", params={"tag": "task"})).status_code)
        assert seen <= {200, 404}
        assert (await api.get(f"{API}/flow-runs/{uids[0]}")).status_code == 404
        assert (await api.get(f"{API}/flow-runs")).json()["items"] == []


@pytest.mark.anyio
async def test_the_api_says_what_would_go(database_url: str) -> None:
    """Under its settings, or under another general limit; it deletes nothing."""
    async with running(Settings(database_url=database_url, mirror=False, retention=policy_of("", ""))) as api:
        database: Database = api.app.state.services.database  # type: ignore[attr-defined]
        for number in range(3):
            store(database, f"run-{number}", 10 + number)
        nothing = (await api.get(f"{API}/retention")).json()
        assert (nothing["enabled"], nothing["flow_runs"], nothing["partitions"]) == (False, 0, [])
        found = (await api.get(f"{API}/retention", params={"days": 0.5})).json()
        assert (found["enabled"], found["complete"], found["flow_runs"], found["states"]) == (True, True, 3, {"COMPLETED": 3})
        assert sorted(found["first"]) == ["etl/run-0", "etl/run-1", "etl/run-2"]
        assert found["estimated_rows"]["task_runs"] == 6
        assert found["estimated_bytes"] > 1000
        assert (await api.get(f"{API}/retention", params={"days": -1})).status_code == 400
        assert (await api.get(f"{API}/retention", params={"day": 1})).status_code == 400
        assert len(names_left(database)) == 3


def test_a_file_of_sqlite_shrinks(tmp_path: Path) -> None:
    """In small steps after runs went; both ways of creating a file allow it."""
    from mintaka_history.embedded_sqlite import EmbeddedDatabase  # noqa: PLC0415 - of this test alone
    from mintaka_history.maintenance import jobs  # noqa: PLC0415

    for name, embedded in (("api.db", False), ("script.db", True)):
        path = tmp_path / name
        if embedded:
            EmbeddedDatabase(path).close()
        database = Database(f"sqlite:///{path}")
        migrate(database)
        for number in range(20):
            store(database, f"run-{number}", 40, tasks=3000, lines=900)
        with database.writing() as connection:
            before = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        retire(database, POLICY)
        for _ in jobs.tidy(database, NOW):
            pass
        with database.writing() as connection:
            after = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            free = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
        database.dispose()
        assert before > 2500
        assert free <= 1000
        assert after < before - 1000


def test_pauses_and_leases_that_nothing_asks_for_again_go(database: Database) -> None:
    """A pause may be announced before its run is known, and a lease may be renewed late: those stay for a day."""
    from mintaka_history.maintenance import jobs  # noqa: PLC0415 - of this test alone

    store(database, "run", 40)
    with database.writing() as connection:
        connection.execute(text("UPDATE pauses SET created = :old"), {"old": ago(50)})
        connection.execute(text("UPDATE concurrency_leases SET expires = :late"), {"late": ago(0.5)})
    list(jobs.tidy(database, NOW))
    assert (counts(database)["pauses"], counts(database)["concurrency_leases"]) == (1, 1)
    with database.writing() as connection:
        connection.execute(text("DELETE FROM flow_runs"))
        connection.execute(text("UPDATE concurrency_leases SET expires = :late"), {"late": ago(1.5)})
    list(jobs.tidy(database, NOW))
    assert (counts(database)["pauses"], counts(database)["concurrency_leases"]) == (0, 0)


def test_the_answer_of_a_dry_run_is_the_plan(database: Database) -> None:
    store(database, "run", 101)
    answer = dry_run(database, POLICY)
    assert (answer.flow_runs, answer.deployments, answer.first) == (1, {"etl/nightly": 1}, ["etl/run"])
