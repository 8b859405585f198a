"""The description of the API, its permissions and its problems."""

from __future__ import annotations

from typing import Any

import httpx
import jsonschema
import pytest
from fastapi import APIRouter
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from mintaka_api.app import create_app
from mintaka_api.cluster_problems import of_refusal
from mintaka_api.examples import EXAMPLES
from mintaka_api.openapi import document
from mintaka_api.permissions import GUARDED, PERMISSIONS, Permission, Principal, UndeclaredRoute, require_permissions
from mintaka_api.problems import PROBLEMS, Problem
from mintaka_api.settings import Settings
from mintaka_kubernetes import ClusterRefusal

SETTINGS = Settings(database_url="sqlite://", mirror=False)


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """The OpenAPI document."""
    return document(create_app(SETTINGS))


def examples(value: Any) -> list[tuple[dict[str, Any], Any]]:
    """Every (schema, example) below `value`."""
    if isinstance(value, list):
        return [found for part in value for found in examples(part)]
    if not isinstance(value, dict):
        return []
    here = [(value["schema"], value["example"])] if "schema" in value and "example" in value else []
    return here + [found for part in value.values() for found in examples(part)]


def test_every_example_obeys_its_schema(described: dict[str, Any]) -> None:
    """Answers, problems and bodies."""
    registry: Registry[Any] = Registry().with_resource("urn:api", Resource.from_contents(described, default_specification=DRAFT202012))
    found = examples(described["paths"])
    assert len(found) > 40
    for schema, example in found:
        absolute = {"$ref": f"urn:api{schema['$ref']}"}
        jsonschema.Draft202012Validator(absolute, registry=registry).validate(example)


def test_every_operation_shows_what_it_answers(described: dict[str, Any]) -> None:
    """A success with an example unless it has no body, 503, and a summary."""
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            good = next(code for code in operation["responses"] if code.startswith("2"))
            assert good == "204" or "example" in operation["responses"][good]["content"]["application/json"], (method, path)
            assert "503" in operation["responses"], (method, path)
            assert operation["description"], (method, path)


def test_every_schema_that_is_referred_to_exists(described: dict[str, Any]) -> None:
    """No dangling reference."""
    schemas = described["components"]["schemas"]
    text = str(described)
    for part in text.split("#/components/schemas/")[1:]:
        assert part.split("'")[0] in schemas
    assert {"FlowRunAnswer", "HistoryBatch", "NewFlowRun", "ProblemAnswer"} <= set(schemas)
    assert set(EXAMPLES) <= set(schemas)


def test_every_permission_belongs_to_a_route() -> None:
    """The table has nothing left over."""
    names = {getattr(route, "name", "") for route in create_app(SETTINGS).routes}
    assert names == set(PERMISSIONS)


def test_a_route_without_permission_keeps_the_app_from_starting() -> None:
    """Undeclared, or declared but unguarded."""

    async def secret() -> None:
        """A route that nobody declared."""

    async def healthz() -> None:
        """A declared name without the guard."""

    undeclared, unguarded = APIRouter(dependencies=GUARDED), APIRouter()
    undeclared.add_api_route("/secret", secret)
    unguarded.add_api_route("/healthz", healthz)
    for router in (undeclared, unguarded):
        with pytest.raises(UndeclaredRoute, match="has no permission"):
            require_permissions(router.routes)


@pytest.mark.anyio
async def test_what_the_authorizer_forbids_is_not_done() -> None:
    """403, and the permission that was missing; health stays open."""
    asked: list[tuple[str, Permission, str | None]] = []

    class Nobody:
        async def authenticate(self, _request: Any) -> Principal:
            return Principal("User", "alice")

        async def allows(self, principal: Principal, permission: Permission, namespace: str | None) -> bool:
            asked.append((principal.name, permission, namespace))
            return False

    app = create_app(SETTINGS, authenticator=Nobody(), authorizer=Nobody())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        answer = await client.get("/api/v1/namespaces/etl/flow-runs/one")
        assert (answer.status_code, answer.json()["detail"]) == (403, "alice may not get flowruns in namespace etl")
        assert asked == [("alice", Permission("get", "flowruns"), "etl")]
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_every_problem_is_a_document(name: str) -> None:
    """With its status, and Retry-After where trying again makes sense."""
    response = Problem(name, "a case").response()
    assert response.status_code == PROBLEMS[name][0]
    assert response.media_type == "application/problem+json"
    assert ("Retry-After" in response.headers) == (response.status_code == 503)


@pytest.mark.parametrize(
    ("code", "reason", "name"),
    [
        (403, "Forbidden", "forbidden"),
        (404, "NotFound", "not-found"),
        (409, "AlreadyExists", "already-exists"),
        (409, "Conflict", "conflict"),
        (413, "RequestEntityTooLarge", "too-large"),
        (422, "Invalid", "refused-by-cluster"),
        (400, "BadRequest", "refused-by-cluster"),
        (429, "TooManyRequests", "cluster-away"),
        (500, "InternalError", "cluster-away"),
        (401, "Unauthorized", "cluster-away"),
    ],
)
def test_what_kubernetes_says_becomes_a_problem(code: int, reason: str, name: str) -> None:
    """Its words are kept, its causes become errors."""
    problem = of_refusal(ClusterRefusal(code, reason, "its words", causes=({"field": "spec.cancel", "message": "no"},)))
    assert (problem.name, problem.detail) == (name, "its words")
    assert problem.members["errors"] == [{"path": "spec.cancel", "message": "no"}]
