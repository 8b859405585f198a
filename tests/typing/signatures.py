"""What type checkers know of tasks and flows: this file is checked by mypy and pyright, and never run.

`assert_type` says what must be known. A `type: ignore` says what must be refused: both checkers complain about one that
nothing needs.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, assert_type
from uuid import UUID

from mintaka import (
    Completed,
    Flow,
    Future,
    FutureList,
    State,
    Task,
    allow_failure,
    aserve,
    deploy,
    flow,
    pause_flow_run,
    quote,
    resume_flow_run,
    serve,
    task,
    unmapped,
)
from mintaka.artifacts import acreate_markdown_artifact, create_markdown_artifact
from mintaka.blocks.system import Secret
from mintaka.concurrency.asyncio import concurrency as aconcurrency
from mintaka.concurrency.asyncio import rate_limit as arate_limit
from mintaka.concurrency.sync import concurrency, rate_limit
from mintaka.context import FlowRunContext, TaskRunContext, get_run_context
from mintaka.flows import EntrypointType
from mintaka.schedules import Cron, Interval, RRule, Schedule
from mintaka.serving.runner_deployments import RunnerDeployment
from mintaka.states import Failed
from mintaka.variables import Variable


@task
def add(a: int, b: int = 1) -> int:
    return a + b


@task(retries=3, retry_delay_seconds=[1, 2], tags=["slow"])
def name(number: int, *, prefix: str) -> str:
    return prefix + str(number)


@task
async def fetch(url: str) -> bytes:
    return url.encode()


@task(timeout_seconds=5)
async def fetch_slowly(url: str) -> bytes:
    return url.encode()


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@task
def rows(n: int) -> Generator[str, None, None]:
    yield from map(str, range(n))


@task
async def rows_async(n: int) -> AsyncGenerator[str]:
    for i in range(n):
        yield str(i)


@task
def chosen() -> State[int]:
    return Completed(data=1)


class Loader:
    @task
    def load(self, n: int) -> str:
        return str(n)

    @task
    @staticmethod
    def static(n: int) -> str:
        return str(n)

    @staticmethod
    @task
    def static_outside(n: int) -> str:
        return str(n)

    @task(retries=1)
    @staticmethod
    def static_with_settings(n: int) -> str:
        return str(n)

    @flow
    def run(self, n: int) -> str:
        return self.load(n)

    @task(retries=1)
    async def load_async(self, n: int) -> str:
        return str(n)


@flow
def report(city: str, days: int = 7) -> list[str]:
    return [city] * days


@flow(log_prints=True, retries=2)
async def report_async(city: str) -> list[str]:
    return [city]


@flow
def hands_on() -> Future[int]:
    return add.submit(1)


@flow
def hands_on_many() -> FutureList[int]:
    return add.map([1, 2])


@flow
def pages(n: int) -> Generator[int, None, None]:
    yield from range(n)


# What the decorators make.
declared: Task[..., int] = add
declared_async: Task[[str], Coroutine[Any, Any, bytes], bytes] = fetch
declared_flow: Flow[..., list[str]] = report
wrong_result: Task[..., str] = add  # type: ignore[assignment]


# Calls.
assert_type(add(1), int)
assert_type(add(1, b=2), int)
assert_type(name(1, prefix="x"), str)
assert_type(add(1, return_state=True), State[int])
assert_type(add(1, wait_for=[add.submit(1)]), int)
assert_type(add(1, return_state=True).result(), int)
assert_type(add(1, return_state=True).result(raise_on_failure=False), int | Exception)
assert_type(chosen(), int)
assert_type(rows(2), Generator[str, None, None])
assert_type(rows(2, return_state=True), State[list[str]])
assert_type(report("Ulm"), list[str])
assert_type(report("Ulm", return_state=True), State[list[str]])
assert_type(hands_on(), int)
assert_type(hands_on_many(), list[int])
assert_type(pages(2), Generator[int, None, None])
add("1")  # type: ignore[arg-type]
add(1, c=2)  # type: ignore[call-overload]
name(1)  # type: ignore[call-overload]
report(7)  # type: ignore[call-overload]
report("Ulm", weeks=1)  # type: ignore[arg-type]

# Submits.
assert_type(add.submit(1), Future[int])
assert_type(add.submit(1, b=2).result(), int)
assert_type(add.submit(1).state, State[int])
assert_type(add.submit(1).result(raise_on_failure=False), int | Exception)
assert_type(add.submit(1, return_state=True), State[int])
assert_type(add.submit(1, wait_for=[add.submit(1)]), Future[int])
assert_type(fetch.submit("u"), Future[bytes])
assert_type(fetch_slowly.submit("u").result(), bytes)
assert_type(rows.submit(2), Future[list[str]])
assert_type(rows_async.submit(2).result(), list[str])
assert_type(chosen.submit(), Future[int])
add.submit("1")  # type: ignore[arg-type]
add.submit(1, 2, 3)  # type: ignore[call-overload]
name.submit(1, suffix="x")  # type: ignore[call-overload]

# Futures in the place of values.
assert_type(add.submit(add.submit(1)), Future[int])
assert_type(add.submit(1, add.submit(2)), Future[int])
assert_type(add.submit(a=add.submit(1), b=add.submit(2)), Future[int])
assert_type(add(add.submit(1)), int)
assert_type(total.submit(add.map([1, 2])), Future[int])
assert_type(total.submit([add.submit(1)]), Future[int])
assert_type(add.submit(allow_failure(add.submit(1)), 2), Future[int])
assert_type(fetch.submit(quote("u")), Future[bytes])

# Maps.
assert_type(add.map([1, 2]), FutureList[int])
assert_type(add.map([1, 2], unmapped(3)).result(), list[int])
assert_type(add.map([1, 2], return_state=True), list[State[int]])
assert_type(fetch.map(["u"]), FutureList[bytes])
assert_type(fetch.map(["u"])[0], Future[bytes])
assert_type(rows.map([1]), FutureList[list[str]])
assert_type(add.map([1]).result(raise_on_failure=False), list[int | Exception])


# Coroutines.
async def awaits() -> None:
    assert_type(await fetch("u"), bytes)
    assert_type(await fetch("u", return_state=True), State[bytes])
    assert_type(await fetch_slowly.submit("u"), bytes)
    assert_type(await fetch.map(["u"]), list[bytes])
    assert_type(await report_async("Ulm"), list[str])
    assert_type(await report_async("Ulm", return_state=True), State[list[str]])
    assert_type([row async for row in rows_async(2)], list[str])
    await fetch(1)  # type: ignore[call-overload]


# Settings.
assert_type(add.with_options(retries=2).submit(1), Future[int])
assert_type(add.with_options(name="plus")(1), int)
assert_type(report.with_options(timeout_seconds=5)("Ulm"), list[str])
add.with_options(retires=2)  # type: ignore[call-arg]
add.with_options(retries="2")  # type: ignore[arg-type]
add.with_options(retries=2)("1")  # type: ignore[arg-type]
task(retires=2)  # type: ignore[call-overload]
flow(retries="2")  # type: ignore[call-overload]
task(5)  # type: ignore[call-overload]

# Methods.
assert_type(Loader().load(1), str)
assert_type(Loader().load.submit(1), Future[str])
assert_type(Loader.load(Loader(), 1), str)
assert_type(Loader.static_outside(1), str)
assert_type(Loader.static.submit(1), Future[str])
assert_type(Loader.static_with_settings(1), str)
assert_type(Loader().run(1), str)
assert_type(Loader().load_async.submit(1), Future[str])
Loader().load("1")  # type: ignore[arg-type]
Loader.static("1")  # type: ignore[arg-type]


# What runs share.
async def shares() -> None:
    with concurrency(["a", "b"], occupy=2, timeout_seconds=1.5) as nothing:
        assert_type(nothing, None)
    async with aconcurrency("a", strict=True):
        await arate_limit("r")
    rate_limit("r", occupy="1")  # type: ignore[arg-type]
    assert_type(Variable.set("v", [1], tags=["t"]), Variable)
    assert_type(await Variable.aunset("v"), bool)
    assert_type(Secret.load("s").get(), str)
    assert_type(await Secret.aload("s"), Secret)
    assert_type(await Variable.set("v", 1, _sync=False), Variable)
    assert_type(Variable.unset("v", _sync=True), bool)
    assert_type(await Secret.load("s", _sync=False), Secret)
    assert_type(Secret("s").save("s"), str)
    assert_type(create_markdown_artifact("# A", key="a"), UUID)
    assert_type(create_markdown_artifact("# A", _sync=True), UUID)
    assert_type(await create_markdown_artifact("# A", _sync=False), UUID)
    create_markdown_artifact(1)  # type: ignore[call-overload]
    assert_type(await acreate_markdown_artifact("# A"), UUID)
    assert_type(await Completed(data=1).aresult(), int)
    assert_type(Completed(data=1).result(_sync=True), int)
    assert_type(pause_flow_run(int), int)
    await resume_flow_run("id", _sync=False)


# Where the code runs.
assert_type(get_run_context(), FlowRunContext | TaskRunContext)
assert_type(TaskRunContext.get(), TaskRunContext | None)


@concurrency("a")
def decorated(n: int) -> int:
    return n


assert_type(decorated(1), int)


# Hooks keep their own type.
@add.on_completion
def note(task: object, run: object, state: State) -> None: ...


hook: Callable[[object, object, State], None] = note

# States.
assert_type(Completed(data=1), State[int])
assert_type(Completed(data=1).result(), int)
failed: State[str] = Failed(message="no")
bare: State = Completed(data="x")


# Deployments.
assert_type(report.to_deployment("daily", cron="@daily", tags=["a"], parameters={"city": "Rome"}), RunnerDeployment)
assert_type(report.to_deployment("daily", schedules=[Cron("@daily"), Interval(60), RRule("FREQ=DAILY")]), RunnerDeployment)
assert_type(report.serve("daily", interval=[60, 90.5], limit=3, pause_on_shutdown=False, entrypoint_type=EntrypointType.MODULE_PATH), None)
assert_type(report.deploy("daily", image="registry/x:1", build=False, push=False, concurrency_limit=1), UUID)
assert_type(deploy(report.to_deployment("daily"), image="registry/x:1"), list[UUID])
assert_type(serve(report.to_deployment("daily"), limit=2), None)
assert_type(flow.from_source("folder", "file.py:flow"), Flow[..., Any])
assert_type(Flow.from_source("folder", entrypoint="file.py:flow"), Flow[..., Any])
assert_type(Cron("0 6 * * *", timezone="Europe/Berlin"), Schedule)
report.to_deployment("daily", cron=6)  # type: ignore[call-overload]
report.to_deployment("daily", limit=3)  # type: ignore[call-overload]
report.serve("daily", work_pool_name="pool")  # type: ignore[call-arg]
report.serve("daily", schedule="@daily")  # type: ignore[arg-type]
serve(report)  # type: ignore[arg-type]


async def deployments() -> None:
    deployment = await report_async.ato_deployment("daily", interval=60)
    assert_type(deployment, RunnerDeployment)
    assert_type(await report_async.to_deployment("daily", _sync=False), RunnerDeployment)
    assert_type(await report_async.adeploy("daily"), UUID)
    await aserve(deployment)
    await report_async.aserve("daily", rrule="FREQ=DAILY")
