"""Before a task runs: is there a result that stands in for it? After it ran: keep its result.

The core's rule (`use_kept_result`) decides which result may replace a run; here its facts are gathered. A call has a *cache key*
where its policy makes one, and then shares its result with every call of that key. Without one, its result belongs to
this very call (`mintaka.persisting.calls`), and stands in for it when the flow run is resumed or its flow is tried again.

No fault of the storage fails a run. What cannot be read is as good as not there, and what cannot be written is told in the
run's state: COMPLETED, named NotPersisted.
"""

from __future__ import annotations

import logging
from collections.abc import Sized
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from mintaka.calling.task_identity import lasting_key
from mintaka.engine.loops import loop_is_running
from mintaka.engine.outcomes import KeptOutcome, Outcome
from mintaka.engine.steps import Await, Consult, Do, Report, Sleep
from mintaka.engine.stopping import STOP
from mintaka.exceptions import ConfigurationError, MissingResult, Terminated, message_of
from mintaka.locking.waiting import pauses
from mintaka.persisting.calls import calls_of
from mintaka.persisting.fingerprints import NoFingerprint
from mintaka.persisting.flights import Wait, board
from mintaka.persisting.keeping import ended_with, kept, note_issue, quietly, stood_in
from mintaka.persisting.kept_runs import keep_run
from mintaka.results import ResultRecord, ResultStore
from mintaka.run_contexts import TaskRunContext
from mintaka_core.errors import MintakaError
from mintaka_core.instants import later

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mintaka.context import FlowContext
    from mintaka.engine.awaiting import Consulted
    from mintaka.engine.invocations import Invocation
    from mintaka.engine.steps import Step
    from mintaka.locking import LockManager
    from mintaka.persisting.flights import Flight
    from mintaka.persisting.result_settings import Surroundings
    from mintaka.results import Sealed
    from mintaka.tasks import Task

_WARNING = 30
#: Computing a key that takes longer is reported.
_LONG_SECONDS = 1.0

#: Tasks whose keys could not be computed and that were told so.
_TOLD: set[str] = set()


class Key(NamedTuple):
    """Under which key a result is kept. `shared`: any call of the key may use it; `look`: see first whether it is there."""

    text: str
    shared: bool
    look: bool


class TaskKeeping:
    """Keeps the result of one call of `task`."""

    __slots__ = ("_flight", "_flow", "_key", "_lock", "_store", "_surroundings", "_task", "look", "put")

    def __init__(self, task: Task[Any, Any], flow: FlowContext | None, surroundings: Surroundings) -> None:
        self._task = task
        self._flow = flow
        self._surroundings = surroundings
        self._key: Key | None = None
        self._store: ResultStore | None = None
        self._flight: Flight | None = None
        self._lock: tuple[LockManager, str, str] | None = None
        #: How a kept result is looked for, and written: at once, unless a transaction has a say.
        self.look: Callable[[ResultStore, str], ResultRecord] = ResultStore.read
        self.put: Callable[[ResultStore, Sealed], None] = ResultStore.put

    # -- before the run -----------------------------------------------------------------------------------------------

    def begin(self, invocation: Invocation) -> Generator[Step, Any, Outcome | None]:
        """The outcome of a kept result, or None: the body is to run."""
        try:
            self._store = self._opened_store()
            began = monotonic()
            key = self._key = yield from self._keyed(invocation)
        except MintakaError as error:
            note_issue(invocation, f"its result cannot be kept: {error}")
            yield Report(_WARNING, f"{invocation.run.name}: its result cannot be kept: {error}")
            return None
        if (seconds := monotonic() - began) > _LONG_SECONDS:
            yield Report(_WARNING, _slow_key(invocation.run.name, seconds, self._inputs(invocation) or {}))
        if self._flow is not None and not self._flow.kept:
            unkept = yield Do(quietly(keep_run, self._flow))
            if isinstance(unkept, Exception):
                yield Report(_WARNING, f"the flow run cannot be resumed later: {unkept}")
        if key.shared:
            yield from self._alone(invocation, key)
        if not key.look:
            return None
        found = yield Do(quietly(self.look, self._store, key.text))
        if isinstance(found, MissingResult):
            return None
        if not isinstance(found, ResultRecord):
            note_issue(invocation, f"a kept result cannot be used: {found}")
            yield Report(_WARNING, f"{invocation.run.name} runs, because a kept result cannot be used: {found}")
            return None
        return stood_in(invocation, found, refresh=self._task.results.refreshes())

    def _alone(self, invocation: Invocation, key: Key) -> Generator[Step, Any, None]:
        """Wait until nobody else works on the key, then let nobody else."""
        place = (self._opened_store().storage.url, key.text)
        while True:
            flight, mine = board(place)
            if mine:
                self._flight = flight
                break
            with Wait(flight) as wait:
                if not wait.allowed or (loop_is_running() and not self._task.is_async):
                    note_issue(invocation, "the same key is being worked on by a run that waits for this one")
                    break
                yield Await((flight,))
        manager = self._task.results.locks()
        if manager is not None:
            yield from self._locked(invocation, manager, key.text)

    def _locked(self, invocation: Invocation, manager: LockManager, key: str) -> Generator[Step, Any, None]:
        """Hold the key's lock, asking as long as it takes."""
        holder = uuid4().hex
        for seconds in pauses():
            granted = yield Do(quietly(manager.acquire_lock, key, holder, 0))
            if isinstance(granted, Exception):
                note_issue(invocation, f"without a lock: {granted}")
                yield Report(_WARNING, f"{invocation.run.name} runs without a lock, which cannot be had: {granted}")
                return
            if granted:
                self._lock = (manager, key, holder)
                return
            yield Sleep(seconds)
            if STOP.requested:
                message = "the process was asked to stop while this run waited for another one with its cache key"
                raise Terminated(message)

    def _opened_store(self) -> ResultStore:
        if self._store is None:
            surroundings, own = self._surroundings, self._task.results.key_storage()
            self._store = surroundings.store() if own is None else ResultStore(own, surroundings.serializer or "pickle")
        return self._store

    def _keyed(self, invocation: Invocation) -> Generator[Step, Any, Key]:
        """Where this call's result is kept."""
        inputs = self._inputs(invocation)
        shared = yield from self._cache_key(invocation, inputs)
        if shared is not None:
            return Key(shared, shared=True, look=True)
        flow = self._flow
        run_id = (flow.launch.results_id if flow is not None else "") or "outside-of-flows"
        try:
            if flow is not None and inputs is not None:
                call = calls_of(flow).identify(lasting_key(self._task.key), inputs)
                return Key(f"runs/{run_id}/{call}", shared=False, look=flow.takes_finished())
        except NoFingerprint as error:
            self._tell_once(f"its calls cannot be found again when a run is resumed, because they cannot be told apart: {error}")
        return Key(f"runs/{run_id}/{uuid4().hex}", shared=False, look=False)

    def _cache_key(self, invocation: Invocation, inputs: dict[str, Any] | None) -> Generator[Step, Any, str | None]:
        caching, flow = self._task.results, self._flow
        if inputs is None:
            return None
        if caching.storage_key is not None:
            return _filled_in(caching.storage_key, invocation.run.name, inputs)
        policy = caching.policy_where(asked=self._surroundings.asked)
        if policy is None:
            return None
        context, parameters = TaskRunContext(invocation.context), flow.parameters if flow is not None else {}
        answer: Consulted = yield Consult(lambda: policy.compute_key(context, inputs, parameters))
        key, error = answer
        if error is not None:
            self._tell_once(f"a cache key cannot be computed, so the call is not cached: {type(error).__name__}: {message_of(error)}")
            return None
        if key is None or isinstance(key, str):
            return key
        self._tell_once(f"a cache key has to be a string, not {type(key).__name__}, so the call is not cached")
        return None

    def _inputs(self, invocation: Invocation) -> dict[str, Any] | None:
        """The arguments by name, `self` of a method among them; None where they do not fit, which the call itself will tell."""
        try:
            bound = self._task.parameters.signature.bind(*invocation.args, **invocation.kwargs)
        except TypeError:
            return None
        bound.apply_defaults()
        instance = getattr(self._task.fn, "__self__", None)
        return dict(bound.arguments) if instance is None else {"self": instance, **bound.arguments}

    def _tell_once(self, what: str) -> None:
        key = self._task.key
        if key not in _TOLD:
            _TOLD.add(key)
            logging.getLogger("mintaka").warning("task %s: %s", self._task.name, what)

    # -- after the run ------------------------------------------------------------------------------------------------

    def complete(self, invocation: Invocation, value: Any) -> Generator[Step, Any, Outcome]:
        """Keep the value, and end the run COMPLETED whether or not that worked."""
        run, store, key = invocation.run, self._store, self._key
        if store is None or key is None:
            return ended_with(invocation, value, "StorageError", "there is nowhere to keep it")
        if run.is_over:
            return Outcome(run, value)
        lifetime = self._task.results.expiration
        expiration = later(datetime.now(UTC), lifetime) if lifetime is not None else None
        return (yield from kept(invocation, store, key.text, value, expiration, self.put))

    def ended(self, *, ok: bool) -> Generator[Step, Any, None]:  # noqa: ARG002 - the engine's protocol
        """Nothing is kept of a state that the body chose."""
        yield from ()

    def forget(self, outcome: Outcome) -> None:
        """Where the task's results are not to be held in memory, hold but the reference."""
        if isinstance(outcome, KeptOutcome) and not self._task.results.settings.in_memory:
            outcome.record.forget()

    def release(self) -> None:
        """Let others at the key."""
        lock, self._lock = self._lock, None
        if lock is not None:
            manager, key, holder = lock
            error = quietly(manager.release_lock, key, holder)()
            if isinstance(error, Exception):
                logging.getLogger("mintaka").warning("the lock of cache key %s cannot be released: %s", key, error)
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.land()


def _slow_key(run: str, seconds: float, inputs: dict[str, Any]) -> str:
    """What to say of a key whose computing took `seconds`; it names the argument with most elements."""
    sizes = {name: len(value) for name, value in inputs.items() if isinstance(value, Sized)}
    largest = max(sizes, key=lambda name: sizes[name], default="…")
    return (
        f"{run}: the key of its result took {seconds:.1f} s to compute from its arguments: pass the address of {largest!r} in place of its "
        f"content, leave it out with cache_policy=INPUTS - {largest!r}, or give a cache_key_fn that needs less"
    )


def _filled_in(template: str, run: str, inputs: dict[str, Any]) -> str:
    """A `result_storage_key` with what it names in its places.

    Raises:
        ConfigurationError: it names something that is not there.
    """
    from mintaka import runtime  # noqa: PLC0415 - would be a cycle

    try:
        return template.format(flow_run=runtime.flow_run, task_run=runtime.task_run, deployment=runtime.deployment, parameters=inputs)
    except (LookupError, AttributeError, ValueError) as error:
        message = f"result_storage_key {template!r} cannot be filled in for {run}: {error!r}"
        raise ConfigurationError(message) from error
