"""The observation of a flow run, and one pass over it: its ledger, effects, and when to reconcile again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from mintaka_core.backoff import Retries
from mintaka_core.concurrency import Standing
from mintaka_core.policies import FLOW_RUN_POLICY
from mintaka_core.reconciling.ledger import Ledger
from mintaka_core.reconciling.plans import RunEffect, StopWorkload
from mintaka_core.resources.concurrency import ConcurrencyStatus
from mintaka_core.resources.runs import FlowRun, TransitionStatus
from mintaka_core.resources.template import FlowTemplate
from mintaka_core.states import CRASHED, FAILED, StateType
from mintaka_core.transitions import Policy
from mintaka_core.user_rules import Journal
from mintaka_core.workloads import CreateError, Workload

#: A workload that was asked to stop and has not, this long after its grace period, is force-deleted: its node is gone.
FORCE_AFTER = timedelta(seconds=300)
#: When to reconcile again a run that no workload can be created for, or whose workload was just asked to stop.
TRY_AGAIN = timedelta(seconds=5)
#: How long a run that is cancelled waits, at most, for `spec.cancel` to be set in the runs that it called.
CALLED_PATIENCE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the workloads of finished attempts stay: for ends of the two kinds, and for a log that cannot be copied yet.

    A workload that was deleted waits at most `deleted_log_patience` for the copy of its log.
    """

    completed: timedelta = timedelta(minutes=10)
    failed: timedelta = timedelta(hours=1)
    log_patience: timedelta = timedelta(hours=1)
    deleted_log_patience: timedelta = timedelta(minutes=1)

    def of(self, end: StateType) -> timedelta:
        """How long a workload with that end stays."""
        return self.failed if end in (FAILED, CRASHED) else self.completed


@dataclass(frozen=True, slots=True)
class RunObservation:
    """All input of the reconciler about a run.

    `resumed_from` is the uid under which the results of finished tasks are stored, if that is another run's. `workloads`
    are the existing ones, by attempt; the observer guarantees that an attempt missing there does not exist. `create_error`
    says why none can be created; `template` is None if it is not known what to run. `mirrored`: an API stores the history,
    and the finalizer waits for it; `mirror_patience` is how long a deleted run waits. `retention` None keeps workloads as
    long as their run. `pending_since` is when the observer created a workload whose creation it has not recorded yet.
    `revision` is the name of the revision that the next attempt runs, "" if it cannot be stored; None: the recorded one.
    `caller_cancelled`: the run that called it was cancelled; `called_go_on`: `spec.cancel` is not set yet in a run that it called itself.
    `slot` is its position among the runs that share its deployment's slots (None: nothing limits it), `concurrency` their key to record;
    `replaced_by` is the run of its namespace that replaces it ("": none).
    `local`: workloads are processes of this machine, not pods. `policy` are the rules that decide about the run. `noted` are the
    records that the plan before noted, if it was this observer's.
    `live` are the other unfinished runs of the namespace by deployment and state type, if rules of users need them; `journal`
    records what these did.
    """

    run: FlowRun
    template: FlowTemplate | None
    workloads: Mapping[int, Workload] = field(default_factory=lambda: MappingProxyType({}))
    create_error: CreateError | None = None
    resumed_from: str = ""
    ttl: timedelta = timedelta(days=7)
    mirrored: bool = True
    mirror_patience: timedelta = timedelta(hours=1)
    retention: Retention | None = Retention()
    pending_since: datetime | None = None
    revision: str | None = None
    caller_cancelled: bool = False
    called_go_on: bool = False
    slot: Standing | None = None
    concurrency: ConcurrencyStatus | None = None
    replaced_by: str = ""
    local: bool = False
    policy: Policy = FLOW_RUN_POLICY
    noted: tuple[TransitionStatus, ...] = ()
    live: dict[str, dict[str, int]] | None = None
    journal: Journal = field(default_factory=dict)


class Reconciliation:
    """One pass over one run."""

    def __init__(self, seen: RunObservation, now: datetime) -> None:
        self.seen = seen
        self.now = now
        self.ledger = Ledger(
            seen.run,
            seen.template.retries.budgets() if seen.template else Retries(),
            now,
            seen.policy,
            seen.noted,
            live=seen.live,
            local=seen.local,
        )
        self.effects: list[RunEffect] = []
        self.due: list[datetime] = []

    @property
    def workload(self) -> Workload | None:
        """The workload of the current attempt."""
        return self.seen.workloads.get(self.ledger.status.attempt)

    def stop(self, workload: Workload, why: str) -> None:
        """Ask the workload to stop once; force it if it does not."""
        if not workload.alive:
            return
        if workload.stopping_time is None:
            self._stop(workload, why, force=False)
        elif self.now >= workload.stopping_time + FORCE_AFTER:
            self._stop(workload, f"{why}; it did not stop when asked", force=True)
        else:
            self.due.append(workload.stopping_time + FORCE_AFTER)

    def _stop(self, workload: Workload, why: str, *, force: bool) -> None:
        effect = StopWorkload(workload.name, workload.uid, why, force=force)
        if not any(isinstance(known, StopWorkload) and known.name == workload.name for known in self.effects):
            self.effects.append(effect)
            # It may be gone already, with its event missed: no other event would report that again.
            self.due.append(self.now + TRY_AGAIN)
