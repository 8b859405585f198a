"""Claims the next attempt of a script's run for the calling process; of two concurrent callers, one is refused."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.problems import Problem
from mintaka_api.routes.documents import json_body, read_document
from mintaka_api.routes.query_parameters import NoQuery
from mintaka_api.routes.responses import canonical_uid, documented_responses, json_response
from mintaka_api.services import Here
from mintaka_history.enum_codes import shown_state
from mintaka_history.queries import restarts
from mintaka_history.run_responses import AttemptAnswer
from mintaka_history.writing.restarts import NotClaimable

router = APIRouter(prefix=PREFIX, tags=["history"], dependencies=GUARDED)


class NewAttempt(msgspec.Struct, forbid_unknown_fields=True):
    """The next attempt of a run; `died` is an attempt whose process the caller knows to be dead before the API can detect it."""

    died: Annotated[int, msgspec.Meta(ge=1, le=2**15 - 1)] | None = None


@router.post(
    "/flow-runs/{uid}/attempts",
    status_code=201,
    responses=documented_responses(AttemptAnswer, "invalid-parameter", "not-found", "not-paused", "too-large", "malformed", status=201),
    openapi_extra=json_body(NewAttempt, required=False),
)
async def begin_attempt(uid: str, request: Request, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Begin the next attempt of a run outside of clusters that is over or suspended; `mintaka resume` calls it, then runs the flow."""
    number = canonical_uid(uid)
    new = await read_document(request, NewAttempt)
    claimed = await here.database.write(restarts.claim, number, new.died)
    if claimed is None:
        raise Problem("not-found", f"there is no flow run with uid {uid} outside of clusters")
    if isinstance(claimed, NotClaimable):
        state = shown_state(claimed.state)
        raise Problem("not-paused", f"flow run {number} is {state}, in attempt {claimed.attempt}: it goes on already")
    return json_response(AttemptAnswer(number, claimed.name, claimed.attempt, claimed.transitions), status=201)
