"""History as it is reported: what the API takes over the wire and the embedded database in the same process.

A row is made from one snapshot of a run's history, so it is consistent whatever the run does meanwhile.
"""

from __future__ import annotations

import gzip
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mintaka.engine.entries import last_entered
from mintaka.exceptions import message_of
from mintaka_core.history_reasons import DATABASE_REASONS
from mintaka_core.reports import storable
from mintaka_core.states import DEFAULT_NAMES, RUNNING
from mintaka_core.wire_versions import WIRE_VERSION
from mintaka_history.batches import ArtifactRecord, BatchRun, CalledRun, EventRecord, HistoryBatch, LineRecord, LocalRun, TaskRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mintaka.artifacts import ArtifactVersion
    from mintaka.context import Launch
    from mintaka.engine.called_flows import CalledFlow
    from mintaka.engine.entries import Entry, Opinion
    from mintaka.engine.runs import Run
    from mintaka.events import EmittedEvent
    from mintaka_core.history_reasons import HistoryReason

#: Texts longer than this many characters are cut: a row has to fit into a report.
_TEXT_LIMIT = 4096
#: A run that was tried so often keeps the beginning and the end of its history.
_HISTORY_LIMIT = 1000
#: Texts up to this many characters are remembered once they were looked at.
_SHORT = 100
_NAME_LIMIT = 200
#: What a database column holds; logging takes any number for a level.
_LEVEL_LIMIT = 2**15 - 1
_KEY_LIMIT = 500
_TAG_LIMIT = 100
_TAGS_LIMIT = 50
#: Names of states that need no second look: almost all there are.
_USUAL_NAMES = frozenset(DEFAULT_NAMES.values())

encode = msgspec.json.Encoder().encode


class LogLine(NamedTuple):
    """One line of a log; `time` in µs since the epoch, `n` the task run it belongs to (None: the flow run), `called` the flow run
    (None: the outermost one).
    """

    seq: int
    time: int
    level: int
    logger: str
    n: int | None
    message: str
    called: Run | None = None

    def report(self, of: int = 0) -> LineRecord:
        """The line as it is reported; `of` is the position of its flow run in the report."""
        level = min(max(self.level, 0), _LEVEL_LIMIT)
        return LineRecord(self.seq, self.time, clean(self.message), level, _cleaned(self.logger), self.n, of)


_NO_OWNERS: Mapping[int, Run] = MappingProxyType({})


def task_record(run: Run, owners: Mapping[int, Run] = _NO_OWNERS, of: int = 0) -> TaskRecord:
    """The row of `run` as it is now, in that of the report's flow runs to which position `of` belongs.

    `owners` are the called flow runs that runs are part of, by the numbers of these (`RunIds.owners`).
    """
    owner = run.owner
    history = tuple(run.history)
    first, last = history[0], last_entered(history)
    created = first.time
    runs, started, unusual = 0, None, False
    for entry in history:
        if entry.facts:
            unusual = True
        if entry.type is RUNNING and not (entry.trail and (entry.refused or entry.waits)):
            runs += 1
            if started is None:
                started = entry.time
    return TaskRecord(
        run.n,
        _cleaned(run.task, _KEY_LIMIT),
        last.type._value_,
        len(history),
        created,
        None if run.own_name is None else _cleaned(run.own_name),
        last.name if last.name in _USUAL_NAMES else _cleaned(last.name),
        _cleaned(last.reason) if last.reason else "",
        _cleaned(last.message) if last.message else "",
        started,
        last.time if last.type.is_terminal else None,
        runs,
        _inputs(run.inputs if not owners else tuple(_inside(owner, run.inputs, owners))) if run.inputs else {},
        _tags(run.tags) if run.tags else (),
        run.parent if owner is None or run.parent != owner.n else None,
        run.kind,  # type: ignore[arg-type]
        _entries(history, created),
        of,
        _facts(_shortened(history), 0) if unusual else {},
    )


def _inside(owner: Run | None, pairs: tuple[tuple[str, int], ...], owners: Mapping[int, Run]) -> Iterator[tuple[str, int]]:
    """Inputs as task runs of the flow run `owner`: a run within a called flow run is replaced by the call. Values from
    outside are parameters of the flow.
    """
    for name, n in pairs:
        source = owners.get(n)
        while source is not owner and source is not None:
            n, source = source.n, source.owner  # noqa: PLW2901 - one step up
        if source is owner:
            yield name, n


def _inputs(pairs: tuple[tuple[str, int], ...]) -> dict[str, tuple[int, ...]]:
    """Numbers of runs by the parameter that they came in through."""
    if len(pairs) == 1:
        return {_cleaned(pairs[0][0], _NAME_LIMIT): (pairs[0][1],)}
    found: dict[str, list[int]] = {}
    for name, n in pairs:
        found.setdefault(_cleaned(name, _NAME_LIMIT), []).append(n)
    return {name: tuple(numbers) for name, numbers in found.items()}


def _shortened(history: tuple[Entry, ...]) -> tuple[Entry, ...]:
    return history if len(history) <= _HISTORY_LIMIT else history[: _HISTORY_LIMIT // 2] + history[-_HISTORY_LIMIT // 2 :]


def _facts(history: tuple[Entry, ...], first: int) -> dict[int, dict[str, Any]]:
    """The facts of decisions by their number, counted from `first`; decisions without unusual facts are left out."""
    return {number: _clean_json(entry.facts) for number, entry in enumerate(history, first) if entry.facts}


def _clean_json(value: Any) -> Any:
    """JSON whose texts every database takes."""
    if isinstance(value, dict):
        return {_cleaned(name): _clean_json(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_clean_json(each) for each in value]
    return _cleaned(value) if isinstance(value, str) else value


def _entries(history: tuple[Entry, ...], created: int) -> tuple[Any, ...]:
    return tuple(
        [
            (
                kind._value_,
                name if name in _USUAL_NAMES else _cleaned(name),
                time - created,
                "" if proposed is None else proposed._value_,
                _trail(trail) if trail else (),
            )
            for kind, name, time, trail, _, _, proposed, _ in _shortened(history)
        ]
    )


def _trail(trail: tuple[Opinion, ...]) -> tuple[Any, ...]:
    return tuple((_cleaned(rule, _NAME_LIMIT), verdict, _cleaned(reason)) for rule, verdict, reason in trail)


def local_run(launch: Launch, run: Run) -> LocalRun:
    """What is said of a flow run that is no resource of any cluster."""
    history = tuple(run.history)
    return LocalRun(
        flow=_cleaned(launch.flow or run.task, _KEY_LIMIT),
        created=history[0].time,
        parameters=launch.parameters,
        tags=_tags(run.tags),
        transitions=_transitions(history, 1 + launch.transitions),
        facts=_facts(history, 1 + launch.transitions),
    )


def called_run(run: Run, called: CalledFlow, counts: Mapping[str, int], *, moved: bool) -> CalledRun:
    """The report of a flow run that another one called, with its transitions if it `moved`; `counts` are of its task runs."""
    history = tuple(run.history)
    return CalledRun(
        uid=called.uid,
        name=clean(run.name, _NAME_LIMIT) or called.flow,
        flow=_cleaned(called.flow, _KEY_LIMIT),
        created=history[0].time,
        parent=called.caller if called.nested else None,
        parent_n=run.n,
        parameters=called.parameters,
        tags=_tags(run.tags),
        transitions=_transitions(history, 1) if moved else (),
        facts=_facts(history, 1) if moved else {},
        counts={name: count for name, count in counts.items() if count},  # type: ignore[misc]
    )


def _transitions(history: tuple[Entry, ...], first: int) -> tuple[Any, ...]:
    """A flow run's history, numbered from `first` on."""
    return tuple(
        (
            *(number, entry.type._value_, _cleaned(entry.name), entry.time),
            *(
                "" if entry.proposed is None else entry.proposed._value_,
                _trail(entry.trail),
                _cleaned(entry.reason),
                _cleaned(entry.message),
            ),
        )
        for number, entry in enumerate(history, first)
    )


def artifact_record(artifact: ArtifactVersion, of: int = 0) -> ArtifactRecord:
    """An artifact as it is reported; `of` is the position of its flow run in the report."""
    return ArtifactRecord(
        *(artifact.id, artifact.seq, artifact.kind, artifact.created, artifact.updated, msgspec.Raw(artifact.data)),
        *(artifact.key, None if artifact.description is None else clean(artifact.description), artifact.n, of),
    )


def event_record(event: EmittedEvent, of: int = 0) -> EventRecord:
    """An event as it is reported."""
    return EventRecord(event.id, event.name, event.resource, event.time, msgspec.Raw(event.payload), of)


def _tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_cleaned(tag, _TAG_LIMIT) for tag in tags[:_TAGS_LIMIT] if tag)


def _cleaned(text: str, limit: int = _TEXT_LIMIT) -> str:
    """`clean`, remembering the short texts, since almost all of them come again and again."""
    return _remembered(text) if isinstance(text, str) and len(text) <= _SHORT else clean(text, limit)


@lru_cache(maxsize=4096)
def _remembered(text: str) -> str:
    return clean(text)


def clean(text: str, limit: int = _TEXT_LIMIT) -> str:
    """`text` as every database and JSON parser takes it: no NUL, no lone surrogate, not endless."""
    if not isinstance(text, str):
        text = message_of(text)  # a word of a user's that should have been one: no reason to lose a run's history
    if len(text) > limit:
        text = f"{text[: limit // 2 - 2]} […] {text[-limit // 2 + 3 :]}"
    if text.isascii():
        return text.replace("\0", "\ufffd") if "\0" in text else text
    return storable(text)


class Contents(NamedTuple):
    """What one report carries; `local` is the flow run itself if it is not a resource of any cluster, `lost` why the database
    lacks what it had acknowledged (None: it does not). `called` are the called flow runs that are mentioned.
    """

    tasks: list[TaskRecord]
    logs: list[LineRecord]
    artifacts: list[ArtifactRecord]
    counts: dict[str, int]
    local: LocalRun | None
    final: bool = False
    lost: HistoryReason | None = None
    called: Sequence[CalledRun] = ()
    events: Sequence[EventRecord] = ()


def history_batch(launch: Launch, number: int, contents: Contents) -> HistoryBatch:
    """Report `number` of `launch`'s flow run."""
    run = launch.run
    name = launch.name or (run.name if run is not None else launch.flow_run_id)
    return HistoryBatch(
        attempt=launch.attempt,
        report=number,
        flow_run=BatchRun(clean(name, _NAME_LIMIT), launch.namespace, launch.deployment, contents.local),
        tasks=tuple(contents.tasks),
        logs=tuple(contents.logs),
        artifacts=tuple(contents.artifacts),
        counts={name: count for name, count in contents.counts.items() if count},  # type: ignore[misc]
        final=contents.final,
        version=WIRE_VERSION,
        called=tuple(contents.called),
        events=tuple(contents.events),
        lost=contents.lost if contents.lost in DATABASE_REASONS else None,  # type: ignore[arg-type]
    )


def packed(report: HistoryBatch) -> bytes:
    """A report as it travels and lies on disk: one line of JSON, gzipped."""
    return gzip.compress(encode(report) + b"\n", compresslevel=1, mtime=0)
