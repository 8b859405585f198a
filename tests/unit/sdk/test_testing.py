"""The testing harness that ships: faults, waits, history, fixtures."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, task
from mintaka.exceptions import TimedOut, WorkerDied
from mintaka.testing import faults, no_waiting, recorded
from mintaka.testing.utilities import mintaka_test_harness

if TYPE_CHECKING:
    from mintaka.testing import Faults, MemoryRecorder

pytest_plugins = ["pytester"]


@task(retries=3, retry_delay_seconds=[10, 20, 30], crash_retries=2)
def load(n: int = 1) -> int:
    return n


@task(retries=1, retry_delay_seconds=60)
async def load_async() -> int:
    return 2


@flow
def main() -> int:
    return load()


def test_a_task_that_is_made_to_crash_draws_on_its_crash_budget(mintaka_no_waiting: list[float]) -> None:
    with recorded() as history, faults() as faulty:
        faulty.crash(load, times=2)
        assert main() == 1
    assert [entry.reason for entry in history.run("load-0").history if entry.name == "AwaitingRetry" and not entry.waits] == [
        "WorkerDied",
        "WorkerDied",
    ]
    assert mintaka_no_waiting == pytest.approx([10, 20], abs=0.5)


def test_a_crash_beyond_the_budget_ends_the_run_crashed() -> None:
    with recorded() as history, faults() as faulty, no_waiting():
        faulty.crash(load, times=3)
        with pytest.raises(WorkerDied):
            main()
    assert history.states_of("load-0")[-1] == "Crashed"


def test_a_task_fails_with_the_error_asked_for_and_then_recovers(
    mintaka_history: MemoryRecorder, mintaka_faults: Faults, mintaka_no_waiting: list[float]
) -> None:
    mintaka_faults.fail(load, OSError("disk full"), times=2)
    assert main() == 1
    assert mintaka_history.states_of("load-0").count("Retrying") == 2
    assert mintaka_no_waiting == pytest.approx([10, 20], abs=0.5)


def test_faults_asked_for_later_come_first_and_each_is_used_up(mintaka_no_waiting: list[float]) -> None:
    with recorded() as history, faults() as faulty:
        faulty.fail(load, OSError("second"))
        faulty.fail(load, ValueError("first"))
        assert main() == 1
    reasons = [entry.reason for entry in history.run("load-0").history if entry.name == "AwaitingRetry" and not entry.waits]
    assert reasons == ["ValueError", "OSError"]
    assert len(mintaka_no_waiting) == 2


def test_a_task_times_out_at_once(mintaka_faults: Faults, mintaka_no_waiting: list[float]) -> None:
    patient = load.with_options(timeout_seconds=3600, retries=0)
    mintaka_faults.time_out(patient)

    @flow
    def waits() -> int:
        return patient()

    with pytest.raises(TimedOut):
        waits()
    assert mintaka_no_waiting == []


def test_a_delayed_task_begins_late(mintaka_faults: Faults) -> None:
    order: list[str] = []

    @task
    def slow() -> None:
        order.append("slow")

    @task
    def quick() -> None:
        order.append("quick")

    @flow
    def race() -> None:
        first, second = slow.submit(), quick.submit()
        first.wait()
        second.wait()

    mintaka_faults.delay(slow, seconds=0.2)
    race()
    assert order == ["quick", "slow"]


def test_async_tasks_have_faults_and_skip_waits_too(mintaka_faults: Faults, mintaka_no_waiting: list[float]) -> None:
    @flow
    async def awaits() -> int:
        return await load_async()

    mintaka_faults.fail(load_async, ValueError("no"))
    assert asyncio.run(awaits()) == 2
    assert mintaka_no_waiting == pytest.approx([60], abs=0.5)


def test_after_the_block_everything_is_as_it_was() -> None:
    body, seconds = load.body, load.timeout_seconds
    with faults() as faulty:
        faulty.crash(load)
        faulty.time_out(load)
    assert load.body is body
    assert load.timeout_seconds == seconds


def test_a_fault_that_never_happens_is_refused() -> None:
    with faults() as faulty, pytest.raises(ValueError, match="at least once"):
        faulty.crash(load, times=0)


def test_the_harness_gives_history_a_folder_of_its_own_and_restores_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINTAKA_API_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("MINTAKA_RESULT_STORAGE", "s3://of-everyday")
    with mintaka_test_harness() as folder:
        assert os.environ["MINTAKA_HOME"] == folder
        assert "MINTAKA_API_URL" not in os.environ
        assert main.with_options(persist_result=True)() == 1
        assert any(Path(folder, "results").iterdir())
    assert os.environ["MINTAKA_API_URL"] == "http://127.0.0.1:1"
    assert os.environ["MINTAKA_RESULT_STORAGE"] == "s3://of-everyday"
    assert not Path(folder).exists()


def test_the_plugin_is_installed_and_light(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_light():
            assert not {"pydantic", "sqlalchemy", "httpx"} & set(sys.modules)

        def test_with(mintaka_history, mintaka_faults, mintaka_no_waiting, mintaka_home):
            from mintaka import flow, task

            @task(retries=1, retry_delay_seconds=100)
            def one():
                return 1

            @flow
            def main():
                return one()

            mintaka_faults.fail(one, ValueError("no"))
            assert main() == 1
            assert mintaka_history.states_of("one-0")[-1] == "Completed"
        """
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=2)


def test_asking_for_a_run_that_there_is_not_tells_those_there_are() -> None:
    @task
    def load() -> None: ...

    @flow
    def main() -> None:
        load()

    with recorded() as history:
        main()
    with pytest.raises(LookupError, match=r"no run was called 'save-0'; there are: load-0$"):
        history.states_of("save-0")


def test_a_fault_is_put_on_a_task_only() -> None:
    given: Any = len
    with faults() as faulty:
        with pytest.raises(TypeError, match="a function under @task"):
            faulty.crash(given)
        with pytest.raises(TypeError, match="a function under @task"):
            faulty.time_out(given)
