"""The documents that queries return, ready to be encoded as JSON. Times are aware datetimes in UTC."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Any

import msgspec

from mintaka_history.enum_codes import ShownState  # noqa: TC001


class StateAnswer(msgspec.Struct):
    """The state of a flow run; `time` is when it began."""

    type: ShownState
    name: str
    reason: str
    message: str
    time: datetime | None


class ConditionAnswer(msgspec.Struct):
    """A condition of a flow run's resource; `status` is True, False or Unknown, `time` when it last changed."""

    type: str
    status: str
    reason: str
    message: str
    time: datetime


class FlowRunAnswer(msgspec.Struct):
    """A flow run. `deployment` is null for a run with its own template; `deleted` is when it left the cluster.

    `history_complete` is true once every task run and log of its current attempt is stored and no transition is missing.
    `task_counts` counts the task runs of its current attempt by state type. `flow` is the name of the flow if the run's own
    process reported it, that is, for runs outside of clusters.

    `kind` is deployed (a resource of a cluster), called (a flow called in another one's process) or script. `parent` is the run
    that called or started it, `root` the first of them; null for a run by itself. `parent_n` is the number of the task run of `parent`
    that stands for a called run, in the same attempt. `revision` is the version of the deployment's
    spec that it was created with, `next_time` when the operator acts next if nothing else happens, `history_reason` why the
    history is not complete. `conditions` are those of its resource.
    """

    uid: str
    namespace: str
    name: str
    deployment: str | None
    state: StateAnswer
    sequence: int
    attempt: int
    failures: int
    crashes: int
    created: datetime
    scheduled: datetime | None
    started: datetime | None
    ended: datetime | None
    tags: list[str]
    parameters: dict[str, Any]
    pod: str | None
    history_complete: bool
    deleted: datetime | None
    task_counts: dict[str, int]
    flow: str | None = None
    kind: str = "deployed"
    parent: str | None = None
    root: str | None = None
    parent_n: int | None = None
    cluster: str | None = None
    revision: str | None = None
    next_time: datetime | None = None
    history_reason: str = ""
    conditions: list[ConditionAnswer] = []


class TransitionAnswer(msgspec.Struct):
    """One decision about a flow run: what was proposed and what became of it; `from` is null for the first.

    `rule`, `verdict` and `reason` are those of the deciding rule; `trail` has `[rule, verdict, reason]` of every rule with
    a verdict on what was `proposed`, in order. If the verdict is Abort or Wait, the run stayed in its state; a proposal that waits
    is made again at `until`. The verdict Gap represents decisions that were lost: its message states which, `sequence` is the last
    of them. `facts` are what the rules read.
    """

    sequence: int
    from_: ShownState | None = msgspec.field(name="from")
    to: ShownState
    name: str
    proposed: ShownState
    rule: str
    verdict: str
    reason: str
    message: str
    attempt: int
    time: datetime
    trail: list[tuple[str, str, str]] = []
    facts: dict[str, Any] = {}
    until: datetime | None = None


class TaskRunAnswer(msgspec.Struct):
    """One task run. `n` is its number in the attempt, `parent` that of the task run or subflow that called it.

    `id` is the UUID that its own code, hooks and log records know it by; it is made of `flow_run`, `attempt` and `n`.

    `history` has `[state type, state name, µs since created, state type proposed, trail]` for each state it was in, the
    trail as in a flow run's transitions; `facts` are what the rules read, by the position of the entry in `history`. `inputs` are the numbers of the task runs whose results were passed to it, by
    parameter (`wait_for`: those it only waited for), `upstream` all of them.
    """

    id: str
    flow_run: str
    attempt: int
    n: int
    task: str
    name: str
    kind: str
    state: ShownState
    state_name: str
    reason: str
    message: str
    created: datetime
    started: datetime | None
    ended: datetime | None
    runs: int
    parent: int | None
    inputs: dict[str, list[int]]
    upstream: list[int]
    tags: list[str]
    history: list[tuple[str, str, int, str, list[tuple[str, str, str]]]]
    namespace: str
    sequence: int
    facts: dict[str, dict[str, Any]] = {}


class NodeAnswer(msgspec.Struct):
    """A task run as a node of the graph."""

    n: int
    task: str
    name: str
    kind: str
    state: ShownState
    state_name: str
    started: datetime | None
    ended: datetime | None
    parent: int | None


class GraphAnswer(msgspec.Struct):
    """The task runs of one attempt and the data dependencies between them: `edges` are pairs (from, to) of node numbers.

    `truncated` is true if the attempt has more task runs than are shown.
    """

    attempt: int
    nodes: list[NodeAnswer]
    edges: list[tuple[int, int]]
    truncated: bool


class LogAnswer(msgspec.Struct):
    """A line of a log; `level` is Python's number (20 INFO, 30 WARNING, …), `n` the task run it belongs to.

    `seq` orders the lines; the gaps in it have no meaning. `logger` is `container/NAME` for lines copied from a container's
    log.
    """

    seq: int
    time: datetime
    level: int
    logger: str
    n: int | None
    message: str


class RunAttemptAnswer(msgspec.Struct):
    """An attempt of a flow run: the pod that ran it, and how that ended.

    `state` is what its end resulted in before any retry, `reason` and `diagnosis` say why, `log_tail` is what its process printed
    last if it left no report. `revision` is the version of the deployment's spec that it ran. Null or empty: not known, or not yet.
    """

    attempt: int
    state: ShownState | None
    reason: str
    diagnosis: str
    exit_code: int | None
    pod: str | None
    pod_uid: str | None
    node: str | None
    revision: str | None
    created: datetime | None
    started: datetime | None
    ended: datetime | None
    log_tail: str


class BucketAnswer(msgspec.Struct):
    """The flow runs created in [`start`, `end`), by state type; states without runs are absent."""

    start: datetime
    end: datetime
    counts: dict[str, int]


class CountAnswer(msgspec.Struct):
    """The number of flow runs of a group, by state type; states without runs are absent.

    `namespace` and `deployment` are null if the runs are not grouped by them; `deployment` also for runs without one.
    """

    namespace: str | None
    deployment: str | None
    counts: dict[str, int]


class EventAnswer(msgspec.Struct):
    """An event; `flow_run` is the uid of the run it belongs to, if any."""

    id: str
    time: datetime
    name: str
    namespace: str
    resource: str
    flow_run: str | None
    payload: msgspec.Raw


class ChangeAnswer(msgspec.Struct):
    """An object that changed, at `time` or later: read it again. `kind` is flow_run or flow_deployment."""

    kind: str
    uid: str
    namespace: str
    time: datetime


class ArtifactAnswer(msgspec.Struct):
    """An artifact that a run created for people to see. `n` is the task run that created it (null: the flow run itself),
    `version` counts its changes.

    `data` by `kind`: markdown, a text; table, a list of rows or an object of columns; link, `link` and `link_text`; image,
    `image_url`; progress, a percentage.
    """

    id: str
    flow_run: str
    attempt: int
    n: int | None
    kind: str
    key: str | None
    description: str | None
    data: Any
    version: int
    created: datetime
    updated: datetime


class VariableAnswer(msgspec.Struct):
    """A variable of a namespace: a name and any JSON value."""

    namespace: str
    name: str
    value: msgspec.Raw
    tags: list[str]
    created: datetime
    updated: datetime


class VariablePage(msgspec.Struct):
    """A page of variables, by namespace and name."""

    items: list[VariableAnswer]
    next: str | None


class HoldingAnswer(msgspec.Struct):
    """A holder of `slots` of a limit, or a waiting request (`granted` null), until `expires` unless it is renewed."""

    id: str
    slots: int
    who: str
    asked: datetime
    granted: datetime | None
    expires: datetime


class LeasePage(msgspec.Struct):
    """A page of the holders and waiting requests of a limit, in the order in which they arrived."""

    items: list[HoldingAnswer]
    next: str | None
    previous: str | None = None


class LimitAnswer(msgspec.Struct):
    """A concurrency limit of a namespace. With `decay_per_second` it is a rate: this many slots are freed each second.

    `held` is the number of slots held now (of a rate: taken and not freed yet), `waiting` the number of waiting runs, counted up to 200.
    `leases` are the holders and waiting requests in the order in which they arrived, at most 100.
    """

    namespace: str
    name: str
    slots: int
    decay_per_second: float
    held: float
    waiting: int
    leases: list[HoldingAnswer]
    created: datetime
    updated: datetime


class LimitPage(msgspec.Struct):
    """A page of concurrency limits, by namespace and name."""

    items: list[LimitAnswer]
    next: str | None


class SlotDecisionAnswer(msgspec.Struct):
    """The result of a request for slots: `granted`, or waiting while earlier requests use all slots for this many `turns`.

    `missing` are names without a limit, `rates` those whose slots are to be reserved instead; neither blocks the request.
    `small` are limits that never have so many slots, `blocked` those it waits for, with the number of their held slots.
    """

    id: str
    granted: bool
    turns: int
    missing: list[str]
    rates: list[str]
    small: list[str]
    blocked: dict[str, int]


class LeasesAnswer(msgspec.Struct):
    """The ids of leases."""

    leases: list[str]


class ReservationAnswer(msgspec.Struct):
    """Slots of rates: `granted`, for use `seconds` from now, or not reserved because that is too long."""

    granted: bool
    seconds: float


class PauseAnswer(msgspec.Struct):
    """A pause of a flow run that other processes can end; `key` names it within the run, `attempt` is the attempt that waits or waited.

    `namespace` is that of the run.

    `suspended` is true if no process waits meanwhile. `schema` is the JSON Schema of the expected input, null if it needs
    no input; `deadline` is when the pause fails, null for never. `answered` is when it was answered, with the input
    `answer`; `refusal` is why the flow refused the last answer. `open` is true while it can be answered.
    """

    namespace: str
    key: str
    attempt: int
    suspended: bool
    open: bool
    created: datetime
    deadline: datetime | None
    schema: dict[str, Any] | None
    answered: datetime | None
    answer: Any
    refusal: str


class AttemptAnswer(msgspec.Struct):
    """The next attempt of a flow run outside of clusters, for the caller to run: after `sequence` transitions, under this name."""

    uid: str
    name: str
    attempt: int
    sequence: int


class PartitionAnswer(msgspec.Struct):
    """A partition of PostgreSQL that goes as a whole; its rows, which are those of the flow runs, and bytes are PostgreSQL's estimates."""

    name: str
    estimated_rows: int
    bytes: int


class RetentionAnswer(msgspec.Struct):
    """What retention would delete at `time`; nothing if it is not `enabled`.

    `flow_runs` counts them, `states` and `deployments` (`namespace/name`, `namespace/` for runs of none) by kind; `first` names
    a few. `complete` is false if there are more runs than were counted. Rows by table, and bytes, are estimates.
    """

    time: datetime
    enabled: bool
    complete: bool
    flow_runs: int
    states: dict[str, int]
    deployments: dict[str, int]
    oldest: datetime | None
    newest: datetime | None
    first: list[str]
    estimated_rows: dict[str, int]
    estimated_bytes: int
    partitions: list[PartitionAnswer]


class RuleOutcomeAnswer(msgspec.Struct):
    """A decision: its verdict, the type of the state after it, the rule that decided ("": none objected), and why."""

    verdict: str
    state: str
    rule: str
    reason: str


class RuleDifferenceAnswer(msgspec.Struct):
    """A recorded decision about a flow run that would have been another one `instead`."""

    uid: str
    namespace: str
    name: str
    sequence: int
    time: datetime
    recorded: RuleOutcomeAnswer
    instead: RuleOutcomeAnswer


class RuleDryRunAnswer(msgspec.Struct):
    """Which decisions about flow runs created at `since` or later would have been different with the given rules.

    `different` counts them, `items` are the first ones. `unknown` decisions were not judged, because their records lack a fact that the
    rules read. `errors` are the last errors of conditions, by rule.
    """

    since: datetime
    decisions: int
    different: int
    unknown: int
    items: list[RuleDifferenceAnswer]
    errors: dict[str, str]
