"""Revisions of flow deployments as ControllerRevisions: the controller's port `Revisions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka_controller.ports import ListedRevision, Missing
from mintaka_controller.run_cache import name_of
from mintaka_core import names
from mintaka_core.instants import EARLIEST, parse_time
from mintaka_core.json_values import mapping, text
from mintaka_core.revisions import Revision
from mintaka_kubernetes.resources import CONTROLLER_REVISIONS
from mintaka_operator.cluster import ApiError, Unreadable, document_of
from mintaka_operator.pods import owner_reference
from mintaka_operator.port_errors import port_error, port_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mintaka_controller.ports import Document, Name
    from mintaka_core.resources import FlowRun
    from mintaka_operator.cluster import Cluster

_NOT_FOUND, _CONFLICT = 404, 409
_PAGE_SIZE = 500
#: Every ControllerRevision of ours, and none of a StatefulSet's or DaemonSet's.
_OURS = names.LABEL_DEPLOYMENT


class KubernetesRevisions:
    """Creates, reads, lists and deletes them in the served namespaces: `served` returns those, (None,) for the whole cluster."""

    def __init__(self, cluster: Cluster, served: Callable[[], tuple[str | None, ...]]) -> None:
        self._cluster = cluster
        self._served = served

    async def read(self, key: Name) -> Revision:
        """One revision. Raises Missing."""
        with port_errors():
            found = await self._cluster.read(CONTROLLER_REVISIONS.path(*key))
        if isinstance(found, Unreadable):
            message = f"ControllerRevision {'/'.join(key)}: {found.message}"
            raise Missing(message)
        return revision_of(found)

    async def create(self, run: FlowRun, revision: Revision) -> int:
        """Store a revision under the next number of its deployment. Raises Exists."""
        namespace = run.metadata.namespace
        label = names.label_value(revision.deployment)
        numbers = [each.number for each in await self._list_of(namespace, f"{_OURS}={label}")]
        number = max(numbers, default=0) + 1
        with port_errors():
            await self._cluster.create(CONTROLLER_REVISIONS.path(namespace), manifest(run, revision, number))
        return number

    async def delete(self, key: Name, uid: str) -> None:
        """Delete the revision with that uid; success if it is gone, or if another one has its name."""
        try:
            await self._cluster.delete(CONTROLLER_REVISIONS.path(*key), {"preconditions": {"uid": uid}})
        except ApiError as error:
            if error.code not in {_NOT_FOUND, _CONFLICT}:
                raise port_error(error) from error

    async def list_all(self) -> AsyncIterator[list[ListedRevision]]:
        """Every revision of the served namespaces, page by page."""
        for namespace in self._served():
            with port_errors():
                # A namespace that was just deleted has no Role any more, and must not prevent the others from being listed.
                if namespace is not None and not await self._cluster.may_list(CONTROLLER_REVISIONS, namespace):
                    continue
                async for page in self._pages(namespace, _OURS):
                    yield page

    async def _list_of(self, namespace: str, selector: str) -> list[ListedRevision]:
        with port_errors():
            return [revision async for page in self._pages(namespace, selector) for revision in page]

    async def _pages(self, namespace: str | None, selector: str) -> AsyncIterator[list[ListedRevision]]:
        path, query = CONTROLLER_REVISIONS.path(namespace), {"labelSelector": selector}
        async for page in self._cluster.list_pages(path, query, page_size=_PAGE_SIZE, metadata_only=True):
            yield [_listed(item) for item in map(document_of, page) if (item.get("metadata") or {}).get("name")]


def manifest(run: FlowRun, revision: Revision, number: int) -> dict[str, Any]:
    """The ControllerRevision.

    Both the deployment and the run own it: if the deployment is deleted, it stays as long as the run, whose further attempts
    need it.
    """
    deployment = {
        "apiVersion": names.API_VERSION,
        "kind": "FlowDeployment",
        "name": revision.deployment,
        "uid": revision.deployment_uid,
        "controller": True,
    }
    by_run = {field: value for field, value in owner_reference(run).items() if field not in {"controller", "blockOwnerDeletion"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": revision.name,
            "namespace": run.metadata.namespace,
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY, _OURS: names.label_value(revision.deployment)},
            "annotations": {
                names.ANNOTATION_DEPLOYMENT_UID: revision.deployment_uid,
                names.ANNOTATION_REVISION_NUMBER: str(number),
            },
            "ownerReferences": [deployment, by_run],
        },
        # As in Kubernetes' own: a patch of the deployment that brings the spec back.
        "data": {"spec": revision.data},
        "revision": number,
    }


def revision_of(document: Document) -> Revision:
    """A ControllerRevision as a revision; a field that is missing or of a wrong type reads as empty."""
    metadata = document["metadata"]
    annotations = mapping(metadata.get("annotations"))
    number = document.get("revision")
    return Revision(
        text(metadata.get("name")),
        text(mapping(metadata.get("labels")).get(_OURS)),
        text(annotations.get(names.ANNOTATION_DEPLOYMENT_UID)),
        dict(mapping(mapping(document.get("data")).get("spec"))),
        number if isinstance(number, int) else 0,
    )


def _listed(item: Document) -> ListedRevision:
    metadata = item["metadata"]
    number = text(mapping(metadata.get("annotations")).get(names.ANNOTATION_REVISION_NUMBER))
    return ListedRevision(
        name_of(item),
        text(metadata.get("uid")),
        text(mapping(metadata.get("labels")).get(_OURS)),
        int(number) if number.isdecimal() and number.isascii() and len(number) < 19 else 0,  # noqa: PLR2004 - 64 bits
        parse_time(metadata.get("creationTimestamp")) or EARLIEST,
    )
