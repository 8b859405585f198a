"""`POST /api/v1/rules/dry-run`: from recorded decisions alone, on both databases; nothing is changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert

from api_testing import API, running
from mintaka_api.settings import Settings
from mintaka_history.enum_codes import STATE_CODES, NameKind, RunKind
from mintaka_history.tables import flow_run_transitions, flow_runs, names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

pytestmark = pytest.mark.anyio
CREATED = datetime(2026, 1, 1, tzinfo=UTC)
UID = "00000000-0000-4000-8000-000000000001"
SCHEDULED, PENDING, RUNNING = (STATE_CODES[name] for name in ("SCHEDULED", "PENDING", "RUNNING"))


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The API over the history of one run that started."""
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        created = int(CREATED.timestamp() * 1e6)
        kinds = ((1, NameKind.NAMESPACE, "team"), (2, NameKind.DEPLOYMENT, "etl"))
        run = {"no": 1, "uid": UID, "created": created, "ns": 1, "deployment": 2, "state": RUNNING, "kind": int(RunKind.DEPLOYED)}
        decisions = ((1, None, SCHEDULED), (2, SCHEDULED, PENDING), (3, PENDING, RUNNING))
        same = {"flow_run": 1, "attempt": 1, "verdict": "Accept"}
        with client.app.state.services.database.writing() as connection:  # type: ignore[attr-defined]
            connection.execute(insert(names), [{"id": n, "kind": int(kind), "value": text, "used": 1} for n, kind, text in kinds])
            connection.execute(insert(flow_runs), [{**run, "name": "run", "tags": '["nightly"]', "parameters": '{"region":"eu"}'}])
            rows = [same | {"at": created + n, "seq": n, "from_state": a, "to_state": b, "proposed": b} for n, a, b in decisions]
            connection.execute(insert(flow_run_transitions), rows)
        yield client


def rule(**spec: Any) -> dict[str, Any]:
    """A rule about starts."""
    spec = {"to": ["PENDING"], "then": {"wait": {"seconds": 60}}, **spec}
    return {
        "apiVersion": "mintaka.dev/v1alpha1",
        "kind": "OrchestrationRule",
        "metadata": {"name": "freeze", "namespace": "team"},
        "spec": spec,
    }


SINCE = {"since": "2026-01-01T00:00:00Z"}
#: The kind, the body, and what is answered: decisions, different, unknown, shown.
ANSWERS: list[tuple[str, dict[str, Any], tuple[int, int, int, int]]] = [
    ("a start that would have waited", SINCE | {"documents": [rule()]}, (3, 1, 0, 1)),
    ("only counted", SINCE | {"documents": [rule()], "limit": 0}, (3, 1, 0, 0)),
    ("parameters and tags", SINCE | {"documents": [rule(when="parameters.region == 'eu' && 'nightly' in tags")]}, (3, 1, 0, 1)),
    ("a condition that is false", SINCE | {"documents": [rule(when="attempt > 1")]}, (3, 0, 0, 0)),
    ("another deployment", SINCE | {"documents": [rule(selector={"deployments": ["load"]})]}, (3, 0, 0, 0)),
    ("a fact that is not recorded", SINCE | {"documents": [rule(when="'load' in live")]}, (3, 0, 1, 0)),
    ("another namespace", SINCE | {"documents": [rule()], "namespace": "other"}, (0, 0, 0, 0)),
    ("the run", SINCE | {"documents": [rule()], "run": UID}, (3, 1, 0, 1)),
    ("later runs", {"documents": [rule()], "since": "2026-01-02T00:00:00Z"}, (0, 0, 0, 0)),
]


@pytest.mark.parametrize(("kind", "body", "expected"), ANSWERS, ids=[row[0] for row in ANSWERS])
async def test_a_dry_run_answers(api: httpx.AsyncClient, kind: str, body: dict[str, Any], expected: tuple[int, int, int, int]) -> None:
    """The counts, and the differences up to the limit."""
    answer = await api.post(f"{API}/rules/dry-run", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["decisions"], found["different"], found["unknown"], len(found["items"])) == expected, kind
    for item in found["items"]:
        assert (item["name"], item["sequence"], item["recorded"]["verdict"]) == ("run", 2, "Accept")
        assert (item["instead"]["verdict"], item["instead"]["rule"]) == ("Wait", "orchestrationrule/freeze")


#: The kind, the body, the status, and what the message contains.
REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("no rules", {"documents": []}, 422, "documents"),
    ("another kind", {"documents": [{"kind": "FlowRun", "metadata": {"name": "a"}}]}, 422, "not 'FlowRun'"),
    ("a condition that does not compile", {"documents": [rule(when="attempts > 1")]}, 422, "line 1, column 1"),
    ("an unknown member", {"documents": [rule()], "sinc": "x"}, 422, "sinc"),
]


@pytest.mark.parametrize(("kind", "body", "status", "message"), REFUSED, ids=[row[0] for row in REFUSED])
async def test_a_wrong_request_is_refused(api: httpx.AsyncClient, kind: str, body: dict[str, Any], status: int, message: str) -> None:
    """The problem states what is wrong."""
    answer = await api.post(f"{API}/rules/dry-run", json=body)
    assert (answer.status_code, message in answer.text) == (status, True), f"{kind}: {answer.text}"
