"""Stores the log that the operator sends of a container before its pod is deleted."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.problems import Problem
from mintaka_api.routes.documents import json_body, read_document
from mintaka_api.routes.query_parameters import Attempt, NoQuery
from mintaka_api.routes.responses import documented_responses, known_run
from mintaka_api.services import Here
from mintaka_history.ingest import copy_container_log

router = APIRouter(prefix=PREFIX, tags=["history"], dependencies=GUARDED)

#: The maximum size of the body in bytes.
LIMIT_BYTES = 2 * 1024 * 1024
Container = Annotated[str, Path(max_length=63, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", description="The name of the container.")]


class ContainerLog(msgspec.Struct, forbid_unknown_fields=True):
    """The log of a container as the kubelet returns it with timestamps; `truncated` if its beginning is missing; `pod` is
    the pod's name.
    """

    text: str
    truncated: bool = False
    pod: Annotated[str, msgspec.Meta(max_length=253)] = ""


@router.put(
    "/flow-runs/{uid}/attempts/{attempt}/container-logs/{container}",
    status_code=204,
    responses=documented_responses(None, "invalid-parameter", "not-found", "too-large", "unsupported-encoding", "malformed", status=204),
    openapi_extra=json_body(ContainerLog),
)
async def put_container_log(
    uid: str, attempt: Attempt, container: Container, request: Request, _query: Annotated[NoQuery, Query()], here: Here
) -> Response:
    """Copy a container's log into its run's log, without the lines that the SDK delivered; a repeated request replaces the earlier copy."""
    run = await known_run(here, uid)
    if attempt > max(run.attempt, run.reported_attempt):
        raise Problem("not-found", f"flow run {run.name} has no attempt {attempt} yet: try again when it is mirrored")
    log = await read_document(request, ContainerLog, LIMIT_BYTES)
    origin = f"container {container}" + (f" of pod {log.pod}" if log.pod else "")
    added = await here.database.in_writer(
        copy_container_log, here.database, here.names, (run.no, attempt), container, log.text, truncated=log.truncated, origin=origin
    )
    here.metrics.ingested_rows.labels("logs").inc(added)
    return Response(status_code=204)
