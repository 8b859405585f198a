"""What users are shown of a run: by hooks, conditions, key functions, contexts, `runtime` and futures."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import pytest

from mintaka import flow, runtime, task
from mintaka.context import FlowRunContext, TaskRunContext, get_run_context
from mintaka.engine.entries import Entry
from mintaka.flow_runs import pause_flow_run, resume_flow_run
from mintaka.runs import FlowRun, TaskRun, TaskRunResult
from mintaka.states import Cancelled, Crashed, State
from mintaka.task_runners import ExecutorTaskRunner, ProcessPoolTaskRunner
from mintaka.testing import recorded
from mintaka_core.run_ids import deployment_id, flow_id
from mintaka_core.states import COMPLETED, FAILED, PENDING, RUNNING, SCHEDULED, StateType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mintaka.testing import MemoryRecorder

UID = "0190f5fe-0000-7000-8000-000000000001"
FLOW_RUN = UUID(UID)


def nth(n: int, attempt: int = 1, within: UUID = FLOW_RUN) -> UUID:
    """The id of task run `n` of the flow run `within`."""
    return uuid5(within, f"{attempt}/{n}")


@pytest.fixture
def history() -> Iterator[MemoryRecorder]:
    with recorded(flow_run_id=UID, name="run-1", namespace="team", deployment="daily") as recorder:
        yield recorder


#: What every run has, of Prefect's FlowRun and TaskRun.
EVERYWHERE = [
    "id", "name", "flow_run_id", "flow_id", "task_key", "parameters", "task_inputs", "state", "state_name", "state_type", "start_time",
    "end_time", "expected_start_time", "total_run_time", "estimated_run_time", "estimated_start_time_delta", "run_count", "deployment_id",
    "created", "updated", "tags",
]  # fmt: skip
OF_FLOWS = ["flow_version", "parent_task_run_id", "deployment_version", "work_queue_name", "job_variables", "auto_scheduled", "labels"]
OF_TASKS = ["dynamic_key", "task_version", "flow_run_run_count", "cache_key"]


class Shown:
    """Keeps the runs that it is shown."""

    def __init__(self) -> None:
        self.runs: list[Any] = []
        self.states: list[State[Any]] = []

    def hook(self, _what: object, run: Any, state: State[Any]) -> None:
        self.runs.append(run)
        self.states.append(state)

    async def hook_async(self, what: object, run: Any, state: State[Any]) -> None:
        await asyncio.sleep(0)
        self.hook(what, run, state)


def raising(error: BaseException) -> Any:
    raise error


FLOW_HOOKS: dict[str, tuple[Callable[[], Any], str, str]] = {
    "on_running": (lambda: 1, "RUNNING", "Running"),
    "on_completion": (lambda: 1, "COMPLETED", "Completed"),
    "on_failure": (lambda: raising(ValueError("no")), "FAILED", "Failed"),
    "on_cancellation": (Cancelled, "CANCELLED", "Cancelled"),
    "on_crashed": (Crashed, "CRASHED", "Crashed"),
}


@pytest.mark.parametrize("hooked", ["hook", "hook_async"], ids=["a sync hook", "an async hook"])
@pytest.mark.parametrize("kind", FLOW_HOOKS)
def test_each_kind_of_hook_of_a_flow_is_shown_its_run(kind: str, hooked: str, history: MemoryRecorder) -> None:  # noqa: ARG001
    shown, (body, state_type, state_name) = Shown(), FLOW_HOOKS[kind]

    @flow(tags=["t"], version="v7", **{kind: [getattr(shown, hooked)]})
    def main(n: int, label: str = "x") -> Any:  # noqa: ARG001 - seen as parameters
        return body()

    main("4", return_state=True)
    (run,) = shown.runs
    assert isinstance(run, FlowRun)
    assert (run.id, run.name, run.state_type, run.state_name, run.run_count) == (FLOW_RUN, "run-1", state_type, state_name, 1)
    assert (run.parameters, run.tags, run.flow_name, run.flow_version) == ({"n": 4, "label": "x"}, ["t"], "main", "v7")
    assert (run.flow_id, run.deployment, run.deployment_id) == (flow_id("main"), "daily", deployment_id("team", "daily"))
    assert (run.root_flow_run_id, run.parent_flow_run_id, run.parent_task_run_id, run.namespace) == (FLOW_RUN, None, None, "team")
    assert run.state is shown.states[0]
    assert run.created <= run.start_time <= (run.end_time or run.updated)
    assert (run.end_time is None) == (kind == "on_running")
    for name in EVERYWHERE + OF_FLOWS:
        getattr(run, name)


TASK_HOOKS: dict[str, tuple[Callable[[], Any], str]] = {
    "on_running": (lambda: 1, "Running"),
    "on_completion": (lambda: 1, "Completed"),
    "on_failure": (lambda: raising(ValueError("no")), "Failed"),
}


@pytest.mark.parametrize("call", ["called", "submitted", "mapped", "async", "elsewhere", "with_options"])
@pytest.mark.parametrize("kind", TASK_HOOKS)
def test_each_kind_of_hook_of_a_task_is_shown_its_run(kind: str, call: str, history: MemoryRecorder) -> None:  # noqa: ARG001
    shown, (body, state_name) = Shown(), TASK_HOOKS[kind]

    @task
    def first() -> int:
        return 5

    def work(value: int, by: int = 2) -> Any:  # noqa: ARG001 - seen as parameters
        return body()

    async def work_async(value: int, by: int = 2) -> Any:  # noqa: ARG001 - seen as parameters
        return body()

    worker: Any = task(name="work", tags=["t"], version="v2", **{kind: [shown.hook]})(work_async if call == "async" else work)
    if call == "with_options":
        worker = task(work).with_options(tags=["t"], version="v2", **{kind: [shown.hook]})

    @flow(task_runner=ExecutorTaskRunner(lambda: ThreadPoolExecutor(1)) if call == "elsewhere" else None)
    def main() -> None:
        future = first.submit()
        if call == "called":
            worker(future, return_state=True)
        elif call == "mapped":
            worker.map([future], return_state=True)
        else:
            worker.submit(future, return_state=True)

    main(return_state=True)
    (run,) = shown.runs
    assert isinstance(run, TaskRun)
    assert (run.id, run.flow_run_id, run.dynamic_key, run.run_count, run.state_name) == (nth(1), FLOW_RUN, "1", 1, state_name)
    assert (run.parameters, run.tags, run.task_version) == ({"value": 5, "by": 2}, ["t"], "v2")
    assert run.task_inputs == {"value": [TaskRunResult(nth(0))], "by": []}
    assert run.task_key.endswith("work_async" if call == "async" else "work")
    assert (run.flow_id, run.deployment_id, run.flow_run_run_count) == (flow_id("main"), deployment_id("team", "daily"), 1)
    assert run.state is shown.states[0]
    assert run.expected_start_time == run.created <= run.start_time
    for name in EVERYWHERE + OF_TASKS:
        getattr(run, name)


def test_hooks_of_a_run_that_could_not_begin_see_what_it_was_called_with() -> None:
    """What does not fit, is not valid or never came is what a user wants to see then."""
    shown = Shown()

    @task
    def bad() -> int:
        raise ValueError("no")

    @task(on_failure=[shown.hook])
    def work(n: int) -> None:
        """Do nothing."""

    @flow(on_failure=[shown.hook])
    def child(n: int) -> None:
        """Do nothing."""

    @flow
    def main() -> None:
        wrong: Any = work
        wrong(1, 2, named=3, return_state=True)
        future = bad.submit()
        work(future, return_state=True)
        child("seven", return_state=True)
        shown.runs.append(future)

    main(return_state=True)
    unfit, waited, invalid, future = shown.runs
    assert (unfit.parameters, unfit.state.reason) == ({"named": 3}, "TypeError")
    assert (waited.parameters, waited.run_count, waited.start_time, waited.state_name) == ({"n": future}, 0, None, "UpstreamFailed")
    assert waited.task_inputs == {"n": [TaskRunResult(future.task_run_id)]}
    assert (invalid.parameters, invalid.state.reason) == ({"n": "seven"}, "ParameterTypeError")
    for run in (unfit, waited, invalid):
        json.loads(run.model_dump_json())


def test_inputs_are_told_by_parameter_and_wait_for(history: MemoryRecorder) -> None:  # noqa: ARG001
    shown = Shown()

    @task
    def make(n: int) -> list[int]:
        return [n]

    @task(on_completion=[shown.hook])
    def work(*numbers: Any, **named: Any) -> None:
        """Do nothing."""

    @flow(on_completion=[shown.hook])
    def child(rows: Any) -> None:
        """Do nothing."""

    @flow
    def main() -> None:
        first, second = make.submit(1), make.submit(2)
        work(first, 5, rows={"a": [second]}, wait_for=[first])
        child(second.result())

    main()
    one, two = TaskRunResult(nth(0)), TaskRunResult(nth(1))
    of_task, of_flow = shown.runs
    assert of_task.task_inputs == {"numbers": [one], "named": [], "rows": [two], "wait_for": [one]}
    assert of_flow.task_inputs == {"rows": [two]}


def test_a_condition_sees_the_run_that_failed_and_what_it_proposes(history: MemoryRecorder) -> None:  # noqa: ARG001
    seen: list[tuple[Any, ...]] = []

    def again(_task: object, run: TaskRun, state: State[Any]) -> bool:
        seen.append((run.id, run.flow_run_id, run.state_type, run.run_count, run.parameters, state.type, run.end_time))
        return run.run_count < 3

    @task(retries=5, retry_condition_fn=again)
    def flaky(n: int) -> int:
        raise ValueError(n)

    flow(lambda: flaky(7, return_state=True).name, name="main")()
    assert seen == [(nth(0), FLOW_RUN, RUNNING, n, {"n": 7}, FAILED, None) for n in (1, 2, 3)]


def test_a_key_function_sees_the_run_that_asks(history: MemoryRecorder, tmp_path: Path) -> None:  # noqa: ARG001
    seen: list[tuple[Any, ...]] = []

    def key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
        run = context.task_run
        seen.append((run.id, run.state_type, context.task.name, context.parameters == parameters))
        return f"{run.flow_run_id}-{parameters['n']}"

    @task(cache_key_fn=key, result_storage=tmp_path)
    def load(n: int) -> int:
        seen.append(())
        return n

    assert flow(lambda: [load(3), load(3)], name="main")() == [3, 3]
    assert seen == [(nth(0), PENDING, "load", True), (), (nth(1), PENDING, "load", True)]


def test_functions_that_name_runs_find_them_in_runtime(history: MemoryRecorder) -> None:  # noqa: ARG001
    def of_task(parameters: dict[str, Any]) -> str:
        return f"{runtime.task_run.id} {runtime.task_run.parameters == parameters}"

    @task(task_run_name=of_task)
    def named(n: int) -> str | None:  # noqa: ARG001 - seen as a parameter
        return runtime.task_run.name

    assert flow(lambda: named(2), name="main")() == f"{nth(0)} True"


class Table:
    """A class with tasks."""

    @task(on_completion=[lambda *given: Table.seen.append(given[1])], task_run_name="{self.name}-{day}")
    def load(self, day: int) -> Any:  # noqa: ARG002 - in its name
        return runtime.task_run.name, runtime.task_run.parameters

    @classmethod
    def clear(cls) -> None:
        cls.seen.clear()

    name = "sales"
    seen: list[TaskRun] = []  # noqa: RUF012 - one for all


def test_a_method_s_instance_is_among_its_parameters() -> None:
    Table.clear()
    table = Table()
    assert flow(lambda: table.load(3), name="main")() == ("sales-3", {"self": table, "day": 3})
    assert Table.seen[0].parameters == {"self": table, "day": 3}


class Report:
    """A class with a flow and other kinds of tasks."""

    table = "sales"

    @flow(flow_run_name="{self.table}-{day}")
    def of_day(self, day: int) -> Any:  # noqa: ARG002 - in its name
        return runtime.flow_run.name

    @task(task_run_name="{cls.table}-{day}")
    @classmethod
    def of_class(cls, day: int) -> Any:  # noqa: ARG003 - in its name
        return runtime.task_run.name

    @task(task_run_name=lambda parameters: f"{parameters['self'].table}-{parameters['day']}")
    async def of_coroutine(self, day: int) -> Any:  # noqa: ARG002 - in its name
        return runtime.task_run.name

    @task(task_run_name="{this.table}-{day}")
    def of_generator(this, day: int) -> Any:  # noqa: ARG002, N805 - in its name
        yield runtime.task_run.name


@pytest.mark.parametrize(
    "call",
    [
        lambda report: report.of_day(3),
        lambda report: report.of_class(3),
        lambda report: report.of_coroutine.submit(3).result(),
        lambda report: report.of_generator.submit(3).result()[0],
        lambda report: report.of_generator.with_options(tags=["t"]).map([3]).result()[0][0],
    ],
    ids=["flow", "classmethod", "async", "generator", "with_options"],
)
def test_names_of_methods_runs_have_their_instance(call: Callable[[Report], Any]) -> None:
    assert flow(call, name="main")(Report()) == "sales-3"


def places() -> dict[str, Any]:
    """The ids that the running code sees, in each of the ways there are."""
    inner, outer = TaskRunContext.get(), FlowRunContext.get()
    assert outer is not None
    return {
        "flow": (runtime.flow_run.id, str(outer.flow_run.id)),
        "flow run of the task": None if inner is None else str(inner.task_run.flow_run_id),
        "task": None if inner is None else (runtime.task_run.id, str(inner.task_run.id)),
        "parent": runtime.flow_run.parent_flow_run_id,
        "root": (runtime.flow_run.root_flow_run_id, runtime.deployment.flow_run_id),
    }


@task
def look() -> dict[str, Any]:
    return places()


@flow
def below() -> list[dict[str, Any]]:
    return [places(), look(), look.submit().result()]


RUNNERS = {
    "threads": None,
    "an executor": ExecutorTaskRunner(lambda: ThreadPoolExecutor(1)),
    "processes": ProcessPoolTaskRunner(max_workers=1),
}


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_subflow_has_an_id_of_its_own_and_its_tasks_belong_to_it(runner: str, history: MemoryRecorder) -> None:
    @flow(task_runner=RUNNERS[runner])
    def main() -> Any:
        return look(), below(), look.submit().result()

    first, (flow_below, called, submitted), last = main()
    called_uid = UUID(history.flow_run("below-1")["uid"])
    subflow, root = str(called_uid), (UID, UID)
    assert first == {"flow": (UID, UID), "flow run of the task": UID, "task": (str(nth(0)),) * 2, "parent": None, "root": root}
    assert last == {"flow": (UID, UID), "flow run of the task": UID, "task": (str(nth(4)),) * 2, "parent": None, "root": root}
    root = (UID, subflow)
    assert flow_below == {"flow": (subflow,) * 2, "flow run of the task": None, "task": None, "parent": UID, "root": root}
    assert called == {
        "flow": (subflow,) * 2,
        "flow run of the task": subflow,
        "task": (str(nth(2, within=called_uid)),) * 2,
        "parent": UID,
        "root": root,
    }
    assert submitted == {**called, "task": (str(nth(3, within=called_uid)),) * 2}
    assert [run.n for run in history.runs.values()] == [0, 1, 2, 3, 4]


@task
def nested() -> list[str | None]:
    return [runtime.task_run.id, *(look()["task"][0] for _ in range(2))]


def test_tasks_called_by_a_task_in_a_worker_process_have_ids_that_no_other_run_has() -> None:
    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def main() -> list[Any]:
        return [*nested.submit().result(), *nested.submit().result(), look()["task"][0]]

    ids = main()
    assert len({UUID(each) for each in ids}) == 7


def test_a_future_knows_the_id_before_its_run_has_begun() -> None:
    @flow
    def main() -> Any:
        future = look.submit()
        return future.task_run_id, future.result()["task"][0]

    with recorded(flow_run_id=UID, attempt=3):
        assert main() == (nth(0, attempt=3), str(nth(0, attempt=3)))


def test_outside_of_flows_a_task_has_an_id_and_no_flow_run() -> None:
    shown = Shown()

    @task(on_completion=[shown.hook])
    def alone() -> str | None:
        context = get_run_context()
        assert isinstance(context, TaskRunContext)
        assert runtime.task_run.id == str(context.task_run.id)
        return runtime.task_run.id

    ids = {alone(), alone()}
    assert len(ids) == 2
    assert {str(run.id) for run in shown.runs} == ids
    assert {(run.flow_run_id, run.flow_id, run.deployment_id, run.flow_run_run_count) for run in shown.runs} == {(None, None, None, 0)}


def test_without_a_uid_a_flow_run_has_one_id_for_all_who_ask() -> None:
    @flow
    def main() -> Any:
        return runtime.flow_run.id, str(get_run_context().flow_run.id), look()["flow run of the task"]  # type: ignore[union-attr]

    with recorded():
        assert len(set(main())) == 1


def test_times_of_a_run_that_is_tried_again() -> None:
    """`start_time` of the run is the first try's, that of the context this try's; the try that runs is not in `total_run_time`."""
    seen: list[tuple[Any, ...]] = []

    @task(retries=1, retry_delay_seconds=0.02)
    def flaky() -> None:
        context = get_run_context()
        assert isinstance(context, TaskRunContext)
        run = context.task_run
        seen.append((run.start_time, context.start_time, run.total_run_time, run.run_count, run.state_name, run.end_time))
        if len(seen) == 1:
            raise ValueError("once more")

    flow(flaky, name="main")()
    first, second = seen
    assert first[:2] == (second[0],) * 2
    assert second[1] - second[0] >= timedelta(seconds=0.02)
    assert (first[2:], second[3:]) == ((timedelta(0), 1, "Running", None), (2, "Retrying", None))
    assert timedelta(0) < second[2] < second[1] - second[0]


def test_a_pause_is_no_other_try() -> None:
    """As in Prefect; and the time it takes is no run time."""

    @flow
    def main() -> Any:
        with ThreadPoolExecutor(1) as pool:
            resumed = pool.submit(resume_once_paused, str(runtime.flow_run.id))
            pause_flow_run(timeout=5)
            resumed.result()
        context = FlowRunContext.get()
        assert context is not None
        return runtime.flow_run.run_count, context.flow_run.run_count, context.start_time == context.flow_run.start_time

    with recorded(flow_run_id=UID):
        assert main() == (1, 1, True)


def resume_once_paused(uid: str) -> None:
    from mintaka.exceptions import NotPausedError  # noqa: PLC0415 - only here

    for _ in range(1000):
        try:
            return resume_flow_run(uid)
        except NotPausedError:
            pass
    return None


def made(*entries: tuple[StateType, str, int]) -> TaskRun:
    """A task run with that history, times in ms."""
    shown = Shown()

    @task(on_completion=[shown.hook])
    def nothing() -> None:
        pass

    flow(nothing, name="main")()
    (run,) = shown.runs
    run._run.history = [Entry(kind, name, time * 1000) for kind, name, time in entries]
    return TaskRun(run._context)


TIMES: dict[str, tuple[list[tuple[StateType, str, int]], int, int, int | None, int]] = {
    # what it went through; run count, run time, start and end
    "it waits": ([(PENDING, "Pending", 5)], 0, 0, None, 0),
    "it ran once": ([(PENDING, "Pending", 5), (RUNNING, "Running", 7), (COMPLETED, "Completed", 10)], 1, 3, 7, 10),
    "it ran twice": (
        [
            (PENDING, "Pending", 5),
            (RUNNING, "Running", 7),
            (SCHEDULED, "AwaitingRetry", 10),
            (PENDING, "Pending", 20),
            (RUNNING, "Retrying", 20),
            (FAILED, "Failed", 24),
        ],
        2,
        7,
        7,
        24,
    ),
    "its end was revised": (
        [(PENDING, "Pending", 5), (RUNNING, "Running", 7), (COMPLETED, "Completed", 10), (COMPLETED, "RolledBack", 30)],
        1,
        3,
        7,
        10,
    ),
    "it was cached": ([(PENDING, "Pending", 5), (COMPLETED, "Cached", 6)], 0, 0, None, 6),
}


@pytest.mark.parametrize("case", TIMES)
def test_times_and_counts_of_a_run(case: str) -> None:
    entries, run_count, milliseconds, started, ended = TIMES[case]
    run = made(*entries)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert (run.run_count, run.total_run_time) == (run_count, timedelta(milliseconds=milliseconds))
    assert run.start_time == (None if started is None else epoch + timedelta(milliseconds=started))
    assert run.end_time == (epoch + timedelta(milliseconds=ended) if ended else None)
    assert (run.created, run.expected_start_time) == (epoch + timedelta(milliseconds=5),) * 2
    assert run.updated == epoch + timedelta(milliseconds=entries[-1][2])


def test_a_run_is_shown_as_a_dict_and_as_json() -> None:
    shown = Shown()

    @task(on_failure=[shown.hook])
    def fails(value: object) -> None:  # noqa: ARG001 - shown
        raise ValueError("no")

    @flow(on_failure=[shown.hook])
    def main() -> None:
        fails(object())

    with recorded(flow_run_id=UID):
        main(return_state=True)
    of_task, of_flow = shown.runs
    assert of_flow.dict()["id"] == of_flow.model_dump()["id"] == FLOW_RUN
    assert of_task.dict()["state"]["name"] == "Failed"
    assert set(EVERYWHERE) <= set(of_task.dict()) & set(of_flow.dict())
    assert json.loads(of_task.model_dump_json())["id"] == str(nth(0))
    assert of_flow.model_dump(mode="json")["state"] == {
        "type": "FAILED",
        "name": "Failed",
        "reason": "ValueError",
        "message": "no",
        "timestamp": of_flow.end_time.isoformat().replace("+00:00", "Z"),
    }


@pytest.mark.parametrize("attribute", ["ident", "state_id", "_secret"])
def test_an_attribute_that_is_not_there_is_an_error_that_names_those_that_are(attribute: str) -> None:
    run = made((PENDING, "Pending", 5))
    with pytest.raises(AttributeError, match=rf"a TaskRun has no attribute '{attribute}'; it has attempt, created, .*task_inputs"):
        getattr(run, attribute)
    assert getattr(run, attribute, "default") == "default"
    assert not hasattr(run, attribute)


def pickled(run: Any) -> Any:
    return pickle.loads(pickle.dumps(run))  # noqa: S301 - our own


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_of_a_run_has_its_values(copied: Callable[[Any], Any], history: MemoryRecorder) -> None:  # noqa: ARG001
    shown = Shown()

    @task
    def seen() -> Any:
        return get_run_context().task_run  # type: ignore[union-attr]

    @flow(on_completion=[shown.hook])
    def main() -> Any:
        return seen()

    runs = [main(), *shown.runs]
    for run in runs:
        other = copied(run)
        assert type(other) is type(run)
        assert {**other.dict(), "estimated_run_time": 0} == {**run.dict(), "estimated_run_time": 0}
        assert not hasattr(other, "nothing")


def test_a_run_can_be_passed_to_a_task_in_another_process() -> None:
    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def main() -> Any:
        return name_of.submit(get_run_context().flow_run).result()  # type: ignore[union-attr]

    with recorded(flow_run_id=UID, name="run-1"):
        assert main() == (FLOW_RUN, "run-1", "Running")


@task
def name_of(run: FlowRun) -> Any:
    return run.id, run.name, run.state_name


def test_a_scheduled_run_was_expected_at_its_time() -> None:
    @flow
    def inner() -> Any:
        return runtime.flow_run.scheduled_start_time

    @flow
    def main() -> Any:
        context = FlowRunContext.get()
        assert context is not None
        run = context.flow_run
        return runtime.flow_run.scheduled_start_time, run.expected_start_time, run.auto_scheduled, run.estimated_start_time_delta, inner()

    when = datetime(2026, 1, 2, tzinfo=UTC)
    with recorded(scheduled_time=when):
        scheduled, expected, automatic, late, of_subflow = main()
    assert (scheduled, expected, automatic) == (when, when, True)
    assert late > timedelta(days=1)
    assert of_subflow > when
