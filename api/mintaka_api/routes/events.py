"""Events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.response_models import EventPage
from mintaka_api.routes.query_parameters import EventQuery
from mintaka_api.routes.responses import documented_responses, page_response
from mintaka_api.services import Here
from mintaka_history.queries import events as queries
from mintaka_history.timestamps import optional_microseconds

router = APIRouter(prefix=PREFIX, tags=["events"], dependencies=GUARDED)
EventQuery.key_types = queries.KEY_TYPES


@router.get("/events", responses=documented_responses(EventPage, "invalid-parameter", "invalid-cursor"))
async def list_events(query: Annotated[EventQuery, Query()], here: Here) -> Response:
    """Events, newest first."""
    wanted = queries.EventFilter(
        namespaces=tuple(dict.fromkeys(query.namespace)),
        resource=query.resource,
        flow_run=None if query.flow_run is None else str(query.flow_run),
        since=optional_microseconds(query.since),
        until=optional_microseconds(query.until),
    )
    return page_response(await here.database.page(queries.page, here.names, wanted, query.page()), query.question(), None)
