"""The existing flow runs, cached compactly: unfinished runs in full, finished ones only with what is needed of many at once.

Large runs are cached like finished ones: in full only if they were used lately. So that no number of runs fills the memory, all
texts together are bounded.

The cache only moves forward: a version older than the cached one is ignored, because events arrive after the answers to our
own writes. Resource versions are compared as numbers, which every API server writes (and Kubernetes guarantees from 1.35
on).
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from mintaka_controller.called_runs import CalledRuns
from mintaka_controller.json_cache import JsonCache
from mintaka_controller.live_counts import LiveCounts
from mintaka_controller.memory_budget import LARGE_BYTES, reservation
from mintaka_controller.ports import Name, ObjectProblem
from mintaka_core.instants import EARLIEST, parse_time
from mintaka_core.states import CANCELLED, COMPLETED, SCHEDULED, TERMINAL, StateType

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_controller.ports import Document, Snapshot

#: The number of finished runs that are still cached in full, since most changes after a run's end happen soon; and the bytes that these
#: and the large unfinished runs take together.
_RECENTLY_USED = 500
_RECENTLY_USED_BYTES = 24 * 1024 * 1024
#: The bytes that the other unfinished runs take together: more than ten thousand ordinary ones.
_UNFINISHED_BYTES = 48 * 1024 * 1024


def name_of(document: Document) -> Name:
    """(namespace, name) of a resource."""
    metadata = document["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def version_of(document: Document) -> int:
    """A resource's version as a number."""
    return int(document["metadata"].get("resourceVersion") or 0)


@dataclass(frozen=True, slots=True)
class RunEntry:
    """The cached fields of one run, without reading the whole of it.

    `first_version` is the first version in which it was seen, which orders runs of the same second. `problem`: it cannot be
    processed as it is. `reservation`: the memory to reserve before it is reconciled. `caller` is the uid of the run with which it is
    cancelled, "" if there is none; `cancel` is `spec.cancel`. `scheduled` is `spec.scheduledTime`, `due` when the run is to start next
    (None: now); `slot_key` and `slot_limit` are the recorded concurrency, "" and 0 if there is none.
    """

    version: int
    uid: str
    deployment: str
    state: str
    end_time: datetime | None
    end_reason: str
    rerun_wanted: bool
    deleting: bool
    first_version: int = 0
    problem: ObjectProblem | None = None
    reservation: int = 0
    revision: str = ""
    caller: str = ""
    cancel: bool = False
    suspend: bool = False
    attempt: int = 0
    priority: int | None = None
    scheduled: datetime | None = None
    created: datetime | None = None
    due: datetime | None = None
    slot_key: str = ""
    slot_limit: int = 0

    @property
    def cancels_called(self) -> bool:
        """True if it was cancelled, or deleted before it ended, so that the runs it called are cancelled too."""
        return (self.cancel or self.deleting) and (self.state == _CANCELLED or self.state not in _TERMINAL)

    @property
    def finished(self) -> bool:
        """True for a run that is over and has no pending rerun."""
        return self.state in _TERMINAL and not self.rerun_wanted


_TERMINAL = frozenset(str(state) for state in TERMINAL)
_CANCELLED = str(CANCELLED)


@dataclass(slots=True)
class _Group:
    """The runs of one deployment: unfinished ones, and finished ones with their ends."""

    active: dict[Name, None] = field(default_factory=dict)  # ordered, as sets are not
    finished: dict[Name, datetime] = field(default_factory=dict)
    latest: tuple[datetime, Name] | None = None


class RunCache:
    """Flow runs by (namespace, name)."""

    def __init__(self) -> None:
        self._entries: dict[Name, RunEntry] = {}
        self._unfinished = JsonCache(_UNFINISHED_BYTES)
        self._recent = JsonCache(_RECENTLY_USED_BYTES, _RECENTLY_USED)
        self._groups: dict[Name, _Group] = {}
        #: The number of runs by state type, "" for new ones.
        self.states: Counter[str] = Counter()
        self.called = CalledRuns()
        #: Called with each run that has changed, or is gone.
        self.changed: Callable[[Name], None] = lambda _run: None
        self.live = LiveCounts()
        #: Called with the namespace in which a run entered or left a state.
        self.live_changed: Callable[[str], None] = lambda _namespace: None

    def put(self, snapshot: Snapshot) -> bool:
        """Store a version; False if it is not newer than the known one (whose content it restores, if that was dropped)."""
        document = snapshot.document
        key, version = name_of(document), version_of(document)
        known = self._entries.get(key)
        if known and version <= known.version:
            if version == known.version and self.raw(key) is None:
                self._store(key, known, _dump(document))
            return False
        raw = _dump(document)
        entry = _entry(snapshot, version, known, reservation(raw))
        self._unlink(key, known)
        if known and known.uid != entry.uid:
            self.called.forget(known)
        self._entries[key] = entry
        self._store(key, entry, raw)
        self.states[entry.state] += 1
        if entry.deployment:
            self._link(key, entry)
        self.called.put(key, entry)
        self.changed(key)
        self.live.add(key[0], entry.deployment, entry.state)
        if known is None or known.state != entry.state:
            self.live_changed(key[0])
        return True

    def live_beside(self, key: Name) -> dict[str, dict[str, int]]:
        """The unfinished runs of the namespace by deployment and state type, without the run itself."""
        own = self._entries.get(key)
        return self.live.of(key[0], own.deployment if own else "", own.state if own else "")

    def _store(self, key: Name, entry: RunEntry, raw: bytes) -> None:
        self._drop(key)
        cache = self._recent if entry.finished or len(raw) > LARGE_BYTES else self._unfinished
        cache.put(key, raw)

    def _drop(self, key: Name) -> None:
        """Forget the content of a run."""
        self._unfinished.remove(key)
        self._recent.remove(key)

    def remove(self, key: Name, uid: str | None = None) -> bool:
        """Forget a run if it still has that uid (None: any); False if it was unknown."""
        known = self._entries.get(key)
        if known is None or (uid and known.uid != uid):
            return False
        self._unlink(key, known)
        del self._entries[key]
        self._drop(key)
        self.called.forget(known)
        self.changed(key)
        self.live_changed(key[0])
        return True

    def _link(self, key: Name, entry: RunEntry) -> None:
        group = self._groups.setdefault((key[0], entry.deployment), _Group())
        if not (entry.finished and entry.end_time):
            group.active[key] = None
            return
        # A run that is being deleted leaves by itself: it is neither active nor to be retired.
        if not entry.deleting:
            group.finished[key] = entry.end_time
        if group.latest is None or (entry.end_time, key) > group.latest:
            group.latest = entry.end_time, key

    def _unlink(self, key: Name, known: RunEntry | None) -> None:
        if known is None:
            return
        self.states[known.state] -= 1
        self.live.remove(key[0], known.deployment, known.state)
        self.called.drop(key, known)
        group = self._groups.get((key[0], known.deployment))
        if group is None:
            return
        group.active.pop(key, None)
        group.finished.pop(key, None)
        if group.latest and group.latest[1] == key:
            group.latest = max(((end, name) for name, end in group.finished.items()), default=None)
        if not (group.active or group.finished):
            del self._groups[key[0], known.deployment]

    def get(self, key: Name) -> RunEntry | None:
        """The cached fields of a run; None if the name is unknown."""
        return self._entries.get(key)

    def raw(self, key: Name) -> bytes | None:
        """The newest known version as JSON; None if it is not cached: read the run."""
        return self._unfinished.get(key) or self._recent.get(key)

    def count_active(self, deployment: Name) -> int:
        """The number of unfinished runs of a deployment."""
        group = self._groups.get(deployment)
        return len(group.active) if group else 0

    def active(self, deployment: Name) -> list[Name]:
        """The runs of a deployment that are not finished."""
        group = self._groups.get(deployment)
        return list(group.active) if group else []

    def oldest_finished(self, deployment: Name, beyond: int, at_most: int) -> list[tuple[Name, datetime]]:
        """The runs of a deployment that ended first and exceed the newest `beyond`, oldest first, at most `at_most`."""
        group = self._groups.get(deployment)
        excess = min(len(group.finished) - beyond, at_most) if group else 0
        if group is None or excess <= 0:
            return []
        return heapq.nsmallest(excess, group.finished.items(), key=lambda item: (item[1], item[0]))

    def latest_finished(self, deployment: Name) -> Name | None:
        """The run of a deployment that ended last."""
        group = self._groups.get(deployment)
        return group.latest[1] if group and group.latest else None

    def needed_revisions(self) -> set[Name]:
        """The revisions that runs need: unfinished ones, and those that a user may want to run again because they did not complete."""
        entries = self._entries.items()
        return {(key[0], run.revision) for key, run in entries if run.revision and not (run.finished and run.state == COMPLETED)}

    def names(self) -> list[Name]:
        """A copy of all names."""
        return list(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _dump(document: Document) -> bytes:
    document["metadata"].pop("managedFields", None)
    return bytes(memoryview(orjson.dumps(document)))  # a copy: orjson's own result holds on to all of its 8 KiB buffer


def _entry(snapshot: Snapshot, version: int, known: RunEntry | None, reserved: int) -> RunEntry:
    document = snapshot.document
    uid = document["metadata"].get("uid", "")
    metadata, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
    state = status.get("state") or {}
    end = status.get("endTime")
    deleting = bool(metadata.get("deletionTimestamp"))
    return RunEntry(
        version=version,
        uid=uid,
        deployment=_shared(spec.get("deployment")),
        state=StateType(state["type"]).value if state.get("type") in _ALL else "",
        end_time=(parse_time(end) or EARLIEST) if end else None,
        end_reason=_shared(state.get("reason")),
        rerun_wanted=_rerun_wanted(spec, status, deleting=deleting),
        deleting=deleting,
        first_version=known.first_version if known and known.uid == uid else version,
        # A problem of its spec remains, even if the answer to a write of ours does not show it.
        problem=snapshot.problem or (known.problem if known and known.uid == uid else None),
        reservation=reserved,
        revision=_shared(status.get("revision")),
        caller=_caller(spec),
        cancel=spec.get("cancel") is True,
        suspend=spec.get("suspend") is True,
        attempt=status.get("attempt") or 0,
        **_slot_fields(metadata, spec, status),
    )


def _slot_fields(metadata: dict[str, Any], spec: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
    """What determines a run's place among those of its key. Runs without a deployment have no key."""
    if not spec.get("deployment"):
        return {}
    priority, concurrency, scheduled = spec.get("priority"), status.get("concurrency") or {}, parse_time(spec.get("scheduledTime"))
    state = (status.get("state") or {}).get("type")
    waits = parse_time(status.get("nextTime")) if state == SCHEDULED else None if state else scheduled
    return {
        "priority": priority if isinstance(priority, int) else None,
        "scheduled": scheduled,
        "created": parse_time(metadata.get("creationTimestamp")),
        "due": waits,
        "slot_key": _shared(concurrency.get("key")),
        "slot_limit": concurrency.get("limit") or 0,
    }


def _caller(spec: dict[str, Any]) -> str:
    called_by = spec.get("calledBy")
    if not isinstance(called_by, dict) or called_by.get("detached"):
        return ""
    return _shared(called_by.get("uid"))


_ALL = frozenset(str(state) for state in StateType)
_WORDS: dict[str, str] = {}
_MOST_WORDS = 10_000


def _shared(word: Any) -> str:
    """One string object for each word: thousands of runs share the same few."""
    if not isinstance(word, str):
        return ""
    if len(_WORDS) < _MOST_WORDS:
        return _WORDS.setdefault(word, word)
    return _WORDS.get(word, word)


def _rerun_wanted(spec: dict[str, Any], status: dict[str, Any], *, deleting: bool) -> bool:
    """`FlowRun.rerun_wanted`, without parsing the whole run."""
    return (spec.get("reruns") or 0) > (status.get("reruns") or 0) and not (spec.get("cancel") or deleting)
