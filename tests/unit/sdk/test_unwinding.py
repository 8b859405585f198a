"""Whether code cleans up after an exception, as its frame shows."""

from __future__ import annotations

import asyncio
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from mintaka.engine.unwinding import cleans_up, handles_exception

if TYPE_CHECKING:
    from collections.abc import Iterator


class Looks:
    """What the frame of each place showed; those whose name ends with "!" handle an exception."""

    def __init__(self) -> None:
        self.seen: dict[str, bool] = {}

    def __call__(self, place: str) -> None:
        self.seen[place] = handles_exception(sys._getframe(1))

    def check(self) -> None:
        assert self.seen == {place: place.endswith("!") for place in self.seen}


def test_blocks_that_handle_an_exception_are_told_from_others() -> None:
    look = Looks()
    look("body")
    try:
        look("try")
        raise ValueError
    except ValueError:
        look("except!")
        try:
            look("try in except!")
        finally:
            look("finally in except!")
        with suppress(OSError):
            look("with in except!")
        try:
            raise KeyError
        except KeyError:
            look("except in except!")
        look("after that, in except!")
    look("after except")
    try:
        raise ValueError
    except (KeyError, ValueError) as error:
        look("except as!")
        for _ in [error]:
            look("loop in except!")
    try:
        try:
            raise ValueError
        finally:
            look("finally of an exception!")
    except ValueError:
        pass
    try:
        pass
    finally:
        look("finally of none")
    with suppress(ValueError):
        look("with")
    while True:
        try:
            raise ValueError
        except BaseException:  # noqa: BLE001, S110 - swallows it
            pass
        look("a loop that swallows")
        break
    look.check()
    assert len(look.seen) == 15


def test_exits_of_with_blocks_that_an_exception_leaves_clean_up() -> None:
    look = Looks()

    class Manager:
        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> bool:
            look.seen["with!"] = handles_exception(sys._getframe(1))
            return True

    @contextmanager
    def managed() -> Iterator[None]:
        try:
            yield
        finally:
            look("its generator!")

    with Manager():
        raise ValueError
    with suppress(ValueError), managed():
        raise ValueError
    look.check()
    assert len(look.seen) == 2


async def in_except() -> None:
    try:
        raise ValueError
    except ValueError:
        await asyncio.sleep(1)


async def deep_in_except() -> None:
    try:
        raise ValueError
    except ValueError as error:
        async with asyncio.timeout(5):
            for _ in [error]:
                with suppress(KeyError):
                    await asyncio.sleep(1)


async def in_exit() -> None:
    class Manager:
        async def __aenter__(self) -> None:
            pass

        async def __aexit__(self, *_: object) -> None:
            await asyncio.sleep(1)

    async with Manager():
        raise ValueError


async def below_in_except() -> None:
    try:
        raise ValueError
    except ValueError:
        await below()


async def below() -> None:
    await asyncio.sleep(1)


async def after_except() -> None:
    try:
        raise ValueError
    except ValueError:
        pass
    async with asyncio.timeout(5):
        with suppress(KeyError):
            await asyncio.sleep(1)


async def items() -> Any:
    await asyncio.sleep(1)
    yield 1


async def loops() -> None:
    async for _ in items():
        pass


def test_a_suspended_coroutine_shows_whether_it_cleans_up() -> None:
    async def shown(body: Any) -> bool:
        running = asyncio.create_task(body())
        await asyncio.sleep(0.001)
        shows = cleans_up(running.get_coro())
        running.cancel()
        await asyncio.wait([running])
        return shows

    bodies = {in_except: True, deep_in_except: True, in_exit: True, below_in_except: True, below: False, after_except: False, loops: False}
    assert {body: asyncio.run(shown(body)) for body in bodies} == bodies
