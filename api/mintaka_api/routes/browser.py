"""Routes for browsers: the start page, and one-time codes with which the user opens a local server without typing a token."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import RedirectResponse, Response

from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.problems import Problem
from mintaka_api.response_models import LoginCodeAnswer
from mintaka_api.routes.query_parameters import NoQuery
from mintaka_api.routes.responses import documented_responses, json_response
from mintaka_api.services import Here

router = APIRouter(tags=["browser"], dependencies=GUARDED)


@router.get("/", include_in_schema=False)
async def open_start_page() -> Response:
    """There is no dashboard yet: the start page is the list of flow runs."""
    return RedirectResponse(f"{PREFIX}/flow-runs", status_code=303)


@router.post(f"{PREFIX}/login-codes", status_code=201, responses=documented_responses(LoginCodeAnswer, "not-found", status=201))
async def create_login_code(_query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Make a code that opens a local server in a browser, once, within a minute; the browser gets a session for it."""
    if here.login_codes is None:
        raise Problem("not-found", "this API has no sessions for browsers: only a local server (mintaka server start) has")
    return json_response(here.login_codes.create(), status=201)
