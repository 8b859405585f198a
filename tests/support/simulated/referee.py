"""What must hold whatever happens, checked at every write and at the end: rules about runs. Those about pods are in `pod_rules`."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from mintaka_controller.ports import Name
from mintaka_core.concurrency import LIMIT_REACHED
from mintaka_core.resources import FlowRun, FlowTemplate
from mintaka_core.resources.runs import TRANSITIONS_KEPT, FlowRunStatus, TransitionStatus
from mintaka_core.rules import ORDER
from mintaka_core.states import CANCELLED, CANCELLING, COMPLETED, PAUSED, RUNNING, SCHEDULED, SUSPENDED_ITSELF, TERMINAL
from mintaka_core.transitions import is_users_rule
from mintaka_core.user_rules import REDIRECT_LIMIT
from simulated.attempt_rules import AttemptRules
from simulated.pod_rules import PodRules
from simulated.waiting_rules import WaitingRules

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from mintaka_core.states import StateType
    from simulated.cluster import Cluster
    from simulated.events import Event
    from simulated.server import Stored

#: How long after an owner's wish to suspend no pod may go on that has not been asked to stop: the operator's absence, a relist, lag.
PATIENCE_SECONDS = 100.0


#: What a status written without its texts lacks.
_TEXTS = {"message": "", "trail": (), "facts": None}


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass(slots=True)
class Wishes:
    """What people asked of one run, and what it may be judged by. `reruns` and `resumed` count their wishes; `shortened`: its status
    was once written without its texts. `history` are the states it entered, `records` all decisions about it.
    """

    key: Name
    templates: list[FlowTemplate]
    reruns: int = 0
    resumed: int = 0
    suspended_at: float = 0.0
    shortened: bool = False
    history: list[TransitionStatus] = field(default_factory=list)
    records: list[TransitionStatus] = field(default_factory=list)
    last: FlowRun | None = None


class Referee:
    """Watches the server without lag. `overlapping`: two operators may write at one time; `stripped`: finalizers were taken off by force."""

    def __init__(self, cluster: Cluster, *, logs_kept: bool, overlapping: bool) -> None:
        self.cluster = cluster
        self.overlapping = overlapping
        self.stripped = False
        #: True if there was one operator since that time (seconds) and nothing went wrong around it.
        self.was_calm_since: Callable[[float], bool] = lambda _seconds: False
        #: True for a run that rightly waits for others of its concurrency key.
        self.waits_for_slot: Callable[[FlowRun], bool] = lambda _run: False
        self.runs: dict[str, Wishes] = {}
        #: Every template that a deployment of that name ever had: attempts may be made from any of them.
        self.templates: dict[Name, list[FlowTemplate]] = defaultdict(list)
        #: Where the results are of runs that ended, by the name that they have or had.
        self.sources: dict[Name, set[str]] = defaultdict(set)
        self.pods = PodRules(self, logs_kept=logs_kept)
        self.waiting = WaitingRules(self)
        self.attempts = AttemptRules(self)
        cluster.server.watchers.append(self._watch)

    def wishes(self, run: FlowRun) -> Wishes:
        """Those of a run, by its uid."""
        uid, key = run.metadata.uid, (run.metadata.namespace, run.metadata.name)
        if uid not in self.runs:
            spec = run.spec
            inline = [spec.template] if spec.template else []
            self.runs[uid] = Wishes(key, self.templates[key[0], spec.deployment] if spec.deployment else inline)
        return self.runs[uid]

    def demand(self, holds: bool, otherwise: str) -> None:
        """End the simulation if something does not hold."""
        if not holds:
            self.cluster.agenda.fail(Broken(f"at {self.cluster.agenda.seconds:.3f} s: {otherwise}"))

    def _watch(self, event: Event) -> None:
        if event.kind == "workload":
            self.pods.check(event)
        elif event.kind == "run" and event.found is not None:
            self._check_run(event.found)

    # Runs.

    def _check_run(self, stored: Stored[FlowRun]) -> None:
        run, wishes = stored.model, self.wishes(stored.model)
        before, wishes.last = wishes.last, run
        if run.spec.suspend and not (before and before.spec.suspend):
            wishes.suspended_at = self.cluster.agenda.seconds
        old, new = before.status if before else FlowRunStatus(), run.status
        if old == new:
            return
        name = run.metadata.name
        if old.is_terminal and new.reruns > old.reruns:
            self.demand(new.reruns <= run.spec.reruns, f"{name} runs again, and nobody wanted it")
            self.demand(not run.spec.cancel, f"{name} runs again, though it was cancelled")
        elif old.is_terminal:
            self.demand(old.state == new.state and old.sequence == new.sequence, f"{name} left its end {old.state}")
        self.attempts.check(run, old, new)
        fresh = self._check_transitions(wishes, old, new)
        self._check_budgets(run, wishes)
        self.pods.check_transitions(run, fresh)
        if new.is_terminal and not old.is_terminal:
            self.sources[wishes.key].add(new.resumed_from or run.metadata.uid)
            self._check_end(stored, wishes)

    def _check_transitions(self, wishes: Wishes, old: FlowRunStatus, new: FlowRunStatus) -> list[TransitionStatus]:
        name = wishes.key[1]
        self.demand(len(new.transitions) <= TRANSITIONS_KEPT, "too many transitions are kept")
        fresh = [transition for transition in new.transitions if transition.sequence > old.sequence]
        expected = list(range(old.sequence + 1, new.sequence + 1))
        self.demand(
            [transition.sequence for transition in fresh] == expected, f"{name}: sequences jump from {old.sequence} to {new.sequence}"
        )
        kept = [transition for transition in new.transitions if transition.sequence <= old.sequence]
        past = list(old.transitions)[-len(kept) :] if kept else []
        if wishes.shortened:
            kept, past = (
                [each.model_copy(update=dict(_TEXTS)) for each in kept],
                [each.model_copy(update=dict(_TEXTS)) for each in past],
            )
        self.demand(kept == past, f"{name}: the past was rewritten")
        type_, time = (old.state.type, old.state.time) if old.state else (None, None)
        for transition in fresh:
            if not transition.accepted:
                self._check_stayed(name, transition, type_)
                continue
            in_order = (type_, transition.to) in ORDER or (type_ in TERMINAL and transition.proposed == SCHEDULED)
            self.demand(transition.from_type == type_ and in_order, f"{name}: {type_} to {transition.to}")
            self.demand(time is None or transition.time >= time, f"{name}: time went back")
            type_, time = transition.to, transition.time
        if fresh:
            self.demand(new.state is not None and new.state.type == type_, f"{name}: the state is not that of the last transition")
        self._check_worth_it(name, old, new, fresh)
        wishes.records.extend(fresh)
        entered = [transition for transition in fresh if transition.accepted]
        wishes.history.extend(entered)
        return entered

    def _check_stayed(self, name: str, record: TransitionStatus, state: StateType | None) -> None:
        """A proposal that waits or was refused does not change the run's state."""
        self.demand(record.from_type == record.to == state, f"{name}: {record.verdict} moved it from {record.from_type} to {record.to}")
        self.demand((record.until is not None) == (record.verdict == "Wait"), f"{name}: {record.verdict} until {record.until}")

    def _check_worth_it(self, name: str, old: FlowRunStatus, new: FlowRunStatus, fresh: list[TransitionStatus]) -> None:
        """A status that records only a wait begins that wait; a refusal alone is not written, nor anything twice."""
        recorded = {"sequence": new.sequence, "transitions": new.transitions, "observed_generation": new.observed_generation}
        if fresh and old.model_copy(update=recorded) == new:
            waits = [record for record in fresh if record.verdict == "Wait" or is_users_rule(record.rule)]
            self.demand(bool(waits), f"{name}: written for {fresh} alone")
        said = [
            None if record.accepted else (record.verdict, record.rule, record.message, record.until, record.attempt)
            for record in new.transitions
        ]
        self.demand(all(one is None or one != other for one, other in pairwise(said)), f"{name}: says twice in a row that {said}")

    def _check_budgets(self, run: FlowRun, wishes: Wishes) -> None:
        status, retries = run.status, [template.retries for template in wishes.templates]
        failures = max((each.on_failure.limit for each in retries), default=0)
        crashes = max((each.on_crash.limit for each in retries), default=0)
        self.demand(
            status.failures <= failures and status.crashes <= crashes and status.rejections <= 5,
            f"over budget: {status.failures} failures, {status.crashes} crashes, {status.rejections} rejections",
        )
        pauses = len([transition for transition in wishes.history if transition.to == PAUSED])
        self.demand(status.rule_redirects <= REDIRECT_LIMIT, f"rules redirected it {status.rule_redirects} times")
        allowed = 1 + status.rule_redirects + status.failures + status.crashes + status.rejections + pauses + wishes.resumed + status.reruns
        late = run.metadata.uid in self.pods.late
        # The last attempt of a run that was cancelled may have begun without being recorded as a retry.
        allowed += status.is_terminal or (status.state is not None and status.state.type == CANCELLING)
        self.demand(status.attempt <= allowed or self.overlapping or late, f"attempt {status.attempt} where {allowed} are accounted for")
        if retries and all(each.on_crash.reasons for each in retries):
            reasons = {reason for each in retries for reason in each.on_crash.reasons}
            for transition in wishes.history[-TRANSITIONS_KEPT:]:
                covered = transition.rule != "retry_crashed" or transition.reason in reasons
                self.demand(covered, f"{wishes.key[1]} was retried for {transition.reason}")

    def _check_end(self, stored: Stored[FlowRun], wishes: Wishes) -> None:
        """The end is what was wished or what a pod of the last attempt said."""
        run, status, name = stored.model, stored.model.status, wishes.key[1]
        if status.state is None:
            return
        wished = run.spec.cancel or run.metadata.deletion_timestamp is not None
        unusable = stored.problem is not None or stored.spec is not None
        self.demand(not wished or unusable or status.state.type == CANCELLED, f"{name} was cancelled and ended {status.state.type}")
        if unusable:
            reason = stored.problem.reason if stored.problem else "InvalidResource"
            self.demand(status.state.reason == reason, f"{name} is {reason} and ended for {status.state.reason}")
        if status.transitions and any(is_users_rule(each.rule) for each in (status.transitions[-1], *status.transitions[-1].trail)):
            return  # rules may end it as they like
        told = {(end.type, end.reason) for end in self.pods.ends_of(run.metadata.uid, status.attempt)}
        end = (status.state.type, status.state.reason)
        refused = status.state.reason == LIMIT_REACHED
        if status.state.type == COMPLETED or (status.state.type == CANCELLED and not wished and not refused):
            self.demand(end in told, f"{name} ended {end}, its pod said {told}")
        if status.state.type == COMPLETED:
            states: list[StateType] = [transition.to for transition in wishes.history]
            self.demand(states[-2] == RUNNING, f"{name} completed without running: {states}")
        if status.state.reason == "PodDeleted" and not self.overlapping and not wishes.shortened:
            by_people = (run.metadata.uid, status.attempt) in self.pods.stopped_by_people
            self.demand(by_people, f"{name} crashed because the operator stopped it")

    # At appointed times.

    def nothing_runs_for(self, uid: str, why: str) -> None:
        """By now every pod of the run has been asked to stop."""
        if not self.cluster.server.has_run(uid):
            return
        for pod in self.cluster.server.pods.of_run(uid):
            if pod.workload.alive:
                self.demand(pod.workload.stopping_time is not None, f"{pod.workload.name} runs although {why}")

    def nothing_waits(self) -> None:
        """Long after the last fault: what has not ended still runs, or hangs; it is not the operator that is waited for."""
        for stored in self.cluster.server.runs.values():
            run = stored.model
            if run.status.is_terminal:
                continue
            pods = [pod.workload for pod in self.cluster.server.pods.of_run(run.metadata.uid)]
            going_on = [workload for workload in pods if workload.alive and workload.end is None]
            waits_for_its_owner = run.status.state is not None and run.status.state.reason == SUSPENDED_ITSELF
            waits = waits_for_its_owner or self.waits_for_slot(run)
            self.demand(bool(going_on) or waits, f"{run.metadata.name} waits for nothing in {run.status.state}, {pods}")

    def nothing_lives(self, let_go: timedelta) -> None:
        """In the end: no run without an end, no live pod, none that outlives what keeps it."""
        server, now = self.cluster.server, self.cluster.agenda.now
        for stored in server.runs.values():
            run = stored.model
            state = run.status.state.name if run.status.state else "nothing"
            self.demand(run.status.is_terminal, f"{run.metadata.name} never ended; it is {state}")
            gone_since = run.metadata.deletion_timestamp
            self.demand(gone_since is None or now - gone_since < let_go, f"{run.metadata.name} is not released")
        uids = {stored.model.metadata.uid for stored in server.runs.values()}
        alive = [name for (_, name), pod in server.pods.by_key.items() if pod.workload.alive and pod.owner_uid in uids]
        self.demand(not alive, f"{alive} outlived their run")
        self.pods.nothing_is_held()
        self.waiting.check_refusals()
