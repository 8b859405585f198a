"""The existing flow deployments, cached as JSON and parsed on use: parsed, one can take twenty-five times as much memory.

Every run of a deployment reads it several times in each pass, so the latest used ones stay parsed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson
from pydantic import ValidationError

from mintaka_controller.memory_budget import parsed_bytes, reservation
from mintaka_controller.ports import Name, ObjectProblem
from mintaka_controller.run_cache import name_of, version_of
from mintaka_core.limits import KUBECTL_COPY
from mintaka_core.resources import FlowDeployment

if TYPE_CHECKING:
    from mintaka_controller.ports import Document, Snapshot

#: How much memory the parsed deployments may take, by the estimate of `parsed_bytes`: hundreds of ordinary ones.
_PARSED_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DeploymentEntry:
    """One version of a deployment as JSON. With a `problem`, `deployment` has an empty spec and must not be run.

    `reservation`: the memory to reserve before it or one of its runs is reconciled.
    """

    key: Name
    version: int
    uid: str
    generation: int
    raw: bytes
    problem: ObjectProblem | None
    reservation: int
    _parsed: _ParsedDeployments = field(repr=False)

    @property
    def deployment(self) -> FlowDeployment:
        """The deployment, parsed unless it was used lately."""
        return self._parsed.of(self)


class _ParsedDeployments:
    """The latest used deployments, parsed: at least the very latest, and others while they fit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        #: Version, size and deployment.
        self._latest: OrderedDict[Name, tuple[int, int, FlowDeployment]] = OrderedDict()

    def of(self, entry: DeploymentEntry) -> FlowDeployment:
        """The deployment of an entry."""
        known = self._latest.get(entry.key)
        if known is not None and known[0] == entry.version:
            self._latest.move_to_end(entry.key)
            return known[2]
        deployment, _ = _parse(orjson.loads(entry.raw))
        self.put(entry, deployment)
        return deployment

    def put(self, entry: DeploymentEntry, deployment: FlowDeployment) -> None:
        """Store a parsed deployment as the latest used one."""
        self.remove(entry.key)
        size = parsed_bytes(entry.raw)
        self._latest[entry.key] = entry.version, size, deployment
        self._size += size
        while self._size > self._limit and len(self._latest) > 1:
            self._size -= self._latest.popitem(last=False)[1][1]

    def remove(self, key: Name) -> None:
        """Forget a deployment."""
        known = self._latest.pop(key, None)
        self._size -= known[1] if known else 0


class DeploymentCache:
    """Flow deployments by (namespace, name)."""

    def __init__(self) -> None:
        self._entries: dict[Name, DeploymentEntry] = {}
        self._parsed = _ParsedDeployments(_PARSED_BYTES)

    def put(self, snapshot: Snapshot) -> bool:
        """Store a version; False if it is not newer than the known one."""
        key, version = name_of(snapshot.document), version_of(snapshot.document)
        known = self._entries.get(key)
        if known and version <= known.version:
            return False
        document = _parsed_parts(snapshot.document)
        deployment, problem = _parse(document)
        uid, generation = document["metadata"].get("uid", ""), deployment.metadata.generation
        raw = bytes(memoryview(orjson.dumps(document)))  # a copy: orjson's own result holds on to all of its buffer
        entry = DeploymentEntry(key, version, uid, generation, raw, snapshot.problem or problem, reservation(raw), self._parsed)
        self._entries[key] = entry
        self._parsed.put(entry, deployment)
        return True

    def remove(self, key: Name, uid: str | None = None) -> bool:
        """Forget a deployment if it still has that uid (None: any); False if it was unknown."""
        known = self._entries.get(key)
        if known is None or (uid and known.uid != uid):
            return False
        del self._entries[key]
        self._parsed.remove(key)
        return True

    def get(self, key: Name) -> DeploymentEntry | None:
        """The newest known version; None if there is no such deployment."""
        return self._entries.get(key)

    def names(self) -> list[Name]:
        """A copy of all names."""
        return list(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _parsed_parts(document: Document) -> Document:
    """The parts of a deployment that are parsed, without kubectl's copy of the whole."""
    metadata = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
    if isinstance(annotations := metadata.get("annotations"), dict):
        metadata["annotations"] = {name: text for name, text in annotations.items() if name != KUBECTL_COPY}
    return {"metadata": metadata, "spec": document.get("spec"), "status": document.get("status")}


def _parse(document: Document) -> tuple[FlowDeployment, ObjectProblem | None]:
    metadata, status = document["metadata"], document.get("status") or {}
    try:
        return FlowDeployment.model_validate({"metadata": metadata, "spec": document.get("spec") or {}, "status": status}), None
    except ValidationError as error:
        problem = ObjectProblem("InvalidResource", invalid_fields(error))
    # A status that cannot be read either was written by a newer operator: it is replaced, and the next listing shows it.
    for kept in (status, {}):
        try:
            return FlowDeployment.model_validate({"metadata": metadata, "spec": {}, "status": kept}), problem
        except ValidationError:
            continue
    return FlowDeployment.model_validate(
        {"metadata": {"name": metadata["name"], "namespace": metadata.get("namespace", "")}, "spec": {}}
    ), problem


def invalid_fields(error: ValidationError) -> str:
    """Which fields are not valid and why, in one line; values are omitted, they may be secrets."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the resource'}: {each['msg']}" for each in found[:5])
