"""Functions that users hand to the SDK may be async: they are awaited, or refused with a sentence; never taken for their coroutine."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, runtime, task
from mintaka.cache_policies import INPUTS, CachePolicy
from mintaka.exceptions import InvalidSettingError
from mintaka.task_runners import ExecutorTaskRunner, ProcessPoolTaskRunner
from mintaka.transactions import transaction

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mintaka.states import State


class Asked:
    """Async functions for a task, which keep what they were called for."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.runs: list[str | None] = []

    async def _asked(self, word: str) -> None:
        await asyncio.sleep(0)
        self.calls.append(word)
        self.runs.append(runtime.task_run.name)

    async def condition(self, _task: object, run: Any, _state: State[Any]) -> bool:
        await self._asked("condition")
        return run.run_count < 2

    async def key(self, _context: object, parameters: dict[str, Any]) -> str:
        await self._asked("key")
        return f"key-{parameters['n']}"

    async def name(self, parameters: dict[str, Any]) -> str:
        await self._asked("name")
        return f"named-{parameters['n']}"

    async def hook(self, _task: object, _run: Any, state: State[Any]) -> None:
        await self._asked(state.name)

    async def transacted(self, transaction: Any) -> None:
        await self._asked(transaction.state)


def settings(asked: Asked, folder: Path) -> dict[str, Any]:
    return {
        "retries": 5,
        "retry_condition_fn": asked.condition,
        "task_run_name": asked.name,
        "cache_key_fn": asked.key,
        "result_storage": folder,
        "on_completion": [asked.hook],
        "on_failure": [asked.hook],
        "on_running": [asked.hook],
    }


def body(n: int) -> int:
    if n < 0:
        raise ValueError(n)
    return n


async def body_async(n: int) -> int:
    return body(n)


class Object:
    """A callable object."""

    def __call__(self, n: int) -> int:
        return body(n)


def called(worker: Any, n: int) -> Any:
    return flow(lambda: worker(n), name="main")()


def submitted(worker: Any, n: int) -> Any:
    return flow(lambda: worker.submit(n).result(), name="main")()


def mapped(worker: Any, n: int) -> Any:
    return flow(lambda: worker.map([n]).result()[0], name="main")()


def elsewhere(worker: Any, n: int, runner: Any = None) -> Any:
    runner = runner or ExecutorTaskRunner(lambda: ThreadPoolExecutor(1))
    return flow(lambda: worker.submit(n).result(), name="main", task_runner=runner)()


def in_processes(worker: Any, n: int) -> Any:
    return elsewhere(worker, n, ProcessPoolTaskRunner(max_workers=1))


def alone(worker: Any, n: int) -> Any:
    return worker(n)


def in_an_async_flow(worker: Any, n: int) -> Any:
    """A sync task called where a loop is running: its functions cannot be awaited in that one."""

    @flow
    async def main() -> Any:
        return worker(n)

    return asyncio.run(main())


def awaited(worker: Any, n: int) -> Any:
    @flow
    async def main() -> Any:
        return await worker(n)

    return asyncio.run(main())


WAYS: dict[str, tuple[Callable[..., Any], Callable[[Any, int], Any]]] = {
    "called": (body, called),
    "submitted": (body, submitted),
    "mapped": (body, mapped),
    "on an executor": (body, elsewhere),
    "in processes": (body, in_processes),
    "outside of a flow": (body, alone),
    "a sync task in an async flow": (body, in_an_async_flow),
    "an async task": (body_async, awaited),
    "an async task that is submitted": (body_async, submitted),
    "a partial": (partial(body), called),
    "a callable object": (Object(), called),
}


@pytest.mark.parametrize("way", WAYS)
def test_async_conditions_keys_names_and_hooks_are_awaited(way: str, tmp_path: Path) -> None:
    fn, run = WAYS[way]
    asked = Asked()
    worker: Any = task(fn, **settings(asked, tmp_path))
    for _ in range(2):
        assert run(worker, 4) == 4
    first, second = ["name", "key", "Running", "Completed"], ["name", "key", "Cached"]
    assert asked.calls[: len(first + second)] == first + second
    assert {run for call, run in zip(asked.calls, asked.runs, strict=True) if call != "name"} == {"named-4"}


@pytest.mark.parametrize("way", WAYS)
def test_an_async_condition_that_says_no_ends_the_tries(way: str, tmp_path: Path) -> None:
    """Its coroutine used to count as a yes."""
    fn, run = WAYS[way]
    asked = Asked()
    worker: Any = task(fn, **settings(asked, tmp_path))
    with pytest.raises(ValueError, match="-4"):
        run(worker, -4)
    assert asked.calls == ["name", "key", "Running", "condition", "Retrying", "condition", "Failed"]


def test_an_async_condition_that_raises_ends_the_tries_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(*_: object) -> bool:
        raise RuntimeError("condition")

    @task(retries=3, retry_condition_fn=broken)
    def fails() -> None:
        raise ValueError("no")

    assert fails(return_state=True).is_failed()
    (told,) = [record for record in caplog.records if "retry_condition_fn" in record.message]
    assert told.message == "retry_condition_fn of task fails failed, so fails-0 is not tried again"


@pytest.mark.parametrize("is_async", [False, True], ids=["a sync flow", "an async flow"])
def test_async_hooks_and_names_of_flows_are_awaited(*, is_async: bool) -> None:
    seen: list[str] = []

    async def name(parameters: dict[str, Any]) -> str:
        await asyncio.sleep(0)
        return f"{parameters['n']}-{runtime.flow_run.flow_name}"

    async def hook(_flow: object, run: Any, state: Any) -> None:
        await asyncio.sleep(0)
        seen.append(f"{run.name} {state.name}")

    hooks: dict[str, Any] = {"flow_run_name": name, "on_running": [hook], "on_completion": [hook]}

    @flow(name="sub", **hooks)
    def sub(n: int) -> int:
        return n

    @flow(name="main", **hooks)
    def main(n: int) -> int:
        return sub(n + 1)

    @flow(name="main", **hooks)
    async def main_async(n: int) -> int:
        return sub(n + 1)

    assert (asyncio.run(main_async(1)) if is_async else main(1)) == 2
    assert seen == ["1-main Running", "2-sub Running", "2-sub Completed", "1-main Completed"]


@pytest.mark.parametrize("loop", [False, True], ids=["without a loop", "inside of a running loop"])
def test_async_hooks_of_transactions_are_awaited(*, loop: bool) -> None:
    asked = Asked()

    @task(on_commit=[asked.transacted], on_rollback=[asked.transacted])
    def work() -> int:
        return 1

    def both() -> list[str]:
        with transaction():
            work()
        with transaction() as undone:
            work()
            undone.rollback()
        return asked.calls

    @flow
    def main() -> list[str]:
        return both()

    @flow
    async def main_async() -> list[str]:
        return both()

    assert (asyncio.run(main_async()) if loop else main()) == ["STAGED", "ROLLED_BACK"]


class ByArgument(CachePolicy):
    """An async policy of one's own."""

    async def compute_key(self, _context: Any, inputs: dict[str, Any], _parameters: dict[str, Any], **_: Any) -> str:  # type: ignore[override]
        await asyncio.sleep(0)
        return str(inputs["n"])


@pytest.mark.parametrize("policy", [ByArgument(), ByArgument() + INPUTS, INPUTS - "other" + ByArgument()], ids=["alone", "first", "last"])
def test_the_key_of_an_async_policy_is_awaited(policy: CachePolicy, tmp_path: Path) -> None:
    count: list[int] = []

    @task(cache_policy=policy, result_storage=tmp_path)
    def work(n: int) -> int:
        count.append(n)
        return n

    assert flow(lambda: [work(1), work(1), work(2)], name="main")() == [1, 1, 2]
    assert count == [1, 2]


NO_TEXT: dict[str, Any] = {
    "a number": lambda: 3,
    "None": lambda: None,
    "bytes": lambda: b"name",
    "of the parameters": lambda parameters: parameters,
}


async def no_text() -> int:
    return 3


@pytest.mark.parametrize("function", [*NO_TEXT.values(), no_text], ids=[*NO_TEXT, "async"])
def test_a_function_that_gives_no_text_fails_the_run_that_it_names(function: Any) -> None:
    @flow(flow_run_name=function)
    def named() -> None:
        """Do nothing."""

    @task(task_run_name=function)
    def work() -> None:
        """Do nothing."""

    for state in (named(return_state=True), flow(work, name="main")(return_state=True)):
        with pytest.raises(InvalidSettingError, match="that names a run has to return a text, not"):
            state.result()


def yields(*_: object) -> Any:
    yield True


async def yields_async(*_: object) -> Any:
    yield True


async def delays(retries: int) -> list[float]:
    return [1.0] * retries


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a condition that yields": (
        lambda: task(body, retry_condition_fn=yields),
        "retry_condition_fn of task body is a function, not <function yields at",
    ),
    "a condition that yields, async": (
        lambda: task(body, retry_condition_fn=yields_async),
        "<function yields_async .*, which yields: a call of it does nothing",
    ),
    "a key function that yields": (lambda: task(body, cache_key_fn=yields), "cache_key_fn of task body"),
    "a name that yields": (lambda: task(body, task_run_name=yields), "task_run_name of task body"),
    "a flow's name that yields": (lambda: flow(body, flow_run_name=yields), "flow_run_name of flow body"),
    "a hook that yields": (
        lambda: task(body, on_failure=[yields]),
        r"on_failure of task body is a list of functions, not \[<function yields .*\], which yields",
    ),
    "a flow's hook that yields": (lambda: flow(body, on_crashed=[yields]), "on_crashed of flow body"),
    "a hook that yields, added later": (lambda: task(body).on_completion(yields), "on_completion of task body takes a function"),
    "of a flow": (lambda: flow(body).on_cancellation(yields), "on_cancellation of flow body takes a function"),
    "of a transaction": (lambda: task(body).on_rollback(yields), "on_rollback of task body takes a function"),
    "async delays": (lambda: task(body, retry_delay_seconds=delays), "or a sync function that makes one of .*, which is async"),
    "a maker of executors": (lambda: ExecutorTaskRunner(no_text), "takes a sync function that makes an executor"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_could_not_be_awaited_is_refused_when_it_is_given(kind: str) -> None:
    make, told = REFUSED[kind]
    with pytest.raises(InvalidSettingError, match=told):
        make()


class Caller:
    """An async callable object."""

    async def __call__(self, _: object) -> None:
        raise AssertionError


async def callback(_: object) -> None:
    raise AssertionError


@pytest.mark.parametrize(
    "given", [callback, partial(callback), Caller(), Caller().__call__], ids=["function", "partial", "object", "method"]
)
def test_an_async_callback_of_a_future_is_refused(given: Any) -> None:
    @flow
    def main() -> int:
        future = task(body).submit(3)
        with pytest.raises(InvalidSettingError, match=r"add_done_callback\(\) of body-0 takes a sync function"):
            future.add_done_callback(given)
        return future.result()

    assert main() == 3
