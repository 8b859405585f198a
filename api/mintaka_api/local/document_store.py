"""The documents of the local server: what the API server is to a cluster.

Writes are queued, and one task writes those that wait in one transaction, each in a savepoint of its own: so they never interleave,
and many of them cost one flush of the disk. The history of flow runs and deployments is written in the same transaction. Whoever
subscribed is called in the order of the commits, before the writer has its answer; a writer that is cancelled meanwhile changes nothing
of that.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from mintaka_api.local.document_transaction import DocumentTransaction
from mintaka_api.local.history_rows import HistoryRows
from mintaka_api.local.kinds import kind_of
from mintaka_api.local.object_metadata import key_of
from mintaka_api.local.parameter_masking import ParameterMasking
from mintaka_api.queries import documents
from mintaka_controller.ports import Rejected, Unavailable
from mintaka_core.errors import MintakaError
from mintaka_history.database import DatabaseAway, DatabaseRefusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from mintaka_api.local.document_transaction import Change
    from mintaka_controller.ports import Document, Name
    from mintaka_history.database import Database
    from mintaka_history.queries.names import Names

logger = logging.getLogger("mintaka.api.documents")

#: The most writes that share a transaction: other writers of the database wait for its end.
_GROUP = 50
_PAGE = 500
_DEPLOYMENT = "FlowDeployment"

type Write = Callable[[DocumentTransaction], Any]


class _Waiting(NamedTuple):
    """A write that waits for its turn, and where its result goes."""

    write: Write
    answer: asyncio.Future[Any]


class DocumentStore:
    """FlowDeployments, FlowRuns, ControllerRevisions and ConfigMaps, by namespace and name.

    Methods raise Missing, Exists, Conflict, Rejected and Unavailable (`mintaka_controller.ports`), and InvalidDocument.
    """

    def __init__(self, database: Database, names: Names) -> None:
        self.database = database
        self._history = HistoryRows(names)
        self._masking = ParameterMasking(database, names)
        self._waiting: deque[_Waiting] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._subscribers: list[Callable[[str, Document, bool], None]] = []

    def subscribe(self, callback: Callable[[str, Document, bool], None]) -> None:
        """Have `callback(kind, document, deleted)` called in the loop after each commit, in order; it must not change the document."""
        self._subscribers.append(callback)

    async def recover(self) -> None:
        """Once after a start: complete what an earlier server could not, of the history of deployments and runs. Raises Unavailable."""
        after: Name | None = None
        while page := await self.list(_DEPLOYMENT, after=after, limit=_PAGE):
            await self._masking.mask(page)
            after = key_of(page[-1])
        await self._write(lambda transaction: self._history.end_orphans(transaction.connection))

    async def read(self, kind: str, key: Name) -> Document:
        """The newest version of a document. Raises Missing."""
        text = await self._query(documents.read, kind_of(kind).name, key)
        if text is None:
            raise kind_of(kind).missing(key)
        found: Document = orjson.loads(text)
        return found

    async def list(self, kind: str, namespace: str | None = None, *, after: Name | None = None, limit: int = 500) -> list[Document]:
        """At most `limit` documents of a kind after that key, in the order of (namespace, name)."""
        return [orjson.loads(text) for text in await self._query(documents.page, kind_of(kind).name, namespace, after, limit)]

    async def list_versions(self, kind: str, *, after: Name | None = None, limit: int = 500) -> Sequence[tuple[str, str, int]]:
        """Namespace, name and version of at most `limit` documents of a kind after that key, in that order."""
        return await self._query(documents.versions, kind_of(kind).name, after, limit)

    async def list_owned(self, kind: str, owner: str) -> Sequence[Document]:
        """The documents of a kind that name the uid `owner` as an owner, in the order of (namespace, name)."""
        return [orjson.loads(text) for text in await self._query(documents.owned_by, owner, kind_of(kind).name)]

    async def create(self, kind: str, document: Document) -> Document:
        """Store a new document, under a generated name if it has only `metadata.generateName`. Raises Exists, InvalidDocument."""
        created: Document = await self._write(lambda transaction: transaction.create(kind, document))
        return created

    async def apply(self, kind: str, document: Document) -> tuple[Document, str]:
        """Create a document or merge it into the stored one, as `kubectl apply` does: "created", "configured" or "unchanged"."""
        return (await self.apply_all([(kind, document)]))[0]

    async def apply_all(self, manifests: Sequence[tuple[str, Document]], *, dry_run: bool = False) -> Sequence[tuple[Document, str]]:
        """Apply all of these, or none if one of them is refused; nothing is stored in a `dry_run`. Raises InvalidDocument, Conflict."""

        def write(transaction: DocumentTransaction) -> list[tuple[Document, str]]:
            results = [transaction.apply(kind, manifest) for kind, manifest in manifests]
            if dry_run:
                raise _DryRun(results)
            return results

        try:
            applied: list[tuple[Document, str]] = await self._write(write)
        except _DryRun as done:
            return done.results
        return applied

    async def patch(self, kind: str, key: Name, merge: Document, *, version: str | None = None) -> Document:
        """Apply a JSON merge patch to metadata and spec, if the document has that version (None: any). Raises Conflict, Missing."""
        patched: Document = await self._write(lambda transaction: transaction.patch(kind, key, merge, version))
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

        written: Document = await self._write(write)
        return written

    async def write_finalizers(self, kind: str, key: Name, version: str, finalizers: Sequence[str]) -> Document | None:
        """Replace the finalizers, if the document has that version; None if it is gone thereby. Raises Conflict, Missing."""
        left: Document | None = await self._write(lambda transaction: transaction.write_finalizers(kind, key, version, finalizers))
        return left

    async def delete(self, kind: str, key: Name, *, uid: str | None = None, version: str | None = None) -> Document | None:
        """Delete a document and what it owns; what is left of it while finalizers hold it, or None. Raises Conflict, Missing."""
        left: Document | None = await self._write(lambda transaction: transaction.delete(kind, key, uid=uid, version=version))
        return left

    async def close(self) -> None:
        """Wait until everything that waits is written."""
        while self._writer is not None and not self._writer.done():
            await asyncio.wait([self._writer])

    async def _query(self, query: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await self.database.read(query, *arguments)
        except DatabaseAway as away:
            raise Unavailable(str(away)) from away

    async def _write(self, write: Write) -> Any:
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(write, answer))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting())
        return await answer

    async def _write_waiting(self) -> None:
        """Write what waits, group by group, until nothing does."""
        while self._waiting:
            group = [self._waiting.popleft() for _ in range(min(len(self._waiting), _GROUP))]
            await self._write_group([each for each in group if not each.answer.done()])

    async def _write_group(self, group: list[_Waiting]) -> None:
        if not group:
            return
        try:
            results, changes = await self.database.in_writer(self._commit, [each.write for each in group])
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever wrote it has to know
            if len(group) == 1 or isinstance(error, DatabaseAway):
                results, changes = [_of_port(error)] * len(group), []
            else:  # one of them spoils the transaction of all
                for each in group:
                    await self._write_group([each])
                return
        self._announce(changes)
        await self._masking.mask(change.document for change in changes if change.kind == _DEPLOYMENT and not change.deleted)
        self._masking.forget(change.document for change in changes if change.kind == _DEPLOYMENT and change.deleted)
        for each, result in zip(group, results, strict=True):
            if each.answer.done():
                continue
            if isinstance(result, Exception):
                each.answer.set_exception(result)
            else:
                each.answer.set_result(result)

    def _commit(self, writes: list[Write]) -> tuple[list[Any], list[Change]]:
        """Make these changes in one transaction (in a writer's thread); the result or error of each, and what changed."""
        with self.database.writing() as connection:
            transaction = DocumentTransaction(connection)
            results = [_result_of(transaction, write) for write in writes]
            self._history.write(connection, transaction.changes)
            transaction.close()
        return results, transaction.changes

    def _announce(self, changes: list[Change]) -> None:
        for change in changes:
            for callback in self._subscribers:
                try:
                    callback(*change)
                except Exception:  # one subscriber's fault is no reason to lose the others
                    logger.exception("a change of %s %s cannot be processed", change.kind, change.document["metadata"]["name"])


class _DryRun(MintakaError):
    """Rolls back what was only tried; carries the results."""

    def __init__(self, results: list[tuple[Document, str]]) -> None:
        super().__init__("a dry run")
        self.results = results


def _result_of(transaction: DocumentTransaction, write: Write) -> Any:
    """The result of a write, or the error for which nothing of it is done."""
    noted = len(transaction.changes)
    try:
        with transaction.connection.begin_nested():
            return write(transaction)
    except MintakaError as error:
        del transaction.changes[noted:]
        return _of_port(error)


def _of_port(error: Exception) -> Exception:
    """The port's error for an error of the database."""
    if isinstance(error, DatabaseAway):
        return Unavailable(str(error))
    if isinstance(error, DatabaseRefusal):
        return Rejected(str(error))
    return error
