"""The routes of documents: which documents are stored, which are refused and with which errors, and which values are masked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.support.memory_documents import MemoryDocuments

from mintaka_api import document_problems
from mintaka_api.app import create_app
from mintaka_api.request_bodies import Intake
from mintaka_api.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio
API = "/api/v1/documents"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """The app with an empty store, without a socket and without its background tasks."""
    app = create_app(Settings(database_url="sqlite://", mirror=False))
    document_problems.install(app)
    app.state.services = Stand(MemoryDocuments())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://api") as client:
        client.store = app.state.services.documents  # type: ignore[attr-defined]
        yield client


class Stand:
    """The services that these routes use."""

    def __init__(self, documents: MemoryDocuments | None) -> None:
        self.documents = documents
        self.intake = Intake()


def deployment(name: str = "nightly", **spec: Any) -> dict[str, Any]:
    """A FlowDeployment."""
    return {
        "apiVersion": "mintaka.dev/v1alpha1",
        "kind": "FlowDeployment",
        "metadata": {"name": name},
        "spec": {"entrypoint": "etl.py:main", **spec},
    }


async def apply(client: httpx.AsyncClient, *documents: dict[str, Any], **more: Any) -> httpx.Response:
    """PUT them."""
    return await client.put(API, json={"documents": documents, **more})


async def test_documents_are_created_configured_and_left_unchanged(client: httpx.AsyncClient) -> None:
    """Documents without a namespace go to the namespace of scripts."""
    answer = (await apply(client, deployment())).json()["items"][0]
    assert (answer["kind"], answer["namespace"], answer["name"], answer["result"]) == ("FlowDeployment", "local", "nightly", "created")
    assert answer["document"]["metadata"]["uid"]
    assert (await apply(client, deployment())).json()["items"][0]["result"] == "unchanged"
    assert (await apply(client, deployment(suspend=True))).json()["items"][0]["result"] == "configured"
    found = (await client.get(f"{API}/FlowDeployment/local/nightly")).json()
    assert found["spec"]["suspend"] is True


async def test_a_dry_run_stores_nothing(client: httpx.AsyncClient) -> None:
    """It returns what would be stored."""
    answer = await apply(client, deployment(), dry_run=True)
    assert answer.json()["items"][0]["result"] == "created"
    assert (await client.get(f"{API}/FlowDeployment/local/nightly")).status_code == 404


async def test_every_error_of_every_document_is_answered_and_none_is_stored(client: httpx.AsyncClient) -> None:
    """This includes the valid document."""
    bad = deployment("bad", timeoutSeconds=-1, nonsense=1)
    worse = deployment("worse", schedules=[{"name": "main", "cron": "0 3 * * *", "interval": "PT1H"}])
    answer = await apply(client, deployment(), bad, worse)
    assert (answer.status_code, answer.json()["type"]) == (422, "https://mintaka.dev/problems/invalid-document")
    errors = answer.json()["errors"]
    assert {error["document"] for error in errors} == {"1", "2"}
    assert {error["name"] for error in errors} == {"bad", "worse"}
    assert all(error["path"] and error["message"] and error["reason"] for error in errors)
    assert client.store.stored == {}  # type: ignore[attr-defined]


MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "no kind": ({"apiVersion": "mintaka.dev/v1alpha1", "metadata": {"name": "a"}}, "documents[0].kind: use one of FlowDeployment"),
    "a kind of the controller's": (
        {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "a"}},
        "documents[0].kind: use one of FlowDeployment, FlowRun, OrchestrationRule, ClusterOrchestrationRule, ConfigMap, not 'ControllerRevision'",
    ),
    "another version": ({**deployment(), "apiVersion": "mintaka.dev/v2"}, "documents[0].apiVersion: a FlowDeployment has apiVersion"),
    "no metadata": ({**deployment(), "metadata": None}, "documents[0].metadata: it is missing, or not an object"),
    "no name": ({**deployment(), "metadata": {}}, "documents[0].metadata.name: a text is needed"),
    "a name to be generated, which apply cannot": ({**deployment(), "metadata": {"generateName": "a-"}}, "documents[0].metadata.name"),
}


@pytest.mark.parametrize(("document", "said"), MALFORMED.values(), ids=MALFORMED)
async def test_a_document_without_a_place_is_malformed(client: httpx.AsyncClient, document: dict[str, Any], said: str) -> None:
    """The error has its place in the body."""
    answer = await apply(client, document)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(said)
    assert answer.json()["errors"][0]["path"].startswith("documents[0].")


async def test_a_document_that_is_too_large_is_refused_with_a_remedy(client: httpx.AsyncClient) -> None:
    """The operator does the same."""
    answer = await apply(client, deployment(description="x" * 300_000))
    assert answer.status_code == 413
    assert answer.json()["detail"].startswith("FlowDeployment nightly: ")


async def test_a_run_is_created_under_a_generated_name(client: httpx.AsyncClient) -> None:
    """A second run gets another name."""
    run = {
        "apiVersion": "mintaka.dev/v1alpha1",
        "kind": "FlowRun",
        "metadata": {"generateName": "nightly-", "namespace": "team"},
        "spec": {"deployment": "nightly"},
    }
    names = {(await client.post(API, json=run)).json()["metadata"]["name"] for _ in range(2)}
    assert len(names) == 2
    assert all(name.startswith("nightly-") and len(name) > len("nightly-") for name in names)


async def test_what_exists_is_not_created_again(client: httpx.AsyncClient) -> None:
    """POST only creates."""
    await client.post(API, json=deployment())
    answer = await client.post(API, json=deployment())
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "already-exists")


async def test_the_status_of_a_manifest_is_not_taken(client: httpx.AsyncClient) -> None:
    """Only the server writes it."""
    await apply(client, {**deployment(), "status": {"activeRuns": 7}})
    assert (await client.get(f"{API}/FlowDeployment/local/nightly")).json().get("status") is None


async def test_lists_are_pages_in_order_of_namespace_and_name(client: httpx.AsyncClient) -> None:
    """No document is repeated."""
    documents = [{**deployment(name), "metadata": {"name": name, "namespace": space}} for space in ("b", "a") for name in ("y", "x", "z")]
    await apply(client, *documents)
    seen, cursor = [], {}
    while True:
        page = (await client.get(f"{API}/FlowDeployment", params={"limit": 4, **cursor})).json()
        seen += [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == [(space, name) for space in "ab" for name in "xyz"]
    one = (await client.get(f"{API}/FlowDeployment", params={"namespace": "a"})).json()["items"]
    assert {item["metadata"]["namespace"] for item in one} == {"a"}
    wrong = await client.get(f"{API}/FlowRun", params={"cursor": cursor["cursor"]})
    assert wrong.json()["type"].endswith("/invalid-cursor")


async def test_secrets_are_masked_in_deployments_and_in_their_runs(client: httpx.AsyncClient) -> None:
    """This holds for all routes."""
    schema = {"type": "object", "properties": {"token": {"type": "string", "format": "password"}, "day": {"type": "string"}}}
    run = {
        "apiVersion": "mintaka.dev/v1alpha1",
        "kind": "FlowRun",
        "metadata": {"name": "one"},
        "spec": {"deployment": "nightly", "parameters": {"token": "hunter2", "day": "today"}},
    }
    answers = [
        await apply(client, deployment(parameterSchema=schema, parameters={"token": "hunter2"}), run),
        await client.get(f"{API}/FlowRun"),
        await client.get(f"{API}/FlowRun/local/one"),
        await client.get(f"{API}/FlowDeployment/local/nightly"),
        await client.delete(f"{API}/FlowRun/local/one"),
    ]
    for answer in answers:
        assert answer.is_success
        assert "hunter2" not in answer.text
    assert "today" in answers[1].text


async def test_what_is_deleted_is_answered_and_gone(client: httpx.AsyncClient) -> None:
    """A second deletion gets 404."""
    await apply(client, deployment())
    answer = await client.delete(f"{API}/FlowDeployment/local/nightly")
    assert (answer.status_code, answer.json()["metadata"]["name"]) == (202, "nightly")
    assert (await client.delete(f"{API}/FlowDeployment/local/nightly")).status_code == 404


REQUESTS: dict[str, tuple[str, str, Any]] = {
    "apply": ("PUT", "", {"documents": [deployment()]}),
    "create": ("POST", "", deployment()),
    "list": ("GET", "/FlowDeployment", None),
    "read": ("GET", "/FlowDeployment/local/nightly", None),
    "delete": ("DELETE", "/FlowDeployment/local/nightly", None),
}


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS.values(), ids=REQUESTS)
async def test_an_api_without_a_store_names_kubectl(client: httpx.AsyncClient, method: str, path: str, body: Any) -> None:
    """This is the case for an API in a cluster."""
    client._transport.app.state.services = Stand(None)  # type: ignore[attr-defined]
    answer = await client.request(method, API + path, json=body)
    assert answer.status_code == 404
    assert "kubectl" in answer.json()["detail"]
