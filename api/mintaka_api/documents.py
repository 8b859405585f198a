"""Documents as users apply, read and delete them with a local server: flow deployments, flow runs, rules, ConfigMaps, revisions.

`Documents` is the port; `mintaka_api.local.document_store` is its adapter. A cluster has no adapter: kubectl does this there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mintaka_core.names import API_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka_controller.ports import Document, Name

#: The kinds that can be read, and their API versions.
KINDS = {
    "FlowDeployment": API_VERSION,
    "FlowRun": API_VERSION,
    "OrchestrationRule": API_VERSION,
    "ClusterOrchestrationRule": API_VERSION,
    "ConfigMap": "v1",
    "ControllerRevision": "apps/v1",
}
#: The kinds that users write; revisions are the controller's.
WRITABLE = ("FlowDeployment", "FlowRun", "OrchestrationRule", "ClusterOrchestrationRule", "ConfigMap")
#: The namespace of documents that do not name one: that of scripts.
NAMESPACE = "local"
#: In paths, the namespace of documents of the whole cluster.
NO_NAMESPACE = "-"


class Documents(Protocol):
    """The documents of a local server. Any method may raise `mintaka_controller.ports.Rejected`."""

    async def read(self, kind: str, key: Name) -> Document:
        """The newest version. Raises Missing."""

    async def list(self, kind: str, namespace: str | None = None, *, after: Name | None = None, limit: int = 500) -> Sequence[Document]:
        """At most `limit` documents after the key `after`, ordered by namespace and name."""

    async def create(self, kind: str, document: Document, *, dry_run: bool = False) -> Document:
        """Create a document; without a name it gets one from `metadata.generateName`. `dry_run` stores nothing. Raises Exists, InvalidDocument."""

    async def apply_all(self, manifests: Sequence[tuple[str, Document]], *, dry_run: bool = False) -> Sequence[tuple[Document, str]]:
        """Create or change documents as `kubectl apply` does, all or none; each with `created`, `configured` or `unchanged`.

        `dry_run` stores nothing. Raises InvalidDocument for the first that is not valid.
        """

    async def delete(self, kind: str, key: Name, *, uid: str | None = None, version: str | None = None) -> Document | None:
        """Delete a document; the remaining document while finalizers hold it, else None. Raises Missing, Conflict."""
