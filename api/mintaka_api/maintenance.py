"""Maintains the database in the background: its feed of changes and counts every minute, partitions and retention every ten.

All replicas of the API do this. A lock of the database, held for one transaction at a time, lets one of them work, and the
others skip that pass; it is not the mirror's Lease, since a database without a cluster needs maintenance too. Between two
transactions other writers have their turn, and the task ends there when the process is to stop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from mintaka_history.database import DatabaseAway
from mintaka_history.maintenance import jobs, retention
from mintaka_history.maintenance.partitions import Filled
from mintaka_history.maintenance.retention import Progress
from mintaka_history.maintenance.statements import AnotherProcess
from mintaka_history.maintenance.unused_names import UnusedNames
from mintaka_history.timestamps import now_microseconds

if TYPE_CHECKING:
    from mintaka_api.background_tasks import Part
    from mintaka_api.metrics import Metrics
    from mintaka_history.database import Database
    from mintaka_history.maintenance.policy import RetentionPolicy

logger = logging.getLogger("mintaka.api.maintenance")

_MINUTE = 60.0
#: The first pass comes after the start, which has enough to do.
_FIRST_SECONDS = 15.0
#: A job that failed, because the database was away or a table in use, is tried again after this.
_RETRY_SECONDS = 15.0
_LOOK_SECONDS = 1.0
_SHORTEST_PAUSE_SECONDS = 0.01
#: By how much the clock may be set between two passes of retention.
_CLOCK_SECONDS = 300.0


@dataclass(slots=True)
class _Job:
    """One job: `steps` starts a pass, `due` is the time (monotonic, seconds) of the next one; `problem` is that of the last."""

    name: str
    seconds: float
    steps: Callable[[], Iterator[Any]]
    due: float = 0.0
    problem: str = ""


class Maintenance:
    """The maintenance of one database by one process."""

    def __init__(self, database: Database, policy: RetentionPolicy, metrics: Metrics) -> None:
        """`policy` says which flow runs are deleted when."""
        self._database = database
        self._policy = policy
        self._metrics = metrics
        self._names = UnusedNames()
        self._clocks: tuple[int, float] | None = None
        self._jobs = (
            _Job("counts", _MINUTE, lambda: jobs.add_up_counts(database)),
            _Job("feed", _MINUTE, lambda: jobs.trim_feed(database, now_microseconds())),
            _Job("partitions", 10 * _MINUTE, self._make_partitions),
            _Job("retention", 10 * _MINUTE, self._delete_runs),
            _Job("names", 60 * _MINUTE, lambda: jobs.collect_names(database, self._names, now_microseconds())),
            _Job("tidying", 10 * _MINUTE, lambda: jobs.tidy(database, now_microseconds())),
        )

    async def run(self, part: Part) -> None:
        """Maintain the database forever."""
        await asyncio.sleep(_FIRST_SECONDS)
        while True:
            for job in self._jobs:
                if job.due <= monotonic():
                    await self._perform(job)
                    part.problem = self.problem()
            await asyncio.sleep(_LOOK_SECONDS)

    async def run_once(self) -> None:
        """Do every job once."""
        for job in self._jobs:
            await self._perform(job)

    def problem(self) -> str:
        """What is wrong, job by job; "" if nothing is."""
        return "; ".join(job.problem for job in self._jobs if job.problem)

    async def _perform(self, job: _Job) -> None:
        started, problem = monotonic(), ""
        job.due = started + job.seconds
        try:
            steps = job.steps()
            while True:
                began = monotonic()
                done = await self._database.in_writer(next, steps, _END)
                if done is _END:
                    break
                self._record(done)
                # Writers get as much time as this takes, and more if they need it.
                await asyncio.sleep(max(monotonic() - began, _SHORTEST_PAUSE_SECONDS))
        except AnotherProcess:
            return
        except DatabaseAway as away:
            problem, job.due = f"{job.name}: {away}", monotonic() + _RETRY_SECONDS
        except Exception as error:  # an error in one job must not stop the others
            if not job.problem:
                logger.exception("maintenance of the database: %s failed", job.name)
            self._metrics.background_failures.labels("maintenance").inc()
            problem = f"{job.name}: {type(error).__name__}: {error}"
        else:
            self._metrics.maintenance_success.labels(job.name).set_to_current_time()
            problem = self._alarm if job.name == "partitions" else ""
        finally:
            self._metrics.maintenance_seconds.labels(job.name).observe(monotonic() - started)
        job.problem = problem

    def _record(self, done: Any) -> None:
        if isinstance(done, Filled):
            logger.info("made partition %s, with %d rows of the default partition", done.name, done.moved)
        elif isinstance(done, Progress):
            for table, rows in done.rows.items():
                self._metrics.retention_rows.labels(table).inc(rows)
            if done.partition is not None:
                self._metrics.retention_partitions.inc()
                logger.info("dropped partition %s, about %d rows", done.partition.name, done.partition.rows)

    _alarm = ""

    def _make_partitions(self) -> Iterator[Any]:
        """Make partitions; rows in a default partition of weeks that get one now are a problem until the next pass."""
        for table, rows in jobs.rows_in_default(self._database).items():
            self._metrics.default_partition_rows.labels(table).set(rows)
        moved: dict[str, int] = {}
        for filled in jobs.make_partitions(self._database, now_microseconds()):
            if filled.moved:
                moved[filled.name] = filled.moved
            yield filled
        names = ", ".join(f"{rows} of {name}" for name, rows in sorted(moved.items()))
        self._alarm = f"partitions: rows were written before their partition was made, and moved now: {names}" if moved else ""

    def _delete_runs(self) -> Iterator[Any]:
        """Delete the runs that are due, unless the clock was set since the last pass: a wrong clock must not delete a history."""
        now, steady = now_microseconds(), monotonic()
        if self._clocks is not None:
            stepped = (now - self._clocks[0]) / 1e6 - (steady - self._clocks[1])
            if abs(stepped) > _CLOCK_SECONDS:
                logger.warning("the clock was set by %+.0f s: no flow runs are deleted in this pass", stepped)
                self._clocks = (now, steady)
                return
        self._clocks = (now, steady)
        yield from retention.steps(self._database, self._policy, now)


_END = object()
