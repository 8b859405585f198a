"""What a task says of caching, made out once when it is defined."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mintaka.exceptions import ConfigurationError
from mintaka.result_settings import flag

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from mintaka.cache_policies import CachePolicy
    from mintaka.context import FlowContext
    from mintaka.locking import LockManager
    from mintaka.result_settings import StorageLike
    from mintaka.runs import Run


class CacheSettings:
    """`policy` None: the task says nothing, so where its results are persisted because the code asks for it, DEFAULT holds."""

    __slots__ = ("expiration", "policy", "refresh", "storage_key")

    def __init__(
        self,
        name: str,
        policy: CachePolicy | None,
        key_fn: Callable[..., str | None] | None,
        expiration: timedelta | None,
        storage_key: str | None,
        *,
        refresh: bool | None,
        persist: bool | None,
    ) -> None:
        if key_fn is not None:
            from mintaka.cache_policies import CacheKeyFnPolicy  # noqa: PLC0415 - start-up time

            if policy is not None:
                logging.getLogger("mintaka").warning("task %s has a cache_policy and a cache_key_fn: the function is used", name)
            policy = CacheKeyFnPolicy(key_fn)
        if policy is not None and not hasattr(policy, "compute_key"):
            message = f"cache_policy of task {name} is a policy such as mintaka.cache_policies.INPUTS, not {policy!r}"
            raise ConfigurationError(message)
        if persist is False and caches(policy):
            logging.getLogger("mintaka").warning("task %s has a cache policy, but persist_result=False: it is not cached", name)
        self.policy = policy
        self.expiration = expiration
        self.storage_key = storage_key
        self.refresh = refresh

    @property
    def asked(self) -> bool:
        """True where the task wants its results to be used again."""
        return caches(self.policy) or self.storage_key is not None

    def policy_where(self, *, asked: bool) -> CachePolicy | None:
        """The policy that makes the keys; `asked`: the code wants results persisted. None: calls do not share results."""
        if self.policy is not None:
            return self.policy
        if not asked:
            return None
        from mintaka.cache_policies import DEFAULT  # noqa: PLC0415 - start-up time

        return DEFAULT

    def refreshes(self) -> bool:
        """True where no kept result may stand in."""
        return bool(flag("MINTAKA_TASKS_REFRESH_CACHE")) if self.refresh is None else self.refresh

    def locks(self) -> LockManager | None:
        """The locks that other processes heed."""
        if self.policy is None or self.policy.isolation_level == "READ_COMMITTED":
            return None
        return self.policy.lock_manager

    def key_storage(self) -> StorageLike | None:
        """A storage for the results of this policy alone."""
        return self.policy.key_storage if self.policy is not None else None

    def storage_key_of(self, run: Run, flow: FlowContext | None, inputs: dict[str, Any]) -> str:
        """`result_storage_key` filled in.

        Raises:
            ConfigurationError: it names something that is not there.
        """
        from mintaka import runtime  # noqa: PLC0415 - would be a cycle

        try:
            return (self.storage_key or "").format(
                flow_run=runtime.flow_run, task_run=runtime.task_run, deployment=runtime.deployment, parameters=inputs
            )
        except (LookupError, AttributeError, ValueError) as error:
            place = f"flow run {flow.run.name}" if flow is not None else "no flow run"
            message = f"result_storage_key {self.storage_key!r} cannot be filled in for {run.name} in {place}: {error!r}"
            raise ConfigurationError(message) from error


def caches(policy: CachePolicy | None) -> bool:
    """True for a policy that may make a key."""
    return policy is not None and type(policy).__name__ != "_NoCache"
