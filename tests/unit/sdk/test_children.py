"""Children of a flow that is cancelled or times out end with it: each run gets an end, and no body goes on."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from pathlib import Path
from queue import SimpleQueue
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import ThreadPoolTaskRunner, flow, task
from mintaka.exceptions import CancelledRun
from mintaka.task_runners import ProcessPoolTaskRunner
from mintaka.testing import recorded

if TYPE_CHECKING:
    from collections.abc import Callable

#: The longest wait for what takes milliseconds, on a machine that is busy with other things.
SOON = 20.0
#: What each body here takes at least if nothing ends it: that an end is waited for shows in this, not in how fast the machine is.
BODY_SECONDS = 30.0
TICK_SECONDS = 0.005
TIMEOUT = 0.4


class Probe:
    """A body that goes on for long, and what it tells about itself."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.ended = threading.Event()
        self.completed = False

    def loop(self) -> None:
        self.began.set()
        try:
            for _ in range(int(BODY_SECONDS / TICK_SECONDS)):
                sleep(TICK_SECONDS)
            self.completed = True
        finally:
            self.ended.set()

    async def drowse(self) -> None:
        self.began.set()
        try:
            for _ in range(int(BODY_SECONDS / TICK_SECONDS)):
                await asyncio.sleep(TICK_SECONDS)
            self.completed = True
        finally:
            self.ended.set()


# -- children: each gets a probe, and returns when that has begun or blocks until it is over ----------------------------------


def task_in_thread(probe: Probe) -> Any:
    return task(probe.loop, name="child").submit()


def async_task_in_thread(probe: Probe) -> Any:
    return task(probe.drowse, name="child").submit()


def task_called(probe: Probe) -> Any:
    return task(probe.loop, name="child")()


def subflow_called(probe: Probe) -> Any:
    return flow(probe.loop, name="child")()


def subflow_that_submits(probe: Probe) -> Any:
    return flow(lambda: task(probe.loop, name="child").submit().wait(), name="between")()


def subflow_with_own_runner(probe: Probe) -> Any:
    return flow(lambda: task(probe.loop, name="child").submit().wait(), name="between", task_runner=ThreadPoolTaskRunner(2))()


def subflow_in_submitted_task(probe: Probe) -> Any:
    return task(lambda: [flow(probe.loop, name="child")()], name="between").submit()


def submitted_by_submitted_task(probe: Probe) -> Any:
    return task(lambda: task(probe.loop, name="child").submit().result(), name="between").submit()


def submitted_by_a_task_that_is_over(probe: Probe) -> Any:
    return task(lambda: task(probe.loop, name="child").submit() and None, name="between").submit()


def submitted_by_subflow_in_submitted_task(probe: Probe) -> Any:
    inner = flow(lambda: task(probe.loop, name="child").submit().wait(), name="inner")
    return task(lambda: [inner()], name="between").submit()


def mapped(probe: Probe) -> Any:
    return task(lambda _: probe.loop(), name="child").map(range(3))


def async_subflow_in_submitted_task(probe: Probe) -> Any:
    return task(lambda: asyncio.run(flow(probe.drowse, name="child")()), name="between").submit()


def async_subflow_called(probe: Probe) -> Any:
    return asyncio.run(flow(probe.drowse, name="child")())


def timed_subflow_in_submitted_task(probe: Probe) -> Any:
    return task(lambda: [flow(probe.loop, name="child", timeout_seconds=60)()], name="between").submit()


def timed_task_in_thread(probe: Probe) -> Any:
    return task(probe.loop, name="child", timeout_seconds=60).submit()


CHILDREN: dict[str, Callable[[Probe], Any]] = {
    "a task, submitted": task_in_thread,
    "an async task, submitted": async_task_in_thread,
    "a task with a timeout, submitted": timed_task_in_thread,
    "tasks, mapped": mapped,
    "a task, called": task_called,
    "a subflow": subflow_called,
    "a subflow that submits": subflow_that_submits,
    "a subflow with a task runner of its own": subflow_with_own_runner,
    "a subflow of a submitted task": subflow_in_submitted_task,
    "a subflow with a timeout, of a submitted task": timed_subflow_in_submitted_task,
    "an async subflow in a loop": async_subflow_called,
    "an async subflow in a loop of a submitted task": async_subflow_in_submitted_task,
    "what a submitted task submits": submitted_by_submitted_task,
    "what a task submitted that is over": submitted_by_a_task_that_is_over,
    "what a subflow of a submitted task submits": submitted_by_subflow_in_submitted_task,
}


# -- ways a flow ends -------------------------------------------------------------------------------------------------------


def times_out(child: Any, probe: Probe) -> str:
    @flow(timeout_seconds=TIMEOUT)
    def main() -> None:
        child(probe)
        sleep(60)

    return main(return_state=True).name


def subflow_times_out(child: Any, probe: Probe) -> str:
    @flow(timeout_seconds=TIMEOUT)
    def timed() -> None:
        child(probe)
        sleep(60)

    def main() -> str:
        name = timed(return_state=True).name
        assert probe.ended.wait(SOON), "the body goes on while the flow around does"
        return name

    return flow(main)()


def subflow_times_out_in_a_thread(child: Any, probe: Probe) -> str:
    @flow(timeout_seconds=TIMEOUT)
    def timed() -> None:
        child(probe)
        for _ in range(10_000):
            sleep(0.005)

    def main() -> str:
        name = task(lambda: timed(return_state=True).name, name="thread").submit().result()
        assert probe.ended.wait(SOON), "the body goes on while the flow around does"
        return name

    return flow(main)()


def task_is_cancelled(child: Any, probe: Probe) -> str:
    @task
    def body() -> None:
        child(probe)
        for _ in range(10_000):
            sleep(0.005)

    @flow
    def main() -> str:
        future = body.submit()
        assert probe.began.wait(SOON)
        assert future.cancel()
        assert probe.ended.wait(SOON), "the body goes on while the flow around does"
        with pytest.raises(CancelledRun):
            future.result()
        return "Cancelled"

    return main()


def task_with_a_subflow_is_cancelled(child: Any, probe: Probe) -> str:
    @flow
    def around() -> None:
        child(probe)
        for _ in range(10_000):
            sleep(0.005)

    @flow
    def main() -> str:
        future = task(lambda: [around()], name="body").submit()
        assert probe.began.wait(SOON)
        assert future.cancel()
        assert probe.ended.wait(SOON), "the body goes on while the flow around does"
        return "Cancelled"

    return main()


@pytest.mark.parametrize("decorate", [task, flow], ids=["tasks", "flows"])
def test_a_cancelled_task_begins_nothing_more(decorate: Any) -> None:
    """The request comes while it is in a function of the library; no instruction of its own lies between that and the next calls."""
    begun: list[int] = []
    arguments: SimpleQueue[int] = SimpleQueue()
    over = threading.Event()
    child = decorate(begun.append)

    @task
    def body() -> None:
        try:
            deque(map(child, iter(arguments.get, 0)), maxlen=0)
        finally:
            over.set()

    @flow
    def main() -> None:
        future = body.submit()
        arguments.put(1)
        assert wait_for(lambda: begun == [1])
        assert future.cancel()
        for number in (2, 3, 0):
            arguments.put(number)
        assert over.wait(SOON)

    with recorded() as history:
        main()
    assert begun == [1]
    states = [(run.kind, run.history[-1].name, run.history[-1].reason) for run in history.runs.values()]
    assert ("task", "Cancelled", "Cancelled") in states
    assert all(run.is_over for run in history.runs.values()), states


def test_a_cancelled_task_may_call_tasks_to_clean_up() -> None:
    """As in any `finally` block: it is not interrupted."""
    began, cleaned = threading.Event(), threading.Event()

    @task
    def body() -> None:
        try:
            began.set()
            for _ in range(10_000):
                sleep(0.005)
        finally:
            task(cleaned.set, name="clean")()

    @flow
    def main() -> None:
        future = body.submit()
        assert began.wait(SOON)
        assert future.cancel()
        assert cleaned.wait(SOON)

    main()


ENDS = {
    "a flow times out": times_out,
    "a subflow times out": subflow_times_out,
    "a subflow in a thread times out": subflow_times_out_in_a_thread,
    "its task is cancelled": task_is_cancelled,
    "a task around the subflow is cancelled": task_with_a_subflow_is_cancelled,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("child", CHILDREN.values(), ids=CHILDREN)
def test_children_end_with_their_flow(child: Any, end: Any) -> None:
    probe = Probe()
    began = monotonic()
    with recorded() as history:
        name = end(child, probe)
    assert probe.began.is_set()
    assert probe.ended.wait(SOON), "the body goes on"
    assert monotonic() - began < BODY_SECONDS
    assert not probe.completed, "a body ran to its end"
    assert name in ("TimedOut", "Cancelled")
    check_ends(history)


def check_ends(history: Any) -> None:
    """Every run has an end, and says of what it died."""
    ends = {run.name: (run.history[-1].name, run.history[-1].reason, run.history[-1].message) for run in history.runs.values()}
    assert all(run.is_over for run in history.runs.values()), ends
    children = [end for end in ends.values() if end[0] != "Completed"]
    assert children
    for name, reason, message in children:
        assert (name, reason) in {
            ("Cancelled", "FlowEnded"),
            ("Cancelled", "TaskEnded"),
            ("Cancelled", "Cancelled"),
            ("TimedOut", "TimedOut"),
        }, ends
        assert message, ends


# -- in event loops -----------------------------------------------------------------------------------------------------------


async def awaited(probe: Probe) -> None:
    await flow(probe.drowse, name="child")()


async def awaited_task(probe: Probe) -> None:
    await task(probe.drowse, name="child")()


async def gathered(probe: Probe) -> None:
    await asyncio.gather(*(flow(probe.drowse, name=f"child-{n}")() for n in range(3)))


async def in_a_task_group(probe: Probe) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(flow(probe.drowse, name="child")())


async def left_alone(probe: Probe) -> None:
    KEPT.append(asyncio.create_task(flow(probe.drowse, name="child")()))
    await asyncio.sleep(60)


async def task_left_alone(probe: Probe) -> None:
    KEPT.append(asyncio.create_task(task(probe.drowse, name="child")()))
    await asyncio.sleep(60)


async def submitted(probe: Probe) -> None:
    await task(probe.loop, name="child").submit()


async def async_submitted(probe: Probe) -> None:
    await task(probe.drowse, name="child").submit()


async def submitted_by_a_subflow(probe: Probe) -> None:
    async def inner() -> None:
        await task(probe.loop, name="child").submit()

    await flow(inner, name="between")()


async def subflow_in_a_thread(probe: Probe) -> None:
    await asyncio.to_thread(flow(probe.loop, name="child"))


async def task_in_a_thread(probe: Probe) -> None:
    await asyncio.to_thread(task(probe.loop, name="child"))


async def subflow_of_a_submitted_task(probe: Probe) -> None:
    async def body() -> None:
        await flow(probe.drowse, name="child")()

    await task(body, name="between").submit()


#: Keeps asyncio's tasks from being collected.
KEPT: list[asyncio.Task[Any]] = []

IN_LOOPS = {
    "a subflow, awaited": awaited,
    "a task, awaited": awaited_task,
    "subflows, gathered": gathered,
    "a subflow in a task group": in_a_task_group,
    "a subflow that is not awaited": left_alone,
    "a task that is not awaited": task_left_alone,
    "a task, submitted": submitted,
    "an async task, submitted": async_submitted,
    "what a subflow submits": submitted_by_a_subflow,
    "a sync subflow in asyncio's threads": subflow_in_a_thread,
    "a sync task in asyncio's threads": task_in_a_thread,
    "a subflow of a submitted task": subflow_of_a_submitted_task,
}


async def async_flow_times_out(child: Any, probe: Probe) -> None:
    @flow(timeout_seconds=TIMEOUT)
    async def main() -> None:
        await child(probe)

    assert (await main(return_state=True)).name == "TimedOut"


async def async_subflow_times_out(child: Any, probe: Probe) -> None:
    @flow(timeout_seconds=TIMEOUT)
    async def timed() -> None:
        await child(probe)

    @flow
    async def main() -> None:
        assert (await timed(return_state=True)).name == "TimedOut"
        assert await asyncio.to_thread(probe.ended.wait, SOON), "the body goes on while the flow around does"

    await main()


async def asyncio_task_is_cancelled(child: Any, probe: Probe) -> None:
    @flow
    async def inner() -> None:
        await child(probe)

    @flow
    async def main() -> None:
        running = asyncio.create_task(inner())
        assert await asyncio.to_thread(probe.began.wait, SOON)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await asyncio.to_thread(probe.ended.wait, SOON), "the body goes on while the flow around does"

    await main()


async def task_group_is_cancelled(child: Any, probe: Probe) -> None:
    @flow
    async def inner() -> None:
        await child(probe)

    async def fails() -> None:
        assert await asyncio.to_thread(probe.began.wait, SOON)
        raise ValueError("the sibling")

    async def grouped() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(inner())
            group.create_task(fails())

    @flow
    async def main() -> None:
        with pytest.raises(ExceptionGroup):
            await grouped()
        assert await asyncio.to_thread(probe.ended.wait, SOON), "the body goes on while the flow around does"

    await main()


async def submitted_task_is_cancelled(child: Any, probe: Probe) -> None:
    @task
    async def body() -> None:
        await child(probe)

    @flow
    async def main() -> None:
        future = body.submit()
        assert await asyncio.to_thread(probe.began.wait, SOON)
        assert future.cancel()
        assert await asyncio.to_thread(probe.ended.wait, SOON), "the body goes on while the flow around does"

    await main()


async def async_task_times_out(child: Any, probe: Probe) -> None:
    @task(timeout_seconds=TIMEOUT)
    async def timed() -> None:
        await child(probe)

    @flow
    async def main() -> None:
        assert (await timed(return_state=True)).name == "TimedOut"
        assert await asyncio.to_thread(probe.ended.wait, SOON), "the body goes on while the flow around does"

    await main()


async def asyncio_task_of_a_task_is_cancelled(child: Any, probe: Probe) -> None:
    @task
    async def inner() -> None:
        await child(probe)

    @flow
    async def main() -> None:
        running = asyncio.create_task(inner())
        assert await asyncio.to_thread(probe.began.wait, SOON)
        running.cancel("not wanted any more")
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await asyncio.to_thread(probe.ended.wait, SOON), "the body goes on while the flow around does"

    await main()


IN_LOOPS_ENDS = {
    "an async task times out": async_task_times_out,
    "the asyncio task of a task is cancelled": asyncio_task_of_a_task_is_cancelled,
    "an async flow times out": async_flow_times_out,
    "an async subflow times out": async_subflow_times_out,
    "its asyncio task is cancelled": asyncio_task_is_cancelled,
    "its task group is cancelled": task_group_is_cancelled,
    "the submitted task around it is cancelled": submitted_task_is_cancelled,
}


@pytest.mark.parametrize("end", IN_LOOPS_ENDS.values(), ids=IN_LOOPS_ENDS)
@pytest.mark.parametrize("child", IN_LOOPS.values(), ids=IN_LOOPS)
def test_children_in_event_loops_end_with_their_flow(child: Any, end: Any) -> None:
    probe = Probe()
    began = monotonic()

    async def main() -> None:
        await end(child, probe)
        assert await asyncio.to_thread(probe.ended.wait, SOON), "the body goes on"

    with recorded() as history:
        asyncio.run(main())
    assert monotonic() - began < BODY_SECONDS
    assert not probe.completed, "a body ran to its end"
    KEPT.clear()
    check_ends(history)


# -- in other processes -------------------------------------------------------------------------------------------------------


def writes_on(path: str) -> None:
    """A body in another process that says all the time that it goes on."""
    while True:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(".")
        sleep(0.01)


def wait_for(holds: Callable[[], bool]) -> bool:
    until = monotonic() + 4 * SOON
    while not holds() and monotonic() < until:
        sleep(0.01)
    return holds()


@pytest.mark.parametrize("end", ["the flow times out", "its future is cancelled", "the task around it is cancelled"])
def test_a_task_in_another_process_ends_with_what_is_around_it(end: str, tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    child = task(writes_on, name="child")

    @flow(timeout_seconds=3 if end == "the flow times out" else None)
    def inner() -> None:
        future = child.submit(str(sign))
        assert wait_for(sign.exists)
        if end == "its future is cancelled":
            assert future.cancel()
            return
        sleep(60)

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def main() -> None:
        task(abs).submit(1).result()  # the process is there
        inner(return_state=True)
        assert silent(sign)

    @flow(task_runner=ThreadPoolTaskRunner())
    def around() -> None:
        future = task(lambda: [main()], name="around").submit()
        assert wait_for(sign.exists)
        assert future.cancel()
        assert silent(sign)

    with recorded() as history:
        (around if end == "the task around it is cancelled" else main)()
    check_ends(history)


def silent(sign: Path) -> bool:
    """Whether nothing is written any more."""

    def quiet() -> bool:
        before = sign.stat().st_size
        sleep(0.1)
        return sign.stat().st_size == before

    return wait_for(quiet)


# -- of tasks that time out ---------------------------------------------------------------------------------------------------


def timed_task_called(child: Any, probe: Probe) -> str:
    body = task(lambda: [child(probe), sleep(60)], name="timed", timeout_seconds=TIMEOUT)

    def main() -> str:
        state = body(return_state=True)
        assert probe.ended.wait(SOON), "the body goes on while the flow around does"
        return state.name

    return flow(main)()


def timed_task_submitted(child: Any, probe: Probe) -> str:
    body = task(lambda: [child(probe), *(sleep(0.005) for _ in range(10_000))], name="timed", timeout_seconds=TIMEOUT)

    def main() -> str:
        state = body.submit(return_state=True)
        assert probe.ended.wait(SOON), "the body goes on while the flow around does"
        return state.name

    return flow(main)()


@pytest.mark.parametrize("end", [timed_task_called, timed_task_submitted], ids=["called", "submitted"])
@pytest.mark.parametrize("child", CHILDREN.values(), ids=CHILDREN)
def test_children_end_with_a_task_that_times_out(child: Any, end: Any) -> None:
    probe = Probe()
    began = monotonic()
    with recorded() as history:
        assert end(child, probe) == "TimedOut"
    assert monotonic() - began < BODY_SECONDS
    assert not probe.completed, "a body ran to its end"
    check_ends(history)
