"""What the queries answer with, ready to be encoded as JSON. Instants are aware datetimes in UTC."""

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


class FlowRunAnswer(msgspec.Struct):
    """A flow run. `deployment` is null for a run with its own template; `deleted` is when it left the cluster.

    `history_complete` is true once every task run and log of its current attempt was taken in and no transition is missing.
    `task_counts` counts the task runs of its current attempt by state type. `flow` is the name of the flow where the run's own
    process reported it: of runs outside of clusters.
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


class TransitionAnswer(msgspec.Struct):
    """One transition of a flow run and the decision behind it; `from` is null for the first.

    `rule`, `verdict` and `reason` are those that decided, `trail` is `[rule, verdict, reason]` of every rule that had something to
    say about what was `proposed`, in order. Where the verdict is Abort, the run stayed in its state.
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


class TaskRunAnswer(msgspec.Struct):
    """One task run. `n` is its number in the attempt, `parent` that of the task run or subflow it was called in.

    `history` holds `[state type, state name, µs since created, state type proposed, trail]` for each state it was in, the trail as
    in a flow run's transitions. `inputs` the
    numbers of the task runs whose results it was given, by parameter (`wait_for`: what it only waited for), `upstream` all of them.
    """

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
    """The task runs of one attempt and which result went into which: `edges` are pairs (from, to) of node numbers.

    `truncated` is true where the attempt has more task runs than are shown.
    """

    attempt: int
    nodes: list[NodeAnswer]
    edges: list[tuple[int, int]]
    truncated: bool


class LogAnswer(msgspec.Struct):
    """A line of a log; `level` is Python's number (20 INFO, 30 WARNING, …), `n` the task run it belongs to.

    `seq` orders the lines; its steps say nothing. `logger` is `container/NAME` for lines that were copied from a container's log.
    """

    seq: int
    time: datetime
    level: int
    logger: str
    n: int | None
    message: str


class ArtifactAnswer(msgspec.Struct):
    """What a run made for people to see. `n` is the task run that made it (null: the flow run itself), `version` counts its changes.

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
    """A variable: a named value, anything that JSON can say."""

    name: str
    value: msgspec.Raw
    tags: list[str]
    created: datetime
    updated: datetime


class VariablePage(msgspec.Struct):
    """A page of variables, by name."""

    items: list[VariableAnswer]
    next: str | None


class HoldingAnswer(msgspec.Struct):
    """Somebody who holds `slots` of a limit, or waits for them (`granted` null), until `expires` unless he asks for more time."""

    id: str
    slots: int
    who: str
    asked: datetime
    granted: datetime | None
    expires: datetime


class LimitAnswer(msgspec.Struct):
    """A concurrency limit. With `decay_per_second` it is a rate: so many slots come back each second by themselves.

    `held` is how many slots are held now (of a rate: taken and not back yet), `waiting` how many runs wait. `leases` are those
    who hold or wait, who asked first first, of many the first 100.
    """

    name: str
    slots: int
    decay_per_second: float
    held: float
    waiting: int
    leases: list[HoldingAnswer]
    created: datetime
    updated: datetime


class LimitPage(msgspec.Struct):
    """A page of concurrency limits, by name."""

    items: list[LimitAnswer]
    next: str | None


class VerdictAnswer(msgspec.Struct):
    """What became of asking for slots: `granted`, or not yet: those before take all slots for so many `turns`.

    `missing` are names of no limit, `rates` those whose slots are to be reserved instead; neither holds anybody up here.
    `small` are limits that never have so many slots, `blocked` those waited for, with how many of their slots are held.
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
    """Slots of rates: `granted` and to be used `seconds` from now, or not taken because that is too long."""

    granted: bool
    seconds: float


class PauseAnswer(msgspec.Struct):
    """A pause of a flow run that others can end; `key` names it within the run, `attempt` is the one that waits or waited in it.

    `suspended` is true where no process waits meanwhile. `schema` is the JSON Schema of the input it waits for, null where it
    waits for none; `deadline` is when it fails, null for never. `answered` is when somebody ended it, with the input `answer`;
    `refusal` says what the flow had against the last one. `open` is true while it can be answered.
    """

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
    """The next attempt of a flow run outside of clusters, which is its asker's to run: after `sequence` transitions, under that name."""

    uid: str
    name: str
    attempt: int
    sequence: int
