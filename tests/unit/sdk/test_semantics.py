"""What a flow's return value, and failures that no code read, make of it: by default, and with MINTAKA_SEMANTICS=prefect3."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from pydantic import BaseModel, ConfigDict

from mintaka import ThreadPoolTaskRunner, allow_failure, as_completed, flow, task, wait
from mintaka.engine.semantics import VARIABLE
from mintaka.exceptions import ConfigurationError, FailedRun, InvalidSettingError
from mintaka.futures import resolve_futures_to_states
from mintaka.states import Cancelled, Completed, Failed, State
from mintaka.task_runners import ProcessPoolTaskRunner
from mintaka.testing import recorded
from mintaka_core.states import CANCELLED, COMPLETED, FAILED

if TYPE_CHECKING:
    from collections.abc import Callable


@task
def good() -> int:
    return 1


@task
def bad() -> int:
    raise ValueError("no")


@dataclass
class Pair:
    first: Any
    second: Any


class Model(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    first: Any
    second: Any


class Names(list[Any]):
    """A list of the user's own."""


class Named(NamedTuple):
    first: Any
    second: Any


def in_a_circle(one: Any, two: Any) -> list[Any]:
    found: list[Any] = [one, two]
    found.append(found)
    return found


def deep(one: Any, two: Any) -> Any:
    value: Any = [one, two]
    for _ in range(100):
        value = [value]
    return value


SHAPES: dict[str, Callable[[Any, Any], Any]] = {
    "a tuple": lambda one, two: (one, two),
    "a list": lambda one, two: [one, two],
    "a set": lambda one, two: {one, two},
    "a frozenset": lambda one, two: frozenset((one, two)),
    "a named tuple": Named,
    "a list of the user's own": lambda one, two: Names((one, two)),
    "a dict": lambda one, two: {"first": one, "second": two},
    "a dataclass": Pair,
    "a pydantic model": lambda one, two: Model(first=one, second=two),
    "a dataclass in a list in a dict": lambda one, two: {"pairs": [Pair(one, (two,))]},
    "values next to them": lambda one, two: ("value", one, None, two),
    "a list in a circle": in_a_circle,
    "100 lists in each other": deep,
    "a generator": lambda one, two: (each for each in (one, two)),
}
KINDS: dict[str, Callable[[Any], Any]] = {
    "futures": lambda called: called.submit(),
    "states": lambda called: called(return_state=True),
    "futures that were waited for": lambda called: (future := called.submit()).wait() or future,
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("make", SHAPES.values(), ids=SHAPES)
def test_a_failure_in_what_a_flow_returns_makes_it_failed_and_its_call_raise(make: Any, kind: Any) -> None:
    @flow
    def main() -> Any:
        return make(kind(good), kind(bad))

    state = main(return_state=True)
    assert (state.type, state.reason) == (FAILED, "ValueError")
    assert "1 of 2 returned states did not complete" in state.message
    with pytest.raises(ValueError, match="no"):
        main()


@pytest.mark.parametrize("make", SHAPES.values(), ids=SHAPES)
def test_with_the_switch_the_call_gives_the_collection_with_states_in_it(make: Any) -> None:
    """The flow is FAILED where the collection is a list, tuple or set of nothing but states."""

    @flow(semantics="prefect3")
    def main() -> Any:
        return make(good.submit(), bad.submit())

    state, value = main(return_state=True), main()
    plain = isinstance(value, (list, tuple, set)) and all(type(part) is State for part in value)
    assert state.type == (FAILED if plain else COMPLETED)
    assert type(value) is (list if make is SHAPES["a generator"] else type(make(1, 2)))
    assert plain == (
        make in [SHAPES[name] for name in ("a tuple", "a list", "a set", "a named tuple", "a generator", "a list of the user's own")]
    )


ENTRIES: dict[str, Callable[[Any], Any]] = {
    "called": lambda main: main(),
    "with options": lambda main: main.with_options(name="other")(),
    "as a subflow": lambda main: flow(lambda: main(), name="around")(),  # noqa: PLW0108 - a flow needs a function
    "as a subflow in a task of its own": lambda main: flow(lambda: task(lambda: main(), name="inside").submit().result(), name="around")(),  # noqa: PLW0108
    "async": lambda main: asyncio.run(flow(_asynchronous(main.fn), name="async")()),
}


def _asynchronous(fn: Callable[[], Any]) -> Callable[[], Any]:
    async def body() -> Any:
        return fn()

    return body


@pytest.mark.parametrize("enter", ENTRIES.values(), ids=ENTRIES)
def test_however_the_flow_is_entered(enter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    @flow
    def main() -> Any:
        return {"a": [good.submit(), bad.submit()]}

    with pytest.raises(ValueError, match="no"):
        enter(main)
    monkeypatch.setenv(VARIABLE, "prefect3")
    found = enter(main)
    assert [state.type for state in found["a"]] == [COMPLETED, FAILED]


# -- looking ------------------------------------------------------------------------------------------------------------


def handled_list() -> None:
    with pytest.raises(ValueError, match="no"):
        task(lambda _: bad.fn(), name="each").map(range(4)).result()


async def awaited() -> None:
    with pytest.raises(ValueError, match="no"):
        await bad.submit()


async def awaited_list() -> None:
    with pytest.raises(ValueError, match="no"):
        await task(lambda _: bad.fn(), name="each").map(range(4))


def raised() -> None:
    with pytest.raises(ValueError, match="no"):
        bad.submit().result()


def polled() -> None:
    future = bad.submit()
    while not future.state.is_final():
        future.wait(0.001)


def called_back() -> None:
    future = bad.submit()
    future.add_done_callback(lambda done: done.state)
    future.wait()


LOOKS: dict[str, Callable[[], Any]] = {
    "submit(return_state=True)": lambda: bad.submit(return_state=True) and None,
    "map(return_state=True)": lambda: task(lambda _: bad.fn(), name="each").map(range(3), return_state=True) and None,
    "a call with return_state=True": lambda: bad(return_state=True) and None,
    "a subflow's call with return_state=True": lambda: flow(lambda: bad.submit(), name="inner")(return_state=True) and None,  # noqa: PLW0108
    ".state after .wait()": lambda: (future := bad.submit()).wait() or (future.state and None),
    ".state.is_failed()": lambda: (future := bad.submit()).wait() or (future.state.is_failed() and None),
    "polling .state": polled,
    ".result() that is caught": raised,
    ".result(raise_on_failure=False)": lambda: bad.submit().result(raise_on_failure=False) and None,
    ".result() of the futures of a map that is caught": handled_list,
    ".state in a callback": called_back,
    "resolve_futures_to_states": lambda: resolve_futures_to_states([bad.submit()]) and None,
    "as_completed and .state": lambda: [future.state for future in as_completed([bad.submit()])] and None,
    "allow_failure in another task's arguments": lambda: task(lambda _: None, name="after")(allow_failure(bad.submit())),
}
BLIND: dict[str, Callable[[], Any]] = {
    "nothing": lambda: bad.submit() and None,
    ".wait()": lambda: bad.submit().wait(),
    "wait([…])": lambda: wait([bad.submit()]) and None,
    "as_completed alone": lambda: [None for _ in as_completed([bad.submit()])] and None,
    ".done": lambda: (future := bad.submit()).wait() or (future.done and None),
    "repr": lambda: (future := bad.submit()).wait() or (repr(future) and None),
    "one of two": lambda: bad.submit() and bad.submit(return_state=True) and None,
}


@pytest.mark.parametrize("semantics", ["mintaka", "prefect3"])
@pytest.mark.parametrize("looks", LOOKS.values(), ids=LOOKS)
def test_what_counts_as_looking_at_a_failure(looks: Any, semantics: Any) -> None:
    assert flow(looks, name="main", semantics=semantics)(return_state=True).type == COMPLETED


@pytest.mark.parametrize("looks", [awaited, awaited_list], ids=["await of a future", "await of the futures of a map"])
def test_awaiting_counts_as_looking(looks: Any) -> None:
    assert asyncio.run(flow(looks, name="main")(return_state=True)).type == COMPLETED


@pytest.mark.parametrize(("semantics", "end"), [("mintaka", FAILED), ("prefect3", COMPLETED)], ids=["by default", "with the switch"])
@pytest.mark.parametrize("looks", BLIND.values(), ids=BLIND)
def test_what_does_not_count_as_looking_fails_the_flow_unless_the_switch_is_on(looks: Any, semantics: Any, end: Any) -> None:
    assert flow(looks, name="main", semantics=semantics)(return_state=True).type == end


# -- the switch ---------------------------------------------------------------------------------------------------------


def forgets() -> None:
    bad.submit()


SAID: dict[str, tuple[str | None, str | None, str | None, Any]] = {
    # environment, the outer flow, the flow: its end
    "nothing": (None, None, None, FAILED),
    "an empty variable": ("", None, None, FAILED),
    "the environment": ("prefect3", None, None, COMPLETED),
    "the flow": (None, None, "prefect3", COMPLETED),
    "the flow around it": (None, "prefect3", None, COMPLETED),
    "the flow, against the environment": ("prefect3", None, "mintaka", FAILED),
    "the flow, against the flow around it": ("mintaka", "prefect3", "mintaka", FAILED),
    "the flow around it, against the environment": ("prefect3", "mintaka", None, FAILED),
}


@pytest.mark.parametrize(("environment", "outer", "inner", "end"), SAID.values(), ids=SAID)
def test_the_flow_says_else_the_flow_around_it_else_the_environment(
    environment: str | None, outer: Any, inner: Any, end: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if environment is not None:
        monkeypatch.setenv(VARIABLE, environment)
    subflow = flow(forgets, semantics=inner)
    around = flow(lambda: subflow(return_state=True).type.value, name="around").with_options(semantics=outer)
    assert around() == end
    if outer is None:
        assert subflow(return_state=True).type == end


def test_with_options_keeps_the_semantics_and_changes_them() -> None:
    one = flow(forgets, semantics="prefect3")
    assert one.with_options(name="other").semantics == "prefect3"
    assert one.with_options(semantics=None)(return_state=True).type == FAILED


@pytest.mark.parametrize("call", [flow(forgets), good], ids=["a flow", "a task outside of flows"])
def test_a_misspelt_variable_is_refused(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "prefect")
    with pytest.raises(ConfigurationError, match="MINTAKA_SEMANTICS should be mintaka or prefect3, not 'prefect'"):
        call()


@pytest.mark.parametrize("value", ["Prefect3", "", 3, ["prefect3"]])
def test_a_misspelt_setting_is_refused(value: Any) -> None:
    with pytest.raises(InvalidSettingError, match=r"semantics of flow forgets is 'mintaka' or 'prefect3', not"):
        flow(forgets, semantics=value)


def test_with_the_switch_a_task_outside_of_flows_gives_the_state_it_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    gives = task(lambda: Failed(message="x"), name="gives")
    with pytest.raises(FailedRun):
        gives()
    monkeypatch.setenv(VARIABLE, "prefect3")
    assert gives().is_failed()
    assert gives(return_state=True).is_failed()


RETURNED_BY_TASKS: dict[str, tuple[Callable[[], Any], Any]] = {
    # what it returns: the type of its end
    "Completed(data=41)": (lambda: Completed(data=41), COMPLETED),
    "Failed": (lambda: Failed(message="x"), FAILED),
    "Cancelled": (Cancelled, CANCELLED),
    "a state of a run that completed": (lambda: good(return_state=True), COMPLETED),
    "a state of a run that failed": (lambda: bad(return_state=True), FAILED),
    "states that completed": (lambda: [good(return_state=True), Completed()], COMPLETED),
    "states, one failed": (lambda: (Completed(), bad(return_state=True)), FAILED),
    "a state and a value": (lambda: [Failed(), 1], COMPLETED),
    "an empty list": (list, COMPLETED),
}


@pytest.mark.parametrize(("gives", "end"), RETURNED_BY_TASKS.values(), ids=RETURNED_BY_TASKS)
def test_with_the_switch_a_call_of_a_task_gives_what_its_body_returned(gives: Any, end: Any) -> None:
    body = task(gives, name="body")

    @task
    async def awaited_body() -> Any:
        return gives()

    @flow(semantics="prefect3")
    async def main() -> Any:
        submitted = body.submit()
        submitted.wait()
        assert submitted.state.type == body(return_state=True).type == end
        return {"": (body(), await awaited_body())}

    called = asyncio.run(main())[""]
    assert [shown(value) for value in called] == [shown(gives())] * 2


def shown(value: Any) -> Any:
    if isinstance(value, State):
        return value.type.value
    return [shown(part) for part in value] if isinstance(value, (list, tuple)) else value


def test_the_switch_holds_for_tasks_called_inside_of_tasks_in_other_processes() -> None:
    inner = task(lambda: Failed(message="x"), name="inner")
    outer = task(lambda: type(inner()).__name__, name="outer")

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1), semantics="prefect3")
    def main() -> Any:
        return {"": outer.submit().result()}

    assert main() == {"": "State"}


# -- what has not begun -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runner", "semantics", "many", "all_run"),
    [
        (ThreadPoolTaskRunner(max_workers=2), "mintaka", 6, True),
        (ThreadPoolTaskRunner(max_workers=2), "prefect3", 6, False),
        (None, "prefect3", 80, True),
        (ThreadPoolTaskRunner(), "prefect3", 80, True),
    ],
    ids=[
        "by default",
        "with the switch, more than max_workers",
        "with the switch, the default runner",
        "with the switch, a runner without a bound",
    ],
)
def test_queued_tasks_are_cancelled_at_the_end_of_the_body_with_the_switch_alone(
    runner: Any, semantics: Any, many: int, all_run: bool
) -> None:
    ran: list[int] = []
    gate = threading.Event()

    @task
    def slow(n: int) -> None:
        gate.wait(0.1)
        ran.append(n)

    @flow(task_runner=runner, semantics=semantics)
    def main() -> None:
        slow.map(range(many))

    with recorded() as history:
        assert main(return_state=True).type == COMPLETED
    ends = [run.history[-1] for run in history.runs.values()]
    assert (len(ran) == many) == all_run
    assert {(end.type, end.reason) for end in ends} == {(COMPLETED, "")} | (set() if all_run else {(CANCELLED, "FlowEnded")})


def test_with_the_switch_what_a_returned_future_needs_runs() -> None:
    gate = threading.Event()

    @task
    def slow(n: int) -> int:
        gate.wait(0.05)
        return n + 1

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1), semantics="prefect3")
    def main() -> Any:
        return slow.submit(slow.submit(slow.submit(0)))

    assert main().result() == 3


def test_a_generator_that_a_flow_returns_runs_inside_of_the_flow() -> None:
    """Its code may submit tasks, and its failure is the flow's."""

    @flow
    def submits() -> Any:
        return (good.submit() for _ in range(3))

    @flow
    def fails() -> Any:
        return (1 // n for n in (1, 0))

    assert submits() == [1, 1, 1]
    assert fails(return_state=True).reason == "ZeroDivisionError"


def test_a_future_of_the_flow_around_it_that_a_subflow_returns_is_waited_for() -> None:
    gate = threading.Event()

    @task
    def slow() -> int:
        gate.wait(0.1)
        return 1

    @flow
    def main() -> Any:
        future = slow.submit()
        return flow(lambda: {"": future}, name="inner")()

    assert main() == {"": 1}


@pytest.mark.parametrize("semantics", ["mintaka", "prefect3"])
def test_a_value_nested_deeper_than_python_recurses_is_returned_as_it_is(semantics: Any) -> None:
    value: list[Any] = []
    for _ in range(20_000):
        value = [value]
    assert flow(lambda: value, name="main", semantics=semantics)() is value


@pytest.mark.parametrize("make", SHAPES.values(), ids=SHAPES)
def test_callers_get_results_in_the_place_of_futures_whatever_they_are_in(make: Any) -> None:
    @task
    def other() -> int:
        return 2

    @flow
    def main() -> Any:
        return make(good.submit(), other.submit())

    wanted = make(1, 2)
    found = main()
    if make is in_a_circle:
        assert found[:2] == [1, 2]
    else:
        assert found == (list(wanted) if make is SHAPES["a generator"] else wanted)
        assert type(found) is (list if make is SHAPES["a generator"] else type(wanted))
