"""Processes of runs without a server: the port `Workloads` over a store of documents in memory."""

from __future__ import annotations

import asyncio
import sys
import uuid
from typing import TYPE_CHECKING, Any, Self, cast

from mintaka_api.local.processes.launch import Machine
from mintaka_api.local.processes.process_workloads import ProcessWorkloads
from mintaka_controller.ports import CreateRefused, Missing
from mintaka_core.resources import FlowRun

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mintaka_controller.ports import Document, Name, OwnedWorkload
    from mintaka_core.workloads import CreateError, Workload
    from mintaka_history.database import Database
    from mintaka_history.queries.names import Names

CREATED = "2026-03-04T05:00:00Z"


def flow_run(name: str = "run", uid: str = "", created: str = CREATED, spec: dict[str, Any] | None = None, **template: Any) -> FlowRun:
    """A run with a template of its own."""
    metadata = {"name": name, "namespace": "local", "uid": uid or str(uuid.uuid4()), "creationTimestamp": created, "resourceVersion": "1"}
    return FlowRun.model_validate({"metadata": metadata, "spec": {"template": template, **(spec or {})}})


def command(*words: str, grace: int = 1, **container: Any) -> dict[str, Any]:
    """A template without an entrypoint."""
    spec = {"terminationGracePeriodSeconds": grace, "containers": [{"name": "flow", "command": list(words), **container}]}
    return {"podTemplate": {"spec": spec}}


def shell(script: str, grace: int = 1, **container: Any) -> dict[str, Any]:
    """A template that runs a script of sh(1)."""
    return command("sh", "-c", script, grace=grace, **container)


def python(script: str, grace: int = 1) -> dict[str, Any]:
    """A template that runs a Python program without our SDK."""
    return command(sys.executable, "-S", "-E", "-c", script, grace=grace)


def flow(source: str, grace: int = 2, **template: Any) -> dict[str, Any]:
    """A template that runs the flow `main` of an inline source."""
    return {
        "entrypoint": "flow.py:main",
        "source": {"inline": source},
        "podTemplate": {"spec": {"terminationGracePeriodSeconds": grace}},
        **template,
    }


class MemoryDocuments:
    """Documents by kind and key."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, Name], Document] = {}
        self._callbacks: list[Callable[[str, Document, bool], None]] = []

    def put(self, run: FlowRun) -> None:
        """Store a run."""
        self.documents["FlowRun", (run.metadata.namespace, run.metadata.name)] = run.to_wire()

    def delete(self, run: FlowRun) -> None:
        """Delete a run."""
        document = self.documents.pop(("FlowRun", (run.metadata.namespace, run.metadata.name)))
        for callback in self._callbacks:
            callback("FlowRun", document, True)  # noqa: FBT003 - as the store calls it

    async def read(self, kind: str, key: Name) -> Document:
        """One document."""
        try:
            return self.documents[kind, key]
        except KeyError:
            raise Missing("/".join(key)) from None

    def subscribe(self, callback: Callable[[str, Document, bool], None]) -> None:
        """Have `callback` called with what is deleted."""
        self._callbacks.append(callback)


class NoDatabase:
    """A database without runs."""

    async def read(self, *_: Any) -> None:
        """There are no runs."""


class ProcessWorld:
    """Processes under `home`; use it as an asynchronous context manager. `documents` may be those of an earlier world."""

    def __init__(
        self,
        home: Path,
        *,
        documents: MemoryDocuments | None = None,
        database: Database | None = None,
        names: Names | None = None,
        max_processes: int = 100,
        machine: Machine | None = None,
    ) -> None:
        self.documents = documents or MemoryDocuments()
        self._machine = machine or Machine(sys.executable)
        self.workloads = ProcessWorkloads(
            home, self.documents, database or cast("Database", NoDatabase()), cast("Names", names), self._machine, max_processes
        )
        self.offered: list[str] = []
        self._changed = asyncio.Event()
        self.workloads.subscribe(lambda _: self._changed.set())
        self.workloads.subscribe_capacity(self.offered.append)

    async def __aenter__(self) -> Self:
        """Find existing processes."""
        await self.workloads.recover()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave the processes alone."""
        await self.workloads.close()

    async def create(self, run: FlowRun, attempt: int = 1) -> OwnedWorkload:
        """Store a run and start an attempt of it."""
        self.documents.put(run)
        assert run.spec.template is not None
        return await self.workloads.create(run, run.spec.template, attempt, "")

    async def refusal(self, run: FlowRun) -> CreateError:
        """The reason why an attempt cannot be started."""
        try:
            await self.create(run)
        except CreateRefused as refused:
            return refused.error
        raise AssertionError(run.metadata.name)

    async def until(self, owned: OwnedWorkload, holds: Callable[[Workload], bool], seconds: float = 60) -> Workload:
        """Wait until a condition holds for the workload, and return it."""
        async with asyncio.timeout(seconds):
            while True:
                self._changed.clear()
                found = await self.workloads.read(owned.run[0], owned.workload.name)
                assert found is not None
                if holds(found.workload):
                    return found.workload
                await self._changed.wait()

    async def end(self, owned: OwnedWorkload, seconds: float = 60) -> Workload:
        """Wait until the workload has ended, and return it."""
        return await self.until(owned, lambda workload: not workload.alive, seconds)

    async def run(self, seconds: float = 60, **template: Any) -> Workload:
        """Run a template to its end."""
        return await self.end(await self.create(flow_run(f"run-{uuid.uuid4().hex[:8]}", **template)), seconds)

    async def stop(self, owned: OwnedWorkload, *, force: bool = False) -> None:
        """Stop a workload."""
        await self.workloads.stop(owned.run[0], owned.workload.name, owned.workload.uid, force=force)


async def eventually[T](look: Callable[[], T], good: Callable[[T], bool], seconds: float = 30) -> T:
    """Call `look` until its result satisfies the condition, and return the result."""
    async with asyncio.timeout(seconds):
        while True:
            if good(seen := look()):
                return seen
            await asyncio.sleep(0.02)


def living(pids: list[int]) -> list[int]:
    """The processes that are alive."""
    import psutil  # noqa: PLC0415 - only here

    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found
