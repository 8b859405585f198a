"""Jobs: calls of tasks that were submitted, until and while they run in a thread or an event loop."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from mintaka.engine.blocking_waits import Suspendable
from mintaka.engine.halting import Scope
from mintaka.engine.outcomes import Outcome

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Iterator
    from contextlib import AbstractContextManager
    from contextvars import Context

    from mintaka.engine.invocations import Invocation
    from mintaka.futures import Future


class Queue(Protocol):
    """Where jobs wait until they begin."""

    def take(self, job: Job) -> bool:
        """Claim a job that has not begun; False if it has."""


class Job(Scope):
    """Something to be run once, in the context of the code that submitted it; `work` must not raise. `fn` is the user's function
    in it, `needs_loop` says that it is a coroutine function, which then attaches the asyncio task it runs in. One that is given
    a `loop` is run there, by `work_async`; any other in a thread, by `work`.
    """

    __slots__ = ("_hand_over", "_loop_task", "_waits", "call", "context", "loop", "needs_loop", "pool", "taken", "work", "work_async")

    def __init__(
        self,
        work: Callable[[Job], None],
        context: Context,
        fn: Callable[..., Any],
        *,
        needs_loop: bool = False,
        call: tuple[Invocation, Future[Any]] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        work_async: Callable[[Job], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        super().__init__(fn)
        self.work = work
        self.work_async = work_async
        #: The event loop it is to run in; None once it runs in a thread instead.
        self.loop = loop
        #: How many of its coroutines wait for other jobs.
        self._waits = 0
        self._hand_over: Callable[[], AbstractContextManager[None]] | None = None
        #: The call that `work` makes, for runners that make it in another way.
        self.call = call
        self._loop_task: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        self.context = context
        self.needs_loop = needs_loop
        self.taken = False
        #: Where it is queued; None until everything it depends on is done.
        self.pool: Queue | None = None

    def claim(self) -> bool:
        """Take it out of its queue, or never let it get there; False if it is being run."""
        if self.pool is not None:
            return self.pool.take(self)
        taken, self.taken = self.taken, True
        return not taken

    def run(self) -> None:
        """Run it in its context."""
        outer = self.enter()
        try:
            self.context.run(self.work, self)
        finally:
            self.leave(outer)

    def attach(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        """It runs as `task` in `loop`, which is cancelled if the job is requested to end."""
        self._loop_task = loop, task
        if self.error is not None:
            task.cancel(str(self.error))

    def run_in_loop(self, over: Callable[[], None], hand_over: Callable[[], AbstractContextManager[None]]) -> None:
        """Run it as a task of its event loop, in whose thread this is called; `over()` is called when it is over.

        `hand_over` is the pool's context in which another job may have its slot.
        """
        self._hand_over = hand_over
        if self.loop is None or self.work_async is None:
            message = "a job that runs in an event loop needs a coroutine function"
            raise ValueError(message)
        task = self.loop.create_task(self._work_in_loop(self.work_async), context=self.context)
        task.add_done_callback(lambda _: self._left_loop(over))
        self.attach(self.loop, task)

    async def _work_in_loop(self, work: Callable[[Job], Coroutine[Any, Any, None]]) -> None:
        LOOP_JOB.set(self)
        await Suspendable(work(self))

    def _left_loop(self, over: Callable[[], None]) -> None:
        """Its asyncio task is done; one that was cancelled before its first step has run nothing of it."""
        if self.call is not None and not self.call[1].done:
            self.call[1].finish(Outcome(self.call[0].run))
        over()

    @property
    def loop_task(self) -> asyncio.Task[Any] | None:
        """The asyncio task it runs in, if it has begun in an event loop."""
        return None if self._loop_task is None else self._loop_task[1]

    @property
    def runs_in_loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop it has begun in; None if it has not, or is over."""
        return self._loop_task[0] if self._loop_task is not None and self.loop is not None and not self._loop_task[1].done() else None

    @contextmanager
    def slot_handed_over(self) -> Iterator[None]:
        """While the block, in the event loop it runs in, waits for other jobs, another job may have its slot."""
        if self._hand_over is None or self.runs_in_loop is None:
            yield
            return
        self._waits += 1
        with self._hand_over() if self._waits == 1 else nullcontext():
            try:
                yield
            finally:
                self._waits -= 1

    def stop(self, error: BaseException) -> None:
        """Request that it ends with `error`; it does so as soon as it is in the user's code. Safe from any thread."""
        if not self.needs_loop:
            self.halt(error)
            return
        self.error = error
        if self._loop_task is not None:
            loop, task = self._loop_task
            with suppress(RuntimeError):  # the loop is closed: the task is over
                loop.call_soon_threadsafe(task.cancel, str(error))


#: The job that the code of an event loop is part of.
LOOP_JOB: ContextVar[Job | None] = ContextVar("mintaka_loop_job", default=None)
