"""A flow that waits to be resumed without a process of its own: PAUSED, named Suspended.

Its process ends by an exception that no `except Exception` catches. Resumed, the flow runs again from its beginning, in
another attempt: finished tasks are taken from their persisted results, and a suspension that is over is passed. Which ones
are over is said by whoever started the attempt (`Launch.resumed`), what was answered by the mailbox; so that a process that is
merely tried again after a crash waits on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mintaka.engine.entries import to_datetime
from mintaka.exceptions import ConfigurationError, MissingContextError, ParameterTypeError, Suspension
from mintaka.logging import run_logger
from mintaka.persisting.calls import calls_of
from mintaka.persisting.fingerprints import NoFingerprint
from mintaka.recording.recorder import NullRecorder
from mintaka.waiting.drivers import apart
from mintaka.waiting.mailboxes import known_answer_to, mailbox_of
from mintaka.waiting.pausing import pause_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mintaka.context import FlowContext, RunContext
    from mintaka.futures import Future
    from mintaka.waiting.pausing import Pause

_NOT_PERSISTED = (
    "the results of flow run %s are not persisted, so all of its tasks will run again when it is resumed: set persist_result=True on "
    "the flow or its tasks, or MINTAKA_RESULTS_PERSIST_BY_DEFAULT=true, or resultStorage in the FlowDeployment"
)


def suspend_blocking(context: RunContext, input_type: Any, timeout_seconds: float | None, key: str | None) -> Any:
    """Suspend the flow run in this thread; returns the input where it has been resumed already."""
    pause = _suspension_of(context, input_type, timeout_seconds, key)
    if not _is_over(pause):
        for future in _submitted(pause.flow):
            future.wait()
        raise _suspended(pause)
    return pause.value


async def suspend_async(context: RunContext, input_type: Any, timeout_seconds: float | None, key: str | None) -> Any:
    """The same without blocking the event loop while what was submitted ends, or an API is asked."""
    pause = _suspension_of(context, input_type, timeout_seconds, key)
    if not await apart(lambda: _is_over(pause)):
        for future in _submitted(pause.flow):
            await future.wait_async()
        raise await apart(lambda: _suspended(pause))
    return pause.value


def _suspension_of(context: RunContext, input_type: Any, timeout_seconds: float | None, key: str | None) -> Pause:
    if context.task is not None:
        message = f"task {context.task.name} cannot suspend its flow run, whose process would end before the task: call suspend_flow_run() in the body of the flow"
        raise MissingContextError(message)
    pause = pause_of(context, input_type, timeout_seconds, key, use="suspend_flow_run")
    pause.suspends = True
    if key is None:
        try:
            pause.name = calls_of(pause.flow).identify("suspension", {})
        except NoFingerprint as error:
            message = f"which suspension of the flow this is cannot be told, for {error}: give it a key, suspend_flow_run(key='…')"
            raise ConfigurationError(message) from error
    return pause


def _is_over(pause: Pause) -> bool:
    """Whether somebody has resumed it, with the input that it wants."""
    launch, mailbox = pause.flow.launch, mailbox_of(pause.flow.launch)
    resumed = pause.name in launch.resumed or launch.replay is not None
    if resumed and pause.input_type is None:
        pause.give(None)
        return True
    known = known_answer_to(pause)
    if known is None and not resumed:
        return False
    try:
        pause.give(None if known is None else known.value)
    except ParameterTypeError as error:
        run_logger(pause.context).warning("flow run %s was resumed without what it waits for: %s", pause.flow.run.name, error)
        if known is not None and mailbox is not None:
            mailbox.refused(pause, str(error))
        return False
    pause.flow.answers[pause.name] = pause.answered
    return True


def _submitted(flow: FlowContext | None) -> Iterator[Future[Any]]:
    """What was submitted and is not done: it ends first, so that its results are there."""
    while flow is not None:
        yield from tuple(flow.open.values())
        flow = flow.outer


def _suspended(pause: Pause) -> Suspension:
    """What ends the process, now that others know what it waits for."""
    flow, launch = pause.flow, pause.flow.launch
    mailbox = mailbox_of(launch)
    if launch.replay is not None:
        message = f"what flow run {flow.run.name} was given when it was suspended is not known here: a replay needs its history"
        raise ConfigurationError(message)
    if launch.local and isinstance(launch.recorder, NullRecorder):
        message = f"flow run {flow.run.name} keeps no history (MINTAKA_HISTORY=off), so nobody could resume it: it cannot be suspended"
        raise ConfigurationError(message)
    if pause.input_type is not None and mailbox is None and launch.flow_run_id:
        message = f"flow run {flow.run.name} would wait for input that nobody could give: there is no API (MINTAKA_API_URL)"
        raise ConfigurationError(message)
    if not flow.results.persist:
        logging.getLogger("mintaka").warning(_NOT_PERSISTED, flow.run.name)
    if launch.local:
        from mintaka.persisting.kept_runs import keep_run  # noqa: PLC0415 - start-up time

        keep_run(flow)  # which flow it is, with which parameters
    pause.start_clock()
    if mailbox is not None:
        mailbox.paused(pause)
    until = None if pause.deadline_micros is None else to_datetime(pause.deadline_micros)
    return Suspension(pause.name, until)
