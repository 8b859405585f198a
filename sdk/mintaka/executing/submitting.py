"""A call of a task that waits for its inputs, then goes to the flow's task runner, and whose future is done in the end."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from mintaka.engine.drivers import run_async, run_sync
from mintaka.engine.loops import run_coroutine
from mintaka.engine.outcomes import Outcome
from mintaka.exceptions import message_of
from mintaka.executing.jobs import Job
from mintaka.futures import Future
from mintaka_core.states import CRASHED, State

if TYPE_CHECKING:
    from mintaka.context import FlowContext
    from mintaka.engine.invocations import Invocation
    from mintaka.engine.runs import Ledger, Run
    from mintaka.tasks import Task


def submitted(invocation: Invocation, flow: FlowContext) -> Future[Any]:
    """Hand the call to the flow's task runner once everything it depends on is done; returns its future at once."""
    task: Task[..., Any] = invocation.definition  # type: ignore[assignment]
    future: Future[Any] = Future(invocation.run, flow)
    job = Job(
        lambda job: _work(task, invocation, future, job),
        copy_context(),
        task.fn,
        needs_loop=task.is_async,
        call=(invocation, future),
        loop=flow.loop if task.is_async else None,
        work_async=lambda job: _work_async(invocation, future, job),
    )
    future.job = job
    dependencies = invocation.dependencies
    waiting = [other for other in dependencies.futures if not other.done] if dependencies is not None else []
    runner = flow.runner
    if not waiting:
        runner.submit(job)
        return future
    # The last of these to be taken out is False; list.pop is atomic, so exactly one callback gets it.
    left = [False, *(True for _ in waiting[1:])]
    for other in waiting:
        other.when_done(lambda _: None if left.pop() else runner.submit(job))
    return future


def _work(task: Task[..., Any], invocation: Invocation, future: Future[Any], job: Job) -> None:
    """Run a submitted call; whatever happens, its future is done afterwards."""
    invocation.ledger.jobs[invocation.run.n] = job
    try:
        outcome = run_coroutine(_attached(job, invocation)) if task.is_async else run_sync(invocation)
    except BaseException as error:  # noqa: BLE001 - the record has it; whoever asks for the result gets it
        outcome = broken_off(invocation.ledger, invocation.run, error)
    _finish(invocation, future, outcome)


async def _work_async(invocation: Invocation, future: Future[Any], job: Job) -> None:
    """The same in the event loop of the flow."""
    invocation.ledger.jobs[invocation.run.n] = job
    try:
        outcome = await run_async(invocation)
    except BaseException as error:  # noqa: BLE001 - as above; and what leaves a task of a loop may end the loop
        outcome = broken_off(invocation.ledger, invocation.run, error)
    _finish(invocation, future, outcome)


def _finish(invocation: Invocation, future: Future[Any], outcome: Outcome) -> None:
    if invocation.keeping is not None:
        invocation.keeping.forget(outcome)
    invocation.ledger.jobs.pop(invocation.run.n, None)
    future.finish(outcome)


async def _attached(job: Job, invocation: Invocation) -> Outcome:
    import asyncio  # noqa: PLC0415 - start-up time

    task = asyncio.current_task()
    if task is not None:
        job.attach(asyncio.get_running_loop(), task)
    return await run_async(invocation)


def broken_off(ledger: Ledger, run: Run, error: BaseException) -> Outcome:
    """The outcome of a run whose protocol raised `error`: an interruption, or a mistake of ours, which crashes the run."""
    if isinstance(error, Exception) and not run.is_over:
        ledger.propose_end(run, State(CRASHED, reason=type(error).__name__, message=message_of(error)))
    return Outcome(run, error=error)
