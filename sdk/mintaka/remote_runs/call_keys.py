"""Identifies calls of deployments, so that a run that is retried finds the runs that it requested before.

A call is identified by the flow or task run that makes it and its number among the calls of the same deployment there. A flow run
has an id that is the same in each attempt (`mintaka.engine.called_flows`). A task run is identified by its task and arguments, so that
the order in which tasks run does not matter; calls with the same task and arguments are numbered. The arguments of the call of the
deployment do not count: they may contain the current time.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from mintaka.calling.task_identity import lasting_key
from mintaka.persisting.calls import calls_of
from mintaka.persisting.fingerprints import NoFingerprint, fingerprint

if TYPE_CHECKING:
    from mintaka.context import FlowContext, RunContext

#: Makes sure that the scope of a run is determined once, whichever thread calls first.
_LOCK = threading.Lock()


class DeploymentCalls:
    """Numbers the calls of one flow or task run, from 0 in each try of it; `scope` identifies that run."""

    __slots__ = ("_counts", "_lock", "_tries", "scope")

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self._counts: Counter[str] = Counter()
        self._tries = 0
        self._lock = threading.Lock()

    def next(self, deployment: str, tries: int) -> int:
        """The number of the next call of a deployment in that try of the run."""
        with self._lock:
            if tries != self._tries:
                self._counts.clear()
                self._tries = tries
            number = self._counts[deployment]
            self._counts[deployment] += 1
        return number


def call_key(context: RunContext, deployment: str) -> str:
    """The key of the next call of `deployment` (`namespace/name`) by the code of a run within a flow run."""
    if context.deployment_calls is None:
        with _LOCK:
            if context.deployment_calls is None:
                context.deployment_calls = DeploymentCalls(_scope_of(context))
    calls = context.deployment_calls
    number = calls.next(deployment, context.run.run_count)
    return fingerprint(calls.scope, deployment, number)[:32]


def tries_of(context: RunContext) -> int:
    """How often the code around a call was started again in this process: that of the task run, and of the flow runs around it."""
    runs = [context.run]
    flow: FlowContext | None = context.flow
    while flow is not None:
        if flow.run is not context.run:
            runs.append(flow.run)
        flow = flow.outer
    return sum(max(run.run_count - 1, 0) for run in runs)


def _scope_of(context: RunContext) -> str:
    """What identifies a run in each attempt of its flow run; its number, if the arguments of a task have no fingerprint."""
    flow = context.flow
    if flow is None:
        return ""
    if context.task is None:
        return flow.id
    numbered = f"{flow.id} run {context.run.n}"
    try:
        identity = calls_of(flow).identify(f"calls of {lasting_key(context.run.task)}", context.arguments())
    except NoFingerprint:
        return numbered
    # A worker process does not know of equal task calls in other processes.
    return f"{flow.id} {identity}" if flow.launch.ledger is not None else f"{numbered} {identity}"
