"""Flows that wait for somebody."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import aresume_flow_run, flow, pause_flow_run, resume_flow_run, runtime, suspend_flow_run, task
from mintaka.context import LAUNCH
from mintaka.exceptions import (
    ConfigurationError,
    FlowPauseTimeout,
    InvalidSettingError,
    MissingContextError,
    NotPausedError,
    ParameterTypeError,
    Suspension,
)
from mintaka.input import RunInput
from mintaka.task_runners import ExecutorTaskRunner, ProcessPoolTaskRunner
from mintaka.testing import recorded
from mintaka.waiting.mailboxes import DatabaseMailbox
from mintaka.waiting.pausing import _PAUSES, Answer
from mintaka_core.states import FAILED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from mintaka.context import Launch
    from mintaka.waiting.pausing import Pause


class Approval(RunInput):
    approved: bool
    comment: str = ""


def soon(resume: Callable[[], object]) -> threading.Thread:
    """Resume from another thread as soon as there is something to resume."""

    def insist() -> None:
        for _ in range(2000):
            try:
                resume()
            except NotPausedError:
                sleep(0.002)
            else:
                return

    thread = threading.Thread(target=insist)
    thread.start()
    return thread


PAUSES: dict[str, tuple[Any, Any, Any]] = {
    "without input": (None, None, None),
    "a number": (int, "7", 7),
    "a model from a dict": (Approval, {"approved": "yes"}, Approval(approved=True)),
    "a model from an instance": (Approval, Approval(approved=False), Approval(approved=False)),
    "a list": (list[int], ["1", 2], [1, 2]),
    "a model with nothing but defaults": (Approval.with_initial_data(approved=True, comment="fine"), None, True),
}


@pytest.mark.parametrize(("wanted", "given", "expected"), PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_paused_flow_goes_on_with_its_input(*, wanted: Any, given: Any, expected: Any, is_async: bool) -> None:
    @flow
    def waits() -> Any:
        return pause_flow_run(wanted, timeout=10)

    @flow
    async def waits_async() -> Any:
        return await pause_flow_run(wanted, timeout=10)

    with recorded(flow_run_id="uid"):
        thread = soon(lambda: resume_flow_run("uid", given))
        got = asyncio.run(waits_async()) if is_async else waits()
        thread.join()
    assert (got.approved if expected is True else got) == expected


def test_a_pause_is_ended_from_the_same_event_loop() -> None:
    @flow
    async def waits() -> int:
        return await pause_flow_run(int, timeout=10)

    async def both() -> int:
        waiting = asyncio.ensure_future(waits())
        while True:
            await asyncio.sleep(0.01)
            with suppress(NotPausedError):
                await aresume_flow_run("uid", 7)
                return await waiting

    with recorded(flow_run_id="uid"):
        assert asyncio.run(both()) == 7


def test_the_history_of_a_pause_leads_back_to_running_by_the_rules() -> None:
    @flow
    def waits() -> None:
        thread = soon(lambda: resume_flow_run("uid"))
        pause_flow_run(timeout=10)
        thread.join()

    @flow
    def outer() -> None:
        waits()

    with recorded(flow_run_id="uid") as history:
        outer()
    states = history.states_of(next(run.name for run in history.runs.values()))
    assert states == ["Pending", "Running", "Paused", "Resuming", "Pending", "Running", "Completed"]


def test_a_pause_that_nobody_ends_fails_the_flow_and_says_so() -> None:
    @flow
    def waits() -> None:
        pause_flow_run(timeout=0.02)

    state = waits(return_state=True)
    assert (state.type, state.name, state.reason) == (FAILED, "Failed", "FlowPauseTimeout")
    assert "nobody resumed it within 0.02 s" in state.message


def test_waiting_for_what_is_no_type_is_refused_at_once() -> None:
    given: Any = 5

    @flow
    def main() -> None:
        pause_flow_run(given, timeout=60)

    with pytest.raises(ConfigurationError, match="cannot wait for 5: give a type, such as int or a class derived from RunInput"):
        main()


def test_the_flow_may_catch_that_nobody_came() -> None:
    @flow
    def waits() -> str:
        try:
            pause_flow_run(timeout=0.02)
        except FlowPauseTimeout:
            return "went on"
        return "resumed"

    assert waits() == "went on"


def test_a_wrong_input_is_refused_and_the_flow_goes_on_waiting() -> None:
    refused: list[str] = []

    def answer() -> None:
        try:
            resume_flow_run("uid", {"approved": "perhaps"})
        except ParameterTypeError as error:
            refused.append(str(error))
            resume_flow_run("uid", {"approved": True})

    @flow
    def waits() -> bool:
        return pause_flow_run(Approval, timeout=10).approved

    with recorded(flow_run_id="uid"):
        thread = soon(answer)
        assert waits()
        thread.join()
    assert "approved: " in refused[0]


def test_those_outside_of_the_process_are_asked_through_the_mailbox() -> None:
    class Box:
        def __init__(self) -> None:
            self.schemas: list[Any] = []
            self.answers = [None, Answer({"approved": 17}), Answer({"approved": True})]
            self.refusals: list[str] = []

        def paused(self, pause: Pause) -> None:
            self.schemas.append(pause.schema())

        def answer(self, _pause: Pause) -> Answer | None:
            return self.answers.pop(0)

        def refused(self, _pause: Pause, why: str) -> None:
            self.refusals.append(why)

        def over(self, pause: Pause) -> None:
            self.refusals.append(f"over with {pause.value.approved}")

    box = Box()

    @flow
    def waits() -> bool:
        return pause_flow_run(Approval, timeout=10, poll_interval=0.001).approved

    with recorded(mailbox=box):
        assert waits()
    assert box.schemas[0]["properties"]["approved"]["type"] == "boolean"
    assert "approved" in box.refusals[0]
    assert box.refusals[1:] == ["over with True"]


class SlowBox:
    """A mailbox that takes longer to answer than it is to be asked again, as where an API hangs; three answers, then it fails."""

    def __init__(self) -> None:
        self.asked = 0

    def paused(self, pause: Pause) -> None: ...

    def answer(self, _pause: Pause) -> Answer | None:
        self.asked += 1
        assert self.asked <= 3, "asked although the time is over"
        sleep(0.02)
        return None

    def refused(self, pause: Pause, why: str) -> None: ...

    def over(self, pause: Pause) -> None: ...


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"timeout": -1}, "timeout of pause_flow_run is a number of seconds, 0 to 1e"),
        ({"timeout": "1h"}, "timeout of pause_flow_run .* not '1h'"),
        ({"timeout": float("nan")}, "timeout of pause_flow_run .* not nan"),
        ({"poll_interval": -1}, "poll_interval of pause_flow_run .* not -1"),
    ],
    ids=str,
)
def test_a_time_that_nobody_can_wait_for_is_refused(given: dict[str, Any], told: str) -> None:
    with recorded(), pytest.raises(InvalidSettingError, match=told):
        flow(lambda: pause_flow_run(**given))()


@pytest.mark.parametrize("seconds", [0.01, 0])
def test_a_mailbox_that_hangs_does_not_keep_a_pause_from_timing_out(seconds: float) -> None:
    @flow
    def waits() -> None:
        pause_flow_run(timeout=0.01, poll_interval=seconds)

    with recorded(mailbox=SlowBox()):
        assert waits(return_state=True).reason == "FlowPauseTimeout"


def test_a_mailbox_that_hangs_does_not_hold_up_the_event_loop() -> None:
    """What it waits for can only come from the event loop itself."""
    come = threading.Event()

    class Box(SlowBox):
        def answer(self, _pause: Pause) -> Answer | None:
            assert come.wait(5), "the event loop is held up"
            return Answer()

    @flow
    async def waits() -> bool:
        asyncio.get_running_loop().call_later(0.01, come.set)
        await pause_flow_run(timeout=1)
        return True

    with recorded(mailbox=Box()):
        assert asyncio.run(waits())


class Sluggish:
    """A mailbox that takes its time for everything; it is answered when it is asked for the second time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.told: list[str] = []

    def _tell(self, word: str) -> None:
        sleep(self.seconds)
        self.told.append(word)

    def paused(self, pause: Pause) -> None:
        del pause
        self._tell("paused")

    def answer(self, pause: Pause) -> Answer | None:
        del pause
        self._tell("asked")
        return Answer("5") if self.told.count("asked") > 1 else None

    def refused(self, pause: Pause, why: str) -> None:
        del pause
        self._tell(why)

    def over(self, pause: Pause) -> None:
        del pause
        self._tell("over")


async def while_ticking(work: Awaitable[Any]) -> tuple[Any, float]:
    """What `work` gave, and the longest that an event loop did not go on meanwhile, in seconds."""
    longest = 0.0

    async def ticks() -> None:
        nonlocal longest
        while True:
            before = monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, monotonic() - before)

    ticking = asyncio.create_task(ticks())
    await asyncio.sleep(0)
    value = await work
    await asyncio.sleep(0.02)
    ticking.cancel()
    return value, longest


SLUGGISH: dict[str, tuple[Any, int, list[str]]] = {
    "a pause": (lambda: pause_flow_run(int, poll_interval=0.01), 1, ["paused", "asked", "asked", "over"]),
    "a pause of a later attempt": (lambda: pause_flow_run(int, poll_interval=0.01, key="k"), 2, ["asked", "paused", "asked", "over"]),
    "a suspension": (lambda: suspend_flow_run(int), 1, ["paused"]),
    "a suspension of a later attempt": (lambda: suspend_flow_run(int), 2, ["asked", "paused"]),
}


@pytest.mark.parametrize(("waits", "attempt", "told"), SLUGGISH.values(), ids=SLUGGISH)
def test_an_event_loop_goes_on_while_others_are_told_of_a_pause(waits: Any, attempt: int, told: list[str]) -> None:
    """And asked, and told of its end, however long that takes."""

    @flow(persist_result=True)
    async def flows() -> Any:
        return await waits()

    async def main() -> tuple[Any, float]:
        async def caught() -> Any:
            try:
                return await flows()
            except Suspension:
                return 5

        return await while_ticking(caught())

    mailbox = Sluggish(1.0)
    with recorded(flow_run_id="uid", attempt=attempt, mailbox=mailbox):
        value, longest = asyncio.run(main())
    assert (value, mailbox.told) == (5, told)
    assert longest < 0.8


def test_a_pause_that_cannot_be_written_down_is_ended_from_within_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    damaged = tmp_path / "history.db"
    damaged.write_bytes(b"this is no database" * 100)

    @flow
    def waits() -> Any:
        return pause_flow_run(wait_for_input=int, poll_interval=0.01)

    with recorded(flow_run_id="uid", mailbox=DatabaseMailbox(damaged)):
        thread = soon(lambda: resume_flow_run("uid", 3))
        assert waits() == 3
        thread.join()
    assert "cannot be told to others" in caplog.text


def test_a_pause_with_a_key_is_not_repeated_by_a_further_try() -> None:
    tries: list[Any] = []

    @flow(retries=1)
    def waits() -> int:
        tries.append(pause_flow_run(int, timeout=10, key="once"))
        if len(tries) == 1:
            raise ValueError("after the pause")
        return len(tries)

    with recorded(flow_run_id="uid"):
        thread = soon(lambda: resume_flow_run("uid", 5))
        assert waits() == 2
        thread.join()
    assert tries == [5, 5]


def test_tasks_run_on_while_their_flow_is_paused() -> None:
    @task
    def approves() -> None:
        soon(lambda: resume_flow_run("uid", run_input=True)).join()

    @flow
    def waits() -> bool:
        approves.submit()
        return pause_flow_run(bool, timeout=10)

    with recorded(flow_run_id="uid"):
        assert waits()


@pytest.mark.parametrize("key", ["", "k" * 201, "ü" * 101, "a/b", "a\0b", "a\nb", "\ud800"])
@pytest.mark.parametrize("use", [pause_flow_run, suspend_flow_run])
def test_a_key_that_somebody_on_the_way_would_not_keep_as_it_is_is_refused(use: Any, key: str) -> None:
    @flow
    def waits() -> None:
        use(key=key, timeout=0)

    assert waits(return_state=True).reason == "InvalidNameError"


def names(launch: Launch | None) -> list[str]:
    """The states that the flow run itself was in."""
    assert launch is not None
    assert launch.run is not None
    return [entry.name for entry in tuple(launch.run.history)]


@task
def pauses(wanted: Any = None, key: str | None = None) -> Any:
    return pause_flow_run(wanted, timeout=10, key=key)


@task
async def pauses_async(wanted: Any = None, key: str | None = None) -> Any:
    return await pause_flow_run(wanted, timeout=10, key=key)


def called(task: Any) -> Any:
    return flow(lambda: task(int), name="waits")()


def submitted(task: Any) -> Any:
    return flow(lambda: task.submit(int).result(), name="waits")()


def called_async(task: Any) -> Any:
    @flow
    async def waits() -> Any:
        given = task(int)
        return await given if task.is_async else given

    return asyncio.run(waits())


def by_method(_: Any) -> Any:
    return flow(lambda: Approver().asks(int), name="waits")()


class Approver:
    """A class with a task."""

    @task
    def asks(self, wanted: Any) -> Any:
        return pause_flow_run(wanted, timeout=10)


IN_TASKS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "called": (pauses, called),
    "submitted": (pauses, submitted),
    "async, in an async flow": (pauses_async, called_async),
    "async, submitted": (pauses_async, submitted),
    "sync, in an async flow": (pauses, called_async),
    "a method": (None, by_method),
    "with_options": (pauses.with_options(name="other"), called),
}


@pytest.mark.parametrize("way", IN_TASKS)
def test_a_pause_in_a_task_pauses_its_flow_run(way: str) -> None:
    """As in Prefect; the task goes on running."""
    given, run = IN_TASKS[way]
    uid = "0190f5fe-0000-7000-8000-000000000002"
    with recorded(flow_run_id=uid) as history:
        launch = LAUNCH.get()
        thread = soon(lambda: resume_flow_run(uid, "7"))
        assert run(given) == 7
        thread.join()
    assert names(launch) == ["Pending", "Running", "Paused", "Resuming", "Pending", "Running", "Completed"]
    (of_task,) = history.runs.values()
    assert [entry.name for entry in of_task.history] == ["Pending", "Running", "Completed"]


def test_a_flow_run_is_paused_until_none_of_its_tasks_waits() -> None:
    uid = "0190f5fe-0000-7000-8000-000000000002"

    @flow
    def waits() -> list[Any]:
        first = pauses.submit(int)
        second = pauses.submit(int)
        while len(_PAUSES.get(uid, ())) < 2:
            sleep(0.001)
        for number in (1, 2):
            soon(lambda number=number: resume_flow_run(uid, number)).join()
        return sorted([first.result(), second.result()])

    with recorded(flow_run_id=uid):
        launch = LAUNCH.get()
        assert waits() == [1, 2]
    assert names(launch) == ["Pending", "Running", "Paused", "Resuming", "Pending", "Running", "Completed"]


def test_of_two_who_resume_a_run_at_once_each_ends_a_pause() -> None:
    """The second one used to overwrite what the first one gave, as long as the first pause had not noticed."""
    uid = "0190f5fe-0000-7000-8000-000000000002"

    @flow
    def waits() -> list[Any]:
        futures = [pauses.submit(int) for _ in range(4)]
        while len(_PAUSES.get(uid, ())) < len(futures):
            sleep(0.001)
        for number in range(4):
            resume_flow_run(uid, number)
        return sorted(future.result() for future in futures)

    with recorded(flow_run_id=uid):
        assert waits() == [0, 1, 2, 3]


def test_a_pause_of_a_subflow_is_ended_by_its_own_id_or_by_that_of_the_whole_run() -> None:
    uid = "0190f5fe-0000-7000-8000-000000000002"
    ids: list[str] = []

    @flow
    def below() -> Any:
        own = runtime.flow_run.id
        assert own is not None
        ids.append(own)
        thread = soon(lambda: resume_flow_run(own if len(ids) == 1 else uid, 5))
        try:
            return pause_flow_run(int, timeout=10)
        finally:
            thread.join()

    with recorded(flow_run_id=uid):
        assert flow(lambda: [below(), below()], name="main")() == [5, 5]
    assert len({*ids, uid}) == 3


def test_a_pause_that_a_cancelled_task_waits_in_ends_with_it() -> None:
    @flow
    def main() -> Any:
        future = pauses.submit()
        while "Paused" not in names(launch):
            sleep(0.001)
        assert future.cancel()
        return future.state.name

    with recorded(flow_run_id="uid"):
        launch = LAUNCH.get()
        assert main() == "Cancelled"


@pytest.mark.parametrize(
    "runner", [ExecutorTaskRunner(lambda: ThreadPoolExecutor(1)), ProcessPoolTaskRunner(1)], ids=["executor", "processes"]
)
def test_a_task_in_a_worker_cannot_pause(runner: Any) -> None:
    """No one could end that pause, so it is refused."""

    @flow(task_runner=runner)
    def main() -> None:
        pauses.submit().result()

    with pytest.raises(MissingContextError, match=r"pause_flow_run\(\) does not work in a worker process"):
        main()


def test_there_is_nothing_to_pause_outside_of_flows() -> None:
    with pytest.raises(MissingContextError, match="only a flow run can be paused"):
        pauses()
    with pytest.raises(MissingContextError, match="pause_flow_run"):
        pause_flow_run()


def test_a_run_that_is_not_paused_cannot_be_resumed() -> None:
    with pytest.raises(NotPausedError, match="nobody-knows-it is not paused"):
        resume_flow_run("nobody-knows-it")


def test_an_interrupted_pause_ends_the_flow() -> None:
    @flow
    def waits() -> None:
        raiser = threading.Timer(0.05, lambda: signal.raise_signal(signal.SIGINT))
        raiser.start()
        pause_flow_run(timeout=10)

    import signal  # noqa: PLC0415 - only here

    with recorded() as history, pytest.raises(KeyboardInterrupt):
        waits()
    assert history.runs == {}


def test_a_paused_flow_that_times_out_ends() -> None:
    @flow(timeout_seconds=0.05)
    def waits() -> None:
        pause_flow_run(timeout=10)

    assert waits(return_state=True).name == "TimedOut"


def test_initial_data_must_belong_to_a_field() -> None:
    with pytest.raises(ValueError, match="no field nothing"):
        Approval.with_initial_data(nothing=1)
