"""Revisions of flow deployments as ControllerRevisions of the local server: the controller's port `Revisions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka_api.local.object_metadata import key_of
from mintaka_controller.ports import Conflict, ListedRevision, Missing, Rejected
from mintaka_core import names
from mintaka_core.instants import EARLIEST, parse_time
from mintaka_core.revisions import Revision
from mintaka_validation import InvalidDocument

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mintaka_api.local.document_store import DocumentStore
    from mintaka_controller.ports import Document, Name
    from mintaka_core.resources import FlowRun

_KIND = "ControllerRevision"
_PAGE = 200


class LocalRevisions:
    """Creates, reads, lists and deletes them in the document store, which writes the history of versions along with them."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store

    async def read(self, key: Name) -> Revision:
        """One revision. Raises Missing."""
        return _revision_of(await self._store.read(_KIND, key))

    async def create(self, run: FlowRun, revision: Revision) -> int:
        """Store a revision under the next number of its deployment. Raises Exists; Rejected if it is not valid."""
        numbers = [_number(document) for document in await self._store.list_owned(_KIND, revision.deployment_uid)]
        number = max(numbers, default=0) + 1
        try:
            await self._store.create(_KIND, _manifest(run, revision, number))
        except InvalidDocument as invalid:
            raise Rejected(str(invalid)) from invalid
        return number

    async def delete(self, key: Name, uid: str) -> None:
        """Delete the revision with that uid; success if it is gone, or if another one has its name."""
        try:
            await self._store.delete(_KIND, key, uid=uid)
        except (Missing, Conflict):
            return

    async def list_all(self) -> AsyncIterator[list[ListedRevision]]:
        """Every revision of a flow deployment, page by page."""
        after: Name | None = None
        while page := await self._store.list(_KIND, after=after, limit=_PAGE):
            yield [_listed(document) for document in page if names.LABEL_DEPLOYMENT in (document["metadata"].get("labels") or {})]
            after = key_of(page[-1])


def _manifest(run: FlowRun, revision: Revision, number: int) -> dict[str, Any]:
    """The ControllerRevision, owned by the deployment and the run: it stays as long as one of them."""
    by_deployment = {
        "apiVersion": names.API_VERSION,
        "kind": "FlowDeployment",
        "name": revision.deployment,
        "uid": revision.deployment_uid,
        "controller": True,
    }
    by_run = {"apiVersion": names.API_VERSION, "kind": run.kind, "name": run.metadata.name, "uid": run.metadata.uid}
    return {
        "apiVersion": "apps/v1",
        "kind": _KIND,
        "metadata": {
            "name": revision.name,
            "namespace": run.metadata.namespace,
            "labels": {
                names.LABEL_MANAGED_BY: names.MANAGED_BY,
                names.LABEL_DEPLOYMENT: names.label_value(revision.deployment),
            },
            "annotations": {names.ANNOTATION_DEPLOYMENT_UID: revision.deployment_uid},
            "ownerReferences": [by_deployment, by_run],
        },
        "data": {"spec": revision.data},
        "revision": number,
    }


def _revision_of(document: Document) -> Revision:
    """A ControllerRevision as a revision; a field that is missing or of another type reads as empty."""
    metadata = document["metadata"]
    data = document.get("data")
    spec = data.get("spec") if isinstance(data, dict) else None
    return Revision(
        metadata["name"],
        (metadata.get("labels") or {}).get(names.LABEL_DEPLOYMENT, ""),
        (metadata.get("annotations") or {}).get(names.ANNOTATION_DEPLOYMENT_UID, ""),
        spec if isinstance(spec, dict) else {},
        _number(document),
    )


def _listed(document: Document) -> ListedRevision:
    metadata = document["metadata"]
    return ListedRevision(
        key_of(document),
        metadata["uid"],
        metadata["labels"][names.LABEL_DEPLOYMENT],
        _number(document),
        parse_time(metadata.get("creationTimestamp")) or EARLIEST,
    )


def _number(document: Document) -> int:
    number: int = document["revision"]
    return number
