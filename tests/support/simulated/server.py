"""An API server in memory, as far as runs and pods need one.

Every write gets a higher resource version and is told to whoever watches; writes carry preconditions and meet conflicts;
deletion waits for finalizers; the pods of a run that is gone are collected. It is the truth of the simulation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from mintaka_core import names
from mintaka_core.workloads import Phase, Workload

if TYPE_CHECKING:
    from mintaka_core.resources import FlowRun
    from mintaka_core.resources.model import Metadata
    from mintaka_core.resources.runs import FlowRunSpec, FlowRunStatus
    from simulated.agenda import Agenda

GRACE = timedelta(seconds=30)
_COLLECTION_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as the API server has it: whose it is, which version, and what can be read off it."""

    owner_uid: str
    version: int
    workload: Workload


class Refused(Exception):
    """The API server does not do it."""


class Conflict(Refused):
    """The object is not the one it was decided from."""


class Exists(Refused):
    """There is an object of that name."""


class Missing(Refused):
    """There is no such object."""


class OverQuota(Refused):
    """There is no room for another pod."""


type Watcher = Callable[[str, str, FlowRun | Pod | None], None]


class Server:
    """Objects, versions, watchers. `quota` False means that no pod can be created."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._version = 0
        self.runs: dict[str, FlowRun] = {}
        self.pods: dict[str, Pod] = {}
        self.watchers: list[Watcher] = []
        self.quota = True

    # Runs.

    def create_run(self, run: FlowRun) -> FlowRun:
        """A new run."""
        if run.metadata.name in self.runs:
            raise Exists
        return self._put_run(run)

    def change_spec(self, name: str, change: Callable[[FlowRunSpec], FlowRunSpec]) -> None:
        """What a user does; the generation counts it."""
        run = self.runs[name]
        spec = change(run.spec)
        if spec != run.spec:
            metadata = run.metadata.model_copy(update={"generation": run.metadata.generation + 1})
            self._put_run(run.model_copy(update={"spec": spec, "metadata": metadata}))

    def write_status(self, name: str, version: int, status: FlowRunStatus) -> FlowRun:
        """Where the run still is of that version."""
        return self._put_run(self._checked(name, version).model_copy(update={"status": status}))

    def set_finalizers(self, name: str, version: int, finalizers: tuple[str, ...]) -> FlowRun | None:
        """Where the run still is of that version; None where that let it go."""
        run = self._checked(name, version)
        metadata = run.metadata.model_copy(update={"finalizers": finalizers})
        if metadata.deletion_timestamp is not None and not finalizers:
            self._vanish(name)
            return None
        return self._put_run(run.model_copy(update={"metadata": metadata}))

    def delete_run(self, name: str, uid: str, version: int | None = None) -> FlowRun | None:
        """Mark it, or let it go where nothing holds it; where it still is of that version (None: whichever it is)."""
        run = self.runs.get(name)
        if run is None or run.metadata.uid != uid:
            raise Missing
        if version is not None and int(run.metadata.resource_version) != version:
            raise Conflict
        if not run.metadata.finalizers:
            self._vanish(name)
            return None
        if run.metadata.deletion_timestamp is not None:
            return run
        metadata = run.metadata.model_copy(update={"deletion_timestamp": self._agenda.now, "generation": run.metadata.generation + 1})
        return self._put_run(run.model_copy(update={"metadata": metadata}))

    def _checked(self, name: str, version: int) -> FlowRun:
        run = self.runs.get(name)
        if run is None:
            raise Missing
        if int(run.metadata.resource_version) != version:
            raise Conflict
        return run

    def _put_run(self, run: FlowRun) -> FlowRun:
        self._version += 1
        metadata: Metadata = run.metadata.model_copy(update={"resource_version": str(self._version)})
        run = run.model_copy(update={"metadata": metadata})
        self.runs[run.metadata.name] = run
        self._tell("run", run.metadata.name, run)
        return run

    def _vanish(self, name: str) -> None:
        run = self.runs.pop(name)
        self._tell("run", name, None)
        self._agenda.after(_COLLECTION_SECONDS, lambda: self._collect(run.metadata.uid))

    def _collect(self, uid: str) -> None:
        for name, pod in list(self.pods.items()):
            if pod.owner_uid == uid:
                self.delete_pod(name, pod.workload.uid)

    # Pods.

    def create_pod(self, run: FlowRun, attempt: int) -> Pod:
        """The pod of one attempt."""
        name = names.pod_name(run.metadata.name, attempt)
        if name in self.pods:
            raise Exists
        if not self.quota:
            raise OverQuota
        return self.put_pod(name, run.metadata.uid, Workload(name, f"pod-{self._version + 1}", attempt, Phase.PENDING, self._agenda.now))

    def put_pod(self, name: str, owner_uid: str, workload: Workload) -> Pod:
        """What a kubelet writes."""
        self._version += 1
        pod = Pod(owner_uid, self._version, workload)
        self.pods[name] = pod
        self._tell("pod", name, pod)
        return pod

    def delete_pod(self, name: str, uid: str, *, force: bool = False) -> Pod | None:
        """Ask it to stop, or forget it at once; None where it is gone."""
        pod = self.pods.get(name)
        if pod is None or pod.workload.uid != uid:
            raise Missing
        if force:
            self.remove_pod(name, uid)
            return None
        if pod.workload.stopping_time is not None:
            return pod
        return self.put_pod(name, pod.owner_uid, replace(pod.workload, stopping_time=self._agenda.now + GRACE))

    def remove_pod(self, name: str, uid: str) -> None:
        """It is gone, if it still is that one."""
        pod = self.pods.get(name)
        if pod is not None and pod.workload.uid == uid:
            del self.pods[name]
            self._tell("pod", name, None)

    def _tell(self, kind: str, name: str, found: FlowRun | Pod | None) -> None:
        for watcher in tuple(self.watchers):
            watcher(kind, name, found)
