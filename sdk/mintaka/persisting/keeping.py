"""Keeping a value: the last steps of a run whose result is persisted.

A value that cannot be kept does not fail the run: the run is COMPLETED, named NotPersisted, and says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka.engine.outcomes import KeptOutcome, Outcome
from mintaka.engine.runs import Entry, now_micros
from mintaka.engine.semantics import semantics_of
from mintaka.engine.steps import Do, Report
from mintaka.persisting.calls import calls_of
from mintaka.persisting.fingerprints import NoFingerprint
from mintaka.results import ResultRecord, ResultStore
from mintaka_core.errors import MintakaError
from mintaka_core.states import COMPLETED

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from datetime import datetime

    from mintaka.context import FlowContext
    from mintaka.engine.invocations import Invocation
    from mintaka.engine.steps import Step
    from mintaka.results import Sealed

_ERROR = 40


class FlowKeeping:
    """Keeps the result of one flow or subflow run."""

    __slots__ = ("_flow",)

    def __init__(self, flow: FlowContext) -> None:
        self._flow = flow

    def begin(self, invocation: Invocation) -> Generator[Step, Any, Outcome | None]:  # noqa: ARG002 - the engine's protocol
        """A flow always runs: it is its tasks that need not."""
        yield from ()
        return None

    def complete(self, invocation: Invocation, value: Any) -> Generator[Step, Any, Outcome]:
        """Keep the value, and end the run COMPLETED whether or not that worked."""
        flow = self._flow
        try:
            path = calls_of(flow).path
            store = flow.results.store()
        except (MintakaError, NoFingerprint) as error:
            yield Report(_ERROR, f"{invocation.run.name} completed, but its result is not persisted: {error}")
            return ended_with(invocation, value, type(error).__name__, str(error))
        key = f"runs/{flow.launch.results_id or 'outside-of-flows'}/{f'{path}-' if path else ''}result"
        return (yield from kept(invocation, store, key, value))

    def ended(self, *, ok: bool) -> Generator[Step, Any, None]:  # noqa: ARG002 - the engine's protocol
        """Nothing hangs on a flow's state."""
        yield from ()

    def forget(self, outcome: Outcome) -> None:
        """Flows are not submitted."""

    def release(self) -> None:
        """Nobody waits for it."""


def kept(
    invocation: Invocation,
    store: ResultStore,
    key: str,
    value: Any,
    expiration: datetime | None = None,
    put: Callable[[ResultStore, Sealed], None] = ResultStore.put,
) -> Generator[Step, Any, Outcome]:
    """Write the value, or hand it to `put`, and end the run."""
    sealed = yield Do(quietly(store.seal, key, value, expiration))
    failure = sealed if isinstance(sealed, Exception) else (yield Do(quietly(put, store, sealed)))
    if isinstance(failure, Exception):
        yield Report(_ERROR, f"{invocation.run.name} completed, but its result is not persisted: {failure}")
        return ended_with(invocation, value, type(failure).__name__, str(failure))
    return ended_with(invocation, value, record=ResultRecord(sealed.metadata, store.storage, value))


def ended_with(invocation: Invocation, value: Any, reason: str = "", message: str = "", record: ResultRecord | None = None) -> Outcome:
    """End the run COMPLETED, as it should be or, for that reason, under the name of those whose result is not persisted."""
    run, ledger = invocation.run, invocation.ledger
    if record is not None:
        return KeptOutcome(run, record) if ledger.complete(run) else Outcome(run, value)
    name = semantics_of(invocation.context.flow).not_persisted_name
    entered = ledger.end(run, Entry(COMPLETED, name, now_micros(), reason=reason, message=message))
    return Outcome(run, value, ok=entered)


def quietly(work: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    """A call that returns what `work` raises."""

    def call() -> Any:
        try:
            return work(*args)
        except Exception as error:  # noqa: BLE001 - whoever asked looks at what came back
            return error

    return call
