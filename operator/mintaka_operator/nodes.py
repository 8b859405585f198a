"""Nodes that are gone: pods bound to them have ended, whatever their status says.

A Node that does not exist any more, or is tainted out-of-service by an administrator, runs nothing that could still report
(Kubernetes, "Non-graceful node shutdown"). A missing Node is always confirmed by a read: the watch of pods may be ahead of
that of nodes.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mintaka_kubernetes.resources import NODES
from mintaka_operator.cluster import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from mintaka_controller.ports import Document
    from mintaka_kubernetes.decoding import Unreadable
    from mintaka_operator.cluster import Cluster

_logger = logging.getLogger(__name__)

_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_NOT_FOUND = 404
_RETRY_SECONDS = 5.0
#: How long a gone node is remembered although no known pod is bound to it: the event of such a pod may be late. Autoscalers remove
#: thousands of nodes a month, each with a name of its own.
_REMEMBERED_SECONDS = 3600.0


class Nodes:
    """Handles the events of a node informer; `lost` is called with the name of each node that turns out to be gone.

    `bound` returns the names of the nodes that known pods are bound to.
    """

    def __init__(self, cluster: Cluster, lost: Callable[[str], None], bound: Callable[[], Collection[str]]) -> None:
        self._cluster = cluster
        self._lost = lost
        self._bound = bound
        self._versions: dict[str, str] = {}
        self._names: dict[str, str] = {}
        #: Gone nodes, and when that was confirmed.
        self._gone: dict[str, float] = {}
        self._checks: dict[str, asyncio.Task[None]] = {}

    def is_gone(self, name: str) -> bool:
        """True for a node that is known to be gone."""
        return name in self._gone

    def check(self, names: Collection[str]) -> None:
        """Check nodes that pods are bound to and no list has shown."""
        present = set(self._names.values())
        for name in names:
            if name and name not in present and name not in self._gone:
                self._confirm(name)

    async def known(self) -> dict[str, str]:
        """Versions of the nodes, by uid."""
        return dict(self._versions)

    async def ready(self) -> None:
        """Never wait: there are few nodes."""

    def present(self, document: Document) -> None:
        """A node exists: it may have come back, or may now be out of service."""
        metadata = document["metadata"]
        self._versions[metadata["uid"]], self._names[metadata["uid"]] = metadata["resourceVersion"], metadata["name"]
        if _is_out_of_service(document):
            self._confirm(metadata["name"])
        else:
            self._gone.pop(metadata["name"], None)

    def gone(self, document: Document) -> None:
        """A node was deleted."""
        self.vanished([document["metadata"]["uid"]])

    def vanished(self, uids: Collection[str]) -> None:
        """Nodes were deleted without an event."""
        for uid in uids:
            self._versions.pop(uid, None)
            if name := self._names.pop(uid, None):
                self._confirm(name)

    def unreadable(self, found: Unreadable) -> None:
        """A node that cannot be read exists."""

    def _confirm(self, name: str) -> None:
        if name not in self._checks and name not in self._gone:
            self._checks[name] = asyncio.get_running_loop().create_task(self._ask(name))

    async def _ask(self, name: str) -> None:
        """Read a node until the API server has answered."""
        try:
            while (gone := await self._is_gone_now(name)) is None:  # noqa: ASYNC110 - the API server calls no one back
                await asyncio.sleep(_RETRY_SECONDS)
        finally:
            del self._checks[name]
        if gone:
            _logger.warning("node %s is gone: the pods on it have ended", name)
            self._forget_unnamed()
            self._gone[name] = asyncio.get_running_loop().time()
            self._lost(name)

    def _forget_unnamed(self) -> None:
        """Forget nodes that went long ago and that no known pod is bound to."""
        long_ago = asyncio.get_running_loop().time() - _REMEMBERED_SECONDS
        bound = self._bound()
        self._gone = {name: time for name, time in self._gone.items() if time > long_ago or name in bound}

    async def _is_gone_now(self, name: str) -> bool | None:
        """None if the API server did not answer."""
        try:
            return _is_out_of_service(await self._cluster.get(NODES.path(None, name)))
        except ApiError as error:
            return True if error.code == _NOT_FOUND else None

    def close(self) -> None:
        """Stop all checks."""
        for task in self._checks.values():
            task.cancel()


def _is_out_of_service(node: Document) -> bool:
    return any(taint.get("key") == _OUT_OF_SERVICE for taint in (node.get("spec") or {}).get("taints") or [])
