"""Readers' queries use an index: no table is read whole or sorted, for any values, on both databases."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

import filled_history as filled
from filled_history import BEGIN, HOUR, SPREAD, uid_of
from mintaka_api.queries import deployment_history
from mintaka_core.states import StateType
from mintaka_history.database import Database
from mintaka_history.enum_codes import NameKind, RunKind
from mintaka_history.paging import Page
from mintaka_history.queries import attempts, changes, counts, events, flow_runs, logs, names, task_runs
from mintaka_history.queries.flow_run_filters import FlowRunFilter
from mintaka_history.queries.names import Names
from mintaka_history.queries.task_runs import TaskRunFilter
from mintaka_history.tables import metadata
from query_plans import plans_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEWEST = Page(50, descending=True)
#: A page in the middle.
LATER = Page(50, descending=True, after=(BEGIN + 20 * HOUR, 12_000))
DAY = counts.CountFilter(BEGIN // HOUR + 1, BEGIN // HOUR + 31)
#: Tables that always stay small.
_SMALL = {"names", "schema_compatibility", "variables", "concurrency_limits", "flow_deployments"}
_LARGE = "|".join(sorted((table.name for table in metadata.sorted_tables if table.name not in _SMALL), key=len, reverse=True))
#: A sort of more rows than a page has, in the units of the planner.
_SORTED = re.compile(r"(?<!Incremental )Sort  \(cost=\S+ rows=(\d+)")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A filled database."""
    folder: Path = tmp_path_factory.mktemp("filled")
    url = f"sqlite:///{folder / 'mintaka.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").create_database("filled")
    opened = Database(url)
    filled.fill(opened)
    yield opened
    opened.dispose()


def flow_run_plan(database: Database, wanted: FlowRunFilter, page: Page = NEWEST) -> str:
    """The plan of a page of flow runs by time, without those of the small look-ups around it."""
    plans = plans_of(database, flow_runs.page, Names(), wanted, "created", page, None)
    return next(plan for plan in plans if "flow_runs" in plan)


def assert_walks_indexes(plan: str) -> None:
    """No table that may be large is read whole, and nothing of the size of a table is sorted."""
    assert not re.search(rf"Seq Scan on ({_LARGE})", plan), plan
    assert not re.search(rf"SCAN ({_LARGE})\b(?! USING (COVERING )?INDEX)", plan), plan
    assert "Bitmap" not in plan, plan
    assert all(int(rows) <= 2000 for rows in _SORTED.findall(plan)), plan


#: Without statistics SQLite finds both equally good, and takes the one that was made last.
_OF_NAMESPACE = "ix_flow_runs_roots_of_namespace|ix_flow_runs_ns_created"
#: kind, filter, what the plan must name.
FLOW_RUNS: dict[str, tuple[FlowRunFilter, str]] = {
    "runs by themselves": (FlowRunFilter(), "ix_flow_runs_roots"),
    "of a namespace": (FlowRunFilter(namespaces=("team-1",)), _OF_NAMESPACE),
    "of namespaces": (FlowRunFilter(namespaces=("team-1", "team-2")), _OF_NAMESPACE),
    "of a deployment": (FlowRunFilter(deployment="deployment-3"), "ix_flow_runs_deployment_created"),
    "of a deployment in a namespace": (
        FlowRunFilter(namespaces=("team-3",), deployment="deployment-3"),
        "ix_flow_runs_ns_deployment_created",
    ),
    "all": (FlowRunFilter(any_parent=True), "ix_flow_runs_created_no"),
    "called by one": (FlowRunFilter(parent=uid_of(500 * SPREAD)), "ix_flow_runs_children"),
    "below one": (FlowRunFilter(root=uid_of(500 * SPREAD)), "ix_flow_runs_tree"),
    "of scripts": (FlowRunFilter(kinds=(RunKind.SCRIPT,)), "ix_flow_runs_kind"),
    "not COMPLETED": (FlowRunFilter(not_states=(StateType.COMPLETED,)), "ix_flow_runs_unfinished"),
    "not FAILED": (FlowRunFilter(not_states=(StateType.FAILED,)), "ix_flow_runs_roots"),
    "not of a namespace": (FlowRunFilter(not_namespaces=("team-1",)), _OF_NAMESPACE),
    "not of a deployment": (FlowRunFilter(not_deployments=("deployment-1",)), "ix_flow_runs_deployment_created"),
    "without a tag": (FlowRunFilter(not_tags=("tag-1",)), "ix_flow_runs_roots"),
    "alive in an hour": (FlowRunFilter(alive_after=BEGIN + 10 * HOUR, alive_before=BEGIN + 11 * HOUR), "ix_flow_runs_span"),
}


@pytest.mark.parametrize("kind", FLOW_RUNS)
@pytest.mark.parametrize("page", [NEWEST, LATER], ids=["first page", "later page"])
def test_flow_runs_are_found_through_an_index(database: Database, kind: str, page: Page) -> None:
    """Each filter through its own, even if the statement is planned without its values."""
    wanted, index = FLOW_RUNS[kind]
    plan = flow_run_plan(database, wanted, page)
    assert_walks_indexes(plan)
    assert re.search(rf"\b({index})\b", plan), plan


#: kind, filter, what the plan of each partition must name.
TASK_RUNS: dict[str, tuple[TaskRunFilter, str]] = {
    "by time": (TaskRunFilter(), "created"),
    "of a namespace": (TaskRunFilter(namespaces=("team-1",)), "ns_created"),
    "of a task": (TaskRunFilter(task="etl.task_3"), "task_created"),
    "FAILED": (TaskRunFilter(states=(StateType.FAILED,)), "state_created"),
}


@pytest.mark.parametrize("kind", TASK_RUNS)
def test_pages_of_task_runs_merge_the_indexes_of_the_partitions(database: Database, kind: str) -> None:
    """Each of the six partitions gives its newest rows in order; none is read whole."""
    wanted, index = TASK_RUNS[kind]
    (plan,) = (plan for plan in plans_of(database, task_runs.page, Names(), wanted, "created", NEWEST, None) if "task_runs" in plan)
    assert_walks_indexes(plan)
    if database.is_postgresql:
        assert "Merge Append" in plan
        assert len(re.findall(rf"Index Scan Backward using task_runs_\d_{index}_idx", plan)) == 6, plan


def run_of(database: Database, n: int) -> flow_runs.RunKey:
    """The key of run `n`."""
    with database.reading() as connection:
        run = flow_runs.key(connection, Names(), uid_of(n * SPREAD))
    assert run is not None
    return run


def test_a_page_of_one_run_reads_one_partition(database: Database) -> None:
    """Its task runs, its log in both directions, what is searched in it, and the lines around one."""
    run, forward = run_of(database, 1), Page(5, descending=False)
    plans = [
        *plans_of(database, task_runs.page_of_run, Names(), run, 1, TaskRunFilter(), "n", forward, None),
        *plans_of(database, logs.page, Names(), run, 1, forward),
        *plans_of(database, logs.page, Names(), run, 1, Page(5, descending=True, after=(9000,), backwards=True)),
        *plans_of(database, logs.page, Names(), run, 1, forward, logs.LogFilter(level=40, text="ärger")),
        *plans_of(database, logs.around, Names(), run, 1, 100_000, forward),
    ]
    for plan in (plan for plan in plans if "task_runs" in plan or "logs" in plan):
        assert_walks_indexes(plan)
        if database.is_postgresql:
            assert len(re.findall(r"Scan (?:Backward )?using (?:logs|task_runs)_0_pkey", plan)) == 1, plan
            assert len(re.findall(r"on (?:logs|task_runs)_\d", plan)) == 1, plan
            assert int(re.findall(r"Subplans Removed: (\d+)", plan)[0]) >= 6, plan


#: kind, query, arguments, what a plan must name.
OTHERS: dict[str, tuple[Any, tuple[Any, ...], str]] = {
    "attempts": (attempts.page, (10, Page(5, descending=False)), "PRIMARY KEY|pk_attempts"),
    "decisions": (flow_runs.transitions, (10, Page(5, descending=False)), "PRIMARY KEY|pk_flow_run_transitions"),
    "versions": (
        deployment_history.versions,
        (Names(), "team-1", "deployment-1", Page(5, descending=True)),
        "ix_flow_deployment_versions_deployment_created_revision",
    ),
    "last runs": (
        deployment_history.last_runs,
        (Names(), [(1 + n % 4, f"deployment-{1 + n}") for n in range(20)]),
        "ix_flow_runs_ns_deployment_created",
    ),
    "histogram": (counts.histogram, (Names(), DAY, 30), "ix_flow_run_counts_deployment_ns_hour"),
    "events": (events.page, (Names(), events.EventFilter(), NEWEST), "ix_events_at_id"),
    "events of a namespace": (events.page, (Names(), events.EventFilter(namespaces=("team-1",)), NEWEST), "ix_events_ns_at_id"),
    "events of resources": (events.page, (Names(), events.EventFilter(resource="table/3"), NEWEST), "ix_events_resource_at_id"),
    "events of a run": (events.page, (Names(), events.EventFilter(flow_run=uid_of(10)), NEWEST), "ix_events_flow_run"),
    "changes": (changes.after, (Names(), changes.Position(0, 1, 0)), "ix_changes_tx_seq"),
    "newest change": (changes.newest, (), "ix_changes_tx_seq"),
    "names that begin so": (names.beginning_with, (NameKind.DEPLOYMENT, "deployment-1", 50), "names"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_else_is_asked_is_found_through_an_index(database: Database, kind: str) -> None:
    """One statement each, or a fixed number of them."""
    query, arguments, index = OTHERS[kind]
    plans = plans_of(database, query, *arguments)
    assert len(plans) <= 5
    for plan in plans:
        assert_walks_indexes(plan)
    assert any(re.search(index, plan) for plan in plans), plans
