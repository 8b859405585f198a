"""What must hold about pods whatever happens: one live attempt, no end lost, no log lost, nothing held for ever."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mintaka_core.clocks import CLOCK_TOLERANCE
from mintaka_core.reconciling.cleanup import needs_log_copy
from mintaka_core.states import CANCELLED, CANCELLING, COMPLETED, PENDING, RUNNING
from mintaka_core.transitions import is_users_rule

if TYPE_CHECKING:
    from mintaka_core.reconciling.observation import Retention
    from mintaka_core.resources import FlowRun
    from mintaka_core.resources.runs import TransitionStatus
    from mintaka_core.states import State
    from simulated.events import Event
    from simulated.pods import Pod
    from simulated.referee import Referee

#: How long a wish may stay unnoticed: a lost event is healed by the next relist.
_NOTICED_SECONDS = 75.0
_ONLY_ONE_SECONDS = 100.0
#: A decision is on its way for so long at most.
_ON_ITS_WAY_SECONDS = 2.0
_EARLY = timedelta(seconds=5)
#: How much earlier than its timeout a run that was stopped may count as timed out: the tolerance for clocks, of which an operator's
#: is 1.5 s off here and a node's 1 s, and whole seconds.
_TIMED_OUT_EARLY = CLOCK_TOLERANCE + timedelta(seconds=3.5)
_LATE_SECONDS = 6.0


class PodRules:
    """`stopped_by_people` and `forced` are attempts, by (uid of the run, attempt), whose pods others than the operator deleted."""

    def __init__(self, referee: Referee, *, logs_kept: bool) -> None:
        self._referee, self._logs_kept = referee, logs_kept
        self._server, self._agenda = referee.cluster.server, referee.cluster.agenda
        self._last: dict[str, Pod] = {}
        self._ends: dict[tuple[str, int], list[State]] = {}
        #: When an attempt that nobody forced completed, and when it was first seen to have ended at all.
        self._completed: dict[tuple[str, int], float] = {}
        self.by_run: dict[str, set[str]] = {}
        self.stopped_by_people: set[tuple[str, int]] = set()
        #: Pods whose hold somebody else than the operator took off, or whose owner was taken away.
        self.let_go_by_people: set[str] = set()
        #: Runs of which a pod was created by a request whose sender had given it up.
        self.late: set[str] = set()
        self.resumed_from: dict[str, set[str]] = {}

    def ends_of(self, uid: str, attempt: int) -> list[State]:
        """Every end that a pod of that attempt ever showed."""
        return self._ends.get((uid, attempt), [])

    def _demand(self, holds: bool, otherwise: str) -> None:
        self._referee.demand(holds, otherwise)

    def _run(self, uid: str) -> FlowRun | None:
        return next((stored.model for stored in self._server.runs.values() if stored.model.metadata.uid == uid), None)

    def check(self, event: Event) -> None:
        """A version of a pod, or that it is gone."""
        pod: Pod | None = event.found
        before = self._last.get(event.uid)
        if pod is None:
            self._last.pop(event.uid, None)
            return
        self._last[event.uid] = pod
        if before is None:
            self.by_run.setdefault(pod.owner_uid, set()).add(event.uid)
            self._check_new(pod)
        elif before.owner_uid != pod.owner_uid:
            self._completed.pop((before.owner_uid, pod.workload.attempt), None)  # it is not the run's any more
        if pod.workload.started_time and not (before and before.workload.started_time):
            self._expect_timeout(pod)
        if pod.workload.end is not None:
            attempt = pod.owner_uid, pod.workload.attempt
            ends = self._ends.setdefault(attempt, [])
            if pod.workload.end not in ends:
                ends.append(pod.workload.end)
            if pod.workload.end.type == COMPLETED and not pod.forced:
                self._completed.setdefault(attempt, self._agenda.seconds)
        if self._referee.cluster.late and pod.workload.deleted and before is not None and not before.workload.deleted:
            self.stopped_by_people.add((pod.owner_uid, pod.workload.attempt))
        if before is not None and before.workload.held and not pod.workload.held and event.uid not in self.let_go_by_people:
            self._check_released(pod)

    def _check_new(self, pod: Pod) -> None:
        name, uid = pod.workload.name, pod.owner_uid
        if self._referee.cluster.late:
            self.late.add(uid)
        overlapping = self._referee.overlapping or uid in self.late
        alive = [other for other in self._server.pods.of_run(uid) if other.workload.alive]
        self._demand(len(alive) <= 1 or overlapping, f"{len(alive)} attempts are alive with {name}")
        if len(alive) > 1:
            self._agenda.after(_ONLY_ONE_SECONDS, lambda: self._only_one(uid))
        run = self._run(uid)
        if run is None:
            return
        self._check_resumed_from(run, pod)
        if overlapping:
            return
        wishes = self._referee.wishes(run)
        self._demand(not run.status.is_terminal or wishes.reruns > run.status.reruns, f"{name} was created for a run that is over")
        self._demand(run.status.attempt + 1 == pod.workload.attempt, f"{name} was created in attempt {run.status.attempt}")
        since = self._agenda.seconds - wishes.suspended_at
        noticed = _NOTICED_SECONDS * self._referee.waiting.asked_again
        self._demand(not run.spec.suspend or since < noticed, f"{name} was created {since:.0f} s after the run was suspended")
        due = run.spec.scheduled_time
        self._demand(due is None or self._agenda.now >= due - _EARLY, f"{name} was created before the run is due")
        usable = not any(stored.problem or stored.spec for stored in self._server.runs.values() if stored.model is run)
        self._demand(usable, f"{name} was created for a run that cannot be processed")

    def _check_resumed_from(self, run: FlowRun, pod: Pod) -> None:
        """Every attempt takes the results of the same run, that which `resumeFrom` named when the first one was created."""
        if run.spec.resume_from is None:
            self._demand(pod.resumed_from == "", f"{pod.workload.name} resumes from {pod.resumed_from}")
            return
        earlier = self.resumed_from.setdefault(run.metadata.uid, set())
        if run.status.resumed_from:
            allowed = {run.status.resumed_from}
        else:
            allowed = earlier or self._referee.sources[run.metadata.namespace, run.spec.resume_from]
        self._demand(pod.resumed_from in allowed, f"{pod.workload.name} resumes from {pod.resumed_from!r}, not from {allowed}")
        earlier.add(pod.resumed_from)

    def _only_one(self, owner_uid: str) -> None:
        """If two operators got in each other's way, the attempt that is over has been asked to stop by now."""
        alive = [pod.workload for pod in self._server.pods.of_run(owner_uid) if pod.workload.alive]
        going_on = [workload.name for workload in alive if workload.stopping_time is None]
        self._demand(len(going_on) <= 1, f"{going_on} go on beside each other")

    def _timeout(self, run: FlowRun) -> float | None:
        """How long an attempt of a run may take; None if that is not known for certain."""
        if run.spec.deployment:
            stored = self._server.deployments.get((run.metadata.namespace, run.spec.deployment))
            if stored is None or stored.problem:
                return None
        seconds = {template.timeout_seconds for template in self._referee.wishes(run).templates}
        return seconds.pop() if len(seconds) == 1 else None

    def _expect_timeout(self, pod: Pod) -> None:
        """If nothing goes wrong, a pod is asked to stop when its time is over, whatever its node's clock says."""
        run, begun = self._run(pod.owner_uid), self._agenda.seconds
        timeout = self._timeout(run) if run else None
        if timeout is not None:
            self._agenda.after(timeout + _LATE_SECONDS, lambda: self._check_stopped(pod, begun))

    def _check_stopped(self, pod: Pod, begun: float) -> None:
        found, run = self._last.get(pod.workload.uid), self._run(pod.owner_uid)
        if found is None or run is None or not self._referee.was_calm_since(begun) or self._referee.wishes(run).shortened:
            return
        if self._timeout(run) is None:
            return
        over = found.workload.end is not None or found.workload.deleted or run.spec.suspend or found.owner_uid != pod.owner_uid
        self._demand(over, f"{pod.workload.name} runs although its timeout has passed")

    def _check_timed_out(self, run: FlowRun, transition: TransitionStatus) -> None:
        """What ends as TimedOut had its time."""
        timeout = self._timeout(run)
        started = [
            self._referee.cluster.kubelet.started[pod.workload.uid]
            for pod in self._server.pods.of_run(run.metadata.uid)
            if pod.workload.attempt == transition.attempt and pod.workload.uid in self._referee.cluster.kubelet.started
        ]
        if timeout is not None and started:
            took = self._agenda.seconds - max(started)
            self._demand(
                took >= timeout - _TIMED_OUT_EARLY.total_seconds(), f"{run.metadata.name} timed out after {took:.0f} of {timeout} s"
            )

    def check_transitions(self, run: FlowRun, fresh: list[TransitionStatus]) -> None:
        """An attempt that completed is recorded as such, unless its run was being cancelled; held pods do not disappear."""
        uid = run.metadata.uid
        for transition in fresh:
            if transition.reason == "PodDisappeared":
                gone = self.by_run.get(uid, set())
                known = self._referee.stripped or bool(gone & self.let_go_by_people)
                self._demand(known, f"{run.metadata.name}: {transition.message}, and its pod was held")
            if transition.from_type not in (PENDING, RUNNING, CANCELLING) or transition.to in (RUNNING, CANCELLING, PENDING):
                continue
            if transition.from_type == RUNNING and transition.name == "TimedOut":
                self._check_timed_out(run, transition)
            completed = self._completed.get((uid, transition.attempt))
            if completed is None or self._agenda.seconds - completed < _ON_ITS_WAY_SECONDS or self._overtaken(run, transition):
                continue
            self._demand(
                transition.to in (COMPLETED, CANCELLED) or is_users_rule(transition.rule),
                f"{run.metadata.name}: attempt {transition.attempt} completed and was recorded {transition.name} {transition.reason}",
            )

    def _overtaken(self, run: FlowRun, transition: TransitionStatus) -> bool:
        """True for what is recorded of an attempt whose pod is not the run's any more."""
        pod = self._server.pods.by_key.get((run.metadata.namespace, f"{run.metadata.name}-{transition.attempt}"))
        return pod is not None and pod.owner_uid != run.metadata.uid

    def _check_released(self, pod: Pod) -> None:
        """The operator let a pod go: its end is recorded, and so is its log, or that it is lost."""
        workload, name = pod.workload, pod.workload.name
        self._demand(workload.end is not None and not workload.alive, f"{name} was released and had not ended")
        run = self._run(pod.owner_uid)
        if run is None:
            return
        status, state = run.status, run.status.state
        recorded = workload.attempt < status.attempt or status.is_terminal
        recorded |= state is not None and workload.attempt == status.attempt and state.type not in (PENDING, RUNNING, CANCELLING)
        self._demand(recorded, f"{name} was released before its end {workload.end} was recorded: {state}, attempt {status.attempt}")
        if self._logs_kept and needs_log_copy(workload):
            kept = (pod.owner_uid, workload.attempt) in self._referee.cluster.api.logs
            said = any(condition.type == "LogsKept" and condition.status == "False" for condition in status.conditions)
            self._demand(kept or said, f"{name} was released, and its log is lost without a word")

    def nothing_is_held(self) -> None:
        """In the end no deleted pod is held."""
        held = [
            name
            for (_, name), pod in self._server.pods.by_key.items()
            if pod.workload.held and pod.workload.deleted and not pod.workload.alive
        ]
        self._demand(not held, f"{held} are deleted and held")

    def nothing_outlives(self, retention: Retention, slack: timedelta) -> None:
        """In the end pods of finished runs are gone when their retention is over."""
        for (_, name), pod in self._server.pods.by_key.items():
            run = self._run(pod.owner_uid)
            if run is None or run.status.end_time is None or pod.workload.end is None:
                continue
            limit = run.status.end_time + retention.of(pod.workload.end.type) + retention.log_patience + slack
            self._demand(self._agenda.now < limit, f"{name} outlives its retention")
