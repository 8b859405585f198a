"""Task runs: of one flow run, across flow runs, and as a graph."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.response_models import TaskRunPage
from mintaka_api.routes.query_parameters import AttemptQuery, TaskRunOfFlowRunQuery, TaskRunQuery, member_names
from mintaka_api.routes.responses import current_attempt, documented_responses, json_response, known_run, page_response
from mintaka_api.services import Here
from mintaka_history.queries import task_runs as queries
from mintaka_history.run_responses import GraphAnswer, TaskRunAnswer
from mintaka_history.timestamps import optional_microseconds

router = APIRouter(prefix=PREFIX, tags=["task runs"], dependencies=GUARDED)
_MEMBERS = TaskRunAnswer.__struct_encode_fields__
TaskRunQuery.key_types = queries.KEY_TYPES
TaskRunOfFlowRunQuery.key_types = queries.RUN_KEY_TYPES


@router.get("/flow-runs/{uid}/task-runs", responses=documented_responses(TaskRunPage, "invalid-parameter", "invalid-cursor", "not-found"))
async def list_task_runs_of_flow_run(uid: str, query: Annotated[TaskRunOfFlowRunQuery, Query()], here: Here) -> Response:
    """The task runs of one attempt of a flow run, in the order they were called."""
    fields = member_names(query.fields, _MEMBERS)
    page = query.page(uid)
    run = await known_run(here, uid)
    wanted = queries.TaskRunFilter(
        states=tuple(dict.fromkeys(query.state)),
        state_name=query.state_name,
        task=query.task,
        name=query.name,
        tags=tuple(dict.fromkeys(query.tag)),
    )
    attempt = current_attempt(run, query.attempt)
    part = await here.database.page(queries.page_of_run, here.names, run, attempt, wanted, query.order, page, fields)
    return page_response(part, query.question(uid), fields)


@router.get("/task-runs", responses=documented_responses(TaskRunPage, "invalid-parameter", "invalid-cursor"))
async def list_task_runs(query: Annotated[TaskRunQuery, Query()], here: Here) -> Response:
    """Task runs across flow runs, newest first."""
    fields = member_names(query.fields, _MEMBERS)
    wanted = queries.TaskRunFilter(
        namespaces=tuple(dict.fromkeys(query.namespace)),
        states=tuple(dict.fromkeys(query.state)),
        state_name=query.state_name,
        task=query.task,
        name=query.name,
        tags=tuple(dict.fromkeys(query.tag)),
        started_after=optional_microseconds(query.started_after),
        started_before=optional_microseconds(query.started_before),
    )
    part = await here.database.page(queries.page, here.names, wanted, query.order, query.page(), fields)
    return page_response(part, query.question(), fields)


@router.get("/flow-runs/{uid}/graph", responses=documented_responses(GraphAnswer, "invalid-parameter", "not-found"))
async def get_graph(uid: str, query: Annotated[AttemptQuery, Query()], here: Here) -> Response:
    """The task runs of one attempt and the data dependencies between them."""
    run = await known_run(here, uid)
    return json_response(await here.database.read(queries.graph, here.names, run, current_attempt(run, query.attempt)))
