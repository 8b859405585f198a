"""Which calls of a task count as the same: a policy makes a key of a call, and one result is kept for each key.

    @task(cache_policy=INPUTS)                  the same arguments
    @task(cache_policy=INPUTS - "connection")   … but for this one
    @task(cache_policy=INPUTS + TASK_SOURCE)    … and the same code
    @task(cache_policy=RUN_ID)                  once in a flow run
    @task(cache_policy=NO_CACHE)                never

A key of None means that this call is not cached. The policies here never mix up two tasks; a key that a function of one's
own makes (`cache_key_fn`) is taken as it is, so two tasks may share it.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, cast

from mintaka.calling.task_identity import lasting_key
from mintaka.engine.awaiting import is_awaitable
from mintaka.exceptions import ConfigurationError
from mintaka.persisting.fingerprints import NoFingerprint, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike
    from typing import Self

    from mintaka.locking import LockManager
    from mintaka.persisting.result_storage import ResultStorage
    from mintaka.run_contexts import TaskRunContext


class IsolationLevel(StrEnum):
    """Whether two processes may work on one key at a time; within one process they never do."""

    READ_COMMITTED = "READ_COMMITTED"
    SERIALIZABLE = "SERIALIZABLE"


class NoCacheKey(Exception):
    """A key cannot be computed for a call; the message says why and what to do."""


class CachePolicy(ABC):
    """Makes a key of a call. Subclass it and give `compute_key`; `configure` and `+` come with it."""

    key_storage: ResultStorage | str | PathLike[str] | None = None
    lock_manager: LockManager | None = None
    isolation_level: IsolationLevel | None = None
    #: True for the policy under which no two calls are the same.
    never: ClassVar[bool] = False

    @abstractmethod
    def compute_key(self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any) -> str | None:
        """The key of a call with the arguments `inputs`; None: do not cache it."""

    @classmethod
    def from_cache_key_fn(cls, cache_key_fn: Callable[[TaskRunContext, dict[str, Any]], str | None]) -> CacheKeyFnPolicy:
        """The policy of a function that makes the key of (context, arguments)."""
        return CacheKeyFnPolicy(cache_key_fn)

    def configure(
        self,
        key_storage: ResultStorage | str | PathLike[str] | None = None,
        lock_manager: LockManager | None = None,
        isolation_level: IsolationLevel | str | None = None,
    ) -> Self:
        """The same policy with its results in a storage of their own, and locks that other processes heed.

        A lock manager is used unless `isolation_level` is READ_COMMITTED.

        Raises:
            ConfigurationError: SERIALIZABLE, but no lock manager.
        """
        changed = copy.copy(self)
        if key_storage is not None:
            changed.key_storage = key_storage
        if lock_manager is not None:
            changed.lock_manager = lock_manager
        if isolation_level is not None:
            changed.isolation_level = IsolationLevel(isolation_level)
        if changed.isolation_level == IsolationLevel.SERIALIZABLE and changed.lock_manager is None:
            message = "isolation_level SERIALIZABLE needs a lock_manager: configure(lock_manager=FileSystemLockManager(folder), …)"
            raise ConfigurationError(message)
        return changed

    def __add__(self, other: CachePolicy) -> CachePolicy:
        if not isinstance(other, CachePolicy):
            return NotImplemented
        if other.never:
            return self
        return other if self.never else CompoundCachePolicy((*self.parts(), *other.parts())).like(self, other)

    def __sub__(self, name: str) -> CachePolicy:
        if not isinstance(name, str):
            message = f"only the name of an argument can be left out of a cache policy, not {name!r}"
            raise TypeError(message)
        return self

    def parts(self) -> tuple[CachePolicy, ...]:
        """The policies it is made of: itself."""
        return (self,)

    def like(self, *others: CachePolicy) -> Self:
        """Itself with the configuration of `others`.

        Raises:
            ConfigurationError: they contradict each other.
        """
        for word in ("key_storage", "lock_manager", "isolation_level"):
            given = [getattr(other, word) for other in others if getattr(other, word) is not None]
            if any(value != given[0] for value in given):
                message = f"policies with two different values of {word} cannot be added"
                raise ConfigurationError(message)
            if given:
                setattr(self, word, given[0])
        return self

    def __repr__(self) -> str:
        return type(self).__name__.lstrip("_")


class CacheKeyFnPolicy(CachePolicy):
    """The key is what a function makes of (context, arguments)."""

    def __init__(self, cache_key_fn: Callable[[TaskRunContext, dict[str, Any]], str | None]) -> None:
        self.cache_key_fn = cache_key_fn

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],  # noqa: ARG002 - the protocol's signature
        **_: Any,
    ) -> str | None:
        """What the function says."""
        return self.cache_key_fn(task_ctx, inputs)


class CompoundCachePolicy(CachePolicy):
    """Policies added up: two calls are the same where each of them says so. One that gives None has no say."""

    def __init__(self, policies: tuple[CachePolicy, ...]) -> None:
        self.policies = policies

    def compute_key(self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any) -> str | None:
        """The keys of all of them in one."""
        keys: list[Any] = [policy.compute_key(task_ctx, inputs, flow_parameters, **kwargs) for policy in self.policies]
        # If one of the policies is async, so is this: who asks for a key awaits what can be awaited.
        return cast("str | None", _awaited_compound(keys)) if any(map(is_awaitable, keys)) else _compound(keys)

    def parts(self) -> tuple[CachePolicy, ...]:
        """Those that were added."""
        return self.policies

    def __sub__(self, name: str) -> CachePolicy:
        super().__sub__(name)
        return CompoundCachePolicy(tuple(policy - name for policy in self.policies)).like(self)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.policies))


def _compound(keys: list[str | None]) -> str | None:
    known = sorted(key for key in keys if key is not None)
    return fingerprint("compound", *known) if known else None


async def _awaited_compound(keys: list[Any]) -> str | None:
    return _compound([(await key) if is_awaitable(key) else key for key in keys])


class Inputs(CachePolicy):
    """The same task with the same arguments, those in `exclude` apart."""

    def __init__(self, exclude: tuple[str, ...] = ()) -> None:
        self.exclude = exclude

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],  # noqa: ARG002 - the protocol's signature
        **_: Any,
    ) -> str | None:
        """A fingerprint of the arguments."""
        counted = {name: value for name, value in inputs.items() if name not in self.exclude}
        return _key(task_ctx, "inputs", counted)

    def __sub__(self, name: str) -> CachePolicy:
        super().__sub__(name)
        return Inputs((*self.exclude, name)).like(self)

    def __repr__(self) -> str:
        return "".join(["Inputs", *(f" - {name!r}" for name in self.exclude)])


class TaskSource(CachePolicy):
    """The same task with the same source code (its own: not that of what it calls)."""

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],  # noqa: ARG002 - the protocol's signature
        flow_parameters: dict[str, Any],  # noqa: ARG002 - the protocol's signature
        **_: Any,
    ) -> str | None:
        """A fingerprint of the source, or of the compiled code where there is none to be read."""
        return _key(task_ctx, "source", {"source": source_of(task_ctx.task.fn)})


class FlowParameters(CachePolicy):
    """The same task in flow runs with the same parameters."""

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],  # noqa: ARG002 - the protocol's signature
        flow_parameters: dict[str, Any],
        **_: Any,
    ) -> str | None:
        """A fingerprint of the flow's parameters; None where it has none."""
        return _key(task_ctx, "flow", flow_parameters) if flow_parameters else None


class RunId(CachePolicy):
    """The same task in the same flow run; a resumed run is the same one."""

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],  # noqa: ARG002 - the protocol's signature
        flow_parameters: dict[str, Any],  # noqa: ARG002 - the protocol's signature
        **_: Any,
    ) -> str | None:
        """A fingerprint of the flow run's id; None outside of flows."""
        return _key(task_ctx, "run", {"id": task_ctx.results_id}) if task_ctx.results_id else None


class _NoCache(CachePolicy):
    """Never the same."""

    never = True

    def compute_key(
        self,
        task_ctx: TaskRunContext,  # noqa: ARG002 - the protocol's signature
        inputs: dict[str, Any],  # noqa: ARG002 - the protocol's signature
        flow_parameters: dict[str, Any],  # noqa: ARG002 - the protocol's signature
        **_: Any,
    ) -> str | None:
        """None."""
        return None


def _key(context: TaskRunContext, kind: str, values: Mapping[str, Any]) -> str:
    """A key for this task alone.

    Raises:
        NoCacheKey: one of `values` has no fingerprint; the message names it.
    """
    try:
        return fingerprint(kind, lasting_key(context.task.key), dict(values))
    except NoFingerprint:
        for name, value in values.items():
            try:
                fingerprint(value)
            except NoFingerprint as error:
                message = f"argument {name!r}: {error}; leave it out with INPUTS - {name!r}, or give a cache_key_fn"
                raise NoCacheKey(message) from error
        raise


def source_of(fn: Callable[..., Any]) -> str:
    """The source of a function, or what stands for it where it cannot be read (a notebook's cell, an interpreter)."""
    import inspect  # noqa: PLC0415 - start-up time

    function: Any = inspect.unwrap(getattr(fn, "__func__", fn))
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return f"{code.co_code.hex()} {code.co_names} {code.co_consts!r}" if code is not None else repr(type(function))


def task_input_hash(context: TaskRunContext, arguments: dict[str, Any]) -> str | None:
    """A `cache_key_fn`: the same task with the same code and arguments. None where the arguments have no fingerprint."""
    try:
        return fingerprint(lasting_key(context.task.key), source_of(context.task.fn), arguments)
    except NoFingerprint:
        return None


INPUTS = Inputs()
TASK_SOURCE = TaskSource()
FLOW_PARAMETERS = FlowParameters()
RUN_ID = RunId()
NO_CACHE = _NoCache()
NONE = NO_CACHE
#: What a task has whose results are persisted and that says nothing of caching: the same call once in a flow run.
DEFAULT = INPUTS + TASK_SOURCE + RUN_ID
