"""Keeping a value: the last steps of a run whose result is persisted.

A value that cannot be kept does not fail the run: the run is COMPLETED, named NotPersisted, and says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka.engine.decisions import decide_run
from mintaka.engine.outcomes import KeptOutcome, Outcome
from mintaka.engine.semantics import semantics_of
from mintaka.engine.steps import Do, Report
from mintaka.exceptions import MissingResult
from mintaka.persisting.calls import calls_of
from mintaka.persisting.fingerprints import NoFingerprint
from mintaka.persisting.kept_runs import keep_run
from mintaka.persisting.result_settings import flag
from mintaka.results import ResultRecord, ResultStore
from mintaka.states import State
from mintaka_core.errors import MintakaError
from mintaka_core.states import COMPLETED, RUNNING
from mintaka_core.task_facts import KeptResult, Unpersisted

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from datetime import datetime

    from mintaka.context import FlowContext
    from mintaka.engine.invocations import Invocation
    from mintaka.engine.steps import Step
    from mintaka.results import Sealed

_WARNING, _ERROR = 30, 40


class FlowKeeping:
    """Keeps the result of one flow or subflow run; that of a subflow stands in for it when the flow around it runs again."""

    __slots__ = ("_flow",)

    def __init__(self, flow: FlowContext) -> None:
        self._flow = flow

    def begin(self, invocation: Invocation) -> Generator[Step, Any, Outcome | None]:
        """The outcome of a subflow that completed in an earlier attempt, or try of the flow around it; None: it runs. The flow run itself
        always runs: it is what is inside of it that need not.
        """
        outer = self._flow.outer
        if outer is None:
            return None
        try:
            store, key = self._place()
        except (MintakaError, NoFingerprint):
            return None  # reported when there is a result to persist
        if not self._flow.kept:
            unkept = yield Do(quietly(keep_run, self._flow))
            if isinstance(unkept, Exception):
                yield Report(_WARNING, f"the flow run cannot be resumed later: {unkept}")
        if not outer.takes_finished():
            return None
        found = yield Do(quietly(store.read, key))
        if isinstance(found, ResultRecord):
            return stood_in(invocation, found, refresh=bool(flag("MINTAKA_TASKS_REFRESH_CACHE")))
        if not isinstance(found, MissingResult):
            note_issue(invocation, f"a kept result cannot be used: {found}")
            yield Report(_WARNING, f"{invocation.run.name} runs, because its persisted result cannot be used: {found}")
        return None

    def _place(self) -> tuple[ResultStore, str]:
        """Where its result is.

        Raises:
            MintakaError, NoFingerprint: there is no such place, or its call cannot be distinguished from others.
        """
        flow = self._flow
        path = calls_of(flow).path
        return flow.results.store(), f"runs/{flow.launch.results_id or 'outside-of-flows'}/{f'{path}-' if path else ''}result"

    def complete(self, invocation: Invocation, value: Any) -> Generator[Step, Any, Outcome]:
        """Keep the value, and end the run COMPLETED whether or not that worked."""
        try:
            store, key = self._place()
        except (MintakaError, NoFingerprint) as error:
            yield Report(_ERROR, f"{invocation.run.name} completed, but its result is not persisted: {error}")
            return ended_with(invocation, value, type(error).__name__, str(error))
        return (yield from kept(invocation, store, key, value))

    def ended(self, *, ok: bool) -> Generator[Step, Any, None]:  # noqa: ARG002 - the engine's protocol
        """Nothing hangs on a flow's state."""
        yield from ()

    def forget(self, outcome: Outcome) -> None:
        """Flows are not submitted."""

    def release(self) -> None:
        """Nobody waits for it."""


def kept_result(record: ResultRecord) -> KeptResult:
    """The facts of a persisted result that the rules read."""
    known = record.metadata
    return KeptResult(known.storage_key, known.created, known.expiration)


def stood_in(invocation: Invocation, found: ResultRecord, *, refresh: bool) -> Outcome | None:
    """Propose that the run starts although a result was found: its outcome if the result replaces it, or None if it runs."""
    invocation.note(kept=kept_result(found), refresh=refresh)
    return replaced_by(invocation, found)


def replaced_by(invocation: Invocation, found: ResultRecord) -> Outcome | None:
    """The outcome of a run that the rules complete with the result `found`; None: it runs."""
    run = invocation.run
    decision = decide_run(run, State(RUNNING), **(invocation.facts or {}))
    if decision.state is None or decision.state.type != COMPLETED:
        return None
    run.called = None  # no flow run is created: the completed one exists
    return KeptOutcome(run, found) if invocation.ledger.end(run, decision) else Outcome(run)


def note_issue(invocation: Invocation, issue: str) -> None:
    """Record, once the run starts, why no cached result replaced it, or why its result is not cached."""
    before = (invocation.facts or {}).get("kept_issue")
    invocation.note(kept_issue=f"{before}; {issue}" if before else issue)


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
    entered = ledger.propose_end(run, State(COMPLETED), unpersisted=Unpersisted(name, reason, message))
    return Outcome(run, value, ok=entered)


def quietly(work: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    """A call that returns what `work` raises."""

    def call() -> Any:
        try:
            return work(*args)
        except Exception as error:  # noqa: BLE001 - whoever asked looks at what came back
            return error

    return call
