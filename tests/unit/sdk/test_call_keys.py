"""Keys of calls of deployments: a call has the same key in each attempt and try of a flow run, and every other call another one."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, task
from mintaka.context import LAUNCH, Launch, current_run
from mintaka.remote_runs.call_keys import call_key, tries_of
from mintaka.task_runners import ProcessPoolTaskRunner

if TYPE_CHECKING:
    from collections.abc import Callable

UID = "0190f5fe-0000-7000-8000-000000000001"


def key(deployment: str = "local/double") -> str:
    """The key of a call of the running code."""
    return call_key(current_run("a test"), deployment)


@task
def keyed(n: int, calls: int = 1) -> list[str]:  # noqa: ARG001 - it distinguishes tasks
    time.sleep(random.random() / 100)
    return [key() for _ in range(calls)]


@flow
def in_the_body() -> list[str]:
    return [key(), key(), key("local/other")]


@flow
def in_tasks() -> list[str]:
    return [one for keys in keyed.map([3, 1, 2, 2], calls=2).result() for one in keys]


@flow
def other_order() -> list[str]:
    return [one for keys in keyed.map([2, 3, 2, 1], calls=2).result() for one in keys]


@flow
def inner(n: int) -> list[str]:
    return [key(), *keyed(n)]


@flow
def in_subflows() -> list[str]:
    return [*inner(1), *inner(2), *inner(1), key()]


@flow
async def in_coroutines() -> list[str]:
    async def call() -> str:
        await asyncio.sleep(0)
        return key()

    return list(await asyncio.gather(*(call() for _ in range(3))))


def attempt(of: Callable[[], Any], number: int = 1, uid: str = UID) -> list[str]:
    """The keys of an attempt of a flow run."""
    token = LAUNCH.set(Launch(uid, "nightly", attempt=number))
    try:
        result = of()
        return list(asyncio.run(result) if asyncio.iscoroutine(result) else result)
    finally:
        LAUNCH.reset(token)


@pytest.mark.parametrize("of", [in_the_body, in_tasks, in_subflows, in_coroutines], ids=lambda of: of.name)
def test_each_attempt_has_the_same_keys(of: Any) -> None:
    """No two calls have one key, and another flow run has others."""
    first, second, other = attempt(of), attempt(of, 2), attempt(of, uid=UID[:-1] + "2")
    assert sorted(first) == sorted(second)
    assert len(set(first)) == len(first)
    assert not set(first) & set(other)


def test_the_order_of_tasks_does_not_matter() -> None:
    """Tasks are identified by their arguments; tasks with the same arguments share a set of keys."""
    assert sorted(attempt(in_tasks)) == sorted(attempt(other_order))


def test_a_try_has_the_keys_of_the_one_before() -> None:
    """This holds for tries of a task and of a flow, which count their tries."""
    seen: list[tuple[str, int]] = []

    def note() -> None:
        seen.append((key(), tries_of(current_run("a test"))))
        if len(seen) % 4:
            raise ValueError(len(seen))

    @task(retries=1)
    def failing() -> None:
        note()

    @flow(retries=1)
    def tried() -> list[str]:
        failing()
        return [key for key, _ in seen]

    assert len(set(attempt(tried))) == 1
    assert [tries for _, tries in seen] == [0, 1, 1, 2]


def test_workers_count_apart() -> None:
    """Two identical calls of a task in different processes have different keys."""

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
    def elsewhere() -> list[str]:
        return [one for keys in keyed.map([1, 1, 2], calls=2).result() for one in keys]

    keys = attempt(elsewhere)
    assert len(set(keys)) == len(keys) == 6
