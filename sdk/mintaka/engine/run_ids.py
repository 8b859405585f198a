"""Which id each run of a ledger has; made on request, which most runs never get."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING
from uuid import uuid4, uuid5

from mintaka_core.run_ids import flow_run_id, task_run_id

if TYPE_CHECKING:
    from uuid import UUID

    from mintaka.engine.runs import Run


class RunIds:
    """The ids of the runs of one `attempt` of the flow run called `uid` ("": it has no name, so its id is a random one).

    In a worker process, runs that begin there get their numbers in the history only when they are back, so a random id;
    `last_known` is the greatest number that is final (None: all are).
    """

    def __init__(self, uid: str = "", attempt: int = 1, last_known: int | None = None) -> None:
        self._uid = uid
        self._attempt = attempt
        self._last_known = last_known
        #: The called flow run that a run is part of, by the run's number; runs of the outermost flow run are missing.
        self.owners: dict[int, Run] = {}

    @cached_property
    def flow_run(self) -> UUID:
        """The id of the flow run itself, the outermost one."""
        return flow_run_id(self._uid) if self._uid else uuid4()

    def of(self, n: int) -> UUID:
        """The id of task run `n`, which for a called flow run is that of its call; -1 is the flow run itself."""
        if n < 0:
            return self.flow_run
        if self._last_known is not None and n > self._last_known:
            return uuid5(self._in_worker, str(n))
        owner = self.owners.get(n)
        return self.within(self.flow_run if owner is None or owner.called is None else owner.called.uid, n)

    def within(self, flow_run: UUID, n: int) -> UUID:
        """The id of task run `n`, which is part of `flow_run`."""
        return task_run_id(flow_run, self._attempt, n)

    @cached_property
    def _in_worker(self) -> UUID:
        return uuid4()
