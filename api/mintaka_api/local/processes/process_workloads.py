"""Processes of flow runs: the controller's port `Workloads` on this machine."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from mintaka_api.local.processes.attempt_folder import KILL, TERMINATE
from mintaka_api.local.processes.attempt_store import AttemptStore
from mintaka_api.local.processes.attempts import Attempt, Attempts
from mintaka_api.local.processes.fork_server_client import ForkServer
from mintaka_api.local.processes.log_follower import LogFollower
from mintaka_api.local.processes.process_launches import ProcessLaunches, attempt_request
from mintaka_api.local.processes.process_slots import ProcessSlots
from mintaka_api.local.processes.process_start import ProcessStart
from mintaka_api.local.processes.run_logs import RunLogs
from mintaka_controller.ports import CreateRefused, Exists, Listed, Missing, Unavailable
from mintaka_core import names
from mintaka_core.states import CRASHED
from mintaka_core.workloads import NO_REVISION, CreateError, CreateErrorKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mintaka_api.local.processes.attempt_folder import AttemptFolder
    from mintaka_api.local.processes.launch import Launch, Machine
    from mintaka_api.local.processes.process_start import Outcome
    from mintaka_controller.ports import Document, Name, OwnedWorkload
    from mintaka_core.resources import FlowRun, FlowTemplate
    from mintaka_core.workloads import RevisionCode, StartIssue, Workload
    from mintaka_history.database import Database
    from mintaka_history.queries.names import Names

_logger = logging.getLogger(__name__)

#: How long a forced stop may take; then the process is given up.
_KILL_SECONDS = 5.0
_POLL_SECONDS = 0.05


class Documents(Protocol):
    """The store of documents, as far as processes need it."""

    async def read(self, kind: str, key: Name) -> Document:
        """One document. Raises Missing."""

    def subscribe(self, callback: Callable[[str, Document, bool], None]) -> None:
        """Have `callback` called with kind, document and whether it was deleted."""


class ProcessWorkloads:
    """Starts, watches, stops and removes processes. `recover` comes first, in the event loop of everything that follows.

    Folders are in `home`. At most `max_processes` run at once (None: one for each core).
    """

    def __init__(
        self, home: Path, store: Documents, database: Database, names_: Names, machine: Machine, max_processes: int | None = None
    ) -> None:
        self._documents = store
        self._store = AttemptStore(home)
        self._launches = ProcessLaunches(home, store, machine)
        self._attempts = Attempts(self._store, self._publish)
        self._slots = ProcessSlots(max_processes or os.cpu_count() or 1, self._offer)
        self._logs = RunLogs(database, names_)
        self._follower = LogFollower(self._attempts, self._logs)
        self._fork_server = ForkServer()
        self._observers: list[Callable[[OwnedWorkload], None]] = []
        self._capacity_observers: list[Callable[[str], None]] = []
        self._offers: asyncio.TimerHandle | None = None
        store.subscribe(self._observe_document)

    # -- life ---------------------------------------------------------------------------------------------------------

    def subscribe(self, callback: Callable[[OwnedWorkload], None]) -> None:
        """Have `callback` called with each new version of a workload, also with those that `recover` finds."""
        self._observers.append(callback)

    def subscribe_capacity(self, callback: Callable[[str], None]) -> None:
        """Have `callback` called with the namespace of a run that waits and may start now (`Controller.free_capacity`)."""
        self._capacity_observers.append(callback)

    async def recover(self) -> None:
        """Find the attempts of a server that ran before: those that still run, and what the others left."""
        for folder in await asyncio.to_thread(self._store.all):
            view = await asyncio.to_thread(self._store.view, folder)
            if view is None:  # its removal was interrupted
                await asyncio.to_thread(self._store.remove, folder)
                continue
            attempt = self._attempts.add(folder, view)
            if attempt.owned.workload.alive:
                self._slots.taken.add(attempt.owned.workload.uid)
                self._attempts.watch(attempt)
                if view.stop is not None:
                    folder.send(TERMINATE)
            self._publish(attempt)
            if not await self._is_wanted(attempt):
                await self._stop(attempt)
        self._attempts.spawn(self._follower.run())

    async def close(self) -> None:
        """Leave the processes alone."""
        if self._offers is not None:
            self._offers.cancel()
        await self._attempts.close()
        await self._fork_server.close()

    async def _is_wanted(self, attempt: Attempt) -> bool:
        """Whether its run exists."""
        try:
            document = await self._documents.read("FlowRun", attempt.owned.run)
        except Missing:
            return False
        return bool(document["metadata"].get("uid") == attempt.run_uid)

    def _observe_document(self, kind: str, document: Document, deleted: bool) -> None:
        """The processes of a deleted run are stopped, as pods are deleted with their owner."""
        if kind == "FlowRun" and deleted:
            for attempt in self._attempts.of_run(document["metadata"]["uid"]):
                self._attempts.spawn(self._stop(attempt))

    def _publish(self, attempt: Attempt) -> None:
        if not attempt.owned.workload.alive and not attempt.over:
            attempt.over = True
            self._attempts.spawn(self._follower.finish(attempt))
            self._slots.free(attempt.owned.workload.uid, monotonic())
        for observer in self._observers:
            observer(attempt.owned)

    def _offer(self, run: Name) -> None:
        if self._offers is None:
            self._offers = asyncio.get_running_loop().call_later(1.0, self._offer_again)
        for observer in self._capacity_observers:
            observer(run[0])

    def _offer_again(self) -> None:
        self._offers = None
        again = self._slots.offer_next(monotonic())
        if again is not None and self._offers is None:
            self._offers = asyncio.get_running_loop().call_later(max(again - monotonic(), 0.05), self._offer_again)

    # -- the port -----------------------------------------------------------------------------------------------------

    async def create(
        self, run: FlowRun, template: FlowTemplate, attempt: int, resumed_from: str, code: RevisionCode = NO_REVISION
    ) -> OwnedWorkload:
        """Start the process of an attempt. Raises CreateRefused; Exists if it was started before."""
        metadata, name, uid = run.metadata, names.pod_name(run.metadata.name, attempt), uuid4().hex
        if self._attempts.get((metadata.namespace, name)) is not None:
            message = f"process {metadata.namespace}/{name} exists"
            raise Exists(message)
        folder = self._store.folder(metadata.uid, attempt)
        launch = await self._launches.build(run, template, attempt, resumed_from, code, folder, uid)
        error = self._slots.take(
            uid, metadata.uid, (metadata.namespace, metadata.name), metadata.creation_timestamp or datetime.now(UTC), monotonic()
        )
        if error is not None:
            raise CreateRefused(error)
        try:
            return await self._start(folder, launch, attempt_request(run, template, attempt, launch, uid, code.revision))
        finally:
            started = self._attempts.get((metadata.namespace, name))
            if started is None or not started.owned.workload.alive:
                self._slots.free(uid, monotonic())

    async def _start(self, folder: AttemptFolder, launch: Launch, request: dict[str, Any]) -> OwnedWorkload:
        try:
            await asyncio.to_thread(self._store.create, folder, request, launch.files)
        except FileExistsError as error:
            await self._find(folder)
            message = f"process {request['namespace']}/{request['name']} exists"
            raise Exists(message) from error
        except OSError as error:
            raise CreateRefused(_refusal(error)) from error
        start = ProcessStart(folder)
        try:
            await self._fork_server.request(
                {
                    "folder": folder.path,
                    "command": launch.command,
                    "directory": launch.directory,
                    "environment": launch.environment,
                    "grace_seconds": launch.grace_seconds,
                }
            )
            outcome = await start.outcome()
        except OSError as error:
            raise CreateRefused(_refusal(error)) from error
        finally:
            start.close()
        return await self._started(folder, outcome)

    async def _started(self, folder: AttemptFolder, outcome: Outcome) -> OwnedWorkload:
        """The workload, if a supervisor has begun to serve it."""
        if outcome.begun:
            attempt = await self._find(folder)
            if attempt is not None:
                return attempt.owned
        elif await asyncio.to_thread(self._store.abandon, folder):
            if outcome.error is not None:
                raise CreateRefused(_refusal(outcome.error))
            message = "the supervisor of the process did not begin: is the machine overloaded?"
            raise Unavailable(message)
        message = f"process {folder.path} was begun by another request"
        raise Exists(message)

    async def _find(self, folder: AttemptFolder) -> Attempt | None:
        """Add and watch an attempt that a supervisor has begun to serve."""
        view = await asyncio.to_thread(self._store.view, folder)
        if view is None:
            return None
        attempt = self._attempts.add(folder, view)
        if attempt.owned.workload.alive:
            self._attempts.watch(attempt)
        self._publish(attempt)
        return attempt

    async def read(self, namespace: str, name: str) -> OwnedWorkload | None:
        """One workload; None if the name is unknown."""
        attempt = self._attempts.get((namespace, name))
        return None if attempt is None else attempt.owned

    async def stop(self, namespace: str, name: str, uid: str, *, force: bool) -> OwnedWorkload | None:
        """SIGTERM, and SIGKILL for everything after the grace period; `force`: SIGKILL now, and do not wait any longer for it."""
        attempt = self._attempts.get((namespace, name))
        if attempt is None or attempt.owned.workload.uid != uid:
            return None
        await self._stop(attempt, force=force)
        return attempt.owned

    async def _stop(self, attempt: Attempt, *, force: bool = False) -> None:
        try:
            await asyncio.to_thread(self._store.request_stop, attempt.folder, float(attempt.view.request.get("grace_seconds") or 0))
        except OSError as error:
            # Not recorded, but done: it is asked again after a restart because its run says so.
            _logger.warning("the stop of process %s/%s cannot be recorded: %s", *attempt.key, error)
        if attempt.owned.workload.alive:
            attempt.folder.send(KILL if force else TERMINATE)
        if force:
            await self._wait_for_end(attempt, _KILL_SECONDS)
            if attempt.owned.workload.alive:
                await asyncio.to_thread(self._store.give_up, attempt.folder)
        await self._attempts.refresh(attempt)

    async def _wait_for_end(self, attempt: Attempt, seconds: float) -> None:
        until = monotonic() + seconds
        while attempt.owned.workload.alive and monotonic() < until:
            await asyncio.sleep(_POLL_SECONDS)
            await self._attempts.refresh(attempt)

    async def release(self, namespace: str, name: str, uid: str) -> None:
        """Remove an ended workload whose end is recorded, and that was asked to stop or has lost its run."""
        await self.remove(namespace, name, uid)

    async def remove(self, namespace: str, name: str, uid: str) -> None:
        """Delete the folder of an ended workload."""
        attempt = self._attempts.get((namespace, name))
        if attempt is None or attempt.owned.workload.uid != uid or attempt.owned.workload.alive:
            return
        self._attempts.forget(attempt)
        await asyncio.to_thread(self._store.remove, attempt.folder)

    async def find_start_issue(self, namespace: str, workload: Workload) -> StartIssue | None:
        """None: why a process does not start is known when it is created."""

    async def copy_log(self, namespace: str, run_uid: str, workload: Workload) -> None:
        """Copy the output of its process into the run's log. Raises Missing if its folder is gone, Unavailable."""
        attempt = self._attempts.get((namespace, workload.name))
        if attempt is None:
            message = f"there is no process {namespace}/{workload.name}"
            raise Missing(message)
        await self._logs.copy(attempt.folder.path, run_uid, workload.attempt, workload.container, workload.name)

    def list_versions(self) -> list[Listed]:
        """Every workload with its version."""
        return [Listed(attempt.key, attempt.owned.version) for attempt in self._attempts]


def _refusal(error: OSError) -> CreateError:
    """Why no process can be started at present, for want of something that others may free."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return CreateError("DiskFull", f"{error}: free disk space", CRASHED, None, CreateErrorKind.TRANSIENT)
    return CreateError("NoResources", f"no process can be started: {error}", CRASHED, None, CreateErrorKind.TRANSIENT)
