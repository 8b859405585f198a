"""How flows start and end."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from mintaka import Cancelled, Completed, Failed, State, ThreadPoolTaskRunner, flow, task
from mintaka.exceptions import FailedRun, ParameterBindError, ParameterTypeError
from mintaka.testing import recorded
from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, FAILED


@task
def good(value: Any = 1) -> Any:
    return value


@task
def bad(value: Any = 1) -> Any:
    message = f"bad {value}"
    raise ValueError(message)


def returns_value() -> Any:
    return 7


def returns_none() -> Any:
    return None


def raises() -> Any:
    raise LookupError("lost")


def returns_future() -> Any:
    return good.submit(3)


def returns_good_futures() -> Any:
    return [good.submit(1), {"two": good.submit(2)}]


def returns_bad_future() -> Any:
    return bad.submit()


def returns_mixed_futures() -> Any:
    return good.submit(), bad.submit()


def returns_states() -> Any:
    return [good(return_state=True), bad(return_state=True)]


def returns_cancelled_among() -> Any:
    return [Cancelled(), Failed()]


def forgets_good_futures() -> Any:
    good.map([1, 2, 3])
    return 7


def forgets_bad_future() -> Any:
    bad.submit(1)
    return 7


def forgets_but_says_completed() -> Any:
    bad.submit(1)
    return Completed(message="does not matter", data=7)


def looked_at_and_dealt_with() -> Any:
    future = bad.submit(1)
    future.wait()
    return 7 if future.state.is_failed() else 8


def caught() -> Any:
    try:
        bad.submit(1).result()
    except ValueError:
        return 7


def only_waited() -> Any:
    bad.submit(1).wait()
    return 7


def handed_on() -> Any:
    good.submit(bad.submit(1))
    return 7


def skips() -> Any:
    return Completed(name="Skipped", message="nothing new")


ENDS = {
    "a value completes it": (returns_value, COMPLETED, "Completed", 7),
    "no value completes it": (returns_none, COMPLETED, "Completed", None),
    "an exception fails it": (raises, FAILED, "Failed", LookupError),
    "a returned future gives its result": (returns_future, COMPLETED, "Completed", 3),
    "returned futures give their results where they stand": (returns_good_futures, COMPLETED, "Completed", [1, {"two": 2}]),
    "a returned failed future fails it with its exception": (returns_bad_future, FAILED, "Failed", ValueError),
    "one failed of several returned fails it": (returns_mixed_futures, FAILED, "Failed", ValueError),
    "a failed one of returned states fails it": (returns_states, FAILED, "Failed", ValueError),
    "a cancelled one of returned states cancels it": (returns_cancelled_among, CANCELLED, "Cancelled", Exception),
    "good futures that nobody awaited are waited for": (forgets_good_futures, COMPLETED, "Completed", 7),
    "a failed future that nobody looked at fails it": (forgets_bad_future, FAILED, "Failed", ValueError),
    "an explicit state stands above futures nobody looked at": (forgets_but_says_completed, COMPLETED, "Completed", 7),
    "a failure that was looked at does not count": (looked_at_and_dealt_with, COMPLETED, "Completed", 7),
    "a failure that was caught does not count": (caught, COMPLETED, "Completed", 7),
    "a failure that was only waited for counts": (only_waited, FAILED, "Failed", ValueError),
    "a failure handed on counts where it ends": (handed_on, FAILED, "Failed", Exception),
    "a returned state keeps its name": (skips, COMPLETED, "Skipped", None),
}


@pytest.mark.parametrize(("body", "state_type", "name", "outcome"), ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_how_a_flow_ends(*, body: Any, state_type: str, name: str, outcome: Any, is_async: bool) -> None:
    async def body_async() -> Any:
        return body()

    state = asyncio.run(flow(body_async)(return_state=True)) if is_async else flow(body)(return_state=True)
    assert (state.type, state.name) == (state_type, name)
    if isinstance(outcome, type):
        with pytest.raises(outcome):
            state.result()
    else:
        assert state.result() == outcome


def test_calling_a_flow_gives_the_value_or_raises_the_exception() -> None:
    assert flow(returns_value)() == 7
    with pytest.raises(LookupError, match="lost"):
        flow(raises)()


def test_a_failed_flow_without_exception_raises_failed_run() -> None:
    @flow
    def fails() -> State:
        return Failed(message="not today")

    with pytest.raises(FailedRun, match="not today"):
        fails()


def test_every_started_task_has_ended_when_the_flow_has() -> None:
    @flow
    def forgets() -> None:
        for value in range(50):
            good.submit(value)

    with recorded() as history:
        forgets()
    assert {run.history[-1].type for run in history.runs.values()} == {COMPLETED}
    assert len(history.runs) == 50


def test_a_flow_that_raises_cancels_what_it_had_not_begun() -> None:
    started, release = threading.Event(), threading.Event()

    @task
    def waits() -> None:
        started.set()
        release.wait(10)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def gives_up() -> None:
        waits.submit()
        good.submit(1)
        good.submit(good.submit(2))
        started.wait(10)
        release.set()
        raise LookupError("lost")

    with recorded() as history, pytest.raises(LookupError):
        gives_up()
    ends = {run.name: run.history[-1] for run in history.runs.values()}
    assert ends["waits-0"].type == COMPLETED
    assert all(entry.type in (CANCELLED, COMPLETED) for entry in ends.values())
    assert all(entry.reason == "FlowEnded" for entry in ends.values() if entry.type == CANCELLED)


def test_a_failure_nobody_looked_at_is_named_in_the_message() -> None:
    state = flow(forgets_bad_future)(return_state=True)
    assert state.message == "1 task run failed and nobody looked at the result: ValueError: bad 1"
    assert state.reason == "ValueError"


def test_a_subflow_is_a_run_and_gives_its_value() -> None:
    @flow
    def inner(n: int) -> Any:
        return good(n) + 1

    @flow
    def outer() -> Any:
        return inner(good.submit(1))

    with recorded() as history:
        assert outer() == 2
    assert [(run.kind, run.history[-1].name) for run in history.runs.values()] == [
        ("task", "Completed"),
        ("subflow", "Completed"),
        ("task", "Completed"),
    ]
    assert history.upstream_of("inner-1") == {"good-0"}


def test_a_failed_subflow_is_an_ordinary_exception_of_its_caller() -> None:
    inner = flow(raises)

    @flow
    def outer() -> str:
        try:
            inner()
        except LookupError:
            return "dealt with"
        return "not raised"

    with recorded() as history:
        assert outer() == "dealt with"
    assert history.row("raises-0")["reason"] == "LookupError"


def test_async_subflows_run_side_by_side() -> None:
    @flow
    async def inner(n: int) -> Any:
        await asyncio.sleep(0)
        return good(n)

    @flow
    async def outer() -> Any:
        return await asyncio.gather(*(inner(n) for n in range(5)))

    assert asyncio.run(outer()) == [0, 1, 2, 3, 4]


def test_a_sync_subflow_in_an_async_flow_runs() -> None:
    @flow
    async def outer() -> Any:
        return flow(returns_future)()

    assert asyncio.run(outer()) == 3


def test_a_failed_upstream_fails_a_subflow_before_it_runs() -> None:
    @flow
    def inner(n: int) -> int:
        return n

    @flow
    def outer() -> State:
        return inner(bad.submit(), return_state=True)

    state = outer(return_state=True)
    assert (state.type, state.reason) == (FAILED, "UpstreamFailed")


def test_arguments_that_do_not_bind_raise_before_there_is_a_run() -> None:
    @flow
    def takes(n: int) -> int:
        return n

    with pytest.raises(ParameterBindError, match="missing a required argument: 'n'"):
        takes()


def test_arguments_are_coerced_and_what_does_not_fit_fails_the_run() -> None:
    @flow
    def takes(n: int, *, words: list[str] | None = None) -> Any:
        return n, words

    assert takes("5", words=("a",)) == (5, ["a"])
    state = takes("five", return_state=True)
    assert isinstance(state.error, ParameterTypeError)
    assert state.message == "takes: n: Input should be a valid integer, unable to parse string as an integer, not 'five'"


def test_validation_can_be_switched_off() -> None:
    @flow(validate_parameters=False)
    def takes(n: int) -> Any:
        return n

    assert takes("five") == "five"


@pytest.mark.parametrize("word", ["return_state", "wait_for"])
def test_words_of_the_call_are_no_parameter_names(word: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def takes({word}): pass", namespace)  # noqa: S102 - the name varies
    with pytest.raises(ValueError, match=word):
        flow(namespace["takes"])()


def test_flow_retries_run_the_body_again_in_the_same_process() -> None:
    tries: list[int] = []

    @flow(retries=2, retry_delay_seconds=0)
    def flaky() -> int:
        tries.append(1)
        if len(tries) < 3:
            bad.submit(len(tries)).result()
        return len(tries)

    assert flaky() == 3


def test_flow_retries_end() -> None:
    tries: list[int] = []

    @flow(retries=1)
    def broken() -> None:
        tries.append(1)
        raise LookupError("lost")

    with pytest.raises(LookupError):
        broken()
    assert len(tries) == 2


HOOKS = {
    "on_completion": (returns_value, None),
    "on_failure": (raises, LookupError),
    "on_cancellation": (Cancelled, Exception),
    "on_crashed": (lambda: (_ for _ in ()).throw(SystemExit(1)), SystemExit),
}


@pytest.mark.parametrize("hooked", HOOKS)
def test_each_end_calls_its_hooks_sync_and_async_and_their_errors_change_nothing(hooked: str, caplog: pytest.LogCaptureFixture) -> None:
    called: list[str] = []
    body, raised = HOOKS[hooked]

    async def note_async(_flow: Any, _run: Any, state: State) -> None:
        called.append(f"async {state.type}")

    def breaks(_flow: Any, _run: Any, _state: State) -> None:
        raise RuntimeError("hook")

    def note(_flow: Any, _run: Any, state: State) -> None:
        called.append(f"sync {state.type}")

    every: dict[str, Any] = {name: [breaks, note, note_async] if name == hooked else [lambda *_: called.append("wrong")] for name in HOOKS}
    hooked_flow = flow(**every)(body)
    if raised is None:
        hooked_flow()
    else:
        with pytest.raises(raised):
            hooked_flow()
    assert len(called) == 2
    assert called[0].removeprefix("sync ") == called[1].removeprefix("async ")
    assert "the run keeps its state" in caplog.text


def test_hooks_can_be_added_by_decorator() -> None:
    called: list[str] = []
    decorated = flow(returns_value)

    @decorated.on_completion
    def note(_flow: Any, _run: Any, state: State) -> None:
        called.append(state.name)

    decorated()
    assert called == ["Completed"]


def test_a_flow_interrupted_by_the_keyboard_crashes_and_its_tasks_end() -> None:
    @task
    def interrupted() -> None:
        raise KeyboardInterrupt

    @flow
    def outer() -> None:
        good.submit(1)
        interrupted()

    with recorded() as history, pytest.raises(KeyboardInterrupt):
        outer()
    assert history.run("interrupted-1").history[-1].type == CRASHED
    assert all(run.is_over for run in history.runs.values())


@pytest.mark.parametrize(("function", "name"), [("etl_daily", "etl-daily"), ("_hidden", "hidden"), ("__", "__")])
def test_a_flow_is_named_after_its_function_so_that_its_runs_can_be_named_in_a_shell(function: str, name: str) -> None:
    body = lambda: None  # noqa: E731 - its name is what this is about
    body.__name__ = function
    assert flow(body).name == name


def test_an_own_name_may_be_a_template() -> None:
    @flow(flow_run_name="of {n}")
    def inner(n: int) -> int:
        return n

    @flow
    def outer() -> None:
        inner(4)

    with recorded() as history:
        outer()
    assert [run.name for run in history.runs.values()] == ["of 4"]
