"""Whether the API lives and what of it is well; its metrics and its own description."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from mintaka_api.openapi import document
from mintaka_api.permissions import GUARDED
from mintaka_api.routes.answering import answer
from mintaka_api.services import Here
from mintaka_history.database import DatabaseAway
from mintaka_history.queries.health import answers

_VERSION = version("mintaka")
router = APIRouter(include_in_schema=False, dependencies=GUARDED)


@router.get("/healthz")
async def healthz() -> Response:
    """The process is alive, and of which version; nothing else is looked at."""
    return answer({"status": "ok", "version": _VERSION})


@router.get("/readyz")
async def readyz(here: Here) -> Response:
    """Each part and what ails it; 503 where one is ill."""
    parts = {"migrations": here.migration_problem or "ok", "database": "ok"}
    try:
        await here.database.read(answers)
    except DatabaseAway as away:
        parts["database"] = str(away)
    if here.mirror is not None:
        parts["mirror"] = here.mirror.problem() or "ok"
    ill = [name for name, problem in parts.items() if problem != "ok"]
    return answer({"status": "ill" if ill else "ok", "ill": ill, "parts": parts}, status=503 if ill else 200)


@router.get("/metrics")
async def metrics(here: Here) -> Response:
    """The metrics in Prometheus' text format."""
    if here.mirror is not None:
        here.mirror.observe()
    return Response(here.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


@router.get("/openapi.json")
async def openapi_document(request: Request) -> Response:
    """The description of the API."""
    return answer(document(request.app))
