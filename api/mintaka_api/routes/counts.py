"""Counts of flow runs, and the values by which they can be filtered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.problems import Problem
from mintaka_api.response_models import CountsAnswer, FacetAnswer, HistogramAnswer
from mintaka_api.routes.query_parameters import CountQuery, FacetQuery, HistogramQuery, WindowQuery
from mintaka_api.routes.responses import documented_responses, json_response
from mintaka_api.services import Here
from mintaka_history.enum_codes import NameKind
from mintaka_history.queries import counts as queries
from mintaka_history.queries import names
from mintaka_history.timestamps import from_microseconds, now_microseconds, to_microseconds

if TYPE_CHECKING:
    from datetime import datetime

router = APIRouter(prefix=PREFIX, tags=["flow runs"], dependencies=GUARDED)
#: The longest window and the one that is shown without `since`, in hours.
_LONGEST, _USUAL = 366 * 24, 24
_FACETS = 50
_KINDS = {"namespace": NameKind.NAMESPACE, "deployment": NameKind.DEPLOYMENT, "tag": NameKind.TAG, "task": NameKind.TASK}


@router.get("/flow-runs/histogram", responses=documented_responses(HistogramAnswer, "invalid-parameter"))
async def get_histogram(query: Annotated[HistogramQuery, Query()], here: Here) -> Response:
    """How many flow runs were created over time, by state. Whole hours are counted; the answer says which."""
    wanted = _window(query)
    buckets = await here.database.page(queries.histogram, here.names, wanted, query.buckets)
    return json_response(HistogramAnswer(_instant(wanted.first), _instant(wanted.end), buckets))


@router.get("/flow-runs/counts", responses=documented_responses(CountsAnswer, "invalid-parameter"))
async def get_counts(query: Annotated[CountQuery, Query()], here: Here) -> Response:
    """How many flow runs were created, by state, and by namespace or deployment. Whole hours are counted; the answer says which."""
    wanted = _window(query)
    items, truncated = await here.database.page(queries.counts, here.names, wanted, query.by)
    return json_response(CountsAnswer(_instant(wanted.first), _instant(wanted.end), items, truncated))


@router.get("/flow-runs/facets", responses=documented_responses(FacetAnswer, "invalid-parameter"))
async def get_facets(query: Annotated[FacetQuery, Query()], here: Here) -> Response:
    """Namespaces, deployments, tags or tasks whose names begin so, by name."""
    found = await here.database.read(names.beginning_with, _KINDS[query.field], query.q, _FACETS + 1)
    return json_response(FacetAnswer(found[:_FACETS], len(found) > _FACETS))


def _window(query: WindowQuery) -> queries.CountFilter:
    """The hours of which the window has a part."""
    until = now_microseconds() if query.until is None else to_microseconds(query.until)
    end = -(-max(0, until) // queries.HOUR_MICROSECONDS)
    first = end - _USUAL if query.since is None else max(0, to_microseconds(query.since)) // queries.HOUR_MICROSECONDS
    if not 0 < end - first <= _LONGEST:
        raise Problem(
            "invalid-parameter",
            "since: it must be before until, and by at most 366 days",
            errors=[{"path": "since", "message": "the window is empty or too long"}],
        )
    return queries.CountFilter(first, end, tuple(dict.fromkeys(query.namespace)), query.deployment)


def _instant(hour: int) -> datetime:
    return from_microseconds(hour * queries.HOUR_MICROSECONDS)
