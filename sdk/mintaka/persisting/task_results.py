"""What a task says of its results, made out once when it is defined: are they persisted, and may they be used again?"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypedDict

from mintaka.context import TRANSACTION
from mintaka.engine.semantics import semantics_of
from mintaka.exceptions import ConfigurationError
from mintaka.persisting.result_settings import ResultSettings, flag, surroundings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta

    from mintaka.cache_policies import CachePolicy
    from mintaka.context import FlowContext
    from mintaka.engine.invocations import Keeping
    from mintaka.engine.runs import Ledger, Run
    from mintaka.locking import LockManager
    from mintaka.persisting.result_settings import SerializerLike, StorageLike
    from mintaka.tasks import Task


class ResultWords(TypedDict, total=False):
    """What `@task` takes about results."""

    persist_result: bool | None
    result_storage: StorageLike | None
    result_serializer: SerializerLike | None
    result_storage_key: str | None
    cache_result_in_memory: bool
    cache_policy: CachePolicy | None
    cache_key_fn: Callable[..., str | None] | None
    cache_expiration: timedelta | None
    refresh_cache: bool | None
    on_commit: Iterable[Callable[..., Any]]
    on_rollback: Iterable[Callable[..., Any]]


class TaskResults:
    """The words of `@task` about results.

    `asked` is True where the task wants its results persisted wherever it runs, `refused` where it wants them nowhere;
    `asked_anything` also where it has hooks of transactions.
    """

    __slots__ = (
        "_words",
        "asked",
        "asked_anything",
        "expiration",
        "on_commit",
        "on_rollback",
        "policy",
        "refresh",
        "refused",
        "settings",
        "storage_key",
    )  # fmt: skip

    def __init__(
        self,
        task_name: str,
        *,
        persist_result: bool | None = None,
        result_storage: StorageLike | None = None,
        result_serializer: SerializerLike | None = None,
        result_storage_key: str | None = None,
        cache_result_in_memory: bool = True,
        cache_policy: CachePolicy | None = None,
        cache_key_fn: Callable[..., str | None] | None = None,
        cache_expiration: timedelta | None = None,
        refresh_cache: bool | None = None,
        on_commit: Iterable[Callable[..., Any]] = (),
        on_rollback: Iterable[Callable[..., Any]] = (),
    ) -> None:
        self._words: dict[str, Any] = {word: value for word, value in locals().items() if word not in ("self", "task_name")}
        self.settings = ResultSettings(persist_result, result_storage, result_serializer, cache_result_in_memory)
        self.policy = _policy(task_name, cache_policy, cache_key_fn)
        self.storage_key = result_storage_key
        self.expiration = cache_expiration
        self.refresh = refresh_cache
        reused = caches(self.policy) or result_storage_key is not None
        self.refused = persist_result is False
        self.asked = not self.refused and (self.settings.asked or reused)
        self.on_commit: tuple[Callable[..., Any], ...] = ()
        self.on_rollback: tuple[Callable[..., Any], ...] = ()
        self.hooked(on_commit, on_rollback)
        if self.refused and reused:
            logging.getLogger("mintaka").warning("task %s has persist_result=False: its results are not cached either", task_name)

    @property
    def words(self) -> dict[str, Any]:
        """The words again, with the hooks that came later."""
        return self._words | {"on_commit": self.on_commit, "on_rollback": self.on_rollback}

    def hooked(self, on_commit: Iterable[Callable[..., Any]] = (), on_rollback: Iterable[Callable[..., Any]] = ()) -> None:
        """Add hooks, which are called with the task's transaction."""
        self.on_commit = (*self.on_commit, *on_commit)
        self.on_rollback = (*self.on_rollback, *on_rollback)
        self.asked_anything = self.asked or bool(self.on_commit or self.on_rollback)

    def keeping(self, task: Task[Any, Any], run: Run, ledger: Ledger, flow: FlowContext | None) -> Keeping | None:
        """What keeps the result of one call, or has it take part in a transaction; None where neither is so."""
        outer = flow.results if flow is not None else surroundings_of(None)
        if flow is not None and flow.launch.replay is not None:
            return flow.launch.replay.keeping(task, flow, outer.within(self.settings), kept=not self.refused)
        keeping = None
        if not self.refused and (self.asked or outer.persist):
            from mintaka.persisting.caching import TaskKeeping  # noqa: PLC0415 - start-up time

            keeping = TaskKeeping(task, flow, outer.within(self.settings))
        if not self.on_commit and not self.on_rollback and TRANSACTION.get() is None:
            return keeping
        from mintaka.persisting.task_transactions import TaskTransaction, TransactionalKeeping  # noqa: PLC0415 - start-up time

        return TransactionalKeeping(TaskTransaction(task, run, ledger, semantics_of(flow)), keeping)

    def policy_where(self, *, asked: bool) -> CachePolicy | None:
        """The policy that makes the keys; `asked`: the code wants results persisted. None: calls do not share results."""
        if self.policy is not None:
            return self.policy
        if not asked:
            return None
        from mintaka.cache_policies import DEFAULT  # noqa: PLC0415 - start-up time

        return DEFAULT

    def refreshes(self) -> bool:
        """True where no kept result may stand in.

        Raises:
            ConfigurationError: MINTAKA_TASKS_REFRESH_CACHE is neither true nor false.
        """
        return bool(flag("MINTAKA_TASKS_REFRESH_CACHE")) if self.refresh is None else self.refresh

    def locks(self) -> LockManager | None:
        """The locks that other processes heed."""
        if self.policy is None or self.policy.isolation_level == "READ_COMMITTED":
            return None
        return self.policy.lock_manager

    def key_storage(self) -> StorageLike | None:
        """A storage for the results of this policy alone."""
        return self.policy.key_storage if self.policy is not None else None


def caches(policy: CachePolicy | None) -> bool:
    """True for a policy that may make a key."""
    return policy is not None and not policy.never


def _policy(task_name: str, policy: CachePolicy | None, key_fn: Callable[..., str | None] | None) -> CachePolicy | None:
    if key_fn is not None:
        from mintaka.cache_policies import CacheKeyFnPolicy  # noqa: PLC0415 - start-up time

        if policy is not None:
            logging.getLogger("mintaka").warning("task %s has a cache_policy and a cache_key_fn: the function is used", task_name)
        return CacheKeyFnPolicy(key_fn)
    if policy is not None and not hasattr(policy, "compute_key"):
        message = f"cache_policy of task {task_name} is a policy such as mintaka.cache_policies.INPUTS, not {policy!r}"
        raise ConfigurationError(message)
    return policy
