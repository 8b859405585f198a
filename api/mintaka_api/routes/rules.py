"""Dry runs of orchestration rules."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from mintaka_api.documents import NAMESPACE
from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.problems import Problem
from mintaka_api.routes.documents import json_body, read_document
from mintaka_api.routes.query_parameters import NoQuery
from mintaka_api.routes.responses import documented_responses, json_response
from mintaka_api.services import Here, Services
from mintaka_history.history_responses import RuleDryRunAnswer

if TYPE_CHECKING:
    from mintaka_history.rule_dry_runs import Selection

router = APIRouter(prefix=PREFIX, tags=["rules"], dependencies=GUARDED)
#: One at a time: it reads more than any other request.
_ONE = asyncio.Semaphore(1)
_USUAL = timedelta(days=7)


class RuleDryRun(msgspec.Struct, forbid_unknown_fields=True):
    """Rules to try on recorded decisions about flow runs that were created at `since` or later (absent: seven days ago).

    A rule takes the place of the one with its kind, namespace and name. `namespace` and `run` (a uid) restrict the decisions.
    """

    documents: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1, max_length=200)]
    since: datetime | None = None
    namespace: str = ""
    run: str = ""
    limit: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 100


@router.post(
    "/rules/dry-run",
    responses=documented_responses(RuleDryRunAnswer, "invalid-parameter", "malformed", "invalid-document"),
    openapi_extra=json_body(RuleDryRun),
)
async def dry_run_rules(request: Request, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Which recorded decisions would have been different with these rules. Nothing is changed."""
    from mintaka_history.rule_dry_runs import Selection  # noqa: PLC0415 - start-up time: most processes never need it

    body = await read_document(request, RuleDryRun)
    since = body.since or datetime.now(UTC) - _USUAL
    since = since if since.tzinfo else since.replace(tzinfo=UTC)
    selection = Selection(since, body.namespace, body.run, body.limit)
    async with _ONE:
        return json_response(await asyncio.to_thread(_run, here, body.documents, selection))


def _run(here: Services, documents: list[dict[str, Any]], selection: Selection) -> RuleDryRunAnswer:
    from mintaka_history.rule_dry_runs import dry_run  # noqa: PLC0415 - as above
    from mintaka_validation.rule_documents import UnusableRule, rules_of  # noqa: PLC0415 - likewise
    from mintaka_validation.rule_expressions import RuleExpressions  # noqa: PLC0415 - likewise

    expressions = RuleExpressions()
    try:
        rules = rules_of(documents, expressions, selection.namespace or NAMESPACE)
    except UnusableRule as unusable:
        raise Problem("invalid-document", str(unusable)) from unusable
    return dry_run(here.database, here.names, rules, expressions, selection)
