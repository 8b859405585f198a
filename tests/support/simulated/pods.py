"""Pods of the API server in memory: finalizers, deletion and admission as Kubernetes has them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from mintaka_controller.ports import CreateRefused, Exists, Missing, Name, OwnedWorkload
from mintaka_core import names
from mintaka_core.states import CRASHED, State
from mintaka_core.workloads import CreateError, CreateErrorKind, Phase, Workload
from simulated.events import Event

if TYPE_CHECKING:
    from mintaka_core.resources import FlowRun
    from simulated.server import Server

GRACE = timedelta(seconds=30)
_ABSENT_OWNER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as the API server has it. `final`: its deletion is complete but for its finalizer; `forced`: it was deleted without a grace
    period, so that it may live on. `resumed_from` is what it was created with.
    """

    run: Name
    owner_uid: str
    version: int
    workload: Workload
    resumed_from: str = ""
    final: bool = False
    forced: bool = False

    @property
    def owned(self) -> OwnedWorkload:
        """As the controller gets it."""
        return OwnedWorkload(self.run, self.owner_uid, self.version, self.workload)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A pod that was asked for in vain."""

    seconds: float
    namespace: str
    lane: str
    reason: str
    transient: bool


class Pods:
    """Pods by (namespace, name); `refused` are those that no capacity or webhook let through."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.by_key: dict[Name, Pod] = {}
        self.refused: list[Refusal] = []

    def of_run(self, uid: str) -> list[Pod]:
        """The pods that a run owns."""
        return [pod for pod in self.by_key.values() if pod.owner_uid == uid]

    def find(self, key: Name, uid: str) -> Pod | None:
        """The pod of that name, if it still has that uid."""
        pod = self.by_key.get(key)
        return pod if pod is not None and pod.workload.uid == uid else None

    def create(self, run: FlowRun, attempt: int, resumed_from: str, *, reports: bool, revision: str = "") -> Pod:
        """The pod of one attempt. Admission comes first, as Kubernetes has it. Raises CreateRefused, Exists."""
        metadata = run.metadata
        try:
            self._admit(metadata.namespace)
        except CreateRefused as refused:
            error, lane = refused.error, run.spec.deployment or metadata.uid
            if error.kind != CreateErrorKind.LASTING:
                transient = error.kind == CreateErrorKind.TRANSIENT
                self.refused.append(Refusal(self._server.agenda.seconds, metadata.namespace, lane, error.reason, transient))
            raise
        name = names.pod_name(metadata.name, attempt)
        if (metadata.namespace, name) in self.by_key:
            raise Exists(name)
        now = self._server.agenda.now.replace(microsecond=0)
        uid = f"pod-{self._server.next_version()}"
        workload = Workload(name, uid, attempt, Phase.PENDING, now, held=True, reports=reports, revision=revision)
        pod = self.put(Pod((metadata.namespace, metadata.name), metadata.uid, 0, workload, resumed_from))
        if not self._server.has_run(metadata.uid):
            self._server.agenda.after(_ABSENT_OWNER_SECONDS, lambda: self.collect(metadata.uid))
        return pod

    def _admit(self, namespace: str) -> None:
        rules = self._server.namespace(namespace)
        if rules.terminating:
            raise CreateRefused(CreateError("NamespaceTerminating", f"namespace {namespace} is being terminated", CRASHED))
        if rules.webhook is not None:
            raise CreateRefused(rules.webhook)
        if rules.limits:
            raise CreateRefused(CreateError("LimitRange", "must specify limits.cpu", CRASHED, None, CreateErrorKind.CAPACITY))
        used = sum(key[0] == namespace and pod.workload.alive for key, pod in self.by_key.items())
        if rules.quota is not None and used >= rules.quota:
            message = f"exceeded quota: used {used}, limited {rules.quota}"
            raise CreateRefused(CreateError("QuotaExceeded", message, CRASHED, None, CreateErrorKind.CAPACITY))

    def put(self, pod: Pod) -> Pod:
        """Write a pod: what kubelets and the control plane do."""
        pod = replace(pod, version=self._server.next_version())
        key = pod.run[0], pod.workload.name
        self.by_key[key] = pod
        self._report(key, pod.workload.uid, pod)
        return pod

    def _report(self, key: Name, uid: str, pod: Pod | None) -> None:
        self._server.report(Event("workload", key, uid, pod))

    def delete(self, key: Name, uid: str, *, force: bool = False) -> Pod | None:
        """Ask a pod to stop, or stop waiting for it; what is left of it, None if it is gone. Raises Missing."""
        pod = self.find(key, uid)
        if pod is None:
            raise Missing(str(key))
        workload, now = pod.workload, self._server.agenda.now.replace(microsecond=0)
        if workload.deleted and not force:
            return pod
        if not workload.deleted:
            workload = replace(workload, deleted=True, stopping_time=now + GRACE, ended_unasked=workload.end is not None)
        if workload.end is not None and not workload.alive:
            return self._finalize(replace(pod, workload=replace(workload, stopping_time=now)))
        if force and not pod.final:
            return self._end(replace(pod, workload=workload, forced=True), "ForceDeleted")
        if not workload.node:
            return self._end(replace(pod, workload=workload), "PodDeleted")
        return self.put(replace(pod, workload=workload))

    def _end(self, pod: Pod, reason: str) -> Pod | None:
        """Deleted without waiting for a kubelet: because none has it, or because nobody waits for it."""
        workload, now = pod.workload, self._server.agenda.now.replace(microsecond=0)
        end = workload.end or State(CRASHED, reason=reason, message="it was deleted")
        ended = replace(workload, phase=Phase.ENDED, alive=False, end=end, stopping_time=now, start_issue=None)
        return self._finalize(replace(pod, workload=ended))

    def _finalize(self, pod: Pod) -> Pod | None:
        """Its deletion is complete: it goes, unless something holds it."""
        if pod.workload.held:
            return self.put(replace(pod, final=True))
        self._remove(pod)
        return None

    def finish(self, key: Name, uid: str) -> None:
        """The kubelet saw all of a deleted pod end."""
        pod = self.find(key, uid)
        if pod is not None and pod.workload.deleted and not pod.final:
            self._finalize(pod)

    def release(self, key: Name, uid: str) -> None:
        """Take our finalizer off. Raises Missing."""
        pod = self.find(key, uid)
        if pod is None:
            raise Missing(str(key))
        if not pod.workload.held:
            return
        pod = self.put(replace(pod, workload=replace(pod.workload, held=False)))
        if pod.final:
            self._remove(pod)

    def orphan(self, key: Name) -> None:
        """Take the owner reference away, as a deletion of the run with --cascade=orphan does."""
        self.put(replace(self.by_key[key], owner_uid=""))

    def _remove(self, pod: Pod) -> None:
        key = pod.run[0], pod.workload.name
        if self.by_key.pop(key, None) is not None:
            self._report(key, pod.workload.uid, None)

    def collect(self, owner_uid: str) -> None:
        """Delete the pods of a run that is gone."""
        if self._server.has_run(owner_uid):
            return
        for pod in self.of_run(owner_uid):
            self.delete((pod.run[0], pod.workload.name), pod.workload.uid)
