"""The existing workloads, by the flow run that owns them; only moves forward, like the cache of runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_controller.ports import Name, OwnedWorkload
    from mintaka_core.workloads import Workload


class WorkloadCache:
    """Workloads by (namespace, name). `ended` is called with the namespace of each workload that is no longer alive,
    however that became known.
    """

    def __init__(self, ended: Callable[[str], None] = lambda _namespace: None) -> None:
        self.ended = ended
        #: Called with the run of each workload that has changed, or is gone.
        self.changed: Callable[[Name], None] = lambda _run: None
        self._workloads: dict[Name, OwnedWorkload] = {}
        self._of_run: dict[Name, dict[Name, None]] = {}  # ordered, as sets are not
        self._doubtful: set[Name] = set()

    def put(self, owned: OwnedWorkload) -> bool:
        """Store a version; False if nothing relevant to its run changed."""
        key = owned.run[0], owned.workload.name
        known = self._workloads.get(key)
        if known and owned.version <= known.version:
            return False
        if known and known.run != owned.run:
            self._unlink(key, known)
        self._workloads[key] = owned
        self._of_run.setdefault(owned.run, {})[key] = None
        if known and known.run != owned.run:
            self.changed(known.run)
        self.changed(owned.run)
        if not owned.workload.alive and (known is None or known.workload.alive):
            self.ended(key[0])
        return known is None or known.run != owned.run or _differs(known.workload, owned.workload)

    def replace(self, owned: OwnedWorkload) -> None:
        """Store a re-evaluated version, unless a newer one is known."""
        key = owned.run[0], owned.workload.name
        known = self._workloads.get(key)
        if known and known.version == owned.version and known.run == owned.run:
            self._workloads[key] = owned
            self.changed(owned.run)
        else:
            self.put(owned)

    def remove(self, key: Name, uid: str | None = None) -> Name | None:
        """Forget a workload if it still has that uid (None: any); return the run that owned it."""
        known = self._workloads.get(key)
        if known is None or (uid and known.workload.uid != uid):
            return None
        del self._workloads[key]
        self._doubtful.discard(key)
        self._unlink(key, known)
        if known.workload.alive:
            self.ended(key[0])
        self.changed(known.run)
        return known.run

    def doubt(self, key: Name) -> None:
        """Mark a known workload as one whose cached version may be incomplete: it is to be read again."""
        if key in self._workloads:
            self._doubtful.add(key)

    def is_doubtful(self, key: Name) -> bool:
        """True for a workload that is to be read again."""
        return key in self._doubtful

    def trust(self, key: Name) -> None:
        """Remove the mark of a workload that is being read again; a change meanwhile may mark it anew."""
        self._doubtful.discard(key)

    def doubtful_of(self, run: Name) -> list[OwnedWorkload]:
        """The workloads of a run that are to be read again."""
        return [self._workloads[key] for key in self._of_run.get(run, ()) if key in self._doubtful]

    def _unlink(self, key: Name, known: OwnedWorkload) -> None:
        siblings = self._of_run.get(known.run)
        if siblings is not None:
            siblings.pop(key, None)
            if not siblings:
                del self._of_run[known.run]

    def of_run(self, run: Name, uid: str | None = None) -> dict[int, Workload]:
        """The workloads of a run by attempt; with `uid`, only those of the run with that uid."""
        owned = (self._workloads[key] for key in self._of_run.get(run, ()))
        return {each.workload.attempt: each.workload for each in owned if uid is None or each.owner_uid == uid}

    def owned_by(self, run: Name) -> list[OwnedWorkload]:
        """All workloads that runs of that name own or owned."""
        return [self._workloads[key] for key in self._of_run.get(run, ())]

    def get(self, key: Name) -> OwnedWorkload | None:
        """One workload; None if the name is unknown."""
        return self._workloads.get(key)

    def runs(self) -> list[Name]:
        """Every run that has a workload."""
        return list(self._of_run)

    def names(self) -> list[Name]:
        """A copy of all names."""
        return list(self._workloads)

    def __len__(self) -> int:
        return len(self._workloads)


def _differs(known: Workload, new: Workload) -> bool:
    """Whether anything but the node changed: the node of a workload does not affect its run."""
    return known != new and replace(known, node=new.node) != new
