"""What must hold whatever happens, checked at every write and at the end."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mintaka_core.resources.runs import TRANSITIONS_KEPT, FlowRunStatus
from mintaka_core.rules import ORDER
from mintaka_core.states import CANCELLED, COMPLETED, PAUSED, RUNNING, SCHEDULED, SUSPENDED_ITSELF, TERMINAL, State
from simulated.server import Pod

if TYPE_CHECKING:
    from mintaka_core.resources import FlowRun, FlowTemplate
    from mintaka_core.resources.runs import TransitionStatus
    from simulated.agenda import Agenda
    from simulated.server import Server

#: How long after an owner's wish to suspend no pod may go on that nobody has told to stop: the operator's absence, a relist, lag.
PATIENCE_SECONDS = 100.0
#: How long a wish may stay unnoticed: a lost event is healed by the next relist.
_NOTICED_SECONDS = 75.0
#: The mirror's patience and a relist.
_LET_GO = timedelta(seconds=280)


class Broken(AssertionError):
    """An invariant does not hold."""


class Referee:
    """Watches one server without lag. `overlapping`: two operators may write at one time."""

    def __init__(self, agenda: Agenda, server: Server, template: FlowTemplate | None, *, overlapping: bool) -> None:
        self._agenda, self._server, self._template = agenda, server, template
        self._overlapping = overlapping
        self._last: dict[str, FlowRun] = {}
        self.history: dict[str, list[TransitionStatus]] = {}
        self.ends: dict[tuple[str, int], list[State]] = {}
        self.last_known: FlowRun | None = None
        self.pods_by_run: dict[str, set[str]] = {}
        self.resumed = 0
        self.reruns = 0
        self._suspended_at = 0.0
        self.stopped_by_people: set[tuple[str, int]] = set()
        server.watchers.append(self._watch)

    def _watch(self, kind: str, name: str, found: FlowRun | Pod | None) -> None:
        if isinstance(found, Pod):
            self._pod(name, found)
        elif kind == "run" and found is not None:
            self._run(name, found)
        elif kind == "run":
            self._last.pop(name, None)

    # Pods.

    def _pod(self, name: str, pod: Pod) -> None:
        workload = pod.workload
        uids = self.pods_by_run.setdefault(pod.owner_uid, set())
        if workload.uid not in uids:
            uids.add(workload.uid)
            self._new_pod(name, pod)
        if workload.end is not None:
            ends = self.ends.setdefault((pod.owner_uid, workload.attempt), [])
            if workload.end not in ends:
                ends.append(workload.end)

    def _new_pod(self, name: str, pod: Pod) -> None:
        alive = [other for other in self._server.pods.values() if other.owner_uid == pod.owner_uid and other.workload.alive]
        self._demand(len(alive) <= 1 or self._overlapping, f"{len(alive)} attempts are alive with {name}")
        if len(alive) > 1:
            self._agenda.after(PATIENCE_SECONDS, lambda: self._only_one(pod.owner_uid))
        run = next((run for run in self._server.runs.values() if run.metadata.uid == pod.owner_uid), None)
        if run is None or self._overlapping:
            return
        wanted = self.reruns > run.status.reruns
        self._demand(not run.status.is_terminal or wanted, f"{name} was created for a run that is over")
        self._demand(run.status.attempt + 1 == pod.workload.attempt, f"{name} was created in attempt {run.status.attempt}")
        since = self._agenda.seconds - self._suspended_at
        self._demand(not run.spec.suspend or since < _NOTICED_SECONDS, f"{name} was created {since:.0f} s after the run was suspended")
        due = run.spec.scheduled_time
        self._demand(due is None or self._agenda.now >= due - timedelta(seconds=5), f"{name} was created before the run is due")

    def _only_one(self, owner_uid: str) -> None:
        """Where two operators got in each other's way, the attempt that is over has been told to stop by now."""
        alive = [pod.workload for pod in self._server.pods.values() if pod.owner_uid == owner_uid and pod.workload.alive]
        going_on = [workload.name for workload in alive if workload.stopping_time is None]
        self._demand(len(going_on) <= 1, f"{going_on} go on beside each other")

    # Runs.

    def _run(self, name: str, run: FlowRun) -> None:
        before = self._last.get(name)
        self._last[name] = self.last_known = run
        if run.spec.suspend and not (before and before.spec.suspend):
            self._suspended_at = self._agenda.seconds
        old, new = before.status if before else FlowRunStatus(), run.status
        if old == new:
            return
        if old.is_terminal and new.reruns > old.reruns:
            self._demand(new.reruns <= run.spec.reruns, f"{name} runs again, and nobody wanted it")
            self._demand(not run.spec.cancel, f"{name} runs again, though it was cancelled")
        elif old.is_terminal:
            self._demand(old.state == new.state and old.sequence == new.sequence, f"{name} left its end {old.state}")
        self._transitions(name, old, new)
        self._budgets(run)
        if new.is_terminal and not old.is_terminal:
            self._end(run)

    def _transitions(self, name: str, old: FlowRunStatus, new: FlowRunStatus) -> None:
        self._demand(len(new.transitions) <= TRANSITIONS_KEPT, "too many transitions are kept")
        fresh = [transition for transition in new.transitions if transition.sequence > old.sequence]
        expected = list(range(old.sequence + 1, new.sequence + 1))
        self._demand(
            [transition.sequence for transition in fresh] == expected, f"{name}: sequences jump from {old.sequence} to {new.sequence}"
        )
        kept = [transition for transition in new.transitions if transition.sequence <= old.sequence]
        self._demand(not kept or list(old.transitions)[-len(kept) :] == kept, f"{name}: the past was rewritten")
        type_, time = (old.state.type, old.state.time) if old.state else (None, None)
        for transition in fresh:
            in_order = (type_, transition.to) in ORDER or (type_ in TERMINAL and transition.proposed == SCHEDULED)
            self._demand(transition.from_type == type_ and in_order, f"{name}: {type_} to {transition.to}")
            self._demand(time is None or transition.time >= time, f"{name}: time went back")
            type_, time = transition.to, transition.time
        if fresh:
            self._demand(new.state is not None and new.state.type == type_, f"{name}: the state is not that of the last transition")
        self.history.setdefault(name, []).extend(fresh)
        reasons = self._template.retries.on_crash.reasons if self._template else ()
        for transition in fresh:
            if transition.rule == "retry_crashed" and reasons:
                self._demand(transition.reason in reasons, f"{name} was retried for {transition.reason}")

    def _budgets(self, run: FlowRun) -> None:
        status, retries = run.status, self._template.retries if self._template else None
        failures, crashes = (retries.on_failure.limit, retries.on_crash.limit) if retries else (0, 0)
        self._demand(status.failures <= failures and status.crashes <= crashes and status.rejections <= 5, f"over budget: {status}")
        pauses = len([transition for transition in self.history[run.metadata.name] if transition.to == PAUSED])
        allowed = 1 + status.failures + status.crashes + status.rejections + pauses + self.resumed + status.reruns
        self._demand(status.attempt <= allowed, f"attempt {status.attempt} where {allowed} are accounted for")

    def _end(self, run: FlowRun) -> None:
        """The end is what was wished or what a pod of the last attempt said."""
        status, name = run.status, run.metadata.name
        if status.state is None:
            return
        wished = run.spec.cancel or run.metadata.deletion_timestamp is not None
        self._demand(not wished or status.state.type == CANCELLED, f"{name} was cancelled and ended {status.state.type}")
        ends = self.ends.get((run.metadata.uid, status.attempt), [])
        told = {(end.type, end.reason) for end in ends}
        end = (status.state.type, status.state.reason)
        if status.state.type == COMPLETED or (status.state.type == CANCELLED and not wished):
            self._demand(end in told, f"{name} ended {end}, its pod said {told}")
        if status.state.type == COMPLETED:
            states = [transition.to for transition in self.history[name]]
            self._demand(states[-2] == RUNNING, f"{name} completed without running: {states}")
        if status.state.reason == "PodDeleted" and not self._overlapping:
            by_people = (run.metadata.uid, status.attempt) in self.stopped_by_people
            self._demand(by_people, f"{name} crashed because the operator stopped it")

    # At appointed times.

    def nothing_runs_for(self, name: str, why: str) -> None:
        """By now every pod of the run has been told to stop."""
        run = self._server.runs.get(name)
        if run is None:
            return
        for pod in self._server.pods.values():
            if pod.owner_uid == run.metadata.uid and pod.workload.alive:
                self._demand(pod.workload.stopping_time is not None, f"{pod.workload.name} runs although {why}")

    def nothing_waits(self) -> None:
        """Long after the last fault: what has not ended still runs, or hangs; it is not the operator that is waited for."""
        for run in self._server.runs.values():
            if run.status.is_terminal:
                continue
            pods = [pod.workload for pod in self._server.pods.values() if pod.owner_uid == run.metadata.uid]
            going_on = [workload for workload in pods if workload.alive and workload.end is None]
            waits_for_its_owner = run.status.state is not None and run.status.state.reason == SUSPENDED_ITSELF
            self._demand(bool(going_on) or waits_for_its_owner, f"{run.metadata.name} waits for nothing in {run.status.state}, {pods}")

    def nothing_lives(self) -> None:
        """In the end: no run without an end, no live pod."""
        for run in self._server.runs.values():
            state = run.status.state.name if run.status.state else "nothing"
            self._demand(run.status.is_terminal, f"{run.metadata.name} never ended; it is {state}")
        for run in self._server.runs.values():
            gone_since = run.metadata.deletion_timestamp
            self._demand(gone_since is None or self._agenda.now - gone_since < _LET_GO, f"{run.metadata.name} is not let go")
        uids = {run.metadata.uid for run in self._server.runs.values()}
        alive = [name for name, pod in self._server.pods.items() if pod.workload.alive and pod.owner_uid in uids]
        self._demand(not alive, f"{alive} outlived their run")

    def _demand(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise Broken(f"at {self._agenda.seconds:.3f} s: {otherwise}")
