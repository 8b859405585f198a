"""The revisions of flow deployments that are known to exist, with the contents of those used lately.

A revision never changes, so a cached content stays true even if the stored object is deleted.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import orjson

from mintaka_controller.json_cache import JsonCache
from mintaka_controller.memory_budget import reservation
from mintaka_controller.parsed_cache import ParsedCache
from mintaka_core.names import label_value
from mintaka_core.resources import FlowTemplate
from mintaka_core.revisions import SourceVersion, source_of

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from mintaka_controller.ports import Document, Name

#: What the JSON of revisions may take: thousands of ordinary ones.
_JSON_BYTES = 8 * 1024 * 1024
_PARSED_BYTES = 4 * 1024 * 1024
#: The number of ConfigMaps whose digest is cached, and what their files may take.
_SOURCES_KEPT = 1000
_SOURCES_BYTES = 4 * 1024 * 1024


class RevisionCache:
    """Revisions by (namespace, name)."""

    def __init__(self) -> None:
        #: When a run last took a revision that exists.
        self._taken: dict[Name, datetime] = {}
        #: By namespace and label of the deployment, what its latest run took.
        self._newest: dict[Name, str] = {}
        self._raw = JsonCache(_JSON_BYTES)
        self._parsed: ParsedCache[FlowTemplate] = ParsedCache(_PARSED_BYTES)
        self._sources = _SourceCache()
        #: By deployment, why its revisions cannot be stored, and when to try it again.
        self._refused: dict[Name, tuple[str, datetime]] = {}

    # What exists.

    def exists(self, key: Name, now: datetime) -> bool:
        """Whether a revision is known to exist; a run takes it then."""
        if key not in self._taken:
            return False
        self._taken[key] = now
        return True

    def put(self, key: Name, data: Document, now: datetime) -> None:
        """Store the content of a revision that exists."""
        self._taken[key] = now
        raw = bytes(memoryview(orjson.dumps(data)))  # a copy: orjson's own result holds on to all of its buffer
        self._raw.put(key, raw)
        self._parsed.remove(key)

    def note_newest(self, namespace: str, deployment: str, revision: str) -> None:
        """A run took a revision as the newest of its deployment."""
        self._newest[namespace, label_value(deployment)] = revision

    def is_newest(self, namespace: str, label: str, revision: str) -> bool:
        """Whether the latest run of the deployment with that label took that revision."""
        return self._newest.get((namespace, label)) == revision

    def is_fresh(self, key: Name, now: datetime, period: timedelta) -> bool:
        """Whether a run took it within `period`: the run's status may not name it yet."""
        taken = self._taken.get(key)
        return taken is not None and now - taken < period

    def remove(self, key: Name) -> None:
        """Forget a revision that does not exist any more."""
        self._taken.pop(key, None)
        self._raw.remove(key)
        self._parsed.remove(key)

    def keep_only(self, existing: set[Name]) -> None:
        """Forget revisions that a listing did not show; their contents stay."""
        for key in [key for key in self._taken if key not in existing]:
            del self._taken[key]

    # Their contents.

    def template(self, key: Name) -> FlowTemplate | None:
        """What a revision runs; None if its content is not cached: read it."""
        template = self._parsed.get(key)
        if template is None and (raw := self._raw.get(key)) is not None:
            template = FlowTemplate.model_validate_json(raw)
            self._parsed.put(key, raw, template)
        return template

    def source(self, key: Name) -> SourceVersion | None:
        """Its ConfigMap source; None if it has none or its content is not cached."""
        raw = self._raw.get(key)
        return None if raw is None else source_of(orjson.loads(raw))

    def holds(self, key: Name) -> bool:
        """Whether its content is cached."""
        return self._raw.get(key) is not None

    def reservation(self, key: Name) -> int:
        """The memory to reserve before a run of it is reconciled."""
        raw = self._raw.get(key)
        return reservation(raw) if raw else 0

    # ConfigMaps with source files.

    @property
    def sources(self) -> _SourceCache:
        """The versions of ConfigMaps that were read lately."""
        return self._sources

    # Refusals.

    def refuse(self, deployment: Name, why: str, now: datetime, until: datetime) -> None:
        """Revisions of a deployment cannot be stored; do not try it before `until`."""
        self._refused = {key: refusal for key, refusal in self._refused.items() if refusal[1] > now} | {deployment: (why, until)}

    def refusal(self, deployment: Name, now: datetime) -> str:
        """Why revisions of a deployment cannot be stored now; "" if they can."""
        why, until = self._refused.get(deployment, ("", now))
        return why if until > now else ""


class _SourceCache:
    """ConfigMaps by (namespace, name), each in its latest known version."""

    def __init__(self) -> None:
        self._latest: OrderedDict[Name, SourceVersion] = OrderedDict()
        self._bytes = 0

    def latest(self, key: Name) -> SourceVersion | None:
        """A ConfigMap in the version that was read last."""
        return self._latest.get(key)

    def get(self, key: Name, version: str) -> SourceVersion | None:
        """A ConfigMap, if it is cached in that version."""
        known = self._latest.get(key)
        if known is None or known.version != version:
            return None
        self._latest.move_to_end(key)
        return known

    def put(self, key: Name, source: SourceVersion) -> None:
        """Store one as the latest used."""
        self._drop(key)
        self._latest[key] = source
        self._bytes += _bytes(source)
        while len(self._latest) > _SOURCES_KEPT or (self._bytes > _SOURCES_BYTES and len(self._latest) > 1):
            self._drop(next(iter(self._latest)))

    def _drop(self, key: Name) -> None:
        known = self._latest.pop(key, None)
        self._bytes -= _bytes(known) if known else 0


def _bytes(source: SourceVersion) -> int:
    return sum(map(len, (source.files or {}).values()))
