"""A controller over the document store of a local server, with fake processes that tests start and end."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from mintaka_api.local.document_store import DocumentStore
from mintaka_api.local.events import LocalEventRecorder
from mintaka_api.local.inventory import LocalInventory
from mintaka_api.local.object_metadata import key_of
from mintaka_api.local.resources import LocalResources
from mintaka_api.local.revisions import LocalRevisions
from mintaka_api.local.rules import LocalRules
from mintaka_api.local.sources import LocalSources
from mintaka_controller.context import ControllerSettings
from mintaka_controller.controller import Controller
from mintaka_controller.ports import Exists, Listed, Missing, OwnedWorkload, Ports, Snapshot
from mintaka_controller.rule_cache import rule_key
from mintaka_core import names
from mintaka_core.names import RULE_KINDS
from mintaka_core.reconciling.observation import Retention
from mintaka_core.states import COMPLETED, CRASHED, State
from mintaka_core.workloads import NO_REVISION, Phase, Workload
from mintaka_history.queries.names import Names

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_core.resources import FlowRun, FlowTemplate
    from mintaka_core.workloads import RevisionCode, StartIssue
    from mintaka_history.database import Database

_NONE = timedelta(0)


class ScriptedWorkloads:
    """Implements `Workloads` with processes that run until a test ends or stops them. They outlive the controller."""

    def __init__(self) -> None:
        self.processes: dict[tuple[str, str], OwnedWorkload] = {}
        #: The image of each attempt that was started, by the name of its process.
        self.started: dict[str, str | None] = {}
        self.observe: Callable[[OwnedWorkload], object] = lambda _owned: None
        #: Starts far from the versions of documents, by which the controller recognizes its own writes.
        self._version = 10**15

    def _put(self, owned: OwnedWorkload) -> OwnedWorkload:
        self._version += 1
        key = owned.run[0], owned.workload.name
        self.processes[key] = replace(owned, version=self._version)
        self.observe(self.processes[key])
        return self.processes[key]

    def end(self, name: str, state: State | None = None) -> None:
        """End a process, by default successfully and with a complete report."""
        ((key, owned),) = [(key, owned) for key, owned in self.processes.items() if key[1] == name]
        ended = replace(
            owned.workload,
            phase=Phase.ENDED,
            alive=False,
            ended_time=datetime.now(UTC),
            end=state or State(COMPLETED),
            exit_code=0 if state is None else 1,
            history_complete=state is None or state.type != CRASHED,
        )
        del key
        self._put(replace(owned, workload=ended))

    async def create(
        self, run: FlowRun, template: FlowTemplate, attempt: int, resumed_from: str, code: RevisionCode = NO_REVISION
    ) -> OwnedWorkload:
        """Start a process. Raises Exists."""
        del resumed_from
        name = names.pod_name(run.metadata.name, attempt)
        if (run.metadata.namespace, name) in self.processes or name in self.started:
            raise Exists(name)
        self.started[name] = template.image
        now = datetime.now(UTC)
        workload = Workload(name, str(uuid.uuid4()), attempt, Phase.PENDING, now, reports=True, revision=code.revision)
        owned = self._put(OwnedWorkload((run.metadata.namespace, run.metadata.name), run.metadata.uid, 0, workload))
        asyncio.get_running_loop().call_soon(self._begin, (run.metadata.namespace, name))
        return owned

    def _begin(self, key: tuple[str, str]) -> None:
        """Mark its code as running."""
        owned = self.processes.get(key)
        if owned is not None and owned.workload.phase == Phase.PENDING:
            self._put(replace(owned, workload=replace(owned.workload, phase=Phase.RUNNING, started_time=datetime.now(UTC))))

    async def read(self, namespace: str, name: str) -> OwnedWorkload | None:
        """One process."""
        return self.processes.get((namespace, name))

    async def stop(self, namespace: str, name: str, uid: str, *, force: bool) -> OwnedWorkload | None:
        """End it at once."""
        del uid, force
        owned = self.processes.get((namespace, name))
        if owned is None or not owned.workload.alive:
            return owned
        stopped = replace(owned.workload, stopping_time=datetime.now(UTC), deleted=True)
        self._put(replace(owned, workload=stopped))
        self.end(name, State(CRASHED, reason="Stopped", message="it was asked to stop"))
        return self.processes[namespace, name]

    async def release(self, namespace: str, name: str, uid: str) -> None:
        """Do nothing: no finalizer holds a process."""

    async def remove(self, namespace: str, name: str, uid: str) -> None:
        """Forget an ended process."""
        del uid
        self.processes.pop((namespace, name), None)

    async def find_start_issue(self, namespace: str, workload: Workload) -> StartIssue | None:
        """Nothing waits: each process starts at once."""

    async def copy_log(self, namespace: str, run_uid: str, workload: Workload) -> None:
        """There is no output."""
        del namespace, run_uid
        raise Missing(workload.name)

    def list_versions(self) -> list[Listed]:
        """Every process with its version."""
        return [Listed(key, owned.version) for key, owned in self.processes.items()]


class _Telemetry:
    """Counts failures, and ignores all other metrics."""

    def __init__(self) -> None:
        self.failures = 0

    def failed(self, kind: str) -> None:
        """Reconciling a key failed."""
        del kind
        self.failures += 1

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class _Clock:
    """The time of day."""

    def now(self) -> datetime:
        """The present instant."""
        return datetime.now(UTC)


class LocalWorld:
    """A server's controller, store and processes; `start` and `kill` may alternate, as with a server that dies and is started again."""

    def __init__(self, database: Database, **settings: Any) -> None:
        self.database = database
        self.workloads = ScriptedWorkloads()
        self.telemetry = _Telemetry()
        none = Retention(completed=_NONE, failed=_NONE)
        self._settings = ControllerSettings(**{"mirrored": False, "retention": none, **settings})
        self._running: asyncio.Task[None] | None = None
        self.store = DocumentStore(database, Names())

    async def start(self) -> None:
        """Start with the contents of the database."""
        store = self.store = DocumentStore(self.database, Names())
        ports = Ports(
            resources=LocalResources(store),
            workloads=self.workloads,
            sources=LocalSources(store),
            revisions=LocalRevisions(store),
            schemas=cast("Any", None),  # no run here has a schema
            events=LocalEventRecorder(store),
            inventory=LocalInventory(store, self.workloads),
            telemetry=self.telemetry,
            clock=_Clock(),
            rules=LocalRules(store),
        )
        controller = Controller(ports, self._settings)

        def observe(kind: str, document: dict[str, Any], deleted: bool) -> None:
            if kind == "FlowRun":
                controller.forget_run(key_of(document)) if deleted else controller.observe_run(Snapshot(document))
            elif kind in RULE_KINDS:
                controller.forget_rule(rule_key(document)) if deleted else controller.observe_rule(Snapshot(document))
            elif kind == "FlowDeployment":
                controller.forget_deployment(key_of(document)) if deleted else controller.observe_deployment(Snapshot(document))

        store.subscribe(observe)
        self.workloads.observe = controller.observe_workload
        await store.recover()
        for owned in list(self.workloads.processes.values()):
            controller.observe_workload(owned)
        for kind in (*RULE_KINDS, "FlowDeployment", "FlowRun"):
            for document in await store.list(kind):
                observe(kind, document, deleted=False)
        self._running = asyncio.create_task(controller.run())

    async def kill(self) -> None:
        """End the controller at any point; processes continue to run."""
        assert self._running is not None
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running
        self.workloads.observe = lambda _owned: None
        await self.store.close()

    async def state(self, name: str) -> str:
        """The state of a run, "" for a new one, "gone" if there is none."""
        try:
            document = await self.store.read("FlowRun", ("local", name))
        except Missing:
            return "gone"
        return str(((document.get("status") or {}).get("state") or {}).get("type", ""))

    async def until(self, name: str, *states: str) -> None:
        """Wait until a run is in one of these states."""
        await self.eventually(lambda: self._is_in(name, states), f"{name} is not {' or '.join(states)}")

    async def _is_in(self, name: str, states: tuple[str, ...]) -> bool:
        return await self.state(name) in states

    async def eventually(self, holds: Callable[[], Any], what: str, seconds: float = 30) -> None:
        """Wait until `holds` (a coroutine function) is true."""
        deadline = time.monotonic() + seconds
        while not await holds():
            assert time.monotonic() < deadline, what
            await asyncio.sleep(0.02)
