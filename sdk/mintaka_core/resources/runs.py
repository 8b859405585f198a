"""FlowRun: one run of a flow, from the request to its end."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from mintaka_core.resources.concurrency import HIGHEST_PRIORITY, LOWEST_PRIORITY, ConcurrencyStatus
from mintaka_core.resources.model import (
    ATOMIC,
    AnyObject,
    Condition,
    Metadata,
    Model,
    ObjectName,
    PlannedTime,
    RecordedTime,
    Tag,
    Time,
    cel,
    validations,
)
from mintaka_core.resources.template import FlowTemplate
from mintaka_core.states import State, StateType

#: The number of decisions that a FlowRun stores. The mirror can be down for that many without a gap in the database: eight
#: attempts' worth, about 8 KiB.
TRANSITIONS_KEPT = 32

#: The number of opinions that a decision stores.
OPINIONS_KEPT = 16
#: The verdicts after which a run stays in its state.
STAYS = frozenset({"Wait", "Abort"})

#: The number of attempts that a FlowRun stores.
ATTEMPTS_KEPT = 8

#: How often a run may suspend itself.
RESUMED_LIMIT = 200


def _immutable(field: str) -> dict[str, str]:
    return cel(
        f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
        f"{field} cannot be changed once the run exists: create another FlowRun",
        reason="FieldValueForbidden",
    )


_RUN_RULES = validations(
    cel("has(self.deployment) != has(self.template)", "a run has exactly one of deployment (a name) and template (written out)"),
    _immutable("deployment"),
    _immutable("template"),
    _immutable("parameters"),
    _immutable("scheduledTime"),
    _immutable("tags"),
    _immutable("resumeFrom"),
    _immutable("calledBy"),
    _immutable("overrides"),
    cel("!oldSelf.cancel || self.cancel", "cancel cannot be taken back: create another FlowRun", reason="FieldValueForbidden"),
    cel("self.reruns >= oldSelf.reruns", "reruns can only grow: each rise starts the run again", reason="FieldValueForbidden"),
    cel(
        "!oldSelf.cancel || self.reruns == oldSelf.reruns",
        "a run whose cancel is set does not run again: create another FlowRun with resumeFrom",
        reason="FieldValueForbidden",
    ),
)


class CalledBy(Model):
    """The flow run whose code called this one, with `run_deployment`."""

    uid: str = Field(min_length=1, max_length=64)
    """Its uid."""
    name: str = Field(default="", max_length=253)
    """Its name."""
    attempt: int | None = Field(default=None, ge=1)
    """Its attempt that called."""
    flow_run: str | None = Field(default=None, min_length=1, max_length=64)
    """The uid of the flow run whose code called, if it ran within the process of the caller; history shows it as the parent."""
    task_run: int | None = Field(default=None, ge=0)
    """The number of the task run that called, in that attempt; absent: the flow itself called."""
    detached: bool = False
    """True: this run continues if the one that called it is cancelled."""


class RunOverrides(Model):
    """What one run overrides in its deployment."""

    image: str | None = Field(default=None, min_length=1, max_length=1000)
    """The image of the flow's container."""
    pod_template: AnyObject | None = None
    """A partial PodTemplateSpec, merged strategically over that of the deployment; the container named `flow` is the flow's."""


class FlowRunSpec(Model):
    """The request for one run of a flow."""

    model_config = ConfigDict(json_schema_extra=_RUN_RULES)

    deployment: ObjectName | None = None
    """The FlowDeployment of the same namespace to run, as it is when the operator first sees the run."""
    template: FlowTemplate | None = Field(default=None, json_schema_extra=ATOMIC)
    """An inline template of what to run, instead of a deployment."""
    parameters: AnyObject | None = Field(default=None, json_schema_extra=ATOMIC)
    """Arguments of the flow, over those of the deployment; at most 16 KiB of JSON."""
    scheduled_time: Time | None = None
    """When to start; absent: as soon as possible."""
    suspend: bool = False
    """True: the run does not start, or is stopped if it is running (state PAUSED); false again: it starts again."""
    cancel: bool = False
    """True: the run is stopped and ends CANCELLED. Cannot be undone."""
    reruns: int = Field(default=0, ge=0, le=1000000)
    """Increase it (it can only grow) to start another attempt of a run that has finished or suspended itself; finished
    tasks are taken from persisted results. It runs the spec that the run was created with; with the annotation
    `mintaka.dev/revision: latest`, the newest. While the run is active, an increase takes effect when it ends. A run that is
    being cancelled or deleted does not run again.
    """
    resume_from: ObjectName | None = None
    """A finished FlowRun of the same namespace and flow whose finished tasks need not run again: their results are taken
    from the result storage, which both runs must share.
    """
    tags: tuple[Tag, ...] = Field(default=(), max_length=50)
    """Free words to find the run by, in addition to those of the deployment."""
    called_by: CalledBy | None = Field(default=None, json_schema_extra=ATOMIC)
    """The flow run that called this one. If that is cancelled, or deleted before it ended, this one is cancelled too."""
    overrides: RunOverrides | None = Field(default=None, json_schema_extra=ATOMIC)
    """What this run overrides in its deployment."""
    priority: int | None = Field(default=None, ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY)
    """Of the runs that wait for a slot of their deployment's `concurrency`, higher ones start first; may be changed while the run
    waits. Absent: that of the deployment.
    """


class StateStatus(Model):
    """The state a run is in."""

    type: StateType
    """One of SCHEDULED, PENDING, RUNNING, COMPLETED, FAILED, CRASHED, PAUSED, CANCELLING, CANCELLED."""
    name: str = Field(max_length=200)
    """The state's own name, finer than its type: Late, AwaitingRetry, TimedOut and so on."""
    reason: str = Field(default="", max_length=200)
    """Why, as one word for programs: OOMKilled, ImagePullBackOff, an exception's class."""
    message: str = Field(default="", max_length=4096)
    """Why, for people."""
    time: RecordedTime
    """When the state began."""

    @classmethod
    def of(cls, state: State) -> StateStatus:
        """A state in status form; it must have a time. Texts are truncated to the limits of the schema."""
        if state.time is None:
            message = f"state {state.name} has no time"
            raise ValueError(message)
        return cls(type=state.type, name=state.name[:200], reason=state.reason[:200], message=state.message[:4096], time=state.time)


class OpinionStatus(Model):
    """The verdict of one rule on a proposal."""

    rule: str = Field(max_length=100)
    """The rule."""
    verdict: str = Field(max_length=20)
    """Redirect, Wait or Abort; Accept of a rule that gives a reason why it has no objection."""
    reason: str = Field(default="", max_length=1024)
    """Why, for people."""


class TransitionStatus(Model):
    """One decision about a run: a proposed state, and what became of it."""

    sequence: int = Field(ge=1)
    """Counts the decisions of a run from 1, without gaps."""
    from_type: StateType | None = Field(default=None, alias="from")
    """State type before; absent for the first."""
    to: StateType
    """State type after; the same as before if the proposal waits or was refused."""
    name: str = Field(max_length=200)
    """Name of the state after."""
    proposed: StateType
    """State type that was proposed; differs from `to` if a rule redirected, waits or refused."""
    rule: str = Field(default="", max_length=100)
    """The rule that decided; empty if none objected."""
    verdict: str = Field(max_length=20)
    """Accept, Redirect, Wait or Abort."""
    trail: tuple[OpinionStatus, ...] = Field(default=(), max_length=OPINIONS_KEPT, exclude_if=lambda trail: not trail)
    """The verdicts of all rules that had one, in order; absent if no more than one had."""
    facts: AnyObject | None = Field(default=None, json_schema_extra=ATOMIC)
    """What the rules read of the proposal, as far as it differs from the usual; at most 1 KiB of JSON."""
    until: PlannedTime | None = None
    """When a proposal that waits is made again."""
    reason: str = Field(default="", max_length=200)
    """The reason of the state after."""
    message: str = Field(default="", max_length=1024)
    """Why the rule decided so, or the state's message."""
    attempt: int = Field(ge=0)
    """The attempt it belongs to."""
    time: RecordedTime
    """When it happened."""

    @property
    def accepted(self) -> bool:
        """True if the run entered a state; False if it stayed in its state because the proposal waits or was refused."""
        return self.verdict not in STAYS


class AttemptStatus(Model):
    """One attempt of a run: the pod that ran it, and how that ended."""

    number: int = Field(ge=1)
    """The attempt, counted from 1."""
    pod_name: str = Field(default="", max_length=253)
    """Its pod."""
    pod_uid: str = Field(default="", max_length=64)
    """The uid of its pod."""
    node: str = Field(default="", max_length=253)
    """The node it ran on; empty before it was bound to one."""
    created: RecordedTime | None = None
    """When its pod was created."""
    started: RecordedTime | None = None
    """When the flow's container started."""
    ended: RecordedTime | None = None
    """When it ended."""
    exit_code: int | None = None
    """The exit code of the flow's container."""
    state: StateType | None = None
    """The state its end resulted in, before any retry."""
    reason: str = Field(default="", max_length=200)
    """The reason of that state."""
    diagnosis: str = Field(default="", max_length=1024)
    """What happened, for people: the state's message."""
    log_tail: str = Field(default="", max_length=1024)
    """The last lines that its process printed, if it left no report."""
    revision: str = Field(default="", max_length=253)
    """The ControllerRevision whose spec it ran; empty for a run with a template of its own."""


class FlowRunStatus(Model):
    """The progress of the run; written only by the operator."""

    state: StateStatus | None = None
    """The state the run is in."""
    sequence: int = 0
    """How many decisions were recorded about the run; the number of the latest."""
    attempt: int = 0
    """The current attempt, counted from 1; 0 before the first pod."""
    failures: int = 0
    """Retries granted after failures."""
    crashes: int = 0
    """Retries granted after crashes."""
    rejections: int = 0
    """Retries granted because a pod was rejected before any code ran."""
    rule_redirects: int = Field(default=0, exclude_if=lambda count: not count)
    """How often rules of users redirected or delayed it; at most 50 times."""
    pod_name: str | None = None
    """The pod of the current attempt."""
    start_time: RecordedTime | None = None
    """When the flow's code first ran."""
    end_time: RecordedTime | None = None
    """When the run ended."""
    next_time: PlannedTime | None = None
    """When the operator acts next if nothing else happens: the scheduled time, a retry, a timeout."""
    transitions: tuple[TransitionStatus, ...] = Field(default=(), max_length=TRANSITIONS_KEPT)
    """The latest decisions, oldest first: states entered, and proposals that wait or were refused."""
    attempts: tuple[AttemptStatus, ...] = Field(default=(), max_length=ATTEMPTS_KEPT)
    """The latest attempts, at most eight, oldest first."""
    revision: str = Field(default="", max_length=253)
    """The ControllerRevision whose spec the attempts of the run use: that of its deployment when the operator first saw the
    run, or with the annotation `mintaka.dev/revision: latest` that of when its latest attempt began. Empty for a run with a
    template of its own, and if the operator may not create ControllerRevisions.
    """
    conditions: tuple[Condition, ...] = Field(
        default=(), max_length=10, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    )
    """Finished, Completed, Failed, Crashed, Cancelled, Suspended (for `kubectl wait`), HistoryComplete. The message of Finished, which is
    False until the run has ended, explains why the run is where it is, what happens next, and what would change it.
    """
    observed_generation: int = 0
    """The `metadata.generation` this status is based on."""
    reruns: int = 0
    """How much of `spec.reruns` has been acted upon."""
    resumed_from: str = Field(default="", max_length=100)
    """The uid under which the results of finished tasks are stored, if `spec.resumeFrom` made it another run's."""
    suspension: str = Field(default="", max_length=200)
    """The name of the suspension in which a run waits that suspended itself."""
    resumed: tuple[Annotated[str, Field(max_length=200)], ...] = Field(default=(), max_length=RESUMED_LIMIT)
    """The run's own suspensions that are over: further attempts pass them without waiting."""
    concurrency: ConcurrencyStatus | None = None
    """The key whose slots the run uses; absent if its deployment limits nothing."""
    problem: str = Field(default="", max_length=200)
    """What is wrong or holds the run, in one word: empty for a run that waits for its time, runs or completed as expected."""

    @property
    def is_terminal(self) -> bool:
        """True if the run is over."""
        return self.state is not None and self.state.type.is_terminal


class FlowRun(Model):
    """One run of a flow. Create it to run; set spec.cancel to stop it; delete it to stop it and remove it from the cluster."""

    api_version: str = "mintaka.dev/v1alpha1"
    kind: str = "FlowRun"
    metadata: Metadata
    spec: FlowRunSpec
    status: FlowRunStatus = FlowRunStatus()

    @property
    def rerun_wanted(self) -> bool:
        """True if `spec.reruns` was raised since the last rerun, and the run is neither cancelled nor deleted."""
        return self.spec.reruns > self.status.reruns and not self.spec.cancel and self.metadata.deletion_timestamp is None
