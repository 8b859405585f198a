"""The queue of writes to documents: pending writes share a transaction, each in a savepoint of its own.

So they never interleave, and many of them cost one flush of the disk. The history of flow runs and deployments is written in the same
transaction. Subscribers are called in the order of the commits, before the writers get their results. If a caller is cancelled,
its write is completed if it has begun, and dropped if not. Every caller gets a result or an error: that of a committed write is its
result, even if something fails after the commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka_api.local.document_transaction import DocumentTransaction
from mintaka_api.local.history_rows import HistoryRows
from mintaka_api.local.parameter_masking import ParameterMasking
from mintaka_controller.ports import Rejected, Unavailable
from mintaka_core.errors import MintakaError
from mintaka_history.database import DatabaseAway, DatabaseRefusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mintaka_api.local.document_transaction import Change
    from mintaka_controller.ports import Document
    from mintaka_history.database import Database
    from mintaka_history.queries.names import Names

logger = logging.getLogger("mintaka.api.documents")

#: The most writes that share a transaction: other writers of the database wait for its end.
_GROUP = 50
_DEPLOYMENT = "FlowDeployment"

type Write = Callable[[DocumentTransaction], Any]


class _Waiting(NamedTuple):
    """A pending write, and the future of its result."""

    write: Write
    answer: asyncio.Future[Any]


class DocumentWriter:
    """Writes documents with their history, and announces what changed."""

    def __init__(self, database: Database, names: Names) -> None:
        self.history = HistoryRows(names)
        self.masking = ParameterMasking(database, names)
        #: Called with kind, document and whether it is gone, in the loop, after the commit.
        self.subscribers: list[Callable[[str, Document, bool], None]] = []
        self._database = database
        self._waiting: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None

    async def write(self, write: Write) -> Any:
        """The result of `write`, once it is committed. Raises what `write` raises, Rejected, Unavailable: then nothing is written.

        Only after Unavailable it is not certain: the transaction in progress continues in its thread if the writer's task is cancelled, and
        may have been committed if the connection to the database is lost meanwhile.
        """
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(write, answer))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_waiting())
        return await answer

    async def close(self) -> None:
        """Wait until all pending writes are done."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def _write_waiting(self) -> None:
        """Write all pending writes, group by group."""
        group: list[_Waiting] = []
        try:
            while self._waiting:
                group = [self._waiting.popleft() for _ in range(min(len(self._waiting), _GROUP))]
                try:
                    await self._write_group([each for each in group if not each.answer.done()])
                except Exception as error:  # the next group does not depend on this one
                    logger.exception("the writer of documents failed")
                    _answer(group, [error] * len(group))
        finally:  # callers still wait only if this task was cancelled
            left = [*group, *self._waiting]
            self._waiting.clear()
            _answer(left, [Unavailable("the writer of documents was stopped")] * len(left))

    async def _write_group(self, group: list[_Waiting]) -> None:
        if not group:
            return
        results: Sequence[Any]
        try:
            results, changes = await self._database.in_writer(self._commit, [each.write for each in group])
        except Exception as error:  # noqa: BLE001 - the caller raises it
            if len(group) > 1 and not isinstance(error, DatabaseAway):  # one write may have failed the transaction of all
                for each in group:
                    await self._write_group([each])
                return
            results, changes = [_of_port(error) for _ in group], []
        self._announce(changes)
        try:
            await self._mask(changes)
        finally:
            _answer(group, results)

    def _commit(self, writes: list[Write]) -> tuple[list[Any], list[Change]]:
        """Make these changes in one transaction (in a writer's thread); the result or error of each, and what changed."""
        with self._database.writing() as connection:
            transaction = DocumentTransaction(connection)
            results = [_result_of(transaction, write) for write in writes]
            self.history.write(connection, transaction.changes)
            transaction.close()
        return results, transaction.changes

    def _announce(self, changes: list[Change]) -> None:
        for change in changes:
            for callback in self.subscribers:
                try:
                    callback(*change)
                except Exception:  # a failing subscriber must not prevent the others
                    logger.exception("a change of %s %s cannot be processed", change.kind, change.document["metadata"]["name"])

    async def _mask(self, changes: list[Change]) -> None:
        """Mask parameters that a deployment has just made secret, before its writer continues."""
        deployments = [change for change in changes if change.kind == _DEPLOYMENT]
        await self.masking.mask(change.document for change in deployments if not change.deleted)
        self.masking.forget(change.document for change in deployments if change.deleted)


def _answer(group: Sequence[_Waiting], results: Sequence[Any]) -> None:
    """Give each caller its result or error, unless it has one or was cancelled."""
    for each, result in zip(group, results, strict=True):
        if each.answer.done():
            continue
        if isinstance(result, Exception):
            each.answer.set_exception(result)
        else:
            each.answer.set_result(result)


def _result_of(transaction: DocumentTransaction, write: Write) -> Any:
    """The result of a write, or the error because of which nothing is written."""
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
    return Rejected(str(error)) if isinstance(error, DatabaseRefusal) else error
