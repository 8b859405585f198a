"""The event handlers of the mirror's informers: they add each event to the backlog."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mintaka_api.backlog import Backlog
from mintaka_api.row_mapping import UNREADABLE_SPEC, Inherited, inherited_from, read_deployment, read_version
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
    """The backlog as the handlers use it: `wake` starts the writer, `room` waits until the backlog is small enough for more."""

    backlog: Backlog
    wake: Callable[[], None]
    room: Callable[[], Awaitable[None]]


class FlowRunHandler:
    """Handles the flow runs of one informer."""

    def __init__(self, intake: Intake, stored: Callable[[], Awaitable[dict[str, str]]]) -> None:
        """`stored` returns the runs that are in the cluster according to the database: resource version by uid."""
        self._intake = intake
        self._stored = stored

    async def known(self) -> dict[str, str]:
        """The runs believed to be in the cluster, written or not, with their newest resource version."""
        waiting = self._intake.backlog.present()
        return waiting | await self._stored() | self._intake.backlog.present()

    async def ready(self) -> None:
        """Wait until the backlog has room."""
        await self._intake.room()

    def present(self, document: Document) -> None:
        """Add a run that is in the cluster."""
        self._intake.backlog.add_run(snapshot_of(document, time.monotonic()))
        self._intake.wake()

    def gone(self, document: Document) -> None:
        """Add the last state of a run that left the cluster."""
        self._intake.backlog.add_run(replace(snapshot_of(document, time.monotonic()), gone_time=now_microseconds()))
        self._intake.wake()

    def vanished(self, uids: Collection[str]) -> None:
        """Record runs that left the cluster without an event."""
        logger.info("%d flow runs left the cluster unseen", len(uids))
        for uid in uids:
            self._intake.backlog.vanish_run(uid, now_microseconds())
        self._intake.wake()

    def unreadable(self, found: Unreadable) -> None:
        """Mirror a run that cannot be processed with its metadata and status, but without parameters."""
        self.present(found.document)


class FlowDeploymentHandler:
    """Handles the flow deployments of one informer and records what their runs inherit."""

    def __init__(self, intake: Intake, stored: Callable[[], Awaitable[dict[str, str]]]) -> None:
        """`stored` returns the deployments that are in the cluster according to the database."""
        self._intake = intake
        self._stored = stored
        self.inherited: dict[tuple[str, str], Inherited] = {}
        #: The namespace and name of each deployment in `inherited` by its uid, and the other way round.
        self._keys: dict[str, tuple[str, str]] = {}
        self._uids: dict[tuple[str, str], str] = {}

    async def known(self) -> dict[str, str]:
        """The deployments believed to be in the cluster, without versions: each is then presented, which records what its runs inherit."""
        return dict.fromkeys(await self._stored(), "")

    async def ready(self) -> None:
        """Wait until the backlog has room."""
        await self._intake.room()

    def present(self, document: Document) -> None:
        """Add a deployment that is in the cluster."""
        self._add(document, None)

    def gone(self, document: Document) -> None:
        """Add the last state of a deployment that left the cluster."""
        self._add(document, now_microseconds())

    def vanished(self, uids: Collection[str]) -> None:
        """Record deployments that left the cluster without an event."""
        for uid in uids:
            self._forget(uid)
            self._intake.backlog.vanish_deployment(uid, now_microseconds())
        self._intake.wake()

    def unreadable(self, found: Unreadable) -> None:
        """Mirror the readable part of a deployment that cannot be processed; any parameter of its runs may be secret."""
        self._add({**found.document, "spec": {**(found.document.get("spec") or {}), **UNREADABLE_SPEC}}, None)

    def _add(self, document: Document, gone_time: int | None) -> None:
        deployment = read_deployment(document)
        metadata = deployment.metadata
        key = metadata.namespace, metadata.name
        if gone_time is None:
            self.inherited[key] = inherited_from(deployment)
            self._keys[metadata.uid], self._uids[key] = key, metadata.uid
        else:
            self._forget(metadata.uid)
        self._intake.backlog.add_deployment(deployment, gone_time)
        self._intake.wake()

    def _forget(self, uid: str) -> None:
        """Forget what runs inherit from the deployment, unless another one has its name by now."""
        key = self._keys.pop(uid, None)
        if key is not None and self._uids.get(key) == uid:
            del self._uids[key]
            self.inherited.pop(key, None)


class VersionHandler:
    """Handles the ControllerRevisions that hold the versions of flow deployments. They never change, and may be collected."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def known(self) -> dict[str, str]:
        """Nothing: all are presented, and written unless they are stored. There are few: those of unfinished runs."""
        return {}

    async def ready(self) -> None:
        """Wait until the backlog has room."""
        await self._intake.room()

    def present(self, document: Document) -> None:
        """Add a version. Raises InvalidResource if it cannot be read."""
        self._intake.backlog.add_version(read_version(document))
        self._intake.wake()

    def gone(self, document: Document) -> None:
        """Ignore the deletion: the database still has it."""

    def vanished(self, uids: Collection[str]) -> None:
        """Do nothing: none are known."""

    def unreadable(self, found: Unreadable) -> None:
        """Leave it out; the informer has logged why."""


class TombstoneHandler:
    """Handles tombstones: flow runs that left the cluster while no mirror was watching.

    A tombstone is a ConfigMap whose `data.flowrun` is the last state of a FlowRun as JSON.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def known(self) -> dict[str, str]:
        """Nothing: a tombstone that disappears needs no action."""
        return {}

    async def ready(self) -> None:
        """Wait until the backlog has room."""
        await self._intake.room()

    def present(self, document: Document) -> None:
        """Add the run of a tombstone. Raises InvalidResource if the tombstone cannot be read; it then stays for people to inspect."""
        metadata = document["metadata"]
        snapshot = snapshot_of(_run_in(document), time.monotonic())
        tombstone = metadata["namespace"], metadata["name"], metadata["uid"]
        self._intake.backlog.add_run(replace(snapshot, gone_time=now_microseconds(), tombstone=tombstone))
        self._intake.wake()

    def gone(self, document: Document) -> None:
        """Ignore the deletion, by us or by others."""

    def vanished(self, uids: Collection[str]) -> None:
        """Do nothing: none are known."""

    def unreadable(self, found: Unreadable) -> None:
        """Leave it in place; the informer has logged why."""


def _run_in(tombstone: Document) -> Document:
    try:
        run = decode(tombstone["data"]["flowrun"].encode())
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        message = f"data.flowrun of a tombstone is the JSON of a flow run: {type(error).__name__}: {error}"
        raise InvalidResource(message) from error
    return run.document if isinstance(run, Unreadable) else run
