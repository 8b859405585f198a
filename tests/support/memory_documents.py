"""`mintaka_api.documents.Documents` in memory: the part of a store that the routes and commands need, without rows."""

from __future__ import annotations

import uuid
from copy import deepcopy
from typing import TYPE_CHECKING

from mintaka_controller.ports import Conflict, Exists, Missing
from mintaka_validation import validate_new, validate_update

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mintaka_controller.ports import Document, Name

_OURS = frozenset({"FlowDeployment", "FlowRun"})


class MemoryDocuments:
    """Documents by kind and key. `created` is called with each new FlowRun."""

    def __init__(self, created: Callable[[Document], None] = lambda _: None) -> None:
        self.stored: dict[tuple[str, Name], Document] = {}
        self._version = 0
        self._created = created

    async def read(self, kind: str, key: Name) -> Document:
        """See `Documents`."""
        if (kind, key) not in self.stored:
            message = f'{kind} "{key[0]}/{key[1]}" not found'
            raise Missing(message)
        return deepcopy(self.stored[kind, key])

    async def list(self, kind: str, namespace: str | None = None, *, after: Name | None = None, limit: int = 500) -> list[Document]:
        """See `Documents`."""
        keys = sorted(
            key for stored, key in self.stored if stored == kind and namespace in (None, key[0]) and (after is None or key > after)
        )
        return [deepcopy(self.stored[kind, key]) for key in keys[:limit]]

    async def create(self, kind: str, document: Document, *, dry_run: bool = False) -> Document:
        """See `Documents`."""
        metadata = dict(document["metadata"])
        metadata.setdefault("name", metadata.get("generateName", "") + uuid.uuid4().hex[:5])
        key = _key({"metadata": metadata})
        if (kind, key) in self.stored:
            message = f'{kind} "{key[0]}/{key[1]}" already exists'
            raise Exists(message)
        valid = _valid(kind, {**document, "metadata": metadata})
        return valid if dry_run else self._stored(kind, key, valid)

    async def apply_all(self, manifests: Sequence[tuple[str, Document]], *, dry_run: bool = False) -> list[tuple[Document, str]]:
        """See `Documents`; a field that a manifest no longer has is removed with the whole spec it was in."""
        planned = [self._planned(kind, document) for kind, document in manifests]
        if dry_run:
            return planned
        return [(self._stored(kind, _key(new), new), result) for (kind, _), (new, result) in zip(manifests, planned, strict=True)]

    def _planned(self, kind: str, document: Document) -> tuple[Document, str]:
        old = self.stored.get((kind, _key(document)))
        if old is None:
            return _valid(kind, document), "created"
        new = {**old, **document, "metadata": {**old["metadata"], **document["metadata"]}}
        valid = validate_update(kind, old, new) if kind in _OURS else new
        return deepcopy(valid), "unchanged" if valid == old else "configured"

    async def delete(self, kind: str, key: Name, *, uid: str | None = None, version: str | None = None) -> Document | None:
        """See `Documents`."""
        found = await self.read(kind, key)
        if uid not in (None, found["metadata"]["uid"]) or version not in (None, found["metadata"]["resourceVersion"]):
            message = f'{kind} "{key[0]}/{key[1]}" has changed'
            raise Conflict(message)
        del self.stored[kind, key]
        return None

    def _stored(self, kind: str, key: Name, document: Document) -> Document:
        self._version += 1
        new = (kind, key) not in self.stored
        if not new and document == self.stored[kind, key]:
            return deepcopy(document)
        metadata = {"uid": str(uuid.uuid4()), "creationTimestamp": "2026-01-01T00:00:00Z", **document["metadata"]}
        self.stored[kind, key] = {**document, "metadata": {**metadata, "resourceVersion": str(self._version)}}
        if new and kind == "FlowRun":
            self._created(self.stored[kind, key])
        return deepcopy(self.stored[kind, key])


def _key(document: Document) -> Name:
    return document["metadata"]["namespace"], document["metadata"]["name"]


def _valid(kind: str, document: Document) -> Document:
    return validate_new(kind, document) if kind in _OURS else document
