"""Records warnings about resources on the local server: the controller's port `EventRecorder`.

A cluster has Events for this. Here transitions are in the history already, and in the log of the controller; warnings are logged, and those
about a flow run are stored as events of the run.
"""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

from mintaka_api.queries import run_warnings
from mintaka_core.reports import storable
from mintaka_core.run_ids import flow_run_id
from mintaka_history.database import DatabaseAway, DatabaseRefusal
from mintaka_history.timestamps import now_microseconds

if TYPE_CHECKING:
    from mintaka_api.local.document_store import DocumentStore
    from mintaka_core.resources import FlowDeployment, FlowRun
    from mintaka_core.resources.runs import TransitionStatus

logger = logging.getLogger("mintaka.server")

_NAME_LIMIT, _MESSAGE_LIMIT = 200, 4096
#: Warnings that have been logged, so that each is logged once.
_REMEMBERED = 1000


class LocalEventRecorder:
    """Records warnings, each once as long as it is remembered."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self._recorded: set[uuid.UUID] = set()

    async def record_transition(self, run: FlowRun, transition: TransitionStatus) -> None:
        """Record nothing: the transaction that wrote the status has written the decision to the history."""

    async def record_warning(self, resource: FlowRun | FlowDeployment, reason: str, message: str) -> None:
        """Log a warning about a resource; for a flow run it is stored as an event too."""
        metadata = resource.metadata
        identity = uuid.uuid5(flow_run_id(metadata.uid), f"{reason}/{message}")
        if identity in self._recorded:
            return
        if len(self._recorded) >= _REMEMBERED:
            self._recorded.clear()
        self._recorded.add(identity)
        name = f"{resource.kind} {metadata.namespace}/{metadata.name}"
        logger.warning("%s: %s: %s", name, reason, message)
        if resource.kind != "FlowRun":
            return
        event = storable(reason)[:_NAME_LIMIT], name, storable(message)[:_MESSAGE_LIMIT]
        try:
            await self._store.database.write(run_warnings.record_warning, metadata.uid, str(identity), now_microseconds(), event)
        except (DatabaseAway, DatabaseRefusal) as error:
            logger.warning("%s: this warning is only in the log: %s", name, error)
