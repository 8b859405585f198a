"""One flow run on a stage: a clock, its workloads, and the reconciler's plans carried out at once.

What a test wants to happen it does to the stage (`start`, `end`, `vanish`, `pass_time`, `ask`); after each, the reconciler is
asked until it has nothing more to do, and what must always hold is checked.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mintaka_core import names
from mintaka_core.policies import FLOW_RUN_POLICY
from mintaka_core.reconciling.observation import Retention, RunObservation
from mintaka_core.reconciling.plans import (
    AddFinalizer,
    CreateWorkload,
    DeleteRun,
    ReleaseRun,
    ReleaseWorkload,
    RemoveWorkload,
    RunEffect,
    RunPlan,
    StopWorkload,
)
from mintaka_core.reconciling.runs import reconcile
from mintaka_core.resources import FlowRun, FlowTemplate
from mintaka_core.resources.runs import TRANSITIONS_KEPT, TransitionStatus
from mintaka_core.rules import ORDER
from mintaka_core.states import COMPLETED, CRASHED, FAILED, SCHEDULED, TERMINAL, State, StateType
from mintaka_core.workloads import CreateError, Phase, StartIssue, Workload

if TYPE_CHECKING:
    from mintaka_core.transitions import Policy

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
GRACE = timedelta(seconds=30)
_ROUNDS = 20


def crashed(reason: str = "PodDeleted", message: str = "") -> State:
    """The end of a workload that the infrastructure took away."""
    return State(CRASHED, reason=reason, message=message)


def failed(reason: str = "ValueError", message: str = "no such file") -> State:
    """The end of a workload whose code raised."""
    return State(FAILED, reason=reason, message=message)


class Stage:
    """A run and its world; `template` fields as keywords, camelCase as in a manifest."""

    def __init__(
        self,
        *,
        spec: dict[str, Any] | None = None,
        settled: bool = True,
        mirrored: bool = True,
        retention: Retention | None = None,
        policy: Policy = FLOW_RUN_POLICY,
        local: bool = False,
        **template: Any,
    ) -> None:
        self.now = START
        self.retention = retention
        self.policy = policy
        self.local = local
        self.noted: tuple[TransitionStatus, ...] = ()
        #: How often the status was written.
        self.writes = 0
        self.template: FlowTemplate | None = FlowTemplate.model_validate({"entrypoint": "flows:main", **template})
        metadata = {"name": "r", "namespace": "team", "uid": "u", "generation": 1, "creationTimestamp": START}
        self.run = FlowRun.model_validate({"metadata": metadata, "spec": {"deployment": "d", **(spec or {})}})
        self.workloads: dict[int, Workload] = {}
        self.create_error: CreateError | None = None
        self.resumed_from = ""
        self.mirrored = mirrored
        self.ttl = timedelta(days=7)
        self.history: list[TransitionStatus] = []
        self.effects: list[RunEffect] = []
        self.exists = True
        self.due: datetime | None = None
        if settled:
            self.settle()

    # What is seen.

    @property
    def state(self) -> str:
        """The state as `TYPE/Name` and the reason where there is one."""
        state = self.run.status.state
        if state is None:
            return "nothing"
        name = "" if state.name == StateType(state.type).value.capitalize() else f"/{state.name}"
        return f"{state.type}{name}" + (f" {state.reason}" if state.reason else "")

    @property
    def path(self) -> list[str]:
        """The names of all states so far."""
        return [transition.name for transition in self.entered]

    @property
    def entered(self) -> list[TransitionStatus]:
        """The decisions so far by which the run entered a state."""
        return [transition for transition in self.history if transition.accepted]

    @property
    def stayed(self) -> list[str]:
        """The decisions so far that changed nothing: `Wait rule: reason`."""
        return [f"{record.verdict} {record.rule}: {record.message}" for record in self.history if not record.accepted]

    @property
    def workload(self) -> Workload:
        """The workload of the current attempt."""
        return self.workloads[self.run.status.attempt]

    def condition(self, kind: str) -> str:
        """`True Reason`, `False Reason`, or nothing where there is no such condition."""
        found = next((condition for condition in self.run.status.conditions if condition.type == kind), None)
        return f"{found.status} {found.reason}" if found else ""

    def stops(self) -> list[StopWorkload]:
        """Every request to stop so far."""
        return [effect for effect in self.effects if isinstance(effect, StopWorkload)]

    # What happens.

    def pass_time(self, seconds: float = 0, *, to: datetime | None = None) -> Stage:
        """Time goes by."""
        self.now = to if to is not None else self.now + timedelta(seconds=seconds)
        return self.settle()

    def ask(self, **spec: Any) -> Stage:
        """The owner changes the spec."""
        self._change(spec=self.run.spec.model_copy(update=spec), generation=self.run.metadata.generation + 1)
        return self.settle()

    def delete(self) -> Stage:
        """The owner deletes the run."""
        self._change(deletion_timestamp=self.now)
        return self.settle()

    def start(self, **fields: Any) -> Stage:
        """The current workload's code begins to run."""
        return self.see(phase=Phase.RUNNING, **{"started_time": self.now, "start_issue": None, **fields})

    def end(self, end: State | None = None, **fields: Any) -> Stage:
        """The current workload ends, well where nothing else is said."""
        values = {"phase": Phase.ENDED, "alive": False, "ended_time": self.now, "end": end or State(COMPLETED)}
        return self.see(**{**values, **fields})

    def start_issue(self, reason: str | None, patience: float | None = None, *, intended: bool = False) -> Stage:
        """The current workload does not start, or what held it back is gone (None)."""
        limit = None if patience is None else timedelta(seconds=patience)
        return self.see(start_issue=StartIssue(reason, f"{reason} happened", limit, intended) if reason else None)

    def vanish(self, attempt: int | None = None) -> Stage:
        """A workload is not there any more."""
        del self.workloads[attempt or self.run.status.attempt]
        return self.settle()

    def see(self, attempt: int | None = None, **fields: Any) -> Stage:
        """A workload is seen in another condition."""
        attempt = attempt or self.run.status.attempt
        self.workloads[attempt] = replace(self.workloads[attempt], **fields)
        return self.settle()

    def appear(self, attempt: int, **fields: Any) -> None:
        """A workload exists; the reconciler is not asked."""
        name = names.pod_name(self.run.metadata.name, attempt)
        self.workloads[attempt] = Workload(name, f"pod-{attempt}-{len(self.effects)}", attempt, Phase.PENDING, self.now, **fields)

    # The reconciler.

    def settle(self) -> Stage:
        """Ask and do until nothing is left to do at this time."""
        for _ in range(_ROUNDS):
            plan = self.plan()
            self.carry_out(plan)
            if not plan.effects and plan.status is None:
                self.due = plan.due
                self._check()
                return self
            forced = any(isinstance(effect, StopWorkload) and effect.force for effect in plan.effects)
            if not forced and (plan.due is None or plan.due > self.now):
                again = self.plan()
                assert again.status is None, f"asked again, it changes its mind: {again.transitions}"
                assert not again.effects, f"asked again, it wants more: {again.effects}"
        message = f"it never settles: {self.path}"
        raise AssertionError(message)

    def plan(self) -> RunPlan:
        """What the reconciler wants now."""
        seen = RunObservation(
            self.run,
            self.template,
            dict(self.workloads),
            self.create_error,
            self.resumed_from,
            ttl=self.ttl,
            mirrored=self.mirrored,
            retention=self.retention,
            local=self.local,
            policy=self.policy,
            noted=self.noted,
        )
        plan = reconcile(seen, self.now)
        assert plan == reconcile(seen, self.now)
        return plan

    def carry_out(self, plan: RunPlan) -> None:
        """Create, write, then do the rest."""
        self._do_all([effect for effect in plan.effects if isinstance(effect, CreateWorkload)])
        self.noted = plan.noted
        if plan.status is not None:
            self.run = self.run.model_copy(update={"status": plan.status})
            self.writes += 1
        self.history += plan.transitions
        self._do_all([effect for effect in plan.effects if not isinstance(effect, CreateWorkload)])

    def _do_all(self, effects: list[RunEffect]) -> None:
        for effect in effects:
            self.effects.append(effect)
            self._do(effect)

    def _do(self, effect: RunEffect) -> None:
        match effect:
            case CreateWorkload(attempt):
                assert not [workload for workload in self.workloads.values() if workload.alive], "another attempt is alive"
                if attempt not in self.workloads:
                    self.appear(attempt)
            case StopWorkload(_, uid, force=force):
                (attempt,) = (number for number, workload in self.workloads.items() if workload.uid == uid)
                if force:
                    del self.workloads[attempt]
                else:
                    assert self.workloads[attempt].stopping_time is None, "asked twice"
                    self.workloads[attempt] = replace(self.workloads[attempt], stopping_time=self.now + GRACE)
            case ReleaseWorkload(_, uid) | RemoveWorkload(_, uid):
                self.workloads = {number: workload for number, workload in self.workloads.items() if workload.uid != uid}
            case AddFinalizer():
                self._change(finalizers=(*self.run.metadata.finalizers, names.MIRROR_FINALIZER))
            case ReleaseRun():
                self._change(finalizers=())
                self.exists = False
            case DeleteRun():
                self._change(deletion_timestamp=self.now)

    def _change(self, spec: Any = None, **metadata: Any) -> None:
        changed = {"metadata": self.run.metadata.model_copy(update=metadata)} | ({"spec": spec} if spec else {})
        self.run = self.run.model_copy(update=changed)

    def _check(self) -> None:
        """What holds at every moment of every run."""
        status = self.run.status
        assert [transition.sequence for transition in self.history] == list(range(1, len(self.history) + 1))
        assert status.sequence == len(self.history)
        assert list(status.transitions) == self.history[-TRANSITIONS_KEPT:]
        times = [transition.time for transition in self.entered]
        assert times == sorted(times)
        before: StateType | None = None
        for transition in self.history:
            assert transition.from_type == before
            if not transition.accepted:
                assert (transition.to, transition.until is not None) == (before, transition.verdict == "Wait")
                continue
            assert (before, transition.to) in ORDER or (before in TERMINAL and transition.proposed == SCHEDULED)
            before = transition.to
        assert len([workload for workload in self.workloads.values() if workload.alive and workload.stopping_time is None]) <= 1
        assert status.is_terminal == (status.end_time is not None)
        if status.transitions:
            assert status.observed_generation > 0
