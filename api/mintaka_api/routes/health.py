"""Liveness, readiness, metrics and the OpenAPI document."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from mintaka_api import openapi
from mintaka_api.background_tasks import Part
from mintaka_api.permissions import GUARDED
from mintaka_api.routes.responses import json_response
from mintaka_api.services import Here
from mintaka_history.database import DatabaseAway
from mintaka_history.queries.health import answers

_VERSION = version("mintaka")
router = APIRouter(include_in_schema=False, dependencies=GUARDED)


@router.get("/healthz")
async def healthz() -> Response:
    """The process is alive, and its version; nothing else is checked."""
    return json_response({"status": "ok", "version": _VERSION})


@router.get("/readyz")
async def readyz(here: Here) -> Response:
    """Each part and what is wrong with it; 503 if requests cannot be answered.

    Requests need the database and its schema. Without the other parts the API is `degraded` but ready: it answers from the
    database, and flow pods deliver their history.
    """
    database = Part("database", required=True)
    try:
        await here.database.read(answers)
    except DatabaseAway as away:
        database.problem = str(away)
    migrations, *others = here.current_parts()
    parts = [migrations, database, *others]
    ill = [part for part in parts if part.problem]
    ready = not any(part.required for part in ill)
    document = {
        "status": "ok" if not ill else "degraded" if ready else "ill",
        "ill": [part.name for part in ill],
        "parts": {part.name: part.problem or part.note or "ok" for part in parts},
    }
    return json_response(document, status=200 if ready else 503)


@router.get("/metrics")
async def metrics(here: Here) -> Response:
    """The metrics in the Prometheus text format."""
    if here.mirror is not None:
        here.mirror.observe()
    for part in here.current_parts():
        here.metrics.part_unhealthy.labels(part.name).set(bool(part.problem))
    return Response(here.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


@router.get("/openapi.json")
async def openapi_document(request: Request) -> Response:
    """The OpenAPI document of the API."""
    return json_response(openapi.document(request.app))
