"""Copies the output of processes into their runs' logs: of commands while they run, of flows that delivered no log when they ended.

A flow's own log is delivered by the SDK. The controller copies once more before a workload is removed, which adds nothing then.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from mintaka_api.local.processes.attempt_folder import COPIED
from mintaka_api.local.processes.output import output_size
from mintaka_controller.ports import PortError
from mintaka_core.reconciling.cleanup import needs_log_copy

if TYPE_CHECKING:
    from mintaka_api.local.processes.attempts import Attempt, Attempts
    from mintaka_api.local.processes.run_logs import RunLogs

_logger = logging.getLogger(__name__)

_INTERVAL_SECONDS = 1.0
#: Copying uses at most one part in so many of the time, and of a database that writers share.
_SHARE = 10
#: How many times the end of a log is tried: the database may not have the attempt yet.
_TRIES = 30


class LogFollower:
    """Follows the output of all attempts."""

    def __init__(self, attempts: Attempts, logs: RunLogs) -> None:
        self._attempts = attempts
        self._logs = logs
        self._copied: dict[str, tuple[int, int]] = {}
        #: The uids of the workloads whose fault is logged already.
        self._faulty: set[str] = set()

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            began = monotonic()
            for attempt in self._attempts:
                if not attempt.view.reports and attempt.owned.workload.alive:
                    await self._copy_new(attempt)
            await asyncio.sleep(max(_INTERVAL_SECONDS, _SHARE * (monotonic() - began)))

    async def finish(self, attempt: Attempt) -> None:
        """Copy what an ended attempt printed, if its run's log does not have it."""
        workload = attempt.owned.workload
        if not needs_log_copy(workload) or _is_copied(attempt):
            return
        for _ in range(_TRIES):
            if self._attempts.get(attempt.key) is not attempt:
                break
            if await self._copy_new(attempt):
                with suppress(OSError):  # if this fails, it is copied again after a restart
                    attempt.folder.write(COPIED, {}, durable=False)
                break
            await asyncio.sleep(_INTERVAL_SECONDS)
        self._copied.pop(workload.uid, None)
        self._faulty.discard(workload.uid)

    async def _copy_new(self, attempt: Attempt) -> bool:
        """Copy if there is more than before; False if that failed."""
        workload = attempt.owned.workload
        try:
            size = output_size(attempt.folder.path)
            if size in {(0, 0), self._copied.get(workload.uid)}:
                return True
            await self._logs.copy(attempt.folder.path, attempt.run_uid, workload.attempt, workload.container, workload.name)
        except PortError as error:
            _logger.debug("the output of process %s/%s cannot be copied yet: %s", *attempt.key, error)
            return False
        except Exception as error:  # an error with one log must not prevent the copying of the others
            if workload.uid not in self._faulty:
                self._faulty.add(workload.uid)
                trace = None if isinstance(error, OSError) else error
                _logger.warning("the output of process %s/%s cannot be copied yet: %s", *attempt.key, error, exc_info=trace)
            return False
        self._copied[workload.uid] = size
        self._faulty.discard(workload.uid)
        return True


def _is_copied(attempt: Attempt) -> bool:
    """False also if that cannot be read: copying again adds nothing."""
    try:
        return attempt.folder.read(COPIED) is not None
    except OSError:
        return False
