"""Converts a report to rows, independently of its source and of the database.

A report updates its flow run's row first: that takes the row's lock, refuses attempts that were replaced, and stores the
newest counts. Then task runs are upserted if their `seq` is higher than the stored one; tags, logs, artifacts and events are
inserted if they are new; and the same for each called run of the report. Rows are written in key order, each key once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from mintaka_core.errors import MintakaError
from mintaka_core.states import DEFAULT_NAMES, PAUSED, RUNNING, SCHEDULED
from mintaka_history.batches import MESSAGE_LIMIT, NAME_LIMIT, ArtifactRecord, LineRecord, TaskRecord
from mintaka_history.enum_codes import CODE_OF_WORD, STATE_CODES, STATE_OF_CODE, NameKind, RunKind, Trail
from mintaka_history.state_history import compact_history
from mintaka_history.timestamps import now_microseconds
from mintaka_history.writing import batches
from mintaka_history.writing.report_rows import CalledRows, Contents, EventRow, LogRow, Rows
from mintaka_history.writing.restarts import SUSPENDED
from mintaka_history.writing.runs import Heading, Movement, TransitionRow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mintaka_history.batches import CalledRun, HistoryBatch, LocalRun
    from mintaka_history.writing.names import Name
    from mintaka_history.writing.sessions import Session

#: Verdicts with which a run stays in its state.
_STAYS = frozenset({"Wait", "Abort"})
_DEFAULT_NAMES: dict[str, str] = {state.value: name for state, name in DEFAULT_NAMES.items()}
_RUNNING, _PAUSED, _SCHEDULED = STATE_CODES[RUNNING], STATE_CODES[PAUSED], STATE_CODES[SCHEDULED]
_UNMIRRORED = "its pod reports; what the cluster says of it has not been mirrored yet"
_json = msgspec.json.Encoder().encode


class StaleAttempt(MintakaError):
    """The report is of an attempt that attempt `current` has replaced; its sender should stop."""

    def __init__(self, message: str, current: int) -> None:
        super().__init__(message)
        self.current = current


class UnknownAttempt(MintakaError):
    """The report is of an attempt that the flow run cannot be in yet according to the mirror; `current` is the one it is in."""

    def __init__(self, message: str, current: int) -> None:
        super().__init__(message)
        self.current = current


@dataclass(frozen=True, slots=True)
class BatchRows:
    """Everything that one report writes."""

    heading: Heading
    stub: dict[str, Any]
    rows: Rows
    movement: Movement | None
    late: bool = False
    called: tuple[CalledRows, ...] = ()
    events: tuple[tuple[int, list[EventRow]], ...] = ()

    def with_lines(self, lines: Sequence[LogRow]) -> BatchRows:
        """The same with other lines of the flow run's own log."""
        return replace(self, rows=replace(self.rows, logs=lines))

    def store(self, session: Session) -> int | None:
        """Write the report; returns the highest report of the attempt that was stored before it (0: none; None: not known).

        Raises:
            StaleAttempt: the attempt was replaced; nothing was written.
            UnknownAttempt: the attempt is too far ahead of the mirrored one; nothing was written. A later try may succeed.
            MalformedBatch: a called run is one of another flow run.
        """
        contents = Contents(self.rows, self.movement, self.called, self.events)
        written = batches.write(session, self.heading, self.stub, contents, late=self.late)
        current, attempt = written.current, self.heading.attempt
        if current is None:
            return written.previous
        if current > attempt:
            message = f"attempt {attempt} was replaced by attempt {current}; stop"
            raise StaleAttempt(message, current)
        known = f"the cluster is known to be at attempt {current} of this flow run" if current else "this flow run is not mirrored yet"
        message = f"{known}, so a report of attempt {attempt} cannot be taken: send it again later"
        raise UnknownAttempt(message, current)


def names_of(report: HistoryBatch) -> set[Name]:
    """The names that `report` needs the ids of."""
    wanted: set[Name] = {(NameKind.TASK, key) for key in {task.task for task in report.tasks}}
    wanted |= {(NameKind.TAG, tag) for tag in {tag for task in report.tasks for tag in task.tags}}
    wanted |= {(NameKind.LOGGER, logger) for logger in {line.logger[:NAME_LIMIT] for line in report.logs} if logger}
    wanted.add((NameKind.NAMESPACE, report.flow_run.namespace))
    if report.flow_run.deployment:
        wanted.add((NameKind.DEPLOYMENT, report.flow_run.deployment))
    if report.flow_run.local is not None:
        wanted.add((NameKind.FLOW, report.flow_run.local.flow))
        wanted |= {(NameKind.TAG, tag) for tag in report.flow_run.local.tags}
    wanted |= {(NameKind.FLOW, run.flow) for run in report.called}
    wanted |= {(NameKind.TAG, tag) for run in report.called for tag in run.tags}
    return wanted


def rows_of_batch(
    uid: str,
    report: HistoryBatch,
    ids: Mapping[Name, int],
    *,
    holder: int | None = None,
    heard: int | None = None,
    late: bool = False,
    mirroring: bool = False,
) -> BatchRows:
    """The rows of `report` of the flow run `uid`; `ids` must contain `names_of` the report.

    For runs outside of clusters: `holder` is the lock number of the run's process, or `heard` the time of its last
    heartbeat (µs). `late` means that the report arrived after its process was gone: an older attempt's is stored too.
    `mirroring`: a mirror writes the attempts of the cluster's runs to the same database.
    """
    parts = _parts(report)
    local = report.flow_run.local
    heading = Heading(
        uid=uid,
        attempt=report.attempt,
        report=report.report,
        final=report.final,
        counts=_json(report.counts).decode() if report.counts is not None else None,
        heard=None if local is None or late else heard,
        mirroring=mirroring,
        lost=report.lost,
    )
    namespace = ids[NameKind.NAMESPACE, report.flow_run.namespace]
    stub: dict[str, Any] = {
        "uid": uid,
        "created": min((task.created for task in parts[0].tasks if task.created), default=None) or now_microseconds(),
        "ns": namespace,
        "deployment": ids[NameKind.DEPLOYMENT, report.flow_run.deployment] if report.flow_run.deployment else None,
        "name": report.flow_run.name,
        "kind": int(RunKind.DEPLOYED if local is None else RunKind.SCRIPT),
        "state": _RUNNING,
        "message": _UNMIRRORED,
    }
    if local is not None:
        stub |= _local_columns(local, ids) | {"holder": holder, "heard": 0 if late and holder is None else heard}
    loggers = {value: number for (kind, value), number in ids.items() if kind == NameKind.LOGGER}
    rows = [_rows(part, namespace, ids, loggers) for part in parts]
    movement = None
    if local is not None and local.transitions:
        movement = _movement(report.attempt, report.flow_run.name, local, ids)
    called = tuple(_called_rows(report.attempt, run, run_rows, ids) for run, run_rows in zip(report.called, rows[1:], strict=True))
    return BatchRows(heading, stub, rows[0], movement, late, called, _event_rows(report))


@dataclass(frozen=True, slots=True)
class _Part:
    """What a report has of one of its flow runs; task runs each once."""

    tasks: list[TaskRecord]
    logs: Sequence[LineRecord]
    artifacts: Sequence[ArtifactRecord]


def _parts(report: HistoryBatch) -> list[_Part]:
    """The report by flow run: its own first, then the called ones."""
    if not report.called:
        return [_Part(_newest(report.tasks), report.logs, report.artifacts)]
    runs = range(len(report.called) + 1)
    tasks: list[list[TaskRecord]] = [[] for _ in runs]
    logs: list[list[LineRecord]] = [[] for _ in runs]
    artifacts: list[list[ArtifactRecord]] = [[] for _ in runs]
    for task in report.tasks:
        tasks[task.of].append(task)
    for line in report.logs:
        logs[line.of].append(line)
    for artifact in report.artifacts:
        artifacts[artifact.of].append(artifact)
    return [_Part(_newest(tasks[run]), logs[run], artifacts[run]) for run in runs]


def _rows(part: _Part, namespace: int, ids: Mapping[Name, int], loggers: Mapping[str, int]) -> Rows:
    tasks = part.tasks
    lines = {line.seq: line for line in part.logs}
    artifacts = {artifact.id: artifact for artifact in sorted(part.artifacts, key=lambda artifact: artifact.seq)}
    return Rows(
        namespace=namespace,
        tasks=_task_rows(tasks, ids),
        tags=[(ids[NameKind.TAG, tag], task.created, task.n) for task in tasks for tag in task.tags],
        logs=[
            (line.seq, line.time, line.level, loggers.get(line.logger[:NAME_LIMIT]), line.n, line.message[:MESSAGE_LIMIT])
            for _, line in sorted(lines.items())
        ],
        artifacts=[
            (
                *(str(one.id), one.created, one.updated, one.n, one.seq, one.kind, one.key or None, one.description or None),
                bytes(one.data).decode(),
            )
            for one in artifacts.values()
        ],
    )


def _called_rows(attempt: int, run: CalledRun, rows: Rows, ids: Mapping[Name, int]) -> CalledRows:
    return CalledRows(
        uid=str(run.uid),
        parent=None if run.parent is None else str(run.parent),
        columns={
            "name": run.name,
            "flow": ids[NameKind.FLOW, run.flow],
            "parent_n": run.parent_n,
            "created": run.created,
            "deleted": run.created,
            "tags": _json(run.tags).decode() if run.tags else None,
            "parameters": _json(run.parameters).decode() if run.parameters else None,
        },
        counts=None if run.counts is None else _json(run.counts).decode(),
        rows=rows,
        movement=_movement(attempt, run.name, run, ids) if run.transitions else None,
    )


def _event_rows(report: HistoryBatch) -> tuple[tuple[int, list[EventRow]], ...]:
    """The events by the position of their flow run in the report, in the order of their ids, each once."""
    found: dict[int, dict[str, EventRow]] = {}
    for event in report.events:
        row = (str(event.id), event.time, event.name, event.resource, bytes(event.payload).decode())
        found.setdefault(event.of, {}).setdefault(row[0], row)
    return tuple((of, [rows[key] for key in sorted(rows)]) for of, rows in sorted(found.items()))


def _local_columns(local: LocalRun, ids: Mapping[Name, int]) -> dict[str, Any]:
    """The initial columns of a run outside of clusters. It counts as deleted from the cluster, since no cluster has it."""
    return {
        "created": local.created,
        "deleted": local.created,
        "flow": ids[NameKind.FLOW, local.flow],
        "message": None,
        "tags": _json(local.tags).decode() if local.tags else None,
        "parameters": _json(local.parameters).decode() if local.parameters else None,
    }


def _movement(attempt: int, name_of_run: str, run: LocalRun | CalledRun, ids: Mapping[Name, int]) -> Movement:
    rows: list[TransitionRow] = []
    started = ended = None
    reason = message = ""
    for seq, word, name, at, proposed, trail, reason, message in run.transitions:
        code = CODE_OF_WORD[word]
        rule, verdict, decision = _deciding(trail)
        facts = run.facts.get(seq)
        before = rows[-1].to_state if rows else _SCHEDULED if seq > 1 else None  # a restarted run was set to SCHEDULED when it was claimed
        rows.append(
            TransitionRow(
                seq=seq,
                at=at,
                attempt=attempt,
                from_state=before,
                to_state=code,
                proposed=CODE_OF_WORD[proposed or word],
                name=None if not name or name == _DEFAULT_NAMES[word] else name[:NAME_LIMIT],
                rule=rule or None,
                verdict=verdict,
                reason=decision[:MESSAGE_LIMIT] or None,
                message=_message_of(reason, message) or None,
                trail=_json(trail).decode() if len(trail) > 1 else None,
                facts=_json(facts).decode() if facts else None,
            )
        )
        if verdict in _STAYS:
            continue
        if code == _RUNNING and started is None:
            started = at
        ended = at if STATE_OF_CODE[code].is_terminal else None
    return Movement(
        transitions=rows,
        state_reason=reason[:NAME_LIMIT] or None,
        state_message=message[:MESSAGE_LIMIT] or None,
        started=started,
        ended=ended,
        name=name_of_run,
        created=run.created,
        tags=[ids[NameKind.TAG, tag] for tag in run.tags],
        waits=[(row.to_state, row.name) for row in rows if not row.refused][-1:] == [(_PAUSED, SUSPENDED)],
    )


def _deciding(trail: Trail) -> tuple[str, str, str]:
    """The last opinion that changed the outcome, or else the last one."""
    return next((opinion for opinion in reversed(trail) if opinion[1] != "Accept"), trail[-1] if trail else ("", "Accept", ""))


def _message_of(reason: str, message: str) -> str:
    return ": ".join(part for part in (reason, message) if part)[:MESSAGE_LIMIT]


def _newest(tasks: Sequence[TaskRecord]) -> list[TaskRecord]:
    """Each task run once, with the highest `seq`, in key order."""
    newest: dict[int, TaskRecord] = {}
    for task in tasks:
        if (other := newest.get(task.n)) is None or other.seq < task.seq:
            newest[task.n] = task
    return [newest[n] for n in sorted(newest)]


def _task_rows(tasks: list[TaskRecord], ids: Mapping[Name, int]) -> list[tuple[Any, ...]]:
    """The rows of task runs, built by column, which is faster; the order is that of `TASK_COLUMNS`."""
    numbers = {value: number for (kind, value), number in ids.items() if kind == NameKind.TASK}
    columns = (
        [task.n for task in tasks],
        [task.created for task in tasks],
        [task.started for task in tasks],
        [task.ended for task in tasks],
        [numbers[task.task] for task in tasks],
        [task.seq for task in tasks],
        [task.parent for task in tasks],
        [task.runs for task in tasks],
        [CODE_OF_WORD[task.state] for task in tasks],
        [task.kind == "subflow" for task in tasks],
        [None if not task.state_name or task.state_name == _DEFAULT_NAMES[task.state] else task.state_name[:NAME_LIMIT] for task in tasks],
        [task.name[:NAME_LIMIT] if task.name else None for task in tasks],
        [task.reason[:NAME_LIMIT] or None for task in tasks],
        [task.message[:MESSAGE_LIMIT] or None for task in tasks],
        [_json(task.inputs).decode() if task.inputs else None for task in tasks],
        [msgspec.json.encode(task.tags).decode() if task.tags else None for task in tasks],
        [compact_history(task.history, task.facts) for task in tasks],
    )
    return list(zip(*columns, strict=True))
