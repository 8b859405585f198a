"""The two drivers of the run protocol: one blocks, one awaits. They hold no rule of their own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mintaka.context import CURRENT
from mintaka.engine.async_calls import close_calls, completed, completed_async
from mintaka.engine.awaiting import consult, consult_async
from mintaka.engine.blocking_waits import Suspendable
from mintaka.engine.forks import FORKS, end_child
from mintaka.engine.halting import RunInThread, in_foreign_thread
from mintaka.engine.loops import RunInLoop
from mintaka.engine.protocol import run_protocol
from mintaka.engine.steps import CALL, Await, Consult, Do, Halt, Judge, Report, RunHooks, Sleep
from mintaka.engine.stopping import STOP
from mintaka.engine.tracebacks import log_information
from mintaka.exceptions import TimedOut
from mintaka.futures import stop_jobs
from mintaka.logging import printing_to_log, run_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka.engine.invocations import Invocation
    from mintaka.engine.outcomes import Outcome
    from mintaka.engine.steps import Step


def run_sync(invocation: Invocation) -> Outcome:
    """Run a sync body in this thread."""
    if in_foreign_thread() and invocation.run.n >= 0:
        return _run_in_scope(invocation)
    return _run_here(invocation)


def _run_in_scope(invocation: Invocation) -> Outcome:
    """Run it so that it can be requested to end."""
    jobs, n = invocation.ledger.jobs, invocation.run.n
    scope = RunInThread(invocation.definition.fn)
    outer = scope.enter()
    jobs[n] = scope
    try:
        return _run_here(invocation)
    finally:
        jobs.pop(n, None)
        scope.leave(outer)


def _run_here(invocation: Invocation) -> Outcome:
    protocol = run_protocol(invocation)
    token = CURRENT.set(invocation.context)
    try:
        step = next(protocol)
        while True:
            if step is CALL:
                try:
                    value = call_body(invocation)
                except BaseException as error:  # noqa: BLE001 - the protocol decides what it means
                    step = protocol.throw(error)
                else:
                    step = protocol.send(value)
            else:
                step = protocol.send(perform(invocation, step))
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome
    finally:
        CURRENT.reset(token)
        if invocation.keeping is not None:
            invocation.keeping.release()


async def run_async(invocation: Invocation) -> Outcome:
    """Run a coroutine function's body in this event loop."""
    protocol = run_protocol(invocation)
    token = CURRENT.set(invocation.context)
    jobs, n = invocation.ledger.jobs, invocation.run.n
    in_loop = None if n < 0 or n in jobs else jobs.setdefault(n, RunInLoop())
    try:
        step = next(protocol)
        while True:
            if step is CALL:
                try:
                    value = await call_body_async(invocation)
                except BaseException as error:  # noqa: BLE001 - the protocol decides what it means
                    step = protocol.throw(error)
                else:
                    step = protocol.send(value)
            else:
                step = protocol.send(await perform_async(invocation, step))
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome
    finally:
        if in_loop is not None:
            jobs.pop(n, None)
        CURRENT.reset(token)
        if invocation.keeping is not None:
            invocation.keeping.release()


def call_body(invocation: Invocation) -> Any:
    """Call the body of a run."""
    definition, context, forks = invocation.definition, invocation.context, FORKS.depth
    try:
        if context.log_prints or definition.timeout_seconds is not None:
            value = call(invocation, definition.body, invocation.args, invocation.kwargs)
        else:
            value = definition.body(*invocation.args, **invocation.kwargs)
    except BaseException as error:
        if forks != FORKS.depth:
            end_child(error)
        close_calls(context)
        raise
    if forks != FORKS.depth:
        end_child()
    return completed(context, value)


def call(invocation: Invocation, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Any:
    """Call what belongs to the run's body, with its settings for prints and time."""
    if invocation.context.log_prints:
        with printing_to_log():
            return _timed(invocation, fn, args, kwargs or {})
    return _timed(invocation, fn, args, kwargs or {})


def _timed(invocation: Invocation, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    seconds = invocation.definition.timeout_seconds
    if seconds is None:
        return fn(*args, **kwargs)
    from mintaka.engine.timeouts import call_with_timeout  # noqa: PLC0415 - start-up time

    invocation.late = TimedOut(seconds)
    return call_with_timeout(invocation, invocation.late, fn, args, kwargs)


async def call_body_async(invocation: Invocation) -> Any:
    """Await the body of a run; blocking waits in that of a flow suspend it."""
    if invocation.child is not None:
        return await Suspendable(_awaited_body(invocation))
    return await _awaited_body(invocation)


async def _awaited_body(invocation: Invocation) -> Any:
    definition, context, forks = invocation.definition, invocation.context, FORKS.depth
    try:
        if context.log_prints or definition.timeout_seconds is not None:
            value = await call_async(invocation, definition.body, invocation.args, invocation.kwargs)
        else:
            value = await definition.body(*invocation.args, **invocation.kwargs)
    except BaseException as error:
        if forks != FORKS.depth:
            end_child(error)
        close_calls(context)
        raise
    if forks != FORKS.depth:
        end_child()
    return await completed_async(context, value)


async def call_async(invocation: Invocation, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Any:
    """Await what belongs to the run's body, with its settings for prints and time."""
    if invocation.context.log_prints:
        with printing_to_log():
            return await _timed_async(invocation, fn, args, kwargs or {})
    return await _timed_async(invocation, fn, args, kwargs or {})


async def _timed_async(invocation: Invocation, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    seconds = invocation.definition.timeout_seconds
    if seconds is None:
        return await fn(*args, **kwargs)
    from mintaka.engine.timeouts import await_with_timeout  # noqa: PLC0415 - start-up time

    invocation.late = TimedOut(seconds)
    return await await_with_timeout(invocation, invocation.late, fn(*args, **kwargs))


def perform(invocation: Invocation, step: Step) -> Any:
    """Do what the protocol asks for, blocking."""
    if isinstance(step, Await):
        for future in reversed(step.futures):  # the last one first: fewer wake-ups than waiting for each in turn
            future.wait()
    elif isinstance(step, Sleep):
        STOP.sleep(max(step.seconds, 0), lambda: invocation.run.is_over)
    elif isinstance(step, Do):
        return step.work()
    elif isinstance(step, RunHooks):
        for hook in step.hooks:
            _log_failure(hook, consult(_hook_call(hook, invocation, step)).error)
    elif isinstance(step, Consult):
        return consult(step.function)
    else:
        return _perform_at_once(invocation, step)
    return None


async def perform_async(invocation: Invocation, step: Step) -> Any:
    """Do what the protocol asks for without blocking the event loop."""
    if isinstance(step, Await):
        for future in step.futures:
            await future.wait_async()
    elif isinstance(step, Sleep):
        await STOP.sleep_async(max(step.seconds, 0))
    elif isinstance(step, Do):
        import asyncio  # noqa: PLC0415 - start-up time

        return await asyncio.to_thread(step.work)
    elif isinstance(step, RunHooks):
        for hook in step.hooks:
            _log_failure(hook, (await consult_async(_hook_call(hook, invocation, step))).error)
    elif isinstance(step, Consult):
        return await consult_async(step.function)
    else:
        return _perform_at_once(invocation, step)
    return None


def _perform_at_once(invocation: Invocation, step: Step) -> Any:
    if isinstance(step, Report):
        run_logger(invocation.context).log(step.level, step.message, exc_info=log_information(step.error))
    elif isinstance(step, Halt):
        stop_jobs(invocation.ledger, step.runs, step.message)
    elif isinstance(step, Judge) and (flow := invocation.child or invocation.context.flow) is not None:
        return flow.launch.judge(step.error)
    return None


def _hook_call(hook: Callable[..., Any], invocation: Invocation, step: RunHooks) -> Callable[[], Any]:
    from mintaka.runs import run_of  # noqa: PLC0415 - start-up time: hooks are rare

    return lambda: hook(invocation.definition, run_of(invocation, step.state), step.state)


def _log_failure(hook: Callable[..., Any], error: Exception | None) -> None:
    if error is not None:
        name = getattr(hook, "__name__", hook)
        logging.getLogger("mintaka").error("hook %s failed; the run keeps its state", name, exc_info=log_information(error))
