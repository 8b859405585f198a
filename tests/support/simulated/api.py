"""The API of the simulation: its mirror releases finished runs that are deleted, and it takes the logs of containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_controller.ports import Missing, Unavailable
from mintaka_core.names import MIRROR_FINALIZER

if TYPE_CHECKING:
    from random import Random

    from mintaka_controller.ports import Name
    from mintaka_core.workloads import Workload
    from simulated.agenda import Agenda
    from simulated.events import Event
    from simulated.kubelet import Kubelet
    from simulated.server import Server


class Api:
    """`away`: it does not answer, and its mirror stands still. `logs` are those that it has, by (uid of the run, attempt)."""

    def __init__(self, agenda: Agenda, server: Server, kubelet: Kubelet, random: Random) -> None:
        self._agenda, self._server, self._kubelet, self._random = agenda, server, kubelet, random
        self.away = False
        self.logs: set[tuple[str, int]] = set()
        server.watchers.append(self._watch)

    def come_back(self) -> None:
        """It answers again; its mirror lists everything."""
        self.away = False
        for key in list(self._server.runs):
            self._release_soon(key)

    def _watch(self, event: Event) -> None:
        if event.kind == "run" and event.found is not None:
            self._release_soon(event.key)

    def _release_soon(self, key: Name) -> None:
        if self.away:
            return
        run = self._server.runs[key].model
        if run.metadata.deletion_timestamp is not None and run.status.is_terminal and MIRROR_FINALIZER in run.metadata.finalizers:
            version = int(run.metadata.resource_version)
            self._agenda.after(self._random.expovariate(1 / 5), lambda: self._release(key, version))

    def _release(self, key: Name, version: int) -> None:
        """It has the whole history of the run: it takes its finalizer off."""
        stored = self._server.runs.get(key)
        if self.away or stored is None or stored.version != version:
            return
        finalizers = stored.model.metadata.finalizers
        if MIRROR_FINALIZER in finalizers:
            self._server.write_finalizers(key, version, tuple(name for name in finalizers if name != MIRROR_FINALIZER))

    def copy_log(self, namespace: str, run_uid: str, workload: Workload) -> None:
        """Take the log of a pod from its kubelet. Raises Missing, Unavailable."""
        if self._server.pods.find((namespace, workload.name), workload.uid) is None or not self._kubelet.has_log(workload.uid):
            message = f"the log of {workload.name} cannot be read (request {self._random.getrandbits(32)})"
            raise Missing(message)
        if self.away:
            message = f"the API does not answer (request {self._random.getrandbits(32)})"
            raise Unavailable(message)
        self.logs.add((run_uid, workload.attempt))
