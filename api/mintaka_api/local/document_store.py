"""The documents of the local server: what the API server is to a cluster.

Reads come from the database; writes go through `document_writer`, and are made in `document_transaction`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from mintaka_api.local.document_writer import DocumentWriter
from mintaka_api.local.kinds import kind_of
from mintaka_api.local.object_metadata import key_of
from mintaka_api.queries import documents
from mintaka_controller.ports import Unavailable
from mintaka_core.errors import MintakaError
from mintaka_history.database import DatabaseAway

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mintaka_api.local.document_transaction import DocumentTransaction
    from mintaka_controller.ports import Document, Name
    from mintaka_history.database import Connection, Database
    from mintaka_history.queries.names import Names

_PAGE = 500
_DEPLOYMENT = "FlowDeployment"


class DocumentStore:
    """FlowDeployments, FlowRuns, ControllerRevisions and ConfigMaps, by namespace and name.

    Methods raise Missing, Exists, Conflict, Rejected and Unavailable (`mintaka_controller.ports`), and InvalidDocument.
    """

    def __init__(self, database: Database, names: Names) -> None:
        self.database = database
        self._writer = DocumentWriter(database, names)

    def subscribe(self, callback: Callable[[str, Document, bool], None]) -> None:
        """Have `callback(kind, document, deleted)` called in the loop after each commit, in order; it must not change the document."""
        self._writer.subscribers.append(callback)

    async def recover(self) -> None:
        """Once after a start: complete the history of deployments and runs if an earlier server could not. Raises Unavailable."""
        after: Name | None = None
        while page := await self.list(_DEPLOYMENT, after=after, limit=_PAGE):
            await self._writer.masking.mask(page)
            after = key_of(page[-1])
        await self._writer.write(lambda transaction: self._writer.history.end_orphans(transaction.connection))

    async def read(self, kind: str, key: Name) -> Document:
        """The newest version of a document. Raises Missing."""
        text = await self._query(documents.read, kind_of(kind).name, key)
        if text is None:
            raise kind_of(kind).missing(key)
        found: Document = orjson.loads(text)
        return found

    async def version_of(self, kind: str, key: Name) -> str:
        """The resource version of a document, without reading its content. Raises Missing."""
        version = await self._query(documents.version_of, kind_of(kind).name, key)
        if version is None:
            raise kind_of(kind).missing(key)
        return str(version)

    async def list(self, kind: str, namespace: str | None = None, *, after: Name | None = None, limit: int = 500) -> list[Document]:
        """At most `limit` documents of a kind after that key, in the order of (namespace, name)."""
        return [orjson.loads(text) for text in await self._query(documents.page, kind_of(kind).name, namespace, after, limit)]

    async def list_versions(self, kind: str, *, after: Name | None = None, limit: int = 500) -> Sequence[tuple[str, str, int]]:
        """Namespace, name and version of at most `limit` documents of a kind after that key, in that order."""
        found: Sequence[tuple[str, str, int]] = await self._query(documents.versions, kind_of(kind).name, after, limit)
        return found

    async def list_owned(self, kind: str, owner: str) -> Sequence[Document]:
        """The documents of a kind that name the uid `owner` as an owner, in the order of (namespace, name)."""
        return [orjson.loads(text) for text in await self._query(documents.owned_by, owner, kind_of(kind).name)]

    async def create(self, kind: str, document: Document, *, dry_run: bool = False) -> Document:
        """Store a new document, under a generated name if it has only `metadata.generateName`. Raises Exists, InvalidDocument."""

        def write(transaction: DocumentTransaction) -> Document:
            created: Document = transaction.create(kind, document)
            if dry_run:
                raise _DryRun([(created, "created")])
            return created

        try:
            created: Document = await self._writer.write(write)
        except _DryRun as done:
            return done.results[0][0]
        return created

    async def apply(self, kind: str, document: Document) -> tuple[Document, str]:
        """Create a document or merge it into the stored one, as `kubectl apply` does: "created", "configured" or "unchanged"."""
        return (await self.apply_all([(kind, document)]))[0]

    async def apply_all(self, manifests: Sequence[tuple[str, Document]], *, dry_run: bool = False) -> Sequence[tuple[Document, str]]:
        """Apply all of these, or none if one of them is refused; nothing is stored in a `dry_run`. Raises InvalidDocument, Conflict."""

        def write(transaction: DocumentTransaction) -> Sequence[tuple[Document, str]]:
            results = [transaction.apply(kind, manifest) for kind, manifest in manifests]
            if dry_run:
                raise _DryRun(results)
            return results

        try:
            applied: Sequence[tuple[Document, str]] = await self._writer.write(write)
        except _DryRun as done:
            return done.results
        return applied

    async def patch(self, kind: str, key: Name, merge: Document, *, version: str | None = None) -> Document:
        """Apply a JSON merge patch to metadata and spec, if the document has that version (None: any). Raises Conflict, Missing."""
        patched: Document = await self._writer.write(lambda transaction: transaction.patch(kind, key, merge, version))
        return patched

    async def write_status(
        self, kind: str, key: Name, version: str, status: Document, rows: Callable[[Connection], None] | None = None
    ) -> Document:
        """Replace the status, if the document has that version, with what `rows` writes in the same transaction. Raises Conflict, Missing."""

        def write(transaction: DocumentTransaction) -> Document:
            written = transaction.write_status(kind, key, version, status)
            if rows is not None:
                rows(transaction.connection)
            return written

        written: Document = await self._writer.write(write)
        return written

    async def write_finalizers(self, kind: str, key: Name, version: str, finalizers: Sequence[str]) -> Document | None:
        """Replace the finalizers, if the document has that version; None if that removed it. Raises Conflict, Missing."""
        left: Document | None = await self._writer.write(lambda transaction: transaction.write_finalizers(kind, key, version, finalizers))
        return left

    async def delete(self, kind: str, key: Name, *, uid: str | None = None, version: str | None = None) -> Document | None:
        """Delete a document and what it owns; the remaining document while finalizers hold it, else None. Raises Conflict, Missing."""
        left: Document | None = await self._writer.write(lambda transaction: transaction.delete(kind, key, uid=uid, version=version))
        return left

    async def close(self) -> None:
        """Wait until all pending writes are done."""
        await self._writer.close()

    async def _query(self, query: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await self.database.read(query, *arguments)
        except DatabaseAway as away:
            raise Unavailable(str(away)) from away


class _DryRun(MintakaError):
    """Rolls back a dry run; carries the results."""

    def __init__(self, results: Sequence[tuple[Document, str]]) -> None:
        super().__init__("a dry run")
        self.results = results
