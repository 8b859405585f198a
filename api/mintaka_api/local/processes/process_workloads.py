"""Processes of flow runs: the controller's port `Workloads` on this machine."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from mintaka_api.local.processes.attempt_folder import KILL, TERMINATE
from mintaka_api.local.processes.attempt_store import AttemptStore
from mintaka_api.local.processes.attempts import Attempt, Attempts
from mintaka_api.local.processes.fork_server_client import ForkServer
from mintaka_api.local.processes.log_follower import LogFollower
from mintaka_api.local.processes.process_launches import ProcessLaunches, attempt_request
from mintaka_api.local.processes.process_slots import ProcessSlots
from mintaka_api.local.processes.process_starter import ProcessStarter
from mintaka_api.local.processes.process_view import ProcessView
from mintaka_api.local.processes.run_logs import RunLogs
from mintaka_controller.ports import CreateRefused, Exists, Listed, Missing, Unavailable
from mintaka_core import names
from mintaka_core.json_values import mapping
from mintaka_core.workloads import NO_REVISION

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mintaka_api.local.processes.attempt_folder import AttemptFolder
    from mintaka_api.local.processes.launch import Machine
    from mintaka_controller.ports import Document, Name, OwnedWorkload
    from mintaka_core.resources import FlowRun, FlowTemplate
    from mintaka_core.workloads import RevisionCode, StartIssue, Workload
    from mintaka_history.database import Database
    from mintaka_history.queries.names import Names

_logger = logging.getLogger(__name__)

#: How long a forced stop may take before the end of the process is no longer awaited.
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
        self._slots = ProcessSlots(max_processes or _cores(), self._offer)
        self._logs = RunLogs(database, names_)
        self._follower = LogFollower(self._attempts, self._logs)
        self.fork_server = ForkServer()
        self.starter = ProcessStarter(self._store, self.fork_server)
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
        """Find the attempts of an earlier server: those that still run, and the remains of the others.

        Raises OSError if it cannot be read whose attempt a folder is: its run would be started again beside it.
        """
        for folder in await asyncio.to_thread(self._store.all):
            try:
                view, whole = await asyncio.to_thread(self._store.view, folder), True
            except OSError as error:
                _logger.warning("%s cannot be read yet: %s", folder.path, error)
                view, whole = await asyncio.to_thread(self._store.request, folder), False
            if view is None:  # its removal was interrupted
                with suppress(OSError):  # the next server tries again
                    await asyncio.to_thread(self._store.remove, folder)
                continue
            attempt = self._add(folder, view)
            if not whole:
                self._attempts.spawn(self._attempts.persist(attempt, self._attempts.refresh))
            if not await self._is_wanted(attempt) or (view.stop is not None and attempt.owned.workload.alive):
                try:
                    await self._stop(attempt)
                except OSError as error:  # the others are found all the same
                    _logger.warning("the stop of process %s/%s cannot be requested yet: %s", *attempt.key, error)
                    self._attempts.spawn(self._attempts.persist(attempt, self._stop))
        self._attempts.spawn(self._follower.run())

    async def close(self) -> None:
        """Close everything but the processes."""
        if self._offers is not None:
            self._offers.cancel()
        await self._attempts.close()
        await self.fork_server.close()

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
                self._attempts.spawn(self._attempts.persist(attempt, self._stop))

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
        """Start the process of an attempt. Raises CreateRefused, Unavailable; Exists if it was started before."""
        metadata, name, uid = run.metadata, names.pod_name(run.metadata.name, attempt), uuid4().hex
        if self._attempts.get((metadata.namespace, name)) is not None:
            message = f"process {metadata.namespace}/{name} exists"
            raise Exists(message)
        folder = self._store.folder(metadata.uid, attempt)
        launch = await self._launches.build(run, template, attempt, resumed_from, code, folder, uid)
        created = metadata.creation_timestamp or datetime.now(UTC)
        error = self._slots.take(uid, metadata.uid, (metadata.namespace, metadata.name), created, monotonic(), launch.limits)
        if error is not None:
            raise CreateRefused(error)
        request = attempt_request(run, template, attempt, launch, uid, code.revision)
        try:
            began = await self.starter.start(folder, launch, request)
            found = await self._find((metadata.namespace, name), folder, ProcessView(request) if began else None)
            if began and found is not None:
                return found.owned
            message = f"process {metadata.namespace}/{name} was begun by another request"
            raise Exists(message)
        finally:
            started = self._attempts.get((metadata.namespace, name))
            if started is None or started.owned.workload.uid != uid or not started.owned.workload.alive:
                self._slots.free(uid, monotonic())

    async def _find(self, key: Name, folder: AttemptFolder, requested: ProcessView | None) -> Attempt | None:
        """Add and watch an attempt that a supervisor has begun to serve, unless it is known.

        `requested`: what its records say at least, if they cannot be read. Raises Unavailable if that is None.
        """
        view = requested
        try:
            view = await asyncio.to_thread(self._store.view, folder) or requested
        except OSError as error:
            if requested is None:
                message = f"the records of process {key[0]}/{key[1]} cannot be read: {error}"
                raise Unavailable(message) from error
        known = next((attempt for attempt in self._attempts if attempt.folder == folder), None)
        if known is not None or view is None:
            return known
        return self._add(folder, view)

    def _add(self, folder: AttemptFolder, view: ProcessView) -> Attempt:
        """Add an attempt that a supervisor has begun to serve; while it runs, it is watched and has a slot."""
        attempt = self._attempts.add(folder, view)
        if attempt.owned.workload.alive:
            self._slots.hold(attempt.owned.workload.uid, mapping(view.request.get("limits")))
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
            # Not recorded, but done: after a restart it is requested again because its run requires it.
            _logger.warning("the stop of process %s/%s cannot be recorded: %s", *attempt.key, error)
        if attempt.owned.workload.alive:
            attempt.folder.send(KILL if force else TERMINATE)
        end = None
        if force:
            await self._wait_for_end(attempt, _KILL_SECONDS)
            if attempt.owned.workload.alive:
                end = await asyncio.to_thread(self._store.give_up, attempt.folder)
        await self._attempts.refresh(attempt, end)

    async def _wait_for_end(self, attempt: Attempt, seconds: float) -> None:
        until = monotonic() + seconds
        while attempt.owned.workload.alive and monotonic() < until:
            await asyncio.sleep(_POLL_SECONDS)
            await self._attempts.refresh(attempt)

    async def release(self, namespace: str, name: str, uid: str) -> None:
        """Remove an ended workload whose end is recorded, if it was stopped on request or its run is gone."""
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

    def folder_of(self, namespace: str, name: str) -> AttemptFolder | None:
        """The folder of a workload; None if the name is unknown."""
        attempt = self._attempts.get((namespace, name))
        return None if attempt is None else attempt.folder

    def list_versions(self) -> list[Listed]:
        """Every workload with its version."""
        return [Listed(attempt.key, attempt.owned.version) for attempt in self._attempts]


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
