"""Flow runs: list and look up, with their transitions, artifacts and logs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.problems import Problem
from mintaka_api.response_models import ArtifactPage, FlowRunPage, LogPage, RunAttemptPage, TransitionPage
from mintaka_api.routes.query_parameters import (
    ArtifactQuery,
    FlowRunQuery,
    LogQuery,
    NoQuery,
    RunAttemptQuery,
    Text,
    TransitionQuery,
    member_names,
)
from mintaka_api.routes.responses import canonical_uid, current_attempt, documented_responses, json_response, known_run, page_response
from mintaka_api.services import Here
from mintaka_history.enum_codes import RunKind
from mintaka_history.queries import artifacts, attempts, logs
from mintaka_history.queries import flow_runs as queries
from mintaka_history.queries.flow_run_filters import FlowRunFilter
from mintaka_history.run_responses import FlowRunAnswer
from mintaka_history.timestamps import optional_microseconds

router = APIRouter(prefix=PREFIX, tags=["flow runs"], dependencies=GUARDED)
_MEMBERS = FlowRunAnswer.__struct_encode_fields__
FlowRunQuery.key_types = queries.KEY_TYPES
LogQuery.key_types = {"seq": logs.KEY_TYPES}
RunAttemptQuery.key_types = {"": attempts.KEY_TYPES}
TransitionQuery.key_types = {"": (int,)}
ArtifactQuery.key_types = {"": artifacts.KEY_TYPES}


@router.get("/flow-runs", responses=documented_responses(FlowRunPage, "invalid-parameter", "invalid-cursor"))
async def list_flow_runs(query: Annotated[FlowRunQuery, Query()], here: Here) -> Response:
    """Flow runs, newest first, including those that have left the cluster."""
    fields = member_names(query.fields, _MEMBERS)
    wanted = FlowRunFilter(
        namespaces=tuple(dict.fromkeys(query.namespace)),
        deployment=query.deployment,
        states=tuple(dict.fromkeys(query.state)),
        state_name=query.state_name,
        name=query.name,
        tags=tuple(dict.fromkeys(query.tag)),
        created_after=optional_microseconds(query.created_after),
        created_before=optional_microseconds(query.created_before),
        alive_after=optional_microseconds(query.alive_after),
        alive_before=optional_microseconds(query.alive_before),
        not_namespaces=tuple(dict.fromkeys(query.not_namespace)),
        not_deployments=tuple(dict.fromkeys(query.not_deployment)),
        not_states=tuple(dict.fromkeys(query.not_state)),
        not_tags=tuple(dict.fromkeys(query.not_tag)),
        parent=None if query.parent in (None, "any") else str(query.parent),
        root=None if query.root is None else str(query.root),
        any_parent=query.parent == "any",
        kinds=tuple(RunKind[kind.upper()] for kind in dict.fromkeys(query.kind)),
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
    """The decisions about a flow run, oldest first: what was proposed, what the rules said, and what became of it."""
    page = query.page(uid)
    run = await known_run(here, uid)
    part = await here.database.page(queries.transitions, run.no, page, changed=query.changed)
    return page_response(part, query.question(uid), None)


@router.get("/flow-runs/{uid}/attempts", responses=documented_responses(RunAttemptPage, "invalid-parameter", "invalid-cursor", "not-found"))
async def list_attempts(uid: str, query: Annotated[RunAttemptQuery, Query()], here: Here) -> Response:
    """The attempts of a flow run: their pods, and how they ended."""
    page = query.page(uid)
    run = await known_run(here, uid)
    return page_response(await here.database.page(attempts.page, run.no, page), query.question(uid), None)


@router.get("/flow-runs/{uid}/logs", responses=documented_responses(LogPage, "invalid-parameter", "invalid-cursor", "not-found"))
async def list_logs(uid: str, query: Annotated[LogQuery, Query()], here: Here) -> Response:
    """The log of one attempt, oldest line first, or only what a search finds in it.

    A search takes at most 2 seconds: with `partial`, it continues with the cursor.
    """
    page = query.page(uid)
    if query.around is not None and (query.q or query.level or query.tail):
        raise Problem("invalid-parameter", "around: not together with q, level or tail", errors=[{"path": "around", "message": "alone"}])
    run = await known_run(here, uid)
    attempt = current_attempt(run, query.attempt)
    wanted = logs.LogFilter(query.level, query.after, query.before, query.q, query.match_case)
    if query.around is not None and query.cursor is None:
        part = await here.database.page(logs.around, here.names, run, attempt, query.around, page, wanted)
    else:
        part = await here.database.page(logs.page, here.names, run, attempt, page, wanted)
    return page_response(part, query.question(uid), None)


@router.get("/flow-runs/{uid}/artifacts", responses=documented_responses(ArtifactPage, "invalid-parameter", "invalid-cursor", "not-found"))
async def list_artifacts(uid: str, query: Annotated[ArtifactQuery, Query()], here: Here) -> Response:
    """The artifacts of a flow run for people to see, oldest first, each in its newest version."""
    page = query.page(uid)
    run = await known_run(here, uid)
    return page_response(await here.database.page(artifacts.page, run, page), query.question(uid), None)
