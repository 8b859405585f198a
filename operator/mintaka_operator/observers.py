"""Event handlers that pass informer events to the controller: flow runs, pods, and objects that limit the number of pods."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mintaka_controller.run_cache import name_of
from mintaka_operator.kubernetes_resources import snapshot_of
from mintaka_operator.kubernetes_workloads import owned_workload

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from mintaka_controller.controller import Controller
    from mintaka_controller.ports import Document, Name, Snapshot
    from mintaka_kubernetes.decoding import Unreadable

#: Changes of a quota within this time wake the waiting runs of its namespace once.
_CAPACITY_SECONDS = 0.2


class FlowRunHandler:
    """Flow runs of one namespace (None: of all)."""

    def __init__(self, controller: Controller, namespace: str | None) -> None:
        self._controller = controller
        self._namespace = namespace
        self._names: dict[str, Name] = {}

    async def known(self) -> dict[str, str]:
        """Versions of the runs that the controller knows, by uid."""
        runs = self._controller.context.runs
        entries = [(key, runs.get(key)) for key in runs.names() if self._namespace in {None, key[0]}]
        self._names = {entry.uid: key for key, entry in entries if entry}
        return {entry.uid: str(entry.version) for _, entry in entries if entry}

    async def ready(self) -> None:
        """Never wait: the caches are unbounded."""

    def present(self, document: Document) -> None:
        """Observe a run."""
        self._observe(snapshot_of(document))

    def unreadable(self, found: Unreadable) -> None:
        """Observe a run that cannot be processed: its first reconcile ends it with the reason."""
        self._observe(snapshot_of(found))

    def _observe(self, snapshot: Snapshot) -> None:
        self._controller.observe_run(snapshot)

    def gone(self, document: Document) -> None:
        """Forget a run."""
        self._controller.forget_run(name_of(document), document["metadata"].get("uid"))

    def vanished(self, uids: Collection[str]) -> None:
        """Forget runs that were deleted without an event."""
        for uid in uids:
            self._controller.forget_run(self._names[uid], uid)


class PodHandler:
    """Pods of flow runs of one namespace (None: of all)."""

    def __init__(self, controller: Controller, namespace: str | None, is_gone: Callable[[str], bool]) -> None:
        self._controller = controller
        self._namespace = namespace
        self._is_gone = is_gone
        self._names: dict[str, Name] = {}

    async def known(self) -> dict[str, str]:
        """Versions of the pods that the controller knows and a list shows, by uid."""
        pods = self._controller.context.workloads
        entries = [(key, pods.get(key)) for key in pods.names() if self._namespace in {None, key[0]}]
        self._names = {owned.workload.uid: key for key, owned in entries if owned and owned.watched}
        return {owned.workload.uid: str(owned.version) for _, owned in entries if owned and owned.watched}

    async def ready(self) -> None:
        """Never wait: the caches are unbounded."""

    def present(self, document: Document) -> None:
        """Observe a pod; one that no longer belongs to a flow run is forgotten."""
        owned = owned_workload(document, self._is_gone)
        if owned is None:
            self._controller.forget_workload(name_of(document), document["metadata"].get("uid"))
        else:
            self._controller.observe_workload(owned)

    def unreadable(self, found: Unreadable) -> None:
        """A pod without identity, which no API server stores; the informer has logged it."""

    def gone(self, document: Document) -> None:
        """Handle a pod that was deleted, or that has lost our label: the event is the same."""
        self._controller.lose_workload(name_of(document), document["metadata"].get("uid"))

    def vanished(self, uids: Collection[str]) -> None:
        """Handle pods that were deleted, or have lost our label, without an event."""
        for uid in uids:
            self._controller.lose_workload(self._names[uid], uid)


class CapacityHandler:
    """ResourceQuotas or LimitRanges: when one changes, runs that wait for capacity retry."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._soon: set[str] = set()

    async def known(self) -> dict[str, str]:
        """Nothing is stored."""
        return {}

    async def ready(self) -> None:
        """Nothing is stored."""

    def present(self, document: Document) -> None:
        """Wake the namespace's runs: the object was created or changed."""
        self._wake(document["metadata"].get("namespace", ""))

    def gone(self, document: Document) -> None:
        """Wake the namespace's runs: the object no longer limits them."""
        self._wake(document["metadata"].get("namespace", ""))

    def vanished(self, uids: Collection[str]) -> None:
        """Never called: nothing is known."""

    def unreadable(self, found: Unreadable) -> None:
        """Wake the namespace's runs: the object was created or changed."""
        self._wake(found.document["metadata"].get("namespace", ""))

    def _wake(self, namespace: str) -> None:
        if namespace not in self._soon:
            self._soon.add(namespace)
            asyncio.get_running_loop().call_later(_CAPACITY_SECONDS, self._free, namespace)

    def _free(self, namespace: str) -> None:
        self._soon.discard(namespace)
        self._controller.free_capacity(namespace)
