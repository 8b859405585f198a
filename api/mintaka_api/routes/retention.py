"""Retention: what would be deleted now."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.routes.query_parameters import RetentionQuery
from mintaka_api.routes.responses import documented_responses, json_response
from mintaka_api.services import Here
from mintaka_history.history_responses import RetentionAnswer
from mintaka_history.maintenance.dry_run import dry_run

router = APIRouter(prefix=PREFIX, tags=["retention"], dependencies=GUARDED)
#: One at a time: it reads more than any other request.
_ONE = asyncio.Semaphore(1)


@router.get("/retention", responses=documented_responses(RetentionAnswer, "invalid-parameter"))
async def get_retention(query: Annotated[RetentionQuery, Query()], here: Here) -> Response:
    """What retention would delete now under the API's settings, or with another general limit: a dry run. It deletes nothing."""
    policy = here.retention if query.days is None else here.retention.with_days(query.days)
    async with _ONE:
        return json_response(await asyncio.to_thread(dry_run, here.database, policy))
