"""Coroutines that calls of async tasks and flows give: awaited, returned, or left."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, task
from mintaka.task_runners import ProcessPoolTaskRunner
from mintaka_core.states import COMPLETED, FAILED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from mintaka import State


@task
async def save(x: int) -> int:
    await asyncio.sleep(0)
    return x


@flow
async def subflow(x: int) -> int:
    return await save(x)


async def plain(x: int) -> int:
    return x


class Store:
    @task
    async def save(self, x: int) -> int:
        return x


def run(body: Any) -> State[Any]:
    """The state in which a flow ends, be it sync or async."""
    made = flow(body)
    state = made(return_state=True)
    return asyncio.run(state) if inspect.iscoroutine(state) else state


async def async_returns(value: Any) -> Any:
    return value()


RETURNED = {
    "a task": (lambda: save(1), 1),
    "an async subflow": (lambda: subflow(1), 1),
    "a method": (lambda: Store().save(1), 1),
    "a coroutine of the user's own": (lambda: plain(1), 1),
    "a list": (lambda: [save(1), save(2)], [1, 2]),
    "a tuple in a dict": (lambda: {"a": (save(1), 2)}, {"a": (1, 2)}),
    "deep inside": (lambda: [[{"a": [subflow(1)]}]], [[{"a": [1]}]]),
}


@pytest.mark.parametrize(("make", "expected"), RETURNED.values(), ids=RETURNED)
@pytest.mark.parametrize("how", ["sync flow", "async flow", "task", "submitted task", "task of an async flow"])
def test_what_a_body_returns_without_awaiting_is_awaited(how: str, make: Any, expected: Any) -> None:
    @task
    def returns() -> Any:
        return make()

    async def async_flow() -> Any:
        return make()

    async def calls() -> Any:
        return returns()

    bodies = {
        "sync flow": lambda: make(),  # noqa: PLW0108 - flows are functions
        "async flow": async_flow,
        "task": lambda: returns(),  # noqa: PLW0108
        "submitted task": lambda: returns.submit(),  # noqa: PLW0108
        "task of an async flow": calls,
    }
    state = run(bodies[how])
    assert (state.type, state.result()) == (COMPLETED, expected)


@task
def sync_drops() -> None:
    save(1)


@task
async def async_drops() -> None:
    save(1)


@task
def generates() -> Iterator[int]:
    save(1)
    yield 1


@task
async def generates_async() -> AsyncIterator[int]:
    yield 1
    save(1)


async def drops_a_task() -> None:
    save(1)


async def drops_a_subflow() -> None:
    subflow(1)


async def drops_a_method() -> None:
    Store().save(1)


async def drops_one_of_two() -> Any:
    dropped = save(1)
    assert dropped is not None
    return save(2)


async def drops_in_a_task() -> None:
    await async_drops()


async def drops_in_a_submitted_task() -> None:
    await async_drops.submit()


async def drops_in_a_generator() -> list[int]:
    return [item async for item in generates_async()]


async def asks_for_the_state() -> None:
    save(1, return_state=True)


async def drops_with_options() -> None:
    save.with_options(name="save", retries=2)(1)


def sync_flow_drops() -> None:
    save(1)


LEFT = {
    "a task in an async flow": (drops_a_task, "task save", "drops_a_task"),
    "a subflow in an async flow": (drops_a_subflow, "flow subflow", "drops_a_subflow"),
    "a method": (drops_a_method, "task save", "drops_a_method"),
    "one while another is returned": (drops_one_of_two, "task save", "drops_one_of_two"),
    "with return_state": (asks_for_the_state, "task save", "asks_for_the_state"),
    "with other options": (drops_with_options, "task save", "drops_with_options"),
    "in an async task": (drops_in_a_task, "task save", "async_drops"),
    "in a submitted async task": (drops_in_a_submitted_task, "task save", "async_drops"),
    "in an async generator": (drops_in_a_generator, "task save", "generates_async"),
    "in a sync task": (lambda: sync_drops(), "task save", "sync_drops"),  # noqa: PLW0108
    "in a submitted sync task": (lambda: sync_drops.submit().result(), "task save", "sync_drops"),
    "in a generator": (lambda: list(generates()), "task save", "generates"),
    "in a sync flow": (sync_flow_drops, "task save", "sync_flow_drops"),
}


@pytest.mark.parametrize(("body", "what", "where"), LEFT.values(), ids=LEFT)
def test_a_call_that_is_never_awaited_fails_its_run_with_its_line(body: Any, what: str, where: str) -> None:
    state = run(body)
    function: Any = globals()[where]
    lines, first = inspect.getsourcelines(getattr(function, "fn", function))
    line = first + next(n for n, text in enumerate(lines) if "save(1" in text or "subflow(1" in text or "(1)" in text)
    assert (state.type, state.reason) == (FAILED, "NotAwaited")
    assert state.message.startswith(f'{what}, called in File "{__file__}", line {line}, in {where}, was never awaited, so it did not run: ')


def test_every_call_that_was_left_is_named() -> None:
    async def body() -> None:
        save(1)
        subflow(2)

    message = run(body).message
    assert message.count("was never awaited") == 2
    assert "task save" in message
    assert "flow subflow" in message


@pytest.mark.parametrize("begun", [False, True], ids=["at the end", "while it runs"])
def test_what_only_create_task_knows_of_fails_the_flow(begun: bool) -> None:
    @task
    async def slow() -> None:
        await asyncio.sleep(5)

    async def body() -> int:
        background = asyncio.create_task(slow())
        if begun:
            await asyncio.sleep(0.001)
        return len({background})

    state = run(body)
    assert (state.type, state.reason) == (FAILED, "NotAwaited")
    assert state.message.endswith("in body, was not over and nobody awaited it: await what runs it, or cancel it")


async def gathers() -> Any:
    return await asyncio.gather(save(1), subflow(2))


async def groups() -> Any:
    async with asyncio.TaskGroup() as group:
        one, two = group.create_task(save(1)), group.create_task(subflow(2))
    return [one.result(), two.result()]


async def waits_for() -> Any:
    return [await asyncio.wait_for(save(1), 5), await asyncio.create_task(subflow(2))]


async def cancels() -> Any:
    doomed = asyncio.create_task(save(7))
    await asyncio.sleep(0)
    doomed.cancel()
    await asyncio.wait([doomed])
    return [1, 2]


def runs_loops() -> Any:
    return [asyncio.run(subflow(each)) for each in (1, 2)]


async def hands_on() -> Any:
    @task
    async def awaits(coroutine: Any) -> Any:
        return await coroutine

    return [await awaits(save(1)), await awaits.submit(save(2))]


@pytest.mark.parametrize("body", [gathers, groups, waits_for, cancels, runs_loops, hands_on])
def test_calls_that_are_awaited_in_whatever_way_are_no_matter(body: Any) -> None:
    state = run(body)
    assert (state.type, state.result()) == (COMPLETED, [1, 2])


def test_a_body_that_raises_fails_with_what_it_raised() -> None:
    async def body() -> None:
        save(1)
        raise ValueError("no")

    assert run(body).reason == "ValueError"


def test_a_worker_process_says_so_too() -> None:
    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def main() -> Any:
        return async_drops.submit()

    assert main(return_state=True).reason == "NotAwaited"
