"""User intents for flow runs: cancel, suspend, resume, delete. They are written to Kubernetes; the operator acts on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from mintaka_api.intents import RunControl
from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.problems import Problem
from mintaka_api.response_models import IntentAnswer
from mintaka_api.routes.documents import json_body, read_document
from mintaka_api.routes.pauses import NewAnswer, settle
from mintaka_api.routes.query_parameters import NoQuery
from mintaka_api.routes.responses import documented_responses, json_response, known_run
from mintaka_api.services import Here, Services
from mintaka_history.queries import pauses, restarts

if TYPE_CHECKING:
    from mintaka_history.queries.flow_runs import RunKey

router = APIRouter(prefix=PREFIX, tags=["intents"], dependencies=GUARDED)
_INTENT_PROBLEMS = (
    "invalid-parameter",
    "not-found",
    "already-ended",
    "invalid-resource",
    "left-the-cluster",
    "of-a-script",
    "called",
    "refused-by-cluster",
    "cluster-away",
)


@router.post("/flow-runs/{uid}/cancel", status_code=202, responses=documented_responses(IntentAnswer, *_INTENT_PROBLEMS, status=202))
async def cancel_flow_run(uid: str, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Stop a flow run; it ends CANCELLED. Outside of clusters only suspended runs can be cancelled: the others are processes elsewhere."""
    run = await known_run(here, uid)
    if not (run.of_a_script and await here.database.write(restarts.cancel_suspended, run.uid)):
        await _control_of(here, run).cancel(run)
    return json_response(IntentAnswer(run.uid, run.namespace, run.name, "cancel"), status=202)


@router.post("/flow-runs/{uid}/suspend", status_code=202, responses=documented_responses(IntentAnswer, *_INTENT_PROBLEMS, status=202))
async def suspend_flow_run(uid: str, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Suspend a flow run; if it is running it is stopped and becomes PAUSED."""
    run = await known_run(here, uid)
    await _control_of(here, run).suspend(run)
    return json_response(IntentAnswer(run.uid, run.namespace, run.name, "suspend"), status=202)


@router.post(
    "/flow-runs/{uid}/resume",
    status_code=202,
    responses=documented_responses(IntentAnswer, *_INTENT_PROBLEMS, "not-paused", "conflict", "malformed", "invalid-input", status=202),
    openapi_extra=json_body(NewAnswer, required=False),
)
async def resume_flow_run(uid: str, request: Request, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Resume a run that waits or is suspended, or restart one that is over; the body has the input of one that waits."""
    run = await known_run(here, uid)
    _check_not_called(run)
    given = await read_document(request, NewAnswer)
    known = await here.database.read(pauses.of_run, run.uid)
    pause = next((one for one in known if one.open), None)
    if pause is None and given.input is not None:
        pause = next((one for one in reversed(known) if one.answered), None)
    if pause is not None:
        await settle(here, run, pause, given.input)
    elif given.input is not None:
        raise Problem("not-paused", f"flow run {run.namespace}/{run.name} waits for no input")
    elif run.of_a_script:  # the process that starts it claims its next attempt (routes/attempts.py)
        raise Problem("not-paused", f"flow run {run.namespace}/{run.name} waits for no input: it has continued already, or it is over")
    elif not await control(here).resume(run):
        raise Problem("not-paused", f"flow run {run.namespace}/{run.name} has already been requested to continue")
    return json_response(IntentAnswer(run.uid, run.namespace, run.name, "resume"), status=202)


@router.post(
    "/flow-runs/{uid}/rerun", status_code=202, responses=documented_responses(IntentAnswer, *_INTENT_PROBLEMS, "conflict", status=202)
)
async def rerun_flow_run(uid: str, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Run a flow run again that is over; one still in progress starts again when it ends. Finished tasks reuse their results."""
    run = await known_run(here, uid)
    await _control_of(here, run).rerun(run)
    return json_response(IntentAnswer(run.uid, run.namespace, run.name, "rerun"), status=202)


@router.delete(
    "/flow-runs/{uid}",
    status_code=202,
    responses=documented_responses(
        IntentAnswer, "invalid-parameter", "not-found", "left-the-cluster", "of-a-script", "called", "cluster-away", status=202
    ),
)
async def delete_flow_run(uid: str, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Delete a flow run from the cluster, stopping it if it is running; the database keeps its history."""
    run = await known_run(here, uid)
    await _control_of(here, run).delete(run)
    return json_response(IntentAnswer(run.uid, run.namespace, run.name, "delete"), status=202)


def control(here: Services) -> RunControl:
    """The port that controls runs. Raises a Problem if there is none."""
    if here.runs is None:
        raise Problem("cluster-away", "this API serves a database alone; it has no cluster")
    return here.runs


def _check_not_called(run: RunKey) -> None:
    """Refuse intents for a run that has no process of its own."""
    if run.root is not None:
        detail = f"flow run {run.namespace}/{run.name} was called in the process of flow run {run.root}: address that one"
        raise Problem("called", detail)


def _control_of(here: Services, run: RunKey) -> RunControl:
    _check_not_called(run)
    if run.of_a_script:
        detail = f"flow run {run.namespace}/{run.name} belongs to a script and was never in a cluster: end its process where it was started"
        raise Problem("of-a-script", detail)
    return control(here)
