"""The existing flow deployments, cached as JSON and parsed on use (`parsed_cache`).

Every run of a deployment reads it several times in each pass, so the latest used ones stay parsed. The JSON of all together is
bounded too: what was dropped is read again (`reading.read_deployment`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
from pydantic import ValidationError

from mintaka_controller.json_cache import JsonCache
from mintaka_controller.memory_budget import reservation
from mintaka_controller.parsed_cache import ParsedCache
from mintaka_controller.ports import Name, ObjectProblem
from mintaka_controller.run_cache import name_of, version_of
from mintaka_core.limits import KUBECTL_COPY
from mintaka_core.resources import FlowDeployment
from mintaka_core.resources.concurrency import Concurrency
from mintaka_core.resources.template import PodRetention
from mintaka_core.revisions import template_digest, template_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_controller.ports import Document, Snapshot

#: How much memory the parsed deployments may take, by the estimate of `parsed_bytes`: hundreds of ordinary ones.
_PARSED_BYTES = 16 * 1024 * 1024
#: What the JSON of deployments may take: thousands of ordinary ones.
_JSON_BYTES = 24 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DeploymentEntry:
    """The cached fields of one version of a deployment. With a `problem`, its spec is empty and must not be run.

    `ttl` is how long its finished runs stay, `pod_retention` how long their workloads do. `reservation`: the memory to
    reserve before it or one of its runs is reconciled. `template_digest` is that of its revisions, "" with a `problem`. `priority` is
    that of runs without one of their own.
    """

    version: int
    uid: str
    generation: int
    problem: ObjectProblem | None
    ttl: timedelta
    pod_retention: PodRetention
    reservation: int
    template_digest: str = ""
    concurrency: Concurrency | None = None
    priority: int = 0


class DeploymentCache:
    """Flow deployments by (namespace, name)."""

    def __init__(self) -> None:
        self._entries: dict[Name, DeploymentEntry] = {}
        self._raw = JsonCache(_JSON_BYTES)
        self._parsed: ParsedCache[FlowDeployment] = ParsedCache(_PARSED_BYTES)
        #: Called with each deployment that has changed, or is gone.
        self.changed: Callable[[Name], None] = lambda _deployment: None

    def put(self, snapshot: Snapshot) -> bool:
        """Store a version; False if it is not newer than the known one (whose content it restores, if that was dropped)."""
        key, version = name_of(snapshot.document), version_of(snapshot.document)
        known = self._entries.get(key)
        if known and (version < known.version or (version == known.version and self._raw.get(key))):
            return False
        document = _parsed_parts(snapshot.document)
        deployment, problem = _parse(document)
        raw = bytes(memoryview(orjson.dumps(document)))  # a copy: orjson's own result holds on to all of its buffer
        self._raw.put(key, raw)
        self._parsed.put(key, raw, deployment)
        if known and version == known.version:
            return False
        spec, uid = deployment.spec, document["metadata"].get("uid", "")
        fault = snapshot.problem or problem
        self._entries[key] = DeploymentEntry(
            version,
            uid,
            deployment.metadata.generation,
            fault,
            timedelta(seconds=spec.history.ttl_seconds_after_finished),
            spec.pod_retention,
            reservation(raw),
            "" if fault else _digest(known, uid, deployment.metadata.generation, document["spec"] or {}),
            None if fault else spec.concurrency,
            spec.priority or 0,
        )
        self.changed(key)
        return True

    def template(self, key: Name) -> Document | None:
        """What of the newest known version concerns its runs, as it is stored; None if its content is not cached."""
        raw = self._raw.get(key)
        return None if raw is None else template_of(orjson.loads(raw)["spec"] or {})

    def deployment(self, key: Name) -> FlowDeployment | None:
        """The newest known version, parsed; None if its content is not cached: read it."""
        deployment = self._parsed.get(key)
        if deployment is None and (raw := self._raw.get(key)) is not None:
            deployment, _ = _parse(orjson.loads(raw))
            self._parsed.put(key, raw, deployment)
        return deployment

    def remove(self, key: Name, uid: str | None = None) -> bool:
        """Forget a deployment if it still has that uid (None: any); False if it was unknown."""
        known = self._entries.get(key)
        if known is None or (uid and known.uid != uid):
            return False
        del self._entries[key]
        self._raw.remove(key)
        self._parsed.remove(key)
        self.changed(key)
        return True

    def get(self, key: Name) -> DeploymentEntry | None:
        """The cached fields of the newest known version; None if there is no such deployment."""
        return self._entries.get(key)

    def names(self) -> list[Name]:
        """A copy of all names."""
        return list(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _digest(known: DeploymentEntry | None, uid: str, generation: int, spec: Document) -> str:
    """The digest of its template; a change of its status does not change that."""
    if known and known.uid == uid and known.generation == generation > 0 and known.template_digest:
        return known.template_digest
    return template_digest(uid, template_of(spec))


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
