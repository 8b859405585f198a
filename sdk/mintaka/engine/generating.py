"""Runs that hand out their values one by one: tasks and flows that are generators, called directly.

The run begins when its first item is asked for, and is over when there is none left, or when nobody wants more of them
(it is closed): that is COMPLETED too. Only while the body runs is it the current run; between two items the consumer's
own surroundings hold. A body that failed is tried again only where none of its items was handed out: a consumer that got
some would get them twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka.context import CURRENT
from mintaka.engine.async_calls import completed, completed_async
from mintaka.engine.drivers import call, call_async, perform, perform_async
from mintaka.engine.forks import FORKS, end_child
from mintaka.engine.protocol import run_protocol
from mintaka.engine.steps import CALL

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from mintaka.engine.invocations import Invocation
    from mintaka.engine.outcomes import Outcome
    from mintaka.engine.steps import RunProtocol


def generate_sync(begin: Callable[[], Invocation], over: Callable[[Invocation], object] | None = None) -> Generator[Any, Any, Any]:
    """Run a sync generator; what is sent or thrown into this one reaches the body, whose return value is returned.

    `begin` makes the run when the first item is asked for, `over` is called when all is over.
    """
    invocation = begin()
    try:
        protocol = run_protocol(invocation)
        step = _inside(invocation, protocol.send, None)
        while not isinstance(step, _End):
            if step is not CALL:
                step = _inside(invocation, protocol.send, perform(invocation, step))
                continue
            try:
                value = yield from _items(invocation, invocation.definition.fn(*invocation.args, **invocation.kwargs))
                value = completed(invocation.context, value)
            except GeneratorExit:
                step = _inside(invocation, protocol.send, None)
                while not isinstance(step, _End):
                    step = _inside(invocation, protocol.send, perform(invocation, step))
                raise
            except BaseException as error:  # noqa: BLE001 - the protocol decides what it means
                step = _inside(invocation, protocol.throw, error)
            else:
                step = _inside(invocation, protocol.send, value)
        return step.outcome.result()
    finally:
        if over is not None:
            over(invocation)


def _items(invocation: Invocation, body: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """The items of `body`, each made with its run as the current one."""
    resume: Callable[[Any], Any] = body.send
    sent: Any = None
    forks = FORKS.depth
    try:
        while True:
            token = CURRENT.set(invocation.context)
            try:
                item = call(invocation, resume, (sent,))
            except BaseException as end:
                if forks != FORKS.depth:
                    end_child(None if isinstance(end, StopIteration) else end)
                if isinstance(end, StopIteration):
                    return end.value
                raise
            finally:
                CURRENT.reset(token)
            _handed_out(invocation, item)
            try:
                resume, sent = body.send, (yield item)
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 - thrown in by the consumer, for the body to deal with
                resume, sent = body.throw, error
    finally:
        body.close()


async def generate_async(
    begin: Callable[[], Invocation], over: Callable[[Invocation], Awaitable[object]] | None = None
) -> AsyncGenerator[Any, Any]:
    """Run an async generator; see `generate_sync`."""
    invocation = begin()
    try:
        protocol = run_protocol(invocation)
        step = await _to_call(invocation, protocol, _inside(invocation, protocol.send, None))
        while not isinstance(step, _End):
            body = invocation.definition.fn(*invocation.args, **invocation.kwargs)
            resume, sent = body.asend, None
            try:
                while (item := await _next_item(invocation, resume, sent)) is not _END:
                    try:
                        resume, sent = body.asend, (yield item)
                    except GeneratorExit:
                        raise
                    except BaseException as error:  # noqa: BLE001 - thrown in by the consumer, for the body to deal with
                        resume, sent = body.athrow, error
                await completed_async(invocation.context, None)
            except GeneratorExit:
                await body.aclose()
                await _to_call(invocation, protocol, _inside(invocation, protocol.send, None))
                raise
            except BaseException as error:  # noqa: BLE001 - the protocol decides what it means
                step = _inside(invocation, protocol.throw, error)
            else:
                step = _inside(invocation, protocol.send, None)
            step = await _to_call(invocation, protocol, step)
        step.outcome.result()
    finally:
        if over is not None:
            await over(invocation)


async def _to_call(invocation: Invocation, protocol: RunProtocol, step: Any) -> Any:
    """Do what the protocol asks for up to its next call of the body, or to its end."""
    while step is not CALL and not isinstance(step, _End):
        step = _inside(invocation, protocol.send, await perform_async(invocation, step))
    return step


async def _next_item(invocation: Invocation, resume: Callable[[Any], Any], sent: Any) -> Any:
    """The next item of an async body, made with its run as the current one; `_END` where there is none."""
    token = CURRENT.set(invocation.context)
    try:
        item = await call_async(invocation, resume, (sent,))
    except StopAsyncIteration:
        return _END
    finally:
        CURRENT.reset(token)
    _handed_out(invocation, item)
    return item


_END = object()


class _End:
    """The protocol is over, with this outcome."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


def _inside(invocation: Invocation, go_on: Callable[[Any], Any], sent: Any) -> Any:
    """The protocol's next step, asked for within the run's own context."""
    token = CURRENT.set(invocation.context)
    try:
        return go_on(sent)
    except StopIteration as end:
        return _End(end.value)
    finally:
        CURRENT.reset(token)


def _handed_out(invocation: Invocation, item: Any) -> None:
    invocation.handed_out = True
    flow, run = invocation.context.flow, invocation.run
    if flow is not None and run.n >= 0:
        flow.lineage.remember(item, run.n)
