"""Taking in reports: one transaction each, the answer only after the commit, and any repetition harmless.

A report moves its flow run's row first: that takes the row's lock, refuses attempts that were replaced, and keeps the
newest counts. Then task runs are upserted where their `seq` is higher than what is stored, tags and logs where they are
new. Rows are written in the order of their keys, each key once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mintaka_core.errors import MintakaError
from mintaka_core.states import DEFAULT_NAMES, RUNNING
from mintaka_history.codes import CODE_OF_WORD, STATE_CODES, NameKind
from mintaka_history.entries import compact
from mintaka_history.instants import now_microseconds
from mintaka_history.queries import reported
from mintaka_history.reports import MESSAGE_LIMIT, NAME_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mintaka_history.database import Database
    from mintaka_history.queries.names import Names, Word
    from mintaka_history.reports import RunReport, TaskReport

_DEFAULT_NAMES: dict[str, str] = {state.value: name for state, name in DEFAULT_NAMES.items()}
_UNMIRRORED = "its pod reports; what the cluster says of it has not been mirrored yet"


class StaleAttempt(MintakaError):
    """The report is of an attempt that attempt `current` has replaced; its writer should stop."""

    def __init__(self, message: str, current: int) -> None:
        super().__init__(message)
        self.current = current


def take_in(database: Database, names: Names, uid: str, report: RunReport) -> None:
    """Store `report` of the flow run `uid`. To be called in a writer's thread.

    Raises:
        StaleAttempt: the attempt was replaced; nothing was written.
    """
    tasks = _newest(report.tasks)
    ids = names.given(database, _words(report, tasks))
    namespace = ids[NameKind.NAMESPACE, report.flow_run.namespace]
    heading = reported.Heading(
        uid=uid,
        attempt=report.attempt,
        report=report.report,
        final=report.final,
        counts=msgspec.json.encode(report.counts).decode() if report.counts is not None else None,
    )
    stub = {
        "uid": uid,
        "created": min((task.created for task in tasks if task.created), default=None) or now_microseconds(),
        "ns": namespace,
        "deployment": ids[NameKind.DEPLOYMENT, report.flow_run.deployment] if report.flow_run.deployment else None,
        "name": report.flow_run.name,
        "state": STATE_CODES[RUNNING],
        "message": _UNMIRRORED,
    }
    columns = _task_columns(tasks, ids)
    tags = [(ids[NameKind.TAG, tag], task.created, task.n) for task in tasks for tag in task.tags]
    lines = {line.seq: line for line in report.logs}
    loggers = {value: number for (kind, value), number in ids.items() if kind == NameKind.LOGGER}
    logs = [
        (
            line.seq,
            line.time,
            line.level,
            loggers.get(line.logger[:NAME_LIMIT]),
            line.n,
            line.message[:MESSAGE_LIMIT],
        )
        for _, line in sorted(lines.items())
    ]
    with database.writing() as connection:
        current = reported.write(connection, heading, stub, reported.Rows(namespace, columns, tags, logs))
    if current is not None:
        message = f"attempt {report.attempt} was replaced by attempt {current}; stop"
        raise StaleAttempt(message, current)


def _newest(tasks: tuple[TaskReport, ...]) -> list[TaskReport]:
    """Each task run once, with the highest `seq`, in the order of keys."""
    newest: dict[int, TaskReport] = {}
    for task in tasks:
        if (other := newest.get(task.n)) is None or other.seq < task.seq:
            newest[task.n] = task
    return [newest[n] for n in sorted(newest)]


def _words(report: RunReport, tasks: list[TaskReport]) -> set[Word]:
    words: set[Word] = {(NameKind.TASK, key) for key in {task.task for task in tasks}}
    words |= {(NameKind.TAG, tag) for tag in {tag for task in tasks for tag in task.tags}}
    words |= {(NameKind.LOGGER, logger) for logger in {line.logger[:NAME_LIMIT] for line in report.logs} if logger}
    words.add((NameKind.NAMESPACE, report.flow_run.namespace))
    if report.flow_run.deployment:
        words.add((NameKind.DEPLOYMENT, report.flow_run.deployment))
    return words


def _task_columns(tasks: list[TaskReport], ids: Mapping[Word, int]) -> reported.TaskColumns:
    numbers = {value: number for (kind, value), number in ids.items() if kind == NameKind.TASK}
    return reported.TaskColumns(
        n=[task.n for task in tasks],
        created=[task.created for task in tasks],
        started=[task.started for task in tasks],
        ended=[task.ended for task in tasks],
        task=[numbers[task.task] for task in tasks],
        seq=[task.seq for task in tasks],
        parent=[task.parent for task in tasks],
        runs=[task.runs for task in tasks],
        state=[CODE_OF_WORD[task.state] for task in tasks],
        subflow=[task.kind == "subflow" for task in tasks],
        state_name=[
            None if not task.state_name or task.state_name == _DEFAULT_NAMES[task.state] else task.state_name[:NAME_LIMIT] for task in tasks
        ],
        name=[task.name[:NAME_LIMIT] if task.name else None for task in tasks],
        reason=[task.reason[:NAME_LIMIT] or None for task in tasks],
        message=[task.message[:MESSAGE_LIMIT] or None for task in tasks],
        upstream=[f"[{','.join(map(str, task.upstream))}]" if task.upstream else None for task in tasks],
        tags=[msgspec.json.encode(task.tags).decode() if task.tags else None for task in tasks],
        history=[compact(task.history) for task in tasks],
    )
