"""The existing flow deployments, parsed once per version: every run of a deployment reads it several times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from mintaka_controller.ports import ObjectProblem
from mintaka_controller.run_cache import name_of, version_of
from mintaka_core.resources import FlowDeployment

if TYPE_CHECKING:
    from mintaka_controller.ports import Document, Name, Snapshot


@dataclass(frozen=True, slots=True)
class DeploymentEntry:
    """One version of a deployment. With a `problem`, `deployment` has an empty spec and must not be run."""

    version: int
    uid: str
    deployment: FlowDeployment
    problem: ObjectProblem | None = None


class DeploymentCache:
    """Flow deployments by (namespace, name)."""

    def __init__(self) -> None:
        self._entries: dict[Name, DeploymentEntry] = {}

    def put(self, snapshot: Snapshot) -> bool:
        """Store a version; False if it is not newer than the known one."""
        key, version = name_of(snapshot.document), version_of(snapshot.document)
        known = self._entries.get(key)
        if known and version <= known.version:
            return False
        deployment, problem = _parsed(snapshot.document)
        self._entries[key] = DeploymentEntry(version, snapshot.document["metadata"].get("uid", ""), deployment, snapshot.problem or problem)
        return True

    def remove(self, key: Name, uid: str | None = None) -> bool:
        """Forget a deployment if it still has that uid (None: any); False if it was unknown."""
        known = self._entries.get(key)
        if known is None or (uid and known.uid != uid):
            return False
        del self._entries[key]
        return True

    def get(self, key: Name) -> DeploymentEntry | None:
        """The newest known version; None if there is no such deployment."""
        return self._entries.get(key)

    def names(self) -> list[Name]:
        """A copy of all names."""
        return list(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _parsed(document: Document) -> tuple[FlowDeployment, ObjectProblem | None]:
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
