"""Copies of workloads' logs into their runs' logs, separate from reconciling: a slow or absent API must not delay any run.

Each attempt to release a workload requests the copy; it is retried until it succeeds, can no longer succeed, or its
deadline is over. Then the run is woken, and its reconcile releases the workload.

Copies wait in one queue per node, and a worker serves one node at a time: a kubelet that serves many large logs at once is
slow to start pods, and one that does not answer would occupy all workers. Such a node is retried with growing waits, by
workers of its own, so that it delays no other node; meanwhile its copies are lost at their deadlines.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from mintaka_controller.ports import Name, NodeUnavailable, PortError, Unavailable
from mintaka_core.workloads import Workload

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_controller.ports import Ports

_logger = logging.getLogger(__name__)

_AT_ONCE = 8
#: Workers for nodes that did not answer the last time.
_AT_ONCE_FOR_SILENT_NODES = 2
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0
_LONGEST_ASKED_FOR_SECONDS = 120.0
#: The number of cached copies of workloads that are gone: a late event must not start another copy.
_REMEMBERED = 1000


@dataclass(slots=True)
class LogCopy:
    """One copy: its run, workload and deadline. `lost` says why it cannot be made ("": it is not lost).

    `late`: the deadline was over when it was requested, as after an absence; then it is tried once. `error` is why it failed last.
    """

    run: Name
    run_uid: str
    workload: Workload
    until: datetime
    failures: int = 0
    done: bool = False
    lost: str = ""
    late: bool = False
    error: str = ""

    @property
    def name(self) -> str:
        """The workload's namespace and name."""
        return f"{self.run[0]}/{self.workload.name}"


@dataclass(slots=True, eq=False)
class _Node:
    """The copies that wait for one node. It is retried at `next_time` of the event loop's clock."""

    name: str
    waiting: deque[LogCopy] = field(default_factory=deque)
    #: How many times in a row it did not answer.
    silent: int = 0
    next_time: float = 0.0
    #: A worker serves it, or will.
    queued: bool = False
    timer: asyncio.TimerHandle | None = None


class LogCopies:
    """The requested copies, by the workload's uid; `wake` is called with the run of each copy that is settled."""

    def __init__(self, ports: Ports, wake: Callable[[Name], None]) -> None:
        self._ports = ports
        self._wake = wake
        self._copies: dict[str, LogCopy] = {}
        self._made: OrderedDict[str, None] = OrderedDict()
        self._nodes: dict[str, _Node] = {}
        self._turns: asyncio.Queue[_Node] = asyncio.Queue()
        self._silent_turns: asyncio.Queue[_Node] = asyncio.Queue()

    def request(self, run: Name, run_uid: str, workload: Workload, until: datetime) -> LogCopy:
        """The copy of a workload's log, started if it was not requested before; of several deadlines, the earliest counts."""
        if workload.uid in self._made:
            return LogCopy(run, run_uid, workload, until, done=True)
        known = self._copies.get(workload.uid)
        if known is None:
            late = until <= self._ports.clock.now()
            known = self._copies[workload.uid] = LogCopy(run, run_uid, workload, until, late=late)
            self._add(known)
        elif until < known.until:
            known.until = until
            if (node := self._nodes.get(_node_of(known))) is not None:
                self._schedule(node)
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
            for turns, workers in ((self._turns, _AT_ONCE), (self._silent_turns, _AT_ONCE_FOR_SILENT_NODES)):
                for _ in range(workers):
                    group.create_task(self._worker(turns))

    async def _worker(self, turns: asyncio.Queue[_Node]) -> None:
        while True:
            node = await turns.get()
            copy = self._next(node)
            if copy is not None:
                await self._try(node, copy)
            node.queued = False
            self._schedule(node)

    # -- the nodes ----------------------------------------------------------------------------------------------------

    def _add(self, copy: LogCopy) -> None:
        name = _node_of(copy)
        node = self._nodes.setdefault(name, _Node(name))
        node.waiting.append(copy)
        self._schedule(node)

    def _schedule(self, node: _Node) -> None:
        """Queue a node for a worker: now, or when it is to be asked again, or when the time of one of its copies is over."""
        if node.queued:
            return
        if node.timer is not None:
            node.timer.cancel()
            node.timer = None
        if not node.waiting:
            self._nodes.pop(node.name, None)
            return
        wait = self._wait_of(node)
        if wait > 0:
            node.timer = asyncio.get_running_loop().call_later(wait, self._queue, node)
        else:
            self._queue(node)

    def _queue(self, node: _Node) -> None:
        node.timer, node.queued = None, True
        (self._silent_turns if node.silent else self._turns).put_nowait(node)

    def _wait_of(self, node: _Node) -> float:
        if not node.silent:
            return 0.0
        earliest = min(copy.until for copy in node.waiting)
        left = (earliest - self._ports.clock.now()).total_seconds() + 0.01
        return min(node.next_time - asyncio.get_running_loop().time(), left)

    def _next(self, node: _Node) -> LogCopy | None:
        """The copy to try now; None if no copy waits, or if the node is not to be tried yet."""
        node.waiting = deque(copy for copy in node.waiting if self._stands(node, copy))
        if not node.waiting or asyncio.get_running_loop().time() < node.next_time:
            return None
        return node.waiting.popleft()

    def _stands(self, node: _Node, copy: LogCopy) -> bool:
        """False for a copy whose workload is gone, and for one whose time is over, which is lost."""
        if self._copies.get(copy.workload.uid) is not copy:
            return False
        tried = copy.failures or node.silent
        if self._ports.clock.now() < copy.until or (copy.late and not tried):
            return True
        self._lose(copy, f"could not be copied in time: {copy.error or 'other logs of its node took too long'}")
        return False

    # -- one copy -----------------------------------------------------------------------------------------------------

    async def _try(self, node: _Node, copy: LogCopy) -> None:
        try:
            await self._ports.workloads.copy_log(copy.run[0], copy.run_uid, copy.workload)
        except NodeUnavailable as error:
            self._pause(node, copy, error)
            return
        except Unavailable as error:
            self._retry_later(copy, error)
        except PortError as error:
            self._lose(copy, f"could not be copied: {error}")
        except Exception as error:  # a bug of ours must not keep the workload, nor end the other copies
            _logger.exception("copying the log of %s failed", copy.name)
            self._lose(copy, f"could not be copied: {error!r}")
        else:
            copy.done = True
            self._wake(copy.run)
        node.silent, node.next_time = 0, 0.0

    def _pause(self, node: _Node, copy: LogCopy, error: NodeUnavailable) -> None:
        """Leave the node alone for a while; another of its copies is the next."""
        _note(copy, error)
        node.next_time = asyncio.get_running_loop().time() + _wait(node.silent, error.retry_after)
        node.silent += 1
        for waiting in node.waiting:
            waiting.error = waiting.error or copy.error
        node.waiting.append(copy)

    def _retry_later(self, copy: LogCopy, error: Unavailable) -> None:
        wait = _wait(copy.failures, error.retry_after)
        left = (copy.until - self._ports.clock.now()).total_seconds() + 0.01
        _note(copy, error)
        asyncio.get_running_loop().call_later(max(min(wait, left), 0.0), self._add, copy)

    def _lose(self, copy: LogCopy, why: str) -> None:
        copy.lost = f"the log of {copy.name} {why}"
        self._wake(copy.run)


def _node_of(copy: LogCopy) -> str:
    """The name of the queue of a copy: its node, or a queue of its own if that is not known."""
    return copy.workload.node or f"of {copy.workload.uid}"


def _wait(failures: int, retry_after: float | None) -> float:
    wait = min(_FIRST_WAIT_SECONDS * 2 ** min(failures, 8), _LONGEST_WAIT_SECONDS)
    return float(max(wait, min(retry_after or 0.0, _LONGEST_ASKED_FOR_SECONDS)))


def _note(copy: LogCopy, error: Unavailable) -> None:
    """Record a failure; the first one is logged."""
    if not copy.failures:
        _logger.warning("the log of %s cannot be copied yet: %s", copy.name, error)
    copy.failures += 1
    copy.error = str(error)
