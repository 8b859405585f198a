"""Tasks in transactions: each completed task is a transaction of its own inside of that around it.

Its result and its `on_commit` hooks wait for the commit; undone, its run is COMPLETED named RolledBack and no result is kept.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mintaka.context import TRANSACTION
from mintaka.engine.outcomes import KeptOutcome, Outcome
from mintaka.engine.steps import Do
from mintaka.exceptions import ResultError
from mintaka.persisting.keeping import quietly
from mintaka.persisting.transacting import Transaction, TransactionState
from mintaka.results import ResultRecord, ResultStore
from mintaka.states import State
from mintaka_core.states import COMPLETED
from mintaka_core.task_facts import Unpersisted

if TYPE_CHECKING:
    from collections.abc import Generator

    from mintaka.engine.invocations import Invocation
    from mintaka.engine.runs import Ledger, Run
    from mintaka.engine.semantics import Semantics
    from mintaka.engine.steps import Step
    from mintaka.persisting.caching import TaskKeeping
    from mintaka.results import Sealed
    from mintaka.tasks import Task


class TaskTransaction(Transaction):
    """The transaction of one run of `task`."""

    def __init__(self, task: Task[Any, Any], run: Run, ledger: Ledger, semantics: Semantics) -> None:
        super().__init__()
        self._semantics = semantics
        #: That its result could not be persisted.
        self.lost = False
        self._task = task
        self._run = run
        self._ledger = ledger
        self._held: tuple[ResultStore, Sealed] | None = None

    def open(self) -> None:
        """The task is about to begin."""
        self.state = TransactionState.ACTIVE
        self._token = TRANSACTION.set(self)

    def hold(self, store: ResultStore, sealed: Sealed) -> None:
        """Write a result when this commits; tasks of the same transaction can use it already."""
        self._held = (store, sealed)
        self.held[store.storage.url, sealed.metadata.storage_key] = ResultRecord(
            sealed.metadata, store.storage, store.serializer.loads(sealed.payload)
        )

    def look(self, store: ResultStore, key: str) -> ResultRecord:
        """A result that waits for the commit, or one that is kept."""
        return self.held.get((store.storage.url, key)) or store.read(key)

    def completed(self) -> None:
        """The task is done: commit, or wait for the transaction around to do so."""
        self.stage(None, [*self._task.results.on_rollback], [*self._task.results.on_commit])
        self.end(failed=False)

    @property
    def waits(self) -> bool:
        """True while its result is not written."""
        return self._held is not None

    def write(self) -> None:
        """Write the result; if that fails, the run says so."""
        self._write_held()
        if self.lost and self._semantics.not_persisted_is_undone:
            self.call_rollback_hooks()

    def _write_held(self) -> None:
        if self._held is None:
            return
        store, sealed = self._held
        try:
            store.put(sealed)
        except ResultError as error:
            self.logger.error("%s completed, but its result is not persisted: %s", self._run.name, error)  # noqa: TRY400 - the traceback says no more
            self.lost = True
            name = self._semantics.not_persisted_name
            self._ledger.revise(self._run, State(COMPLETED), unpersisted=Unpersisted(name, type(error).__name__, str(error)))
        self._let_go()

    def _let_go(self) -> None:
        if self._held is not None:
            store, sealed = self._held
            self.held.pop((store.storage.url, sealed.metadata.storage_key), None)
            self._held = None

    def undo(self) -> bool:
        """Undo the task: hooks, result, and its state."""
        ended = self.state == TransactionState.STAGED
        if not super().undo():
            return False
        self._let_go()
        if ended:
            self._ledger.revise(self._run, State(COMPLETED, "RolledBack", message="its transaction was rolled back"))
        return True


class TransactionalKeeping:
    """Keeps the result of one call (`inner` None: it is not persisted) as part of its transaction."""

    __slots__ = ("_inner", "_transaction")

    def __init__(self, transaction: TaskTransaction, inner: TaskKeeping | None) -> None:
        self._transaction = transaction
        self._inner = inner
        if inner is not None:
            inner.look = transaction.look
            inner.put = transaction.hold

    def begin(self, invocation: Invocation) -> Generator[Step, Any, Outcome | None]:
        """The outcome of a kept result, which has no part in the transaction; None: the body is to run."""
        self._transaction.open()
        found = (yield from self._inner.begin(invocation)) if self._inner is not None else None
        if found is not None:
            self._transaction.state = TransactionState.COMMITTED
        return found

    def complete(self, invocation: Invocation, value: Any) -> Generator[Step, Any, Outcome]:
        """End the run; its result and hooks wait for the commit."""
        if self._inner is not None:
            outcome = yield from self._inner.complete(invocation, value)
            self._transaction.lost = outcome.ok and not isinstance(outcome, KeptOutcome)
        else:
            outcome = Outcome(invocation.run, value, ok=invocation.ledger.complete(invocation.run))
        yield from self.ended(ok=outcome.ok)
        return outcome

    def ended(self, *, ok: bool) -> Generator[Step, Any, None]:
        """A task that failed undoes the whole transaction."""
        failure = yield Do(quietly(self._transaction.completed if ok else self._transaction.rollback))
        if isinstance(failure, Exception):
            self._transaction.logger.error("the transaction of task %s failed", self._transaction, exc_info=failure)

    def forget(self, outcome: Outcome) -> None:
        """A value that is not written yet cannot be forgotten."""
        if self._inner is not None and not self._transaction.waits:
            self._inner.forget(outcome)

    def release(self) -> None:
        """What follows is outside of the task's transaction, and others may have its key."""
        with suppress(ValueError):  # given up in another context than it began in
            self._transaction.leave()
        if self._inner is not None:
            self._inner.release()
