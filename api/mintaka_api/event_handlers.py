"""What becomes of what the informers hear: it goes into the backlog of the mirror."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mintaka_api.backlog import Backlog
from mintaka_api.row_mapping import UNREADABLE_SPEC, Inherited, inherited_from, read_deployment
from mintaka_api.snapshots import snapshot_of
from mintaka_core.errors import InvalidResource
from mintaka_history.timestamps import now_microseconds
from mintaka_kubernetes.decoding import Unreadable, decode

if TYPE_CHECKING:
    from collections.abc import Collection

    from mintaka_kubernetes import Document

logger = logging.getLogger("mintaka.api.mirror")


@dataclass(frozen=True, slots=True)
class Intake:
    """The backlog as handlers use it: `wake` says that there is something to write, `room` waits until it is small enough for more."""

    backlog: Backlog
    wake: Callable[[], None]
    room: Callable[[], Awaitable[None]]


class FlowRunHandler:
    """Flow runs of one informer."""

    def __init__(self, intake: Intake, stored: Callable[[], Awaitable[dict[str, str]]]) -> None:
        """`stored` answers which runs the database takes to be in the cluster: resource version by uid."""
        self._intake = intake
        self._stored = stored

    async def known(self) -> dict[str, str]:
        """The runs thought to be in the cluster, written or not, in their newest version."""
        waiting = self._intake.backlog.present()
        return waiting | await self._stored() | self._intake.backlog.present()

    async def ready(self) -> None:
        """Wait until the backlog has room."""
        await self._intake.room()

    def present(self, document: Document) -> None:
        """A run that is in the cluster."""
        self._intake.backlog.add_run(snapshot_of(document, time.monotonic()))
        self._intake.wake()

    def gone(self, document: Document) -> None:
        """The last state of a run that left the cluster."""
        self._intake.backlog.add_run(replace(snapshot_of(document, time.monotonic()), gone_time=now_microseconds()))
        self._intake.wake()

    def vanished(self, uids: Collection[str]) -> None:
        """Runs that left unseen."""
        logger.info("%d flow runs left the cluster unseen", len(uids))
        for uid in uids:
            self._intake.backlog.vanish_run(uid, now_microseconds())
        self._intake.wake()

    def unreadable(self, found: Unreadable) -> None:
        """A run that cannot be processed: its metadata and status are mirrored, it has no parameters."""
        self.present(found.document)


class FlowDeploymentHandler:
    """Flow deployments of one informer, and what their runs inherit."""

    def __init__(self, intake: Intake, stored: Callable[[], Awaitable[dict[str, str]]]) -> None:
        """`stored` answers which deployments the database takes to be in the cluster."""
        self._intake = intake
        self._stored = stored
        self.inherited: dict[tuple[str, str], Inherited] = {}

    async def known(self) -> dict[str, str]:
        """The deployments thought to be in the cluster; in no version, so that each is presented and what runs inherit is known."""
        return dict.fromkeys(await self._stored(), "")

    async def ready(self) -> None:
        """Wait until the backlog has room."""
        await self._intake.room()

    def present(self, document: Document) -> None:
        """A deployment that is in the cluster."""
        self._add(document, None)

    def gone(self, document: Document) -> None:
        """The last state of a deployment that left the cluster."""
        self._add(document, now_microseconds())

    def vanished(self, uids: Collection[str]) -> None:
        """Deployments that left unseen."""
        for uid in uids:
            self._intake.backlog.vanish_deployment(uid, now_microseconds())
        self._intake.wake()

    def unreadable(self, found: Unreadable) -> None:
        """A deployment that cannot be processed: what of it can be read is mirrored; any parameter of its runs may be secret."""
        self._add({**found.document, "spec": {**(found.document.get("spec") or {}), **UNREADABLE_SPEC}}, None)

    def _add(self, document: Document, gone_time: int | None) -> None:
        deployment = read_deployment(document)
        key = deployment.metadata.namespace, deployment.metadata.name
        if gone_time is None:
            self.inherited[key] = inherited_from(deployment)
        else:
            self.inherited.pop(key, None)
        self._intake.backlog.add_deployment(deployment, gone_time)
        self._intake.wake()


class TombstoneHandler:
    """Flow runs that left the cluster while no mirror saw their end.

    Tombstones are ConfigMaps whose `data.flowrun` is the last state of a FlowRun as JSON.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def known(self) -> dict[str, str]:
        """No tombstone is missed when it is gone."""
        return {}

    async def ready(self) -> None:
        """Wait until the backlog has room."""
        await self._intake.room()

    def present(self, document: Document) -> None:
        """A tombstone. One that cannot be read raises InvalidResource, and is left for people to look at."""
        metadata = document["metadata"]
        snapshot = snapshot_of(_run_in(document), time.monotonic())
        tombstone = metadata["namespace"], metadata["name"], metadata["uid"]
        self._intake.backlog.add_run(replace(snapshot, gone_time=now_microseconds(), tombstone=tombstone))
        self._intake.wake()

    def gone(self, document: Document) -> None:
        """Deleted, by us or others."""

    def vanished(self, uids: Collection[str]) -> None:
        """None are known."""

    def unreadable(self, found: Unreadable) -> None:
        """It stays; the informer has logged why."""


def _run_in(tombstone: Document) -> Document:
    try:
        run = decode(tombstone["data"]["flowrun"].encode())
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        message = f"data.flowrun of a tombstone is the JSON of a flow run: {type(error).__name__}: {error}"
        raise InvalidResource(message) from error
    return run.document if isinstance(run, Unreadable) else run
