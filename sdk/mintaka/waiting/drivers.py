"""Who waits in a pause: a thread, or an event loop, which goes on meanwhile.

Whatever asks those outside of the process (an API, a file) may take seconds, so on an event loop it is done in another thread.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from mintaka.exceptions import message_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mintaka.waiting.pausing import Pause


def wait_blocking(pause: Pause, poll_seconds: float) -> Any:
    """Pause in this thread; returns the input."""
    if _known_answer(pause):
        return pause.value
    over = threading.Event()
    pause.begin()
    try:
        with _ended(pause):
            pause.announce()
            for seconds in pause.steps(over.set, poll_seconds):
                over.wait(seconds)
    finally:
        pause.announce_end()
    return pause.value


async def wait_async(pause: Pause, poll_seconds: float) -> Any:
    """Pause without blocking the event loop; returns the input."""
    import asyncio  # noqa: PLC0415 - start-up time

    if await apart(lambda: _known_answer(pause)):
        return pause.value
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    pause.begin()
    try:
        with _ended(pause):
            await apart(pause.announce)
            steps = pause.steps(lambda: loop.call_soon_threadsafe(over.set), poll_seconds)
            while (seconds := await apart(lambda: next(steps, None))) is not None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), seconds)
    finally:
        await apart(pause.announce_end)
    return pause.value


@contextmanager
def _ended(pause: Pause) -> Iterator[None]:
    """The pause is over after the block, and the run RUNNING again, with the reason why."""
    why = "resumed"
    try:
        yield
    except BaseException as error:
        why = message_of(error) or type(error).__name__
        raise
    finally:
        pause.end(why)


async def apart[T](work: Callable[[], T]) -> T:
    """Do `work` in another thread; where this is cancelled meanwhile, it ends once `work` is over: others may rely on what it did."""
    import asyncio  # noqa: PLC0415 - start-up time

    doing = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        raise


def _known_answer(pause: Pause) -> bool:
    """Whether a pause with a key has been answered in an earlier try or attempt; it is over then."""
    if pause.key is None:
        return False
    from mintaka.waiting.mailboxes import known_answer_to  # noqa: PLC0415 - start-up time

    known = known_answer_to(pause)
    if known is None:
        return False
    pause.give(known.value)
    pause.flow.answers[pause.key] = pause.answered
    return True
