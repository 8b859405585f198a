"""Explanations of flow runs: with the sentences of the rules, from history alone, so also for runs that have left the cluster."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.problems import Problem
from mintaka_api.queries import flow_deployments
from mintaka_api.response_models import ExplanationAnswer
from mintaka_api.routes.query_parameters import NoQuery
from mintaka_api.routes.responses import canonical_uid, documented_responses, json_response
from mintaka_api.services import Here
from mintaka_core.explaining import explain
from mintaka_core.explanation_facts import DeploymentFacts, facts_of_document
from mintaka_core.resources.runs import TRANSITIONS_KEPT
from mintaka_history.queries import flow_runs, pauses

if TYPE_CHECKING:
    from mintaka_api.services import Services
    from mintaka_history.run_responses import FlowRunAnswer

_MAY_WAIT = frozenset({"RUNNING", "PAUSED"})
router = APIRouter(prefix=PREFIX, tags=["flow runs"], dependencies=GUARDED)


@router.get("/flow-runs/{uid}/explain", responses=documented_responses(ExplanationAnswer, "invalid-parameter", "not-found"))
async def explain_flow_run(uid: str, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Why a flow run is where it is, what happens next, and what would change it."""
    found = await here.database.read(flow_runs.with_latest_transitions, here.names, canonical_uid(uid), TRANSITIONS_KEPT)
    if found is None:
        raise Problem("not-found", f"there is no flow run with uid {uid}")
    run, transitions = found
    waits = await here.database.read(pauses.open_of_run, run.uid) if run.state.type in _MAY_WAIT else []
    facts = facts_of_document(_builtins(run), [_builtins(each) for each in transitions], [_builtins(each) for each in waits])
    now = datetime.now(UTC)
    explanation = explain(facts, await _deployment(here, run), now)
    return json_response(
        ExplanationAnswer(run.uid, run.namespace, run.name, now, explanation.reason, explanation.why, explanation.next, explanation.remedy)
    )


async def _deployment(here: Services, run: FlowRunAnswer) -> DeploymentFacts | None:
    """The deployment of a run that waits."""
    if run.state.type != "SCHEDULED" or run.deployment is None:
        return None
    found = await here.database.read(flow_deployments.one, here.names, run.namespace, run.deployment)
    return DeploymentFacts(found.name, suspended=found.suspend) if found else None


def _builtins(answer: msgspec.Struct) -> Any:
    return msgspec.to_builtins(answer, builtin_types=(datetime,))
