"""New flow runs of deployments, and waiting for their ends: what `run_deployment` requests."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from mintaka_api.called_runs import request_run
from mintaka_api.ends import wait_for_ends
from mintaka_api.intents import RunRequest
from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.problems import Problem
from mintaka_api.response_models import EndedRuns
from mintaka_api.routes.documents import json_body, read_document
from mintaka_api.routes.intents import control
from mintaka_api.routes.query_parameters import NoQuery, Text
from mintaka_api.routes.responses import canonical_uid, documented_responses, json_response
from mintaka_api.run_checks import check_runs
from mintaka_api.services import Here
from mintaka_core.instants import to_utc
from mintaka_core.resources.runs import CalledBy, RunOverrides
from mintaka_history.run_responses import FlowRunAnswer

router = APIRouter(prefix=PREFIX, tags=["intents"], dependencies=GUARDED)

_NAME_OR_NONE = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"
_RunName = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]


class Caller(msgspec.Struct, forbid_unknown_fields=True):
    """The flow run whose code calls a deployment.

    `flow_run` is the uid of the flow run in the caller's process whose code calls, if it is not the caller itself; `task_run` is the
    number of the task run that calls. A `detached` run continues if its caller is cancelled. `call` identifies the call in
    the caller; `attempt` is the caller's attempt, and `tries` how often its code was started again in that attempt.
    """

    uid: Annotated[str, msgspec.Meta(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$")]
    name: Annotated[str, msgspec.Meta(max_length=253)] = ""
    attempt: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    tries: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    flow_run: Annotated[str, msgspec.Meta(min_length=1, max_length=63)] | None = None
    task_run: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None = None
    detached: bool = False
    call: Annotated[str, msgspec.Meta(max_length=300)] = ""


class Overrides(msgspec.Struct, forbid_unknown_fields=True):
    """Changes to the deployment's template: the `image` of the flow's container, and a partial PodTemplateSpec merged over it."""

    image: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)] | None = None
    pod_template: dict[str, Any] | None = None


class NewFlowRun(msgspec.Struct, forbid_unknown_fields=True):
    """A run to create; `name` null generates one, `scheduled_time` null means at once.

    `resume_from` is the name of a finished run whose finished tasks it reuses. With `idempotency_key`, or a `call` in `called_by`, a
    repeated request finds the run that the first one created. `flow_run_name` is any text; a generated name begins with it, unless
    there is an `idempotency_key`. `overrides` replaces parts of the deployment's template.
    """

    parameters: dict[str, Any] = {}
    name: _RunName | None = None
    scheduled_time: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    tags: Annotated[list[Annotated[str, msgspec.Meta(min_length=1, max_length=100)]], msgspec.Meta(max_length=50)] = []
    resume_from: _RunName | None = None
    called_by: Caller | None = None
    idempotency_key: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)] | None = None
    flow_run_name: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    overrides: Overrides | None = None


@router.post(
    "/namespaces/{namespace}/flow-deployments/{name}/runs",
    status_code=201,
    responses=documented_responses(
        FlowRunAnswer,
        "invalid-parameter",
        "not-found",
        "already-exists",
        "conflict",
        "too-large",
        "malformed",
        "invalid-parameters",
        "invalid-resource",
        "validation-unavailable",
        "cluster-away",
        status=201,
    ),
    openapi_extra=json_body(NewFlowRun, required=False),
)
async def create_flow_run(namespace: Text, name: Text, request: Request, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Create a run of a flow deployment; it starts as soon as it is due, even if the API is down.

    A repeated call is answered with the run that exists: 200, or 202 if that FAILED or CRASHED and runs again for a later try of its
    caller, or if it is over and a rerun of it is pending. It has ended again once its `sequence` is higher than in the answer;
    if the rerun is withdrawn, because the run is cancelled or deleted, `/flow-runs/ended` with `check` returns the previous end.
    """
    requested = _run_request(await read_document(request, NewFlowRun))
    found = await request_run(here, control(here), namespace, name, requested)
    return json_response(found.run, status=found.status)


class AwaitedRun(msgspec.Struct, forbid_unknown_fields=True):
    """A run whose end is awaited; one with a `sequence` of at most `after` does not count. Only runs with a `name` can be checked."""

    uid: Annotated[str, msgspec.Meta(max_length=63)]
    after: Annotated[int, msgspec.Meta(ge=-1, le=2**31 - 1)] = -1
    namespace: Annotated[str, msgspec.Meta(max_length=63, pattern=_NAME_OR_NONE)] = ""
    name: Annotated[str, msgspec.Meta(max_length=253, pattern=_NAME_OR_NONE)] = ""


class AwaitedRuns(msgspec.Struct, forbid_unknown_fields=True):
    """Up to 1,000 runs, and how many seconds to wait for the first end.

    `check` compares them with the cluster first, and finds runs whose awaited end will never come.
    """

    runs: Annotated[list[AwaitedRun], msgspec.Meta(max_length=1000)]
    wait: Annotated[float, msgspec.Meta(ge=0, le=30)] = 0
    check: bool = False


@router.post(
    "/flow-runs/ended",
    responses=documented_responses(EndedRuns, "malformed", "not-found"),
    openapi_extra=json_body(AwaitedRuns),
)
async def list_ended_runs(request: Request, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Those of up to 1,000 flow runs that are over; waits for the first one up to `wait` seconds.

    A run that left the cluster is over whatever its `sequence`. With `check` the same holds for a run that is over and will not run
    again; `gone` has the uids of runs that do not exist and whose end is not known.
    """
    body = await read_document(request, AwaitedRuns)
    runs = {canonical_uid(run.uid): run for run in body.runs}
    if body.check:
        places = {uid: (run.namespace, run.name) for uid, run in runs.items() if run.namespace and run.name}
        found = await check_runs(here, places)
        if found.items or found.gone:
            return json_response(found)
    return json_response(EndedRuns(await wait_for_ends(here, {uid: run.after for uid, run in runs.items()}, body.wait)))


def _run_request(new: NewFlowRun) -> RunRequest:
    try:
        scheduled = None if new.scheduled_time is None else to_utc(new.scheduled_time)
    except ValueError as error:
        raise Problem("malformed", f"scheduled_time: {error}", errors=[{"path": "scheduled_time", "message": str(error)}]) from error
    caller = new.called_by
    return RunRequest(
        new.parameters,
        new.name,
        scheduled,
        tuple(new.tags),
        new.resume_from,
        called_by=None if caller is None else _called_by(caller),
        call=caller.call if caller else "",
        called_in=f"{caller.attempt}.{caller.tries}" if caller else "",
        idempotency_key=new.idempotency_key,
        flow_run_name=new.flow_run_name,
        overrides=None if new.overrides is None else RunOverrides.model_validate(msgspec.to_builtins(new.overrides)),
    )


def _called_by(caller: Caller) -> CalledBy:
    return CalledBy(
        uid=caller.uid,
        name=caller.name,
        attempt=caller.attempt,
        flow_run=caller.flow_run,
        task_run=caller.task_run,
        detached=caller.detached,
    )
