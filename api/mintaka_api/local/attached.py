"""Attaches this machine to the API: the document store, processes, and the controller between them, in the API's own loop."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from mintaka_api.background_tasks import BackgroundTask, Part
from mintaka_api.local.clock_watch import ClockWatch
from mintaka_api.local.database_lock import DatabaseLock
from mintaka_api.local.document_store import DocumentStore
from mintaka_api.local.events import LocalEventRecorder
from mintaka_api.local.inventory import LocalInventory
from mintaka_api.local.left_history import LeftHistory
from mintaka_api.local.processes.launch import Machine
from mintaka_api.local.processes.process_workloads import ProcessWorkloads
from mintaka_api.local.resources import LocalResources
from mintaka_api.local.revisions import LocalRevisions
from mintaka_api.local.rules import LocalRules
from mintaka_api.local.run_control import LocalRunControl
from mintaka_api.local.sources import LocalSources
from mintaka_api.local.telemetry import LocalTelemetry
from mintaka_api.services import LoginCodes
from mintaka_controller.context import ControllerSettings
from mintaka_controller.controller import Controller
from mintaka_controller.ports import Ports, Snapshot
from mintaka_controller.rule_cache import rule_key
from mintaka_controller.run_cache import name_of
from mintaka_core.names import RULE_KINDS
from mintaka_core.reconciling.observation import Retention

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mintaka_api.local.settings import LocalSettings
    from mintaka_api.services import Services
    from mintaka_api.settings import Settings
    from mintaka_controller.ports import Document, OwnedWorkload

logger = logging.getLogger("mintaka.server")

_AT_ONCE = timedelta(0)
_PAGE = 500


class AttachedServer(LoginCodes, Protocol):
    """What the attached parts need from the server: address, and a way to end it. `controlling` is set as soon as the controller runs."""

    url: str
    token_file: Path
    controlling: asyncio.Event

    def refuse(self, holder: str) -> None:
        """End the server, since the server `holder` has the database."""


class WallClock:
    """The wall clock of this machine: the controller's port `Clock`."""

    def now(self) -> datetime:
        """The current time."""
        return datetime.now(UTC)


@asynccontextmanager
async def attach_local(
    services: Services, settings: Settings, *, local: LocalSettings, server: AttachedServer
) -> AsyncIterator[list[BackgroundTask]]:
    """Attach this machine to `services` until the end of the block; yields its background tasks. Processes of runs outlive the block."""
    del settings
    lock = DatabaseLock(services.database, server.url, os.getpid(), server.refuse)
    store = DocumentStore(services.database, services.names)
    services.login_codes = server
    services.documents = store
    services.runs = LocalRunControl(store, services.validator)
    left = LeftHistory(local.home / "spool" / "processes", server.url, server.token_file)
    machine = Machine(sys.executable, server.url, str(server.token_file), spool_dir=str(left.folder))
    workloads = ProcessWorkloads(local.home, store, services.database, services.names, machine, local.max_processes)
    ports = Ports(
        resources=LocalResources(store),
        workloads=workloads,
        sources=LocalSources(store),
        revisions=LocalRevisions(store),
        schemas=services.validator,
        events=LocalEventRecorder(store),
        inventory=LocalInventory(store, workloads),
        telemetry=LocalTelemetry(services.metrics.registry),
        clock=WallClock(),
        rules=LocalRules(store),
    )
    watched = _Watched()
    store.subscribe(watched.observe_document)
    workloads.subscribe(watched.observe_workload)
    workloads.subscribe_capacity(watched.free_capacity)

    async def control(part: Part) -> None:
        await lock.held.wait()
        controller = watched.controller = Controller(ports, controller_settings())
        try:
            # Processes first: a run's verdict depends on its processes, so no run may be reconciled before they are known.
            await workloads.recover()
            await _list(store, controller)
            part.problem = ""
            server.controlling.set()
            await controller.run()
        finally:
            watched.controller = None

    try:
        yield [
            *([BackgroundTask(Part("database-lock", required=True), lock.run)] if services.database.is_postgresql else []),
            BackgroundTask(Part("controller", required=True, problem="it is starting"), control),
            BackgroundTask(Part("left-history"), left.run),
            BackgroundTask(Part("clock"), ClockWatch(watched.wake_all).run),
        ]
    finally:
        await workloads.close()
        await store.close()


def controller_settings() -> ControllerSettings:
    """The controller's settings: history is written with each status, so nothing waits for it, and ended workloads are removed at once."""
    return ControllerSettings(mirror_patience=_AT_ONCE, retention=Retention(completed=_AT_ONCE, failed=_AT_ONCE), local=True)


class _Watched:
    """Passes changes to the running controller; a controller that starts lists everything itself."""

    def __init__(self) -> None:
        self.controller: Controller | None = None

    def observe_document(self, kind: str, document: Document, deleted: bool) -> None:
        """A document was written or is gone."""
        controller = self.controller
        if controller is None:
            return
        key, uid = name_of(document), document["metadata"]["uid"]
        if kind in RULE_KINDS:
            controller.forget_rule(rule_key(document), uid) if deleted else controller.observe_rule(Snapshot(document))
        elif kind == "FlowRun":
            controller.forget_run(key, uid) if deleted else controller.observe_run(Snapshot(document))
        elif kind == "FlowDeployment":
            controller.forget_deployment(key, uid) if deleted else controller.observe_deployment(Snapshot(document))

    def observe_workload(self, owned: OwnedWorkload) -> None:
        """A process began, ended or is gone."""
        if self.controller is not None:
            self.controller.observe_workload(owned)

    def wake_all(self) -> None:
        """The clock was set."""
        if self.controller is not None:
            self.controller.wake_all()

    def free_capacity(self, namespace: str) -> None:
        """A run of the namespace that waited for a slot may start now."""
        if self.controller is not None:
            self.controller.free_capacity(namespace)


async def _list(store: DocumentStore, controller: Controller) -> None:
    """Observe every document, page by page."""
    # Rules before runs: no run may start that a rule holds back.
    for kind, observe in (
        *((kind, controller.observe_rule) for kind in RULE_KINDS),
        ("FlowDeployment", controller.observe_deployment),
        ("FlowRun", controller.observe_run),
    ):
        after = None
        while page := await store.list(kind, after=after, limit=_PAGE):
            for document in page:
                observe(Snapshot(document))
            after = name_of(page[-1])
            await asyncio.sleep(0)
