"""What must hold of the attempts in a run's status, and of the revisions that they run, checked at every write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_core.resources.runs import ATTEMPTS_KEPT
from mintaka_core.states import PENDING, RUNNING

if TYPE_CHECKING:
    from mintaka_core.resources import FlowRun, FlowRunStatus
    from mintaka_core.resources.runs import AttemptStatus
    from simulated.referee import Referee


class AttemptRules:
    """Belongs to a referee."""

    def __init__(self, referee: Referee) -> None:
        self._referee = referee

    def check(self, run: FlowRun, old: FlowRunStatus, new: FlowRunStatus) -> None:
        """One write of a run's status."""
        name, demand = run.metadata.name, self._referee.demand
        numbers = [entry.number for entry in new.attempts]
        demand(numbers == sorted(set(numbers)) and len(numbers) <= ATTEMPTS_KEPT, f"{name}: its attempts are {numbers}")
        # A run that is cancelled or suspended before it ran has counted an attempt without a pod.
        begun = new.state is not None and new.state.type in {PENDING, RUNNING}
        demand(not begun or numbers[-1:] == [new.attempt], f"{name}: attempt {new.attempt} is not among {numbers}")
        known = {entry.number: entry for entry in old.attempts}
        for entry in new.attempts:
            self._check_entry(name, known.get(entry.number), entry)
        if old.attempt:
            demand(new.revision == old.revision, f"{name}: its revision changed from {old.revision!r} to {new.revision!r}")
        self._check_pods(run, new)

    def _check_entry(self, name: str, old: AttemptStatus | None, new: AttemptStatus) -> None:
        """What was recorded of an attempt stays."""
        for field in ("pod_uid", "created", "state", "reason", "exit_code", "revision") if old else ():
            before, after = getattr(old, field), getattr(new, field)
            demand = before in {None, ""} or before == after
            self._referee.demand(demand, f"{name}: {field} of attempt {new.number} changed from {before!r} to {after!r}")
        self._referee.demand((new.state is None) or (new.ended is not None), f"{name}: attempt {new.number} ended at no time")

    def _check_pods(self, run: FlowRun, status: FlowRunStatus) -> None:
        """Each attempt is recorded with the revision that its pod runs."""
        pods = {pod.workload.uid: pod.workload for pod in self._referee.cluster.server.pods.of_run(run.metadata.uid)}
        for entry in status.attempts:
            pod = pods.get(entry.pod_uid)
            if pod is not None:
                same = entry.revision == pod.revision
                self._referee.demand(same, f"{run.metadata.name}: attempt {entry.number} runs {pod.revision!r}, not {entry.revision!r}")
