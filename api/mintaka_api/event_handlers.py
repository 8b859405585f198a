"""Where informers put what they see: into the backlog of the mirror."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

from mintaka_api.row_mapping import read_deployment, read_run
from mintaka_core.errors import InvalidResource
from mintaka_history.instants import now_microseconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mintaka_api.backlog import Backlog
    from mintaka_api.metrics import Metrics

logger = logging.getLogger("mintaka.api.mirror")


class FlowRunHandler:
    """Takes in flow runs."""

    def __init__(self, backlog: Backlog, wake: Callable[[], None], stored: Callable[[], Awaitable[set[str]]], metrics: Metrics) -> None:
        """`stored` tells which runs the database thinks are in the cluster; `wake` says that there is something to write."""
        self._backlog = backlog
        self._wake = wake
        self._stored = stored
        self._metrics = metrics

    async def known(self) -> set[str]:
        """The runs thought to be in the cluster, written or not."""
        return await self._stored() | self._backlog.present_uids()

    def present(self, document: dict[str, Any]) -> None:
        """A run that is in the cluster."""
        self._take(document, None)

    def gone(self, document: dict[str, Any]) -> None:
        """The last state of a run that left the cluster."""
        self._take(document, now_microseconds())

    def vanished(self, uids: set[str]) -> None:
        """Runs that left unseen."""
        logger.info("%d flow runs left the cluster unseen", len(uids))
        for uid in uids:
            self._backlog.vanish_run(uid, now_microseconds())
        self._wake()

    def _take(self, document: dict[str, Any], gone_time: int | None) -> None:
        try:
            snapshot = read_run(document, time.monotonic())
        except InvalidResource as error:
            self._metrics.mirror_unreadable.inc()
            logger.error("flow run passed over: %s", error)  # noqa: TRY400 - the message says it all
            return
        snapshot.gone_time = gone_time
        self._backlog.add_run(snapshot)
        self._wake()


class FlowDeploymentHandler:
    """Takes in flow deployments, and remembers the tags that their runs inherit."""

    def __init__(self, backlog: Backlog, wake: Callable[[], None], stored: Callable[[], Awaitable[set[str]]], metrics: Metrics) -> None:
        """`stored` tells which deployments the database thinks are in the cluster."""
        self._backlog = backlog
        self._wake = wake
        self._stored = stored
        self._metrics = metrics
        self.tags: dict[tuple[str, str], tuple[str, ...]] = {}

    async def known(self) -> set[str]:
        """The deployments thought to be in the cluster."""
        return await self._stored()

    def present(self, document: dict[str, Any]) -> None:
        """A deployment that is in the cluster."""
        self._take(document, None)

    def gone(self, document: dict[str, Any]) -> None:
        """The last state of a deployment that left the cluster."""
        self._take(document, now_microseconds())

    def vanished(self, uids: set[str]) -> None:
        """Deployments that left unseen."""
        for uid in uids:
            self._backlog.vanish_deployment(uid, now_microseconds())
        self._wake()

    def _take(self, document: dict[str, Any], gone_time: int | None) -> None:
        try:
            deployment = read_deployment(document)
        except InvalidResource as error:
            self._metrics.mirror_unreadable.inc()
            logger.error("flow deployment passed over: %s", error)  # noqa: TRY400 - the message says it all
            return
        key = deployment.metadata.namespace, deployment.metadata.name
        if gone_time is None and deployment.spec.tags:
            self.tags[key] = deployment.spec.tags
        else:
            self.tags.pop(key, None)
        self._backlog.add_deployment(deployment, gone_time)
        self._wake()


class TombstoneHandler:
    """Takes in flow runs that left the cluster while no mirror was there to see their end."""

    def __init__(self, backlog: Backlog, wake: Callable[[], None], metrics: Metrics) -> None:
        """Tombstones are ConfigMaps whose `data.flowrun` is the last state of a FlowRun as JSON."""
        self._backlog = backlog
        self._wake = wake
        self._metrics = metrics

    async def known(self) -> set[str]:
        """Nobody misses a tombstone that is gone."""
        return set()

    def present(self, document: dict[str, Any]) -> None:
        """A tombstone; one that cannot be read is left where it is, for people to look at."""
        metadata = document["metadata"]
        try:
            run = json.loads((document.get("data") or {})["flowrun"])
            snapshot = read_run(run, time.monotonic())
            if snapshot.run.metadata.namespace != metadata["namespace"]:
                message = "it speaks of another namespace than its own"
                raise InvalidResource(message)
        except (InvalidResource, KeyError, TypeError, ValueError) as error:
            self._metrics.mirror_unreadable.inc()
            logger.error("tombstone %s/%s passed over: %s", metadata["namespace"], metadata["name"], error)  # noqa: TRY400
            return
        snapshot.gone_time = now_microseconds()
        snapshot.tombstone = (metadata["name"], metadata["uid"])
        self._backlog.add_run(snapshot)
        self._wake()

    def gone(self, document: dict[str, Any]) -> None:
        """Deleted, by us or others."""

    def vanished(self, uids: set[str]) -> None:
        """Never told, since none are known."""
