"""Flow runs: list and look up, with their transitions, artifacts and logs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.problems import Problem
from mintaka_api.response_models import ArtifactPage, FlowRunPage, LogPage, TransitionPage
from mintaka_api.routes.query_parameters import ArtifactQuery, FlowRunQuery, LogQuery, NoQuery, Text, TransitionQuery, member_names
from mintaka_api.routes.responses import canonical_uid, current_attempt, documented_responses, json_response, known_run, page_response
from mintaka_api.services import Here
from mintaka_history.queries import artifacts, logs
from mintaka_history.queries import flow_runs as queries
from mintaka_history.response_models import FlowRunAnswer
from mintaka_history.timestamps import optional_microseconds

router = APIRouter(prefix=PREFIX, tags=["flow runs"], dependencies=GUARDED)
_MEMBERS = FlowRunAnswer.__struct_encode_fields__
FlowRunQuery.key_types = queries.KEY_TYPES
LogQuery.key_types = {"": logs.KEY_TYPES}
TransitionQuery.key_types = {"": (int,)}
ArtifactQuery.key_types = {"": artifacts.KEY_TYPES}


@router.get("/flow-runs", responses=documented_responses(FlowRunPage, "invalid-parameter", "invalid-cursor"))
async def list_flow_runs(query: Annotated[FlowRunQuery, Query()], here: Here) -> Response:
    """Flow runs, newest first, including those that have left the cluster."""
    fields = member_names(query.fields, _MEMBERS)
    wanted = queries.FlowRunFilter(
        namespaces=tuple(dict.fromkeys(query.namespace)),
        deployment=query.deployment,
        states=tuple(dict.fromkeys(query.state)),
        state_name=query.state_name,
        name=query.name,
        tags=tuple(dict.fromkeys(query.tag)),
        created_after=optional_microseconds(query.created_after),
        created_before=optional_microseconds(query.created_before),
    )
    part = await here.database.page(queries.page, here.names, wanted, query.order, query.page(), fields)
    return page_response(part, query.question(), fields)


@router.get("/flow-runs/{uid}", responses=documented_responses(FlowRunAnswer, "invalid-parameter", "not-found"))
async def get_flow_run(uid: str, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """One flow run."""
    found = await here.database.read(queries.one, here.names, canonical_uid(uid))
    if found is None:
        raise Problem("not-found", f"there is no flow run with uid {uid}")
    return json_response(found)


@router.get("/namespaces/{namespace}/flow-runs/{name}", responses=documented_responses(FlowRunAnswer, "invalid-parameter", "not-found"))
async def get_flow_run_by_name(namespace: Text, name: Text, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """The newest flow run of this name, even if it was deleted."""
    found = await here.database.read(queries.newest, here.names, namespace, name)
    if found is None:
        raise Problem("not-found", f"there is no flow run {namespace}/{name}")
    return json_response(found)


@router.get(
    "/flow-runs/{uid}/transitions", responses=documented_responses(TransitionPage, "invalid-parameter", "invalid-cursor", "not-found")
)
async def list_transitions(uid: str, query: Annotated[TransitionQuery, Query()], here: Here) -> Response:
    """The transitions of a flow run and the decisions behind them, oldest first."""
    page = query.page(uid)
    run = await known_run(here, uid)
    return page_response(await here.database.page(queries.transitions, run.no, page), query.question(uid), None)


@router.get("/flow-runs/{uid}/logs", responses=documented_responses(LogPage, "invalid-parameter", "invalid-cursor", "not-found"))
async def list_logs(uid: str, query: Annotated[LogQuery, Query()], here: Here) -> Response:
    """The log of one attempt, oldest line first."""
    page = query.page(uid)
    run = await known_run(here, uid)
    attempt = current_attempt(run, query.attempt)
    part = await here.database.page(logs.page, here.names, run, attempt, page, level=query.level, after=query.after)
    return page_response(part, query.question(uid), None)


@router.get("/flow-runs/{uid}/artifacts", responses=documented_responses(ArtifactPage, "invalid-parameter", "invalid-cursor", "not-found"))
async def list_artifacts(uid: str, query: Annotated[ArtifactQuery, Query()], here: Here) -> Response:
    """The artifacts of a flow run for people to see, oldest first, each in its newest version."""
    page = query.page(uid)
    run = await known_run(here, uid)
    return page_response(await here.database.page(artifacts.page, run, page), query.question(uid), None)
