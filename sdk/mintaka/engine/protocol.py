"""The life of a run as a protocol without input or output: a generator yields what to do next and is sent what happened.

The same protocol serves tasks and flows, sync and async; the drivers (`mintaka.engine.drivers`) do what it asks for. Whether a
run starts, is tried again or ends is decided by the core's policy; see `mintaka.engine.runs` for the steps that need no decision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka.calling.dual_functions import check_awaited, note_forgotten
from mintaka.engine.decisions import decide_run
from mintaka.engine.entries import now_micros, to_datetime
from mintaka.engine.loops import is_cancellation
from mintaka.engine.outcomes import Outcome, ReturnedOutcome
from mintaka.engine.semantics import ReturnedState, StateAsValue, semantics_of
from mintaka.engine.settling import abandon, end_inside_task, give_up_rest, settle
from mintaka.engine.steps import CALL, Await, Consult, Halt, Judge, Report, RunHooks, Sleep
from mintaka.engine.stopping import STOP
from mintaka.exceptions import ClusterLost, FlowPauseTimeout, Interruption, Terminated, UpstreamFailed, WorkerDied, message_of
from mintaka.states import State
from mintaka_core.errors import MintakaError
from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, FAILED, PENDING, RUNNING, SCHEDULED, StateType

if TYPE_CHECKING:
    from collections.abc import Generator

    from mintaka.engine.awaiting import Consulted
    from mintaka.engine.invocations import Invocation
    from mintaka.engine.outcomes import Interrupted
    from mintaka.engine.steps import RunProtocol, Step
    from mintaka.futures import Future
    from mintaka_core.transitions import Decision

_WARNING, _ERROR = 30, 40

#: What a task may return that decides how it ends.
_MAY_DECIDE = (State, list, tuple, set)


def run_protocol(invocation: Invocation) -> RunProtocol:
    """From PENDING to a terminal state; returns the outcome, raises only what is no `Exception`."""
    run, ledger = invocation.run, invocation.ledger
    refusal = yield from _prepared(invocation)
    if refusal is not None:
        name = "UpstreamFailed" if isinstance(refusal, UpstreamFailed) else ""
        return (yield from _ended(invocation, State(FAILED, name, reason=_reason(refusal), message=message_of(refusal), error=refusal)))
    if STOP.requested:
        message = "the process was asked to stop before this run began"
        raise Terminated(message)
    if invocation.keeping is not None:
        found = yield from invocation.keeping.begin(invocation)
        if found is not None:
            # The hooks of a subflow were called by the try that ran it.
            return (yield from _completed_with(invocation, found, hooks=invocation.child is None))
    if not (ledger.enter(run, decide_run(run, State(RUNNING), **invocation.facts)) if invocation.facts else ledger.start(run)):
        return Outcome(run)
    failures = crashes = 0
    while True:
        value = yield from _tried(invocation)
        if not isinstance(value, State):
            return (yield from _completed(invocation, value.state if type(value) is StateAsValue else value))
        proposed = yield from _proposed(invocation, value)
        allowed = yield from _may_retry(invocation, proposed, failures, crashes)
        decision = _decide(invocation, proposed, failures, crashes, allowed=allowed)
        if decision.state is None or decision.state.type != SCHEDULED:
            return (yield from _ended(invocation, proposed, decision))
        failures += decision.heard("retry_failed")
        crashes += decision.heard("retry_crashed")
        yield Report(_WARNING, f"{run.name} {proposed.name}: {_told(proposed)}; {decision.reason}")
        if not (yield from _tried_again(invocation, decision)):
            return Outcome(run)


def _tried(invocation: Invocation) -> Generator[Step, Any, Any]:
    """One try of the body: the value it returned, or the state that it returned or that its exception amounts to."""
    if invocation.definition.running_hooks:
        yield RunHooks(invocation.definition.running_hooks, invocation.run.state)
    try:
        value = yield CALL
        if invocation.context.pending_calls:
            check_awaited(invocation.context)
        if invocation.child is not None:
            value = yield from settle(invocation, invocation.child, value)
        elif isinstance(value, _MAY_DECIDE):
            value = semantics_of(invocation.context.flow).value_of_task(value)
    except GeneratorExit:
        raise
    except Exception as error:
        if invocation.context.pending_calls:
            note_forgotten(invocation.context, error)
        if STOP.requested and invocation.run.n < 0:
            yield from _interrupted(invocation, error)
            message = "the process was asked to stop"
            raise Terminated(message) from error
        return _failure_of(invocation, error)
    except BaseException as error:
        yield from _interrupted(invocation, error)
        raise
    return value


def _failure_of(invocation: Invocation, error: Exception) -> State:
    """The state that an exception of the body amounts to."""
    if isinstance(error, (WorkerDied, ClusterLost)):
        return State(CRASHED, reason=_reason(error), message=message_of(error), error=error)
    invocation.overdue = error is invocation.late
    # As in Prefect, a TimeoutError that the body itself raises is TimedOut too; reason and message tell them apart.
    late = isinstance(error, TimeoutError) and not isinstance(error, FlowPauseTimeout)
    return _failed(error, "TimedOut" if late else "Failed")


def _prepared(invocation: Invocation) -> Generator[Step, Any, Exception | None]:
    """Wait for the inputs and put them in place; returns why the run cannot start, or None."""
    dependencies = invocation.dependencies
    if dependencies is not None and dependencies.replaced:
        futures = dependencies.futures
        if futures:
            yield Await(futures)
        for future in futures:
            future.looked_at()
        for future in dependencies.needed:
            if not future.outcome.ok:
                return _upstream_failure(future)
        try:
            invocation.resolve()
        except Exception as error:  # noqa: BLE001 - what is made anew with results in it is the user's: a dataclass that checks itself
            return error
    if invocation.needs_preparing:
        prepared: Consulted = yield Consult(lambda: invocation.definition.prepare(invocation))
        return prepared.error
    return None


def _upstream_failure(future: Future[Any]) -> UpstreamFailed:
    """The failure of a run whose input failed; it names the first cause, not the last link of the chain."""
    state = future.outcome.state
    cause = state.exception()
    if isinstance(cause, UpstreamFailed):
        error = UpstreamFailed(*cause.args)
        error.__cause__ = cause.__cause__
        return error
    error = UpstreamFailed(f"upstream task run {future.run.name} ended {state.name}: {_told(state)}".rstrip(": "))
    error.__cause__ = cause
    return error


def _completed(invocation: Invocation, value: Any) -> RunProtocol:
    """The body returned an ordinary value."""
    run = invocation.run
    if invocation.keeping is not None:
        outcome = yield from invocation.keeping.complete(invocation, value)
        if outcome.ok:
            return (yield from _completed_with(invocation, outcome))
        _refuse(invocation, _COMPLETED)
        return outcome
    if not invocation.ledger.complete(run):
        _refuse(invocation, _COMPLETED)
        return Outcome(run, value)
    outcome = Outcome(run, value, ok=True)
    flow = invocation.context.flow
    if flow is not None and run.n >= 0:
        flow.lineage.remember(value, run.n)
    if hooks := invocation.definition.hooks_for(_COMPLETED):
        yield RunHooks(hooks, outcome.state)
    return outcome


def _completed_with(invocation: Invocation, outcome: Outcome, *, hooks: bool = True) -> RunProtocol:
    """The run ended COMPLETED by what keeps its result."""
    run, flow = invocation.run, invocation.context.flow
    if flow is not None and run.n >= 0:
        flow.lineage.remember(outcome.value, run.n)
    if hooks and (functions := invocation.definition.hooks_for(_COMPLETED)):
        yield RunHooks(functions, outcome.state)
    return outcome


_COMPLETED = State(COMPLETED)


def _proposed(invocation: Invocation, returned: State) -> Generator[Step, Any, State]:
    """The end that a try proposes, once it has given up what it leaves undone."""
    state = returned if returned.is_terminal else _not_an_end(returned)
    if state.type != COMPLETED:
        yield from give_up_rest(invocation, state)
    return state


def _tried_again(invocation: Invocation, granted: Decision) -> Generator[Step, Any, bool]:
    """Wait for the retry's time, then RUNNING again; False where the run was ended meanwhile."""
    run, ledger = invocation.run, invocation.ledger
    ledger.enter(run, granted)
    decision = decide_run(run, State(PENDING), due=granted.state and granted.state.scheduled_time)
    if decision.until is not None:
        ledger.stay(run, decision)
        yield Sleep((decision.until - to_datetime(now_micros())).total_seconds())
        decision = decide_run(run, State(PENDING))
    if STOP.requested:
        message = "the process was asked to stop before the retry"
        raise Terminated(message)
    if invocation.child is not None and invocation.child.calls is not None:
        invocation.child.calls = invocation.child.calls.of_next_try()
    return ledger.enter(run, decision) and ledger.enter(run, decide_run(run, State(RUNNING, "Retrying")))


def _ended(invocation: Invocation, proposed: State, decision: Decision | None = None) -> RunProtocol:
    """Put the run into the terminal state `proposed`, or what the policy made of it."""
    run = invocation.run
    decision = decision or _decide(invocation, proposed)
    state = decision.state or proposed
    entered = invocation.ledger.end(run, decision)
    if not entered:
        _refuse(invocation, proposed)
    outcome = Outcome(run, proposed.data, proposed.error, ok=entered and state.type == COMPLETED)
    if entered and isinstance(proposed, ReturnedState):
        outcome = ReturnedOutcome(outcome, proposed.given)
    if invocation.keeping is not None:
        yield from invocation.keeping.ended(ok=outcome.ok)
    if entered:
        if state.type in (FAILED, CRASHED):
            told = proposed.error if not isinstance(proposed.error, MintakaError) else None
            yield Report(_ERROR, f"{run.name} ended {state.name}: {_told(proposed)}", told)
        if hooks := invocation.definition.hooks_for(outcome.state):
            yield RunHooks(hooks, outcome.state)
    return outcome


def _interrupted(invocation: Invocation, error: BaseException) -> Generator[Step, Any, None]:
    """Something that is no `Exception` ended the body. The flow run itself has the verdict on all that is still open;
    a task that an interruption of the whole process ends waits for that verdict.
    """
    run, ledger = invocation.run, invocation.ledger
    if run.n < 0:
        interrupted: Interrupted = yield Judge(error)
        ended = ledger.end_all(interrupted.tasks)
        ledger.propose_end(run, interrupted.flow)
        yield Halt(ended, interrupted.tasks.message)
        if interrupted.hooks and (hooks := invocation.definition.hooks_for(interrupted.flow)):
            yield RunHooks(hooks, interrupted.flow)
        return
    if isinstance(error, Interruption) or STOP.requested:
        return
    if isinstance(error, KeyboardInterrupt) and invocation.context.flow is not None:
        ended_with: Interrupted = yield Judge(error)
        ledger.propose_end(run, ended_with.tasks)
    elif is_cancellation(error):
        message = message_of(error) or "the asyncio task around it was cancelled"
        ledger.propose_end(run, State(CANCELLED, reason="Cancelled", message=message))
    else:
        ledger.propose_end(run, State(CRASHED, reason=type(error).__name__, message=message_of(error)))
    if invocation.child is not None:
        yield from abandon(invocation, invocation.child, run.state.name)
    elif is_cancellation(error):
        end_inside_task(invocation, run.state.name)


def _refuse(invocation: Invocation, proposed: State) -> None:
    """Have it on record that the run, which somebody else ended, would have gone on."""
    decision = _decide(invocation, proposed)
    if decision.state is None:
        invocation.ledger.stay(invocation.run, decision)


def _may_retry(invocation: Invocation, proposed: State, failures: int, crashes: int) -> Generator[Step, Any, bool]:
    """Whether there is another try after `proposed`, and it can help: what `retry_condition_fn` says; an exception in it means no."""
    definition, run = invocation.definition, invocation.run
    plan = definition.retry_plan
    crashed = proposed.type == CRASHED
    left = crashes < plan.crash_limit if crashed else proposed.type == FAILED and failures < plan.limit
    if not left or STOP.requested or invocation.handed_out or run.is_over:
        return False
    condition = definition.retry_condition_fn
    if crashed or condition is None:
        return True
    from mintaka.runs import run_of  # noqa: PLC0415 - start-up time, and would be a cycle

    answer: Consulted = yield Consult(lambda: condition(definition, run_of(invocation), proposed))
    if answer.error is not None:
        message = f"retry_condition_fn of task {definition.name} failed, so {run.name} is not tried again"
        yield Report(_ERROR, message, answer.error)
    return answer.error is None and bool(answer.value)


def _decide(
    invocation: Invocation,
    proposed: State,
    failures: int = 0,
    crashes: int = 0,
    *,
    allowed: bool = False,
) -> Decision:
    """Evaluate the core's policy for one transition of the run; `allowed`: another try is left, and no condition rules it out."""
    from random import random  # noqa: PLC0415 - start-up time: only failures come here

    run, plan = invocation.run, invocation.definition.retry_plan
    return decide_run(
        run,
        proposed,
        failures=failures,
        crashes=crashes,
        retries=plan.budgets(crashes if proposed.type == CRASHED else failures),
        retriable=allowed and not STOP.requested and not run.is_over,
        jitter=random(),  # noqa: S311 - spreads retries, is not for security
    )


def _not_an_end(state: State) -> State:
    message = f"a {state.name} state was returned, which does not end a run: return Completed(…) or Failed(…), or raise"
    return State(FAILED, reason="InvalidState", message=message)


def _failed(error: Exception, name: str) -> State:
    """The state that an exception of the body proposes."""
    return State(StateType.FAILED, name, _reason(error), message_of(error), error=error)


def _reason(error: BaseException) -> str:
    return type(error).__name__


def _told(state: State) -> str:
    """Reason and message, for after the name; a reason that says the same as the name is left out."""
    return ": ".join(part for part in (state.reason if state.reason != state.name else "", state.message) if part)
