"""Creates the run of a call once: a repeated request finds the run that the first one created, even if it has ended and been deleted.

The name of the run follows from the caller and the key of the call, so Kubernetes itself refuses a second one. Before it is created,
the history is searched for a run of that name, since finished runs leave the cluster. A run that FAILED or CRASHED runs again if a
later try of its caller reaches the call: it is the same run with another attempt, and it reuses persisted results of finished tasks.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from mintaka_api.problems import Problem
from mintaka_api.row_mapping import read_run
from mintaka_core.names import ANNOTATION_CALLED_IN, called_run_name, object_name, shortened
from mintaka_core.states import CRASHED, FAILED
from mintaka_history.queries import flow_runs
from mintaka_history.run_responses import FlowRunAnswer, StateAnswer

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka_api.intents import RunControl, RunRequest
    from mintaka_api.services import Services
    from mintaka_core.resources import FlowRun

_NAME_LIMIT = 200
_SUFFIX_BYTES = 4
_TRIES = 5
_CREATED, _FOUND, _RUNS_AGAIN = 201, 200, 202


class Requested(NamedTuple):
    """The run of a request, and the HTTP status: 201 it was created, 200 it exists, 202 it exists and runs again.

    With 202 the state may still be that of the previous end: only an end with a higher `sequence` is that of the call,
    unless the rerun is withdrawn (`mintaka_api.run_checks`).
    """

    run: FlowRunAnswer
    status: int


def name_of(deployment: str, request: RunRequest) -> str:
    """The name of the requested run; a random one if the request has no name, key or call."""
    if request.name is not None:
        return request.name
    prefix = object_name(request.flow_run_name) or deployment
    caller = request.called_by.uid if request.called_by else ""
    if request.idempotency_key is not None:
        return called_run_name(deployment, deployment, caller, f"key/{request.idempotency_key}")
    if request.called_by is not None and request.call:
        return called_run_name(prefix, deployment, caller, f"call/{request.call}")
    return shortened(prefix, f"-{secrets.token_hex(_SUFFIX_BYTES)}", _NAME_LIMIT)


def is_repeatable(request: RunRequest) -> bool:
    """Whether a repeated request means the same run."""
    return request.name is None and (request.idempotency_key is not None or (request.called_by is not None and bool(request.call)))


async def request_run(here: Services, control: RunControl, namespace: str, deployment: str, request: RunRequest) -> Requested:
    """Create the run, or find the one that an earlier request of the same call created. Raises a Problem."""
    repeatable, request = is_repeatable(request), replace(request, name=name_of(deployment, request))
    name = request.name or ""
    if not repeatable:
        return Requested(answer_of(read_run(await control.create(namespace, deployment, request))), _CREATED)
    for _ in range(_TRIES):
        known = await here.database.read(flow_runs.newest, here.names, namespace, name)
        if known is not None and known.deleted is not None:
            return Requested(known, _FOUND)
        if known is None:
            try:
                return Requested(answer_of(read_run(await control.create(namespace, deployment, request))), _CREATED)
            except Problem as problem:
                if problem.name != "already-exists":
                    raise
        found = await _find(control, namespace, deployment, request, known)
        if found is not None:
            return found
    raise Problem("conflict", f"flow run {namespace}/{name} changes faster than it can be read; try again")


async def _find(control: RunControl, namespace: str, deployment: str, request: RunRequest, known: FlowRunAnswer | None) -> Requested | None:
    """The existing run; None if it has changed or been deleted meanwhile."""
    document = await control.read(namespace, request.name or "")
    if document is None:
        return None
    run = read_run(document)
    called_by = run.spec.called_by.uid if run.spec.called_by else None
    if run.spec.deployment != deployment or called_by != (request.called_by.uid if request.called_by else None):
        raise Problem("already-exists", f"flow run {namespace}/{run.metadata.name} exists, and it is not the run of this call")
    answer = answer_of(run)
    if known is not None:
        answer.parameters, answer.tags = known.parameters, known.tags
    if run.status.is_terminal and run.rerun_wanted:
        # Regardless of which caller requested the rerun, and of how the call is identified, the old end is not the end of the run.
        return Requested(answer, _RUNS_AGAIN)
    if not _runs_again(run, request):
        return Requested(answer, _FOUND)
    try:
        await control.run_again(run, request.called_in)
    except Problem as problem:
        if problem.name in {"conflict", "left-the-cluster"}:
            return None
        raise
    return Requested(answer, _RUNS_AGAIN)


def _runs_again(run: FlowRun, request: RunRequest) -> bool:
    """Whether a later try of its caller requests the run after it FAILED or CRASHED. A request with a key never starts it again."""
    state = run.status.state
    if request.idempotency_key is not None or state is None or state.type not in {FAILED, CRASHED}:
        return False
    if run.spec.cancel or run.metadata.deletion_timestamp is not None:
        return False
    before = run.metadata.annotations.get(ANNOTATION_CALLED_IN, "")
    return bool(before) and _ordinals(before) < _ordinals(request.called_in)


def _ordinals(called_in: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d{1,9}", called_in))


def answer_of(run: FlowRun) -> FlowRunAnswer:
    """The run as Kubernetes has it, with its secrets masked by `RunControl`; the operator may not have seen it yet."""
    metadata, spec, status = run.metadata, run.spec, run.status
    created: datetime | None = metadata.creation_timestamp
    if created is None:
        message = f"flow run {metadata.name} has no creation time"
        raise ValueError(message)
    state = status.state
    shown = StateAnswer(state.type.value, state.name, state.reason, state.message, state.time) if state else None
    return FlowRunAnswer(
        uid=metadata.uid,
        namespace=metadata.namespace,
        name=metadata.name,
        deployment=spec.deployment,
        state=shown or StateAnswer("SCHEDULED", "Scheduled", "", "", created),
        sequence=status.sequence,
        attempt=status.attempt,
        failures=status.failures,
        crashes=status.crashes,
        created=created,
        scheduled=spec.scheduled_time,
        started=status.start_time,
        ended=status.end_time,
        tags=list(spec.tags),
        parameters=spec.parameters or {},
        pod=status.pod_name,
        history_complete=False,
        deleted=None,
        task_counts={},
    )
