"""The two drivers of the run protocol: one blocks, one awaits. They hold no rule of their own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mintaka.context import CURRENT
from mintaka.engine import CALL, Await, Do, Judge, Report, RunHooks, Sleep, run_protocol
from mintaka.logging import printing_to_log, run_logger
from mintaka.loops import run_coroutine
from mintaka.stopping import STOP
from mintaka.tracebacks import log_information

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mintaka.engine import Step
    from mintaka.invocations import Invocation
    from mintaka.outcomes import Outcome


def run_sync(invocation: Invocation) -> Outcome:
    """Run a sync body in this thread."""
    protocol = run_protocol(invocation)
    token = CURRENT.set(invocation.context)
    try:
        step = next(protocol)
        while True:
            if step is CALL:
                try:
                    value = _call(invocation)
                except BaseException as error:  # noqa: BLE001 - the protocol decides what it means
                    step = protocol.throw(error)
                else:
                    step = protocol.send(value)
            else:
                step = protocol.send(_perform(invocation, step))
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
    try:
        step = next(protocol)
        while True:
            if step is CALL:
                try:
                    value = await _call_async(invocation)
                except BaseException as error:  # noqa: BLE001 - the protocol decides what it means
                    step = protocol.throw(error)
                else:
                    step = protocol.send(value)
            else:
                step = protocol.send(await _perform_async(invocation, step))
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome
    finally:
        CURRENT.reset(token)
        if invocation.keeping is not None:
            invocation.keeping.release()


def _call(invocation: Invocation) -> Any:
    definition = invocation.definition
    if invocation.context.log_prints:
        with printing_to_log():
            return _timed(invocation)
    if definition.timeout_seconds is not None:
        return _timed(invocation)
    return definition.fn(*invocation.args, **invocation.kwargs)


def _timed(invocation: Invocation) -> Any:
    definition = invocation.definition
    if definition.timeout_seconds is None:
        return definition.fn(*invocation.args, **invocation.kwargs)
    from mintaka.timeouts import call_with_timeout  # noqa: PLC0415 - start-up time

    return call_with_timeout(definition.timeout_seconds, definition.fn, invocation.args, invocation.kwargs)


async def _call_async(invocation: Invocation) -> Any:
    definition = invocation.definition
    if invocation.context.log_prints:
        with printing_to_log():
            return await _timed_async(invocation)
    if definition.timeout_seconds is not None:
        return await _timed_async(invocation)
    return await definition.fn(*invocation.args, **invocation.kwargs)


async def _timed_async(invocation: Invocation) -> Any:
    definition = invocation.definition
    if definition.timeout_seconds is None:
        return await definition.fn(*invocation.args, **invocation.kwargs)
    import asyncio  # noqa: PLC0415 - start-up time

    from mintaka.timeouts import timed_out  # noqa: PLC0415 - start-up time

    clock = asyncio.timeout(definition.timeout_seconds)
    try:
        async with clock:
            return await definition.fn(*invocation.args, **invocation.kwargs)
    except TimeoutError:
        if clock.expired():
            raise timed_out(definition.timeout_seconds) from None
        raise


def _perform(invocation: Invocation, step: Step) -> Any:
    """Do what the protocol asks for, blocking."""
    if isinstance(step, Await):
        for future in reversed(step.futures):  # the last one first: fewer wake-ups than waiting for each in turn
            future.wait()
    elif isinstance(step, Sleep):
        STOP.sleep(max(step.seconds, 0))
    elif isinstance(step, Do):
        return step.work()
    elif isinstance(step, RunHooks):
        for hook in step.hooks:
            awaitable = _called_hook(hook, invocation, step)
            if awaitable is not None:
                _run_hook_loop(awaitable)
    else:
        return _perform_at_once(invocation, step)
    return None


async def _perform_async(invocation: Invocation, step: Step) -> Any:
    """Do what the protocol asks for without blocking the event loop."""
    if isinstance(step, Await):
        for future in step.futures:
            await future.wait_async()
    elif isinstance(step, Sleep):
        import asyncio  # noqa: PLC0415 - start-up time

        await asyncio.sleep(max(step.seconds, 0))
    elif isinstance(step, Do):
        import asyncio  # noqa: PLC0415 - start-up time

        return await asyncio.to_thread(step.work)
    elif isinstance(step, RunHooks):
        for hook in step.hooks:
            awaitable = _called_hook(hook, invocation, step)
            if awaitable is not None:
                await _awaited_hook(awaitable)
    else:
        return _perform_at_once(invocation, step)
    return None


def _perform_at_once(invocation: Invocation, step: Step) -> Any:
    if isinstance(step, Report):
        run_logger(invocation.context).log(step.level, step.message, exc_info=log_information(step.error))
    elif isinstance(step, Judge) and invocation.child is not None:
        return invocation.child.launch.judge(step.error)
    return None


def _called_hook(hook: Callable[..., Any], invocation: Invocation, step: RunHooks) -> Awaitable[Any] | None:
    """Call one hook; what has to be awaited of it, if anything."""
    try:
        result = hook(invocation.definition, invocation.run, step.state)
    except Exception:
        logging.getLogger("mintaka").exception("hook %s failed; the run keeps its state", getattr(hook, "__name__", hook))
        return None
    return result if hasattr(result, "__await__") else None


async def _awaited_hook(awaitable: Awaitable[Any]) -> None:
    try:
        await awaitable
    except Exception:
        logging.getLogger("mintaka").exception("a hook failed; the run keeps its state")


def _run_hook_loop(awaitable: Awaitable[Any]) -> None:
    run_coroutine(_awaited_hook(awaitable))
