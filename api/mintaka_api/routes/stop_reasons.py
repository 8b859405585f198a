"""Reports the reason to a process that is requested to stop."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.response_models import StopReasonAnswer
from mintaka_api.routes.query_parameters import Attempt, NoQuery
from mintaka_api.routes.responses import documented_responses, json_response, known_run
from mintaka_api.services import Here
from mintaka_core.states import CANCELLED, CANCELLING
from mintaka_core.stop_reasons import StopReason
from mintaka_history.queries import flow_runs

router = APIRouter(prefix=PREFIX, tags=["history"], dependencies=GUARDED)


@router.get(
    "/flow-runs/{uid}/attempts/{attempt}/stop-reason",
    responses=documented_responses(StopReasonAnswer, "invalid-parameter", "not-found", "refused-by-cluster", "cluster-away"),
)
async def get_stop_reason(uid: str, attempt: Attempt, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Why an attempt's process is requested to stop: its run's current state in the cluster, not in the mirror, which may be behind."""
    run = await known_run(here, uid)
    if here.runs is not None and not run.of_a_script and run.root is None:
        return json_response(StopReasonAnswer(await here.runs.stop_reason(run, attempt)))
    found = await here.database.read(flow_runs.one, here.names, run.uid)
    cancelled = found is not None and found.state.type in (CANCELLING, CANCELLED)
    return json_response(StopReasonAnswer(StopReason.CANCELLED if cancelled else StopReason.OUTSIDE))
