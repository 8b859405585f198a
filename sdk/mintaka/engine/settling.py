"""How a flow ends: what its return value, and the futures that no code read, add up to, and what becomes of what it leaves.

A state that the flow returns is its state. What futures and states in the return value become, and whether a failure that
no code read makes an ordinary return value FAILED, is a question of its semantics.
"""

from __future__ import annotations

from types import GeneratorType
from typing import TYPE_CHECKING, Any

from mintaka.engine.outcomes import Outcome
from mintaka.engine.semantics import futures_in, sum_up
from mintaka.engine.steps import Await, Halt
from mintaka.futures import end_inside
from mintaka.states import State
from mintaka_core.states import CANCELLED, FAILED, FLOW_ENDED, TASK_ENDED

if TYPE_CHECKING:
    from collections.abc import Collection, Generator

    from mintaka.context import FlowContext
    from mintaka.engine.invocations import Invocation
    from mintaka.engine.runs import Run
    from mintaka.engine.steps import Step
    from mintaka.executing.jobs import Job


def settle(invocation: Invocation, child: FlowContext, value: Any) -> Generator[Step, Any, Any]:
    """A flow's value once everything it submitted is over: itself, or the state that its parts add up to. A generator is made
    a list: outside of the flow its code could not submit anything, nor fail the flow.
    """
    if type(value) is GeneratorType:
        value = list(value)
    if futures := tuple(future for future in futures_in(value) if not future.done):
        yield Await(futures)
    if child.open and child.semantics.queued_runs_are_cancelled:
        _cancel_unbegun(child, "the flow ended before this began", set(child.runner.queued()))
    while child.open:
        yield Await(tuple(child.open.values()))
    if child.outer is None and len(child.ledger.live) > 1:
        yield Halt(*_end_left_behind(invocation, "before this did"))
    return _value_of(child, value)


def _value_of(child: FlowContext, value: Any) -> Any:
    """What `value`, which the flow's body returned, amounts to; see `Semantics`."""
    value = child.semantics.value_of_flow(value)
    if isinstance(value, State) or not child.failures or not child.semantics.unobserved_failures_count:
        return value
    unseen = [future.state for _, future in sorted(child.failures.items()) if not future.observed]
    if not unseen:
        return value
    return sum_up(FAILED, unseen, f"{len(unseen)} task run{'s' * (len(unseen) > 1)} failed and nobody looked at the result")


def _cancel_unbegun(child: FlowContext, why: str, among: Collection[Job] | None = None) -> None:
    """End every submitted run of the flow that has not begun; `among`: of these jobs alone."""
    for future in tuple(child.open.values()):
        job = future.job
        if job is None or (among is not None and job not in among) or not job.claim():
            continue
        if child.ledger.propose_end(future.run, State(CANCELLED, reason=FLOW_ENDED, message=why)):
            future.finish(Outcome(future.run))


def give_up_rest(invocation: Invocation, state: State) -> Generator[Step, Any, None]:
    """A flow that did not complete starts nothing more, and waits for what runs."""
    child = invocation.child
    if child is None:
        if state.error is not None and state.error is invocation.late:
            end_inside_task(invocation, state.name)
        return
    _cancel_unbegun(child, f"the flow ended {state.name} before this began")
    while child.open and not (state.error is not None and state.error is invocation.late):
        yield Await(tuple(child.open.values()))
    yield from abandon(invocation, child, state.name)


def abandon(invocation: Invocation, child: FlowContext, name: str) -> Generator[Step, Any, None]:
    """End what a flow that is over has left, and wait for none of it."""
    _cancel_unbegun(child, f"the flow ended {name} before this began")
    left = _end_left_behind(invocation, name)
    for future in tuple(child.open.values()):
        future.finish(Outcome(future.run))
    child.failures.clear()
    yield Halt(*left)


def end_inside_task(invocation: Invocation, name: str) -> None:
    """End what a task that was cancelled, or timed out, has called and submitted."""
    run = invocation.run
    end = State(CANCELLED, reason=TASK_ENDED, message=f"task run {run.name} ended {name}")
    end_inside(run, invocation.ledger, invocation.context.flow, end)


def _end_left_behind(invocation: Invocation, name: str) -> tuple[list[Run], str]:
    """End whatever the flow did not wait for."""
    message = f"the flow ended {name}"
    return invocation.ledger.end_below(invocation.run, State(CANCELLED, reason=FLOW_ENDED, message=message)), message
