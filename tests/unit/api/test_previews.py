"""`mintaka plan` at a local server: what the routes of documents answer to dry runs, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.support.memory_documents import MemoryDocuments

from mintaka.cli.plan import exit_code, with_users
from mintaka.cli.server_place import errors_by_document
from mintaka.cli.server_preview import ServerPreview
from mintaka.recording.remote_history import RemoteHistory
from mintaka_api import document_problems
from mintaka_api.app import create_app
from mintaka_api.request_bodies import Intake
from mintaka_api.settings import Settings
from mintaka_core.planning import plan_object

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Stand:
    """The services that these routes use."""

    def __init__(self) -> None:
        self.documents = MemoryDocuments()
        self.intake = Intake()


class App(httpx.BaseTransport):
    """Requests of a client that blocks, to an app in this process."""

    def __init__(self, app: Any) -> None:
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """In a loop of its own."""

        async def answered() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport) as client:
                return await client.request(request.method, request.url, content=request.read(), headers=request.headers)

        answer = asyncio.run(answered())
        return httpx.Response(answer.status_code, headers={"content-type": answer.headers["content-type"]}, content=answer.content)


class History(RemoteHistory):
    """The history of that server, with one unfinished run of every deployment."""

    def pages(self, path: str, query: Any, limit: int | None = None) -> Iterator[dict[str, Any]]:
        assert (path, limit) == ("/flow-runs", 200)
        assert "RUNNING" in query["state"]
        assert "FAILED" not in query["state"]
        state = {"type": "RUNNING", "reason": ""}
        yield {"name": f"{query['deployment']}-a", "state": state, "attempt": 1, "revision": f"{query['deployment']}-1"}


@pytest.fixture
def history() -> Iterator[History]:
    """The app with an empty store."""
    app = create_app(Settings(database_url="sqlite://", mirror=False))
    document_problems.install(app)
    app.state.services = Stand()
    with History("http://api", httpx.Client(transport=App(app))) as history:
        yield history


def document(kind: str, name: str = "etl", **fields: Any) -> dict[str, Any]:
    """A document in the namespace of scripts; `name` "" has it generated."""
    version = "v1" if kind == "ConfigMap" else "mintaka.dev/v1alpha1"
    metadata = {"name": name, "namespace": "local"} if name else {"generateName": "etl-", "namespace": "local"}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}


DEPLOYMENT = document("FlowDeployment", spec={"entrypoint": "etl.py:main", "image": "etl:1"})
OTHER = document("FlowDeployment", spec={"entrypoint": "etl.py:main", "image": "etl:2"})
SECRET_SCHEMA = {"properties": {"password": {"type": "string", "format": "password"}}}
WRONG = document("FlowDeployment", "wrong", spec={"entrypoint": "etl.py:main", "history": {"limit": -1}})
RUN = document("FlowRun", "", spec={"deployment": "etl"})
CODE = document("ConfigMap", "code", data={"etl.py": "a"})
FROM_CODE = document("FlowDeployment", spec={"entrypoint": "etl.py:main", "source": {"configMap": {"name": "code"}}})


def secret(value: str) -> dict[str, Any]:
    """A deployment with a secret parameter."""
    return document(
        "FlowDeployment", spec={"entrypoint": "etl.py:main", "parameterSchema": SECRET_SCHEMA, "parameters": {"password": value}}
    )


#: The kind, what is stored, what is planned, the actions with what they mean, and the exit code.
PLANS: list[tuple[str, list[Any], list[Any], list[tuple[str, str, str]], int]] = [
    ("a new deployment", [], [DEPLOYMENT], [("created", "etl", "")], 2),
    ("the same deployment", [DEPLOYMENT], [DEPLOYMENT], [("unchanged", "etl", "")], 0),
    ("another image", [DEPLOYMENT], [OTHER], [("changed", "etl", "spec.image; etl-a keeps etl-1")], 2),
    ("one that is not valid hides no other", [DEPLOYMENT], [WRONG, OTHER], [("refused", "wrong", "history.limit"), ("changed", "etl", "spec.image; etl-a keeps etl-1")], 1),
    ("all that are not valid are named", [], [WRONG, document("Service", "s"), WRONG], [("refused", "wrong", "history.limit"), ("refused", "s", "use one of FlowDeployment"), ("refused", "wrong", "history.limit")], 1),
    ("a run under a generated name", [DEPLOYMENT], [RUN], [("created", "etl-", "")], 2),
    ("a run that is not valid", [DEPLOYMENT], [document("FlowRun", "", spec={"reruns": -1})], [("refused", "etl-", "reruns")], 1),
    ("a source changes, and its deployment does not", [CODE, FROM_CODE], [{**CODE, "data": {"etl.py": "b"}}, FROM_CODE], [("changed", "code", 'data["etl.py"]; it is the source of etl: unfinished runs keep the old version'), ("unchanged", "etl", "")], 2),
    ("a secret value changes and is not shown", [secret("hush")], [secret("pst")], [("changed", "etl", "; a secret value changes; etl-a keeps etl-1")], 2),
]  # fmt: skip


@pytest.mark.parametrize(("stored", "planned", "expected", "code"), [pytest.param(*plan, id=kind) for kind, *plan in PLANS])
def test_what_would_become_of_documents(
    history: History, stored: list[Any], planned: list[Any], expected: list[tuple[str, str, str]], code: int
) -> None:
    """Nothing is stored, and no secret is shown."""
    if stored:
        history.request("PUT", "/documents", {"documents": stored})
    before = [history.request("GET", f"/documents/{kind}") for kind in ("FlowDeployment", "FlowRun", "ConfigMap")]
    candidates = with_users(ServerPreview(history, errors_by_document).candidates(planned))
    plans = [plan_object(candidate, NOW) for candidate in candidates]
    assert [(plan.action, plan.name) for plan in plans] == [(action, name) for action, name, _ in expected]
    for plan, (action, _, meaning) in zip(plans, expected, strict=True):
        kept = [f"{run.name} keeps {run.revision}" for run in plan.keep_version]
        found = "; ".join([", ".join(change.path for change in plan.changes), *plan.notes, *kept]) if action == "changed" else plan.message
        assert found == meaning if action != "refused" else meaning in found
    assert exit_code(plans) == code
    assert "hush" not in (shown := json.dumps([plan.to_document() for plan in plans]))
    assert "pst" not in shown
    assert [history.request("GET", f"/documents/{kind}") for kind in ("FlowDeployment", "FlowRun", "ConfigMap")] == before
