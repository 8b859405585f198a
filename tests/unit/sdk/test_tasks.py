"""What a task does when it is called, submitted or mapped."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from mintaka import Cancelled, Completed, Failed, State, ThreadPoolTaskRunner, flow, tags, task
from mintaka.exceptions import CancelledRun, CrashedRun, FailedRun, InvalidSettingError, MissingContextError
from mintaka.testing import recorded
from mintaka_core.states import COMPLETED, CRASHED, FAILED, RUNNING


@task
def add(a: int, b: int = 1) -> int:
    return a + b


@task
def fail(message: str = "no") -> None:
    raise ValueError(message)


@task
async def add_async(a: int, b: int = 1) -> int:
    await asyncio.sleep(0)
    return a + b


class Counter:
    def __init__(self, step: int) -> None:
        self.step = step

    @task
    def plus(self, value: int) -> int:
        return value + self.step


def test_a_task_outside_of_a_flow_just_runs() -> None:
    assert add(1, 2) == 3


def test_an_async_task_outside_of_a_flow_is_awaited() -> None:
    assert asyncio.run(add_async(1, b=2)) == 3


def test_a_task_outside_of_a_flow_can_call_tasks_inside() -> None:
    @task
    def outer() -> int:
        return add(add(1))

    assert outer() == 3


def test_submit_outside_of_a_flow_says_what_to_do() -> None:
    with pytest.raises(MissingContextError, match="only works inside a flow run"):
        add.submit(1)


def test_a_task_raises_its_own_exception_in_its_caller() -> None:
    with pytest.raises(ValueError, match="no"):
        fail()


def test_return_state_gives_the_state_and_raises_nothing() -> None:
    state = fail("broken", return_state=True)
    assert (state.type, state.reason, state.message) == (FAILED, "ValueError", "broken")
    assert isinstance(state.result(raise_on_failure=False), ValueError)
    assert add(1, return_state=True).result() == 2


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("raised", [Speechless(), KeyError("x")], ids=["cannot", "can"])
def test_an_exception_that_cannot_say_what_it_is_ends_the_run_all_the_same(raised: Exception) -> None:
    @task
    def raises() -> None:
        raise raised

    @flow
    def main() -> Any:
        with pytest.raises(type(raised)):
            raises()
        return raises.submit()

    with recorded() as history:
        state = main(return_state=True)
    assert history.states_of("raises-0") == history.states_of("raises-1") == ["Pending", "Running", "Failed"]
    assert (state.type, state.reason) == (FAILED, type(raised).__name__)
    assert ("<its __str__ raised RuntimeError>" in state.message) is isinstance(raised, Speechless)


def test_tasks_on_methods_keep_their_own_instance() -> None:
    one, ten = Counter(1).plus, Counter(10).plus
    assert (one(1), ten(1), one(1)) == (2, 11, 2)


@pytest.mark.parametrize(
    ("returned", "raised"),
    [(Failed(message="not today"), FailedRun), (Cancelled(), CancelledRun), (Failed(data=KeyError("k")), KeyError)],
    ids=["a failed state raises FailedRun", "a cancelled state raises CancelledRun", "a failed state with an exception raises it"],
)
def test_a_returned_state_is_the_tasks_state(returned: State, raised: type[Exception]) -> None:
    @task
    def chooses() -> State:
        return returned

    with pytest.raises(raised):
        chooses()


def test_a_returned_completed_state_keeps_its_name_and_gives_its_data() -> None:
    @task
    def skips() -> State:
        return Completed(name="Skipped", data=5)

    assert skips() == 5
    assert skips(return_state=True).name == "Skipped"


def test_returning_a_state_that_does_not_end_a_run_fails_and_says_so() -> None:
    @task
    def confused() -> State:
        return State(RUNNING)

    state = confused(return_state=True)
    assert (state.type, state.reason) == (FAILED, "InvalidState")


def test_a_system_exit_in_a_task_is_a_crash_and_goes_on_up() -> None:
    @task
    def leaves() -> None:
        raise SystemExit(3)

    @flow
    def outer() -> None:
        leaves()

    with recorded() as history, pytest.raises(SystemExit):
        outer()
    assert history.row("leaves-0")["state"] == "CRASHED"
    assert history.row("leaves-0")["reason"] == "SystemExit"


def test_a_system_exit_in_a_submitted_task_does_not_end_the_caller() -> None:
    @task
    def leaves() -> None:
        raise SystemExit(3)

    @flow
    def outer() -> Any:
        future = leaves.submit()
        with pytest.raises(CrashedRun, match="SystemExit"):
            future.result()
        return future.state.type

    assert outer() == CRASHED


def test_sync_and_async_tasks_can_be_submitted_and_mapped_in_a_sync_flow() -> None:
    @flow
    def sums() -> list[int]:
        one = add.submit(1)
        two = add_async.submit(one, 1)
        return [two.result(), *add.map([1, 2], b=3).result(), *add_async.map([1, 2], [3, 4]).result()]

    assert sums() == [3, 4, 5, 4, 6]


def test_async_flows_await_tasks_and_futures_and_may_also_block() -> None:
    @flow
    async def sums() -> list[Any]:
        futures = add_async.map([1, 2], b=3)
        return [
            await add_async(1),
            add(1),
            await add.submit(2),
            await futures,
            add_async.submit(5).result(),
            await asyncio.gather(add_async(1), add_async(2)),
        ]

    assert asyncio.run(sums()) == [2, 2, 3, [4, 5], 6, [2, 3]]


def test_submitted_tasks_run_at_the_same_time() -> None:
    barrier = threading.Barrier(3, timeout=10)

    @task
    def meets() -> int:
        return barrier.wait()

    @flow
    def meeting() -> list[int]:
        futures = [meets.submit() for _ in range(3)]
        return sorted(future.result() for future in futures)

    assert meeting() == [0, 1, 2]


def test_no_more_tasks_run_at_a_time_than_the_runner_has_workers() -> None:
    running: list[int] = []
    most: list[int] = []
    lock = threading.Lock()

    @task
    def counted(n: int) -> int:
        with lock:
            running.append(n)
            most.append(len(running))
        threading.Event().wait(0.001)
        with lock:
            running.remove(n)
        return n

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=3))
    def many() -> int:
        return sum(counted.map(range(60)).result())

    assert many() == sum(range(60))
    assert max(most) <= 3


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_nested_submits_cannot_deadlock_a_small_pool(workers: int) -> None:
    @task
    def fibonacci(n: int) -> int:
        if n < 2:
            return n
        return fibonacci.submit(n - 1).result() + fibonacci.submit(n - 2).result()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=workers))
    def grows() -> int:
        return fibonacci.submit(9).result()

    assert grows() == 34


def test_nested_async_submits_cannot_deadlock_a_small_pool() -> None:
    @task
    async def fibonacci(n: int) -> int:
        if n < 2:
            return n
        one, two = fibonacci.submit(n - 1), fibonacci.submit(n - 2)
        return await one + two.result()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def grows() -> int:
        return fibonacci.submit(7).result()

    assert grows() == 13


def test_a_long_chain_of_dependent_submits_ends() -> None:
    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def chain() -> int:
        future = add.submit(0)
        for _ in range(1500):
            future = add.submit(future)
        return future.result()

    assert chain() == 1501


def test_waiting_while_holding_a_lock_of_the_users_cannot_deadlock_a_small_pool() -> None:
    lock = threading.Lock()

    @task
    def inner() -> int:
        return 1

    @task
    def outer() -> int:
        with lock:
            return inner.submit().result()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def many() -> int:
        return sum(future.result() for future in [outer.submit() for _ in range(20)])

    assert many() == 20


def test_names_come_from_the_function_and_the_number_or_from_a_template() -> None:
    @task(task_run_name="add {a} and {b}")
    def named(a: int, b: int = 2) -> int:
        return a + b

    @task(task_run_name=lambda: "called")
    def computed() -> int:
        return 1

    @flow
    def names() -> None:
        add(1)
        named(add.submit(1))
        computed()

    with recorded() as history:
        names()
    assert {run.name for run in history.runs.values()} == {"add-0", "add-1", "add 2 and 2", "called"}
    assert history.row("add-0")["name"] is None


def test_a_template_that_names_no_parameter_fails_the_run() -> None:
    @task(task_run_name="{nothing}", retries=3)
    def named(a: int) -> int:
        return a

    state = named(1, return_state=True)
    assert (state.type, state.reason) == (FAILED, "InvalidSettingError")
    assert state.message == "the name '{nothing}' cannot be filled in: KeyError: 'nothing'; parameters: a"


def test_tags_of_the_task_and_of_the_block_around_it_add_up() -> None:
    @task(tags=["mine"])
    def tagged() -> None:
        pass

    @flow
    def outer() -> None:
        tagged()
        with tags("yours", "ours"):
            tagged()
            tagged.submit().result()

    with recorded() as history:
        outer()
    assert [run.tags for run in history.runs.values()] == [("mine",), ("mine", "ours", "yours"), ("mine", "ours", "yours")]


def test_a_tag_that_is_no_text_is_refused_where_it_is_written() -> None:
    numbers: Any = (2026, 11)
    with pytest.raises(InvalidSettingError, match=r"^tags are texts, not 2026: write tags\('one', 'two'\)$"), tags(*numbers):
        pass


def test_a_retry_condition_that_fails_says_so(caplog: pytest.LogCaptureFixture) -> None:
    @task(retries=3, retry_condition_fn=lambda _task, _run, _state: bool(1 / 0))
    def flaky() -> None:
        raise ValueError("once")

    with recorded() as history:
        assert flow(lambda: flaky(return_state=True).type)() == FAILED
    assert history.states_of("flaky-0") == ["Pending", "Running", "Failed"]
    (told,) = [record for record in caplog.records if "retry_condition_fn" in record.message]
    assert told.message == "retry_condition_fn of task flaky failed, so flaky-0 is not tried again"
    assert told.exc_info is not None
    assert isinstance(told.exc_info[1], ZeroDivisionError)


def test_what_a_hook_raises_that_is_no_exception_is_not_taken_for_a_result() -> None:
    def interrupts(*_: Any) -> None:
        raise KeyboardInterrupt

    @task(on_completion=[interrupts])
    def one() -> int:
        return 1

    @flow
    def main() -> Any:
        future = one.submit()
        future.wait()
        with pytest.raises(KeyboardInterrupt):
            future.result()
        return future.state.type

    assert main() == COMPLETED


def test_with_options_changes_only_what_is_named() -> None:
    changed = fail.with_options(name="other", retries=1)
    assert (changed.name, changed.retry_plan.limit, fail.name, fail.retry_plan.limit) == ("other", 1, "fail", 0)


def test_hooks_are_called_with_task_run_and_state() -> None:
    called: list[tuple[str, str, str]] = []

    def note(what: Any, run: Any, state: State) -> None:
        called.append((what.name, run.name, state.name))

    good = add.with_options(on_completion=[note], on_failure=[note])
    bad = fail.with_options(on_completion=[note], on_failure=[note])

    @flow
    def outer() -> None:
        good(1)
        bad(return_state=True)

    outer()
    assert called == [("add", "add-0", "Completed"), ("fail", "fail-1", "Failed")]


def test_parents_are_the_task_or_subflow_around() -> None:
    @task
    def outer() -> int:
        return add(1)

    @flow
    def inner_flow() -> int:
        return add(1)

    @flow
    def main() -> None:
        outer()
        inner_flow()

    with recorded() as history:
        main()
    assert [(run.n, run.kind, run.parent) for run in history.runs.values()] == [
        (0, "task", None),
        (1, "task", 0),
        (2, "subflow", None),
        (3, "task", 2),
    ]


def test_a_happy_run_is_pending_running_completed() -> None:
    @flow
    def main() -> None:
        add(1)

    with recorded() as history:
        main()
    row = history.row("add-0")
    assert [entry[0] for entry in row["history"]] == ["PENDING", "RUNNING", COMPLETED]
    assert row["created"] <= row["started"] <= row["ended"]
    assert (row["seq"], row["runs"], row["task"].rpartition(".")[2]) == (3, 1, "add")


def test_async_tasks_in_one_thread_each_have_the_surroundings_of_their_own_call() -> None:
    colour: ContextVar[str] = ContextVar("colour", default="none")

    @task
    async def reads() -> str:
        return colour.get()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main() -> list[str]:
        found = []
        for word in ("red", "green"):
            colour.set(word)
            found.append(reads.submit().result())
        return found

    assert main() == ["red", "green"]
