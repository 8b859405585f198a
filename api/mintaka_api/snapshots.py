"""The last seen state of flow runs, cached as JSON until it is written: a parsed run takes nine times the memory. Pure.

Most versions of a run are replaced by a newer one before they are written, and need not be parsed at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import orjson

from mintaka_api.decisions import Decisions, decisions_of, divide
from mintaka_api.row_mapping import ObservedRun, name_of, read_run_json, resource_version
from mintaka_core.errors import InvalidResource

if TYPE_CHECKING:
    from mintaka_core.resources import FlowRun
    from mintaka_kubernetes import Document


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """One flow run. `received` is when it was first seen since it was last written (monotonic seconds).

    `raw` is its JSON and `first` the sequence of the oldest transition in it; `older` are earlier versions with transitions
    that `raw` no longer has. `gone_time` is when the run left the cluster (None: it has not, or that is not known),
    `tombstone` the namespace, name and uid of the ConfigMap it was read from.
    """

    uid: str
    version: str
    sequence: int
    first: int
    raw: bytes
    received: float
    gone_time: int | None = None
    tombstone: tuple[str, str, str] | None = None
    older: tuple[RunSnapshot, ...] = ()

    def merged(self, earlier: RunSnapshot) -> RunSnapshot:
        """This snapshot with the transitions of one that was not written in time."""
        newest, other = (self, earlier) if self._order >= earlier._order else (earlier, self)
        kept = [each for each in (*earlier.older, *self.older) if each.first < newest.first]
        last = min(other.sequence, newest.first - 1)
        if other.first < newest.first and not any(each.first <= other.first and each.sequence >= last for each in kept):
            kept.append(replace(other, older=()))
        gone_time = self.gone_time if self.gone_time is not None else earlier.gone_time
        tombstone = self.tombstone or earlier.tombstone
        return replace(newest, received=earlier.received, gone_time=gone_time, tombstone=tombstone, older=tuple(kept))

    def parsed(self) -> ObservedRun:
        """The run with all its transitions and attempts. Raises InvalidResource."""
        parts = [_read(each.raw) for each in (*self.older, self)]
        transitions = {transition.sequence: transition for decisions, _ in parts for transition in decisions.transitions}
        attempts = {attempt.number: attempt for decisions, _ in parts for attempt in decisions.attempts}
        rest = parts[-1][1]
        return ObservedRun(read_run_json(rest) if isinstance(rest, bytes) else rest, transitions, self.gone_time, attempts)

    @property
    def _order(self) -> tuple[int, int]:
        return self.sequence, resource_version(self.version)


def snapshot_of(document: Document, received: float) -> RunSnapshot:
    """The snapshot of a flow run. Raises InvalidResource if the document does not even identify one."""
    try:
        metadata, status = document["metadata"], document.get("status") or {}
        sequence = int(status.get("sequence") or 0)
        transitions = status.get("transitions") or ()
        first = int(transitions[0]["sequence"]) if transitions else sequence + 1
        raw = bytes(memoryview(orjson.dumps(document)))  # a copy: orjson's own result holds on to all of its 8 KiB buffer
        return RunSnapshot(metadata["uid"], str(metadata.get("resourceVersion") or ""), sequence, first, raw, received)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        message = f"{name_of(document)} is not a flow run: {type(error).__name__}: {error}"
        raise InvalidResource(message) from error


def _read(raw: bytes) -> tuple[Decisions, bytes | FlowRun]:
    """The decisions in the JSON of a flow run, and the run: as JSON without them, unless the models had to read all of it."""
    try:
        return divide(raw)
    except msgspec.DecodeError:
        run = read_run_json(raw)
        return decisions_of(run), run
