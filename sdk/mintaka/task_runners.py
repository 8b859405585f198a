"""Where submitted tasks run. One runner serves a flow run and, unless they name their own, its subflows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mintaka.pool import SlotPool

if TYPE_CHECKING:
    from mintaka.pool import Job

#: Threads of the default runner: enough for tasks that wait on the network, few enough for 100,000 mapped calls.
DEFAULT_MAX_WORKERS = 32


class TaskRunner(Protocol):
    """Runs jobs that are ready; made anew for each flow run by `duplicate`."""

    def duplicate(self) -> TaskRunner:
        """A runner of the same kind and size for one flow run."""

    def submit(self, job: Job) -> None:
        """Run `job` some time soon, in another thread."""

    def drop_queue(self) -> None:
        """Forget the jobs that have not begun."""

    def close(self) -> None:
        """No more jobs will come; does not wait for those that run."""


class ThreadPoolTaskRunner:
    """Runs tasks in threads, at most `max_workers` at a time (None: 32)."""

    def __init__(self, max_workers: int | None = None) -> None:
        self.max_workers = DEFAULT_MAX_WORKERS if max_workers is None else max_workers
        self._pool = SlotPool(self.max_workers)

    def duplicate(self) -> ThreadPoolTaskRunner:
        """A pool of the same size for one flow run."""
        return ThreadPoolTaskRunner(self.max_workers)

    def submit(self, job: Job) -> None:
        """Run `job` when one of the threads is free."""
        self._pool.submit(job)

    def drop_queue(self) -> None:
        """Forget the jobs that have not begun."""
        self._pool.drop_queue()

    def close(self) -> None:
        """End the threads once the queue is empty."""
        self._pool.close()

    def __repr__(self) -> str:
        return f"ThreadPoolTaskRunner(max_workers={self.max_workers})"
