"""What can be a task or flow: every kind of function, and those that yield."""

from __future__ import annotations

import asyncio
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, get_run_logger, runtime, task
from mintaka.exceptions import ReservedArgumentError
from mintaka.testing import recorded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def waits(value: int, wait_for: int) -> int:
    return value + wait_for


class Waiting:
    def __call__(self, wait_for: int) -> int:
        return wait_for


@pytest.mark.parametrize(
    "given",
    [waits, partial(waits, 1), wraps(waits)(lambda value: waits(value, 1)), Waiting(), staticmethod(waits)],
    ids=["a function", "a partial", "a decorated one", "an object", "a staticmethod"],
)
@pytest.mark.parametrize("decorator", [task, flow], ids=["task", "flow"])
def test_a_parameter_that_would_never_get_its_value_is_refused_when_it_is_decorated(decorator: Any, given: Any) -> None:
    with pytest.raises(ReservedArgumentError, match=f"^{decorator.__name__} [wW]ait.* has a parameter named wait_for, .*: rename it"):
        decorator(given)


def test_what_does_not_tell_its_signature_takes_futures_too() -> None:
    largest = task(max)

    @flow
    def main() -> Any:
        first = largest.submit(1, 5)
        return largest(first, 3), largest.map([first, 2], [4, 7]).result()

    with recorded() as history:
        assert main() == (5, [5, 7])
    assert history.upstream_of("max-1") == {"max-0"}


def test_a_function_may_have_a_parameter_called_self() -> None:
    @task
    def taken(self: int) -> int:
        return self

    @flow
    def main(self: int) -> Any:
        return taken(self=self), taken.submit(self=2).result(), taken.map(self=[3]).result()

    assert main(self=1) == (1, 2, [3])


class Scaled:
    factor = 10

    def __init__(self, step: int) -> None:
        self.step = step

    @task
    def method(self, value: int) -> int:
        return value + self.step

    @task
    @classmethod
    def of_class(cls, value: int) -> int:
        return value * cls.factor

    @task
    @staticmethod
    def static(value: int) -> int:
        return -value

    @staticmethod
    @task
    def static_outside(value: int) -> int:
        return -value

    @flow
    def flow_method(self, value: int) -> int:
        return self.method(value) + 1

    @flow
    @classmethod
    def flow_of_class(cls, value: int) -> int:
        return cls.of_class.submit(value).result()


class Smaller(Scaled):
    factor = 2


class Callable:
    def __call__(self, value: int) -> int:
        return value + 3


class CallableAsync:
    async def __call__(self, value: int) -> int:
        return value + 4


def plain(a: int, b: int) -> int:
    return a * b


CALLS = {
    "a method": (lambda: Scaled(1).method, 3),
    "a classmethod of the class": (lambda: Scaled.of_class, 20),
    "a classmethod of an instance": (lambda: Scaled(1).of_class, 20),
    "a classmethod of a subclass": (lambda: Smaller.of_class, 4),
    "a staticmethod": (lambda: Scaled.static, -2),
    "a staticmethod of an instance": (lambda: Scaled(1).static, -2),
    "a staticmethod around the task": (lambda: Scaled(1).static_outside, -2),
    "a callable object": (lambda: task(Callable()), 5),
    "an async callable object": (lambda: task(CallableAsync()), 6),
    "a partial": (lambda: task(partial(plain, b=5)), 10),
    "a builtin": (lambda: task(abs), 2),
    "a lambda": (lambda: task(lambda value: value), 2),
}


@pytest.mark.parametrize(("of", "expected"), CALLS.values(), ids=CALLS)
def test_what_can_be_a_task(of: Any, expected: int) -> None:
    @flow
    def main() -> Any:
        made = of()
        called = asyncio.run(made(2)) if made.is_async else made(2)
        return called, made.submit(2).result(), made.map([2, 2]).result(), made.with_options(retries=1).submit(2).result()

    assert main() == (expected, expected, [expected, expected], expected)


def test_methods_can_be_flows() -> None:
    assert Scaled(1).flow_method("2") == 4  # type: ignore[arg-type]  # coerced
    assert Smaller.flow_of_class(3) == 6


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="@task goes on a function, not on 5"):
        task(5)  # type: ignore[call-overload]


@task
def counts(n: int) -> Iterator[int]:
    for value in range(n):
        get_run_logger().debug("made in %s", runtime.task_run.name)
        yield value
        assert runtime.task_run.name is not None


@task
async def counts_async(n: int) -> AsyncIterator[int]:
    for value in range(n):
        await asyncio.sleep(0)
        yield value


@task
def breaks(after: int) -> Iterator[int]:
    yield from range(after)
    raise ValueError("broken")


def test_a_generator_called_hands_out_its_items_while_it_runs() -> None:
    seen: list[Any] = []

    @flow
    def main() -> None:
        for value in counts(3):
            name = history.run("counts-0").state.name
            seen.append((value, runtime.task_run.name, name))

    with recorded() as history:
        main()
    assert seen == [(0, None, "Running"), (1, None, "Running"), (2, None, "Running")]
    assert history.states_of("counts-0") == ["Pending", "Running", "Completed"]


def test_an_async_generator_called_hands_out_its_items() -> None:
    @flow
    async def main() -> Any:
        return [value async for value in counts_async(3)], await counts_async.submit(2)

    with recorded() as history:
        assert asyncio.run(main()) == ([0, 1, 2], [0, 1])
    assert history.states_of("counts_async-0") == ["Pending", "Running", "Completed"]


def test_a_generator_that_nobody_asks_for_an_item_is_no_run() -> None:
    @flow
    def main() -> None:
        counts(3)

    with recorded() as history:
        main()
    assert history.runs == {}


def test_a_generator_that_is_closed_early_completed() -> None:
    closed: list[str] = []

    @task
    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append("closed")

    @task
    async def endless_async() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append("closed async")

    @flow
    async def main() -> None:
        items = endless()
        next(items)  # type: ignore[call-overload]
        items.close()  # type: ignore[attr-defined]
        items_async = endless_async()
        await anext(items_async)
        await items_async.aclose()  # type: ignore[attr-defined]

    with recorded() as history:
        asyncio.run(main())
    assert closed == ["closed", "closed async"]
    assert [history.states_of(name)[-1] for name in ("endless-0", "endless_async-1")] == ["Completed", "Completed"]


def test_submitted_mapped_and_states_of_generators_are_lists() -> None:
    @flow
    def main() -> Any:
        return counts.submit(2).result(), counts.map([1, 2]).result(), counts(2, return_state=True).result()

    assert main() == ([0, 1], [[0], [0, 1]], [0, 1])


def test_a_generator_that_fails_is_failed_and_raises_at_its_consumer() -> None:
    @flow
    def main() -> Any:
        items = breaks(2)
        came = [next(items), next(items)]
        with pytest.raises(ValueError, match="broken"):
            next(items)
        return came, breaks(1, return_state=True).name

    with recorded() as history:
        assert main() == ([0, 1], "Failed")
    assert history.states_of("breaks-0")[-1] == "Failed"


def test_a_generator_is_tried_again_only_while_nobody_has_items_of_it() -> None:
    tries: list[int] = []

    @task(retries=2)
    def flaky(before: int) -> Iterator[int]:
        tries.append(1)
        yield from range(before)
        if len(tries) < 3:
            raise ConnectionError("gone")
        yield 7

    @flow
    def main() -> Any:
        return list(flaky(0)), flaky.submit(1).result()

    with recorded() as history:
        assert main() == ([7], [0, 7])
    assert history.states_of("flaky-0").count("AwaitingRetry") == 2
    tries.clear()
    state = flow(lambda: list(flaky(1)))(return_state=True)
    assert (state.name, len(tries)) == ("Failed", 1)


def test_what_is_sent_and_thrown_into_a_generator_reaches_it() -> None:
    @task
    def echoes() -> Any:
        told = yield "ready"
        try:
            yield told
        except KeyError as error:
            yield f"caught {error.args[0]}"
        return "returned"

    def delegating() -> Any:
        return (yield from echoes())

    @flow
    def main() -> Any:
        items = delegating()
        out = [next(items), items.send("hello"), items.throw(KeyError("k"))]
        with pytest.raises(StopIteration) as end:
            next(items)
        return [*out, end.value.value]

    assert main() == ["ready", "hello", "caught k", "returned"]


def test_an_item_leads_back_to_the_run_that_made_it() -> None:
    @task
    def rows() -> Iterator[dict[str, int]]:
        yield {"a": 1}
        yield {"a": 2}

    @task
    def load(row: dict[str, int]) -> int:
        return row["a"]

    @flow
    def main() -> int:
        return sum(load(row) for row in rows())

    with recorded() as history:
        assert main() == 3
    assert [history.upstream_of(name) for name in ("load-1", "load-2")] == [{"rows-0"}, {"rows-0"}]


def test_flows_may_be_generators() -> None:
    @flow
    def numbers(n: int) -> Iterator[int]:
        for value in range(n):
            yield counts.submit(value).result()[-1] if value else 0

    @flow
    async def numbers_async(n: int) -> AsyncIterator[int]:
        for value in range(n):
            yield value

    async def collect() -> list[int]:
        return [value async for value in numbers_async("2")]  # type: ignore[arg-type]  # coerced

    with recorded() as history:
        assert list(numbers("3")) == [0, 0, 1]  # type: ignore[arg-type]  # coerced
    assert len(history.runs) == 2
    assert asyncio.run(collect()) == [0, 1]
    assert numbers(2, return_state=True).result() == [0, 0]


def test_a_task_that_yields_outlives_no_timeout() -> None:
    @task(timeout_seconds=0.05)
    def stuck() -> Iterator[int]:
        yield 1
        while True:
            pass

    with recorded() as history:
        state = flow(lambda: list(stuck()))(return_state=True)
    assert history.states_of("stuck-0")[-1] == "TimedOut"
    assert (state.name, state.reason) == ("TimedOut", "TimedOut")


@pytest.mark.parametrize("is_async", [False, True])
def test_hooks_for_running_are_called_before_each_try(*, is_async: bool) -> None:
    called: list[tuple[str, str]] = []

    def note(what: Any, _run: Any, state: Any) -> None:
        called.append((what.name, state.name))

    tries: list[int] = []

    def body() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("once")
        return 1

    async def body_async() -> int:
        return body()

    made = task(body_async if is_async else body, name="t", retries=1, on_running=[note])  # type: ignore[call-overload]

    @flow(name="f")
    def main() -> int:
        return made.submit().result()

    main.on_running(note)
    main()
    assert called == [("f", "Running"), ("t", "Running"), ("t", "Retrying")]


def test_a_callable_that_names_runs_may_take_the_parameters() -> None:
    @task(task_run_name=lambda parameters: f"clean {parameters['city']}")
    def clean(city: str) -> str:
        return city

    @flow(flow_run_name=lambda parameters: f"of {parameters['city']}")
    def inner(city: str) -> None:
        clean(city)

    @flow
    def main() -> None:
        inner("Ulm")

    with recorded() as history:
        main()
    assert {run.name for run in history.runs.values()} == {"of Ulm", "clean Ulm"}
