"""Functions of the user's that may be async: hooks, conditions, key functions, names of runs. What they return is awaited if it can be."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka.engine.loops import loop_is_running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Consulted(NamedTuple):
    """What a function returned, or what it raised."""

    value: Any = None
    error: Exception | None = None


def is_awaitable(value: object) -> bool:
    """True for coroutines and whatever else can be awaited."""
    return hasattr(value, "__await__")


def wait_for(awaitable: Awaitable[Any]) -> Any:
    """Wait for `awaitable` in this thread: in an event loop made for it, in another thread if a loop is running in this one."""
    import asyncio  # noqa: PLC0415 - start-up time

    if not loop_is_running():
        return asyncio.run(_awaited(awaitable))
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - start-up time

    with ThreadPoolExecutor(1, thread_name_prefix="mintaka-await") as pool:
        return pool.submit(copy_context().run, asyncio.run, _awaited(awaitable)).result()


def consult(function: Callable[[], Any]) -> Consulted:
    """Call `function` and, if it is async, wait for it in this thread."""
    try:
        value = function()
        return Consulted(wait_for(value) if is_awaitable(value) else value)
    except Exception as error:  # noqa: BLE001 - the caller decides what it means
        return Consulted(error=error)


async def consult_async(function: Callable[[], Any]) -> Consulted:
    """Call `function` and, if it is async, await it in this event loop."""
    try:
        value = function()
        return Consulted((await value) if is_awaitable(value) else value)
    except Exception as error:  # noqa: BLE001 - the caller decides what it means
        return Consulted(error=error)


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
