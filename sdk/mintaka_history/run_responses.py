"""The documents about runs that queries return, ready to be encoded as JSON. Times are aware datetimes in UTC."""

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


class AttemptAnswer(msgspec.Struct):
    """The next attempt of a flow run outside of clusters, for the caller to run: after `sequence` transitions, under this name."""

    uid: str
    name: str
    attempt: int
    sequence: int


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
