"""Transactions: tasks that count together, or not at all.

    with transaction(key="2026-11-22") as txn:
        if not txn.is_committed():
            upload(...)
            publish(...)            # when this raises, upload's `on_rollback` hooks are called

What a task keeps, and its `on_commit` hooks, wait for the outermost transaction to commit (LAZY), or for the task's own end
(EAGER); with OFF they wait for `txn.commit()`, and the end of the block rolls back. An exception that leaves the block, or a
task in it that failed for good, rolls back: `on_rollback` hooks of the tasks that completed, the last one first, and their
runs become COMPLETED named RolledBack. Tasks that end after the block follow its fate; wait for futures inside of it.

A transaction with a key leaves a record when it commits, and finds itself committed the next time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from mintaka.cache_policies import IsolationLevel
from mintaka.context import TRANSACTION
from mintaka.persisting.transacting import CommitMode, Transaction, TransactionState

if TYPE_CHECKING:
    from mintaka.results import ResultStore


class AsyncTransaction(Transaction):
    """The same for `async with`: storage and hooks do not block the event loop."""

    async def __aenter__(self) -> Self:
        import asyncio  # noqa: PLC0415 - start-up time

        await asyncio.to_thread(self.begin)
        self._token = TRANSACTION.set(self)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        import asyncio  # noqa: PLC0415 - start-up time

        try:
            await asyncio.to_thread(self.end, failed=error is not None)
        finally:
            self.leave()


def get_transaction() -> Transaction | None:
    """The innermost transaction around the code; None outside of all."""
    return TRANSACTION.get()


def transaction(
    key: str | None = None,
    store: ResultStore | None = None,
    commit_mode: CommitMode | None = None,
    isolation_level: IsolationLevel | None = None,
    overwrite: bool = False,
    write_on_commit: bool = True,
    logger: Any = None,
) -> Transaction:
    """A transaction for a `with` block.

    Args:
        key: under which a record is left when it commits (None: no record).
        store: where (default: where results go here).
        commit_mode: as the one around it, else LAZY.
        isolation_level: SERIALIZABLE lets one process at a time work on the key; needs a store with a lock manager.
        overwrite: True does it again although a record says it was done.
        write_on_commit: False leaves no record.
        logger: for what hooks raise.
    """
    return Transaction(key, store, commit_mode, isolation_level, overwrite=overwrite, write_on_commit=write_on_commit, logger=logger)


def atransaction(
    key: str | None = None,
    store: ResultStore | None = None,
    commit_mode: CommitMode | None = None,
    isolation_level: IsolationLevel | None = None,
    overwrite: bool = False,
    write_on_commit: bool = True,
    logger: Any = None,
) -> AsyncTransaction:
    """A transaction for an `async with` block; see `transaction`."""
    return AsyncTransaction(key, store, commit_mode, isolation_level, overwrite=overwrite, write_on_commit=write_on_commit, logger=logger)


__all__ = [
    "AsyncTransaction",
    "CommitMode",
    "IsolationLevel",
    "Transaction",
    "TransactionState",
    "atransaction",
    "get_transaction",
    "transaction",
]
