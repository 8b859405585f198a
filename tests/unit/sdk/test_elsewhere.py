"""Tasks whose bodies run on an executor: what crosses the border and what stays. Workers are threads of this process here."""

from __future__ import annotations

import os
import pickle
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, get_run_logger, runtime, task, unmapped
from mintaka.artifacts import create_markdown_artifact
from mintaka.engine.entries import Entry, Opinion
from mintaka.engine.runs import Run
from mintaka.exceptions import ClusterLost, ConfigurationError, SerializationError, SharingAway, TimedOut, WorkerDied
from mintaka.states import Completed
from mintaka.task_runners import DaskTaskRunner, ExecutorTaskRunner, ProcessPoolTaskRunner, ThreadPoolTaskRunner
from mintaka.testing import recorded
from mintaka.variables import Variable
from mintaka_core.states import FAILED, RUNNING, SCHEDULED, StateType

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = ExecutorTaskRunner(lambda: ThreadPoolExecutor(2))


class ProcessExpired(OSError):
    """As an executor tells that a worker died."""


class Faulty(Executor):
    """Runs calls at once, after failing with each of `faults`."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if self.faults:
            future.set_exception(self.faults.pop(0))
        else:
            future.set_result(fn(*args, **kwargs))
        return future


@task
def add(a: int, b: int = 1) -> int:
    return a + b


@task
def bad() -> None:
    raise ValueError("no")


def test_calls_maps_and_edges_are_those_of_threads() -> None:
    @flow(task_runner=THREADS)
    def sums() -> list[int]:
        first = add.submit(1)
        return [add.submit(first, b=first).result(), *add.map([1, 2], unmapped(10)).result()]

    with recorded() as history:
        assert sums() == [4, 11, 12]
    assert history.states_of("add-0") == ["Pending", "Running", "Completed"]
    assert history.upstream_of("add-1") == {"add-0"}


def test_failures_are_retried_in_the_flow_s_process() -> None:
    tries: list[int] = []

    @task(retries=2, retry_condition_fn=lambda *_: bool(tries.append(os.getpid())) or True)
    def fails() -> None:
        raise KeyError("x")

    @flow(task_runner=THREADS)
    def main() -> Any:
        return fails.submit(return_state=True)

    with recorded() as history:
        state = main(return_state=True)
    assert isinstance(state.error, KeyError)
    assert len(tries) == 2
    assert history.states_of("fails-0").count("Retrying") == 2


def test_an_exception_comes_back_with_the_worker_s_traceback_as_a_note() -> None:
    @flow(task_runner=THREADS)
    def main() -> None:
        bad.submit().result()

    with pytest.raises(ValueError, match="no") as caught:
        main()
    assert "in the worker" in caught.value.__notes__[0]


def test_an_exception_that_cannot_be_pickled_comes_back_as_one_of_its_class() -> None:
    class Stubborn(Exception):
        def __reduce__(self) -> Any:
            raise TypeError("never")

    @task
    def raises() -> None:
        raise Stubborn("I stay")

    @flow(task_runner=THREADS)
    def main() -> None:
        raises.submit().result()

    with pytest.raises(Stubborn, match=r"^I stay"):
        main()


def test_an_exception_that_can_neither_be_pickled_nor_say_what_it_is_fails_its_task() -> None:
    class Mute(Exception):
        def __reduce__(self) -> Any:
            raise TypeError("never")

        def __str__(self) -> str:
            raise TypeError("never")

    @task
    def raises() -> None:
        raise Mute

    @flow(task_runner=THREADS)
    def main() -> list[str]:
        state = raises.submit(return_state=True)
        return [state.name, state.reason, state.message]

    assert main() == ["Failed", "Mute", "<its __str__ raised TypeError>"]


def test_an_argument_that_cannot_be_pickled_fails_its_task_and_is_named() -> None:
    @flow(task_runner=THREADS)
    def main() -> None:
        add.submit(1, b=threading.Lock()).result()  # type: ignore[arg-type]

    with recorded() as history, pytest.raises(SerializationError, match=r"argument 'b' of task run add-0, a lock"):
        main()
    assert history.states_of("add-0") == ["Pending", "Running", "Failed"]


def test_a_result_that_cannot_be_pickled_fails_its_task() -> None:
    @task
    def locks() -> Any:
        return threading.Lock()

    @flow(task_runner=THREADS)
    def main() -> None:
        locks.submit().result()

    with pytest.raises(SerializationError, match="the result of task run locks-0, a lock"):
        main()


def test_the_death_of_a_worker_crashes_the_task_it_ran() -> None:
    @flow(task_runner=ExecutorTaskRunner(lambda: Faulty(ProcessExpired("gone"))))
    def main() -> Any:
        crashed, other = add.submit(1), add.submit(2)
        crashed.wait()
        return [crashed.state.type, crashed.state.reason, other.result()]

    assert main() == ["CRASHED", "WorkerDied", 3]


def test_a_crash_is_retried_on_its_own_budget() -> None:
    patient = add.with_options(crash_retries=2, retries=0)

    @flow(task_runner=ExecutorTaskRunner(lambda: Faulty(ProcessExpired("gone"), ProcessExpired("gone"))))
    def main() -> Any:
        return patient.submit(1).result()

    with recorded() as history:
        assert main() == 2
    assert [entry.reason for entry in history.run("add-0").history if entry.name == "AwaitingRetry"] == ["WorkerDied", "WorkerDied"]


def test_failures_do_not_draw_on_the_crash_budget() -> None:
    fails = bad.with_options(crash_retries=5)

    @flow(task_runner=THREADS)
    def main() -> Any:
        return fails.submit(return_state=True)

    with recorded() as history:
        main(return_state=True)
    assert history.states_of("bad-0") == ["Pending", "Running", "Failed"]


def test_a_crash_without_budget_raises_what_happened() -> None:
    @flow(task_runner=ExecutorTaskRunner(lambda: Faulty(ProcessExpired("gone"))))
    def main() -> None:
        add.submit(1).result()

    with pytest.raises(WorkerDied, match="gone"):
        main()


def test_a_lost_cluster_crashes_what_it_ran() -> None:
    @flow(task_runner=ExecutorTaskRunner(lambda: Faulty(ConnectionError("no scheduler"))))
    def main() -> None:
        add.submit(1).result()

    with pytest.raises(ClusterLost, match="no scheduler"):
        main()


def test_an_executor_that_cannot_be_made_crashes_every_task_and_holds_up_nothing() -> None:
    def impossible() -> Executor:
        raise OSError("no cluster today")

    @flow(task_runner=ExecutorTaskRunner(impossible))
    def main() -> Any:
        futures = [add.submit(n) for n in range(3)]
        return [str(future.result(raise_on_failure=False)) for future in futures]

    assert all("no cluster today" in told for told in main())


def test_what_is_not_installed_is_a_failure_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys  # noqa: PLC0415 - only here

    monkeypatch.setitem(sys.modules, "distributed", None)

    @flow(task_runner=DaskTaskRunner())
    def main() -> None:
        add.submit(1).result()

    with pytest.raises(ConfigurationError, match=r"pip install 'mintaka\[dask\]'"):
        main()


def test_the_code_finds_the_surroundings_it_has_at_home() -> None:
    @task(tags=["t"])
    def asks() -> list[Any]:
        return [
            runtime.flow_run.name,
            runtime.flow_run.parameters,
            runtime.task_run.name,
            runtime.task_run.run_count,
            runtime.task_run.tags,
        ]

    @flow(task_runner=THREADS, flow_run_name="run of {n}")
    def main(n: int) -> Any:  # noqa: ARG001 - seen as a parameter
        return asks.submit().result()

    assert main(3) == ["run of 3", {"n": 3}, "asks-0", 1, ["t"]]


def test_variables_and_limits_are_those_of_home_whatever_the_worker_s_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINTAKA_HISTORY", "on")
    monkeypatch.setenv("MINTAKA_API_URL", "http://127.0.0.1:9")

    @task
    def asks() -> str:
        os.environ.pop("MINTAKA_API_URL", None)
        try:
            Variable.get("a")
        except SharingAway as away:
            return str(away)
        return "it was looked for elsewhere"

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def main() -> str:
        return asks.submit().result()

    with recorded():
        assert "http://127.0.0.1:9" in main()


def test_tasks_called_inside_are_taken_into_the_history() -> None:
    @task
    def outer() -> int:
        return add(1) + add.submit(2).result()

    @flow(task_runner=THREADS)
    def main() -> int:
        return outer.submit().result()

    with recorded() as history:
        assert main() == 5
    inside = [run for run in history.runs.values() if run.parent == history.run("outer-0").n]
    assert [run.state.name for run in inside] == ["Completed", "Completed"]


def test_a_timeout_ends_the_body_where_it_runs() -> None:
    @task(timeout_seconds=0.05)
    def slow() -> None:
        threading.Event().wait(5)

    @flow(task_runner=THREADS)
    def main() -> Any:
        future = slow.submit()
        with pytest.raises(TimedOut):
            future.result()
        return future.state.name

    assert main() == "TimedOut"


def test_async_tasks_have_a_loop_there() -> None:
    @task
    async def double(n: int) -> int:
        return 2 * n

    @flow(task_runner=THREADS)
    def main() -> Any:
        return double.map([1, 2]).result()

    assert main() == [2, 4]


def test_a_returned_state_is_the_run_s_state() -> None:
    @task
    def skips() -> Any:
        return Completed(name="Skipped")

    @flow(task_runner=THREADS)
    def main() -> Any:
        return skips.submit(return_state=True).name

    assert main() == "Skipped"


def test_no_more_than_the_limit_are_out_at_a_time() -> None:
    lock, out, most = threading.Lock(), 0, 0

    class Counting(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            nonlocal out, most
            with lock:
                out += 1
                most = max(most, out)
            future = super().submit(fn, *args, **kwargs)

            def back(_: object) -> None:
                nonlocal out
                with lock:
                    out -= 1

            future.add_done_callback(back)
            return future

    @flow(task_runner=ExecutorTaskRunner(lambda: Counting(8), limit=3))
    def main() -> Any:
        return add.map(range(50)).result()

    assert main() == list(range(1, 51))
    assert most <= 3


def test_what_has_not_begun_when_the_flow_fails_never_does() -> None:
    waited_for = threading.Event()

    class Never(Future[Any]):
        def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
            super().add_done_callback(fn)
            waited_for.set()

    class Stuck(Executor):
        """Never begins with anything."""

        def submit(self, *_: Any, **__: Any) -> Future[Any]:
            return Never()

    @flow(task_runner=ExecutorTaskRunner(Stuck, limit=1))
    def main() -> None:
        add.map(range(5))
        waited_for.wait(10)
        raise ValueError("enough")

    with recorded() as history, pytest.raises(ValueError, match="enough"):
        main()
    assert {run.state.name for run in history.runs.values()} == {"Cancelled"}


@pytest.mark.parametrize("runner", [ThreadPoolTaskRunner(3), ProcessPoolTaskRunner(3), DaskTaskRunner(cluster_kwargs={"n_workers": 3})])
def test_a_runner_s_settings_can_be_pickled(runner: Any) -> None:
    again = pickle.loads(pickle.dumps(runner))  # noqa: S301 - our own
    assert type(again) is type(runner)
    assert getattr(again, "max_workers", None) == getattr(runner, "max_workers", None)


def test_logs_of_the_body_reach_the_run(caplog: pytest.LogCaptureFixture) -> None:
    @task
    def tells() -> None:
        get_run_logger().warning("told %s", "so")

    @flow(task_runner=THREADS)
    def main() -> None:
        tells.submit().result()

    main()
    assert "told so" in caplog.messages


def test_artifacts_made_there_are_the_run_s() -> None:
    @task
    def makes() -> None:
        create_markdown_artifact("# told", key="report")

    @flow(task_runner=THREADS)
    def main() -> None:
        makes.submit().result()

    with recorded() as history:
        main()
    (artifact,) = history.artifacts.values()
    assert (artifact.key, artifact.n) == ("report", history.run("makes-0").n)


def test_a_run_is_the_same_out_of_a_pickle() -> None:
    run = Run(3, "module.add", "task", 1, ("a",))
    run.own_name, run.inputs = "mine", (("x", 0),)
    trail = (Opinion("retry_failed", "Redirect", "failure 1 of 2 allowed"),)
    run.history += [Entry(RUNNING, "Running", 5), Entry(SCHEDULED, "AwaitingRetry", 6, trail, "ValueError", "no", FAILED)]
    other = pickle.loads(pickle.dumps(run))  # noqa: S301 - our own
    assert {name: getattr(other, name) for name in Run.__slots__} == {name: getattr(run, name) for name in Run.__slots__}
    assert all(type(entry) is Entry and type(entry.type) is StateType for entry in other.history)
