"""Flow deployments: list and look up."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.problems import Problem
from mintaka_api.queries import deployment_history
from mintaka_api.queries import flow_deployments as queries
from mintaka_api.response_models import FlowDeploymentAnswer, FlowDeploymentPage, VersionPage
from mintaka_api.routes.query_parameters import FlowDeploymentQuery, NoQuery, Text, VersionQuery, member_names
from mintaka_api.routes.responses import documented_responses, json_response, page_response
from mintaka_api.services import Here

router = APIRouter(prefix=PREFIX, tags=["flow deployments"], dependencies=GUARDED)
_MEMBERS = FlowDeploymentAnswer.__struct_encode_fields__
FlowDeploymentQuery.key_types = queries.KEY_TYPES
VersionQuery.key_types = {"created": deployment_history.VERSION_KEY_TYPES}


@router.get("/flow-deployments", responses=documented_responses(FlowDeploymentPage, "invalid-parameter"))
async def list_flow_deployments(query: Annotated[FlowDeploymentQuery, Query()], here: Here) -> Response:
    """The flow deployments in the cluster, by name."""
    fields = member_names(query.fields, _MEMBERS)
    wanted = queries.FlowDeploymentFilter(tuple(dict.fromkeys(query.namespace)), query.name, tuple(query.tag))
    part = await here.database.page(queries.page, here.names, wanted, query.order, query.page(), fields)
    return page_response(part, query.question(), fields)


@router.get("/flow-deployments/{namespace}/{name}", responses=documented_responses(FlowDeploymentAnswer, "invalid-parameter", "not-found"))
async def get_flow_deployment(namespace: Text, name: Text, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """One flow deployment; one that was deleted is still found by its name."""
    found = await here.database.read(queries.one, here.names, namespace, name)
    if found is None:
        raise Problem("not-found", f"there is no flow deployment {namespace}/{name}")
    return json_response(found)


@router.get(
    "/flow-deployments/{namespace}/{name}/versions",
    responses=documented_responses(VersionPage, "invalid-parameter", "invalid-cursor", "not-found"),
)
async def list_versions(namespace: Text, name: Text, query: Annotated[VersionQuery, Query()], here: Here) -> Response:
    """The versions of a flow deployment that runs have used, newest first."""
    page = query.page(namespace, name)
    part = await here.database.page(deployment_history.versions, here.names, namespace, name, page)
    if part is None:
        raise Problem("not-found", f"there is no flow deployment {namespace}/{name}")
    return page_response(part, query.question(namespace, name), None)
