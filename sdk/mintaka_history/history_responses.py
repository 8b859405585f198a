"""The documents about the history as a whole that queries return: counts, events, changes, retention, dry runs of rules."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations

import msgspec


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
