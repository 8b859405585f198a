"""Flows that suspend themselves, within one process: what they raise, what passes a suspension that is over."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import asuspend_flow_run, flow, pause_flow_run, suspend_flow_run, task
from mintaka.exceptions import ConfigurationError, MissingContextError, Suspension
from mintaka.input import RunInput
from mintaka.testing import recorded
from mintaka.waiting.pausing import Answer
from mintaka_core.reports import ExitCode
from mintaka_core.states import PAUSED

if TYPE_CHECKING:
    from pathlib import Path

    from mintaka.waiting.pausing import Pause


class Approval(RunInput):
    approved: bool


class Box:
    """A mailbox in memory."""

    def __init__(self) -> None:
        self.announced: dict[str, Pause] = {}
        self.answers: dict[str, Any] = {}
        self.refusals: list[str] = []

    def paused(self, pause: Pause) -> None:
        self.announced[pause.name] = pause

    def answer(self, pause: Pause) -> Answer | None:
        return Answer(self.answers[pause.name]) if pause.name in self.answers else None

    def refused(self, _pause: Pause, why: str) -> None:
        self.refusals.append(why)

    def over(self, pause: Pause) -> None:
        self.announced.pop(pause.name)


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are persisted, in a folder of the test."""
    monkeypatch.setenv("MINTAKA_RESULT_STORAGE", str(tmp_path / "results"))
    monkeypatch.setenv("MINTAKA_RESULTS_PERSIST_BY_DEFAULT", "true")


@task
def step(n: int) -> int:
    return n


def suspended(run: Any, **launch: Any) -> Suspension:
    """What a flow run that suspends itself raises."""
    with recorded(flow_run_id="run", **launch), pytest.raises(Suspension) as raised:
        run()
    return raised.value


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_suspended_flow_ends_its_process_and_passes_once_it_is_resumed(*, is_async: bool) -> None:
    """An exit with its own code; not before what was submitted is done."""

    @flow
    def waits() -> int:
        futures = step.map([1, 2])
        suspend_flow_run(timeout=60)
        return sum(future.result() for future in futures)

    @flow
    async def waits_async() -> int:
        futures = step.map([1, 2])
        await asuspend_flow_run(timeout=60)
        return sum(future.result() for future in futures)

    def run() -> int:
        return asyncio.run(waits_async()) if is_async else waits()

    with recorded(flow_run_id="run") as history, pytest.raises(Suspension, match="until") as raised:
        run()
    assert raised.value.code == ExitCode.SUSPENDED
    assert isinstance(raised.value, SystemExit)
    assert [history.states_of(name)[-1] for name in ("step-0", "step-1")] == ["Completed", "Completed"]
    again = suspended(run, attempt=2)
    assert again.key == raised.value.key, "a crash is no approval"
    with recorded(flow_run_id="run", attempt=3, resumed=frozenset({again.key})) as history:
        assert run() == 3
    assert history.states_of("step-0") == ["Pending", "Cached"]


def test_the_run_is_paused_when_its_process_ends() -> None:
    """And nothing of it is open."""
    from mintaka.context import LAUNCH, Launch  # noqa: PLC0415 - the launch itself is looked at

    @flow
    def inner() -> None:
        suspend_flow_run()

    @flow
    def outer() -> None:
        inner()

    launch = Launch(flow_run_id="run")
    token = LAUNCH.set(launch)
    try:
        with pytest.raises(Suspension):
            outer()
    finally:
        LAUNCH.reset(token)
    assert launch.run is not None
    assert (launch.run.state.type, launch.run.state.name) == (PAUSED, "Suspended")


def test_suspensions_are_told_apart_by_what_came_before_them() -> None:
    """The first and the second; those of subflows with other parameters; by key."""

    @flow
    def inner(n: int) -> None:
        suspend_flow_run()
        suspend_flow_run(key=f"key {n}")

    @flow
    def outer() -> str:
        suspend_flow_run()
        inner(1)
        inner(2)
        suspend_flow_run()
        return "done"

    over: set[str] = set()
    for attempt in range(1, 7):
        over.add(suspended(outer, attempt=attempt, resumed=frozenset(over)).key)
    assert len(over) == 6
    assert {"key 1", "key 2"} <= over
    with recorded(flow_run_id="run", attempt=7, resumed=frozenset(over)):
        assert outer() == "done"


def test_a_flow_that_is_tried_again_comes_to_the_same_suspension() -> None:
    """What is over stays over in each try of the process."""
    tries: list[int] = []

    @flow(retries=1)
    def waits() -> int:
        suspend_flow_run()
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("after the suspension")
        return len(tries)

    key = suspended(waits).key
    with recorded(flow_run_id="run", attempt=2, resumed=frozenset({key})):
        assert waits() == 2


def test_the_input_of_a_suspension_is_asked_for_outside_and_checked() -> None:
    """A wrong one is refused, and the flow suspended once more."""

    @flow
    def waits() -> bool:
        return suspend_flow_run(Approval, key="approval").approved

    box = Box()
    suspended(waits, mailbox=box)
    pause = box.announced["approval"]
    assert pause.suspends
    schema = pause.schema()
    assert schema is not None
    assert schema["required"] == ["approved"]
    box.answers["approval"] = {"approved": 17}
    suspended(waits, mailbox=box, attempt=2, resumed=frozenset({"approval"}))
    assert "approved" in box.refusals[0]
    box.answers["approval"] = {"approved": True}
    with recorded(flow_run_id="run", mailbox=box, attempt=3, resumed=frozenset({"approval"})):
        assert waits()


def test_a_run_that_is_resumed_without_its_input_waits_on_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """Unless the input has nothing but defaults."""

    @flow
    def waits() -> bool:
        return suspend_flow_run(Approval, key="approval").approved

    @flow
    def has_defaults() -> bool:
        return suspend_flow_run(Approval.with_initial_data(approved=True), key="approval").approved

    suspended(waits, mailbox=Box(), attempt=2, resumed=frozenset({"approval"}))
    assert "was resumed without what it waits for" in caplog.text
    with recorded(flow_run_id="run", mailbox=Box(), attempt=2, resumed=frozenset({"approval"})):
        assert has_defaults()


def test_a_pause_that_was_answered_in_an_earlier_attempt_is_not_repeated() -> None:
    """By its key, through the mailbox."""

    @flow
    def waits() -> int:
        return pause_flow_run(int, timeout=10, poll_interval=0.001, key="how many")

    box = Box()
    box.answers["how many"] = "5"
    with recorded(flow_run_id="run", mailbox=box):
        assert waits() == 5
    with recorded(flow_run_id="run", mailbox=box, attempt=2):
        assert waits() == 5
    assert box.announced == {}


def test_whose_results_are_not_persisted_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is suspended all the same."""
    monkeypatch.delenv("MINTAKA_RESULTS_PERSIST_BY_DEFAULT")

    @flow
    def waits() -> None:
        suspend_flow_run()

    with caplog.at_level(logging.WARNING):
        suspended(waits)
    assert "set persist_result=True" in caplog.text
    assert "resultStorage" in caplog.text


def test_what_nobody_could_answer_or_resume_is_not_suspended() -> None:
    """No API for the input; no history; no flow."""

    @flow
    def waits_for_input() -> None:
        suspend_flow_run(bool)

    @flow
    def waits() -> None:
        suspend_flow_run()

    @task
    def suspends() -> None:
        suspend_flow_run()

    with recorded(flow_run_id="run"), pytest.raises(ConfigurationError, match="nobody could give"):
        waits_for_input()
    with pytest.raises(ConfigurationError, match="MINTAKA_HISTORY=off"):
        waits()
    with pytest.raises(
        MissingContextError, match=r"task suspends cannot suspend its flow run.*: call suspend_flow_run\(\) in the body of the flow"
    ):
        flow(suspends)()
    with pytest.raises(MissingContextError, match="suspend_flow_run"):
        suspend_flow_run()


def test_another_run_is_suspended_through_the_api_alone() -> None:
    """A script has no hold on other processes."""
    with pytest.raises(ConfigurationError, match="MINTAKA_API_URL"):
        suspend_flow_run(flow_run_id="0190f5fe-0000-7000-8000-000000000001")
