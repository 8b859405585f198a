"""OrchestrationRule and ClusterOrchestrationRule: rules of users about flow runs, with conditions in CEL."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, JsonValue

from mintaka_core.resources.model import Condition, Metadata, Model, ObjectName, RecordedTime, Tag, Time, cel, validations
from mintaka_core.states import StateType

#: The maximum length of an expression in characters.
EXPRESSION_LIMIT = 4096

_SELECTABLE_FROM: list[JsonValue] = ["SCHEDULED", "PENDING", "RUNNING"]
_SELECTABLE_TO: list[JsonValue] = ["PENDING", "COMPLETED", "FAILED", "CRASHED"]

_WAIT_RULES = validations(cel("has(self.seconds) != has(self.until)", "wait has exactly one of seconds and until"))
_THEN_RULES = validations(
    cel(
        "[has(self.abort), has(self.wait), has(self.redirect), has(self.delay)].filter(given, given).size() == 1",
        "then has exactly one of abort, wait, redirect and delay",
    )
)
_RULE_RULES = validations(
    cel("self.target != 'TaskRun'", "rules about task runs are not supported yet: use FlowRun", field_path=".target"),
)


class RuleSelector(Model):
    """The flow runs that a rule is about. A run matches if it matches every field that is set."""

    deployments: tuple[ObjectName, ...] = Field(default=(), max_length=100)
    """Names of FlowDeployments: the run is of one of them."""
    match_labels: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict, json_schema_extra={"maxProperties": 20, "x-kubernetes-map-type": "atomic"}
    )
    """Labels that the run's FlowDeployment has, all of them."""
    tags: tuple[Tag, ...] = Field(default=(), max_length=20)
    """Tags that the run has, all of them: its own or those of its deployment."""


class AbortAction(Model):
    """Refuse the transition: the run stays in its state, and the rule is evaluated again every 30 s."""


class WaitAction(Model):
    """Hold the run back as long as the rule applies: exactly one of seconds and until."""

    model_config = ConfigDict(json_schema_extra=_WAIT_RULES)

    seconds: int | None = Field(default=None, ge=1, le=86400)
    """The wait that is recorded, in seconds; after it the rule is recorded again if it still applies."""
    until: Time | None = None
    """The end of the wait; from then on the rule no longer applies."""


class RedirectAction(Model):
    """Have the run end in another state than the proposed one; no retry follows."""

    type: StateType = Field(json_schema_extra={"enum": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]})
    """The type of the state: COMPLETED, FAILED, CRASHED or CANCELLED."""
    reason: str = Field(default="", max_length=100, pattern=r"^([A-Za-z][A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    """The reason of the state, one CamelCase word; absent: that of the proposed state, or RedirectedByRule."""


class DelayAction(Model):
    """Have the run start, or start again, after a while."""

    seconds: int = Field(ge=1, le=604800)
    """The delay in seconds."""


class RuleAction(Model):
    """What a rule does: exactly one of its fields is set."""

    model_config = ConfigDict(json_schema_extra=_THEN_RULES)

    abort: AbortAction | None = None
    """Refuse to start the run (SCHEDULED to PENDING only)."""
    wait: WaitAction | None = None
    """Hold the run back before it starts (SCHEDULED to PENDING only)."""
    redirect: RedirectAction | None = None
    """End the run in another state."""
    delay: DelayAction | None = None
    """Start the run, or start it again, later."""


class OrchestrationRuleSpec(Model):
    """A rule about flow runs."""

    model_config = ConfigDict(json_schema_extra=_RULE_RULES)

    target: str = Field(default="FlowRun", json_schema_extra={"enum": ["FlowRun", "TaskRun"]})
    """What the rule is about: FlowRun. TaskRun is refused, it is not supported yet."""
    selector: RuleSelector = RuleSelector()
    """The flow runs that it is about; absent: all of the namespace, or of the cluster for a ClusterOrchestrationRule."""
    from_types: tuple[StateType, ...] = Field(
        default=(), max_length=3, alias="from", json_schema_extra={"items": {"type": "string", "enum": _SELECTABLE_FROM}}
    )
    """State types that the run leaves, of SCHEDULED, PENDING and RUNNING; absent: any of them."""
    to_types: tuple[StateType, ...] = Field(
        default=(), max_length=4, alias="to", json_schema_extra={"items": {"type": "string", "enum": _SELECTABLE_TO}}
    )
    """Proposed state types, of PENDING, COMPLETED, FAILED and CRASHED; absent: any of them."""
    when: str = Field(default="true", min_length=1, max_length=EXPRESSION_LIMIT)
    """A condition in CEL over the facts of the run (docs/rules.md); absent: always."""
    then: RuleAction
    """What happens to the transition if the condition is true."""
    message: str = Field(default="", max_length=500)
    """Why, for people: recorded with each decision of the rule."""
    suspend: bool = False
    """True: the rule is not applied."""


class OrchestrationRuleStatus(Model):
    """The operator's view of a rule; counts are written at most every 30 seconds."""

    observed_generation: int = 0
    """The `metadata.generation` this status is based on."""
    conditions: tuple[Condition, ...] = Field(
        default=(), max_length=10, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    )
    """Accepted: the rule is applied. Invalid: it cannot be, with line and column of the error. Evaluating: False with the last error."""
    evaluations: int = 0
    """How often its condition was evaluated."""
    verdicts: int = 0
    """How often it had a verdict."""
    errors: int = 0
    """How often it abstained because its condition failed, or costs too much."""
    holding: int = 0
    """How many runs it holds back at present."""
    last_verdict_time: RecordedTime | None = None
    """When it last had a verdict."""
    last_error_time: RecordedTime | None = None
    """When it last abstained because of an error."""


class OrchestrationRule(Model):
    """A rule about the flow runs of its namespace."""

    api_version: str = "mintaka.dev/v1alpha1"
    kind: str = "OrchestrationRule"
    metadata: Metadata
    spec: OrchestrationRuleSpec
    status: OrchestrationRuleStatus = OrchestrationRuleStatus()
