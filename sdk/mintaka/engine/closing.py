"""After a flow: its task runner is closed, its processes end and the last of its history is written."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.engine.roots import close_root
from mintaka.recording.launching import finished
from mintaka.recording.recorder import NullRecorder
from mintaka_core.states import COMPLETED, FAILED

if TYPE_CHECKING:
    from mintaka.engine.invocations import Invocation


def close_flow(invocation: Invocation) -> None:
    """The run of a flow is over: close what it opened, and the root's processes and history."""
    child = invocation.child
    if child is not None:
        child.close()
        if child.outer is None:
            _end_processes(invocation)
            finished(child.launch)


def _end_processes(invocation: Invocation) -> None:
    """The flow run is over: if it was interrupted, nothing that it started continues."""
    state = invocation.run.state
    by_itself = state.type == COMPLETED or (state.type == FAILED and not invocation.overdue)
    if not (by_itself or CHILD_PROCESSES.dedicated):
        CHILD_PROCESSES.end(invocation.ledger, invocation.run.n)
    CHILD_PROCESSES.end_flow(invocation.ledger)
    CHILD_PROCESSES.join()


async def close_flow_async(invocation: Invocation) -> None:
    """The same without blocking the event loop while the last of the history is written."""
    child = invocation.child
    if child is None or child.outer is not None or not child.launch.owned or isinstance(child.launch.recorder, NullRecorder):
        close_flow(invocation)
        return
    import asyncio  # noqa: PLC0415 - start-up time

    await asyncio.to_thread(close_flow, invocation)


async def close_generator_async(invocation: Invocation) -> None:
    """The same for one that handed out its items in an event loop."""
    if invocation.run.n < 0:
        close_root(invocation, sys.exception())
    await close_flow_async(invocation)


def close_generator(invocation: Invocation) -> None:
    """The same for one that handed out its items; signals are handled by its consumer."""
    if invocation.run.n < 0:
        close_root(invocation, sys.exception())
    close_flow(invocation)
