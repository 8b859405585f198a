"""The course of a transaction: begin, stage, commit or roll back. `mintaka.transactions` tells what it means to users."""

from __future__ import annotations

import copy
import logging
import threading
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from mintaka.cache_policies import IsolationLevel
from mintaka.context import TRANSACTION
from mintaka.engine.awaiting import is_awaitable, wait_for
from mintaka.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

    from mintaka.results import ResultRecord, ResultStore


class CommitMode(StrEnum):
    """When what is in a transaction counts."""

    EAGER = "EAGER"
    LAZY = "LAZY"
    OFF = "OFF"


class TransactionState(StrEnum):
    """How far a transaction is."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    STAGED = "STAGED"
    COMMITTED = "COMMITTED"
    ROLLED_BACK = "ROLLED_BACK"


_OVER = (TransactionState.COMMITTED, TransactionState.ROLLED_BACK)
_NOTHING = object()


class Transaction:
    """One `with` block. Of tasks, each has one of its own inside of that around it."""

    def __init__(
        self,
        key: str | None = None,
        store: ResultStore | None = None,
        commit_mode: CommitMode | None = None,
        isolation_level: IsolationLevel | None = None,
        *,
        overwrite: bool = False,
        write_on_commit: bool = True,
        logger: Any = None,
    ) -> None:
        self.key = key
        self.store = store
        self.parent: Transaction | None = TRANSACTION.get()
        self.commit_mode: CommitMode = (
            CommitMode(commit_mode) if commit_mode else self.parent.commit_mode if self.parent else CommitMode.LAZY
        )
        level = isolation_level or (self.parent.isolation_level if self.parent else IsolationLevel.READ_COMMITTED)
        self.isolation_level: IsolationLevel = IsolationLevel(level)
        self.overwrite = overwrite
        self.write_on_commit = write_on_commit
        self.logger = logger or logging.getLogger("mintaka.transactions")
        self.state = TransactionState.PENDING
        self.children: list[Transaction] = []
        self.on_commit_hooks: list[Callable[[Transaction], object]] = []
        self.on_rollback_hooks: list[Callable[[Transaction], object]] = []
        #: Results of tasks inside that wait for the commit, by storage and key; the outermost transaction has them all.
        self.held: dict[tuple[str, str], ResultRecord] = self.parent.held if self.parent is not None else {}
        self._values: dict[str, Any] = {}
        self._staged: Any = None
        self._holder = uuid4().hex
        self._locked = False
        self._lock = threading.RLock()
        self._token: Token[Transaction | None] | None = None

    # -- what the code inside may do ------------------------------------------------------------------------------------

    def set(self, name: str, value: Any) -> None:
        """Keep a value for the hooks and for the transactions inside."""
        self._values[name] = value

    def get(self, name: str, default: Any = _NOTHING) -> Any:
        """A copy of a value that was set here or in a transaction around.

        Raises:
            ValueError: nothing of that name was set, and there is no default.
        """
        if name in self._values:
            return copy.deepcopy(self._values[name])
        if self.parent is not None:
            return self.parent.get(name, default)
        if default is _NOTHING:
            message = f"the transaction has no value {name!r}, nor has one around it: set it, or give a default"
            raise ValueError(message)
        return default

    def stage(
        self,
        value: Any,
        on_rollback_hooks: list[Callable[[Transaction], object]] | None = None,
        on_commit_hooks: list[Callable[[Transaction], object]] | None = None,
    ) -> None:
        """Have `value` written as the record when it commits, and these hooks called; nothing where it is over."""
        if self.state not in _OVER:
            self._staged = value
            self.on_rollback_hooks += on_rollback_hooks or []
            self.on_commit_hooks += on_commit_hooks or []
            self.state = TransactionState.STAGED

    def read(self) -> Any:
        """The value recorded under the key; None without a key.

        Raises:
            ResultError: why it cannot be had.
        """
        return self._opened_store().read(self.key).result if self.key else None

    def is_committed(self) -> bool:
        """True where it counts, now or since an earlier run with its key."""
        return self.state == TransactionState.COMMITTED

    def is_rolled_back(self) -> bool:
        """True where it was undone."""
        return self.state == TransactionState.ROLLED_BACK

    def is_staged(self) -> bool:
        """True where all is done but the commit."""
        return self.state == TransactionState.STAGED

    def is_pending(self) -> bool:
        """True before it begins."""
        return self.state == TransactionState.PENDING

    def is_active(self) -> bool:
        """True while it goes on."""
        return self.state == TransactionState.ACTIVE

    # -- its course -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._token is not None:
            message = "this transaction has begun already: each `with` needs a transaction of its own"
            raise RuntimeError(message)
        self.begin()
        self._token = TRANSACTION.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            self.end(failed=error is not None)
        finally:
            self.leave()

    def begin(self) -> None:
        """Take the lock where one is asked for, and see whether it is committed already.

        Raises:
            ConfigurationError: SERIALIZABLE without a lock manager.
            StorageError: it cannot be told whether it is committed.
        """
        self.state = TransactionState.ACTIVE
        if self.key is None:
            return
        store = self._opened_store()
        if self.isolation_level == IsolationLevel.SERIALIZABLE:
            if store.lock_manager is None:
                message = f"transaction {self.key} is SERIALIZABLE, which needs a store with a lock: ResultStore(…, lock_manager=…)"
                raise ConfigurationError(message)
            self._locked = store.lock_manager.acquire_lock(self.key, self._holder)
        try:
            if not self.overwrite and store.exists(self.key):
                self.state = TransactionState.COMMITTED
        except BaseException:
            self._unlock()
            raise

    def end(self, *, failed: bool) -> None:
        """The block is over."""
        if failed:
            self.rollback()
        elif self.commit_mode == CommitMode.EAGER or (self.parent is None and self.commit_mode == CommitMode.LAZY):
            self.commit()
        elif self.parent is None:
            self.rollback()
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        """Let the transaction around decide; where it is over, its fate is this one's."""
        fate = self.parent.adopt(self) if self.parent is not None else None
        if fate == TransactionState.COMMITTED:
            self.commit()
        elif fate == TransactionState.ROLLED_BACK:
            self.undo()

    def adopt(self, child: Transaction) -> TransactionState | None:
        """Take responsibility for `child`; how this one ended, where it has."""
        with self._lock:
            if self.state in _OVER:
                return self.state
            self.children.append(child)
            return None

    def leave(self) -> None:
        """What follows is outside of it again."""
        if self._token is not None:
            TRANSACTION.reset(self._token)
            self._token = None

    def commit(self) -> bool:
        """Make it count: the transactions inside first, then its hooks, then its record. False where it does not.

        A hook that raises rolls it back.

        Raises:
            ResultError: all is done, but the record could not be written, so another run with this key will do it again.
        """
        with self._lock:
            if self.state in _OVER:
                self._unlock()
                return False
            try:
                for child in self.children:
                    child.commit()
                for hook in self.on_commit_hooks:
                    self._call(hook)
            except Exception:
                self.logger.exception("transaction %s is rolled back, because a commit hook failed", self.key or "without a key")
                self.rollback()
            if self.state == TransactionState.ROLLED_BACK:  # a hook raised, here or in a transaction inside
                return False
            try:
                self.write()
                self.state = TransactionState.COMMITTED
            finally:
                self._unlock()
            return True

    def write(self) -> None:
        """Write the record of what was staged."""
        if self.key is not None and self.write_on_commit:
            self._opened_store().write(self._staged, self.key)

    def rollback(self) -> bool:
        """Undo it, and with it the transaction around it; False where it is over. Hooks that raise are logged."""
        if not self.undo():
            return False
        if self.parent is not None:
            self.parent.rollback()
        return True

    def undo(self) -> bool:
        """Call its rollback hooks and undo those inside, the last one first."""
        with self._lock:
            if self.state in _OVER:
                return False
            self.state = TransactionState.ROLLED_BACK
            self.call_rollback_hooks()
            for child in reversed(self.children):
                child.undo()
            self._unlock()
            return True

    def call_rollback_hooks(self) -> None:
        """Call its own rollback hooks, the last one first; those that raise are logged."""
        for hook in reversed(self.on_rollback_hooks):
            try:
                self._call(hook)
            except Exception:
                self.logger.exception("a rollback hook of transaction %s failed; the others are called", self.key or "without a key")

    def _call(self, hook: Callable[[Transaction], object]) -> None:
        awaitable: Any = hook(self)
        if is_awaitable(awaitable):
            wait_for(awaitable)

    def _unlock(self) -> None:
        if self._locked and self.key is not None and self.store is not None and self.store.lock_manager is not None:
            self._locked = False
            self.store.lock_manager.release_lock(self.key, self._holder)

    def _opened_store(self) -> ResultStore:
        if self.store is None:
            from mintaka.results import get_result_store  # noqa: PLC0415 - would be a cycle

            self.store = get_result_store()
        return self.store

    def __repr__(self) -> str:
        return f"<Transaction {self.key or 'without a key'} {self.state}>"
