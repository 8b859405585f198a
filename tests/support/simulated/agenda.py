"""Simulated time: what is to happen, in order, on an event loop whose clock jumps; nothing sleeps."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from jumping import JumpingLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
_TURNS = 1_500_000
_CHECK_SECONDS = 5.0


class _Errors(logging.Handler):
    """Makes an exception that the controller logs, and survives, the end of the simulation."""

    def __init__(self, fail: Callable[[BaseException], None]) -> None:
        super().__init__(logging.ERROR)
        self._fail = fail

    def emit(self, record: logging.LogRecord) -> None:
        """Fail with the exception of a record that has one."""
        if record.exc_info and record.exc_info[1]:
            self._fail(record.exc_info[1])


class Agenda:
    """Actions by time; those of one time happen in the order in which they were put in. The first error ends the simulation."""

    def __init__(self) -> None:
        self.loop = JumpingLoop(_TURNS)
        self.loop.set_exception_handler(self._fail_of)
        self._started = self.loop.now
        self._goal: asyncio.Future[None] | None = None
        self._error: BaseException | None = None

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return self.loop.now - self._started

    @property
    def now(self) -> datetime:
        """The present instant."""
        return START + timedelta(seconds=self.seconds)

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Let `action` happen so many seconds from now."""
        self.loop.call_later(max(seconds, 0.0), action)

    def go_to(self, seconds: float, *, until: Callable[[], bool] | None = None) -> None:
        """Let everything happen up to that time, or until `until`, which is asked every few seconds, is True. Raises the first error."""
        if self._error is None:
            self._goal = self.loop.create_future()
            self._check(seconds, until)
            try:
                self.loop.run_until_complete(self._goal)
            finally:
                self._goal = None
        if self._error is not None:
            raise self._error

    def _check(self, seconds: float, until: Callable[[], bool] | None) -> None:
        goal = self._goal
        if goal is None or goal.done():
            return
        if self.seconds >= seconds or (until is not None and until()):
            goal.set_result(None)
            return
        step = _CHECK_SECONDS if until is not None else seconds
        self.after(min(step, seconds - self.seconds), lambda: self._check(seconds, until))

    def fail(self, error: BaseException) -> None:
        """End the simulation with an error; only the first one counts."""
        self._error = self._error or error
        if self._goal is not None and not self._goal.done():
            self._goal.set_result(None)

    @contextlib.contextmanager
    def failing_on_logged_errors(self) -> Iterator[None]:
        """While it lasts, the controller logs nothing but what ends the simulation."""
        logger, handler = logging.getLogger("mintaka_controller"), _Errors(self.fail)
        level, propagate = logger.level, logger.propagate
        logger.setLevel(logging.ERROR)
        logger.propagate = False
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate

    def _fail_of(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.fail(context.get("exception") or AssertionError(context["message"]))

    def close(self) -> None:
        """End every task and the loop."""
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
