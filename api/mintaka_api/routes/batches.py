"""Receives the history that flow pods send."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from mintaka_api.examples import EXAMPLES
from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.problems import Problem
from mintaka_api.response_models import ReportAnswer
from mintaka_api.routes.query_parameters import ReportQuery
from mintaka_api.routes.responses import canonical_uid, documented_responses, json_response
from mintaka_api.services import Here, Services
from mintaka_core.wire_versions import OLDEST_WIRE_VERSION, WIRE_VERSION
from mintaka_history.batch_errors import MalformedBatch, OversizedBatch, UnservedVersion
from mintaka_history.batch_rows import StaleAttempt, UnknownAttempt
from mintaka_history.batches import HistoryBatch, decode
from mintaka_history.ingest import store_batch

router = APIRouter(prefix=PREFIX, tags=["history"], dependencies=GUARDED)
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "At most 4 MiB unpacked and 5,000 task runs, log lines, artifacts and events; `Content-Encoding: gzip` is welcome.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/HistoryBatch"}, "example": EXAMPLES["HistoryBatch"]}},
    }
}


@router.post(
    "/flow-runs/{uid}/reports",
    responses=documented_responses(
        ReportAnswer,
        "invalid-parameter",
        "too-slow",
        "stale-attempt",
        "unknown-attempt",
        "too-large",
        "unsupported-encoding",
        "malformed",
        "unserved-version",
        "overloaded",
    ),
    openapi_extra=_BODY,
)
async def store_history(uid: str, request: Request, query: Annotated[ReportQuery, Query()], here: Here) -> Response:
    """Store a part of an attempt's history; answers once it is committed. Safe to repeat."""
    try:
        number = canonical_uid(uid)
        async with here.intake.body(request) as body:
            report, previous = await here.database.in_writer(_store, here, number, body, late=query.late)
    except Problem as problem:
        here.metrics.refused_reports.labels(problem.name).inc()
        raise
    here.metrics.ingested_reports.inc()
    here.metrics.ingested_rows.labels("task_runs").inc(len(report.tasks))
    here.metrics.ingested_rows.labels("logs").inc(len(report.logs))
    return json_response(ReportAnswer(report.report, previous))


def _store(here: Services, uid: str, body: bytes, *, late: bool) -> tuple[HistoryBatch, int | None]:
    try:
        report = decode(body)
        previous = store_batch(here.database, here.names, uid, report, late=late, mirroring=here.mirror is not None)
    except UnservedVersion as unserved:
        raise Problem(
            "unserved-version", str(unserved), version=unserved.version, oldest=OLDEST_WIRE_VERSION, newest=WIRE_VERSION
        ) from unserved
    except StaleAttempt as stale:
        raise Problem("stale-attempt", str(stale), attempt=stale.current) from stale
    except UnknownAttempt as unknown:
        raise Problem("unknown-attempt", str(unknown), attempt=unknown.current) from unknown
    except MalformedBatch as malformed:
        raise Problem("malformed", str(malformed), errors=[{"path": malformed.place, "message": malformed.problem}]) from malformed
    except OversizedBatch as oversized:
        raise Problem("too-large", str(oversized)) from oversized
    return report, previous
