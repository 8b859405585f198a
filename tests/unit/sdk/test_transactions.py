"""Tasks that count together or not at all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from mintaka import flow, task
from mintaka.cache_policies import INPUTS
from mintaka.exceptions import ConfigurationError, StorageError
from mintaka.locking.memory import MemoryLockManager
from mintaka.results import ResultStore
from mintaka.testing import recorded
from mintaka.transactions import (
    CommitMode,
    IsolationLevel,
    Transaction,
    TransactionState,
    atransaction,
    get_transaction,
    transaction,
)

if TYPE_CHECKING:
    from pathlib import Path

DONE: list[str] = []


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the results of one test."""
    monkeypatch.setenv("MINTAKA_RESULT_STORAGE", str(tmp_path / "results"))
    DONE.clear()
    return tmp_path / "results"


def files(folder: Path) -> list[Path]:
    """The results in `folder`; what is kept of the flow runs themselves is apart."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "run")


def made(name: str) -> Any:
    """A task that notes what is done with it."""

    @task(name=name)
    def step() -> str:
        DONE.append(name)
        return name

    @step.on_commit
    def commit(_: Transaction) -> None:
        DONE.append(f"commit {name}")

    @step.on_rollback
    def rollback(_: Transaction) -> None:
        DONE.append(f"rollback {name}")

    return step


@task
def fail() -> None:
    raise ValueError("no")


one, two = made("one"), made("two")


def test_hooks_of_commit_are_called_in_order_when_the_block_ends() -> None:
    """Not before."""

    @flow
    def both() -> None:
        with transaction() as txn:
            one()
            two()
            assert txn.is_active()
            DONE.append("end")
        assert txn.is_committed()

    both()
    assert DONE == ["one", "two", "end", "commit one", "commit two"]


def test_when_a_later_task_fails_the_earlier_ones_are_rolled_back_the_last_first() -> None:
    """Their runs say so; the task that failed has nothing to undo."""

    @flow
    def both() -> None:
        with transaction():
            one()
            two()
            fail()

    with recorded() as history:
        assert both(return_state=True).name == "Failed"
    assert DONE == ["one", "two", "rollback two", "rollback one"]
    assert [run.history[-1].name for run in history.runs.values()] == ["RolledBack", "RolledBack", "Failed"]
    end = history.runs[0].history[-1]
    assert (end.type.value, end.message) == ("COMPLETED", "its transaction was rolled back")


def test_an_exception_of_the_flows_own_rolls_back_too() -> None:
    """Whatever leaves the block."""

    @flow
    def both() -> None:
        with transaction() as txn:
            one()
            raise KeyError(str(txn.state))

    assert both(return_state=True).message == "'ACTIVE'"
    assert DONE == ["one", "rollback one"]


def test_a_failure_that_is_caught_inside_still_rolls_back() -> None:
    """All or nothing; what is done afterwards is undone at once."""

    @flow
    def both() -> str:
        with transaction() as txn:
            one()
            fail(return_state=True)
            assert txn.is_rolled_back()
            two()
        return txn.state

    assert both() == "ROLLED_BACK"
    assert DONE == ["one", "rollback one", "two", "rollback two"]


def test_a_task_that_succeeds_on_a_retry_rolls_nothing_back() -> None:
    """Only the end of a run counts, not each try."""
    tries: list[int] = []

    @task(retries=1)
    def flaky() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("first")

    @flow
    def both() -> None:
        with transaction():
            one()
            flaky()

    both()
    assert DONE == ["one", "commit one"]


def test_a_task_outside_of_transactions_commits_at_its_own_end() -> None:
    """Its hooks are called, in a flow or without one."""
    one()
    flow(two.fn, name="f")

    @flow
    def single() -> None:
        two()
        DONE.append("after")

    single()
    assert DONE == ["one", "commit one", "two", "commit two", "after"]


def test_submitted_tasks_take_part() -> None:
    """Where the block waits for them."""

    @flow
    def both() -> None:
        with transaction():
            futures = [one.submit(), two.submit()]
            for future in futures:
                future.wait()
            fail.submit().wait()

    assert both(return_state=True).name == "Failed"
    assert sorted(DONE) == ["one", "rollback one", "rollback two", "two"]


def test_values_are_for_the_hooks_and_for_what_is_inside() -> None:
    """As copies; what is unknown has a default or is an error."""

    @task
    def write() -> None:
        txn = get_transaction()
        assert txn is not None
        txn.set("path", txn.get("folder") + "/file")

    @write.on_rollback
    def remove(txn: Transaction) -> None:
        DONE.append(f"remove {txn.get('path')}")

    @flow
    def writes() -> None:
        with transaction() as outer:
            outer.set("folder", "data")
            outer.set("list", [1])
            with transaction() as inner:
                inner.get("list").append(2)
                assert inner.get("list") == [1]
                assert inner.get("nothing", 7) == 7
                with pytest.raises(ValueError, match="no value 'nothing'"):
                    inner.get("nothing")
                write()
            raise ValueError

    writes(return_state=True)
    assert DONE == ["remove data/file"]


def test_an_inner_transaction_waits_for_the_outer_one_unless_it_is_eager() -> None:
    """What was committed is not undone."""

    @flow
    def nested(mode: CommitMode | None) -> None:
        with transaction():
            with transaction(commit_mode=mode):
                one()
            two()
            raise ValueError

    nested(None, return_state=True)
    assert DONE == ["one", "two", "rollback two", "rollback one"]
    DONE.clear()
    nested(CommitMode.EAGER, return_state=True)
    assert DONE == ["one", "commit one", "two", "rollback two"]


def test_off_commits_only_when_told() -> None:
    """Else the end of the block undoes it."""

    @flow
    def told(commit: bool) -> None:
        with transaction(commit_mode=CommitMode.OFF) as txn:
            one()
            if commit:
                txn.commit()

    told(commit=False)
    told(commit=True)
    assert DONE == ["one", "rollback one", "one", "commit one"]


def test_a_commit_hook_that_raises_rolls_back_and_a_rollback_hook_that_raises_stops_none(caplog: pytest.LogCaptureFixture) -> None:
    """Both are logged with what they raised."""
    bad = made("bad")

    @bad.on_commit
    def refuse(_: Transaction) -> None:
        raise RuntimeError("cannot commit")

    @bad.on_rollback
    def stumble(_: Transaction) -> None:
        raise RuntimeError("cannot undo")

    @flow
    def both() -> str:
        with transaction() as txn:
            bad()
            one()
        return txn.state

    with recorded() as history:
        assert both() == "ROLLED_BACK"
    assert DONE == ["bad", "one", "commit bad", "rollback bad", "rollback one"]
    assert "cannot commit" in caplog.text
    assert "cannot undo" in caplog.text
    assert {run.history[-1].name for run in history.runs.values()} == {"RolledBack"}


def test_a_result_is_kept_only_when_the_transaction_commits(results: Path) -> None:
    """Inside, the same call finds it already; rolled back, nothing is left of it."""
    kept = one.with_options(cache_policy=INPUTS)

    @flow
    def twice(fails: bool) -> list[str]:
        with transaction():
            values = [kept(), kept()]
            assert files(results) == []
            if fails:
                fail()
        return values

    with recorded() as history:
        twice(fails=True, return_state=True)
    assert files(results) == []
    assert history.states_of("step-0") == ["Pending", "Running", "Completed", "RolledBack"]
    assert history.states_of("step-1") == ["Pending", "Cached"]
    DONE.clear()
    assert twice(fails=False) == ["one", "one"]
    assert len(files(results)) == 1
    assert DONE == ["one", "commit one"]
    assert kept() == "one"
    assert DONE == ["one", "commit one"]


def test_a_result_that_cannot_be_written_at_the_commit_is_told_in_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is rolled back for it: the side effects are there."""
    kept = one.with_options(cache_policy=INPUTS)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalFileSystem, "pipe_file", full)

    @flow
    def once() -> str:
        with transaction() as txn:
            kept()
        return txn.state

    with recorded() as history:
        assert once() == "COMMITTED"
    end = history.run("step-0").history[-1]
    assert (end.name, end.reason) == ("NotPersisted", "StorageError")
    assert DONE == ["one", "commit one"]


def test_a_key_makes_it_idempotent() -> None:
    """The second time it is committed from the start, and knows what was recorded."""

    def run() -> TransactionState:
        with transaction(key="upload/2026-11-22") as txn:
            if txn.is_committed():
                assert txn.read() == "done"
            else:
                one()
                txn.stage("done")
        return txn.state

    assert [run(), run()] == ["COMMITTED", "COMMITTED"]
    assert DONE == ["one", "commit one"]
    with transaction(key="upload/2026-11-22", overwrite=True) as txn:
        assert not txn.is_committed()


def test_a_transaction_that_failed_is_done_again() -> None:
    """No record is left of what was rolled back."""
    with pytest.raises(ValueError, match="no"), transaction(key="k"):
        fail()
    with transaction(key="k") as txn:
        assert not txn.is_committed()


def test_a_record_that_cannot_be_written_is_an_error_and_not_a_silent_rollback(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done is done; who asked for the record hears that there is none."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalFileSystem, "pipe_file", full)
    with pytest.raises(StorageError, match="No space left"), transaction(key="k") as txn:
        one()
    assert not txn.is_committed()
    assert DONE == ["one", "commit one"]


def test_serializable_needs_a_lock_and_lets_it_go(results: Path) -> None:
    """Also where the block fails."""
    with (
        pytest.raises(ConfigurationError, match="needs a store with a lock"),
        transaction(key="k", isolation_level=IsolationLevel.SERIALIZABLE),
    ):
        pass
    manager = MemoryLockManager()
    store = ResultStore(results, lock_manager=manager)
    with transaction(key="k", store=store, isolation_level=IsolationLevel.SERIALIZABLE):
        assert manager.is_locked("k")
    assert not manager.is_locked("k")
    with transaction(key="k", store=store, isolation_level=IsolationLevel.SERIALIZABLE) as txn:
        assert txn.is_committed()
    assert not manager.is_locked("k")
    with pytest.raises(KeyError), transaction(key="j", store=store, isolation_level=IsolationLevel.SERIALIZABLE):
        raise KeyError
    assert not manager.is_locked("j")


def test_async_tasks_and_hooks_take_part() -> None:
    """In an async flow, with either kind of block."""

    @task
    async def step(name: str) -> str:
        DONE.append(name)
        return name

    @step.on_commit
    async def commit(_: Transaction) -> None:
        await asyncio.sleep(0)
        DONE.append("commit")

    @flow
    async def both() -> None:
        async with atransaction(key="async") as txn:
            await step("a")
            await asyncio.gather(step("b"), step("c"))
        assert txn.is_committed()
        with transaction():
            await step("d")
        assert get_transaction() is None

    asyncio.run(both())
    assert DONE == ["a", "b", "c", "commit", "commit", "commit", "d", "commit"]


def test_a_transaction_is_entered_once() -> None:
    """A second `with` of the same one is an error of the code."""
    with transaction() as txn, pytest.raises(RuntimeError, match="has begun already"), txn:
        pass
