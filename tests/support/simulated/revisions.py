"""ControllerRevisions of the API server in memory: they have the owners that they were created with, and go with the last of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mintaka_controller.ports import Exists, ListedRevision, Missing, Name, Rejected
from mintaka_core.names import label_value

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka_core.resources import FlowRun
    from mintaka_core.revisions import Revision
    from simulated.server import Server


class _Stored(NamedTuple):
    uid: str
    revision: Revision
    number: int
    created: datetime
    owners: frozenset[str]


class Revisions:
    """By namespace and name; `forbidden` are the namespaces whose Role does not allow to create them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.by_key: dict[Name, _Stored] = {}
        self.forbidden: set[str] = set()

    def read(self, key: Name) -> Revision:
        """One revision."""
        if key not in self.by_key:
            raise Missing(str(key))
        return self.by_key[key].revision

    def create(self, run: FlowRun, revision: Revision) -> int:
        """A new revision, under the next number of its deployment."""
        namespace = run.metadata.namespace
        if namespace in self.forbidden or self._server.namespace(namespace).terminating:
            message = "controllerrevisions.apps is forbidden"
            raise Rejected(message)
        key = namespace, revision.name
        if key in self.by_key:
            raise Exists(str(key))
        siblings = [each.number for (where, _), each in self.by_key.items() if where == namespace]
        owners = frozenset({revision.deployment_uid, run.metadata.uid})
        uid = f"revision-{self._server.next_version()}"
        self.by_key[key] = _Stored(uid, revision, max(siblings, default=0) + 1, self._server.agenda.now, owners)
        return self.by_key[key].number

    def delete(self, key: Name, uid: str) -> None:
        """Delete one that has that uid."""
        if key in self.by_key and self.by_key[key].uid == uid:
            del self.by_key[key]

    def list_all(self) -> list[ListedRevision]:
        """All of them."""
        return [
            ListedRevision(key, stored.uid, label_value(stored.revision.deployment), stored.number, stored.created)
            for key, stored in self.by_key.items()
        ]

    def collect(self, existing: set[str]) -> None:
        """Those whose owners are all gone go too."""
        self.by_key = {key: stored for key, stored in self.by_key.items() if stored.owners & existing}
