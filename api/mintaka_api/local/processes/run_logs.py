"""Output of processes → logs of their runs, like the logs of containers in a cluster."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mintaka_api.local.processes.output import read_output
from mintaka_controller.ports import Unavailable
from mintaka_history.database import DatabaseAway
from mintaka_history.ingest import copy_container_log
from mintaka_history.queries import flow_runs

if TYPE_CHECKING:
    from mintaka_history.database import Database
    from mintaka_history.queries.names import Names

#: The maximum size of the copied end.
LIMIT_BYTES = 1024 * 1024


class RunLogs:
    """Copies output into the database."""

    def __init__(self, database: Database, names: Names) -> None:
        self._database = database
        self._names = names

    async def copy(self, folder: str, run_uid: str, attempt: int, container: str, process: str) -> int:
        """Copy the new lines of an attempt's output; returns their number. Raises Unavailable."""
        try:
            return await self._copy(folder, run_uid, attempt, container, process)
        except DatabaseAway as error:
            raise Unavailable(str(error)) from error

    async def _copy(self, folder: str, run_uid: str, attempt: int, container: str, process: str) -> int:
        run = await self._database.read(flow_runs.key, self._names, run_uid)
        if run is None or attempt > max(run.attempt, run.reported_attempt):
            message = f"the database does not have attempt {attempt} of flow run {run_uid} yet"
            raise Unavailable(message)
        raw, truncated = await asyncio.to_thread(read_output, folder, LIMIT_BYTES)
        if not raw:
            return 0
        return await self._database.in_writer(
            copy_container_log,
            self._database,
            self._names,
            (run.no, attempt),
            container,
            raw.decode(errors="replace"),
            truncated=truncated,
            origin=f"process {process}",
        )
