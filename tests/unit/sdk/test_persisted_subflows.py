"""A finished, persisted subflow is not run again when the flow around it is: in its retries, and in later attempts."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, task
from mintaka.persisting.replaying import replay
from mintaka.testing import recorded

if TYPE_CHECKING:
    from pathlib import Path

RAN: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results are persisted by default, in a folder of the test."""
    monkeypatch.setenv("MINTAKA_RESULT_STORAGE", str(tmp_path / "results"))
    monkeypatch.setenv("MINTAKA_RESULTS_PERSIST_BY_DEFAULT", "true")
    RAN.clear()
    return tmp_path / "results"


@task
def step(name: str) -> str:
    RAN[name] += 1
    return f"{name} {RAN.total()}"


@task
def broken(name: str) -> str:
    RAN[name] += 1
    if RAN[name] == 1:
        raise ValueError("the first time")
    return name


SUBFLOWS_RAN: Counter[str] = Counter()


@pytest.fixture
def bodies() -> Counter[str]:
    """How often the body of which subflow bodies."""
    SUBFLOWS_RAN.clear()
    return SUBFLOWS_RAN


@flow
def part(name: str) -> str:
    SUBFLOWS_RAN[name] += 1
    return step(name)


@flow
async def async_part(name: str) -> str:
    SUBFLOWS_RAN[name] += 1
    return step(name)


def later_tries(body: Any, tries: str) -> Any:
    """Run `body` twice, as the tries of one flow or as the attempts of one run; it raises the first time."""
    if tries == "retries":
        with recorded():
            return flow(body, name="main", retries=1)()
    with recorded(flow_run_id="run", attempt=1):
        assert flow(body, name="main")(return_state=True).name == "Failed"
    with recorded(flow_run_id="run", attempt=2):
        return flow(body, name="main")()


def calls_two(_: int) -> list[str]:
    return [part("a"), part("b")]


def calls_in_another_order(n: int) -> list[str]:
    return [part(name) for name in ("ab" if n == 1 else "ba")]


def calls_one_more_in_between(n: int) -> list[str]:
    return [part(name) for name in ("ab" if n == 1 else "acb")]


def calls_the_same_twice(_: int) -> list[str]:
    return [part("a"), part("a")]


def calls_the_same_once_more(n: int) -> list[str]:
    return [part("a") for _ in range(n)]


def calls_with_other_parameters(n: int) -> list[str]:
    return [part(f"a{n}")]


def calls_by_keyword(n: int) -> list[str]:
    return [part("a") if n == 1 else part(name="a")]


def calls_it_by_another_name(_: int) -> list[str]:
    return [part.with_options(name="other")("a")]


def calls_async_ones(_: int) -> list[str]:
    async def gathered() -> list[str]:
        return await asyncio.gather(async_part("a"), async_part("b"))

    async def body() -> list[str]:
        return await gathered()

    return asyncio.run(flow(body, name="async-around")())


def calls_in_a_subflow(_: int) -> list[str]:
    return [flow(lambda: part.with_options(persist_result=True)("a"), name="between", persist_result=False)()]


def calls_in_a_task(_: int) -> list[str]:
    return [task(lambda: part("a"), name="between", persist_result=False).submit().result()]


def calls_one_that_is_not_persisted(_: int) -> list[str]:
    return [part.with_options(persist_result=False)("a")]


class Source:
    """Something with a flow on it."""

    def __init__(self, name: str) -> None:
        self.name = name

    @flow
    def read(self) -> str:
        SUBFLOWS_RAN[self.name] += 1
        return self.name


def calls_methods_of_two_instances(n: int) -> list[str]:
    return [Source(name).read() for name in ("ab" if n == 1 else "ba")]


RERUN: dict[str, tuple[Any, dict[str, int]]] = {
    # what the flow around calls: how often each body runs
    "two": (calls_two, {"a": 1, "b": 1}),
    "in another order the second time": (calls_in_another_order, {"a": 1, "b": 1}),
    "one more in between the second time": (calls_one_more_in_between, {"a": 1, "b": 1, "c": 1}),
    "the same twice": (calls_the_same_twice, {"a": 2}),
    "the same once more the second time": (calls_the_same_once_more, {"a": 2}),
    "other parameters the second time": (calls_with_other_parameters, {"a1": 1, "a2": 1}),
    "by keyword the second time": (calls_by_keyword, {"a": 1}),
    "with_options": (calls_it_by_another_name, {"a": 1}),
    "async ones, gathered": (calls_async_ones, {"a": 1, "b": 1}),
    "in a subflow that is not persisted": (calls_in_a_subflow, {"a": 1}),
    "in a task that is not persisted": (calls_in_a_task, {"a": 1}),
    "one that is not persisted": (calls_one_that_is_not_persisted, {"a": 2}),
    "methods of two instances, in another order the second time": (calls_methods_of_two_instances, {"a": 1, "b": 1}),
}


@pytest.mark.parametrize("tries", ["retries", "attempts"])
@pytest.mark.parametrize(("calls", "wanted"), RERUN.values(), ids=RERUN)
def test_a_finished_subflow_is_not_run_again_with_the_flow_around_it(
    calls: Any, wanted: dict[str, int], tries: str, bodies: Counter[str]
) -> None:
    """It is known by its function, its parameters, and how many such calls came before it; their order does not matter."""
    times = Counter[str]()
    first: list[Any] = []

    def body() -> list[str]:
        times["main"] += 1
        values = calls(times["main"])
        first.append(values)
        if times["main"] == 1:
            raise ValueError("again")
        return values

    values = later_tries(body, tries)
    assert bodies == wanted
    if set(wanted.values()) == {1} and calls is not calls_with_other_parameters:
        assert set(first[0]) <= set(values), "what was taken is what was returned the first time"


@pytest.mark.parametrize("tries", ["retries", "attempts"])
def test_a_subflow_that_failed_runs_again_without_its_finished_tasks(tries: str, bodies: Counter[str]) -> None:
    @flow
    def flaky() -> str:
        bodies["flaky"] += 1
        return step("before") + broken("fails once")

    def body() -> str:
        return part("a") + flaky()

    assert later_tries(body, tries) == "a 1before 2fails once"
    assert bodies == {"a": 1, "flaky": 2}
    assert RAN == {"a": 1, "before": 1, "fails once": 2}


def test_a_subflow_that_is_tried_again_itself_takes_its_finished_tasks(bodies: Counter[str]) -> None:
    @flow(retries=1)
    def flaky() -> str:
        bodies["flaky"] += 1
        return step("before") + broken("fails once")

    with recorded():
        assert flow(lambda: "" + flaky(), name="main")() == "before 1fails once"
    assert (bodies["flaky"], RAN["before"]) == (2, 1)


def test_a_subflow_that_is_taken_is_cached_in_the_history_and_calls_no_hooks_again() -> None:
    called: list[str] = []

    @flow(on_completion=[lambda _flow, _run, state: called.append(state.name)])
    def once() -> str:
        return step("a")

    def body() -> str:
        value = once()
        if not called[1:] and not first:
            first.append(1)
            raise ValueError("again")
        return value

    first: list[int] = []
    with recorded(flow_run_id="run", attempt=1):
        assert flow(body, name="main")(return_state=True).name == "Failed"
    with recorded(flow_run_id="run", attempt=2) as history:
        assert flow(body, name="main")() == "a 1"
    assert called == ["Completed"]
    assert history.states_of("once-0") == ["Pending", "Cached"]
    assert len(history.runs) == 1


def test_a_refreshed_cache_and_a_corrupt_result_run_a_subflow_again(
    results: Path, bodies: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def body() -> str:
        return part("a")

    with recorded(flow_run_id="run", attempt=1):
        flow(body, name="main")()
    for file in results.rglob("part-*"):
        file.write_bytes(file.read_bytes()[:-3])
    with recorded(flow_run_id="run", attempt=2):
        flow(body, name="main")()
    assert bodies["a"] == 2
    monkeypatch.setenv("MINTAKA_TASKS_REFRESH_CACHE", "true")
    with recorded(flow_run_id="run", attempt=3):
        flow(body, name="main")()
    assert bodies["a"] == 3


def test_another_run_of_the_same_flow_runs_its_subflows(bodies: Counter[str]) -> None:
    for uid in ("one", "two"):
        with recorded(flow_run_id=uid, attempt=1):
            flow(lambda: part("a"), name="main")()
    assert bodies["a"] == 2


def test_a_replay_goes_through_subflows_and_leaves_their_results_as_they_are(results: Path, bodies: Counter[str]) -> None:
    with recorded(flow_run_id="run"):
        replayed_around()
    before = {file: file.stat().st_mtime_ns for file in results.rglob("*") if file.is_file()}
    state, went = replay("run", storage=str(results))
    assert state is not None
    assert state.result() == "a 1"
    assert (bodies["a"], went.ran) == (2, [])
    assert {file: file.stat().st_mtime_ns for file in results.rglob("*") if file.is_file()} == before


@flow
def replayed_around() -> str:
    return part("a")


@flow
def two_parts() -> str:
    return part("a") + part("b") + part("b")


@pytest.mark.parametrize("options", [{}, {"until": "step"}, {"from_task": "step"}], ids=["all of it", "until a task", "from a task"])
def test_a_called_flow_run_is_replayed_within_its_root(results: Path, bodies: Counter[str], options: dict[str, str]) -> None:
    """Tasks before it return their persisted results, tasks after it do not run."""
    with recorded(flow_run_id="run") as history:
        two_parts()
    within = history.flow_run("part-2")["uid"]
    RAN.clear()
    bodies.clear()
    state, went = replay("run", storage=str(results), within=within, **options)
    assert bodies == {"a": 1, "b": 1}
    if "until" in options:
        assert state is None
        assert (went.stopped and went.stopped.args, went.replayed, RAN) == (("b",), ["step-1"], {})
    else:
        assert state is not None
        assert (state.type, RAN) == ("COMPLETED", {"b": 1} if options else {})


def test_a_replay_says_how_a_called_flow_run_failed(results: Path, bodies: Counter[str]) -> None:  # noqa: ARG001 - the fixture clears
    with recorded(flow_run_id="run") as history:
        replayed_failing(return_state=True)
    RAN.clear()
    state, went = replay("run", storage=str(results), within=history.flow_run("fails-0")["uid"])
    assert state is not None
    assert (state.type, state.reason, went.begun) == ("FAILED", "ValueError", True)
    state, went = replay("run", storage=str(results), within="another")
    assert (state, went.begun) == (None, False)


@flow
def fails() -> str:
    return broken("fails")


@flow
def replayed_failing() -> str:
    fails(return_state=True)
    return "after"
