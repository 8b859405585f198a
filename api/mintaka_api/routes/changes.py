"""The feed of changes: what to read again."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from mintaka_api.paging import decode_cursor, encode_cursor
from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.response_models import ChangesAnswer
from mintaka_api.routes.query_parameters import ChangesQuery
from mintaka_api.routes.responses import documented_responses, json_response
from mintaka_api.services import Here, Services
from mintaka_history.queries import changes as queries

router = APIRouter(prefix=PREFIX, tags=["changes"], dependencies=GUARDED)
_QUESTION = "changes"


@router.get("/changes", responses=documented_responses(ChangesAnswer, "invalid-parameter", "invalid-cursor"))
async def list_changes(query: Annotated[ChangesQuery, Query()], here: Here) -> Response:
    """The flow runs and flow deployments that changed after a position; without one, the current position.

    To follow a list: get the position, read the list, then repeatedly request what changed after the `next` of the last answer.
    """
    key = decode_cursor(_QUESTION, query.after, (int, int, int)).key
    if key is None:
        return _response(queries.Changes([], await here.database.read(queries.newest)))
    position = queries.Position(*key)
    found = await here.database.read(queries.after, here.names, position, query.limit)
    if query.wait and not found.items and not found.reset:
        found = await _wait_for_changes(here, found, query)
    return _response(found)


async def _wait_for_changes(here: Services, found: queries.Changes, query: ChangesQuery) -> queries.Changes:
    """What changes after `found` within the time to wait."""
    try:
        async with asyncio.timeout(query.wait), here.feed.subscribe() as subscription:
            while not found.items and not found.reset:
                # Read after subscribing, so that nothing is missed between the two.
                found = await here.database.read(queries.after, here.names, found.position, query.limit)
                if not found.items and not found.reset:
                    await subscription.next()
    except TimeoutError:
        pass
    return found


def _response(found: queries.Changes) -> Response:
    return json_response(ChangesAnswer(found.items, encode_cursor(_QUESTION, found.position) or "", found.more, found.reset))
