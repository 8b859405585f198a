"""The attempts that have a process, or had one that is not removed yet; read again when their supervisors report an event."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING

from mintaka_api.local.processes.attempt_folder import AttemptFolder
from mintaka_api.local.processes.process_view import ProcessView
from mintaka_api.local.processes.process_workload import process_workload
from mintaka_api.local.processes.supervisor_events import SupervisorEvents
from mintaka_controller.ports import OwnedWorkload
from mintaka_core.json_values import text

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from mintaka_api.local.processes.attempt_folder import Record
    from mintaka_api.local.processes.attempt_store import AttemptStore
    from mintaka_controller.ports import Name

_logger = logging.getLogger(__name__)

#: How long to wait before records are read or written again: a full disk or a lack of file descriptors may pass.
_AGAIN_SECONDS = 1.0
#: Versions of workloads and of resources are compared with their own kind only, but recorded side by side: they must differ.
_FIRST_VERSION = 2**60


@dataclass(eq=False)
class Attempt:
    """One attempt; `events` is None once its supervisor is gone."""

    folder: AttemptFolder
    view: ProcessView
    owned: OwnedWorkload
    events: SupervisorEvents | None = None
    #: True once its end has been published.
    over: bool = False
    #: Of several readings of its records the last one counts.
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def key(self) -> Name:
        """Namespace and name of the workload."""
        return self.owned.run[0], self.owned.workload.name

    @property
    def run_uid(self) -> str:
        """The uid of the run."""
        return self.owned.owner_uid


class Attempts:
    """All attempts by namespace and name; `changed` is called with each new version of one."""

    def __init__(self, store: AttemptStore, changed: Callable[[Attempt], None]) -> None:
        self._store = store
        self._changed = changed
        self._attempts: dict[Name, Attempt] = {}
        self._versions = count(_FIRST_VERSION)
        self._tasks: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Attempt]:
        return iter(tuple(self._attempts.values()))

    def get(self, key: Name) -> Attempt | None:
        """One attempt; None if the name is unknown."""
        return self._attempts.get(key)

    def of_run(self, run_uid: str) -> list[Attempt]:
        """The attempts of the run with that uid."""
        return [attempt for attempt in self if attempt.run_uid == run_uid]

    def add(self, folder: AttemptFolder, view: ProcessView) -> Attempt:
        """Add an attempt that a supervisor has begun to serve, without watching it."""
        attempt = Attempt(folder, view, self._owned(view))
        self._attempts[attempt.key] = attempt
        return attempt

    def forget(self, attempt: Attempt) -> None:
        """Forget an attempt whose folder is removed."""
        if attempt.events is not None:
            attempt.events.close()
            attempt.events = None
        self._attempts.pop(attempt.key, None)

    def watch(self, attempt: Attempt) -> None:
        """Watch an attempt that has not ended: from now on it is read again when its supervisor reports an event or is gone.

        If its events cannot be read, its supervisor counts as gone until it is found to be running.
        """
        try:
            self._listen(attempt)
        except OSError as error:
            _logger.warning("the supervisor of process %s/%s cannot be watched: %s", *attempt.key, error)
            self.observe(attempt, "gone")

    def _listen(self, attempt: Attempt) -> None:
        attempt.events = SupervisorEvents(attempt.folder, lambda event: self.observe(attempt, event))

    def observe(self, attempt: Attempt, event: str) -> None:
        """Its supervisor has reported an event."""
        if event == "gone":
            attempt.events = None
        self.spawn(self.persist(attempt, self._settle if event == "gone" else self.refresh))

    async def persist(self, attempt: Attempt, action: Callable[[Attempt], Coroutine[None, None, None]]) -> None:
        """Read or stop an attempt until that succeeds: nothing else would request it again."""
        while self._attempts.get(attempt.key) is attempt:
            try:
                await action(attempt)
            except OSError as error:
                _logger.warning("the folder of process %s/%s cannot be read or written yet: %s", *attempt.key, error)
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return

    async def refresh(self, attempt: Attempt, end: Record | None = None) -> None:
        """Read its records again; `end`: how it ended, if that is not recorded because its folder was removed. Raises OSError."""
        async with attempt.lock:
            view = await asyncio.to_thread(self._store.view_again, attempt.folder, attempt.view)
            if view.ended is None and end is not None:
                view = replace(view, ended=end)
            if view == attempt.view or self._attempts.get(attempt.key) is not attempt:
                return
            attempt.view, attempt.owned = view, self._owned(view)
            if view.ended is not None and attempt.events is not None:
                attempt.events.close()
                attempt.events = None
            self._changed(attempt)

    async def _settle(self, attempt: Attempt) -> None:
        """Its supervisor is gone: record its end if the supervisor has not; if it still runs, watch it again. Raises OSError."""
        end = await asyncio.to_thread(self._store.settle_lost, attempt.folder, attempt.view.request)
        await self.refresh(attempt, end)
        if attempt.owned.workload.alive and attempt.events is None and self._attempts.get(attempt.key) is attempt:
            self._listen(attempt)

    def _owned(self, view: ProcessView) -> OwnedWorkload:
        request = view.request
        run = text(request.get("namespace")), text(request.get("run"))
        return OwnedWorkload(run, text(request.get("run_uid")), next(self._versions), process_workload(view))

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run `work` in the background."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("watching processes failed", exc_info=error)

    async def close(self) -> None:
        """Stop watching."""
        for attempt in self:
            if attempt.events is not None:
                attempt.events.close()
                attempt.events = None
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
