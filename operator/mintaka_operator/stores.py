"""What the operator knows of the cluster, kept small: raw JSON of our resources, diagnoses of pods.

A store only moves forward: an object older than the one it has (by resource version) is ignored, because events arrive
after the answers to our own writes. Resource versions are compared as numbers, which every API server's storage writes
(and Kubernetes guarantees from 1.35 on).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from mintaka_core.states import TERMINAL, StateType
from mintaka_core.workloads import Workload
from mintaka_operator.diagnosis import diagnose

if TYPE_CHECKING:
    from collections.abc import Iterator


type Name = tuple[str, str]


def name_of(resource: dict[str, Any]) -> Name:
    """(namespace, name) of an object."""
    metadata = resource["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def version_of(resource: dict[str, Any]) -> int:
    """An object's resource version as a number."""
    return int(resource["metadata"].get("resourceVersion") or 0)


@dataclass(frozen=True, slots=True)
class Entry:
    """One object: its JSON, and what is asked of many at once."""

    version: int
    uid: str
    raw: bytes
    deployment: str = ""
    state: str = ""
    end_time: datetime | None = None
    end_reason: str = ""
    rerun_wanted: bool = False

    @property
    def finished(self) -> bool:
        """True for a flow run that is over, and that nobody wants to run again."""
        return bool(self.state) and StateType(self.state) in TERMINAL and not self.rerun_wanted


def _rerun_wanted(metadata: dict[str, Any], spec: dict[str, Any], status: dict[str, Any]) -> bool:
    """`FlowRun.rerun_wanted`, without reading the whole object."""
    return (spec.get("reruns") or 0) > (status.get("reruns") or 0) and not (spec.get("cancel") or metadata.get("deletionTimestamp"))


class ResourceStore:
    """FlowRuns or FlowDeployments by (namespace, name)."""

    def __init__(self) -> None:
        self._entries: dict[Name, Entry] = {}
        self._of_deployment: dict[Name, set[Name]] = {}
        self.states: Counter[str] = Counter()

    def put(self, resource: dict[str, Any]) -> bool:
        """Take in an object; False where nothing newer was learned."""
        key, version = name_of(resource), version_of(resource)
        known = self._entries.get(key)
        if known and version <= known.version:
            return False
        resource["metadata"].pop("managedFields", None)
        spec, status = resource.get("spec") or {}, resource.get("status") or {}
        state = status.get("state") or {}
        end = status.get("endTime")
        self._unlink(key, known)
        entry = Entry(
            version=version,
            uid=resource["metadata"].get("uid", ""),
            raw=bytes(memoryview(orjson.dumps(resource))),  # a copy: orjson's own result holds on to all of its 8 KiB buffer
            deployment=spec.get("deployment") or "",
            state=state.get("type") or "",
            end_time=datetime.fromisoformat(end) if end else None,
            end_reason=state.get("reason") or "",
            rerun_wanted=_rerun_wanted(resource["metadata"], spec, status),
        )
        self._entries[key] = entry
        self.states[entry.state] += 1
        if entry.deployment:
            self._of_deployment.setdefault((key[0], entry.deployment), set()).add(key)
        return True

    def remove(self, key: Name, uid: str | None = None) -> bool:
        """Forget an object, where it still is the one of that uid (None: whichever it is); False where it was unknown."""
        known = self._entries.get(key)
        if known is None or (uid and known.uid != uid):
            return False
        self._unlink(key, known)
        del self._entries[key]
        return True

    def _unlink(self, key: Name, known: Entry | None) -> None:
        if known is None:
            return
        self.states[known.state] -= 1
        siblings = self._of_deployment.get((key[0], known.deployment))
        if siblings is not None:
            siblings.discard(key)
            if not siblings:
                del self._of_deployment[key[0], known.deployment]

    def get(self, key: Name) -> Entry | None:
        """The object at `key`, None where there is none."""
        return self._entries.get(key)

    def of_deployment(self, deployment: Name) -> list[tuple[Name, Entry]]:
        """The flow runs that name a deployment."""
        return [(key, self._entries[key]) for key in self._of_deployment.get(deployment, ())]

    def names(self) -> list[Name]:
        """Every name, in a list of its own."""
        return list(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


@dataclass(frozen=True, slots=True)
class OwnedWorkload:
    """A pod's diagnosis, and which FlowRun owns it."""

    owner_uid: str
    version: int
    workload: Workload


class PodStore:
    """Diagnoses of our pods, by the FlowRun that owns them."""

    def __init__(self) -> None:
        self._pods: dict[Name, OwnedWorkload] = {}
        self._of_run: dict[Name, set[Name]] = {}
        self._owner: dict[Name, Name] = {}

    def put(self, pod: dict[str, Any]) -> Name | None:
        """Take in a pod; the key of the run it matters to, None where nothing that matters changed."""
        key, version = name_of(pod), version_of(pod)
        owner = next((owner for owner in pod["metadata"].get("ownerReferences") or [] if owner.get("kind") == "FlowRun"), None)
        known = self._pods.get(key)
        if owner is None or (known and version <= known.version):
            return None
        workload = diagnose(pod)
        run = (key[0], owner["name"])
        before = self._unlink(key)
        self._pods[key] = OwnedWorkload(owner["uid"], version, workload)
        self._owner[key] = run
        self._of_run.setdefault(run, set()).add(key)
        return run if known is None or known.workload != workload or before != run else None

    def _unlink(self, key: Name) -> Name | None:
        run = self._owner.pop(key, None)
        pods = self._of_run.get(run) if run else None
        if run and pods:
            pods.discard(key)
            if not pods:
                del self._of_run[run]
        return run

    def remove(self, key: Name, uid: str | None = None) -> Name | None:
        """Forget a pod; the key of the run it mattered to."""
        known = self._pods.get(key)
        if known is None or (uid and known.workload.uid != uid):
            return None
        del self._pods[key]
        return self._unlink(key)

    def of_run(self, run: Name, uid: str | None = None) -> dict[int, Workload]:
        """The workloads of a run by attempt; with `uid`, only those of the run of that uid."""
        owned = [self._pods[key] for key in self._of_run.get(run, ())]
        return {pod.workload.attempt: pod.workload for pod in owned if uid is None or pod.owner_uid == uid}

    def get(self, key: Name) -> OwnedWorkload | None:
        """One pod's diagnosis."""
        return self._pods.get(key)

    def runs(self) -> Iterator[Name]:
        """Every run that has a pod."""
        return iter(tuple(self._of_run))

    def names(self) -> list[Name]:
        """Every pod's name, in a list of its own."""
        return list(self._pods)

    def __len__(self) -> int:
        return len(self._pods)
