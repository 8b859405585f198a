"""Copies of workloads' logs into their runs' logs, separate from reconciling: a slow or absent API must not delay any run.

Each attempt to release a workload requests the copy; it is retried until it succeeds, can no longer succeed, or its
deadline is over. Then the run is woken, and its reconcile releases the workload.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mintaka_controller.ports import Name, PortError, Unavailable
from mintaka_core.workloads import Workload

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_controller.ports import Ports

_logger = logging.getLogger(__name__)

_AT_ONCE = 8
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0
#: The number of cached copies of workloads that are gone: a late event must not start another copy, in vain.
_REMEMBERED = 1000


@dataclass(slots=True)
class LogCopy:
    """One copy: its run, workload and deadline. `lost` says why it cannot be made ("": it is not lost)."""

    run: Name
    run_uid: str
    workload: Workload
    until: datetime
    failures: int = 0
    done: bool = False
    lost: str = ""


class LogCopies:
    """The requested copies, by the workload's uid; `wake` is called with the run of each copy that is settled."""

    def __init__(self, ports: Ports, wake: Callable[[Name], None]) -> None:
        self._ports = ports
        self._wake = wake
        self._copies: dict[str, LogCopy] = {}
        self._made: OrderedDict[str, None] = OrderedDict()
        self._ready: asyncio.Queue[LogCopy] = asyncio.Queue()

    def request(self, run: Name, run_uid: str, workload: Workload, until: datetime) -> LogCopy:
        """The copy of a workload's log, started if it was not requested before; of several deadlines, the earliest counts."""
        if workload.uid in self._made:
            return LogCopy(run, run_uid, workload, until, done=True)
        known = self._copies.get(workload.uid)
        if known is None:
            known = self._copies[workload.uid] = LogCopy(run, run_uid, workload, until)
            self._ready.put_nowait(known)
        known.until = min(known.until, until)
        return known

    def forget(self, workload_uid: str) -> None:
        """Forget a workload that is gone."""
        known = self._copies.pop(workload_uid, None)
        if known is not None and known.done:
            self._made[workload_uid] = None
            while len(self._made) > _REMEMBERED:
                self._made.popitem(last=False)

    def __len__(self) -> int:
        return len(self._copies)

    async def run(self) -> None:
        """Copy until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(self._worker())

    async def _worker(self) -> None:
        while True:
            copy = await self._ready.get()
            if self._copies.get(copy.workload.uid) is copy:
                await self._try(copy)

    async def _try(self, copy: LogCopy) -> None:
        name = f"{copy.run[0]}/{copy.workload.name}"
        try:
            await self._ports.workloads.copy_log(copy.run[0], copy.run_uid, copy.workload)
            copy.done = True
        except Unavailable as error:
            if self._ports.clock.now() < copy.until:
                self._retry_later(copy, error.retry_after, f"the log of {name} cannot be copied yet: {error}")
                return
            copy.lost = f"the log of {name} could not be copied in time: {error}"
        except PortError as error:
            copy.lost = f"the log of {name} could not be copied: {error}"
        except Exception as error:  # a bug of ours must not keep the workload, nor end the other copies
            _logger.exception("copying the log of %s failed", name)
            copy.lost = f"the log of {name} could not be copied: {error!r}"
        self._wake(copy.run)

    def _retry_later(self, copy: LogCopy, retry_after: float | None, message: str) -> None:
        wait = min(_FIRST_WAIT_SECONDS * 2 ** min(copy.failures, 8), _LONGEST_WAIT_SECONDS)
        left = (copy.until - self._ports.clock.now()).total_seconds()
        if not copy.failures:
            _logger.warning("%s", message)
        copy.failures += 1
        asyncio.get_running_loop().call_later(min(max(wait, retry_after or 0.0), left + 0.01), self._ready.put_nowait, copy)
